"""Edits: calls that the host has changed before it ran them, as the history shows that it sends with its next request.

A door that sees only calls of a model never sees a tool. But it knows what the model asked for, and what the host
says afterwards that was asked for: where the two differ, and there is a result, the host has changed the call. Where it
leaves one of several calls out, nothing has become of that one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

from cachetools import FIFOCache

from acontext_plugins.transcript.result_texts import known_text
from acontext_plugins.transcript.tool_calls import looks_like_error
from acontext_store.types import CallFate, Json

from ..shared.resent_history import Item
from .format import Piece, WireCall, WireFormat

_TOLD_BY = "the host's history"


class HostEdits:
    """The newest calls that models have asked for, until the host has shown them. Thread safe, bounded."""

    def __init__(self, most: int) -> None:
        #: By scope, session and id.
        self._asked: FIFOCache[tuple[str, str, str], WireCall] = FIFOCache(most)
        #: Answers with several calls, by scope and the id of each; and the fingerprints of answers as they were given.
        self._together: FIFOCache[tuple[str, str], Piece] = FIFOCache(most)
        self._given: FIFOCache[tuple[str, bytes], None] = FIFOCache(most)
        self._lock = threading.Lock()

    def items(self, scope: str, pieces: Sequence[Piece]) -> list[Item]:
        """The fingerprints of a history. What shows some of the calls of one answer is that answer."""
        if not self._together:
            return [piece.item for piece in pieces]
        return [self._whole(scope, piece) or piece.item for piece in pieces]

    def _whole(self, scope: str, piece: Piece) -> Item | None:
        if piece.item.kind != "call" or not piece.call_ids or (scope, piece.item.key) in self._given:
            return None
        answer = self._together.get((scope, piece.call_ids[0]))
        return answer.item if answer is not None and set(piece.call_ids) < set(answer.call_ids) else None

    def asked(self, scope: str, session_key: str, wire: WireFormat, pieces: Sequence[Piece]) -> None:
        """A model has answered with these."""
        made = [piece for piece in pieces if piece.item.kind == "call"]
        with self._lock:
            for piece in made:
                self._given[scope, piece.item.key] = None
                for call in wire.calls(piece):
                    if call.id:
                        self._asked[scope, session_key, call.id] = call
                for id in piece.call_ids if len(piece.call_ids) > 1 else ():
                    self._together[scope, id] = piece

    def seen(self, scope: str, session_key: str, wire: WireFormat, pieces: Sequence[Piece]) -> list[CallFate]:
        """The host goes on with this history: what became of the calls in it that are not as they were asked for."""
        if not self._asked:
            return []
        fates: dict[str, CallFate] = {}
        results = {id: piece for piece in pieces if piece.item.kind == "result" for id in piece.call_ids}
        for piece in pieces:
            if piece.item.kind != "call" or not any((scope, session_key, id) in self._asked for id in piece.call_ids):
                continue
            for call in wire.calls(piece):
                if call.id not in results:
                    continue
                with self._lock:
                    asked = self._asked.pop((scope, session_key, call.id), None)
                if asked is not None and (fate := _edited(asked, call)) is not None:
                    fates[call.id] = _judged(fate, *wire.result(results[call.id]))
            if self._whole(scope, piece) is not None:
                for id in self._left_out(scope, session_key, piece):
                    fates[id] = CallFate(call_id=id, status="requested", told_by=_TOLD_BY)
        return list(fates.values())

    def _left_out(self, scope: str, session_key: str, piece: Piece) -> list[str]:
        """The other calls of the answer that this shows a part of."""
        with self._lock:
            answer = self._together[scope, piece.call_ids[0]]
            others = [id for id in answer.call_ids if id not in piece.call_ids]
            return [id for id in others if self._asked.pop((scope, session_key, id), None) is not None]


def _edited(asked: WireCall, shown: WireCall) -> CallFate | None:
    name = shown.name if shown.name and shown.name != asked.name else None
    if name is None and shown.arguments == asked.arguments:
        return None
    before, after = _object(asked.arguments), _object(shown.arguments)
    if name is None and (before == after or not isinstance(after, dict)):
        return None
    arguments: Json | None = after if isinstance(after, dict) else None
    return CallFate(
        call_id=shown.id,
        status="executed",
        edited_by="host",
        name=name,
        arguments=arguments,
        told_by=_TOLD_BY,
    )


def _judged(fate: CallFate, text: str, failed: bool) -> CallFate:
    known = known_text(text)
    if known is not None:
        return fate.model_copy(update={"status": known.status, "by": known.by, "reason": known.reason})
    return fate.model_copy(update={"status": "failed"}) if failed or looks_like_error(text) else fate


def _object(arguments: str | Json) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return arguments
