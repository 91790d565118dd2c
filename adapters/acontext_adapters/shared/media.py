"""Bytes in what frameworks hand over, as JSON has them."""

from __future__ import annotations

import base64
from typing import Any

_BYTES = (bytes, bytearray, memoryview)


def as_base64(value: Any) -> str:
    """Bytes as base64 text; text, which is such already, as it is."""
    return base64.b64encode(value).decode() if isinstance(value, _BYTES) else str(value)


def as_json(value: Any) -> Any:
    """A value of any kind as JSON: bytes as base64 text, what JSON does not have as words."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, _BYTES):
        return as_base64(value)
    if isinstance(value, dict):
        return {str(key): as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    return str(value)


def media_meta(block: dict[str, Any]) -> dict[str, Any]:
    """What a part holds of a picture, a sound or a file, from the names that frameworks have for it."""
    meta = {name: as_json(value) for name, value in block.items() if value is not None}
    for name in ("base64", "content"):
        if name in meta and "data" not in meta:
            meta["data"] = meta.pop(name)
    if "mime_type" in meta:
        meta["media_type"] = meta.pop("mime_type")
    return meta
