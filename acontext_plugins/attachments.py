"""Files that go with a message: the part that names each of them."""

from __future__ import annotations

from acontext_store.errors import InvalidInput
from acontext_store.types import Asset, Json

from .formats.blob import plain
from .formats.stored import MIME, SIZE


def attach(blob: object, file_field: str | None, format: str) -> Json:
    """The message, checked to have a part with that `file_field`. Raises InvalidInput."""
    if format != "acontext":
        raise InvalidInput(f"file: a message of the format {format!r} takes none; send it as 'acontext'")
    if not file_field:
        raise InvalidInput("file_field: found nothing, expected the file_field of the part that the file belongs to")
    item = plain(blob)
    parts = item.get("parts")
    fields = [part.get("file_field") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    if file_field not in fields:
        raise InvalidInput(f"file_field: no part of the message has the file_field {file_field!r}")
    missing = next((field for field in fields if field not in (None, file_field)), None)
    if missing is not None:
        raise InvalidInput(f"missing file {missing}: a part of the message has it as its file_field")
    return item


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
