"""Which tests start processes of their own: those are slow, whoever wrote them, and no list has to be kept.

A Python process of ours needs a second before its first line runs. So a test from whose code (its function, its
fixtures, the helpers in tests that they name) `subprocess` or `multiprocessing` can be reached gets the marker `slow`
when it is collected. What this reading cannot see is caught while it happens: a test without the marker that starts
Python fails, and says so. Tests that are slow for another reason carry `@pytest.mark.slow` themselves.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import subprocess
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

_STARTERS = {"subprocess", "multiprocessing"}


class Reach:
    """What is already known of functions, so that each is read once."""

    def __init__(self) -> None:
        self._known: dict[Any, bool] = {}

    def __call__(self, thing: Any, owner: type | None = None) -> bool:
        """Whether a process may be started from there. `owner` is the class whose methods `self` has."""
        if isinstance(thing, ModuleType):
            return thing.__name__.partition(".")[0] in _STARTERS
        if isinstance(thing, type):
            if thing.__module__.partition(".")[0] in _STARTERS:
                return True
            if not thing.__module__.startswith("tests."):
                return False
            return self._once((thing, None), lambda: [(value, thing) for value in vars(thing).values()])
        inner = _inner(thing)
        function = inspect.unwrap(inner) if callable(inner) else None
        if not isinstance(function, FunctionType):
            return False
        module = function.__module__ or ""
        if module.partition(".")[0] in _STARTERS:
            return True
        if not module.startswith("tests."):
            return False
        return self._once((function, owner), lambda: _named(function, owner))

    def _once(self, key: Any, reached: Callable[[], list[tuple[Any, Any]]]) -> bool:
        if key not in self._known:
            self._known[key] = False  # a circle adds nothing
            self._known[key] = any(self(value, owner) for value, owner in reached())
        return self._known[key]


def _named(function: FunctionType, owner: type | None) -> list[tuple[Any, Any]]:
    """What a function's code names, each with the class whose methods its `self` has."""
    names = set(_names(function.__code__))
    reached: list[tuple[Any, Any]] = [
        (function.__globals__[name], None) for name in names if name in function.__globals__
    ]
    # `helpers.start()`: the attribute of a module of the tests
    for value, _ in list(reached):
        if isinstance(value, ModuleType) and value.__name__.startswith("tests."):
            reached += [(vars(value)[name], None) for name in names if name in vars(value)]
    if owner is not None:
        reached += [(found, owner) for name in names if (found := inspect.getattr_static(owner, name, None))]
    return reached


def _inner(thing: Any) -> Any:
    """The function in a method, a property, a fixture, a partial."""
    for name in ("__func__", "fget", "func", "_fixture_function"):
        inner = inspect.getattr_static(thing, name, None) if not isinstance(thing, FunctionType) else None
        if inner is not None:
            return _inner(getattr(thing, name))
    return thing


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def mark(items: list[pytest.Item]) -> None:
    """Give `slow` to all that may start processes."""
    reach = Reach()
    for item in items:
        if not isinstance(item, pytest.Function) or item.get_closest_marker("slow"):
            continue
        fixtures = [
            made.func for name in item.fixturenames for made in item._fixtureinfo.name2fixturedefs.get(name, ())
        ]
        if reach(item.function, item.cls) or any(reach(fixture) for fixture in fixtures):
            item.add_marker(pytest.mark.slow)


@contextlib.contextmanager
def none_started() -> Iterator[None]:
    """AssertionError where a Python process was started inside, by a test that is not marked `slow`."""
    started: list[str] = []

    def heard(start: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(start)
        def noted(*given: Any, **options: Any) -> Any:
            command = options.get("args") or given[1 if start is popen else 0]
            program = options.get("executable") or (command if isinstance(command, str | bytes) else command[0])
            if "python" in str(program).lower():
                started.append(str(command)[:200])
            return start(*given, **options)

        return noted

    # an audit hook would hear of each `id()` in the process, too
    popen = subprocess.Popen.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", heard(popen))
        patch.setattr(os, "posix_spawn", heard(os.posix_spawn))
        yield
    assert not started, f"starts a process and is not marked slow (tests/processes.py): {started}"
