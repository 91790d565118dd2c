"""acontext-plugins: drop-in memory that learns, for any AI agent.

>>> from acontext_plugins import learning, Acontext

Importing this package loads no framework and opens nothing: names are resolved when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Acontext, AsyncAcontext
    from .errors import (
        AcontextError,
        Closed,
        Conflict,
        InvalidInput,
        NotFound,
        StoreUnavailable,
    )
    from .files.service import FileUpload
    from .learning import learning
    from .runs import current_run, report
    from .settings import Settings

__version__ = "0.1.0"

__all__ = [
    "Acontext",
    "AcontextError",
    "AsyncAcontext",
    "Closed",
    "Conflict",
    "FileUpload",
    "InvalidInput",
    "NotFound",
    "Settings",
    "StoreUnavailable",
    "current_run",
    "learning",
    "report",
]

_HOMES = {
    "Acontext": "client",
    "AsyncAcontext": "client",
    "FileUpload": "files.service",
    "Settings": "settings",
    "current_run": "runs",
    "learning": "learning",
    "report": "runs",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
