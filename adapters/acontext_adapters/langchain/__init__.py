"""LangChain and LangGraph: `learning(graph)`, `learning(chat_model)`, a middleware and a callback handler.

Importing this loads nothing of the framework: `AcontextMiddleware` and `AcontextCallbackHandler` are resolved when
they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acontext_plugins.extras import resolve
from acontext_plugins.learning import loaded
from acontext_plugins.runs import Runtime

if TYPE_CHECKING:
    from .handler import AcontextCallbackHandler
    from .middleware import AcontextMiddleware

__all__ = ["AcontextCallbackHandler", "AcontextMiddleware", "adapter"]

_HOMES = {"AcontextCallbackHandler": "handler", "AcontextMiddleware": "middleware"}


class LangChainAdapter:
    """The adapter: `learning` gives it graphs, chat models and other runnables."""

    name = "langchain"
    priority = 80

    def __init__(self) -> None:
        self._is_runnable = loaded("langchain_core.runnables", "Runnable")

    def matches(self, target: object) -> bool:
        return self._is_runnable(target)

    def wrap(self, target: Any, runtime: Runtime) -> Any:
        from .wrap import wrap_runnable

        return wrap_runnable(target, runtime)


def adapter() -> LangChainAdapter:
    """The entry point."""
    return LangChainAdapter()


def __getattr__(name: str) -> object:
    globals()[name] = value = resolve(__name__, _HOMES, name)
    return value
