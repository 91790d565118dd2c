"""Cleaning: of all that was called, what did the work.

Drops thoughts, errors, exact repeats with nothing changed in between, and look-ups whose result nothing used (a
backward slice over the value flow). What failed and then worked is kept apart, as a pitfall.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from acontext_store.types import Json, Message

from .calls import Call
from .markers import strip_injected
from .shapes import change_of
from .speech import asks, kind_of_turn
from .toolnames import effect_of
from .values import holds, leaves, normal

_TELLING = re.compile(r"[\w@.+-]*\d[\w@.+-]{2,}|[\w@.+-]{2,}\d[\w@.+-]*")


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

    calls: tuple[Call, ...]
    writes: frozenset[int]
    pitfalls: tuple[Pitfall, ...]
    #: Tools that were tried and given up.
    abandoned: tuple[str, ...]


def clean(calls: Sequence[Call], messages: Sequence[Message]) -> Cleaned:
    """The slice of `calls` that the end depends on."""
    kept = [call for call in calls if effect_of(call.tool, call.arguments) not in ("thought", "finish")]
    worked = [call for call in kept if not call.is_error]
    writes = _writes(worked, messages)
    superseded = _superseded(worked, writes, messages)
    fresh: list[Call] = []
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
    return Cleaned(tuple(_slice(fresh, writes, messages)), frozenset(writes), pitfalls, tuple(given_up))


def _superseded(calls: Sequence[Call], writes: set[int], messages: Sequence[Message]) -> set[int]:
    """Changes that the user objected to, and that were then made anew: the same tool on the same thing, otherwise."""
    found: set[int] = set()
    agent_said = ""
    for at, message in enumerate(messages):
        if message.role == "assistant":
            agent_said = message.text or agent_said
        if message.role != "user" or kind_of_turn(strip_injected(message.text), asked=asks(agent_said)) != "correction":
            continue
        before = [call for call in calls if call.index in writes and call.at < at]
        after = [call for call in calls if call.index in writes and call.at > at]
        for call in after:
            earlier = [one for one in before if one.tool == call.tool and _made_anew(one.arguments, call.arguments)]
            found.update(one.index for one in earlier[-1:])
    return found


def _made_anew(before: Json, after: Json) -> bool:
    """On the same thing (a value that looks like a name or a number is the same), but not the same call."""
    same = [name for name in before.keys() & after.keys() if before[name] == after[name]]
    return before != after and any(_TELLING.search(str(before[name])) for name in same)


def _writes(calls: Sequence[Call], messages: Sequence[Message]) -> set[int]:
    found: set[int] = set()
    for call in calls:
        effect = effect_of(call.tool, call.arguments)
        if effect == "write" or (effect is None and not _used(call, calls, messages)):
            found.add(call.index)
    return found


def _slice(calls: Sequence[Call], writes: set[int], messages: Sequence[Message]) -> list[Call]:
    """Writes, and the look-ups that something kept or said later rests on."""
    last_call = max((call.at for call in calls), default=-1)
    answered = any(m.role == "assistant" and m.text.strip() for m in messages[last_call + 1 :])
    needed: list[Call] = []
    for call in reversed(calls):
        if call.index in writes or call.result is None or not answered or _used(call, needed, messages):
            needed.append(call)
    needed.reverse()
    return needed


def _used(call: Call, later: Sequence[Call], messages: Sequence[Message]) -> bool:
    """Whether a later call's arguments or the agent's later words hold something of this call's result."""
    if not call.result:
        return False
    result = normal(call.result)
    for other in later:
        if other.at <= call.at:
            continue
        for leaf in leaves(other.arguments):
            text = normal(str(leaf.value)).strip("#'\" ")
            if len(text) >= 3 and text in result and holds(result, text):
                return True
    marks = set(_TELLING.findall(result)[:400])
    short = result if len(result) <= 200 else ""
    for message in messages[call.result_at + 1 :]:
        if message.role == "assistant" and (text := message.text):
            said = normal(text)
            if (short and short in said) or any(mark in said for mark in marks):
                return True
    return False


def _pitfalls(calls: Sequence[Call]) -> tuple[tuple[Pitfall, ...], tuple[str, ...]]:
    found: dict[tuple[str, ...], Pitfall] = {}
    abandoned: list[str] = []
    for place, call in enumerate(calls):
        if not call.is_error:
            continue
        fix = next((c for c in calls[place + 1 :] if c.tool == call.tool and not c.is_error), None)
        instead = ""
        if fix is None:
            abandoned.append(call.tool)
            following = next((c for c in calls[place + 1 :] if c.tool != call.tool), None)
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
