"""Records: what all nouns are made of, and the ids and times that they have."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from .texts import valid

Json = dict[str, Any]
Item = TypeVar("Item")


def now() -> str:
    """The current time as RFC 3339 text in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def new_id() -> str:
    """A fresh UUID (version 7, RFC 9562: ordered by time, so indexes stay compact)."""
    stamp = time.time_ns() // 1_000_000
    tail = int.from_bytes(os.urandom(10), "big")
    value = stamp << 80 | 7 << 76 | (tail >> 68) << 64 | 2 << 62 | tail & ((1 << 62) - 1)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in the usual 36 characters."""
    if len(text) != 36:
        return False
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def stable_id(*parts: str) -> str:
    """The UUID (version 5) that belongs to these words: the same words, the same id, in every process."""
    return str(uuid.uuid5(_NAMESPACE, valid("\x1f".join(parts))))


_NAMESPACE = uuid.UUID("5b2f6f0e-6d0c-5d8e-9b2e-0a6d5c0f7a11")


class Record(BaseModel):
    """A noun: frozen, and strict about its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Page(Record, Generic[Item]):
    """One page of a listing. `next_cursor` is opaque, and set only when `has_more`."""

    items: list[Item]
    next_cursor: str | None = None
    has_more: bool = False
