"""Breath: our threads take turns, pause, and leave the host's event loop alone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from acontext_plugins.concurrency import background
from acontext_plugins.concurrency.background import (
    cpu_turn,
    in_background,
    run_in_thread,
    yield_gil,
)
from acontext_plugins.errors import Closed
from acontext_plugins.service import RecallQuery, Recording, SessionRef
from acontext_store.types import Message, Part

from .conftest import OpenEngine


@pytest.fixture
def _breathless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `yield_gil()` is a pause."""
    monkeypatch.setattr(background, "SLICE", -1.0)
    monkeypatch.setattr(background, "PAUSE", 0.0)


def test_one_thread_at_a_time_computes() -> None:
    inside: list[int] = []
    most: list[int] = []

    def compute() -> None:
        for _ in range(200):
            with cpu_turn():
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=compute) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}


@pytest.mark.usefixtures("_breathless")
def test_a_pause_lets_the_next_thread_have_its_turn() -> None:
    done = threading.Event()

    def short() -> None:
        with cpu_turn():
            done.set()

    with cpu_turn():
        threading.Thread(target=short).start()
        while not done.is_set():
            yield_gil()
    assert done.is_set()


@pytest.mark.usefixtures("_breathless")
def test_outside_of_turns_nothing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background.time, "sleep", lambda seconds: pytest.fail("this paused"))
    yield_gil()


async def test_only_background_work_takes_turns() -> None:
    def takes_turns(_: object) -> bool:
        return background._turn.locked()

    assert not await run_in_thread(takes_turns, None)
    token = in_background.set(True)
    assert await run_in_thread(takes_turns, None)
    in_background.reset(token)


async def test_a_turn_ends_with_an_error() -> None:
    in_background.set(True)
    with pytest.raises(ZeroDivisionError):
        await run_in_thread(lambda number: 1 // number, 0)
    assert not background._turn.locked()


async def test_thinking_while_python_exits_is_closed() -> None:
    asyncio.get_running_loop().set_default_executor(_Gone())
    with pytest.raises(Closed):
        await run_in_thread(str, 1)


class _Gone(ThreadPoolExecutor):
    def submit(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("cannot schedule new futures after shutdown")


def test_conversions_take_turns_on_the_recorders_thread(open_engine: OpenEngine) -> None:
    embedded = open_engine()
    seen: list[tuple[str, bool]] = []

    def convert() -> list[Message]:
        seen.append((threading.current_thread().name, background._turn.locked()))
        return [Message(role="user", parts=(Part(type="text", text="hello"),))]

    embedded.engine.record(Recording(SessionRef("s"), convert))
    assert embedded.engine.recorder.flush(20)
    assert seen == [("acontext-recorder", True)]


def test_a_recall_is_one_question_on_a_thread_of_the_store(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = open_engine()
    embedded.engine.store.space_by_name("shop", create=True).result()
    asked: list[str] = []
    answer = embedded.engine.search._answer

    def note(query: RecallQuery, moment: object) -> object:
        asked.append(threading.current_thread().name)
        return answer(query, moment)  # type: ignore[arg-type]

    monkeypatch.setattr(embedded.engine.search, "_answer", note)
    embedded.loop.close()  # nothing of it is needed
    assert embedded.engine.recall_pending(RecallQuery("shop", "refund my lamp")).result(20).text == ""
    assert asked == ["acontext-store-reader-0"]


def test_a_first_run_imports_the_engine_on_another_thread() -> None:
    """On a host's event loop the imports would be a stall of hundreds of milliseconds."""
    code = (
        "import sys, threading\n"
        "from acontext_plugins import learning\n"
        "from acontext_plugins.client.background import default_connection\n"
        "client = default_connection()\n"
        "client.open = lambda: None\n"
        "learning(lambda word: word * 2, space='s')('a')\n"
        "heavy = {'sqlalchemy', 'alembic', 'pydantic_settings', 'acontext_plugins.engine.engine'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
        "assert len(client._waiting) > 0\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
