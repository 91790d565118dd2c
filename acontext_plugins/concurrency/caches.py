"""Caches with a bound, for several threads. Where a lock is held anyway, cachetools' own are used as they are."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, TypeVar, overload

from cachetools import FIFOCache

from acontext_store.forks import LOCKS, at_fork

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
_NOTHING = object()


class SharedCache(FIFOCache[K, V]):
    """A dict that threads may share, and that forgets what was put longest ago when it is full.

    cachetools' caches are for one thread: even their `get` fails where another thread removes the key meanwhile.
    Reading takes no lock and is no use, so that what is read is forgotten in its turn.
    """

    def __init__(self, maxsize: int) -> None:
        """`maxsize`: entries, at least 1."""
        super().__init__(maxsize)
        self._lock = threading.RLock()
        at_fork(LOCKS, after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        """A thread that is not here may have held the lock, with a key that is put or removed by half."""
        entries = list(self.items())
        super().__init__(int(self.maxsize))
        self._lock = threading.RLock()
        for key, value in entries:
            super().__setitem__(key, value)

    get = Mapping.get  # one look-up; cachetools' looks twice

    def __setitem__(self, key: K, value: V) -> None:
        with self._lock:
            super().__setitem__(key, value)

    def __delitem__(self, key: K) -> None:
        with self._lock:
            super().__delitem__(key)

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: V | T) -> V | T: ...
    def pop(self, key: K, default: Any = _NOTHING) -> Any:
        with self._lock:
            return super().pop(key) if default is _NOTHING else super().pop(key, default)

    def popitem(self) -> tuple[K, V]:
        with self._lock:
            return super().popitem()

    def clear(self) -> None:
        with self._lock:
            super().clear()
