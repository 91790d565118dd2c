"""Value flow: where each argument of a call came from.

Recipe: an argument that the user named is a variable of the user's; one that an earlier tool result held comes from
that tool; one that stands in the system prompt is configuration; only what none of them held may ever become a
constant, and only once separate sessions agree on it (T2). The text of a result is searched, never copied.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from acontext_store.types import Message

from .tool_calls import ExecutedCall
from .user_turns import strip_injected

Kind = Literal["user", "tool", "config", "literal", "free"]

_SPACE = re.compile(r"\s+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:$|[T ])")
_MONTHS = "january february march april may june july august september october november december".split()
_COUNTED = "zero one two three four five six seven eight nine ten eleven twelve".split()
_NUMBER_WORDS = {str(number): word for number, word in enumerate(_COUNTED)}
_WORDS = re.compile(r"[^\W_]{3,}")
#: Of a text that an agent composed: how many of its words are looked up, and in how many of the results before it.
_MOST_WORDS = 200
_LATEST = 200
#: A constant is a short plain word, a small number or a truth value: too short to carry anybody's text (T1, T7).
_LITERAL = re.compile(r"[a-z][a-z_-]{0,10}", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z_$][\w$.-]{0,31}")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value came from. `tool` for kind "tool"; `literal` = a constant's text, for kind "literal"."""

    kind: Kind
    tool: str = ""
    literal: str = ""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One scalar of a call's arguments: the top-level parameter it stands under, and its value."""

    parameter: str
    nested: str
    value: object


def leaves(arguments: Mapping[str, object], *, limit: int = 200) -> list[Leaf]:
    """Every scalar in `arguments`, at most `limit`. Parameters with impossible names are left out."""
    found: list[Leaf] = []
    for parameter, value in arguments.items():
        if _KEY.fullmatch(parameter):
            for nested, scalar in _scalars(value, "", 0):
                found.append(Leaf(parameter, nested, scalar))
                if len(found) >= limit:
                    return found
    return found


def _scalars(value: object, path: str, depth: int) -> Iterator[tuple[str, object]]:
    if depth > 8:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _scalars(item, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _scalars(item, path, depth + 1)
    elif value is not None:
        yield path, value


def normal(text: str) -> str:
    """Lower case, single spaces, no thousands separators."""
    return _THOUSANDS.sub("", _SPACE.sub(" ", text.casefold())).strip()


class _Spoken:
    """Texts by the message they stand in, in order; knows where something was said first."""

    def __init__(self, texts: Iterable[tuple[int, str]]) -> None:
        self.texts = sorted(texts, key=_place)
        self._all = "\0".join(text for _, text in self.texts)
        self._starts = list(accumulate((len(text) + 1 for _, text in self.texts), initial=0))
        self._first: dict[str, int] = {}

    def first(self, needle: str) -> int:
        """The number (in `texts`) of the first text that holds it as words of its own; -1 where none does."""
        found = self._first.get(needle)
        if found is None:
            start = find(self._all, needle)
            found = self._first[needle] = -1 if start < 0 else bisect_right(self._starts, start) - 1
        return found

    def before(self, at: int) -> str:
        """All that was said before message `at`."""
        return self._all[: self._starts[bisect_left(self.texts, at, key=_place)]]

    def latest(self, at: int, most: int) -> Sequence[tuple[int, str]]:
        """The numbers and texts of the last ones before message `at`."""
        end = bisect_left(self.texts, at, key=_place)
        start = max(0, end - most)
        return [(number, text) for number, (_, text) in enumerate(self.texts[start:end], start)]


def _place(text: tuple[int, str]) -> int:
    return text[0]


class ValueFlow:
    """Knows what was said and returned, and when; answers where a value came from."""

    def __init__(self, messages: Sequence[Message], calls: Sequence[ExecutedCall]) -> None:
        self._user = _Spoken(
            (at, normal(strip_injected(message.text)))
            for at, message in enumerate(messages)
            if message.role == "user" and message.text
        )
        self._end = len(messages)
        #: What system prompts said.
        self.system = normal(" ".join(message.text for message in messages if message.role == "system"))
        answered = sorted((call for call in calls if call.result is not None), key=lambda call: call.result_at)
        #: What tools had answered, by the message that held it.
        self.results = _Spoken((call.result_at, normal(call.result or "")) for call in answered)
        self._tools = [call.tool for call in answered]

    def source(self, value: object, at: int) -> Source:
        """Where `value`, used by a call in message `at`, came from: whoever said it first."""
        if isinstance(value, bool):
            return Source("literal", literal=str(value).lower())
        text = _canonical(value)
        if not text:
            return Source("free")
        said = self._said(text, at)
        told_at, tool = self._told(text, at)
        if said >= 0 and (told_at < 0 or said <= told_at):
            return Source("user")
        if told_at >= 0:
            return Source("tool", tool)
        derived = self._derived(text, at)
        if derived is not None:
            return derived
        if holds(self.system, text) and not (_LITERAL.fullmatch(text) or len(text) <= 2):
            return Source("config")
        raw = str(value)
        if _LITERAL.fullmatch(raw) or (isinstance(value, (int, float)) and len(text) <= 4):
            return Source("literal", literal=raw)
        return Source("free")

    def is_users(self, value: object) -> bool:
        """Whether the user said it as such, in words of its own, before any tool did."""
        text = _canonical(value)
        said = self._said(text, self._end) if text else -1
        told_at, _ = self._told(text, self._end)
        return said >= 0 and (told_at < 0 or said <= told_at)

    def is_told(self, text: str) -> bool:
        """Whether a tool's result or a system prompt holds it, as words of its own."""
        found = _canonical(text)
        return bool(found) and (self.results.first(found) >= 0 or holds(self.system, found))

    def _said(self, text: str, at: int) -> int:
        """The message before `at` in which the user said it first; -1 = none."""
        numbers = [number for form in _forms(text) if (number := self._user.first(form)) >= 0]
        said_at = min((self._user.texts[number][0] for number in numbers), default=-1)
        return said_at if said_at < at else -1

    def _told(self, text: str, at: int) -> tuple[int, str]:
        """The message before `at` in which a tool told it first, and the tool; -1 = none."""
        number = self.results.first(text) if len(text) >= 3 else -1
        if number < 0 or (told_at := self.results.texts[number][0]) >= at:
            return -1, ""
        return told_at, self._tools[number]

    def _derived(self, text: str, at: int) -> Source | None:
        """A value composed of what was said or returned: "Patient/S123", a summary in the agent's own words."""
        marks = [word for word in re.findall(r"[\w@.+-]{4,}", text) if any(c.isdigit() for c in word)]
        for mark in marks[:5]:
            if self._said(mark, at) >= 0:
                return Source("user")
            told_at, tool = self._told(mark, at)
            if told_at >= 0:
                return Source("tool", tool)
        spoken = _WORDS.findall(text)[:_MOST_WORDS]
        if len(spoken) < 3:
            return None
        by_user = self._user.before(at)
        if sum(word in by_user for word in spoken) >= 0.7 * len(spoken):
            return Source("user")
        for number, told in self.results.latest(at, _LATEST):
            if sum(word in told for word in spoken) >= 0.8 * len(spoken):
                return Source("tool", self._tools[number])
        return Source("free")


def holds(haystack: str, needle: str) -> bool:
    """Whether `needle` stands in `haystack` as words of its own."""
    return find(haystack, needle) >= 0


def find(haystack: str, needle: str) -> int:
    """Where `needle` first stands in `haystack` as words of its own; -1 = nowhere."""
    start = haystack.find(needle)
    while start >= 0:
        end = start + len(needle)
        before = start == 0 or not (haystack[start - 1].isalnum() and needle[0].isalnum())
        after = end == len(haystack) or not (haystack[end].isalnum() and needle[-1].isalnum())
        if before and after:
            return start
        start = haystack.find(needle, start + 1)
    return -1


def _canonical(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return normal(str(value)).strip("#'\"` ")


def _forms(text: str) -> Iterator[str]:
    """How a person may have written it."""
    yield text
    if text in _NUMBER_WORDS:
        yield _NUMBER_WORDS[text]
    date = _ISO_DATE.match(text)
    if date:
        year, month, day = date.group(1), int(date.group(2)), int(date.group(3))
        if 1 <= month <= 12:
            name = _MONTHS[month - 1]
            for form in (name, name[:3]):
                yield f"{form} {day}"
                yield f"{day} {form}"
                yield f"{form} {day}{_ordinal(day)}"
                yield f"{day}{_ordinal(day)} of {form}"
            yield f"{month}/{day}"
            yield f"{month:02}/{day:02}"
            yield f"{day:02}.{month:02}.{year}"
    if "_" in text:
        yield text.replace("_", " ")


def _ordinal(day: int) -> str:
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
