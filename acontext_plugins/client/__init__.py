"""The clients: `Acontext`, and its asynchronous twin. Names are resolved when they are first used.

Light on purpose: an agent's first run imports `client.background`, on its event loop.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .asynchronous import AsyncAcontext
    from .sync import Acontext

__all__ = ["Acontext", "AsyncAcontext"]

_MODULES = {"Acontext": "sync", "AsyncAcontext": "asynchronous"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
