"""Cleaning: of all that was called, what did the work.

Drops thoughts, errors, exact repeats with nothing changed in between, and look-ups whose result nothing used (a
backward slice over the value flow). What failed and then worked is kept apart, as a pitfall.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from acontext_store.types import Json, Message

from .json_shapes import change_of
from .tool_calls import ExecutedCall, effect_of
from .user_turns import asks, kind_of_turn, strip_injected
from .value_flow import holds, leaves, normal

_MARK = re.compile(r"[\w@.+-]{3,}")
_DIGIT = re.compile(r"\d")
_MOST_MARKS = 400
#: For how many calls and answers the use of a result is looked for: each is held against all that came before it.
HORIZON = 200


@dataclass(frozen=True, slots=True)
class Pitfall:
    """A call that failed, and what worked instead: the same tool with other arguments, or another tool."""

    tool: str
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

    calls: tuple[ExecutedCall, ...]
    writes: frozenset[int]
    pitfalls: tuple[Pitfall, ...]
    #: Tools that were tried and given up.
    abandoned: tuple[str, ...]


def clean(calls: Sequence[ExecutedCall], messages: Sequence[Message]) -> Cleaned:
    """The slice of `calls` that the end depends on."""
    kept = [call for call in calls if effect_of(call.tool, call.arguments) not in ("thought", "finish")]
    worked = [call for call in kept if not call.is_error]
    uses = _Uses(worked, messages)
    writes = _writes(worked, uses)
    superseded = _superseded(worked, writes, messages)
    fresh: list[ExecutedCall] = []
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
    pitfalls, abandoned = _pitfalls(kept)
    given_up = dict.fromkeys((*abandoned, *(call.tool for call in worked if call.index in superseded)))
    return Cleaned(tuple(_slice(fresh, writes, uses)), frozenset(writes), pitfalls, tuple(given_up))


def _superseded(calls: Sequence[ExecutedCall], writes: set[int], messages: Sequence[Message]) -> set[int]:
    """Changes that the user objected to, and that were then made anew: the same tool on the same thing, otherwise."""
    found: set[int] = set()
    changes = [call for call in calls if call.index in writes]
    agent_said = ""
    for at, message in enumerate(messages):
        if message.role == "assistant":
            agent_said = message.text or agent_said
        if message.role != "user" or kind_of_turn(strip_injected(message.text), asked=asks(agent_said)) != "correction":
            continue
        place = bisect_left(changes, at, key=_at)
        before = changes[max(0, place - HORIZON) : place]
        for call in changes[place : place + HORIZON]:
            earlier = (one for one in reversed(before) if one.tool == call.tool)
            anew = next((one.index for one in earlier if _made_anew(one.arguments, call.arguments)), None)
            if anew is not None:
                found.add(anew)
    return found


def _at(call: ExecutedCall) -> int:
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


def _writes(calls: Sequence[ExecutedCall], uses: _Uses) -> set[int]:
    found: set[int] = set()
    for call in calls:
        effect = effect_of(call.tool, call.arguments)
        if effect == "write" or (effect is None and not uses.any(call, calls)):
            found.add(call.index)
    return found


def _slice(calls: Sequence[ExecutedCall], writes: set[int], uses: _Uses) -> list[ExecutedCall]:
    """Writes, and the look-ups that something kept or said later rests on."""
    answered = uses.answered_after(max((call.at for call in calls), default=-1))
    needed: list[ExecutedCall] = []
    for call in reversed(calls):
        if call.index in writes or call.result is None or not answered or uses.any(call, needed[-HORIZON:][::-1]):
            needed.append(call)
    needed.reverse()
    return needed


class _Uses:
    """Where the results of calls were used: in later calls' arguments, or in the agent's later words."""

    def __init__(self, calls: Sequence[ExecutedCall], messages: Sequence[Message]) -> None:
        self._arguments = {call.index: _words_of(call.arguments) for call in calls}
        said = [(at, message.text) for at, message in enumerate(messages) if message.role == "assistant"]
        self._said = [(at, normal(text)) for at, text in said if text.strip()]
        self._in_words: dict[int, bool] = {}

    def answered_after(self, at: int) -> bool:
        return bool(self._said) and self._said[-1][0] > at

    def any(self, call: ExecutedCall, among: Sequence[ExecutedCall]) -> bool:
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

    def _told(self, call: ExecutedCall, result: str) -> bool:
        telling = set(islice(marks(result), _MOST_MARKS))
        short = result if len(result) <= 200 else ""
        start = bisect_right(self._said, call.result_at, key=_place)
        for _, said in self._said[start : start + HORIZON]:
            if (short and short in said) or any(mark in said for mark in telling):
                return True
        return False


def _place(said: tuple[int, str]) -> int:
    return said[0]


def _words_of(arguments: Json) -> tuple[str, ...]:
    texts = (normal(str(leaf.value)).strip("#'\" ") for leaf in leaves(arguments))
    return tuple(dict.fromkeys(text for text in texts if len(text) >= 3))


def _pitfalls(calls: Sequence[ExecutedCall]) -> tuple[tuple[Pitfall, ...], tuple[str, ...]]:
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


def _next_successes(calls: Sequence[ExecutedCall]) -> list[ExecutedCall | None]:
    """For each call, the next one of its tool that worked."""
    found: list[ExecutedCall | None] = []
    latest: dict[str, ExecutedCall] = {}
    for call in reversed(calls):
        found.append(latest.get(call.tool))
        if not call.is_error:
            latest[call.tool] = call
    found.reverse()
    return found
