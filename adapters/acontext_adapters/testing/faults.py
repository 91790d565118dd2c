"""Faults: our own code that raises, a database that is locked, a disk that is full, a step at a time."""

from __future__ import annotations

import contextlib
import functools
import inspect
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock


class InjectedFault(RuntimeError):
    """What a broken step raises."""


@contextmanager
def broken_step(owner: Any, name: str) -> Iterator[list[str]]:
    """While this lasts, `owner.name` raises in its own manner: when called, awaited or iterated.

    Gives a list that grows with each time that the step is reached.
    """
    reached: list[str] = []
    there = inspect.getattr_static(owner, name, None)
    if there is None:
        raise AttributeError(f"{getattr(owner, '__name__', owner)} has no step {name!r}")
    binds = type(there) if isinstance(there, staticmethod | classmethod | property) else None
    function: Any = there
    if isinstance(there, staticmethod | classmethod):
        function = there.__func__
    elif isinstance(there, property):
        function = there.fget
    words = f"{getattr(owner, '__name__', owner)}.{name} fails"

    def fail() -> None:
        reached.append(name)
        raise InjectedFault(words)

    def fails(*args: Any, **kwargs: Any) -> Any:
        fail()

    async def fails_awaited(*args: Any, **kwargs: Any) -> Any:
        fail()

    def fails_iterated(*args: Any, **kwargs: Any) -> Iterator[Any]:
        fail()
        yield

    async def fails_async_iterated(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        fail()
        yield

    instead: Any = fails
    if inspect.iscoroutinefunction(function):
        instead = fails_awaited
    elif inspect.isasyncgenfunction(function):
        instead = fails_async_iterated
    elif inspect.isgeneratorfunction(function):
        instead = fails_iterated
    if callable(function):
        instead = functools.wraps(function)(instead)
    with mock.patch.object(owner, name, binds(instead) if binds is not None else instead):
        yield reached


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another program keeps the database to itself."""
    other = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can be written beyond its first page: what a full disk is to a database.

    Pipes and sockets go on. Raises ImportError on systems without such a limit (Windows).
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.getsignal(signal.SIGXFSZ)
    with contextlib.suppress(ValueError):  # not the main thread: Python ignores the signal by itself
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGXFSZ, before)
