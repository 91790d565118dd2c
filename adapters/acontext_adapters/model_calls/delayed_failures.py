"""Delayed failures: what comes true after a while, unless it is taken back. One thread, while there is anything."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable

from acontext_store.ending import at_end
from acontext_store.forks import HELD, at_fork

_MOST = 4096
_holds: weakref.WeakSet[DelayedFailures] = weakref.WeakSet()


class DelayedFailures:
    """Calls each function when its time has come (at the latest when the process ends), unless it is taken back."""

    def __init__(self) -> None:
        self._reset()
        _holds.add(self)
        at_fork(HELD, after_in_child=self._reset)  # the parent says it

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[object, tuple[float, Callable[[], None]]] = OrderedDict()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, name: object, seconds: float, then: Callable[[], None]) -> None:
        """Call `then` in so many seconds. What waits under the same name is replaced."""
        fresh: threading.Thread | None = None
        with self._changed:
            self._waiting[name] = time.monotonic() + seconds, then
            early = [self._waiting.popitem(last=False)[1][1]] if len(self._waiting) > _MOST else []
            if self._thread is None:
                fresh = self._thread = threading.Thread(target=self._run, name="acontext-hold", daemon=True)
            else:
                self._changed.notify()
        if fresh is not None:
            # without the lock: a thread that begins may meet a finalizer that puts something, too
            fresh.start()
        _call(early)

    def take(self, name: object) -> bool:
        """Take it back. False: there is nothing of that name (any more)."""
        with self._changed:
            taken = self._waiting.pop(name, None) is not None
            self._changed.notify()
        return taken

    def flush(self) -> None:
        """Everything comes true now."""
        with self._changed:
            due = [then for _, then in self._waiting.values()]
            self._waiting.clear()
            self._changed.notify()
        _call(due)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._thread = None
                    return
                moment = time.monotonic()
                due = [name for name, (when, _) in self._waiting.items() if when <= moment]
                calls = [self._waiting.pop(name)[1] for name in due]
                if not calls:
                    self._changed.wait(min(when for when, _ in self._waiting.values()) - moment)
            _call(calls)


def _call(calls: list[Callable[[], None]]) -> None:
    for then in calls:
        with contextlib.suppress(Exception):  # what is called guards itself; nobody is left to hear of it here
            then()


def _at_end(*, last: bool) -> None:
    for hold in list(_holds):
        hold.flush()


at_end(HELD, _at_end)
