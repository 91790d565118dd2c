"""Texts that any database, any encoding and any provider takes: no half of a surrogate pair, no NUL in a name."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator

T = TypeVar("T")


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


#: A text that is a name, a key or a title.
Name = Annotated[str, BeforeValidator(valid_name)]


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
