"""A model that is away, or answers nonsense: nothing is lost, nobody storms it, and a person is told once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.settings import WorkerSettings
from acontext_plugins.worker.worker import CircuitBreaker, Worker, judge, reason_of
from acontext_store.errors import (
    BudgetSpent,
    InvalidAnswer,
    LearningUnavailable,
    PromptTooLong,
    Refused,
    StoreUnavailable,
)
from acontext_store.types import Claim
from tests.engine.test_worker import refund

from .scripted import NONSENSE, OUTAGES, Model, until, worker


def record(embedded: EmbeddedEngine, count: int) -> None:
    for number in range(count):
        embedded.engine.record(refund(f"user{number}@example.com", f"A-{number}", f"key-{number}"))
    embedded.engine.recorder.flush()


def statuses(embedded: EmbeddedEngine, key: str = "key-0") -> set[str]:
    session = embedded.loop.run(embedded.engine.find_session(key))
    return {m.session_task_process_status for m in embedded.engine.store.messages(session.id).result().items}


async def rounds(doing: Worker, count: int) -> None:
    for _ in range(count):
        await doing.work_once()
        await asyncio.sleep(0.002)


def learned(embedded: EmbeddedEngine) -> list[str]:
    space = embedded.engine.store.space_by_name("shop").result()
    return [skill.body.tool_sops[-1].tool_name for skill in embedded.engine.store.skills(space.id).result()]


@pytest.mark.parametrize("trouble", OUTAGES.values(), ids=OUTAGES.keys())
def test_what_was_said_during_an_outage_is_learned_after_it(embedded: EmbeddedEngine, trouble: Any) -> None:
    model = Model(trouble=trouble)
    doing = worker(embedded, model, max_attempts=2)
    record(embedded, 3)
    embedded.loop.run(rounds(doing, 60))
    assert model.asked > 5  # many times more than a job may fail
    assert embedded.engine.store.lanes(dead=True).result() == []
    assert statuses(embedded) == {"pending"}
    assert embedded.loop.run(embedded.engine.flush(10)) is False
    model.trouble = None
    until(lambda: embedded.loop.run(embedded.engine.flush(30)))
    assert statuses(embedded) == {"success"}
    assert learned(embedded) == ["issue_refund"]
    assert embedded.engine.store.lanes().result() == []


@pytest.mark.parametrize("trouble", NONSENSE.values(), ids=NONSENSE.keys())
def test_work_that_a_model_answers_with_nonsense_waits_for_a_person_who_retries_it(
    embedded: EmbeddedEngine, trouble: Any
) -> None:
    model = Model(trouble=trouble)
    doing = worker(embedded, model, max_attempts=3)
    record(embedded, 1)
    embedded.loop.run(rounds(doing, 60))
    (lane,) = embedded.engine.store.lanes(dead=True).result()
    assert (lane.attempts, lane.outages) == (3, 0)
    assert statuses(embedded) == {"failed"}
    asked = model.asked
    embedded.loop.run(rounds(doing, 20))
    assert model.asked == asked
    model.trouble = None
    assert embedded.loop.run(embedded.engine.retry_jobs()) == 1
    until(lambda: embedded.loop.run(embedded.engine.flush(30)))
    assert statuses(embedded) == {"success"}


def test_an_outage_does_not_use_up_the_attempts_of_work_that_then_fails(embedded: EmbeddedEngine) -> None:
    model = Model(trouble=OUTAGES["down"])
    doing = worker(embedded, model, max_attempts=3)
    record(embedded, 1)
    embedded.loop.run(rounds(doing, 60))
    model.trouble = "nonsense"
    failed = doing.failed
    embedded.loop.run(rounds(doing, 60))
    assert doing.failed == failed + 3
    assert len(embedded.engine.store.lanes(dead=True).result()) == 1


def test_a_model_that_is_away_is_not_stormed(embedded: EmbeddedEngine) -> None:
    model = Model(trouble=OUTAGES["down"])
    doing = worker(embedded, model, backoff=1000.0, longest_probe=1000.0)
    record(embedded, 100)
    embedded.loop.run(rounds(doing, 50))
    assert model.asked == 1  # whoever was claimed with it is given back untried
    lanes = embedded.engine.store.lanes().result()
    assert sorted(lane.outages for lane in lanes) == [0] * 99 + [1]
    assert all(lane.owner is None and lane.attempts == 0 for lane in lanes)


def test_one_piece_of_work_at_a_time_finds_out_whether_the_model_is_back(embedded: EmbeddedEngine) -> None:
    model = Model(trouble=OUTAGES["down"])
    doing = worker(embedded, model)
    record(embedded, 20)
    asked = []
    for _ in range(50):
        before = model.asked
        embedded.loop.run(doing.work_once())
        asked.append(model.asked - before)
    assert max(asked) == 1
    model.trouble = None
    until(lambda: embedded.loop.run(embedded.engine.flush(30)))
    assert embedded.engine.store.lanes().result() == []


def test_an_outage_is_logged_once_and_so_is_its_end(embedded: EmbeddedEngine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="acontext")
    model = Model(trouble=OUTAGES["down"])
    doing = worker(embedded, model)
    record(embedded, 30)
    embedded.loop.run(rounds(doing, 100))
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        "acontext: observing waits: the model cannot be reached; it goes on by itself when the outage is over "
        "(see `acontext doctor`)"
    ]
    model.trouble = None
    until(lambda: embedded.loop.run(embedded.engine.flush(30)))
    ends = [r.getMessage() for r in caplog.records if "goes on, after" in r.getMessage()]
    assert len(ends) == 1


def test_a_job_that_fails_is_logged_when_it_begins_and_when_it_ends(
    embedded: EmbeddedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    doing = worker(embedded, Model(trouble="nonsense"), max_attempts=5)
    record(embedded, 1)
    embedded.loop.run(rounds(doing, 60))
    told = [r.getMessage() for r in caplog.records]
    assert ["attempt 1" in one for one in told] == [True, False]
    assert "attempt 5" in told[1]
    assert "acontext retry" in told[1]


def test_no_log_line_holds_what_was_said(embedded: EmbeddedEngine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="acontext")

    def blab(request: Any) -> BaseException:
        return ValueError("Canary-4417 refund my broken cups")

    doing = worker(embedded, Model(trouble=blab), max_attempts=2)
    record(embedded, 2)
    embedded.loop.run(rounds(doing, 40))
    assert embedded.engine.store.lanes(dead=True).result()
    assert "Canary-4417" not in caplog.text
    assert "ValueError" in caplog.text


def test_an_outage_that_lasts_too_long_waits_for_a_person(embedded: EmbeddedEngine) -> None:
    model = Model(trouble=OUTAGES["down"])
    doing = worker(embedded, model, longest_outage=0.05)
    record(embedded, 1)
    embedded.loop.run(rounds(doing, 200))
    (lane,) = embedded.engine.store.lanes(dead=True).result()
    assert lane.attempts == 0
    assert lane.outages > 1
    model.trouble = None
    assert embedded.loop.run(embedded.engine.retry_jobs()) == 1
    until(lambda: embedded.loop.run(embedded.engine.flush(30)))
    assert statuses(embedded) == {"success"}


def test_what_one_kind_of_work_waits_for_does_not_hold_up_another(embedded: EmbeddedEngine) -> None:
    model = Model(trouble=lambda request: OUTAGES["down"] if request.purpose.job == "learn" else {"fine": True})
    doing = worker(embedded, model)
    record(embedded, 4)
    embedded.loop.run(rounds(doing, 60))
    assert statuses(embedded) == {"success"}
    assert doing.held_up("learn") == "the model cannot be reached"
    assert doing.held_up("observe") == ""
    model.trouble = None
    until(lambda: embedded.loop.run(embedded.engine.flush(30)))
    assert learned(embedded) == ["issue_refund"]


def test_a_flush_during_an_outage_says_why(embedded: EmbeddedEngine) -> None:
    worker(embedded, Model(trouble=OUTAGES["down"]), backoff=1000.0, longest_probe=1000.0)
    record(embedded, 6)
    for number in range(6):
        session = embedded.loop.run(embedded.engine.find_session(f"key-{number}"))
        done = embedded.loop.run(embedded.engine.flush_session(session.id))
        assert (done.status, done.errmsg) == (500, "the model cannot be reached")


def test_learning_from_files_ends_during_an_outage(embedded: EmbeddedEngine) -> None:
    model = Model(trouble=OUTAGES["down"])
    worker(embedded, model, backoff=1000.0, longest_probe=1000.0)
    record(embedded, 30)
    embedded.loop.run(embedded.engine.drain())
    assert 1 <= model.asked <= 4  # as many as are under way when it begins


# ------------------------------------------------------------------------------------------------ verdicts


def claim(**fields: Any) -> Claim:
    return Claim(kind="observe", key="s1", owner="w", token=1, **fields)


@pytest.mark.parametrize(
    "error",
    [LearningUnavailable("x"), StoreUnavailable("x"), TimeoutError(), ConnectionError(), BudgetSpent("x")],
    ids=lambda error: type(error).__name__,
)
def test_these_are_outages(error: Exception) -> None:
    verdict = judge(claim(attempts=7), error, WorkerSettings())
    assert (verdict.outage, verdict.dead) == (True, False)


@pytest.mark.parametrize(
    "error", [InvalidAnswer("x"), PromptTooLong("x"), Refused("x"), ValueError("x"), KeyError("x")]
)
def test_these_are_failures(error: Exception) -> None:
    assert judge(claim(attempts=7), error, WorkerSettings()).dead
    verdict = judge(claim(attempts=6), error, WorkerSettings())
    assert (verdict.outage, verdict.dead) == (False, False)


def test_work_waits_as_long_as_it_was_asked_to() -> None:
    for error in (LearningUnavailable("x", retry_after=500), InvalidAnswer("x", retry_after=500)):
        assert 500 <= judge(claim(), error, WorkerSettings()).retry_in <= 550
    for odd in (float("nan"), float("inf"), -5.0, "soon", None):
        error = LearningUnavailable("x")
        error.retry_after = odd  # type: ignore[assignment]
        assert 0 < judge(claim(), error, WorkerSettings()).retry_in <= 1.0
    forever = LearningUnavailable("x", retry_after=1e12)
    assert judge(claim(), forever, WorkerSettings()).retry_in <= 86_400 * 1.1


def test_waiting_grows_up_to_a_limit() -> None:
    settings = WorkerSettings()
    for count in (0, 3, 10, 1000):
        outage = judge(claim(outages=count), LearningUnavailable("x"), settings).retry_in
        failure = judge(claim(attempts=count), ValueError("x"), settings).retry_in
        assert min(2**count, 60) * 0.5 <= outage <= min(2 ** min(count, 9), 60)
        assert min(2**count, 300) * 0.5 <= failure <= min(2 ** min(count, 9), 300)


def test_a_spent_budget_is_waited_for_as_long_as_it_takes() -> None:
    old = claim(outages=50, failing_since=0.0)
    verdict = judge(old, BudgetSpent("x", retry_after=3600), WorkerSettings())
    assert (verdict.dead, verdict.outage) == (False, True)
    assert 3600 <= verdict.retry_in <= 3960
    assert judge(old, LearningUnavailable("x"), WorkerSettings()).dead


def test_a_reason_is_one_line_and_names_no_words_of_others() -> None:
    assert reason_of(LearningUnavailable("two\nlines " + "x" * 900)).startswith("two lines x")
    assert len(reason_of(LearningUnavailable("x" * 900))) == 300
    assert reason_of(ValueError("said by a user")) == "ValueError"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_breaker_opens_probes_ever_less_often_and_closes(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    breaker = CircuitBreaker("observe", first=1.0, longest=8.0, clock=clock)
    error = LearningUnavailable("away")
    assert (breaker.is_open, breaker.wait, breaker.lets(claim())) == (False, 0.0, True)
    breaker.on_outage(claim(), error)
    assert (breaker.is_open, breaker.wait, breaker.lets(claim())) == (True, 1.0, False)
    breaker.on_outage(claim(), error)  # one that was on its way
    assert breaker.wait == 1.0
    waits = []
    for _ in range(6):
        clock.now += breaker.wait
        breaker.probes_with(claim())
        assert breaker.wait == float("inf")
        assert breaker.lets(claim())
        breaker.on_outage(claim(), error)
        waits.append(breaker.wait)
    assert 0.99 <= waits[0] <= 2.01
    assert all(3.99 <= wait <= 8.01 for wait in waits[2:])
    breaker.probe_soon()
    assert breaker.wait == pytest.approx(1.0)
    breaker.probe_now()
    assert breaker.wait == 0.0
    breaker.probes_with(claim())
    breaker.on_success(claim())
    assert (breaker.is_open, breaker.reason) == (False, "")
    breaker.on_outage(claim(), error)  # the same outage, only interrupted
    assert breaker.wait == pytest.approx(8.0)
    assert len(caplog.records) == 1
    clock.now += 1000
    breaker.probes_with(claim())
    breaker.on_success(claim())
    clock.now += 1000
    breaker.on_outage(claim(), error)
    assert breaker.wait == pytest.approx(1.0)
    assert len(caplog.records) == 2


def test_a_breaker_waits_as_long_as_it_was_asked_to() -> None:
    breaker = CircuitBreaker("learn", first=1.0, longest=8.0, clock=Clock())
    breaker.on_outage(claim(), LearningUnavailable("slow down", retry_after=100))
    breaker.probe_soon()
    assert 100 <= breaker.wait <= 110


def test_a_probe_that_ends_without_telling_lets_another_find_out() -> None:
    breaker = CircuitBreaker("learn", first=1.0, longest=8.0, clock=Clock())
    breaker.on_outage(claim(), LearningUnavailable("away"))
    breaker.probe_now()
    breaker.probes_with(claim())
    breaker.probe_finished(claim())
    assert breaker.is_open
    assert breaker.wait == 0.0
