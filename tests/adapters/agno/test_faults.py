"""Whatever goes wrong on our side, the host sees the run that it would have seen without us; and nothing stays."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import weakref
from typing import Any

import pytest

from acontext_adapters.agno import calls, convert, executions, run_tracker, wrap
from acontext_adapters.testing import MemoryClient, alive, broken_step, clients_in_trouble
from acontext_plugins import runs
from acontext_plugins.learning import learning
from acontext_plugins.runs import current_run

from .host import SKILLS, Host
from .test_runs import ALL

SOME = {
    "success",
    "success_blocking",
    "streamed_with_events",
    "streamed_blocking",
    "parallel_tools",
    "model_raises",
    "model_raises_streamed",
    "retried_after_a_failure",
    "input_is_refused",
    "task_is_cancelled",
    "stream_is_abandoned",
    "confirmed",
    "two_turns_with_a_history",
    "wrapped_agent_in_a_tool",
    "team",
    "team_streamed",
    "members_by_function",
    "member_waits_for_a_human",
}
DRIVEN = [scenario for scenario in ALL if scenario.name in SOME]
#: What the host sees without us; the scenarios are the same each time.
BARE: dict[str, Host] = {}
#: Everything of ours that is called while a run goes on.
STEPS: list[tuple[Any, str]] = [
    (wrap.WrappedAgent, "own_models"),
    (wrap.WrappedAgent, "is_run_of"),
    (wrap.WrappedAgent, "_session"),
    (wrap.WrappedAgent, "_watch"),
    (run_tracker.AgnoRunTracker, "resume"),
    (run_tracker.AgnoRunTracker, "runs_in"),
    (run_tracker.AgnoRunTracker, "running_call"),
    (run_tracker.AgnoRunTracker, "_fate"),
    (calls.Calls, "told_of"),
    (run_tracker.AgnoRunTracker, "_tell_the_rest"),
    (run_tracker.AgnoRunTracker, "identify"),
    (run_tracker.AgnoRunTracker, "_context"),
    (run_tracker.AgnoRunTracker, "_note"),
    (run_tracker.AgnoRunTracker, "_words"),
    (run_tracker.AgnoRunTracker, "_record"),
    (run_tracker.AgnoRunTracker, "_with_skills"),
    (run_tracker.AgnoRunTracker, "_heard"),
    (run_tracker.AgnoRunTracker, "_flush"),
    (run_tracker.AgnoRunTracker, "_end"),
    (run_tracker.AgnoRunTracker, "_pause"),
    (run_tracker.AgnoRunTracker, "_reason"),
    (run_tracker.AgnoRunTracker, "_awaited"),
    (run_tracker.PausedRuns, "keep"),
    (run_tracker.PausedRuns, "take"),
    (run_tracker, "_names"),
    (run_tracker, "_examples"),
    (run_tracker, "_system_place"),
    (run_tracker, "_carrying"),
    (calls.AgnoCall, "fate"),
    (calls.Calls, "asked"),
    (calls.Calls, "made"),
    (calls.Calls, "answered"),
    (calls.Calls, "match"),
    (calls, "follow"),
    (executions.Execution, "starts"),
    (executions.Execution, "ends"),
    (executions.Execution, "claim"),
    (executions.Execution, "member_ended"),
    (executions, "_followed"),
    (run_tracker, "copied"),
    (run_tracker, "kind_of"),
    (run_tracker, "words_of"),
    (run_tracker, "message_of"),
    (convert, "calls_of"),
    (wrap, "learning_model"),
    (runs.Runtime, "start"),
    (runs.Run, "record"),
    (runs.Run, "end"),
    (runs.Run, "reopen"),
    (runs.Run, "recall"),
    (runs.Run, "arecall"),
]


@pytest.fixture(autouse=True)
def _calm(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "acontext")


async def same_as_bare(memory: Any, scenarios: Any = DRIVEN, **options: Any) -> None:
    for scenario in scenarios:
        if scenario.name not in BARE:
            host = Host(lambda target: target)
            await scenario.drive(host)
            BARE[scenario.name] = host
        bare = BARE[scenario.name]
        wrapped = Host(lambda target: learning(target, space="s", client=memory, deadline=0.01, **options))
        await scenario.drive(wrapped)
        assert wrapped.seen == bare.seen, scenario.name
        assert wrapped.models_saw() == bare.models_saw(), scenario.name
        assert current_run() is None


@pytest.mark.parametrize(("owner", "step"), STEPS, ids=lambda value: getattr(value, "__name__", value))
async def test_a_step_of_ours_that_raises_changes_nothing_for_the_host(owner: Any, step: str) -> None:
    memory = MemoryClient(SKILLS)
    with broken_step(owner, step) as reached:
        await same_as_bare(memory)
        with contextlib.suppress(RuntimeError):  # where the recorder's thread would meet it, and go on
            assert all(session.ref.key for session in memory.sessions.values())
    assert reached


@pytest.mark.parametrize("trouble", clients_in_trouble())
async def test_a_memory_in_trouble_changes_nothing_for_the_host(trouble: str) -> None:
    await same_as_bare(clients_in_trouble()[trouble])


async def test_a_model_that_cannot_be_seen_into_is_recorded_from_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrap.WrappedAgent, "own_models", lambda self: None)
    memory = MemoryClient(SKILLS)
    by_name = {scenario.name: scenario for scenario in ALL}
    await by_name["success"].drive(
        Host(lambda target: learning(target, space="s", client=memory, strict=True, deadline=30))
    )
    assert tuple(memory.lines) == by_name["success"].lines
    assert memory.outcome == ("success", "")


async def test_two_hundred_runs_of_every_kind_leave_nothing_behind() -> None:
    refs: list[weakref.ref[Any]] = []

    class Slow(MemoryClient):
        def record(self, recording: Any) -> None:
            pass

    async def drive(count: int) -> None:
        for number in range(count):
            memory = Slow(SKILLS)
            host = Host(
                lambda target, memory=memory: learning(target, space="s", client=memory, strict=True, deadline=30)
            )
            await DRIVEN[number % len(DRIVEN)].drive(host)
            if number % 20 == 0:
                refs.append(weakref.ref(host))

    async def settle() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            gc.collect()

    await drive(len(DRIVEN))
    await settle()
    paused, trackers, threads = (
        len(run_tracker.paused_runs),
        alive(run_tracker.AgnoRunTracker),
        threading.active_count(),
    )
    await drive(200)
    await settle()
    assert len(run_tracker.paused_runs) == paused
    assert alive(run_tracker.AgnoRunTracker) <= trackers + 5
    assert threading.active_count() <= threads + 2
    assert sum(ref() is not None for ref in refs) <= 1


async def test_runs_that_never_go_on_are_forgotten() -> None:
    kept = run_tracker.PausedRuns(size=2)
    memory = MemoryClient()
    runtime = runs.Runtime(runs.RunOptions(), memory)
    for number in range(5):
        kept.keep(str(number), run_tracker.Paused(runtime.start(label="A"), set(), calls.Calls(runtime), None, False))
    assert len(kept) == 2
    assert kept.take("0", runtime) is None
    assert kept.take("4", runs.Runtime(runs.RunOptions(space="other"), memory)) is None
    assert kept.take("4", runtime) is not None
