"""Prompt view: what a model is given to read of finished tasks, with short ids that it can cite.

Only what was said and done in the task itself: no system prompt, nothing that we had injected, no thinking. What is
too long loses its middle; what is not shown has no id, and so cannot be cited.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from acontext_store.types import Part, StoredMessage

from ..protocols import FinishedTask
from ..transcript.tool_calls import TranscriptCall, progress_of
from ..transcript.user_turns import visible_words
from .grounding import RunEvidence
from .procedures import EpisodeRun

#: Characters of all runs of one question together, and of one text at most.
QUESTION_CHARS, TEXT_CHARS = 48_000, 4_000
#: Where all of a run is too long, its texts are cut shorter and shorter, and then its middle is left out.
_LIMITS = (TEXT_CHARS, 2_000, 1_000, 500, 250, 120)


def cut(text: str, limit: int) -> str:
    """`text` without its middle, where it is longer than `limit`; says how much is missing."""
    if len(text) <= limit:
        return text
    head = limit * 3 // 5
    tail = limit - head
    return f"{text[:head]} [... {len(text) - limit} characters left out ...] {text[len(text) - tail :]}"


@dataclass(slots=True)
class CitableRun:
    """A run as a question shows it."""

    id: str
    finished: FinishedTask
    run: EpisodeRun
    ground: RunEvidence
    #: What can be cited: `m1` -> a message, `c1` -> a call.
    messages: dict[str, StoredMessage] = field(default_factory=dict)
    calls: dict[str, TranscriptCall] = field(default_factory=dict)

    @property
    def task_id(self) -> str:
        return self.finished.task.id


class Numbers:
    """Ids that are used once in a question."""

    def __init__(self) -> None:
        self._messages, self._calls = count(1), count(1)

    def message(self) -> str:
        return f"m{next(self._messages)}"

    def call(self) -> str:
        return f"c{next(self._calls)}"


def show(shown: CitableRun, numbers: Numbers, budget: int) -> str:
    """The run as text, in about `budget` characters; what can be cited of it stands in `shown` afterwards."""
    shown.messages.clear()
    shown.calls.clear()
    task = shown.finished.task
    head = [f"run {shown.id}: {task.status}", _block("asked for", task.data["task_description"], TEXT_CHARS)]
    if shown.finished.earlier:
        head.append(_block("earlier in this conversation", "\n".join(shown.finished.earlier), 1_000))
    for wish in task.data.get("user_preferences", [])[:10]:
        head.append(_block("noted as a preference", wish, 400))
    known = _Calls(shown.ground.asked, numbers)
    pieces = [(message, lines) for message in shown.finished.messages if (lines := _Lines(message, known)).any]
    budget -= sum(map(len, head))
    limit = next((limit for limit in _LIMITS if sum(p.length(limit) for _, p in pieces) <= budget), _LIMITS[-1])
    kept = _ends([piece.length(limit) for _, piece in pieces], budget)
    body = []
    for place, (message, piece) in enumerate(pieces):
        if place not in kept:
            if place - 1 in kept:
                body.append(f"[... {len(pieces) - len(kept)} messages left out ...]")
            continue
        local = numbers.message()
        shown.messages[local] = message
        shown.calls |= piece.calls
        body += piece.render(local, limit)
    return "\n".join([*head, *body]).encode("utf-8", "replace").decode()


def _ends(lengths: Sequence[int], budget: int) -> set[int]:
    """Which pieces are kept: all that fit, from both ends inwards."""
    if sum(lengths) <= budget:
        return set(range(len(lengths)))
    kept: set[int] = set()
    first, last, spent = 0, len(lengths) - 1, 0
    while first <= last:
        place = first if len(kept) % 2 == 0 else last
        spent += lengths[place]
        if kept and spent > budget:
            break
        kept.add(place)
        first, last = (first + 1, last) if place == first else (first, last - 1)
    return kept


class _Calls:
    """The executed calls by the message that holds them, and by the one that holds their result, in order."""

    def __init__(self, calls: Sequence[TranscriptCall], numbers: Numbers) -> None:
        self.id_of = {call.index: numbers.call() for call in calls}
        self._made: dict[str, deque[TranscriptCall]] = defaultdict(deque)
        self._answered: dict[tuple[str, str], deque[TranscriptCall]] = defaultdict(deque)
        for call in calls:
            self._made[call.message_id].append(call)
            if call.result is not None:
                self._answered[call.result_message_id, call.call_id].append(call)

    def made(self, message: StoredMessage, part: Part) -> TranscriptCall | None:
        """The next call of the message, where this part is it."""
        line = self._made[message.id]
        return (
            line.popleft() if line and (line[0].asked_tool or line[0].tool) == (part.meta or {}).get("name") else None
        )

    def answered(self, message: StoredMessage, part: Part) -> TranscriptCall | None:
        line = self._answered[message.id, str((part.meta or {}).get("tool_call_id") or "")]
        return line.popleft() if line else None


class _Lines:
    """What is to be read of one message: labels of ours, and texts of others."""

    def __init__(self, message: StoredMessage, known: _Calls) -> None:
        self.calls: dict[str, TranscriptCall] = {}
        self._texts: list[tuple[str, str]] = []
        if message.role == "system":
            return
        said = visible_words(message.text).strip()
        if said and message.role != "tool":
            self._texts.append((message.role, said))
        for part in message.parts:
            if part.type == "tool-call" and (call := known.made(message, part)) is not None:
                local = known.id_of[call.index]
                self.calls[local] = call
                arguments = json.dumps(call.arguments, ensure_ascii=False, default=str)
                self._texts.append((f"call {local} {call.tool}", visible_words(arguments)))
            elif part.type == "tool-result" and (call := known.answered(message, part)) is not None:
                error = " (error)" if call.is_error else "" if call.ran else f" ({progress_of(call)})"
                text = visible_words(call.result or "") or "(nothing)"
                self._texts.append((f"result of {known.id_of[call.index]}{error}", text))
            elif part.type in ("image", "audio", "video", "file"):
                self._texts.append((f"{message.role} sent a file", part.filename or part.type))

    @property
    def any(self) -> bool:
        return bool(self._texts)

    def length(self, limit: int) -> int:
        return sum(len(label) + min(len(text), limit + 45) + 16 for label, text in self._texts)

    def render(self, local: str, limit: int) -> list[str]:
        return [_block(f"[{local}] {label}", text, limit) for label, text in self._texts]


def _block(label: str, text: str, limit: int) -> str:
    """A label of ours, and a text below which no line can be taken for one: each is set in."""
    lines = cut(text, limit).splitlines() or [""]
    return "\n".join([f"{label}:", *(f"  {line}" for line in lines)])
