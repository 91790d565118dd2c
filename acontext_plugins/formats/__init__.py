"""Message formats: what frameworks and providers say, to and from Message."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from acontext_store.errors import InvalidInput
from acontext_store.types import Json, Message

from .acontext import from_acontext, to_acontext
from .anthropic import from_anthropic, to_anthropic, to_anthropic_messages
from .blob import Foreign, plain
from .detection import format_of, wrong_format
from .format import Format, item_by_item
from .gemini import from_gemini, to_gemini, to_gemini_contents
from .marks import lost_marks
from .openai_chat import from_openai, to_openai, to_openai_messages
from .openai_responses import from_response_output, from_responses, to_response_items, to_responses
from .registry import OURS, all_formats, find_format
from .sequence import Lost, Rules, as_it_came, ready
from .turns import Named

__all__ = [
    "FORMATS",
    "Foreign",
    "Format",
    "Rules",
    "all_formats",
    "as_it_came",
    "find_format",
    "format_of",
    "from_acontext",
    "from_anthropic",
    "from_gemini",
    "from_message",
    "from_messages",
    "from_openai",
    "from_response_output",
    "from_responses",
    "item_by_item",
    "lost_marks",
    "named_items",
    "plain",
    "read_out",
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

#: The names of ours.
FORMATS = tuple(OURS)


def to_message(blob: object, format: str = "openai", **fields: Any) -> Message:
    """Read a message in `format` as a Message. `fields` are set on it: id, run_id, created_at, meta.

    `blob` is a dict, a pydantic object, or text. Raises InvalidInput that names the field, what was found there and
    what is accepted; also for a message in another format, whose calls and blocks would be lost.

    >>> message = to_message({"role": "user", "content": "Where is my order?"}, "openai")
    >>> message.role, message.text
    ('user', 'Where is my order?')
    """
    known = find_format(format)
    if isinstance(blob, str):
        return known.read(blob, **fields)
    item = plain(blob)
    try:
        message = known.read(item, **fields)
    except InvalidInput as error:
        if wrong := wrong_format(item, known):
            raise InvalidInput(f"{error}; {wrong[1]}") from error
        raise
    if wrong := wrong_format(item, known):
        raise InvalidInput(f"message{wrong[0].where}: found {wrong[0].what}: {wrong[1]}")
    return message


def from_message(message: Message, format: str = "openai") -> Json:
    """The Message in this format: exactly what came in, where it came in the same one.

    Raises InvalidInput where it takes several items to say it; `from_messages` never does.
    """
    return find_format(format).write(message)


def from_messages(messages: Iterable[Message], format: str = "openai") -> list[Json]:
    """A conversation in this format, ready to be sent: an item for each message, or as many as the format needs."""
    return [item for _, item in named_items(messages, format)]


def named_items(messages: Iterable[Message], format: str = "openai", *, lost: list[str] | None = None) -> list[Named]:
    """A conversation in this format, each item with the id of its message.

    Pieces that the format cannot hold are named in `lost`. Raises InvalidInput for an unknown format.
    """
    said, found = read_out(messages, format)
    if lost is not None:
        lost += [line for lines in found.values() for line in lines]
    return said


def read_out(messages: Iterable[Message], format: str = "openai") -> tuple[list[Named], dict[str, list[str]]]:
    """As `named_items`, and what is left out by the id of its message, also of a message that has no item.

    What came in this format all through is given back as it came; any other conversation in a sequence that the API
    takes (`sequence`).
    """
    known = find_format(format)
    messages = list(messages)
    lost: Lost = defaultdict(list)
    rebuilt = known.rules is not None and not as_it_came(messages, known.name)
    if rebuilt and known.rules is not None:
        messages = ready(messages, known.name, known.rules, lost)
    write_all = known.write_all or item_by_item(lambda message, *, lost=None: [known.write(message)])
    unnamed: list[str] = []
    said = write_all(messages, lost=unnamed)
    if unnamed:
        for message in messages:
            write_all([message], lost=lost[message.id])
    if rebuilt and known.rules is not None:
        said = [(id, item) for id, item in said if not known.rules.is_empty(item)]
        said = known.rules.finish(said, lost) if known.rules.finish is not None else said
    return said, {id: lines for id, lines in lost.items() if lines}
