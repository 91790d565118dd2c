"""Message formats: what frameworks and providers say, to and from Message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from acontext_store.errors import InvalidInput
from acontext_store.types import Json, Message

from .acontext import from_acontext, to_acontext
from .openai_chat import from_openai, to_openai, to_openai_messages
from .openai_responses import from_response_output, from_responses, to_response_items, to_responses

__all__ = [
    "FORMATS",
    "from_acontext",
    "from_message",
    "from_messages",
    "from_openai",
    "from_response_output",
    "from_responses",
    "to_acontext",
    "to_message",
    "to_openai",
    "to_openai_messages",
    "to_response_items",
    "to_responses",
]

FORMATS = ("acontext", "openai", "openai_responses")


def to_message(blob: object, format: str = "openai", **fields: Any) -> Message:
    """What came in this format, as a Message. `fields` are set on it: id, run_id, created_at, meta.

    Raises InvalidInput that names the field, what was found there and what is accepted.
    """
    if format == "openai":
        return from_openai(blob, **fields)
    if format == "acontext":
        return from_acontext(blob, **fields)
    if format == "openai_responses":
        return from_responses(blob, **fields)
    raise _unknown(format)


def from_message(message: Message, format: str = "openai") -> Json:
    """The Message in this format: exactly what came in, where it came in the same one.

    Raises InvalidInput where it takes several items to say it; `from_messages` never does.
    """
    if format == "openai":
        return to_openai(message)
    if format == "acontext":
        return to_acontext(message)
    if format == "openai_responses":
        return to_responses(message)
    raise _unknown(format)


def from_messages(messages: Iterable[Message], format: str = "openai") -> list[Json]:
    """Messages in this format, ready to be sent: one for each, or more where the format needs more."""
    if format == "openai":
        return [item for message in messages for item in to_openai_messages(message)]
    if format == "acontext":
        return [to_acontext(message) for message in messages]
    if format == "openai_responses":
        return [item for message in messages for item in to_response_items(message)]
    raise _unknown(format)


def _unknown(format: object) -> InvalidInput:
    return InvalidInput(f"format: found {format!r}, expected one of {', '.join(FORMATS)}")
