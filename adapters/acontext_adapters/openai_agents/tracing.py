"""The trace as a witness: how runs end that the hooks hear no more of, and which run a tool belongs to.

The SDK calls processors in line, in the context of the code that the span is around, and while the exception that
ends a span is still being handled.
"""

from __future__ import annotations

import sys
from contextvars import Token
from typing import Any

from agents import Span, Trace, TracingProcessor, add_trace_processor
from agents.tracing import get_current_span

from acontext_plugins.runs import Run

from .run_registry import RunRegistry
from .run_tracker import AgentsRunTracker

#: Spans around tools and calls of the model: code in there (a wrapped client, too) is part of the run.
_INSIDE = ("function", "generation", "response")


class _AgentSpan:
    __slots__ = ("handed_off", "span", "tracker")

    def __init__(self, span: Span[Any] | None, tracker: AgentsRunTracker | None) -> None:
        #: None where it began before anybody listened.
        self.span = span
        self.tracker = tracker
        #: The run goes on in another agent's span.
        self.handed_off = False


class SpanListener:
    """Links agent spans to watches; nothing of a trace is kept beyond its end, nothing is exported."""

    def __init__(self, registry: RunRegistry) -> None:
        self._desk = registry
        #: Spans that are open, and the agent span that each is inside of.
        self._owners: dict[str, _AgentSpan | None] = {}
        self._tokens: dict[str, tuple[Run, Token[Run | None]]] = {}
        #: Runs between two agents, by the trace and the span around both.
        self._between: dict[tuple[str, str | None], AgentsRunTracker] = {}
        self.relay: _Relay | None = None

    def attach(self) -> None:
        """Become one of the SDK's processors, if that is not so yet."""
        if self.relay is None:
            self.relay = _Relay(self)
            add_trace_processor(self.relay)

    def link(self, tracker: AgentsRunTracker) -> None:
        """Called in a hook: the agent span around it is this run's."""
        span = get_current_span()
        if span is None or span.started_at is None:
            return
        if span.span_id not in self._owners:
            self._catch_up(span)
        owner = self._owners.get(span.span_id)
        if owner is not None:
            owner.tracker = tracker
            tracker.traced = True

    def _catch_up(self, span: Span[Any]) -> None:
        """Somebody has replaced the SDK's processors: be one of them again, also for the run that goes on already."""
        self.relay = None
        self.attach()
        kind = span.span_data.type
        if kind == "agent":
            self._owners[span.span_id] = _AgentSpan(span, None)
        elif kind == "turn" and span.parent_id:  # the SDK has one of these around each of the agent's steps
            self._owners[span.span_id] = self._owners[span.parent_id] = _AgentSpan(None, None)

    def handed_off(self, tracker: AgentsRunTracker) -> None:
        """Called in a hook: the agent span around it will end, and the run not."""
        span = get_current_span()
        owner = self._owners.get(span.span_id) if span is not None else None
        if owner is not None and owner.tracker is tracker:
            owner.handed_off = True

    def error_at(self, tracker: AgentsRunTracker) -> dict[str, Any] | None:
        """What the agent span of this run has noted by now."""
        span = get_current_span()
        owner = self._owners.get(span.span_id) if span is not None else None
        if span is None or owner is None or owner.tracker is not tracker:
            return None
        agents_own = span if span.span_data.type == "agent" else owner.span
        return dict(agents_own.error) if agents_own is not None and agents_own.error else None

    # -- what the SDK tells
    def on_trace_end(self, trace_id: str) -> None:
        for key in [key for key in self._between if key[0] == trace_id]:
            self._desk.end(self._between.pop(key))

    def on_span_start(self, span: Span[Any]) -> None:
        kind = span.span_data.type
        if kind == "agent":
            tracker = self._between.pop((span.trace_id, span.parent_id), None)
            self._owners[span.span_id] = _AgentSpan(span, tracker)
            return
        owner = self._owners[span.span_id] = self._owners.get(span.parent_id or "")
        if kind in _INSIDE and owner is not None and owner.tracker is not None and owner.tracker.run is not None:
            run = owner.tracker.run
            self._tokens[span.span_id] = (run, run.enter())

    def on_span_end(self, span: Span[Any]) -> None:
        owner = self._owners.pop(span.span_id, None)
        entered = self._tokens.pop(span.span_id, None)
        if entered is not None:
            run, token = entered
            run.leave(token)
        if span.span_data.type != "agent" or owner is None:
            return
        error = sys.exc_info()[1]
        tracker = owner.tracker or self._desk.ended_at_once(span.trace_id, error)
        if tracker is None or tracker.call is not None:
            return  # our Runner says how it ends
        if owner.handed_off and error is None:
            self._between[span.trace_id, span.parent_id] = tracker
            return
        self._desk.end(tracker, error, reason=None if error is not None else reason_of(span.error))


class _Relay(TracingProcessor):
    """What the SDK knows of the witness. Processors cannot be taken away, so an old relay is deaf instead."""

    def __init__(self, witness: SpanListener) -> None:
        self._witness = witness

    def on_trace_start(self, trace: Trace) -> None:
        pass

    def on_trace_end(self, trace: Trace) -> None:
        if self._witness.relay is self:
            self._witness.on_trace_end(trace.trace_id)

    def on_span_start(self, span: Span[Any]) -> None:
        if self._witness.relay is self:
            self._witness.on_span_start(span)

    def on_span_end(self, span: Span[Any]) -> None:
        if self._witness.relay is self:
            self._witness.on_span_end(span)

    def shutdown(self) -> None:
        pass

    def force_flush(self) -> None:
        pass


def reason_of(error: Any) -> str | None:
    """An agent span's error in the words of the exception that is behind it."""
    if not error:
        return None
    data = error.get("data") or {}
    if error["message"] == "Max turns exceeded":
        return f"MaxTurnsExceeded: Max turns ({data.get('max_turns')}) exceeded"
    detail = data.get("error") or data.get("guardrail") or ""
    return f"{error['message']}: {detail}" if detail else str(error["message"])
