"""A catalog: a line of each skill in the prompt, and a tool that reads the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import agents
import pytest
from agents import Agent, function_tool

from acontext_adapters.openai_agents import Runner
from acontext_plugins.errors import InvalidInput
from acontext_plugins.inject.render import READ_SKILL
from acontext_plugins.learning import learning

from ..catalog import ASKED, check_catalog, skill_of
from .scripted import ScriptedModel, assistant_message, function_call


@function_tool
def issue_refund(given: str) -> str:
    return given


@pytest.mark.parametrize("runner", [agents.Runner, Runner])
async def test_the_agent_reads_a_skill_with_a_tool_of_ours(tmp_path: Path, runner: Any) -> None:
    client, name = skill_of(tmp_path)
    model = ScriptedModel([[function_call(READ_SKILL, {"skill": name}, call_id="c1")], [assistant_message("Done.")]])
    bare: Agent[Any] = Agent(name="A", instructions="Base.", model=model, tools=[issue_refund])
    agent = learning(bare, space="support", client=client, inject_as="catalog", deadline=30)
    again = learning(agent, space="support", client=client, inject_as="catalog", deadline=30)
    await runner.run(again, ASKED)
    assert bare.tools == [issue_refund]
    assert [tool.name for tool in model.calls[0].tools] == ["issue_refund", READ_SKILL]
    prompts = [str(call.system_instructions) for call in model.calls]
    assert prompts[0] == prompts[1]
    check_catalog(client, name, prompts, [json.dumps(call.input) for call in model.calls])


def test_an_agent_that_stops_on_its_first_tool_has_no_place_for_one(tmp_path: Path) -> None:
    client, _ = skill_of(tmp_path)
    agent: Agent[Any] = Agent(name="A", tools=[issue_refund], tool_use_behavior="stop_on_first_tool")
    with pytest.raises(InvalidInput, match="use 'system'"):
        learning(agent, space="support", client=client, inject_as="catalog")
    client.close()
