"""Records: what all nouns are made of: the ids and times that they have, and the texts that they may hold.

Texts that any database, any encoding and any provider takes: no half of a surrogate pair, no NUL in a name.

And texts that people judge and models read: without characters that no screen shows, which carry orders past the eyes
of whoever confirms a skill. Those go where text becomes part of a skill, a title or a task, and once more where it
enters a prompt.
"""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

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


def session_id_of(project_id: str, key: str, principal: str | None = None) -> str:
    """The id of the session that the host calls `key`, and in which `principal` speaks, where it says so.

    Without a principal, a UUID is taken as an id itself, in small letters.
    """
    if principal is not None:
        return stable_id(project_id, "session of a user", json.dumps([key, principal]))
    return key.lower() if is_uuid(key) else stable_id(project_id, "session", key)


class Record(BaseModel):
    """A noun: frozen, and strict about its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Page(Record, Generic[Item]):
    """One page of a listing. `next_cursor` is opaque, and set only when `has_more`."""

    items: list[Item]
    next_cursor: str | None = None
    has_more: bool = False


# ------------------------------------------------------------------------------------------------------ texts

T = TypeVar("T")

#: Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties 16.0) and its format characters (Cf), controls other
#: than tab and line feed, noncharacters, and letters whose glyph is blank.
_UNSEEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "]+"
)
#: Ends of lines by other names, and blanks of other widths.
_LINES = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_BLANKS = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
#: Between letters of Arabic script this one is a narrow blank that readers see.
_NARROW = re.compile("(?<=[\u0620-\u06ff])\u200c(?=[\u0620-\u06ff])")


def valid(value: T) -> T:
    """The same value, halves of surrogate pairs in its texts replaced by U+FFFD; the very one where there are none.

    It looks into dicts (their keys, too), lists, tuples and records. What is nested too deeply comes back as it is.
    """
    try:
        made: T = _valid(value)
        return made
    except RecursionError:
        return value


def valid_name(value: T) -> T:
    """The same for what stands in a column of its own: without NULs, too, which PostgreSQL refuses."""
    if isinstance(value, str):
        text = valid(value)
        return text.replace("\0", "\ufffd") if "\0" in text else text  # type: ignore[return-value]
    return value


def make_valid(named: object, *fields: str) -> None:
    """Make these fields of a frozen dataclass valid: names, and JSON."""
    for field in fields:
        value = getattr(named, field)
        made = valid_name(value) if isinstance(value, str) else valid(value)
        if made is not value:
            object.__setattr__(named, field, made)


def visible(text: str) -> str:
    """The text without what nobody sees: bidi controls, zero-width and blank letters, tags, variation selectors.

    Blanks of any width become spaces, and ends of lines line feeds; a zero-width non-joiner between Arabic letters,
    which readers do see, becomes a space. The very text that came, where there is nothing to do.
    """
    if text.isascii() and (text.isprintable() or not _UNSEEN.search(text)):
        return text
    text = valid(text)
    text = _BLANKS.sub(" ", _LINES.sub("\n", text))
    return _UNSEEN.sub("", _NARROW.sub(" ", text))


#: A text that is a name, a key or a title.
Name = Annotated[str, BeforeValidator(valid_name)]
#: A text that a person may have to judge.
VisibleText = Annotated[str, BeforeValidator(valid_name), AfterValidator(visible)]


#: What holds no text; most fields of a record are such.
_BARE = frozenset({type(None), bool, int, float, bytes})


def _valid(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _paired(value)
    if kind in _BARE:
        return value
    if kind is dict:
        for name, one in value.items():
            if _valid(one) is not one or _valid(name) is not name:
                return {_valid(name): _valid(one) for name, one in value.items()}
        return value
    if kind is tuple or kind is list:
        for one in value:
            if _valid(one) is not one:
                return kind(map(_valid, value))
        return value
    return _valid_other(value)


def _valid_other(value: Any) -> Any:
    """The same for records, and for kinds of one's own of what JSON has."""
    if hasattr(type(value), "__pydantic_fields__"):  # `isinstance` of a model costs a microsecond for all that is none
        changed = {name: made for name, old in value.__dict__.items() if (made := _valid(old)) is not old}
        return value.model_copy(update=changed) if changed else value
    plain: Any = next((kind for kind in (str, dict, tuple, list) if isinstance(value, kind)), None)
    if plain is None:
        return value
    whole = plain(value)
    made = _valid(whole)
    return value if made is whole else made


def _paired(text: str) -> str:
    """Two halves that stand together are the character that they are."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class ValidTexts:
    """A dataclass whose texts are made valid as it is made: those of the fields that `_texts` names."""

    __slots__ = ()
    _texts: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        make_valid(self, *self._texts)
