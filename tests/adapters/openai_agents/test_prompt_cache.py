"""The provider's prompt cache of a long conversation is as good with skills as without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import agents
import pytest
from agents import Agent, SQLiteSession

from acontext_adapters.openai_agents import Runner
from acontext_adapters.testing import ForwardingClient
from acontext_plugins.learning import learning

from ..prompt_cache import ANSWER, INSTRUCTIONS, TURNS, keeps_the_cache
from .scripted import ScriptedModel, assistant_message


@pytest.mark.parametrize("where", ["system", "user"])
@pytest.mark.parametrize("runner", [agents.Runner, Runner])
async def test_twenty_turns_in_one_session(tmp_path: Path, runner: Any, where: Any) -> None:
    async def play(client: ForwardingClient | None) -> list[str]:
        model = ScriptedModel([[assistant_message(ANSWER)] for _ in TURNS])
        agent: Agent[Any] = Agent(name="A", instructions=INSTRUCTIONS, model=model, tools=tools())
        if client is not None:
            agent = learning(agent, space="support", client=client, inject_as=where)
        session = SQLiteSession("talk")
        for turn in TURNS:
            await runner.run(agent, turn, session=session)
        return [f"{call.system_instructions}\n{json.dumps(call.input)[:-1]}" for call in model.calls]

    await keeps_the_cache(tmp_path, play)


def tools() -> list[Any]:
    def made(name: str) -> Any:
        def tool(given: str) -> str:
            return given

        tool.__name__ = name
        return agents.function_tool(tool)

    return [made(name) for name in ("issue_refund", "change_address", "cancel_plan", "reset_password")]
