"""LiteLLM: a handler for the proxy, callbacks for the SDK, and `completion()`.

Importing this loads nothing of the framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from acontext_plugins.learning import loaded
from acontext_plugins.runs import Runtime

if TYPE_CHECKING:
    from .proxy import ProxyHandler, proxy_handler

__all__ = ["ProxyHandler", "adapter", "proxy_handler"]

_HOMES = {"ProxyHandler": "proxy", "proxy_handler": "proxy"}


class LiteLLM:
    """The adapter: `learning` gives it routers."""

    name = "litellm"
    priority = 60

    def __init__(self) -> None:
        self._matches = (loaded("litellm", "Router"),)

    def matches(self, target: object) -> bool:
        return any(matches(target) for matches in self._matches)

    def wrap(self, target: Any, runtime: Runtime) -> Any:
        raise NotImplementedError


def adapter() -> LiteLLM:
    """The entry point."""
    return LiteLLM()


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
