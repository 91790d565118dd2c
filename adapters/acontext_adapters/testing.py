"""Shipped fakes: a door that keeps what it is given; and the contract that every adapter keeps.

An adapter's tests subclass `AdapterContract` and say how their framework plays one script.
"""

from __future__ import annotations

import abc
import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from acontext_plugins.service import Recall, RecallQuery, Recording, SessionRef
from acontext_store.types import Message, Outcome


@dataclass(slots=True)
class RecordedSession:
    """What a door was given for one session, in order, each message id once."""

    ref: SessionRef
    messages: list[Message] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome | None:
        """The newest one."""
        return self.outcomes[-1] if self.outcomes else None

    @property
    def lines(self) -> list[str]:
        """The messages in short: `user: hi`, `call: weather {"city":"Oslo"}`, `result: 21C`, `error: no such city`."""
        return [line for message in self.messages for line in _lines(message)]


def _lines(message: Message) -> list[str]:
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


def _answer(future: Future[Recall], answer: Recall) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(answer)


class RecordingDoor:
    """A door in memory. Messages are made when it is asked for them, as a recorder's thread would do later.

    `text` is what every recall gives, or a function of the query. Faults: `record_error` and `recall_error` are
    raised; `hang=True` leaves recalls unanswered; `delay` answers them that many seconds late.
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
        self._lock = threading.Lock()

    # -- Door
    def record(self, recording: Recording) -> None:
        if self.record_error is not None:
            raise self.record_error
        with self._lock:
            self.recordings.append(recording)

    def recall(self, query: RecallQuery) -> Future[Recall]:
        with self._lock:
            self.queries.append(query)
        if self.recall_error is not None:
            raise self.recall_error
        future: Future[Recall] = Future()
        answer = Recall(text=self.text if isinstance(self.text, str) else self.text(query))
        if self.delay:
            timer = threading.Timer(self.delay, _answer, (future, answer))
            timer.daemon = True
            timer.start()
        elif not self.hang:
            future.set_result(answer)
        return future

    # -- what tests ask
    @property
    def sessions(self) -> dict[str, RecordedSession]:
        """All that was recorded, by session key, in order of first appearance."""
        with self._lock:
            recordings = list(self.recordings)
        found: dict[str, RecordedSession] = {}
        for recording in recordings:
            session = found.setdefault(recording.session.key, RecordedSession(recording.session))
            known = {message.id for message in session.messages}
            session.messages += [message for message in made(recording) if message.id not in known]
            session.outcomes += recording.outcomes
        return found

    @property
    def session(self) -> RecordedSession:
        """The only session. Raises AssertionError where there are more, or none."""
        sessions = self.sessions
        assert len(sessions) == 1, f"expected one session, there are {list(sessions)}"
        return next(iter(sessions.values()))

    @property
    def lines(self) -> list[str]:
        return self.session.lines

    @property
    def outcome(self) -> tuple[str, str] | None:
        """Status and reason of the only session's newest outcome."""
        newest = self.session.outcome
        return (newest.status, newest.reason) if newest is not None else None


# ------------------------------------------------------------------------------------------- the contract


@dataclass(frozen=True)
class Use:
    """The model calls a tool. Several in one step are parallel calls."""

    tool: str
    call_id: str
    city: str = "Oslo"


@dataclass(frozen=True)
class Turn:
    """What the user says, and what the model does then: calls of tools, words, or an exception, a step each."""

    says: str
    steps: tuple[tuple[Use, ...] | str | Exception, ...]


@dataclass
class Played:
    """What the host has seen, as plain values that can be compared, and all text of each call of the model."""

    seen: list[Any] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)


class Tools:
    """The host's tools, as plain functions: an adapter's test makes its framework's tools of them."""

    def __init__(self) -> None:
        #: Set when `slow` has been called; it never comes back by itself.
        self.started = asyncio.Event()

    def weather(self, city: str) -> str:
        """The weather in a city."""
        return f"21C in {city}"

    def broken(self, city: str) -> str:
        """Always fails."""
        raise ValueError(f"no such city: {city}")

    async def slow(self, city: str) -> str:
        """Takes for ever."""
        self.started.set()
        await asyncio.sleep(3600)
        return "late"


SKILLS = '<acontext-skills id="c0ffee01">\nUse when: weather\n1. weather: ask for the city\n</acontext-skills>'
TALK = (
    Turn("weather in Oslo and Rome?", ((Use("weather", "c1"), Use("weather", "c2", "Rome")), "21C in both")),
    Turn("and in Nowhere?", ((Use("broken", "c3", "Nowhere"),), "there is no such place")),
)


class AdapterContract(abc.ABC):
    """What every adapter promises. Subclass it in a test module and say how your framework plays a script."""

    @abc.abstractmethod
    async def play(
        self, turns: Sequence[Turn], tools: Tools, door: RecordingDoor | None, *, streamed: bool = False
    ) -> Played:
        """One agent, one conversation, turn by turn. With a door the agent is wrapped (not strict), else it is bare.

        Exceptions of the run are raised, once they are in `seen` or not.
        """

    def words_of(self, line: str) -> str:
        """A line of a session in the contract's words; for frameworks that put theirs around the text of errors."""
        return "error" if line.startswith("error: ") else line

    def lines(self, door: RecordingDoor) -> list[str]:
        lines = [self.words_of(line) for line in door.lines]
        return [line.replace('": "', '":"') for line in lines]

    async def test_each_turn_call_and_result_is_kept_once_in_one_session(self) -> None:
        door = RecordingDoor()
        await self.play(TALK, Tools(), door)
        lines = self.lines(door)
        assert sorted(lines[3:5]) == ["result: 21C in Oslo", "result: 21C in Rome"]
        assert lines[:3] + lines[5:] == [
            "user: weather in Oslo and Rome?",
            'call: weather {"city":"Oslo"}',
            'call: weather {"city":"Rome"}',
            "assistant: 21C in both",
            "user: and in Nowhere?",
            'call: broken {"city":"Nowhere"}',
            "error",
            "assistant: there is no such place",
        ]

    async def test_results_name_their_calls(self) -> None:
        door = RecordingDoor()
        await self.play(TALK, Tools(), door)
        parts = [part for message in door.session.messages for part in message.parts]
        calls = {(part.meta or {})["id"] for part in parts if part.type == "tool-call"}
        results = [(part.meta or {})["tool_call_id"] for part in parts if part.type == "tool-result"]
        assert calls == set(results)
        assert len(results) == len(calls) == 3

    async def test_each_turn_is_a_run_with_its_outcome(self) -> None:
        door = RecordingDoor()
        await self.play(TALK, Tools(), door)
        runs = list(dict.fromkeys(message.run_id for message in door.session.messages))
        assert len(runs) == 2
        outcomes = [(outcome.run_id, outcome.status) for outcome in door.session.outcomes]
        assert outcomes == [(run, "success") for run in runs]

    async def test_a_stream_records_what_a_call_does(self) -> None:
        called, streamed = RecordingDoor(), RecordingDoor()
        await self.play(TALK, Tools(), called)
        await self.play(TALK, Tools(), streamed, streamed=True)
        assert sorted(self.lines(streamed)) == sorted(self.lines(called))
        assert [outcome.status for outcome in streamed.session.outcomes] == ["success", "success"]

    async def test_a_failure_is_the_outcome_and_the_hosts_own_exception(self) -> None:
        for streamed in (False, True):
            door = RecordingDoor()
            error = RuntimeError("503 upstream")
            turns = (Turn("weather?", ((Use("weather", "c1"),), error)),)
            seen: list[BaseException | None] = []
            try:
                await self.play(turns, Tools(), door, streamed=streamed)
            except Exception as raised:
                seen = [raised, raised.__cause__, raised.__context__]
            assert error in seen, "the host did not see its exception"
            assert self.lines(door) == ["user: weather?", 'call: weather {"city":"Oslo"}', "result: 21C in Oslo"]
            assert door.outcome is not None
            assert door.outcome[0] == "failed"
            assert "503 upstream" in door.outcome[1]

    async def test_a_cancelled_run_is_cancelled(self) -> None:
        door, tools = RecordingDoor(), Tools()
        playing = asyncio.create_task(self.play((Turn("wait", ((Use("slow", "c1"),), "never")),), tools, door))
        await tools.started.wait()
        playing.cancel()
        try:
            await playing
        except asyncio.CancelledError:
            pass
        else:
            raise AssertionError("the host did not see its cancellation")
        assert self.lines(door) == ["user: wait", 'call: slow {"city":"Oslo"}']
        assert door.outcome == ("cancelled", "")

    async def test_skills_are_in_every_prompt_once_and_in_nothing_that_is_kept(self) -> None:
        door = RecordingDoor(SKILLS)
        played = await self.play(TALK, Tools(), door)
        assert len(played.prompts) == 4
        assert [prompt.count(SKILLS) for prompt in played.prompts] == [1, 1, 1, 1]
        kept = "".join(message.model_dump_json() for message in door.session.messages)
        assert "acontext-skills" not in kept

    async def test_skills_are_asked_for_once_a_run_with_the_users_newest_words(self) -> None:
        door = RecordingDoor(SKILLS)
        await self.play(TALK, Tools(), door)
        assert [query.text for query in door.queries] == [turn.says for turn in TALK]
        assert all({"weather", "broken", "slow"} <= set(query.tools or ()) for query in door.queries)

    async def test_the_host_sees_what_it_sees_without_us(self) -> None:
        for streamed in (False, True):
            bare = await self.play(TALK, Tools(), None, streamed=streamed)
            wrapped = await self.play(TALK, Tools(), RecordingDoor(SKILLS), streamed=streamed)
            assert wrapped.seen == bare.seen

    async def test_a_memory_in_trouble_changes_nothing(self) -> None:
        bare = await self.play(TALK, Tools(), None)
        for door in (
            RecordingDoor(record_error=RuntimeError("disk")),
            RecordingDoor(recall_error=RuntimeError("index")),
            RecordingDoor(hang=True),
        ):
            played = await self.play(TALK, Tools(), door)
            assert (played.seen, played.prompts) == (bare.seen, bare.prompts)

    async def test_message_ids_are_unique(self) -> None:
        door = RecordingDoor()
        await self.play(TALK, Tools(), door)
        ids = [message.id for recording in door.recordings for message in made(recording)]
        assert len(ids) == len(set(ids))


def made(recording: Recording) -> Sequence[Message]:
    """The messages of a recording, as the recorder's thread would make them."""
    return recording.messages() if callable(recording.messages) else recording.messages
