"""A catalog: a line of each skill in the prompt, and a tool that reads the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage

from acontext_adapters.langchain import AcontextMiddleware
from acontext_plugins.errors import InvalidInput
from acontext_plugins.inject.render import READ_SKILL
from acontext_plugins.learning import learning

from ..catalog import ASKED, check_catalog, skill_of
from .scripted import ScriptedModel


def issue_refund(given: str) -> str:
    """Refunds."""
    return given


async def test_the_agent_reads_a_skill_with_a_tool_of_the_middleware(tmp_path: Path) -> None:
    client, name = skill_of(tmp_path)
    asked = AIMessage("", tool_calls=[{"name": READ_SKILL, "args": {"skill": name}, "id": "c1"}])
    model = ScriptedModel(steps=[asked, "Done."])
    middleware = AcontextMiddleware(space="support", client=client, inject_as="catalog", deadline=30)
    agent: Any = create_agent(model, [issue_refund], system_prompt="Base.", middleware=[middleware])
    state = await agent.ainvoke({"messages": [("user", ASKED)]})
    assert sorted(model.bound[0]) == ["issue_refund", READ_SKILL]
    prompts = [str(prompt[0].content) for prompt in model.prompts]
    assert prompts[0] == prompts[1]
    check_catalog(client, name, prompts, [message.content for message in state["messages"]])


def test_a_graph_and_a_chat_model_have_no_place_for_one(tmp_path: Path) -> None:
    client, _ = skill_of(tmp_path)
    model = ScriptedModel(steps=[])
    for target in (model, create_agent(model, [])):
        with pytest.raises(InvalidInput, match="AcontextMiddleware"):
            learning(target, space="support", client=client, inject_as="catalog")
    client.close()
