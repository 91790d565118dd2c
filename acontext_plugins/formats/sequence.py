"""Sequence: a conversation as an API takes it, where it comes from another format, or from several.

Calls are answered directly behind the message that makes them, once, under an id that no other call has. Nothing is
said without words, and nobody speaks in a message that says nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from acontext_store.types import Json, Message, Part

from .turns import Named

#: Stands for the result of a call that has none: the call was interrupted, is still running, or was cut off.
NO_RESULT = "[acontext: no result of this call is among these messages]"
_NO_NAME = "unnamed"
_INSIDE = frozenset({"image", "audio", "video", "file", "data", "text"})
#: What the calls and the results of all formats have.
_ORDINARY = ("id", "made_id", "name", "arguments", "tool_call_id", "is_error", "beside")
#: What is lost, by the id of its message.
Lost = defaultdict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an API asks of a conversation, beside the shape of its messages."""

    #: Ids of calls and names of tools that it takes. Others are written alike at each place that has them.
    id: re.Pattern[str]
    name: re.Pattern[str]
    #: Whether it takes text of white space alone.
    blank: bool = True
    #: Whether a result may hold pictures and files. Where not, they follow in a turn of the user.
    media_in_results: bool = True
    #: The fields that hold what an item says: where it has them, and all are empty, it says nothing.
    says: tuple[str, ...] = ("content",)
    #: What is done to the items last. What it leaves out is named in the second.
    finish: Callable[[list[Named], Lost], list[Named]] | None = None

    def is_empty(self, item: Json) -> bool:
        """Whether an item says nothing: a message of which no piece has a place in the format."""
        if item.get("role") == "tool" or not any(name in item for name in self.says):
            return False
        return not any(item.get(name) for name in self.says)


@dataclass(slots=True)
class _Call:
    #: As it was written, and as it is now.
    raw: str
    id: str
    name: str
    kind: str
    answer: int | None = None  # its place in the answers of its turn


@dataclass(slots=True)
class _Said:
    """A message, with what its calls are answered."""

    message: Message
    calls: list[_Call] = field(default_factory=list)
    answers: list[Message] = field(default_factory=list)


def as_it_came(messages: Iterable[Message], format: str) -> bool:
    """Whether all of it came in this format: then it is given back as it was."""
    return all(message.format == format for message in messages)


def ready(messages: Iterable[Message], format: str, rules: Rules, lost: Lost) -> list[Message]:
    """These messages in a sequence that the API takes. What has no place in it is named in `lost`."""
    turns = _Conversation(format, rules, lost)
    for message in messages:
        for piece in _pieces(message, format, rules, lost):
            turns.add(piece)
    return list(turns.messages())


def _whole(message: Message, format: str) -> bool:
    """Whether it goes out as it came: calls and results may have to be renamed and moved, and space left out."""
    return (
        message.native is not None
        and message.format == format
        and not any(part.type in ("tool-call", "tool-result") for part in message.parts)
        and not any(part.type == "text" and not (part.text or "").strip() for part in message.parts)
    )


# -------------------------------------------------------------------------------- one message: results by themselves


def _pieces(message: Message, format: str, rules: Rules, lost: Lost) -> Iterator[Message]:
    """The message cut into what the model says, single results, and what a user says."""
    if _whole(message, format):
        yield message
        return
    parts = [_ordinary(part) for part in message.parts if _says(part, message.id, rules, lost)]
    results = [part for part in parts if part.type == "tool-result"]
    bare = message.model_copy(update={"native": None, "parts": tuple(parts)})
    if not results or (message.role == "tool" and len(results) == 1):
        if parts:
            yield bare
        return
    inside = {id(part): result for part in parts if (result := _result_around(part, results)) is not None}
    if message.role != "assistant":
        for result in results:
            yield _part_of(bare, [result, *(part for part in parts if inside.get(id(part)) is result)], "tool")
        rest = [part for part in parts if part.type != "tool-result" and id(part) not in inside]
        if rest:
            yield _part_of(bare, rest, "user" if message.role == "tool" else message.role)
        return
    said: list[Part] = []
    heard: list[Part] = []
    for part in (*parts, None):
        if part is None or (heard and part.type != "tool-result" and id(part) not in inside):
            if said:
                yield _part_of(bare, said, "assistant")
            for result in heard:
                yield _part_of(bare, [result, *(one for one in parts if inside.get(id(one)) is result)], "tool")
            said, heard = [], []
        if part is not None and part.type == "tool-result":
            heard.append(part)
        elif part is not None and id(part) not in inside:
            said.append(part)


def _says(part: Part, message_id: str, rules: Rules, lost: Lost) -> bool:
    """Whether a part says something: text without words does not, nor do thoughts that are neither told nor signed."""
    if part.type not in ("text", "thinking") or part.asset is not None:
        return True
    text = part.text or ""
    if part.type == "thinking":
        return bool(text or part.meta)
    if text.strip() or (text and rules.blank):
        return True
    if text:
        lost[message_id].append("text: white space alone, which the API refuses")
    return bool((part.meta or {}).get("thoughtSignature") or (part.meta or {}).get("thought_signature"))


def _ordinary(part: Part) -> Part:
    """A call that a provider has run, and its result, as those of any tool: no other API knows the tool."""
    meta = part.meta or {}
    kind = meta.get("type")
    if part.type not in ("tool-call", "tool-result") or kind in (None, "function", "tool_use", "custom"):
        return part
    return part.model_copy(update={"meta": {name: meta[name] for name in _ORDINARY if name in meta}})


def _result_around(part: Part, results: Sequence[Part]) -> Part | None:
    """The result that this part belongs to."""
    id = (part.meta or {}).get("tool_call_id")
    if part.type not in _INSIDE or not id:
        return None
    return next((result for result in results if (result.meta or {}).get("tool_call_id") == id), None)


def _part_of(message: Message, parts: Sequence[Part], role: str) -> Message:
    return message.model_copy(update={"parts": tuple(parts), "role": role})


# ------------------------------------------------------------------------------- the conversation: calls and results


class _Conversation:
    def __init__(self, format: str, rules: Rules, lost: Lost) -> None:
        self._format = format
        self._rules = rules
        self._lost = lost
        self._turns: list[_Said] = []
        self._ids: set[str] = set()

    def add(self, message: Message) -> None:
        if message.role == "tool" and any(part.type == "tool-result" for part in message.parts):
            self._answer(message)
            return
        last = self._turns[-1] if self._turns else None
        goes_on = last is not None and self._goes_on(last, message)
        turn = last if last is not None and goes_on else _Said(message)
        if turn is not last:
            self._turns.append(turn)
        parts: list[Part] = []
        for part in message.parts:
            if part.type == "tool-call":
                call = self._call(part, message.id)
                turn.calls.append(call)
                part = part.model_copy(update={"meta": {**(part.meta or {}), "id": call.id, "name": call.name}})
            parts.append(part)
        if goes_on:
            turn.message = turn.message.model_copy(update={"parts": (*turn.message.parts, *parts)})
        elif turn.calls:
            turn.message = message.model_copy(update={"parts": tuple(parts)})

    def _goes_on(self, last: _Said, message: Message) -> bool:
        """Whether the model says it in one go with what it said last: parallel calls have their results together."""
        one_go = message.role == last.message.role == "assistant" and message.format == last.message.format
        calls = bool(last.calls or message.tool_calls)
        whole = _whole(last.message, self._format) or _whole(message, self._format)
        return one_go and calls and not last.answers and not whole

    def messages(self) -> Iterator[Message]:
        for turn in self._turns:
            yield turn.message
            for call in turn.calls:
                if call.answer is None:
                    nothing = Part(type="tool-result", text=NO_RESULT, meta={"name": call.name})
                    parts = (_of_call(nothing, "", call),)
                    yield Message(id=turn.message.id, role="tool", parts=parts, format="acontext")
            shown: list[Message] = []
            for answer in turn.answers:
                media = [part for part in answer.parts if part.type != "tool-result"]
                if media and not self._rules.media_in_results:
                    answer, seen = _without_media(answer, media)
                    shown.append(seen)
                yield answer
            yield from shown

    def _call(self, part: Part, message_id: str) -> _Call:
        meta: Json = part.meta or {}
        raw, said = str(meta.get("id") or ""), str(meta.get("name") or "")
        name = _fitting(said, self._rules.name) or _NO_NAME
        if said and name != said:
            self._lost[message_id].append(f"name: {said!r} is written {name!r}")
        id = self._free_id(raw)
        self._ids.add(id)
        return _Call(raw, id, name, str(meta.get("type") or ""))

    def _free_id(self, raw: str) -> str:
        """The id as it is, or another that the API takes and no other call has."""
        if raw and self._rules.id.fullmatch(raw) and raw not in self._ids:
            return raw
        fits = raw and self._rules.id.fullmatch(raw)
        base = raw[:24] if fits else f"call_{hashlib.sha256(raw.encode()).hexdigest()[:16]}" if raw else "call"
        number = len(self._ids) if not raw else 1
        while (id := f"{base}_{number}" if number > 1 or fits or not raw else base) in self._ids:
            number += 1
        return id

    def _answer(self, message: Message) -> None:
        (result,) = [part for part in message.parts if part.type == "tool-result"]
        meta = result.meta or {}
        raw = str(meta.get("tool_call_id") or "")
        found = self._asked(raw, str(meta.get("name") or ""))
        if found is None:
            what = f"tool-result {raw}".strip()
            self._lost[message.id].append(f"{what}: the call that it answers is not among these messages")
            return
        turn, call = found
        renamed = message.model_copy(update={"parts": tuple(_of_call(part, raw, call) for part in message.parts)})
        if call.answer is None:
            call.answer = len(turn.answers)
            turn.answers.append(renamed)
        else:
            turn.answers[call.answer] = _both(turn.answers[call.answer], renamed)

    def _asked(self, raw: str, name: str) -> tuple[_Said, _Call] | None:
        """The call that a result answers.

        It is the newest of its id; among those of one message, the first that is open. Where one of the two has no
        id, the name counts, and the order.
        """
        answered: tuple[_Said, _Call] | None = None
        for turn in reversed(self._turns):
            same = [call for call in turn.calls if raw and call.raw == raw]
            found = next((call for call in same if call.answer is None), None)
            if found is not None:
                return turn, found
            if same and answered is None:
                answered = turn, same[-1]
        if answered is not None:
            return answered
        for turn in reversed(self._turns):
            for call in turn.calls:
                unnamed = not name or call.name in (name, _NO_NAME) or call.name == _fitting(name, self._rules.name)
                if call.answer is None and unnamed and not (raw and call.raw):
                    return turn, call
        return None


def _fitting(name: str, pattern: re.Pattern[str]) -> str:
    """A name in letters that the API takes."""
    if not name or pattern.fullmatch(name):
        return name
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64]
    return plain if pattern.fullmatch(plain) else f"_{plain}"[:64]


def _of_call(part: Part, raw: str, call: _Call) -> Part:
    meta = part.meta or {}
    if part.type == "tool-result":
        known = {"name": call.name} if meta.get("name") else {}
        if call.kind == "custom":
            known["call_type"] = call.kind
        return part.model_copy(update={"meta": {**meta, **known, "tool_call_id": call.id}})
    if raw and meta.get("tool_call_id") == raw:
        return part.model_copy(update={"meta": {**meta, "tool_call_id": call.id}})
    return part


def _both(before: Message, after: Message) -> Message:
    """Two results of one call, such as "it has begun" and what came of it, as one."""
    first = next(part for part in before.parts if part.type == "tool-result")
    second = next(part for part in after.parts if part.type == "tool-result")
    text = "\n".join(filter(None, (first.text, second.text)))
    meta = {**(first.meta or {}), **(second.meta or {})}
    result = second.model_copy(update={"text": text, "meta": meta})
    rest = [part for part in (*before.parts, *after.parts) if part is not first and part is not second]
    return before.model_copy(update={"parts": (result, *rest)})


def _without_media(answer: Message, media: Sequence[Part]) -> tuple[Message, Message]:
    """A result, and what it shows as a turn of the user."""
    rest = [part for part in answer.parts if part.type == "tool-result"]
    shown = [
        part.model_copy(update={"meta": {k: v for k, v in (part.meta or {}).items() if k != "tool_call_id"} or None})
        for part in media
    ]
    return _part_of(answer, rest, "tool"), _part_of(answer, shown, "user")
