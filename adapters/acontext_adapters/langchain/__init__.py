"""LangChain and LangGraph: `learning(graph)`, `learning(chat_model)`, a middleware and a callback handler.

Importing this loads nothing of the framework.
"""

from __future__ import annotations

from typing import Any

from acontext_plugins.learning import loaded
from acontext_plugins.runs import Runtime

__all__ = ["adapter"]


class LangChain:
    """The adapter: `learning` gives it graphs, chat models and other runnables."""

    name = "langchain"
    priority = 80

    def __init__(self) -> None:
        self._matches = (loaded("langchain_core.runnables", "Runnable"),)

    def matches(self, target: object) -> bool:
        return any(matches(target) for matches in self._matches)

    def wrap(self, target: Any, runtime: Runtime) -> Any:
        raise NotImplementedError


def adapter() -> LangChain:
    """The entry point."""
    return LangChain()
