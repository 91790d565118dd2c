"""What `learning` is given and gives back while a playback lasts: seen by the contract itself, not told by a test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from acontext_plugins.learning import learning
from acontext_plugins.runs import RunOptions, Runtime

#: Wraps a target in the manner of `learning`, with the options and the client of a runtime.
Wrap = Callable[[Any, Runtime], Any]


@dataclass(frozen=True)
class WrapCall:
    """One object that was wrapped."""

    target: Any
    options: RunOptions
    result: Any


@contextmanager
def watched_learning(instead: Callable[[Any, Runtime, Wrap], Any] | None = None) -> Iterator[list[WrapCall]]:
    """Gives a list that grows with each object that `learning` wraps.

    `instead` is asked for what the host is given: with the target, the runtime, and what wraps by the adapters.
    """
    module: Any = sys.modules[learning.__module__]  # as an attribute of its package, it is the function
    wrap_by_adapters = module._wrap
    calls: list[WrapCall] = []

    def by_adapters(target: Any, runtime: Runtime) -> Any:
        return wrap_by_adapters(target, runtime=runtime)

    def wrap(target: Any, /, *, runtime: Runtime) -> Any:
        result = by_adapters(target, runtime) if instead is None else instead(target, runtime, by_adapters)
        calls.append(WrapCall(target, runtime.options, result))
        return result

    with mock.patch.object(module, "_wrap", wrap):
        yield calls
