"""OpenAI Agents SDK: `learning(agent)`, and a `Runner` that knows every outcome.

Importing this loads nothing of the SDK: `Runner` and `hooks` are resolved when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acontext_plugins.extras import resolve
from acontext_plugins.learning import loaded
from acontext_plugins.runs import Runtime

if TYPE_CHECKING:
    from .runner import Runner
    from .wrap import hooks

__all__ = ["Runner", "adapter", "hooks"]

_HOMES = {"Runner": "runner", "hooks": "wrap"}


class OpenAIAgentsAdapter:
    """The adapter: `learning` gives it agents."""

    name = "openai-agents"
    priority = 100
    has_catalogs = True

    def __init__(self) -> None:
        self._is_agent = loaded("agents", "Agent")

    def matches(self, target: object) -> bool:
        return self._is_agent(target)

    def wrap(self, target: Any, runtime: Runtime) -> Any:
        from .learned import wrap_agent

        return wrap_agent(target, runtime)


def adapter() -> OpenAIAgentsAdapter:
    """The entry point."""
    return OpenAIAgentsAdapter()


def __getattr__(name: str) -> object:
    globals()[name] = value = resolve(__name__, _HOMES, name)
    return value
