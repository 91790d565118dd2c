"""A catalog: a line of each skill in the prompt, and a tool that reads the rest."""

from __future__ import annotations

from pathlib import Path

from agno.agent import Agent

from acontext_plugins.inject.render import READ_SKILL
from acontext_plugins.learning import learning

from ..catalog import ASKED, check_catalog, skill_of
from .scripted import ScriptedModel, call


def issue_refund(given: str) -> str:
    """Refunds."""
    return given


async def test_the_agent_reads_a_skill_with_a_tool_of_ours(tmp_path: Path) -> None:
    client, name = skill_of(tmp_path)
    model = ScriptedModel(script=[[call(READ_SKILL, "c1", skill=name)], "Done."])
    bare = Agent(model=model, instructions="Base.", tools=[issue_refund], telemetry=False)
    agent = learning(bare, space="support", client=client, inject_as="catalog", deadline=30)
    output = await agent.arun(ASKED)
    assert bare.tools == [issue_refund]
    prompts = [request[0][1] for request in model.calls]
    assert prompts[0] == prompts[1]
    check_catalog(client, name, prompts, [message.content for message in output.messages or ()])
