"""The "acontext" format: a role and typed parts, as the HTTP interface has them."""

from __future__ import annotations

from typing import Any, get_args

from acontext_store.errors import InvalidInput
from acontext_store.types import Json, Message, Part, PartType, Role

from .blob import Foreign, as_arguments, copied, foreign_field, foreign_piece, found, plain, text_at
from .format import Format

NAME = "acontext"
_ROLES: tuple[Role, ...] = ("user", "assistant", "system")
_TYPES: tuple[str, ...] = get_args(PartType)
#: What a part of a type must have in its `meta`.
_NEEDS = {"tool-call": ("name", "arguments"), "tool-result": ("tool_call_id",), "data": ("data_type",)}
#: Fields that say something in other formats, and nothing in this one.
_NOT_OURS = ("content", "tool_calls", "function_call", "tool_call_id")


def from_acontext(blob: object, **fields: Any) -> Message:
    """`{"role", "parts": [{"type", "text"?, "meta"?}], "meta"?}` as a Message.

    Raises InvalidInput that names the field, what was found there and what is accepted.
    """
    item = plain(blob)
    role = item.get("role")
    if role not in _ROLES:
        what = "nothing" if role is None else found(role)
        raise InvalidInput(f"message.role: found {what}, expected one of {', '.join(_ROLES)}")
    pieces = item.get("parts")
    if not isinstance(pieces, list) or not pieces:
        raise InvalidInput(f"message.parts: found {found(pieces)}, expected a list of at least one part")
    parts = tuple(_part(piece, f"message.parts[{at}]") for at, piece in enumerate(pieces))
    meta = item.get("meta")
    if meta is not None and not isinstance(meta, dict):
        raise InvalidInput(f"message.meta: found {found(meta)}, expected an object")
    if role == "user" and all(part.type == "tool-result" for part in parts):
        role = "tool"
    meta = {**(meta or {}), **(fields.pop("meta", None) or {})}
    return Message(role=role, parts=parts, format=NAME, meta=meta, **fields)


def to_acontext(message: Message) -> Json:
    """A message of any format in this one."""
    item: Json = {
        "role": "user" if message.role == "tool" else message.role,
        "parts": [_rendered(part) for part in message.parts],
    }
    if message.meta:
        item["meta"] = copied(message.meta)
    return item


def foreign(item: Json) -> Foreign | None:
    """The first thing in a message that this format does not have; None where it has all."""
    if (stray := foreign_field(item, _ROLES, _NOT_OURS)) is not None:
        return stray
    pieces = item.get("parts")
    if not isinstance(pieces, list):
        return Foreign(-1, ".parts", found(pieces))
    return foreign_piece(pieces, ".parts", lambda piece: isinstance(piece, dict) and piece.get("type") in _TYPES)


def _part(piece: Any, what: str) -> Part:
    if not isinstance(piece, dict):
        raise InvalidInput(f"{what}: found {found(piece)}, expected an object with a type")
    kind = piece.get("type")
    if kind not in _TYPES:
        raise InvalidInput(f"{what}.type: found {found(kind)}, expected one of {', '.join(_TYPES)}")
    text = text_at(piece, "text", what)
    if kind == "text" and text is None:
        raise InvalidInput(f"{what}.text: found null, expected text")
    meta = piece.get("meta")
    if meta is not None and not isinstance(meta, dict):
        raise InvalidInput(f"{what}.meta: found {found(meta)}, expected an object")
    for key in _NEEDS.get(kind, ()):
        if (meta or {}).get(key) is None:
            raise InvalidInput(f"{what}.meta.{key}: found null, expected a value (a part of type {kind!r} needs it)")
    if kind == "tool-call":
        meta = {"id": "", **(meta or {})}
        meta["arguments"] = as_arguments(meta["arguments"], f"{what}.meta.arguments")
    return Part(
        type=kind,
        text=text,
        meta=meta or None,
        asset=_sha(piece.get("asset")),
        filename=text_at(piece, "filename", what),
    )


def _sha(asset: Any) -> str | None:
    """The hash of an asset, given alone or in the object that the HTTP interface has."""
    if isinstance(asset, dict):
        asset = asset.get("sha256")
    return asset if isinstance(asset, str) else None


def _rendered(part: Part) -> Json:
    item: Json = {"type": part.type}
    if part.text is not None:
        item["text"] = part.text
    if part.meta:
        item["meta"] = copied(part.meta)
    if part.asset is not None:
        item["asset"] = part.asset
    if part.filename is not None:
        item["filename"] = part.filename
    return item


ACONTEXT = Format(name=NAME, read=from_acontext, write=to_acontext, foreign=foreign)
