"""Format: one way of writing messages, as one object: how it is read, written, and told from others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from acontext_store.types import Json, Message

from .blob import Foreign
from .sequence import Rules
from .turns import Named


class Reader(Protocol):
    """Reads one item as a Message. `fields` are set on it: id, run_id, created_at, meta.

    Raises InvalidInput that names the field, what was found there and what is accepted.
    """

    def __call__(self, blob: object, **fields: Any) -> Message: ...


class Writer(Protocol):
    """Writes a conversation, each item with the id of its message; pieces without a place are named in `lost`."""

    def __call__(self, messages: Iterable[Message], /, *, lost: list[str] | None = None) -> list[Named]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of messages. What came in a format goes out in it exactly as it came; see `Message.native`."""

    #: What users call it by, and what `Message.format` says of a message that came in it.
    name: str
    read: Reader
    #: One message as one item. Raises InvalidInput where that takes several.
    write: Callable[[Message], Json]
    #: A conversation, where its items are more, or fewer, than its messages; None = `write`, for each.
    write_all: Writer | None = None
    #: What the API asks of a conversation that comes from other formats. None = any sequence of items is one.
    rules: Rules | None = None
    #: The first thing in an item that the format does not have. None = the format is never told by content.
    foreign: Callable[[Json], Foreign | None] | None = None
    #: The same, of a reader that takes more than the format has, such as pieces of other formats.
    foreign_to_reader: Callable[[Json], Foreign | None] | None = None


class _Items(Protocol):
    def __call__(self, message: Message, /, *, lost: list[str] | None = None) -> list[Json]: ...


def item_by_item(items_of: _Items) -> Writer:
    """The `write_all` of a format in which a message becomes one item or more, whatever stands around it."""

    def write_all(messages: Iterable[Message], /, *, lost: list[str] | None = None) -> list[Named]:
        return [(message.id, item) for message in messages for item in items_of(message, lost=lost)]

    return write_all
