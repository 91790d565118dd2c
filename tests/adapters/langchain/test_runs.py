"""Every kind of run is recorded once, with its outcome, and the host sees what it would see without us."""

from __future__ import annotations

from typing import Any

import pytest

from acontext_adapters.langchain import AcontextCallbackHandler, AcontextMiddleware
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning

from .host import SKILLS, Host
from .scenarios import SCENARIOS, Scenario


def graph(memory: Any, **options: Any) -> Host:
    return Host(lambda target: learning(target, space="s", client=memory, **options))


def graph_and_middleware(memory: Any, **options: Any) -> Host:
    return Host(
        lambda target: learning(target, space="s", client=memory, **options),
        lambda: [AcontextMiddleware(space="s", client=memory, **options)],
    )


def handler_and_middleware(memory: Any, **options: Any) -> Host:
    strict = {"strict": True} if options.get("strict") else {}
    handler = AcontextCallbackHandler(space="s", client=memory, **strict)
    return Host(
        middleware=lambda: [AcontextMiddleware(space="s", client=memory, **options)],
        handlers=[handler],
    )


WAYS = {"graph": graph, "graph and middleware": graph_and_middleware, "handler and middleware": handler_and_middleware}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_a_run_is_recorded_and_the_host_sees_no_difference(scenario: Scenario, way: str) -> None:
    bare = Host()
    await scenario.drive(bare)
    memory = MemoryClient(SKILLS)
    host = WAYS[way](memory, strict=True)
    await scenario.drive(host)
    assert host.saw(unordered=scenario.unordered) == bare.saw(unordered=scenario.unordered)

    sessions = list(memory.sessions.values())
    others = [session for session in sessions[1:] if session.messages]
    assert lines(sessions[0].lines, scenario) == lines(scenario.lines, scenario)
    assert sessions[0].outcome is not None
    assert scenario.outcome is not None
    assert sessions[0].outcome.status == scenario.outcome[0]
    assert sessions[0].outcome.reason.startswith(scenario.outcome[1])
    assert {session.ref.agent: tuple(session.lines) for session in others} == scenario.others
    assert "acontext-skills" not in "".join(
        message.model_dump_json() for session in sessions for message in session.messages
    )


def lines(given: Any, scenario: Scenario) -> list[str]:
    """Lines as they are compared: words of errors are the framework's own, and change with its versions."""
    short = ["error" if line.startswith("error") else line.strip() for line in given]
    short = [line[:20] if line.startswith("result: Ret") else line for line in short]
    return sorted(short) if scenario.unordered else short
