"""Deltas: the pieces of a streamed answer put together, whatever fields they have.

A field that no version of ours knows is kept like any other: what a provider says beside the words (signatures,
citations, encrypted thoughts) is what it wants back.
"""

from __future__ import annotations

from typing import Any

from acontext_store.types import Json

#: Fields that name a thing: they are repeated, where others go on.
_NAMES = frozenset("type id index format role name kind object model status mime_type media_type expires_at".split())


def merge(known: Json, delta: Json) -> None:
    """Put a piece into what is known: texts go on, objects are merged, lists grow, anything else is replaced."""
    for name, value in delta.items():
        if value is None:
            continue
        if name == "citation":  # each is whole
            known["citations"] = [*(known.get("citations") or ()), value]
        else:
            known[name] = _joined(known.get(name), value, name)


def _joined(known: Any, value: Any, name: str) -> Any:
    if isinstance(value, str) and isinstance(known, str):
        return value if name in _NAMES or name.endswith("_id") else known + value
    if isinstance(value, dict):
        both: Json = dict(known) if isinstance(known, dict) else {}
        merge(both, value)
        return both
    if isinstance(value, list):
        return _grown(list(known) if isinstance(known, list) else [], value)
    return value


def _grown(known: list[Any], pieces: list[Any]) -> list[Any]:
    for piece in pieces:
        place = _place(known, piece)
        if place is not None:
            merge(both := dict(known[place]), piece)
            known[place] = both
        elif piece not in known:
            known.append(piece)
    return known


def _place(known: list[Any], piece: Any) -> int | None:
    """Where the thing stands that this piece goes on: the one of its index and type that has no other id.

    A thought without an index goes on until it is signed.
    """
    if not isinstance(piece, dict):
        return None
    at, kind = piece.get("index"), piece.get("type")
    for place in range(len(known) - 1, -1, -1):
        one = known[place]
        if not isinstance(one, dict) or one.get("type") != kind or one.get("index") != at:
            continue
        if piece.get("id") and one.get("id") and piece["id"] != one["id"]:
            continue
        if at is not None:
            return place
        thought = str(kind).startswith(("thinking", "reasoning")) and place == len(known) - 1
        return place if thought and not one.get("signature") else None
    return None
