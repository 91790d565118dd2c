"""Runs of agents: what is recorded of them, what is injected, and that the host sees nothing of it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from acontext_adapters.testing import MemoryClient, made
from acontext_plugins.learning import learning

from .host import SKILLS, Host
from .scenarios import SCENARIOS, Scenario
from .team_scenarios import TEAM_SCENARIOS

VERSION = tuple(int(number) for number in version("agno").split(".")[:2])
ALL = [scenario for scenario in (*SCENARIOS, *TEAM_SCENARIOS) if scenario.since <= VERSION]


def wrapped(memory: MemoryClient, **options: Any) -> Host:
    return Host(lambda target: learning(target, space="s", client=memory, strict=True, deadline=30, **options))


@pytest.mark.parametrize("scenario", ALL, ids=str)
async def test_what_is_recorded(scenario: Scenario) -> None:
    memory = MemoryClient(SKILLS)
    await scenario.drive(wrapped(memory))
    sessions = list(memory.sessions.values())
    main = sessions[0] if sessions else None
    lines = main.lines if main else []
    assert lines[: len(scenario.lines) if scenario.partial else None] == list(scenario.lines)
    newest = main.outcome if main else None
    assert ((newest.status, newest.reason) if newest else None) == scenario.outcome
    ids = [message.id for recording in memory.recordings for message in made(recording)]
    assert len(ids) == len(set(ids))
    others = {str(session.ref.agent): tuple(session.lines) for session in sessions[1:]}
    assert others == scenario.others
    for session in sessions[1:]:
        assert session.ref.configs is not None
        assert session.ref.configs["parent_session"] in memory.sessions
        assert not session.ref.track_tasks


@pytest.mark.parametrize("inject_as", ["system", "user"])
@pytest.mark.parametrize("scenario", ALL, ids=str)
async def test_the_host_sees_what_it_sees_without_us(scenario: Scenario, inject_as: Any) -> None:
    bare = Host(lambda target: target)
    await scenario.drive(bare)
    host = wrapped(MemoryClient(SKILLS), inject_as=inject_as)
    await scenario.drive(host)
    assert host.seen == bare.seen
    assert _without_empty(host) == _without_empty(bare)


def _without_empty(host: Host) -> Any:
    """Where there is no system message, skills are one of their own."""
    return [[[line for line in request if line != ["system", ""]] for request in model] for model in host.models_saw()]


@pytest.mark.parametrize("scenario", ALL, ids=str)
async def test_skills_stand_once_in_each_prompt_as_they_are(scenario: Scenario) -> None:
    host = wrapped(MemoryClient(SKILLS))
    await scenario.drive(host)
    bare = {"bare_agent_in_a_tool": 1}.get(scenario.name, 0)
    began_elsewhere = scenario.name == "history_in_the_input"  # who knows what has been sent: its system prompt stays
    for model in host.models[bare:]:
        for request in model.calls:
            assert sum(words.count("acontext-skills") for _, words in request) == 2
            role, words = request[-1] if began_elsewhere else request[0]
            assert (role, words.endswith(SKILLS)) == ("user" if began_elsewhere else "system", True)
