"""Value flow: where each argument of a call came from, and which of all calls did the work.

Recipe: an argument that the user named is a variable of the user's; one that an earlier tool result held comes from
that tool; one that stands in the system prompt is configuration; only what none of them held may ever become a
constant, and only once separate sessions agree on it (T2). The text of a result is searched, never copied.

Cleaning follows the same flow backwards: it drops thoughts, errors, exact repeats with nothing changed in between, and
look-ups whose result nothing used. What failed and then worked is kept apart, as a pitfall.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import Literal

from acontext_store.types import Json, Message

from .json_shapes import change_of
from .tool_calls import TranscriptCall, effect_of
from .user_turns import TurnReader, own_words, turn_of

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


#: Letters of other scripts that look like Latin ones (the commonest of Unicode's confusables.txt, 16.0).
_LOOKS_LIKE = str.maketrans(
    "абвгеёзийкмнопрстухцчшьяіїјѕһԁԛԝαβγεικνορτυχωϲⅰⅼıſ",
    "a6bree3nnkmhonpctyxu4wbriijshdqwaByeiKvoptuxwciliS".lower(),
)


def fold(text: str) -> str:
    """Lower case, compatibility forms and accents undone, look-alikes of other scripts as Latin letters.

    As long as it keeps the places of `\\0`, it may be longer or shorter than the text.
    """
    text = text.casefold()
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKD", text)
    return "".join(char for char in plain if not unicodedata.combining(char)).translate(_LOOKS_LIKE)


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


def _person_gave(text: str) -> str:
    """What a user's turn says, pasted or not, without what a program wrote into it."""
    turn = turn_of(text)
    return f"{turn.own}\n{turn.quoted}" if turn.quoted else turn.own


class ValueFlow:
    """Knows what was said and returned, and when; answers where a value came from."""

    def __init__(self, messages: Sequence[Message], calls: Sequence[TranscriptCall]) -> None:
        self._user = _Spoken(
            (at, normal(_person_gave(message.text)))
            for at, message in enumerate(messages)
            if message.role == "user" and message.text
        )
        self._end = len(messages)
        #: What system prompts said.
        configured = (
            message.text if message.role == "system" else turn_of(message.text).program
            for message in messages
            if message.role in ("system", "user")
        )
        self.system = normal(" ".join(text for text in configured if text))
        answered = sorted((call for call in calls if call.result is not None), key=lambda call: call.result_at)
        #: What tools had answered, by the message that held it.
        self.results = _Spoken((call.result_at, normal(call.result or "")) for call in answered)
        self._tools = [call.tool for call in answered]
        #: The first result of which only the beginning is here.
        self._cut_at = min((call.result_at for call in answered if call.result_is_cut), default=self._end)
        #: The results, folded; and by constant, the first of them that holds it, however it is written.
        self._folded: str | None = None
        self._copies: dict[str, int | None] = {}

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
        if holds(self.system, text):
            return Source("config")
        raw = str(value)
        if _LITERAL.fullmatch(raw) or (isinstance(value, (int, float)) and len(text) <= 4):
            return Source("free") if self._copied(raw, at) else Source("literal", literal=raw)
        return Source("free")

    def _copied(self, raw: str, at: int) -> bool:
        """Whether a result before message `at` held it, however it was written: no constant may come from there."""
        if self._cut_at < at:
            return True  # the end of a result is not here to look at
        letters = [re.escape(char) for char in fold(raw) if char.isalnum()]
        if not letters:
            return True
        if raw not in self._copies:
            if self._folded is None:
                self._folded = fold(self.results.before(self._end))
            spelled = r"(?<![^\W_])" + r"[\W_]{0,3}".join(letters) + r"(?![^\W_])"
            found = re.search(spelled, self._folded)
            self._copies[raw] = None if found is None else self._folded.count("\0", 0, found.start())
        number = self._copies[raw]
        return number is not None and self.results.texts[number][0] < at

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


# -------------------------------------------------------------------------------- cleaning


_MARK = re.compile(r"[\w@.+-]{3,}")
_DIGIT = re.compile(r"\d")
_MOST_MARKS = 400
#: For how many calls and answers the use of a result is looked for: each is held against all that came before it.
HORIZON = 200


@dataclass(frozen=True, slots=True)
class Pitfall:
    """A call that failed, and what worked instead: the same tool with other arguments, or another tool.

    Or a call that a person did not let run as it was asked for (`by`): what they changed, or that they refused it.
    """

    tool: str
    by: str = ""
    refused: bool = False
    #: The values that the person set, by parameter.
    given: tuple[tuple[str, object], ...] = ()
    #: The person's words.
    said: str = ""
    #: The place of the call's message in the conversation.
    at: int = 0
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    instead: str = ""
    #: How the values that worked differ in kind from those that failed, by parameter, in words of ours.
    how: tuple[tuple[str, str], ...] = ()
    message_ids: tuple[str, ...] = ()
    call_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The calls that did the work, which of them change something, and what went wrong on the way."""

    calls: tuple[TranscriptCall, ...]
    writes: frozenset[int]
    pitfalls: tuple[Pitfall, ...]
    #: Tools that were tried and given up.
    abandoned: tuple[str, ...]


def clean(calls: Sequence[TranscriptCall], messages: Sequence[Message]) -> Cleaned:
    """The slice of the `calls` that ran which the end depends on; what else was asked for can only be a warning."""
    acts = [call for call in calls if effect_of(call.tool, call.arguments) not in ("thought", "finish")]
    kept = [call for call in acts if call.ran]
    worked = [call for call in kept if not call.is_error]
    uses = _Uses(worked, messages)
    writes = _writes(worked, uses)
    superseded = _superseded(worked, writes, messages)
    fresh: list[TranscriptCall] = []
    since_write: set[str] = set()
    for call in worked:
        if call.index in superseded:
            continue
        if call.index in writes:
            since_write.clear()
        elif call.canonical in since_write:
            continue
        since_write.add(call.canonical)
        fresh.append(call)
    pitfalls, abandoned = _pitfalls([call for call in acts if call.ran or call.is_error])
    pitfalls = (*_by_persons(acts), *pitfalls)
    given_up = dict.fromkeys((*abandoned, *(call.tool for call in worked if call.index in superseded)))
    return Cleaned(tuple(_slice(fresh, writes, uses)), frozenset(writes), pitfalls, tuple(given_up))


def _superseded(calls: Sequence[TranscriptCall], writes: set[int], messages: Sequence[Message]) -> set[int]:
    """Changes that the user objected to, and that were then made anew: the same tool on the same thing, otherwise."""
    found: set[int] = set()
    changes = [call for call in calls if call.index in writes]
    reader = TurnReader()
    for at, message in enumerate(messages):
        if message.role == "assistant":
            reader.agent(message)
        said = own_words(message.text) if message.role == "user" else ""
        if not said or reader.user(said) != "correction":
            continue
        place = bisect_left(changes, at, key=_at)
        before = changes[max(0, place - HORIZON) : place]
        for call in changes[place : place + HORIZON]:
            earlier = (one for one in reversed(before) if one.tool == call.tool)
            anew = next((one.index for one in earlier if _made_anew(one.arguments, call.arguments)), None)
            if anew is not None:
                found.add(anew)
    return found


def _at(call: TranscriptCall) -> int:
    return call.at


def _made_anew(before: Json, after: Json) -> bool:
    """On the same thing (a value that looks like a name or a number is the same), but not the same call."""
    same = [name for name in before.keys() & after.keys() if before[name] == after[name]]
    return before != after and any(next(marks(str(before[name])), None) for name in same)


def marks(text: str) -> Iterator[str]:
    """The pieces of `text` that tell one thing from another: of three characters or more, with a digit among them."""
    for piece in _MARK.findall(text):
        if _DIGIT.search(piece) and (len(piece) > 3 or _DIGIT.match(piece) or _DIGIT.match(piece, 2)):
            yield piece


def _writes(calls: Sequence[TranscriptCall], uses: _Uses) -> set[int]:
    found: set[int] = set()
    for call in calls:
        effect = effect_of(call.tool, call.arguments)
        if effect == "write" or (effect is None and not uses.any(call, calls)):
            found.add(call.index)
    return found


def _slice(calls: Sequence[TranscriptCall], writes: set[int], uses: _Uses) -> list[TranscriptCall]:
    """Writes, and the look-ups that something kept or said later rests on."""
    answered = uses.answered_after(max((call.at for call in calls), default=-1))
    needed: list[TranscriptCall] = []
    for call in reversed(calls):
        if call.index in writes or call.result is None or not answered or uses.any(call, needed[-HORIZON:][::-1]):
            needed.append(call)
    needed.reverse()
    return needed


class _Uses:
    """Where the results of calls were used: in later calls' arguments, or in the agent's later words."""

    def __init__(self, calls: Sequence[TranscriptCall], messages: Sequence[Message]) -> None:
        self._arguments = {call.index: _words_of(call.arguments) for call in calls}
        said = [(at, message.text) for at, message in enumerate(messages) if message.role == "assistant"]
        self._said = [(at, normal(text)) for at, text in said if text.strip()]
        self._in_words: dict[int, bool] = {}

    def answered_after(self, at: int) -> bool:
        return bool(self._said) and self._said[-1][0] > at

    def any(self, call: TranscriptCall, among: Sequence[TranscriptCall]) -> bool:
        """Whether one of the next calls of `among` (in order), or what the agent says next, holds some of its result.

        Of the calls and the answers that follow it, the first `HORIZON` are looked at.
        """
        if not call.result:
            return False
        result = normal(call.result)
        start = bisect_right(among, call.at, key=_at)
        tried: set[str] = set()
        for other in among[start : start + HORIZON]:
            for text in self._arguments[other.index]:
                if text not in tried and text in result and holds(result, text):
                    return True
                tried.add(text)
        if call.index not in self._in_words:
            self._in_words[call.index] = self._told(call, result)
        return self._in_words[call.index]

    def _told(self, call: TranscriptCall, result: str) -> bool:
        telling = set(islice(marks(result), _MOST_MARKS))
        short = result if len(result) <= 200 else ""
        start = bisect_right(self._said, call.result_at, key=_place)
        for _, said in self._said[start : start + HORIZON]:
            if (short and short in said) or any(mark in said for mark in telling):
                return True
        return False


def _words_of(arguments: Json) -> tuple[str, ...]:
    texts = (normal(str(leaf.value)).strip("#'\" ") for leaf in leaves(arguments))
    return tuple(dict.fromkeys(text for text in texts if len(text) >= 3))


def _by_persons(calls: Sequence[TranscriptCall]) -> Iterator[Pitfall]:
    """What a person changed in a call before it ran, and what they refused."""
    for call in calls:
        person = Pitfall(
            call.tool,
            by="person",
            said=call.reason,
            at=call.at,
            message_ids=(call.message_id,),
            call_ids=(call.call_id,),
        )
        if call.ran and call.edited_by == "person" and call.asked is not None:
            before, after = call.asked, call.arguments
            same_tool = call.asked_tool == call.tool
            changed = tuple(sorted(k for k in before.keys() & after.keys() if before[k] != after[k]))
            added = tuple(sorted(after.keys() - before.keys()))
            yield replace(
                person,
                tool=call.asked_tool,
                changed=changed if same_tool else (),
                how=tuple((name, words) for name in changed if (words := change_of(before[name], after[name]))),
                added=added if same_tool else (),
                removed=tuple(sorted(before.keys() - after.keys())) if same_tool else (),
                instead="" if same_tool else call.tool,
                given=tuple((name, after[name]) for name in (*changed, *added)),
            )
        elif call.fate == "refused" and call.by == "person":
            yield replace(person, refused=True)


def _pitfalls(calls: Sequence[TranscriptCall]) -> tuple[tuple[Pitfall, ...], tuple[str, ...]]:
    found: dict[tuple[str, ...], Pitfall] = {}
    abandoned: list[str] = []
    fixes = _next_successes(calls)
    for place, call in enumerate(calls):
        if not call.is_error:
            continue
        fix = fixes[place]
        instead = ""
        if fix is None:
            abandoned.append(call.tool)
            following = next((c for c in calls[place + 1 : place + HORIZON] if c.tool != call.tool), None)
            if following is None or following.is_error or effect_of(following.tool) != effect_of(call.tool):
                continue
            fix, instead = following, following.tool
        before, after = call.arguments, fix.arguments
        changed = () if instead else tuple(sorted(k for k in before.keys() & after.keys() if before[k] != after[k]))
        pitfall = Pitfall(
            tool=call.tool,
            changed=changed,
            how=tuple((name, words) for name in changed if (words := change_of(before[name], after[name]))),
            added=() if instead else tuple(sorted(after.keys() - before.keys())),
            removed=() if instead else tuple(sorted(before.keys() - after.keys())),
            instead=instead,
            message_ids=tuple(dict.fromkeys((call.message_id, fix.message_id))),
            call_ids=(call.call_id, fix.call_id),
        )
        key = (pitfall.tool, *pitfall.changed, "+", *pitfall.added, "-", *pitfall.removed, pitfall.instead)
        found.setdefault(key, pitfall)
    return tuple(found.values()), tuple(dict.fromkeys(abandoned))


def _next_successes(calls: Sequence[TranscriptCall]) -> list[TranscriptCall | None]:
    """For each call, the next one of its tool that worked."""
    found: list[TranscriptCall | None] = []
    latest: dict[str, TranscriptCall] = {}
    for call in reversed(calls):
        found.append(latest.get(call.tool))
        if not call.is_error:
            latest[call.tool] = call
    found.reverse()
    return found
