"""Files that go with a message: the part that names each of them."""

from __future__ import annotations

from collections.abc import Collection

from acontext_store.errors import InvalidInput
from acontext_store.types import Asset, Json

from ..formats.blob import plain
from ..formats.stored import MIME, SIZE


def attach(blob: object, file_field: str | None, format: str) -> Json:
    """The message, checked to have a part with that `file_field`. Raises InvalidInput."""
    if not file_field:
        raise InvalidInput("file_field: found nothing, expected the file_field of the part that the file belongs to")
    item = plain(blob)
    check_fields(item, format, [file_field])
    return item


def check_fields(item: Json, format: str | None, given: Collection[str]) -> None:
    """Each file has a part that names it, and each part that names one has it. Raises InvalidInput."""
    if format != "acontext":
        raise InvalidInput(f"format: found {format!r}: files go with a message of the format 'acontext'")
    parts = item.get("parts")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise InvalidInput("message.parts: expected a list of objects with a type")
    named = [part["file_field"] for part in parts if part.get("file_field") is not None]
    if not all(isinstance(name, str) for name in named):
        raise InvalidInput("message.parts: a file_field is text: the name of a field with a file")
    for name in named:
        if name not in given:
            raise InvalidInput(f"missing file {name}: a part of the message has it as its file_field")
    for name in given:
        if name not in named:
            raise InvalidInput(f"file {name}: no part of the message has it as its file_field")


def attached(item: Json, file_field: str, asset: Asset) -> Json:
    """The message with that file in its parts."""
    return {
        **item,
        "parts": [_named(part, asset) if part.get("file_field") == file_field else part for part in item["parts"]],
    }


def _named(part: Json, asset: Asset) -> Json:
    meta = part.get("meta") if isinstance(part.get("meta"), dict) else {}
    return {
        **part,
        "asset": asset.sha256,
        "filename": asset.filename or part.get("filename"),
        "meta": {**(meta or {}), MIME: asset.mime, SIZE: asset.size},
    }
