"""An observation that is cancelled, paused or killed at any of its awaits: each message is observed exactly once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins.llm import Request
from acontext_plugins.settings import WorkerSettings
from acontext_store.errors import LeaseLost

from .observing import Watch, one_task, read, watching

WORDS = ["one", "two", "three"]
#: Far more awaits than an observation has.
MOST = 200


class Interrupted:
    """Awaits `work`, and calls `at` with the number of each await; what that returns is thrown there."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: Callable[[int], BaseException | None]) -> None:
        self.work = work
        self.at = at

    def __await__(self) -> Generator[Any, Any, Any]:
        number, error, sent = 0, None, None
        while True:
            try:
                waiting = self.work.send(sent) if error is None else self.work.throw(error)
            except StopIteration as done:
                return done.value
            number, sent = number + 1, None
            error = self.at(number)
            if error is None:
                try:
                    sent = yield waiting
                except BaseException as thrown:
                    error = thrown


async def interrupted(work: Coroutine[Any, Any, Any], at: Callable[[int], BaseException | None]) -> Any:
    return await Interrupted(work, at)


async def slow_task(request: Request) -> dict[str, Any]:
    """It takes the model a moment to answer: there is an await in the middle, too."""
    await asyncio.sleep(0)
    return one_task(request)


async def waits(watch: Watch) -> None:
    await watch.begin(space="ops")
    await watch.send(*({"role": "user", "content": word} for word in WORDS))


async def each_was_observed_once(watch: Watch) -> None:
    (task,) = await watch.tasks()
    assert task.data.get("progresses") == [f"I saw {word}" for word in WORDS]
    messages = await watch.messages()
    assert [message.task_id for message in messages] == [task.id] * len(WORDS)
    assert {message.session_task_process_status for message in messages} == {"success"}


async def test_cancelled_at_any_await(tmp_path: Path) -> None:
    async with watching(tmp_path, slow_task) as watch:
        for stop in range(1, MOST):
            await waits(watch)
            reached = []

            def at(number: int, stop: int = stop, reached: list[int] = reached) -> BaseException | None:
                reached.append(number)
                return asyncio.CancelledError() if number == stop else None

            try:
                await interrupted(watch.engine.worker.work_once(kinds=("observe",)), at)
            except asyncio.CancelledError:
                await watch.observe()
            await each_was_observed_once(watch)
            if stop not in reached:
                break
        assert 6 < stop < MOST - 1
        assert await watch.engine.store.lanes(dead=True) == []


def test_paused_at_any_await_for_longer_than_its_lease(tmp_path: Path) -> None:
    """Another worker takes over; the first one comes back, and writes nothing."""
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    short = WorkerSettings(lease=0.05, backoff=0.001, idle=0.01)
    taken_over = 0

    def stop_first(_: object) -> None:
        first.stop()

    here, there = watching(tmp_path, slow_task, worker=short), watching(tmp_path, slow_task, worker=short)
    one, other = first.run_until_complete(here.__aenter__()), second.run_until_complete(there.__aenter__())
    try:
        for stop in range(1, MOST):
            first.run_until_complete(waits(one))
            other.session_id = one.session_id
            reached = []

            def at(number: int, stop: int = stop, reached: list[int] = reached) -> None:
                reached.append(number)
                if number == stop:
                    first.stop()

            work = first.create_task(interrupted(one.engine.worker.work_once(kinds=("observe",)), at))
            work.add_done_callback(stop_first)
            first.run_forever()
            work.remove_done_callback(stop_first)
            calls = other.calls
            second.run_until_complete(until_observed(other))
            taken_over += other.calls > calls
            first.run_until_complete(asyncio.wait([work], timeout=20))
            second.run_until_complete(each_was_observed_once(other))
            assert isinstance(work.exception(), LeaseLost | None)
            if stop not in reached:
                break
        assert 6 < stop < MOST - 1
        assert taken_over > 3
    finally:
        first.run_until_complete(here.__aexit__(None, None, None))
        second.run_until_complete(there.__aexit__(None, None, None))
        first.close()
        second.close()


async def until_observed(watch: Watch) -> None:
    async with asyncio.timeout(20):
        while (await watch.engine.observing_status(watch.session_id)).observed < len(WORDS):
            await watch.engine.worker.work_once(kinds=("observe",))
            await asyncio.sleep(0.005)


CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from acontext_plugins.settings import WorkerSettings
from tests.models.observing import watching
from tests.models.test_observer_faults import interrupted, slow_task

async def main(folder, stop):
    def at(number):
        if number == stop:
            os.kill(os.getpid(), signal.SIGKILL)
    async with watching(Path(folder), slow_task, worker=WorkerSettings(lease=0.2)) as watch:
        await interrupted(watch.engine.worker.work_once(kinds=("observe",)), at)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.slow
async def test_killed_at_any_await(tmp_path: Path) -> None:
    root = str(Path(__file__).parent.parent.parent)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    for stop in range(1, MOST):
        async with watching(tmp_path, slow_task) as watch:
            await waits(watch)
        child = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", CHILD, str(tmp_path), str(stop)],
            env=environ, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert child.returncode in (0, -9), child.stderr.decode()
        async with watching(tmp_path, slow_task) as after:
            after.session_id = watch.session_id
            await until_observed(after)
            await each_was_observed_once(after)
        if child.returncode == 0:
            break
    assert 6 < stop < MOST - 1


async def test_two_workers_observe_each_message_once(tmp_path: Path) -> None:
    async with watching(tmp_path, slow_task) as one, watching(tmp_path, slow_task) as other:
        sessions = []
        for _ in range(30):
            await waits(one)
            sessions.append(one.session_id)

        async with asyncio.timeout(60):
            while await one.engine.store.next_due(kinds=["observe"]) is not None:
                await asyncio.gather(*(watch.engine.worker.work_once(kinds=("observe",)) for watch in (one, other)))
        for session_id in sessions:
            one.session_id = session_id
            await each_was_observed_once(one)
        assert one.calls + other.calls == len(sessions)
        assert min(one.calls, other.calls) > 0
        assert all(len(read(request).new) == len(WORDS) for request in (*one.llm.requests, *other.llm.requests))
