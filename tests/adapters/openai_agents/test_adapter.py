"""The OpenAI Agents SDK: what is recorded of each run, and that the host sees nothing of it."""

from __future__ import annotations

from typing import Any

import agents
import pytest
from agents import Agent

from acontext_adapters.openai_agents import Runner
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning

from .host import SKILLS, Host
from .scenarios import SCENARIOS, Scenario

WAYS = {"plain runner": agents.Runner, "our runner": Runner, "our runner, untraced": Runner}


def learner(memory: MemoryClient, **options: Any) -> Any:
    def wrap(agent: Agent[Any]) -> Agent[Any]:
        return learning(agent, space="weather", client=memory, strict=True, **options)

    return wrap


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_a_run_is_recorded_once_with_its_outcome_and_the_host_sees_what_it_always_saw(
    scenario: Scenario, way: str
) -> None:
    untraced = "untraced" in way
    bare = Host(agents.Runner, lambda agent: agent, untraced=untraced)
    await scenario.drive(bare)
    memory = MemoryClient(SKILLS)
    wrapped = Host(WAYS[way], learner(memory), untraced=untraced)
    await scenario.drive(wrapped)

    assert wrapped.seen.events == bare.seen.events
    assert wrapped.models_saw() == bare.models_saw()

    sessions = {session.ref.agent: session for session in memory.sessions.values()}
    assert len(sessions) == len(memory.sessions), [s.lines for s in memory.sessions.values()]
    assert set(sessions) == ({"A", *scenario.others} if scenario.lines else set())
    if not scenario.lines:
        return
    for name, lines in {"A": scenario.lines, **scenario.others}.items():
        found = [line.partition(" while")[0] if line.startswith("error: An") else line for line in sessions[name].lines]
        found = ["error: An error occurred" if line.startswith("error: An error") else line for line in found]
        if scenario.unordered:
            assert sorted(found) == sorted(lines)
        else:
            assert found == list(lines)
    outcome = sessions["A"].outcome
    assert ((outcome.status, outcome.reason) if outcome else None) == scenario.outcome
    ids = [message.id for recorded in memory.recordings for message in _made(recorded)]
    assert len(ids) == len(set(ids))


def _made(recording: Any) -> Any:
    return recording.messages() if callable(recording.messages) else recording.messages
