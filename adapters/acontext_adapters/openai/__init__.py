"""Plain OpenAI clients: `learning(OpenAI())`, whatever is called on it.

Importing this loads nothing of the framework.
"""

from __future__ import annotations

from typing import Any

from acontext_plugins.learning import loaded
from acontext_plugins.runs import Runtime

__all__ = ["adapter"]


class OpenAIClientsAdapter:
    """The adapter: `learning` gives it clients."""

    name = "openai"
    priority = 70

    def __init__(self) -> None:
        self._matches = (loaded("openai", "OpenAI"), loaded("openai", "AsyncOpenAI"))

    def matches(self, target: object) -> bool:
        return any(matches(target) for matches in self._matches)

    def wrap(self, target: Any, runtime: Runtime) -> Any:
        from .wrap import wrap_client

        return wrap_client(target, runtime)


def adapter() -> OpenAIClientsAdapter:
    """The entry point."""
    return OpenAIClientsAdapter()
