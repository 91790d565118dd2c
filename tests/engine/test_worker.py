"""The worker: due work is done once, failures wait and are told, nothing depends on luck."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.protocols import LearningInput, Observation
from acontext_plugins.service import RecallQuery, Recording, SessionRef
from acontext_plugins.settings import WorkerSettings
from acontext_plugins.worker.worker import Worker
from acontext_store.types import Message, Outcome, Part, SkillOps, TaskOps, new_id

from .conftest import OpenEngine


def said(text: str, run_id: str) -> Message:
    return Message(id=new_id(), role="user", parts=(Part(type="text", text=text),), run_id=run_id)


def called(name: str, arguments: str, result: str, run_id: str) -> list[Message]:
    id = new_id()
    call = Part(type="tool-call", meta={"id": id, "name": name, "arguments": arguments})
    answer = Part(type="tool-result", text=result, meta={"tool_call_id": id})
    return [
        Message(role="assistant", parts=(call,), run_id=run_id),
        Message(role="tool", parts=(answer,), run_id=run_id),
    ]


def refund(email: str, order: str, key: str, *, status: str = "success") -> Recording:
    """A reported run in which an error was fixed."""
    run = f"run-{key}"
    return Recording(
        SessionRef(key, space="shop"),
        [
            said(f"I am {email}, please refund my broken cups of order {order}", run),
            *called("find_order", f'{{"email": "{email}"}}', f'{{"order_id": "{order}"}}', run),
            *called("issue_refund", f'{{"order_id": "{order}", "amount": "24.50"}}', '{"error": "no"}', run),
            *called("issue_refund", f'{{"order_id": "{order}", "amount": 2450}}', '{"status": "ok"}', run),
        ],
        [Outcome(status=status, source="report", run_id=run)],  # type: ignore[arg-type]
    )


def teach(embedded: EmbeddedEngine) -> None:
    embedded.engine.record(refund("ada@example.com", "A-1001", "one"))
    embedded.engine.record(refund("joan@example.com", "A-2077", "two"))


def wait_for(state: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not state():
        assert time.monotonic() < end, "the state did not come"
        time.sleep(0.01)


def test_what_is_recorded_becomes_a_skill_in_the_background(open_engine: OpenEngine) -> None:
    embedded = open_engine(worker=True)
    teach(embedded)
    embedded.engine.recorder.flush()

    def learned() -> bool:
        recall = embedded.loop.run(embedded.engine.recall(RecallQuery("shop", "refund my broken lamp please")))
        return "issue_refund" in recall.text

    wait_for(learned)


def test_flush_returns_when_everything_is_learned(open_engine: OpenEngine) -> None:
    embedded = open_engine(worker=True)
    teach(embedded)
    assert embedded.loop.run(embedded.engine.flush(30))
    space = embedded.engine.store.space_by_name("shop").result()
    (skill,) = embedded.engine.store.skills(space.id).result()
    assert skill.status == "active"
    assert [step.tool_name for step in skill.body.tool_sops] == ["find_order", "issue_refund"]
    assert embedded.engine.store.lanes(dead=False).result() == []


def test_recall_leaves_out_skills_whose_tools_the_run_does_not_have(open_engine: OpenEngine) -> None:
    embedded = open_engine()
    teach(embedded)
    assert embedded.loop.run(embedded.engine.flush(30))

    def recall(tools: list[str] | None) -> str:
        query = RecallQuery("shop", "refund my broken lamp please", tools=tools)
        return embedded.loop.run(embedded.engine.recall(query)).text

    assert "issue_refund" in recall(None)
    assert "issue_refund" in recall(["find_order", "issue_refund", "other"])
    assert recall(["find_order"]) == ""


def test_an_injection_is_logged_with_the_skill_and_its_version(open_engine: OpenEngine) -> None:
    embedded = open_engine()
    teach(embedded)
    embedded.loop.run(embedded.engine.flush(30))
    query = RecallQuery("shop", "refund my broken lamp please", session_key="three", run_id="run-3")
    recall = embedded.loop.run(embedded.engine.recall(query))
    embedded.engine.store.flush().result()
    space = embedded.engine.store.space_by_name("shop").result()
    (row,) = embedded.engine.store.injections(space.id).result()
    assert row.skill_ids == (recall.skills[0].id,)
    assert row.versions == (1,)
    assert row.run_id == "run-3"


class Scripted:
    """An observer and learner that fails a number of times, and counts."""

    batch = 1000

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.observed = 0

    async def observe(self, observation: Observation) -> TaskOps:
        self.observed += 1
        if self.observed <= self.failures:
            raise RuntimeError("the model is odd")
        last = observation.messages[-1].seq
        return TaskOps(session_id=observation.session.id, observed_seq=last, resume_seq=last + 1)

    async def learn(self, lesson: LearningInput) -> SkillOps:
        return SkillOps(space_id=lesson.space.id)


def worker(embedded: EmbeddedEngine, script: Scripted, *, attempts: int = 5) -> Worker:
    settings = WorkerSettings(max_attempts=attempts, backoff=0.001, idle=0.01)
    return Worker(embedded.engine.store, script, script, settings=settings)


async def work_until(worker: Worker, state: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not state():
            await worker.work_once()
            await asyncio.sleep(0.002)


def test_work_that_fails_is_tried_again_until_it_succeeds(embedded: EmbeddedEngine) -> None:
    script = Scripted(failures=3)
    doing = worker(embedded, script)
    embedded.engine.record(refund("ada@example.com", "A-1", "one"))
    embedded.engine.recorder.flush()
    embedded.loop.run(work_until(doing, lambda: doing.done == 1))
    assert script.observed == 4
    assert embedded.engine.store.lanes().result() == []


def test_work_that_always_fails_waits_for_a_person_and_comes_back_on_request(embedded: EmbeddedEngine) -> None:
    script = Scripted(failures=3)
    doing = worker(embedded, script, attempts=3)
    embedded.engine.record(refund("ada@example.com", "A-1", "one"))
    embedded.engine.recorder.flush()
    embedded.loop.run(work_until(doing, lambda: doing.failed == 3))
    (lane,) = embedded.engine.store.lanes(dead=True).result()
    assert "the model is odd" in (lane.last_error or "")
    assert lane.attempts == 3
    assert embedded.engine.store.claim("x", kinds=("observe",), lease=1).result() == []
    embedded.engine.store.schedule_now(lane.kind, lane.key).result()
    embedded.loop.run(work_until(doing, lambda: doing.done == 1))
    assert embedded.engine.store.lanes(dead=True).result() == []


def test_two_workers_on_one_database_do_each_lane_once(open_engine: OpenEngine) -> None:
    first, second = open_engine(), open_engine()
    for number in range(40):
        first.engine.record(refund("ada@example.com", f"A-{number}", f"key-{number}"))
    first.engine.recorder.flush()
    one, two = Scripted(0), Scripted(0)
    left, right = worker(first, one), worker(second, two)

    async def both() -> None:
        async with asyncio.timeout(20):
            while one.observed + two.observed < 40:
                await asyncio.gather(left.work_once(), right.work_once())

    first.loop.run(both())
    assert one.observed + two.observed == 40
    assert left.done + right.done == 40


class Many(Scripted):
    """An observer that is given what is due at once, and fails at one of the sessions."""

    def __init__(self, bad: str) -> None:
        super().__init__(0)
        self.bad = bad
        self.together: list[int] = []

    async def observe_each(self, observations: Sequence[Observation]) -> list[TaskOps | Exception]:
        self.together.append(len(observations))
        decided: list[TaskOps | Exception] = []
        for one in observations:
            decided.append(ValueError("odd") if one.session.key == self.bad else await self.observe(one))
        return decided


def test_sessions_that_are_due_at_once_are_observed_together_and_one_that_fails_is_alone_in_that(
    embedded: EmbeddedEngine,
) -> None:
    for key in ("one", "two", "three", "gone"):
        embedded.engine.record(refund("ada@example.com", "A-1", key))
    embedded.engine.recorder.flush()
    store, many = embedded.engine.store, Many("two")
    take = store.claim

    def claim(*given: Any, **named: Any) -> Any:
        claims = take(*given, **named)
        for session in store.sessions(key="gone").result().items if claims.result() else ():
            store.delete_session(session.id).result()  # after it was claimed
        return claims

    store.claim = claim  # type: ignore[method-assign]
    doing = worker(embedded, many)
    running = embedded.loop.submit(doing.run())
    wait_for(lambda: doing.done >= 2 and doing.failed >= 1)
    running.cancel()
    assert many.together[0] == 3
    assert doing.done == 2
    (lane,) = store.lanes(dead=None).result()
    assert "odd" in (lane.last_error or "")


def test_a_session_that_was_deleted_before_its_turn_is_no_failure(embedded: EmbeddedEngine) -> None:
    embedded.engine.record(refund("ada@example.com", "A-1", "one"))
    embedded.engine.recorder.flush()
    (claim,) = embedded.engine.store.claim("other", kinds=("observe",), lease=60).result()
    embedded.engine.store.delete_session(claim.key).result()
    doing = worker(embedded, Scripted(0))
    embedded.loop.run(doing.work_once())
    assert doing.failed == 0


@pytest.mark.parametrize("worker_runs", [True, False])
def test_flush_of_an_idle_engine_is_immediate(open_engine: OpenEngine, worker_runs: bool) -> None:
    assert open_engine(worker=worker_runs).loop.run(open_engine(worker=worker_runs).engine.flush(5))


def test_a_failed_run_teaches_no_steps(open_engine: OpenEngine) -> None:
    embedded = open_engine()
    embedded.engine.record(refund("ada@example.com", "A-1001", "one", status="failed"))
    embedded.engine.record(refund("joan@example.com", "A-2077", "two", status="failed"))
    assert embedded.loop.run(embedded.engine.flush(30))
    space = embedded.engine.store.space_by_name("shop").result()
    assert [skill for skill in embedded.engine.store.skills(space.id).result() if skill.status == "active"] == []


def test_a_database_that_moves_on_without_us_is_not_needed_to_close(open_engine: OpenEngine, database: Path) -> None:
    embedded = open_engine(worker=True)
    teach(embedded)
    embedded.close()
    again = open_engine()
    assert again.loop.run(again.engine.flush(30))
    assert again.engine.store.space_by_name("shop").result()


class Thinking:
    """An observer that never comes to an end."""

    def __init__(self) -> None:
        self.asked = 0

    async def observe(self, observation: Observation) -> TaskOps:
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


@pytest.mark.parametrize("background", [True, False])
def test_what_a_worker_leaves_undone_can_be_done_by_another_at_once(open_engine: OpenEngine, background: bool) -> None:
    embedded = open_engine(worker=background)
    observer = embedded.engine.worker._observer = Thinking()
    teach(embedded)
    embedded.engine.recorder.flush()
    if not background:
        working = embedded.loop.submit(embedded.engine.worker.work_once())
    wait_for(lambda: observer.asked > 0)
    if not background:
        working.cancel()
    embedded.close()
    other = open_engine()
    for lane in other.engine.store.lanes().result():
        assert (lane.owner, lane.attempts) == (None, 0)
    assert other.loop.run(other.engine.worker.work_once()) > 0
