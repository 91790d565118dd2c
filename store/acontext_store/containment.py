"""Containment: whether one JSON value has all that another one says, as PostgreSQL's `jsonb @>` has it.

An object contains another where it has each of its names, with a value that contains the other's. A list contains
another where each item of that is contained in some item of its own, in any order. All else must be equal, of the same
type: `1` is `1.0`, but neither `true` nor `"1"`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from .errors import InvalidInput

#: A filter that is nested deeper than this is refused.
_DEEPEST = 100
#: So many texts are looked for before a value is looked at closely: the longest, which are the rarest.
_MOST_NEEDLES = 8


def filter_text(filter_by_configs: object) -> str:
    """The filter as JSON text. Raises InvalidInput for what is no object, or cannot be said in JSON."""
    if not isinstance(filter_by_configs, dict):
        kind = type(filter_by_configs).__name__
        raise InvalidInput(f"filter_by_configs: expected an object of names and values, found {kind}")
    try:
        text = json.dumps(filter_by_configs, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"filter_by_configs: no JSON can say it ({error})") from error
    level: list[Any] = [filter_by_configs]
    for _ in range(_DEEPEST + 1):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return text
    raise InvalidInput(f"filter_by_configs: nested more than {_DEEPEST} levels deep; ask for less of it")


def contains(whole: Any, part: Any) -> bool:
    """Whether `whole` contains `part`."""
    if isinstance(part, dict):
        if not isinstance(whole, dict):
            return False
        return all(name in whole and contains(whole[name], value) for name, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(contains(one, wanted) for one in whole) for wanted in part)
    return isinstance(whole, bool) == isinstance(part, bool) and bool(whole == part)


def contains_text(whole: str | None, part: str) -> bool:
    """The same for JSON texts; nothing at all (None) contains nothing."""
    return whole is not None and contains(json.loads(whole), _read(part))


def needles(text: str) -> list[str]:
    """Texts that occur in each compact ASCII JSON that contains this one: quicker to look for than to read it all."""
    return sorted(set(_needles(json.loads(text))) - {""}, key=len, reverse=True)[:_MOST_NEEDLES]


_read = lru_cache(maxsize=16)(json.loads)


def _needles(value: Any) -> Iterator[str]:
    named = value.items() if isinstance(value, dict) else [(None, one) for one in value]
    for name, one in named:
        prefix = "" if name is None else f"{json.dumps(name)}:"
        if isinstance(one, dict | list):
            yield prefix
            yield from _needles(one)
        else:
            yield prefix + _beginning(one)


def _beginning(value: Any) -> str:
    """What the text of every equal value begins with: of 42 and of 42.0 it is 42."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return json.dumps(value)
    if value == 0 or abs(value) >= 1e15:  # -0.0, 1e+16
        return ""
    return str(int(value)) if value == int(value) else repr(value)


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []
