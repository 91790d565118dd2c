"""Message formats: what frameworks and providers say, to and from Message."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from acontext_store.errors import InvalidInput
from acontext_store.types import Json, Message

from . import detection
from .acontext import from_acontext, to_acontext
from .anthropic import from_anthropic, to_anthropic, to_anthropic_messages
from .blob import plain
from .detection import format_of
from .gemini import from_gemini, to_gemini, to_gemini_contents
from .openai_chat import from_openai, to_openai, to_openai_messages
from .openai_responses import from_response_output, from_responses, to_response_items, to_responses
from .turns import Named

__all__ = [
    "FORMATS",
    "format_of",
    "from_acontext",
    "from_anthropic",
    "from_gemini",
    "from_message",
    "from_messages",
    "from_openai",
    "from_response_output",
    "from_responses",
    "named_items",
    "to_acontext",
    "to_anthropic",
    "to_anthropic_messages",
    "to_gemini",
    "to_gemini_contents",
    "to_message",
    "to_openai",
    "to_openai_messages",
    "to_response_items",
    "to_responses",
]

_READERS: dict[str, Callable[..., Message]] = {
    "openai": from_openai,
    "anthropic": from_anthropic,
    "gemini": from_gemini,
    "acontext": from_acontext,
    "openai_responses": from_responses,
}
FORMATS = tuple(_READERS)


def to_message(blob: object, format: str = "openai", **fields: Any) -> Message:
    """What came in this format, as a Message. `fields` are set on it: id, run_id, created_at, meta.

    Raises InvalidInput that names the field, what was found there and what is accepted; also for a message that is
    of another format: its calls and blocks would say nothing in this one.
    """
    reader = _READERS.get(format)
    if reader is None:
        raise _unknown(format)
    if isinstance(blob, str):
        return reader(blob, **fields)
    item = plain(blob)
    try:
        message = reader(item, **fields)
    except InvalidInput as error:
        if wrong := detection.wrong_format(item, format):
            raise InvalidInput(f"{error}; {wrong[1]}") from error
        raise
    if wrong := detection.wrong_format(item, format):
        raise InvalidInput(f"message{wrong[0].where}: found {wrong[0].what}: {wrong[1]}")
    return message


def from_message(message: Message, format: str = "openai") -> Json:
    """The Message in this format: exactly what came in, where it came in the same one.

    Raises InvalidInput where it takes several items to say it; `from_messages` never does.
    """
    if format == "openai":
        return to_openai(message)
    if format == "anthropic":
        return to_anthropic(message)
    if format == "gemini":
        return to_gemini(message)
    if format == "acontext":
        return to_acontext(message)
    if format == "openai_responses":
        return to_responses(message)
    raise _unknown(format)


def from_messages(messages: Iterable[Message], format: str = "openai") -> list[Json]:
    """A conversation in this format, ready to be sent: an item for each message, or as many as the format needs."""
    return [item for _, item in named_items(messages, format)]


def named_items(messages: Iterable[Message], format: str = "openai", *, lost: list[str] | None = None) -> list[Named]:
    """The same, each item with the id of its message. What the format has no place for is named in `lost`."""
    if format == "anthropic":
        return to_anthropic_messages(messages, lost=lost)
    if format == "gemini":
        return to_gemini_contents(messages, lost=lost)
    if format == "openai":
        return [(message.id, item) for message in messages for item in to_openai_messages(message, lost=lost)]
    if format == "acontext":
        return [(message.id, to_acontext(message)) for message in messages]
    if format == "openai_responses":
        return [(message.id, item) for message in messages for item in to_response_items(message, lost=lost)]
    raise _unknown(format)


def _unknown(format: object) -> InvalidInput:
    return InvalidInput(f"format: found {format!r}, expected one of {', '.join(FORMATS)}")
