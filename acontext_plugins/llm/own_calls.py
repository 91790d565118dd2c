"""Whether a model is being asked by this library itself: observers, learners and searches are no agents to record."""

from __future__ import annotations

from contextvars import ContextVar

#: Set while a call of ours is under way. Adapters leave such calls alone.
asking: ContextVar[bool] = ContextVar("acontext_asking", default=False)
