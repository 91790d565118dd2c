"""Agno: `learning(agent)` and `learning(team)`.

Importing this loads nothing of the framework.
"""

from __future__ import annotations

from typing import Any

from acontext_plugins.learning import loaded
from acontext_plugins.runs import Runtime

__all__ = ["adapter"]


class Agno:
    """The adapter: `learning` gives it agents and teams."""

    name = "agno"
    priority = 90

    def __init__(self) -> None:
        self._matches = (loaded("agno.agent", "Agent"), loaded("agno.team", "Team"))

    def matches(self, target: object) -> bool:
        return any(matches(target) for matches in self._matches)

    def wrap(self, target: Any, runtime: Runtime) -> Any:
        raise NotImplementedError


def adapter() -> Agno:
    """The entry point."""
    return Agno()
