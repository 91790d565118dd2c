"""What is langgraph's, told without importing it: where it was never loaded, nothing is."""

from __future__ import annotations

import functools
import sys
from typing import Any

from acontext_plugins.learning import loaded

is_graph = loaded("langgraph.pregel", "Pregel")
is_command = loaded("langgraph.types", "Command")
is_parent_command = loaded("langgraph.errors", "ParentCommand")
is_bubble_up = loaded("langgraph.errors", "GraphBubbleUp")


class HeardByGraphs:
    """A callback handler that langgraph tells of interruptions, also where langgraph is loaded later than the handler.

    It tells those that are instances of a class of its own.
    """

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return _heard(type(self))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _made, (type(self),), self.__getstate__()

    def on_interrupt(self, event: Any) -> Any:
        """Called by a graph that stops to wait."""

    def on_resume(self, event: Any) -> Any:
        """Called by a graph that goes on."""


def _made(kind: Any) -> Any:
    return kind.__new__(kind)


def _heard(kind: type) -> type:
    return _with_graphs(kind) if "langgraph.callbacks" in sys.modules else kind


@functools.cache
def _with_graphs(kind: type) -> type:
    from langgraph.callbacks import GraphCallbackHandler

    return type(kind.__name__, (kind, GraphCallbackHandler), {"__module__": kind.__module__})
