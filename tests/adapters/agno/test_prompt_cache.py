"""The provider's prompt cache of a long conversation is as good with skills as without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb

from acontext_adapters.testing import ForwardingClient
from acontext_plugins.learning import learning

from ..prompt_cache import ANSWER, INSTRUCTIONS, SKILLS, TURNS, keeps_the_cache
from .scripted import ScriptedModel


@pytest.mark.parametrize("where", ["system", "user"])
async def test_twenty_turns_in_one_session(tmp_path: Path, where: Any) -> None:
    async def play(client: ForwardingClient | None) -> list[str]:
        model = ScriptedModel(script=[ANSWER for _ in TURNS])
        agent = Agent(
            model=model,
            instructions=INSTRUCTIONS,
            tools=[a_tool(name) for name in SKILLS.values()],
            db=InMemoryDb(),
            add_history_to_context=True,
            num_history_runs=len(TURNS),
            telemetry=False,
        )
        if client is not None:
            agent = learning(agent, space="support", client=client, inject_as=where)
        for turn in TURNS:
            await agent.arun(turn, session_id="talk")
        return ["".join(f"{role}: {words}\n" for role, words in request)[:-1] for request in model.calls]

    await keeps_the_cache(tmp_path, play)


def a_tool(name: str) -> Any:
    def tool(given: str) -> str:
        """Does it."""
        return given

    tool.__name__ = name
    return tool
