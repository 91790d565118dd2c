"""Background work: the one event loop that an engine lives on, and how its threads let the host's run.

Python runs one thread at a time, and asks one that computes to let go only after `sys.getswitchinterval()`, 5 ms, each
time that another wants to run. Three of ours that compute at once would keep a host's event loop waiting for 15 ms.
So background work takes turns, one thread at a time, and each pauses after every millisecond of it: a loop then waits
about one. Why not in a process of its own: docs/decisions/0020-background-work-takes-turns.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from acontext_store.errors import Closed
from acontext_store.forks import LOCKS, at_fork, renewed_in_child

A = TypeVar("A")
T = TypeVar("T")

#: Seconds that a thread computes before it pauses, and for how long it pauses.
SLICE, PAUSE = 0.001, 0.0005

#: Whether what is done here is background work of a process that has better to do.
in_background: ContextVar[bool] = ContextVar("acontext_in_background", default=False)


class _Local(threading.local):
    #: When this thread pauses next; 0 where it does not take turns.
    until = 0.0
    #: How long it has computed in turns since its last pause.
    spent = 0.0


_local = _Local()
_turn = renewed_in_child(sys.modules[__name__], "_turn", threading.Lock)


def _after_fork() -> None:
    _local.until = 0.0


at_fork(LOCKS, after_in_child=_after_fork)


@contextlib.contextmanager
def cpu_turn() -> Iterator[None]:
    """Only one thread at a time is inside such a block, and not while it pauses. Never wait in it for another one."""
    if _local.spent > SLICE:
        _local.spent = 0.0
        time.sleep(PAUSE)
    _turn.acquire()
    _local.until = time.perf_counter() + SLICE - _local.spent
    try:
        yield
    finally:
        _local.spent = SLICE - (_local.until - time.perf_counter())
        _local.until = 0.0
        _turn.release()


def yield_gil() -> None:
    """Pause, where this thread takes turns and has computed for long enough. To be called in every longer loop."""
    until = _local.until
    if until and time.perf_counter() > until:
        _turn.release()
        try:
            time.sleep(PAUSE)
        finally:
            _turn.acquire()
            _local.until = time.perf_counter() + SLICE


async def run_in_thread(work: Callable[[A], T], about: A) -> T:
    """`work(about)` on a thread, since the loop has more to do; taking turns where it is background work.

    Raises Closed while Python exits, when no thread can be had.
    """
    ours = partial(_take_turn, work) if in_background.get() else work
    try:
        thought = asyncio.get_running_loop().run_in_executor(None, ours, about)
    except RuntimeError:
        raise Closed("Python is about to exit") from None
    return await thought


def _take_turn(work: Callable[[A], T], about: A) -> T:
    with cpu_turn():
        return work(about)


# ------------------------------------------------------------------------------------------ the event loop


class BackgroundEventLoop:
    """A daemon thread that runs an event loop, for callers that have none or must not lend theirs.

    A forked child must not use its parent's loop (there is no thread behind it):
    `submit` raises Closed there.
    """

    def __init__(self, name: str = "acontext") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self.cancel_others())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            with contextlib.suppress(RuntimeError):  # no threads can be started while Python exits
                self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def cancel_others(self) -> None:
        """Cancel every other task of this loop, and wait until each has ended. To be awaited on the loop itself."""
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    @property
    def alive(self) -> bool:
        """Whether work can be submitted from this process."""
        return self._thread.is_alive() and not self._loop.is_closed()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run `work` on the engine's loop; never blocks. Raises Closed after `close` and in a forked child."""
        if not self.alive:
            work.close()
            raise Closed("this client is closed, or was opened before os.fork(): open one here")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run `work` and wait for it. Must not be called on the engine's loop itself."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a blocking call on the engine's loop would wait for itself")
        future = self.submit(work)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what still runs, stop the thread. Safe to call twice, and in a forked child."""
        if not self.alive:
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=10)
