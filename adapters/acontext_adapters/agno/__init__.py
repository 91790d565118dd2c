"""Agno: `learning(agent)` and `learning(team)`, and a store for agno's own `learning=` slot.

Importing this loads nothing of the framework: `AcontextStore` is resolved when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acontext_plugins.extras import resolve
from acontext_plugins.learning import loaded
from acontext_plugins.runs import Runtime

if TYPE_CHECKING:
    from .store import AcontextStore

__all__ = ["AcontextStore", "adapter"]

_HOMES = {"AcontextStore": "store"}


class AgnoAdapter:
    """The adapter: `learning` gives it agents and teams."""

    name = "agno"
    priority = 90
    has_catalogs = True

    def __init__(self) -> None:
        self._matches = (loaded("agno.agent", "Agent"), loaded("agno.team", "Team"))

    def matches(self, target: object) -> bool:
        return any(matches(target) for matches in self._matches)

    def wrap(self, target: Any, runtime: Runtime) -> Any:
        from .wrap import wrap

        return wrap(target, runtime)


def adapter() -> AgnoAdapter:
    """The entry point."""
    return AgnoAdapter()


def __getattr__(name: str) -> object:
    globals()[name] = value = resolve(__name__, _HOMES, name)
    return value
