"""Whatever goes wrong on our side, the host sees the run that it would have seen without us; and nothing stays."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import weakref
from typing import Any

import agents
import pytest

from acontext_adapters.openai_agents import (
    Runner,
    convert,
    history,
    learned,
    run_registry,
    run_tracker,
    runner,
    tracing,
    wrap,
)
from acontext_adapters.testing import MemoryClient, alive, broken_step, clients_in_trouble
from acontext_plugins import runs
from acontext_plugins.learning import learning

from .host import SKILLS, Host
from .scenarios import SCENARIOS

pytestmark = pytest.mark.slow  # every fault at every place; the contract's own tests of faults are not

WAYS = {"plain runner": agents.Runner, "our runner": Runner}
SOME = {
    "success",
    "success_streamed",
    "parallel_tools",
    "max_turns",
    "max_turns_handled",
    "approved",
    "rejected",
    "handed_off_by_object_streamed",
    "wrapped_sub_agent",
    "stream_cancelled",
    "output_guardrail_trips",
    "history_sent_again",
}
DRIVEN = [scenario for scenario in SCENARIOS if scenario.name in SOME]
#: What the host sees without us; the scenarios are the same each time.
BARE: dict[str, Host] = {}
#: Everything of ours that is called while a run goes on.
STEPS = [
    (run_tracker.AgentsRunTracker, "begin"),
    (run_tracker.AgentsRunTracker, "given"),
    (run_tracker.AgentsRunTracker, "say"),
    (run_tracker.AgentsRunTracker, "responded"),
    (run_tracker.AgentsRunTracker, "tool_started"),
    (run_tracker.AgentsRunTracker, "tool_ended"),
    (run_tracker.AgentsRunTracker, "results_in"),
    (run_tracker.AgentsRunTracker, "handed_off"),
    (run_tracker.AgentsRunTracker, "gave"),
    (run_tracker.AgentsRunTracker, "recall"),
    (run_tracker.AgentsRunTracker, "head"),
    (run_tracker.AgentsRunTracker, "place"),
    (run_tracker.AgentsRunTracker, "end"),
    (run_tracker.AgentsRunTracker, "remember"),
    (run_registry.RunRegistry, "started"),
    (run_registry.RunRegistry, "speaking"),
    (run_registry.RunRegistry, "working"),
    (run_registry.RunRegistry, "ending"),
    (run_registry.RunRegistry, "interrupted"),
    (run_registry.RunRegistry, "interrupted_in"),
    (run_registry.RunRegistry, "resume"),
    (run_registry.RunRegistry, "end"),
    (run_registry.RunRegistry, "_place"),
    (run_registry.RunRegistry, "_remove"),
    (tracing.SpanListener, "link"),
    (tracing.SpanListener, "handed_off"),
    (tracing.SpanListener, "error_at"),
    (tracing.SpanListener, "on_span_start"),
    (tracing.SpanListener, "on_span_end"),
    (run_tracker, "continued"),
    (history.Conversations, "sent"),
    (history.Conversations, "answered"),
    (run_tracker, "as_item"),
    (run_tracker, "frozen"),
    (run_tracker, "field_of"),
    (run_tracker, "rough_size"),
    (run_tracker, "get_current_trace"),
    (convert, "from_responses"),
    (convert, "from_response_output"),
    (runner, "_prepare"),
    (runner, "_session_key"),
    (run_tracker, "turn_names"),
    (run_tracker, "place_blocks"),
    (runs.Runtime, "start"),
    (runs.Run, "record"),
    (runs.Run, "end"),
    (runs.Run, "arecall"),
]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "acontext")
    caplog.set_level(logging.CRITICAL, "openai.agents")


async def same_as_bare(way: str, memory: MemoryClient, scenarios: Any = DRIVEN, **options: Any) -> None:
    for scenario in scenarios:
        if scenario.name not in BARE:
            host = Host(agents.Runner, lambda agent: agent)
            await scenario.drive(host)
            BARE[scenario.name] = host
        bare = BARE[scenario.name]
        wrapped = Host(WAYS[way], lambda agent: learning(agent, space="s", client=memory, deadline=0.01, **options))
        await scenario.drive(wrapped)
        assert wrapped.seen.events == bare.seen.events, scenario.name
        assert wrapped.models_saw() == bare.models_saw(), scenario.name


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("owner", "step"), STEPS, ids=lambda value: getattr(value, "__name__", value))
async def test_a_step_of_ours_that_raises_changes_nothing_for_the_host(owner: Any, step: str, way: str) -> None:
    memory = MemoryClient(SKILLS)
    with broken_step(owner, step) as reached:
        await same_as_bare(way, memory, inject_as="user" if owner is runner and way == "our runner" else "system")
        with contextlib.suppress(RuntimeError):  # where the recorder's thread would meet it, and go on
            assert all(session.ref.key for session in memory.sessions.values())
    assert reached or (owner is runner and way == "plain runner") or step == "interrupted_in"


@pytest.mark.parametrize("way", WAYS)
async def test_a_handoff_that_cannot_be_wrapped_changes_nothing_for_the_host(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is wrapped with the agent, where trouble is seen, and again while a run goes on, where it is not."""
    wrapped = learned.AgentGraph.target

    def fails(*args: Any, **kwargs: Any) -> Any:
        if agents.get_current_trace() is None:
            return wrapped(*args, **kwargs)
        raise RuntimeError("_target fails")

    monkeypatch.setattr(learned.AgentGraph, "target", fails)
    await same_as_bare(way, MemoryClient(SKILLS))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("trouble", clients_in_trouble())
async def test_a_memory_in_trouble_changes_nothing_for_the_host(trouble: str, way: str) -> None:
    await same_as_bare(way, clients_in_trouble()[trouble])


@pytest.mark.parametrize("way", WAYS)
async def test_two_hundred_runs_leave_nothing_behind(way: str) -> None:
    refs: list[weakref.ref[Any]] = []

    class Slow(MemoryClient):
        def record(self, recording: Any) -> None:
            pass

    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    names = (
        "success",
        "success_streamed",
        "max_turns",
        "wrapped_sub_agent",
        "handed_off",
        "stream_cancelled",
        "rejected",
    )

    async def drive(count: int) -> None:
        for number in range(count):
            memory = Slow(SKILLS)
            host = Host(WAYS[way], lambda agent, memory=memory: learning(agent, space="s", client=memory, strict=True))
            await by_name[names[number % len(names)]].drive(host)
            if number % 20 == 0:
                refs.append(weakref.ref(host))

    async def settle() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            gc.collect()

    def kept() -> tuple[int, ...]:
        witness = wrap.witness
        return (
            len(run_registry.registry),
            len(run_registry.registry._by_usage),
            *map(len, (witness._owners, witness._tokens, witness._between)),
        )

    await drive(20)
    await settle()
    before = kept()
    trackers = alive(run_tracker.AgentsRunTracker)
    await drive(200)
    await settle()
    assert kept() == before
    assert alive(run_tracker.AgentsRunTracker) <= trackers + 5
    assert sum(ref() is not None for ref in refs) <= 1
