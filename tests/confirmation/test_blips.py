"""A model that fails now and then is no outage: who waits for the work waits through it, several calls at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins import Acontext
from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.llm import Request
from acontext_plugins.observe.rules import RulesObserver
from acontext_plugins.protocols import Observation
from acontext_plugins.settings import ObserveSettings, Settings
from acontext_plugins.worker.worker import BLIPS
from acontext_store.errors import LearningUnavailable
from acontext_store.types import TaskOps

from .scripted import OUTAGES, Model, until, worker
from .test_outages import learned, record, statuses

Wait = Callable[[EmbeddedEngine], Any]


def flush(embedded: EmbeddedEngine) -> None:
    assert embedded.loop.run(embedded.engine.flush(60)) is True


def learn_from_files(embedded: EmbeddedEngine) -> None:
    embedded.loop.run(embedded.engine.drain())


def away_for(calls: int) -> Callable[[Request], Any]:
    """Nobody answers so many calls."""
    left = [calls]

    def trouble(request: Request) -> Any:
        left[0] -= 1
        return LearningUnavailable("the model cannot be reached") if left[0] >= 0 else {"fine": True}

    return trouble


@pytest.mark.parametrize("wait", [flush, learn_from_files])
@pytest.mark.parametrize("calls", [1, 2])
def test_a_blip_is_waited_through(embedded: EmbeddedEngine, wait: Wait, calls: int) -> None:
    worker(embedded, Model(trouble=away_for(calls)), concurrency=1)
    record(embedded, 6)
    wait(embedded)
    assert embedded.engine.store.lanes().result() == []
    assert learned(embedded) == ["issue_refund"]
    assert all(statuses(embedded, f"key-{number}") == {"success"} for number in range(6))


@pytest.mark.parametrize("wait", [flush, learn_from_files])
def test_where_every_third_conversation_fails_at_first_all_is_learned_at_once(
    embedded: EmbeddedEngine, wait: Wait
) -> None:
    seen: dict[str, int] = {}

    def trouble(request: Request) -> Any:
        session_id = request.purpose.session_id or ""
        number = seen.setdefault(session_id, len(seen))
        first, seen[session_id] = number >= 0, -1
        return OUTAGES["down"] if first and number % 3 == 0 else {"fine": True}

    worker(embedded, Model(trouble=trouble))
    record(embedded, 40)
    wait(embedded)
    assert embedded.engine.store.lanes().result() == []
    assert {status for n in range(40) for status in statuses(embedded, f"key-{n}")} == {"success"}


@pytest.mark.parametrize("failing", [True, False])
def test_an_outage_is_given_up_after_a_few_tries(embedded: EmbeddedEngine, failing: bool) -> None:
    model = Model(trouble=OUTAGES["down"])
    worker(embedded, model, concurrency=1)
    record(embedded, 5)
    if failing:
        assert embedded.loop.run(embedded.engine.flush(60)) is False
    else:
        learn_from_files(embedded)
    assert 1 <= model.asked <= 2 * (BLIPS + 1)
    assert len(embedded.engine.store.lanes(dead=False).result()) == 5


def test_a_wait_that_the_model_asks_for_is_not_sat_out(embedded: EmbeddedEngine) -> None:
    model = Model(trouble=LearningUnavailable("too many requests", retry_after=300))
    worker(embedded, model, concurrency=1)
    record(embedded, 3)
    learn_from_files(embedded)
    assert embedded.loop.run(embedded.engine.flush(60)) is False
    assert model.asked == 1


def test_learning_from_files_asks_as_many_calls_at_a_time_as_the_worker_may(embedded: EmbeddedEngine) -> None:
    under_way, most = [0], [0]

    async def slowly(request: Request) -> Any:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        await asyncio.sleep(0.03)
        under_way[0] -= 1
        return {"fine": True}

    worker(embedded, Model(trouble=slowly), concurrency=3)
    record(embedded, 9)
    learn_from_files(embedded)
    assert most == [3]
    assert embedded.engine.store.lanes().result() == []


def test_who_stops_waiting_leaves_no_work_taken(embedded: EmbeddedEngine) -> None:
    begun = asyncio.Event()

    async def never(request: Request) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async def stopped() -> None:
        waiting = asyncio.create_task(embedded.engine.drain())
        await begun.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    worker(embedded, Model(trouble=never))
    record(embedded, 5)
    embedded.loop.run(stopped())
    until(lambda: all(lane.owner is None for lane in embedded.engine.store.lanes().result()))
    assert len(embedded.engine.store.lanes(dead=False).result()) == 5


def test_what_fails_by_itself_is_not_waited_for_however_soon_it_is_due_again(embedded: EmbeddedEngine) -> None:
    worker(
        embedded, Model(trouble="I would rather not."), backoff=0.000001, longest_backoff=0.000001, max_attempts=10**6
    )
    record(embedded, 2)
    assert embedded.loop.run(embedded.engine.flush(60)) is False


class Slow(RulesObserver):
    """Who waits looks several times meanwhile."""

    async def observe(self, observation: Observation) -> TaskOps:
        await asyncio.sleep(0.2)
        return await super().observe(observation)


def test_a_flush_waits_for_what_a_dead_worker_had_taken(database: Path) -> None:
    settings = Settings(url=f"sqlite:///{database}", observe=ObserveSettings(quiet=60, max_wait=60))
    with Acontext(settings=settings) as client:
        embedded = client.connection.opened()
        embedded.engine.worker._observer = Slow()
        record(embedded, 3)
        store = embedded.engine.store
        lanes = store.lanes().result()
        for lane in lanes:
            store.schedule_now(lane.kind, lane.key)
        assert len(store.claim("dead", kinds=["observe"], lease=0.5, limit=3).result()) == 3
        flush(embedded)
        assert store.lanes().result() == []
        assert {status for n in range(3) for status in statuses(embedded, f"key-{n}")} == {"success"}
