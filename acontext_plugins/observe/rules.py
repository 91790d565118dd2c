"""RulesObserver: which tasks a conversation holds, and how each ended, without a model.

A fold over messages and outcomes in order of arrival. Its state is the list of settled tasks, of which only the Task
records are known, and one open task, of which the messages are at hand. Observation resumes at the first message of
the open task, so that any batching of a conversation gives the same tasks, and a long one is read about once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from acontext_store.errors import NotFound
from acontext_store.protocols import ReadSnapshot, Store
from acontext_store.types import (
    Claim,
    MessageLink,
    Outcome,
    Session,
    StoredMessage,
    Task,
    TaskData,
    TaskOps,
    TaskStatus,
    stable_id,
)

from ..concurrency.background import run_in_thread, yield_gil
from ..protocols import Observation, Observer
from ..transcript.tool_calls import TranscriptCall, effect_of, last_acts, progress_of, tool_calls, verdict_of_acts
from ..transcript.user_turns import TurnReader, asks, is_thankful, kind_of_turn, own_words, standing_wishes, turn_of

#: The weight of what a person or a program states on purpose: a report, a verifier, a labelled import.
EXPLICIT = 1.0
#: Up to this weight it only tells how a run ended, and what comes after it may show otherwise.
BARE = 0.5
_VERDICTS = ("success", "failed")
DESCRIPTION_CHARS = 500
MOST_PROGRESSES = 50
MOST_PREFERENCES = 20
#: How many messages back a run may have begun that still goes on beside others.
MOST_READ_AGAIN = 200


class RulesObserver:
    """Segments at user requests; believes reports over users, users over frameworks and tools, models never (T14)."""

    async def observe(self, observation: Observation) -> TaskOps:
        return await run_in_thread(observe, observation)

    async def observe_each(self, observations: Sequence[Observation]) -> list[TaskOps | Exception]:
        return await run_in_thread(_each, observations)


@runtime_checkable
class ObserverOfMany(Observer, Protocol):
    """An observer of whole sessions that is quick: those that are due at once are given to it at once."""

    async def observe_each(self, observations: Sequence[Observation]) -> list[TaskOps | Exception]:
        """What `observe` gives for each of them, or what it raises."""


async def decide(store: Store, observer: ObserverOfMany, claims: Sequence[Claim]) -> list[TaskOps | Exception]:
    """What the observer decides of each claimed session, or why it could not. Raises what the database raises."""
    keys = [claim.key for claim in claims]
    read = await store.read_snapshot(lambda moment: [_read(key, moment) for key in keys])
    known = [one for one in read if isinstance(one, Observation)]
    decided = iter(await observer.observe_each(known))
    return [next(decided) if isinstance(one, Observation) else one for one in read]


def _read(session_id: str, moment: ReadSnapshot) -> Observation | Exception:
    try:
        return whole(session_id, moment)
    except NotFound as error:
        return error


def whole(session_id: str, moment: ReadSnapshot) -> Observation:
    """The session from where the last observation stopped."""
    session, resume = moment.session(session_id), moment.resume_seq(session_id)
    return Observation(
        session=session,
        messages=moment.messages(session_id, after_seq=resume - 1),
        outcomes=moment.outcomes(session_id, after_seq=resume - 1),
        tasks=moment.tasks(session_id),
    )


def _each(observations: Sequence[Observation]) -> list[TaskOps | Exception]:
    decided: list[TaskOps | Exception] = []
    for observation in observations:
        try:
            decided.append(observe(observation))
        except Exception as error:
            decided.append(error)
    return decided


def observe(observation: Observation) -> TaskOps:
    """The tasks of the session after these messages and outcomes. Pure."""
    messages = observation.messages
    if not messages:
        seen = max((task.last_seq for task in observation.tasks), default=0)
        return TaskOps(session_id=observation.session.id, observed_seq=seen, resume_seq=max(1, seen))
    start = messages[0].seq
    fold = _Fold(observation.session, [task for task in observation.tasks if task.first_seq < start])
    last_seq = messages[-1].seq
    at_once = runs_at_once(messages)
    if at_once:
        messages, fold.at_once = _run_by_run(messages), at_once
    for event in _in_order(messages, observation.outcomes, at_once):
        yield_gil()
        if isinstance(event, Outcome):
            fold.hear(event)
        else:
            fold.read(event)
    tasks = fold.tasks()
    known = {task.id: task for task in observation.tasks}
    kept = {task.id for task in tasks}
    return TaskOps(
        session_id=observation.session.id,
        tasks=tuple(task for task in tasks if differs(known.get(task.id), task)),
        removed=tuple(task.id for task in observation.tasks if task.id not in kept),
        links=tuple(link for link, _ in fold.links) if at_once else None,
        observed_seq=last_seq,
        resume_seq=fold.resume_seq(),
    )


def runs_at_once(messages: Sequence[StoredMessage]) -> frozenset[str]:
    """The runs that users began while another one was going on: their messages stand among each other."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    asked: set[str] = set()
    for message in messages:
        if message.run_id is not None:
            if message.role == "user" and message.run_id not in first:
                asked.add(message.run_id)
            elif message.role == "user":
                asked.discard(message.run_id)  # a talk of its own, and not one request among others
            first.setdefault(message.run_id, message.seq)
            last[message.run_id] = message.seq
    order = sorted(asked, key=first.__getitem__)
    found: set[str] = set()
    newest = ""  # of the runs so far, the one that goes on longest
    for run_id in order:
        if newest and first[run_id] < last[newest]:
            found |= {newest, run_id}
        if not newest or last[run_id] > last[newest]:
            newest = run_id
    return frozenset(found)


def _in_order(
    messages: Sequence[StoredMessage], outcomes: Sequence[Outcome], at_once: Set[str]
) -> Iterator[StoredMessage | Outcome]:
    """The outcomes among the messages: behind the last message that had arrived; of its run, where it was not alone."""
    said: dict[int, list[Outcome]] = defaultdict(list)
    for outcome in sorted(outcomes, key=lambda outcome: outcome.after_seq):
        arrived = [at for at, message in enumerate(messages) if message.seq <= outcome.after_seq]
        own = [at for at in arrived if messages[at].run_id == outcome.run_id] if outcome.run_id in at_once else []
        said[max(own or arrived, default=-1)].append(outcome)
    yield from said[-1]
    for at, message in enumerate(messages):
        yield message
        yield from said[at]


def _run_by_run(messages: Sequence[StoredMessage]) -> list[StoredMessage]:
    """The messages of one run after those of the other, in the order in which the runs began."""
    first: dict[str, int] = {}
    places: list[int] = []
    for message in messages:
        if message.run_id is not None:
            places.append(first.setdefault(message.run_id, message.seq))
        else:
            places.append(places[-1] if places else 0)
    return [message for _, message in sorted(zip(places, messages, strict=True), key=lambda pair: pair[0])]


@dataclass(slots=True)
class _Open:
    """The task that is going on."""

    id: str
    first_seq: int
    messages: list[StoredMessage]
    request: str
    run_id: str | None = None
    runs: set[str] = field(default_factory=set)
    outcome: Outcome | None = None
    reader: TurnReader = field(default_factory=TurnReader)
    replied: bool = False
    disputed: bool = False


class _Fold:
    def __init__(self, session: Session, settled: list[Task]) -> None:
        self.session = session
        self.settled = settled
        self.open: _Open | None = None
        #: The first message that belongs to no task yet: a system prompt, a greeting.
        self.leading: int | None = None
        #: The last message that a settled task has.
        self.reach = max((task.last_seq for task in settled), default=0)
        self.known_seq = self.last_seq = self.reach
        #: Whose messages are not read again. None = nobody's so far.
        self._known: set[str | None] = {None, *(task.id for task in settled)}
        #: Runs that went on at the same time: what a user asks in one is never part of another's task.
        self.at_once: frozenset[str] = frozenset()
        #: Which message belongs to which task, of those that were read, each with its run.
        self.links: list[tuple[MessageLink, str | None]] = []
        #: By run, the first message of a task that was left while its run was going on: it may go on yet.
        self._left: dict[str, int] = {}
        #: Runs of which an outcome was heard.
        self._ended: set[str] = set()

    # -- messages

    def read(self, message: StoredMessage) -> None:
        if message.seq <= self.known_seq and message.task_id in self._known:
            return
        self.last_seq = max(self.last_seq, message.seq)
        turn = turn_of(message.text) if message.role == "user" else None
        text = turn.own if turn else ""
        if turn is not None and not text and turn.quoted:
            self._pasted(message, turn.quoted)
            return
        if not text.strip():
            self._continue(message)
            return
        if self.open is None:
            if self.settled and kind_of_turn(text, asked=False) == "thanks":
                self._continue(message)
            else:
                self._begin(message, text)
            return
        self._turn(self.open, message, text)

    def _pasted(self, message: StoredMessage, text: str) -> None:
        """A turn without a word of the person's own: what to work on, or more of it."""
        if self.open is not None and self.open.replied and not asks(self.open.reader.agent_said):
            self._settle()
        if self.open is None:
            self._begin(message, text)
        else:
            self._continue(message)

    def _turn(self, task: _Open, message: StoredMessage, text: str) -> None:
        """A user's turn while a task is going on: part of it, or the next one."""
        if message.run_id in self.at_once and message.run_id not in task.runs and task.runs & self.at_once:
            self._settle()
            self._begin(message, text)
            return
        if not task.replied:
            task.reader.user(text)
            self._continue(message)
            return
        kind = task.reader.user(text)
        if kind in ("request", "doubt"):
            if kind == "doubt":
                self._vote(task, message, "unknown")
            elif is_thankful(text):
                self._vote(task, message, "success")
            self._settle()
            self._begin(message, text)
            return
        if kind == "thanks":
            self._vote(task, message, "success")
        elif kind == "correction":
            self._vote(task, message, "failed")
            task.disputed = True
        elif task.outcome is not None and task.outcome.weight <= BARE:
            task.outcome = None
        self._continue(message)

    def _begin(self, message: StoredMessage, text: str) -> None:
        first = message.seq if self.leading is None else self.leading
        self.leading = None
        self.open = _Open(id=stable_id(self.session.id, message.id), first_seq=first, messages=[], request=text.strip())
        self.open.reader.user(text)
        self._continue(message)

    def _continue(self, message: StoredMessage) -> None:
        task = self.open
        if task is None:
            if self.settled:
                newest = self._newest()
                last = self.settled[newest]
                self.reach = message.seq
                self.settled[newest] = last.model_copy(
                    update={
                        "first_seq": last.first_seq or message.seq,
                        "last_seq": message.seq,
                        "updated_at": message.created_at,
                        "space_digested": False,
                    }
                )
            elif self.leading is None:
                self.leading = message.seq
            return
        task.messages.append(message)
        self.links.append((MessageLink(message_id=message.id, task_id=task.id), message.run_id))
        if message.run_id is not None:
            task.run_id = message.run_id
            task.runs.add(message.run_id)
        if message.role == "assistant":
            task.replied = True
            task.reader.agent(message)
            if task.disputed and task.outcome is not None and task.outcome.weight < EXPLICIT:
                # New work after a correction: what was said of the old no longer counts.
                task.outcome, task.disputed = None, False

    # -- outcomes

    def hear(self, outcome: Outcome) -> None:
        if outcome.run_id is not None:
            self._ended.add(outcome.run_id)
            self._left.pop(outcome.run_id, None)
        if outcome.weight <= 0:
            return
        explicit = outcome.weight >= EXPLICIT
        if outcome.run_id is None or (self.open is not None and not self.open.runs and not self.settled):
            if explicit:
                self._cover(outcome, self._since_last_report())
            elif self.open is not None:
                self.open.outcome = weightier(self.open.outcome, outcome)
            elif self.settled:
                self._relabel(self._newest(), outcome)
            return
        same = [i for i, task in enumerate(self.settled) if task.outcome and task.outcome.run_id == outcome.run_id]
        is_open = self.open is not None and outcome.run_id in self.open.runs
        if explicit and is_open:
            trailing = len(self.settled)
            while trailing and (trailing - 1) in same:
                trailing -= 1
            self._cover(outcome, trailing)
            return
        if is_open and self.open is not None:
            self.open.outcome = weightier(self.open.outcome, outcome)
        for i in same if not explicit else same[-1:]:
            self._relabel(i, outcome)

    def _newest(self) -> int:
        """The settled task that went on last. (Of a model's tasks that need not be the last one in order.)"""
        if self.settled[-1].last_seq >= self.reach:
            return len(self.settled) - 1
        return max(range(len(self.settled)), key=lambda at: self.settled[at].last_seq)

    def _since_last_report(self) -> int:
        """The first settled task after the last explicit word on the whole session."""
        for i in range(len(self.settled), 0, -1):
            spoken = self.settled[i - 1].outcome
            if spoken is not None and spoken.weight >= EXPLICIT and spoken.run_id is None:
                return i
        return 0

    def _cover(self, outcome: Outcome, start: int) -> None:
        """All tasks from `start` on, and the open one, are one task with this outcome."""
        whole = outcome.run_id is None
        if self.open is not None and start == len(self.settled):
            self.open.outcome = weightier(self.open.outcome, outcome)
            if whole:
                self._settle()
            return
        if self.open is not None:
            self._settle()
        if start >= len(self.settled):
            if self.settled:
                self._relabel(self._newest(), outcome)
            return
        parts = self.settled[start:]
        best: Outcome | None = None
        for part in parts:
            if part.outcome is not None and part.outcome.weight >= EXPLICIT:
                best = weightier(best, part.outcome)
        del self.settled[start:]
        self.settled.append(_merged(parts, weightier(best, outcome)))

    def _relabel(self, i: int, outcome: Outcome) -> None:
        task = self.settled[i]
        best = weightier(task.outcome, outcome)
        if best != task.outcome:
            self.settled[i] = task.model_copy(
                update={"outcome": best, "status": status_of(best, closed=True, replied=True), "space_digested": False}
            )

    def _vote(self, task: _Open, message: StoredMessage, status: Literal["success", "failed", "unknown"]) -> None:
        outcome = Outcome(
            id=stable_id(task.id, "user", message.id),
            status=status,
            source="user",
            run_id=task.run_id,
            after_seq=message.seq,
            created_at=message.created_at,
        )
        task.outcome = weightier(task.outcome, outcome)

    # -- tasks

    def _settle(self) -> None:
        if self.open is not None:
            if self.open.run_id is not None and self.open.run_id not in self._ended:
                self._left.setdefault(self.open.run_id, self.open.first_seq)
            self.settled.append(self._task(self.open, closed=True))
            self.reach = self.settled[-1].last_seq
            self.open = None

    def tasks(self) -> list[Task]:
        found = list(self.settled)
        if self.open is not None:
            found.append(self._task(self.open, closed=False))
        return [task if task.order == i else task.model_copy(update={"order": i}) for i, task in enumerate(found, 1)]

    def resume_seq(self) -> int:
        beside = {link.task_id for link, run_id in self.links if run_id in self.at_once}
        firsts = [*self._left.values(), *(task.first_seq for task in self.settled if task.id in beside)]
        left = [first for first in firsts if self.last_seq - first < MOST_READ_AGAIN]
        if self.open is not None:
            return min([self.open.first_seq, *left])
        if left:
            return min(left)
        return self.leading if self.leading is not None else max(1, self.last_seq)

    def _task(self, task: _Open, *, closed: bool) -> Task:
        outcome = task.outcome
        calls = tool_calls(task.messages)
        if outcome is not None and outcome.source == "framework" and outcome.status == "success":
            outcome = _unless_it_failed(task, outcome, calls)
        if outcome is None and not task.runs:
            outcome = _by_tools(task, calls, closed=closed)
        if outcome is None and task.run_id is not None:
            # Says nothing, but remembers the run, so that a late report finds its task.
            outcome = Outcome(
                id=stable_id(task.id, "run"), status="unknown", source="model", run_id=task.run_id,
                after_seq=task.messages[-1].seq, created_at=task.messages[-1].created_at,
            )  # fmt: skip
        status = status_of(outcome, closed=closed, replied=task.replied)
        weak = outcome is not None and outcome.weight <= BARE
        if weak and status == "success" and not closed and asks(task.reader.agent_said):
            status = "running"
        return Task(
            id=task.id,
            session_id=self.session.id,
            project_id=self.session.project_id,
            order=len(self.settled) + 1,
            data=_data(task, [
                progress_of(call) for call in calls if effect_of(call.tool) not in ("thought", "finish")
            ]),
            status=status,
            first_seq=task.first_seq,
            last_seq=task.messages[-1].seq,
            outcome=outcome,
            created_at=task.messages[0].created_at,
            updated_at=task.messages[-1].created_at,
        )  # fmt: skip


def _unless_it_failed(task: _Open, outcome: Outcome, calls: Sequence[TranscriptCall]) -> Outcome:
    """A run that came to its end, but whose last acts failed and were not made good, has not succeeded."""
    verdict = verdict_of_acts(calls)
    if verdict is None:
        return outcome
    return Outcome(
        id=stable_id(task.id, "tool"), status=verdict.status, source="tool", reason=verdict.reason,
        run_id=outcome.run_id, after_seq=outcome.after_seq, created_at=outcome.created_at,
    )  # fmt: skip


def _by_tools(task: _Open, calls: Sequence[TranscriptCall], *, closed: bool) -> Outcome | None:
    """What the last acts tell, once the agent has answered or the user has moved on."""
    acts = last_acts(calls)
    verdict = verdict_of_acts(calls)
    if verdict is None and (not acts or any(call.result is None for call in acts)):
        return None
    if not closed and (not task.reader.agent_said or asks(task.reader.agent_said)):
        return None
    last = task.messages[-1]
    return Outcome(
        id=stable_id(task.id, "tool"), status=verdict.status if verdict else "success", source="tool",
        reason=verdict.reason if verdict else "", after_seq=last.seq, created_at=last.created_at,
    )  # fmt: skip


def _data(task: _Open, progresses: Sequence[str]) -> TaskData:
    wishes: dict[str, None] = {}
    for message in task.messages:
        if message.role == "user":
            for sentence, _ in standing_wishes(own_words(message.text)):
                wishes.setdefault(sentence)
    return TaskData(
        task_description=task.request[:DESCRIPTION_CHARS],
        progresses=list(progresses)[:MOST_PROGRESSES],
        user_preferences=list(wishes)[:MOST_PREFERENCES],
    )


def _merged(parts: Sequence[Task], outcome: Outcome) -> Task:
    """One task instead of several: the first one's request, everybody's facts."""
    first, last = parts[0], parts[-1]
    progresses = [fact for part in parts for fact in part.data.get("progresses", [])]
    wishes = dict.fromkeys(wish for part in parts for wish in part.data.get("user_preferences", []))
    return first.model_copy(
        update={
            "data": TaskData(
                task_description=first.data["task_description"],
                progresses=progresses[:MOST_PROGRESSES],
                user_preferences=list(wishes)[:MOST_PREFERENCES],
            ),
            "status": status_of(outcome, closed=True, replied=True),
            "outcome": outcome,
            "last_seq": last.last_seq,
            "updated_at": last.updated_at,
            "space_digested": False,
        }
    )


# ------------------------------------------------------------ which outcome is believed


def is_verdict(outcome: Outcome | None) -> bool:
    """Whether it says success or failure, and may be believed."""
    return outcome is not None and outcome.weight > 0 and outcome.status in _VERDICTS


def weightier(current: Outcome | None, new: Outcome) -> Outcome:
    """The one to believe: the weightier; among equals the later."""
    return new if current is None or new.weight >= current.weight else current


def status_of(outcome: Outcome | None, *, closed: bool, replied: bool) -> TaskStatus:
    """What a task with this outcome is."""
    if outcome is not None and outcome.weight > 0:
        if outcome.status == "success":
            return "success"
        if outcome.status == "failed":
            return "failed"
        return "running" if outcome.status == "interrupted" else "pending"
    return "running" if replied and not closed else "pending"


def differs(old: Task | None, new: Task) -> bool:
    """Whether `new` says something else than the task that is kept."""
    if old is None:
        return True
    ignored = {"space_digested", "created_at", "updated_at"}
    return old.model_dump(exclude=ignored) != new.model_dump(exclude=ignored)
