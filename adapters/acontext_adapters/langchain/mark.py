"""Marks: how an object was learned. A mark goes with every copy of its object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from acontext_plugins.runs import Runtime

from ..shared.subclass import mark_in


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """How an object was learned."""

    runtime: Runtime
    #: What has been said of it in the log, to be said once.
    said: set[str] = field(default_factory=set)


def mark_of(target: Any) -> Mark | None:
    """How it was learned; None where it was not."""
    mark = mark_in(target)
    return mark if isinstance(mark, Mark) else None
