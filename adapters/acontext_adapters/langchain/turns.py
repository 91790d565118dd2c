"""Turns: runs of which nothing is seen but the calls of a model, one by one.

The middleware alone and a learned chat model alone have no more: which conversation a call belongs to, and whether it
is the same turn of the user, is in the thread's id or in the messages themselves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from acontext_plugins.concurrency.caches import SharedCache
from acontext_plugins.runs import Run, RunKind, Runtime

from .convert import by_user
from .run_tracker import LangChainRunTracker, Scope

_OPEN = 256
#: Turns of which a call of tools is still to be answered, by scope and session.
_open: SharedCache[tuple[str, str], LangChainRunTracker] = SharedCache(_OPEN)
#: Sessions by scope and the id of a user's message: a call that is made again is known by it.
_turns: SharedCache[tuple[str, str], str] = SharedCache(4096)


class ConversationTurn:
    """One call of a model, in the run that it belongs to."""

    def __init__(self, tracker: LangChainRunTracker, place: tuple[str, str]) -> None:
        self.tracker = tracker
        self._place = place

    def keep(self) -> None:
        """The turn goes on: the next call belongs to it."""
        _open[self._place] = self.tracker

    def drop(self) -> None:
        """The turn is over."""
        _open.pop(self._place, None)

    def answered(self, messages: Sequence[BaseMessage], answers: Sequence[BaseMessage]) -> None:
        """The model has answered: the turn is over, unless it has called tools."""
        self.tracker.remember(messages, answers, calls=True)
        if self.tracker.calls.waiting:
            self.keep()
        else:
            self.drop()
            self.tracker.end()


def join(
    runtime: Runtime,
    label: str,
    kind: RunKind,
    messages: Sequence[BaseMessage],
    thread: str | None,
    user: str | None,
    around: Scope | None = None,
) -> ConversationTurn:
    """The run that a call with these messages belongs to: one that is open, or a new one."""
    scope = json.dumps([runtime.scope, user])
    newest = next((message.id for message in reversed(messages) if by_user(message)), None)
    parent: Run | None = around.tracker.run if around is not None else None
    tracker = LangChainRunTracker(runtime, label, kind=kind, principal=user)
    key = thread or runtime.options.session
    if around is not None and parent is not None:
        key = f"{parent.session.key}/{around.call_id or newest or tracker.id}"
    known = _turns.get((scope, newest)) if newest is not None else None
    if key is None:
        key = known or tracker.follow(messages)
    place = scope, key
    before = _open.get(place)
    if before is not None and not before.new_turn_in(messages):
        return ConversationTurn(before, place)
    tracker.begin(
        thread=key,
        goes_on=known == key,
        parent=parent,
        parent_call_id=around.call_id if around is not None else None,
    )
    if newest is not None:
        _turns[scope, newest] = key
    return ConversationTurn(tracker, place)


def tool_names(tools: Any) -> list[str] | None:
    """The names of tools as models are given them: objects, or dicts of providers. None = it has none."""
    names = set()
    for tool in tools or ():
        if isinstance(tool, dict):
            inner = tool.get("function")
            name = inner.get("name") if isinstance(inner, dict) else tool.get("name") or tool.get("type")
        else:
            name = tool if isinstance(tool, str) else getattr(tool, "name", None)
        if isinstance(name, str):
            names.add(name)
    return sorted(names) if names else None
