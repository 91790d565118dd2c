"""Future: what every method of a store returns."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError
from typing import Any, ClassVar, Generic, TypeVar, cast
from weakref import WeakKeyDictionary, ref

from .forks import renewed_in_child

log = logging.getLogger("acontext")

T = TypeVar("T")


class Pending(Generic[T]):
    """A result that is on its way: `await pending` on an event loop, `pending.result()` in a thread.

    A future for many small writes: made and settled in about 2 us, where `concurrent.futures.Future` (which brings a
    lock and a condition of its own for each) takes 12.
    """

    __slots__ = ("_callbacks", "_error", "_state", "_value")

    def __init__(self) -> None:
        self._state = _WAITING
        self._value: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Pending[T]], object]] | None = None

    # -- who waits
    def done(self) -> bool:
        """Whether it has a result, has failed, or was cancelled."""
        return self._state >= _DONE

    def running(self) -> bool:
        """Whether work on it has begun and not ended."""
        return self._state == _RUNNING

    def cancelled(self) -> bool:
        """Whether `cancel` came before the work began."""
        return self._state == _CANCELLED

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result. Raises what the work raised, TimeoutError after `timeout` seconds, CancelledError."""
        error = self.exception(timeout)
        if error is not None:
            raise error
        return cast(T, self._value)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end of the work, and return the exception that it raised; None where it has a result.

        Raises TimeoutError after `timeout` seconds (None = wait for ever), CancelledError where it was cancelled.
        """
        if self._state < _DONE:
            event = threading.Event()
            self.add_done_callback(lambda _: event.set())
            if not event.wait(timeout):
                raise TimeoutError
        if self._state == _CANCELLED:
            raise CancelledError
        return self._error

    def add_done_callback(self, callback: Callable[[Pending[T]], object]) -> None:
        """Call it when done: on the thread that settles it, or at once where it is done already."""
        with _settling:
            if self._state < _DONE:
                if self._callbacks is None:
                    self._callbacks = [callback]
                else:
                    self._callbacks.append(callback)
                return
        callback(self)

    def cancel(self) -> bool:
        """Cancel the work, if it has not begun; True where it is cancelled."""
        with _settling:
            if self._state != _WAITING:
                return self._state == _CANCELLED
            self._state = _CANCELLED
        self._call()
        return True

    def __await__(self) -> Generator[Any, None, T]:
        if self._state < _DONE:
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = loop.create_future()
            inbox = _Inbox.of(loop)
            self.add_done_callback(lambda _: inbox.post(waiter))
            try:
                yield from waiter
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self.result()

    # -- who works
    def set_running_or_notify_cancel(self) -> bool:
        """Work begins; False where it was cancelled, so that there is none."""
        with _settling:
            if self._state == _CANCELLED:
                return False
            self._state = _RUNNING
            return True

    def set_result(self, value: T) -> None:
        """End the work with a result. Raises RuntimeError where it has ended or was cancelled."""
        self._value = value
        self._settle()

    def set_exception(self, error: BaseException) -> None:
        """End the work with an error. Raises RuntimeError where it has ended or was cancelled."""
        self._error = error
        self._settle()

    def _settle(self) -> None:
        with _settling:
            if self._state >= _DONE:
                raise RuntimeError("this is settled already")
            self._state = _DONE
        self._call()

    def _call(self) -> None:
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            try:
                callback(self)
            except Exception:
                log.exception("a callback of a pending result failed")


_WAITING, _RUNNING, _DONE, _CANCELLED = 0, 1, 2, 3
#: Guards every change of state: held for a few instructions, so one lock serves all.
_settling = renewed_in_child(sys.modules[__name__], "_settling", threading.Lock)


class _Inbox:
    """Wakes the waiters of one event loop: one call into the loop for all that are ready, not one each.

    `call_soon_threadsafe` writes to a socket, which is most of what a group commit of many small writes costs.
    """

    _all: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, _Inbox]] = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)
        self._ready: deque[asyncio.Future[None]] = deque()
        self._called = False

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Inbox:
        inbox = cls._all.get(loop)
        if inbox is None:
            inbox = cls._all[loop] = _Inbox(loop)
        return inbox

    def post(self, waiter: asyncio.Future[None]) -> None:
        """From any thread."""
        self._ready.append(waiter)
        loop = self._loop()
        if not self._called and loop is not None:
            self._called = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._called = False  # before the first is taken: what is posted from here on calls again
        while self._ready:
            waiter = self._ready.popleft()
            if not waiter.done():
                waiter.set_result(None)
