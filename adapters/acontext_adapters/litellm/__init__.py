"""LiteLLM: a handler for the proxy, callbacks for the SDK, and `completion()`.

Importing this loads nothing of the framework.
"""

from __future__ import annotations

from typing import Any

from acontext_plugins.learning import loaded
from acontext_plugins.runs import Runtime

__all__ = ["adapter"]


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
