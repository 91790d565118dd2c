"""Doors for tests: one that only keeps what it is given, one that keeps it on the way to a real client."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NoReturn

from acontext_plugins.client import Acontext
from acontext_plugins.inject.recall import HEAD, Recall, RecallQuery, SkillsBlock
from acontext_plugins.runs import RecordingClient
from acontext_plugins.service import Recording, SessionRef
from acontext_store.types import CallFate, Message, Outcome, Part


@dataclass(slots=True)
class RecordedSession:
    """What a client was given for one session, in order, each message id once."""

    ref: SessionRef
    messages: list[Message] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    #: What was told last of each call, by its id: of the newest one where the id comes again.
    told: dict[str, CallFate] = field(default_factory=dict)
    #: The same, by the id of the message that holds the call, the call's id and which of those with that id it is.
    _fates: dict[tuple[str, str, int], CallFate] = field(default_factory=dict)

    def keep(self, message: Message) -> None:
        """Keep a message as a store would: each id once, an id that is taken where the turn is over as another."""
        places = {known.id: place for place, known in enumerate(self.messages)}
        if message.id in places:
            behind = self.messages[places[message.id] + 1 :]
            over = any((other.role == "assistant") != (message.role == "assistant") for other in behind)
            if message.id_if_taken is None or message.id_if_taken in places or not over:
                return
            message = message.model_copy(update={"id": message.id_if_taken})
        self.messages.append(message)

    def tell(self, fate: CallFate) -> None:
        """Keep the fate of the newest call with its id."""
        holders = (one.id for one in reversed(self.messages) if fate.call_id in map(_id_of, one.tool_calls))
        self._fates[next(holders, ""), fate.call_id, fate.occurrence] = fate
        self.told[fate.call_id] = fate

    @property
    def calls(self) -> list[tuple[Message, Part, CallFate | None]]:
        """Each call with the message that holds it, and its fate, where that is told."""
        found = []
        for message in self.messages:
            counts: Counter[str] = Counter()
            for part in message.tool_calls:
                id = _id_of(part)
                waited = self._fates.get(("", id, counts[id]))
                found.append((message, part, self._fates.get((message.id, id, counts[id]), waited)))
                counts[id] += 1
        return found

    @property
    def outcome(self) -> Outcome | None:
        """The newest one."""
        return self.outcomes[-1] if self.outcomes else None

    @property
    def fates(self) -> list[str]:
        """The fate of each call in short: `weather {"city":"Oslo"}: executed`, `pay {"amount":3}: refused by person`.

        Behind the asked arguments stand those that ran, where they are others. "assumed" = nobody tells it.
        """
        return [fate_line(part, fate, told_at_all=message.fates_told) for message, part, fate in self.calls]

    @property
    def lines(self) -> list[str]:
        """The messages in short: `user: hi`, `call: weather {"city":"Oslo"}`, `result: 21C`, `error: no such city`."""
        return [line for message in self.messages for line in lines_of(message)]


def lines_of(message: Message) -> list[str]:
    """A line for each part of a message."""
    lines = []
    for part in message.parts:
        meta = part.meta or {}
        if part.type == "tool-call":
            lines.append(f"call: {meta.get('name')} {meta.get('arguments')}")
        elif part.type == "tool-result":
            lines.append(f"{'error' if meta.get('is_error') else 'result'}: {part.text}")
        elif part.type == "text":
            lines.append(f"{message.role}: {part.text}")
        else:
            lines.append(f"{part.type}: {part.text}")
    return lines


def _id_of(call: Part) -> str:
    return str((call.meta or {}).get("id") or "")


def fate_line(call: Part, fate: CallFate | None, *, told_at_all: bool) -> str:
    """What became of a call, in one line (see `RecordedSession.fates`)."""
    meta = call.meta or {}
    asked = f"{meta.get('name')} {meta.get('arguments')}"
    if fate is None:
        return f"{asked}: {'requested' if told_at_all else 'assumed'}"
    line = f"{asked}: {fate.status}"
    if fate.by:
        line += f" by {fate.by}"
    if fate.name is not None or fate.arguments is not None:
        line += f" as {fate.name or meta.get('name')} {json.dumps(fate.arguments)}"
    if fate.edited_by:
        line += f", edited by {fate.edited_by}"
    return line


def made(recording: Recording) -> Sequence[Message]:
    """The messages of a recording, as the recorder's thread would make them."""
    return recording.messages() if callable(recording.messages) else recording.messages


def _answer(future: Future[Recall], answer: Recall) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(answer)


class MemoryClient:
    """A client in memory. Messages are made when it is asked for them, as a recorder's thread would do later.

    `text` is what every recall gives, or a function of the query; in a conversation it stays where it stood. Faults:
    `record_error` and `recall_error` are raised; `hang=True` leaves recalls unanswered; `delay` answers them that many
    seconds late.
    """

    def __init__(
        self,
        text: str | Callable[[RecallQuery], str] = "",
        *,
        record_error: Exception | None = None,
        recall_error: Exception | None = None,
        hang: bool = False,
        delay: float = 0.0,
    ) -> None:
        self.text = text
        self.record_error = record_error
        self.recall_error = recall_error
        self.hang = hang
        self.delay = delay
        self.recordings: list[Recording] = []
        self.queries: list[RecallQuery] = []
        self._placed: dict[str, list[SkillsBlock]] = {}
        self._lock = threading.RLock()

    # -- RecordingClient
    def record(self, recording: Recording) -> None:
        """Keep a recording in `recordings`, or raise `record_error`."""
        if self.record_error is not None:
            raise self.record_error
        with self._lock:
            self.recordings.append(recording)

    def recall(self, query: RecallQuery) -> Future[Recall]:
        """Keep the query in `queries`, and answer it with `text`, or raise `recall_error`."""
        with self._lock:
            self.queries.append(query)
        if self.recall_error is not None:
            raise self.recall_error
        future: Future[Recall] = Future()
        answer = self._answer(query)
        if self.delay:
            timer = threading.Timer(self.delay, _answer, (future, answer))
            timer.daemon = True
            timer.start()
        elif not self.hang:
            future.set_result(answer)
        return future

    def _answer(self, query: RecallQuery) -> Recall:
        """What stands in the conversation since earlier, and the text for this query where it is another one."""
        text = self.text if isinstance(self.text, str) else self.text(query)
        shown = query.shown
        if shown is None:
            return Recall(text=text)
        with self._lock:
            known = self._placed.setdefault(query.session_key or "", [])
            anchor = HEAD if query.head is not None and shown.opens and not known else shown.names[-1]
            there = [block for block in known if block.anchor in (HEAD, *shown.names)]
            if text and text not in [block.text for block in (known if shown.held else there)]:
                known.append(SkillsBlock(anchor, text))
                there.append(known[-1])
        return Recall(text="\n\n".join(block.text for block in there), blocks=tuple(there))

    # -- what tests ask
    @property
    def sessions(self) -> dict[str, RecordedSession]:
        """All that was recorded, by session key, in order of first appearance."""
        with self._lock:
            recordings = list(self.recordings)
        found: dict[str, RecordedSession] = {}
        for recording in recordings:
            session = found.setdefault(recording.session.key, RecordedSession(recording.session))
            for message in made(recording):
                session.keep(message)
            session.outcomes += recording.outcomes
            for fate in recording.fates:
                session.tell(fate)
        return found

    @property
    def session(self) -> RecordedSession:
        """The only session. Raises AssertionError where there are more, or none."""
        sessions = self.sessions
        assert len(sessions) == 1, f"expected one session, there are {list(sessions)}"
        return next(iter(sessions.values()))

    @property
    def lines(self) -> list[str]:
        """The messages of the only session in short, as `RecordedSession.lines`."""
        return self.session.lines

    @property
    def outcome(self) -> tuple[str, str] | None:
        """Status and reason of the only session's newest outcome."""
        newest = self.session.outcome
        return (newest.status, newest.reason) if newest is not None else None


class ForwardingClient(MemoryClient):
    """A client that forwards recordings and queries to a real client, and keeps them as well.

    With `patient`, `opening` makes runs wait for their skills as long as for a database that is being opened, so that
    a busy machine changes no test's result.
    """

    opening = True

    def __init__(self, client: Acontext, *, patient: bool = True) -> None:
        super().__init__()
        self.opening = patient
        self._client = client

    def record(self, recording: Recording) -> None:
        """Keep a recording, and forward it."""
        super().record(recording)
        self._client.connection.record(recording)

    def recall(self, query: RecallQuery) -> Future[Recall]:
        """Keep the query; the real client answers it."""
        super().recall(query)
        return self._client.connection.recall(query)


class UnopenedClient(MemoryClient):
    """A client that cannot be opened: reading its connection raises RuntimeError."""

    @property
    def connection(self) -> RecordingClient:
        """Raises RuntimeError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError("no database")
