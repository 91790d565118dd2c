"""LiteLLM: a handler for the proxy, callbacks for the SDK, and `completion()`.

Importing this loads nothing of the framework.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from acontext_plugins.extras import resolve
from acontext_plugins.learning import loaded
from acontext_plugins.runs import Runtime

if TYPE_CHECKING:
    from .functions import acompletion, anthropic_messages, aresponses, completion, responses
    from .logger import AcontextLogger, install
    from .proxy import ProxyHandler, proxy_handler

__all__ = [
    "AcontextLogger",
    "ProxyHandler",
    "acompletion",
    "adapter",
    "anthropic_messages",
    "aresponses",
    "completion",
    "install",
    "proxy_handler",
    "responses",
]

_HOMES = {
    "AcontextLogger": "logger",
    "ProxyHandler": "proxy",
    "acompletion": "functions",
    "anthropic_messages": "functions",
    "aresponses": "functions",
    "completion": "functions",
    "install": "logger",
    "proxy_handler": "proxy",
    "responses": "functions",
}


class LiteLLMAdapter:
    """The adapter: `learning` gives it routers, and LiteLLM's functions."""

    name = "litellm"
    priority = 60

    def __init__(self) -> None:
        self._is_router = loaded("litellm", "Router")

    def matches(self, target: object) -> bool:
        if self._is_router(target):
            return True
        if "litellm" not in sys.modules or not callable(target):
            return False
        from .functions import is_function

        return is_function(target)

    def wrap(self, target: Any, runtime: Runtime) -> Any:
        from .functions import mark_of, wrapped
        from .router import with_memory

        known = mark_of(target)
        if known is not None:
            if known.runtime.same_as(runtime):
                return target
            target = known.original
        if self._is_router(target):
            return with_memory(target, runtime)
        return wrapped(target, target.__name__, runtime)


def adapter() -> LiteLLMAdapter:
    """The entry point."""
    return LiteLLMAdapter()


def __getattr__(name: str) -> object:
    return resolve(__name__, _HOMES, name)
