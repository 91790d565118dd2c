"""What comes in: turn it into plain JSON that every store can keep, or say what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from acontext_store.errors import InvalidInput
from acontext_store.records import valid
from acontext_store.types import Json

#: JSON that is nested deeper than this is refused.
DEEPEST = 100


def plain(blob: object, what: str = "message") -> Json:
    """`blob` as a dict of plain JSON values: pydantic objects dumped, lone surrogates replaced by U+FFFD.

    Raises InvalidInput for anything that is no JSON object, or is nested more than 100 levels deep.
    """
    value = _plain(blob, what, 0)
    if not isinstance(value, dict):
        raise InvalidInput(f"{what}: found {_named(blob)}, expected an object with a role (a dict or a pydantic model)")
    return value


def _plain(value: Any, what: str, depth: int) -> Any:
    if isinstance(value, str):
        return valid(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= DEEPEST:
        raise InvalidInput(f"{what}: nested more than {DEEPEST} levels deep; flatten it, or send it as text")
    if isinstance(value, dict):
        return {_key(key, what): _plain(item, what, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, what, depth + 1) for item in value]
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return _plain(_dumped(dump), what, depth)
    raise InvalidInput(f"{what}: found {_named(value)}, which is no JSON value")


def _dumped(dump: Any) -> Any:
    try:
        return dump(mode="json", exclude_none=True)
    except TypeError:
        return dump()


def _key(key: Any, what: str) -> str:
    if not isinstance(key, str):
        raise InvalidInput(f"{what}: the key {key!r} is no string")
    return valid(key)


class Foreign(NamedTuple):
    """The first thing in a message that a format does not have."""

    #: How far the format knew the message: the index of the piece (block, part), from 0; -1 = not even its role or
    #: its fields. Where no format has all of a message, the error is that of the one that got furthest.
    at: int
    #: Its place in the message, to stand behind "message": ".content[2]".
    where: str
    #: What is there, in words: "a block of type 'hologram'".
    what: str


def foreign_field(item: Json, roles: Collection[str], without: Sequence[str]) -> Foreign | None:
    """A role that the format does not have, or a field of this kind that it has no place for."""
    role = item.get("role")
    if not isinstance(role, str) or role not in roles:
        return Foreign(-1, ".role", "nothing" if role is None else found(role))
    return next((Foreign(-1, f".{name}", f"a field {name!r}") for name in without if item.get(name) is not None), None)


def foreign_piece(pieces: object, where: str, has: Callable[[Any], bool]) -> Foreign | None:
    """The first of these pieces (blocks, parts) that the format does not have."""
    for at, piece in enumerate(pieces if isinstance(pieces, list) else ()):
        if not has(piece):
            kind = piece.get("type") if isinstance(piece, dict) else None
            what = f"a block of type {kind!r}" if isinstance(kind, str) else found_keys(piece)
            return Foreign(at, f"{where}[{at}]", what)
    return None


def found_keys(piece: object) -> str:
    """How to name a piece that says no type."""
    if not isinstance(piece, dict):
        return found(piece)
    return f"an object with {', '.join(map(repr, list(piece)[:5])) or 'nothing in it'}"[:100]


def copied(value: Any) -> Any:
    """A copy that may be changed without changing the message it came from."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [copied(item) for item in value]
    return value


def _named(value: object) -> str:
    if value is None:
        return "null"
    shown = repr(value) if isinstance(value, str | int | float | bool) else ""
    return f"{type(value).__name__} {shown[:60]}".strip()


def found(value: object) -> str:
    """How to name a value in an error."""
    return _named(value)


def as_text(value: Any) -> str:
    """A JSON value as text: strings as they are, the rest as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def as_arguments(value: Any, what: str) -> str:
    """The arguments of a call as the JSON text that they are."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    raise InvalidInput(f"{what}: found {_named(value)}, expected JSON text or an object")


def text_at(blob: Json, key: str, what: str) -> str | None:
    """A field that is text or absent."""
    value = blob.get(key)
    if value is None or isinstance(value, str):
        return value
    raise InvalidInput(f"{what}.{key}: found {_named(value)}, expected text")
