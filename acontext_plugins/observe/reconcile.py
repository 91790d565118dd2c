"""Reconciling: a session's tasks while a model's answer is applied to them.

The model proposes; what is written is decided here. An entry that cites no message it was shown, names what does not
exist, or asks for what may not be, is dropped and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from acontext_store.tokenizer import words
from acontext_store.types import MessageLink, Outcome, StoredMessage, Task, TaskData, TaskOps, TaskStatus, stable_id

from ..protocols import Batch
from ..transcript.negation import turns, unturned
from ..transcript.user_turns import own_words
from .answer import InsertTask, LinkMessages, NotePreference, NoteProgress, TaskAnswer, UpdateTask
from .prompt_view import PromptView
from .rows import FINAL, Row, Scene, invents, plain, tidy
from .rules import BARE, DESCRIPTION_CHARS, MOST_PREFERENCES, MOST_PROGRESSES, differs
from .verdicts import hear, verdict

#: What a model may make of a task. From one verdict to the other, and from pending to failed, only by a user's words.
TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    "pending": frozenset(["running", "failed"]),
    "running": frozenset(["success", "failed"]),
    "success": frozenset(["running", "failed"]),
    "failed": frozenset(["running", "success"]),
}
PLANNING = "collecting planning and requirements"
#: Tasks of one answer; characters of a note, and of the shortest quote.
MOST_TASKS, NOTE_CHARS, QUOTE_CHARS = 30, 500, 4
#: The share of a preference's words that users must have said; else their own words are kept in its place.
GROUNDED = 0.5
_OF_EVERY_WISH = frozenset(words("user expects wants prefers likes asks requires"))
Entry = TypeVar("Entry")


def _is_past(before: Outcome, verdict: Outcome) -> bool:
    """Whether it only told how a run ended, and the verdict goes by what came later."""
    return before.weight <= BARE and before.after_seq < verdict.after_seq


class Dropped(Exception):
    """An entry of the answer that cannot be taken."""


def decide(batch: Batch, view: PromptView, answer: TaskAnswer | None) -> tuple[TaskOps, Counter[str]]:
    """What is written of the answer to this batch, and what was dropped of it, by reason. Pure."""
    board = TaskBoard(Scene(batch, view))
    said = [outcome for outcome in batch.outcomes if outcome.after_seq >= batch.observed_seq]
    hear(board.scene, [outcome for outcome in said if outcome.after_seq == batch.observed_seq])
    if answer is not None:
        board.apply(answer)
    hear(board.scene, [outcome for outcome in said if outcome.after_seq > batch.observed_seq])
    return board.ops(), board.dropped


class TaskBoard:
    """The tasks of one session, and what a model wants of them."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.dropped: Counter[str] = Counter()
        by_id = {row.id: row for row in scene.rows}
        self._names = {name: by_id[task.id] for name, task in scene.view.tasks.items()}

    def apply(self, answer: TaskAnswer) -> None:
        """New tasks first, then what is taken up again, messages, notes, and at last what has become of each task."""
        self._each(self._insert, enumerate(answer.insert[:MOST_TASKS]))
        self.dropped["too many tasks"] += len(answer.insert[MOST_TASKS:])
        self._each(self._update, (update for update in answer.update if update.status == "running"))
        self._each(self._link, ((link, name) for link in answer.link for name in link.messages))
        self._each(self._plan, answer.planning)
        self._each(self._note, answer.progress)
        self._each(self._prefer, answer.preferences)
        self._each(self._update, (update for update in answer.update if update.status != "running"))
        self.dropped += Counter()  # without those that are 0

    def _each(self, take: Callable[[Entry], None], entries: Iterable[Entry]) -> None:
        for entry in entries:
            try:
                take(entry)
            except Dropped as dropped:
                self.dropped[str(dropped)] += 1

    # -- what entries name

    def _row(self, name: str) -> Row:
        row = self._names.get(name.strip())
        if row is None:
            raise Dropped("unknown task")
        return row

    def _message(self, name: str) -> StoredMessage:
        message = self.scene.view.messages.get(name.strip())
        if message is None:
            raise Dropped("unknown message")
        return message

    def _cited(self, names: Sequence[str]) -> list[StoredMessage]:
        cited = self.scene.cited(names)
        if not cited:
            raise Dropped("uncited")
        return cited

    @staticmethod
    def _text(said: str, limit: int, cited: Sequence[StoredMessage]) -> str:
        text = tidy(said, limit)
        if not text:
            raise Dropped("empty")
        if invents(text, cited):
            raise Dropped("invented")
        return text

    # -- entries

    def _insert(self, numbered: tuple[int, InsertTask]) -> None:
        number, insert = numbered
        name, after, rows = insert.task.strip(), insert.after.strip(), self.scene.rows
        cited = self._cited(insert.cites)
        text = self._text(insert.description, DESCRIPTION_CHARS, cited)
        if not name or name in self._names:
            raise Dropped("id that is taken")
        messages = self.scene.batch.messages
        row = Row(
            id=stable_id(self.scene.batch.session.id, "task", messages[0].id, str(number)),
            description=text,
            created_at=cited[0].created_at,
            updated_at=messages[-1].created_at,
        )
        before = self._names.get(after)
        place = rows.index(before) + 1 if before is not None else 0 if after == "start" else len(rows)
        rows.insert(place, row)
        self._names[name] = row

    def _link(self, entry: tuple[LinkMessages, str]) -> None:
        link, name = entry
        row, message = self._row(link.task), self._message(name)
        owner = self.scene.owner(message)
        if owner == row.id:
            return
        if owner is not None:
            raise Dropped("message of another task")
        if row.status in FINAL:
            raise Dropped("message for a finished task")
        self.scene.link(message, row)
        row.goes_on()

    def _plan(self, name: str) -> None:
        message = self._message(name)
        if self.scene.owner(message) is not None:
            raise Dropped("message of another task")
        self.scene.plan(message)

    def _note(self, note: NoteProgress) -> None:
        row = self._row(note.task)
        row.progresses.append(self._text(note.note, NOTE_CHARS, self._cited(note.cites)))

    def _prefer(self, wish: NotePreference) -> None:
        row, cited = self._row(wish.task), self._cited(wish.cites)
        users = [message for message in cited if message.role == "user"]
        quote = plain(wish.quote)
        if not users:
            raise Dropped("uncited")
        if len(quote) < QUOTE_CHARS or not any(quote in plain(own_words(message.text)) for message in users):
            raise Dropped("misquoted")
        text = tidy(wish.preference, NOTE_CHARS)
        said = next(whole for message in users if quote in plain(whole := own_words(message.text)))
        if turns(text, wish.quote, said) or invents(text, users) or not self._is_said_by_users(text):
            text = tidy(unturned(wish.quote, said), NOTE_CHARS)
        if text not in row.preferences:
            row.preferences.append(text)

    def _is_said_by_users(self, text: str) -> bool:
        """Whether most of its words are words of users."""
        users = [message for message in self.scene.view.messages.values() if message.role == "user"]
        said = {word for message in users for word in words(own_words(message.text))}
        telling = [word for word in words(text) if word not in _OF_EVERY_WISH]
        return bool(telling) and sum(word in said for word in telling) >= GROUNDED * len(telling)

    def _update(self, update: UpdateTask) -> None:
        row, cited = self._row(update.task), self._cited(update.cites)
        if row.closed:
            raise Dropped("task that others have judged")
        if update.description is not None:
            row.description = self._text(update.description, DESCRIPTION_CHARS, cited)
        if update.status is None or update.status == row.status:
            return
        if update.status not in TRANSITIONS[row.status]:
            raise Dropped("transition that is not allowed")
        if update.status == "running":
            row.goes_on()
            return
        found = verdict(self.scene, row, update)
        if found is None:
            raise Dropped("verdict that nothing shows")
        if row.outcome is not None and row.outcome.weight > found.weight and not _is_past(row.outcome, found):
            raise Dropped("task that others have judged")
        row.outcome, row.status = found, update.status

    # -- what is written

    def ops(self) -> TaskOps:
        batch, scene = self.scene.batch, self.scene
        known = {task.id: task for task in batch.tasks}
        tasks = [self._task(row, order) for order, row in enumerate(scene.rows, 1)]
        changed = [task for task in tasks if differs(known.get(task.id), task)]
        links = [MessageLink(message_id=m.id, task_id=row.id) for row in scene.rows for m in row.links]
        if scene.planning:
            changed.append(self._planning())
            links += [MessageLink(message_id=m.id, task_id=scene.planning_id) for m in scene.planning]
        seen = batch.messages[-1].seq if batch.messages else batch.observed_seq
        return TaskOps(
            session_id=batch.session.id,
            tasks=tuple(changed),
            links=tuple(links),
            observed_seq=seen,
            resume_seq=seen + 1,
            more=batch.more,
        )

    def _task(self, row: Row, order: int) -> Task:
        return Task(
            id=row.id,
            session_id=self.scene.batch.session.id,
            project_id=self.scene.batch.session.project_id,
            order=order,
            data=TaskData(
                task_description=row.description,
                progresses=row.progresses[-MOST_PROGRESSES:],
                user_preferences=row.preferences[-MOST_PREFERENCES:],
            ),
            status=row.status,
            first_seq=row.first_seq,
            last_seq=row.last_seq,
            outcome=row.outcome,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )

    def _planning(self) -> Task:
        before, linked = self.scene.batch.planning, self.scene.planning
        first, last = min(m.seq for m in linked), max(m.seq for m in linked)
        return Task(
            id=self.scene.planning_id,
            session_id=self.scene.batch.session.id,
            project_id=self.scene.batch.session.project_id,
            order=0,
            data=TaskData(task_description=PLANNING, progresses=[], user_preferences=[]),
            is_planning=True,
            first_seq=first if before is None else min(before.first_seq, first),
            last_seq=last if before is None else max(before.last_seq, last),
            created_at=linked[0].created_at if before is None else before.created_at,
            updated_at=linked[-1].created_at,
        )
