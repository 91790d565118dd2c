"""Run registry: which run a hook speaks of, whoever attached it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

from agents import Agent, RunContextWrapper
from agents.tool_context import ToolContext

from acontext_plugins.concurrency.caches import SharedCache
from acontext_plugins.runs import Runtime, current_run
from acontext_store.forks import renewed_in_child

from ..shared.resent_history import Conversations
from ..shared.users import user_in
from .calls import is_own
from .run_tracker import AgentsRunTracker, current_call, trace_id

_INTERRUPTED = 1024


class RunRegistry:
    """Finds the watch that a hook speaks of.

    The contexts that hooks are given differ, but those of one run share their `usage`; so do those of an agent run
    as a tool inside of it, which are told apart by the agent, the call ids and the context of the model's calls.
    """

    def __init__(self) -> None:
        self.conversations = Conversations()
        #: Sessions by the id of a response, for hosts that go on from one (`previous_response_id`).
        self.responses: SharedCache[str, str] = SharedCache(4096)
        self._by_context: weakref.WeakKeyDictionary[RunContextWrapper[Any], AgentsRunTracker] = (
            weakref.WeakKeyDictionary()
        )
        self._by_usage: dict[int, list[AgentsRunTracker]] = {}
        self._interrupted: SharedCache[str, AgentsRunTracker] = SharedCache(_INTERRUPTED)
        #: Runs that may wait for approval by the ids of their calls: where nobody says whether they do.
        self._alone: weakref.WeakValueDictionary[str, AgentsRunTracker] = weakref.WeakValueDictionary()
        self._lock = renewed_in_child(self, "_lock", threading.RLock)

    # -- finding
    def started(self, context: RunContextWrapper[Any], agent: Agent[Any], runtime: Runtime) -> AgentsRunTracker:
        """An agent starts: a new run, or one that goes on after a handoff or a resume."""
        there = self._by_usage.get(id(context.usage), [])
        for tracker in reversed(there):
            opened_by = tracker.opened_by() if tracker.opened_by is not None else None
            if tracker.expected is agent or opened_by is context:
                tracker.expected, tracker.agent, tracker.started = None, agent, True
                return tracker
        call = current_call.get()
        if call is not None and call.tracker is not None and not there and call.awaits(agent):
            tracker = call.tracker
        else:
            tracker = AgentsRunTracker(runtime, agent, context.turn_input)
            tracker.principal = user_in(context.context)
            around = current_run()
            tracker.parent = next((one for one in there if one.run is around), there[0] if there else None)
        tracker.agent, tracker.started, tracker.expected = agent, True, None
        tracker.opened_by = weakref.ref(context)
        self._place(tracker, context.usage)
        return tracker

    def speaking(self, context: RunContextWrapper[Any], agent: Agent[Any], runtime: Runtime) -> AgentsRunTracker:
        """The model is about to be called, or has been: the run's own context tells exactly."""
        bound = self._by_context.get(context)
        if bound is not None:
            return bound
        there = self._by_usage.get(id(context.usage), [])
        unbound = [tracker for tracker in there if tracker.context is None]
        unbound = [tracker for tracker in unbound if tracker.agent is agent] or unbound[-1:]
        unbound = [tracker for tracker in unbound if _same(tracker.turn_input, context.turn_input)] or unbound
        tracker = unbound[0] if unbound else self.started(context, agent, runtime)
        tracker.context = weakref.ref(context)
        tracker.turn_input = tracker.turn_input or list(context.turn_input)
        call_id = getattr(context, "tool_call_id", None)
        if tracker.parent is not None and tracker.run is None and call_id is not None:
            tracker.parent_call_id = call_id
            tracker.parent = next((one for one in there if one is not tracker and call_id in one.calls), tracker.parent)
        self._by_context[context] = tracker
        return tracker

    def working(
        self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Any, runtime: Runtime
    ) -> AgentsRunTracker | None:
        """A tool starts or ends."""
        call_id = getattr(context, "tool_call_id", None) if is_own(context, tool) else None
        there = self._by_usage.get(id(context.usage), [])
        if call_id is None and (bound := self._by_context.get(context)) is not None:
            return bound
        for tracker in reversed(there):
            if call_id in tracker.calls:
                return tracker
        waiting = self._waiting(call_id) if call_id is not None else None
        if waiting is not None:
            self.resume(waiting, context.usage)
            return waiting
        call = current_call.get()
        if call is not None and call.tracker is not None and not there and call.awaits(agent):
            call.tracker.agent, call.tracker.started, call.tracker.expected = agent, True, agent
            self._place(call.tracker, context.usage)
            return call.tracker
        if call_id is None or there:
            return there[-1] if there and call_id is None else None
        tracker = AgentsRunTracker(runtime, agent, context.turn_input)
        tracker.principal = user_in(context.context)
        tracker.expected, tracker.started = agent, True
        self._place(tracker, context.usage)
        self.from_elsewhere(tracker)
        return tracker

    def calling(self, context: ToolContext[Any]) -> AgentsRunTracker | None:
        """The run whose model has called the tool that is running with this context."""
        there = self._by_usage.get(id(context.usage), [])
        return next((tracker for tracker in reversed(there) if context.tool_call_id in tracker.calls), None)

    def from_elsewhere(self, tracker: AgentsRunTracker) -> None:
        """A run goes on that another process has begun: its first sign here is a tool, or what it has made already."""
        tracker.from_elsewhere = True
        tracker.begin(self.conversations)
        if tracker.named:
            tracker.said = True
        else:
            tracker.say()

    def ending(self, context: RunContextWrapper[Any], agent: Agent[Any]) -> AgentsRunTracker | None:
        """The final output is there."""
        there = self._by_usage.get(id(context.usage), [])
        for tracker in there:
            bound = tracker.context() if tracker.context is not None else None
            if bound is not None and bound.turn_input is context.turn_input:
                return tracker
        ending = next((tracker for tracker in reversed(there) if tracker.agent is agent), None)
        if ending is None or (ending.run is None and ending.call is None):
            # a run went on that needed neither a model nor a tool any more: a person rejected what it was waiting for
            before = self.interrupted_in(trace_id())
            if before is not None and ending is not None:
                return self.replace(ending, before, context)
            if before is not None:
                self.resume(before, context.usage)
                before.expected, before.started = None, True
                return before
        return ending

    def interrupted(self, call_ids: Iterable[str]) -> AgentsRunTracker | None:
        """The run that waits for approval of one of these calls."""
        return next((tracker for call_id in call_ids if (tracker := self._waiting(call_id))), None)

    def ended_at_once(self, trace_id: str, error: BaseException | None) -> AgentsRunTracker | None:
        """The run that waited for a person, went on, and failed before any hook could tell of it."""
        data = getattr(error, "run_data", None)
        before = self.interrupted_in(trace_id) if data is not None else None
        if data is None or before is None or not before.calls.decided(data.context_wrapper):
            return None
        self.resume(before, None)
        return before

    def _waiting(self, call_id: str) -> AgentsRunTracker | None:
        waiting = self._interrupted.get(call_id)
        if waiting is None and (alone := self._alone.get(call_id)) is not None and call_id in alone.calls:
            waiting = alone
        return waiting

    def interrupted_in(self, trace_id: str) -> AgentsRunTracker | None:
        """The run that waits for approval, by its trace: a run that goes on goes on in the same one."""
        if not trace_id:
            return None
        waiting = [tracker for tracker in self._interrupted.values() if tracker.trace_id == trace_id]
        return waiting[0] if waiting and all(tracker is waiting[0] for tracker in waiting) else None

    def responded(self, tracker: AgentsRunTracker, response_id: str | None) -> None:
        """A run has been given a response."""
        if tracker.alone:
            for call_id in tracker.calls.open:
                self._alone[call_id] = tracker
        if response_id and tracker.run is not None:
            self._belongs(response_id, tracker.run.session.key)

    def _belongs(self, response_id: str, session_key: str) -> None:
        """A response belongs to a session; one that two sessions have (a fake id) belongs to none."""
        known = self.responses.get(response_id, session_key)
        self.responses[response_id] = session_key if known == session_key else ""

    # -- placing
    def _place(self, tracker: AgentsRunTracker, usage: Any) -> None:
        key = id(usage)
        tracker.usage = key
        trackers = self._by_usage.get(key)
        if trackers is None:
            trackers = self._by_usage[key] = []
            weakref.finalize(usage, self._by_usage.pop, key, None).atexit = False
        trackers.append(tracker)

    def resume(self, tracker: AgentsRunTracker, usage: Any | None) -> None:
        """An interrupted run goes on, with a context of its own."""
        self._remove(tracker)
        if tracker.run is not None:
            tracker.run.reopen()
        tracker.context = None
        tracker.finished = False
        tracker.expected = tracker.agent
        if usage is not None:
            self._place(tracker, usage)

    def replace(
        self, tracker: AgentsRunTracker, by: AgentsRunTracker, context: RunContextWrapper[Any]
    ) -> AgentsRunTracker:
        """What looked like a new run is an interrupted one that goes on."""
        call, traced = tracker.call, tracker.traced
        self._remove(tracker)
        self.resume(by, context.usage)
        by.call, by.traced, by.expected, by.started = call, traced, None, True
        by.context = weakref.ref(context)
        self._by_context[context] = by
        return by

    def _remove(self, tracker: AgentsRunTracker) -> None:
        if tracker.usage is not None:
            trackers = self._by_usage.get(tracker.usage, [])
            if tracker in trackers:
                trackers.remove(tracker)
            tracker.usage = None
        bound = tracker.context() if tracker.context is not None else None
        if bound is not None:
            self._by_context.pop(bound, None)

    # -- ending
    def end(
        self,
        tracker: AgentsRunTracker,
        error: BaseException | None = None,
        *,
        reason: str | None = None,
        interrupted: bool = False,
    ) -> None:
        """Say how a run ended, and forget it (unless it is going to be resumed)."""
        with tracker.runtime.guard("end"):
            if tracker.run is None and tracker.started:
                tracker.begin(self.conversations)
            if tracker.started:
                tracker.end(error, reason=reason, interrupted=interrupted)
                tracker.remember(self.conversations)
        self._remove(tracker)
        with self._lock:
            for call_id in [call_id for call_id, known in self._interrupted.items() if known is tracker]:
                del self._interrupted[call_id]
            if tracker.run is not None and tracker.run.ended == "interrupted":
                for call_id in tracker.calls.open:
                    self._interrupted[call_id] = tracker

    def __len__(self) -> int:
        return len(self._by_context) + sum(map(len, self._by_usage.values()))


registry = RunRegistry()


def _same(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    return len(ours) == len(theirs) and all(a is b for a, b in zip(ours, theirs, strict=True))
