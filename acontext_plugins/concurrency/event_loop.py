"""BackgroundEventLoop: the one thread and event loop that an embedded engine lives on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from acontext_store.errors import Closed

T = TypeVar("T")


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
