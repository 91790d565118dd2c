"""Rows: tasks while they are being changed, and the scene that all decisions on them look at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from acontext_store.types import Outcome, StoredMessage, Task, TaskStatus, stable_id

from ..protocols import Batch
from ..transcript.tool_calls import TranscriptCall
from ..transcript.user_turns import visible_words
from .prompt_view import PromptView, said_parts
from .rules import EXPLICIT, is_verdict

FINAL: tuple[TaskStatus, ...] = ("success", "failed")
#: Addresses, and marks with a digit in them: what a model must not make up.
_NAMED = re.compile(r"https?://\S+|www\.\S+|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+|[\w.-]*\d[\w.-]{5,}", re.IGNORECASE)
_EDGES = ".,;:!?)(\"'"
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
_SPACE = re.compile(r"\s+")


@dataclass(slots=True, eq=False)
class Row:
    """A task that is being changed."""

    id: str
    description: str
    created_at: str
    updated_at: str
    status: TaskStatus = "pending"
    progresses: list[str] = field(default_factory=list)
    preferences: list[str] = field(default_factory=list)
    outcome: Outcome | None = None
    first_seq: int = 0
    last_seq: int = 0
    #: Messages that it has got now.
    links: list[StoredMessage] = field(default_factory=list)

    @classmethod
    def of(cls, task: Task) -> Row:
        return cls(
            id=task.id,
            description=task.data["task_description"],
            created_at=task.created_at,
            updated_at=task.updated_at,
            status=task.status,
            progresses=list(task.data.get("progresses", [])),
            preferences=list(task.data.get("user_preferences", [])),
            outcome=task.outcome,
            first_seq=task.first_seq,
            last_seq=task.last_seq,
        )

    @property
    def closed(self) -> bool:
        """Whether somebody who knows has judged it."""
        return is_verdict(self.outcome) and self.outcome is not None and self.outcome.weight >= EXPLICIT

    def goes_on(self) -> None:
        """It is worked on, and what was said of it before no longer counts."""
        self.status, self.outcome = "running", None


class Scene:
    """A batch as it was shown, and which message belongs to which task by now."""

    def __init__(self, batch: Batch, view: PromptView) -> None:
        self.batch = batch
        self.view = view
        self.rows = [Row.of(task) for task in batch.tasks]
        #: Messages that have been linked to the planning task now.
        self.planning: list[StoredMessage] = []
        self._owner = {message.id: message.task_id for message in (*batch.earlier, *batch.messages)}

    @property
    def planning_id(self) -> str:
        return stable_id(self.batch.session.id, "planning")

    def owner(self, message: StoredMessage) -> str | None:
        """The task that it belongs to: its id."""
        return self._owner[message.id]

    def link(self, message: StoredMessage, row: Row) -> None:
        self._owner[message.id] = row.id
        row.links.append(message)
        row.first_seq = min(row.first_seq or message.seq, message.seq)
        row.last_seq = max(row.last_seq, message.seq)

    def plan(self, message: StoredMessage) -> None:
        self._owner[message.id] = self.planning_id
        self.planning.append(message)

    def cited(self, names: Sequence[str]) -> list[StoredMessage]:
        """The messages with these short ids, oldest first; those that are none are left out."""
        shown = self.view.messages
        found = {name.strip(): shown[name.strip()] for name in names if name.strip() in shown}
        return sorted(found.values(), key=lambda message: message.seq)

    def agents(self, row: Row) -> list[StoredMessage]:
        """What the agent said and did for the task, as far as it is shown."""
        shown = self.view.messages.values()
        return [message for message in shown if message.role == "assistant" and self.owner(message) == row.id]

    def calls(self, row: Row) -> list[TranscriptCall]:
        """What was called for the task, as far as it is shown."""
        return [call for call in self.view.calls if self._owner.get(call.message_id) == row.id]


def tidy(text: str, limit: int) -> str:
    """One line of at most `limit` characters, without control characters and our own markers."""
    return _SPACE.sub(" ", _CONTROL.sub(" ", visible_words(text))).strip()[:limit].strip()


def plain(text: str) -> str:
    """In lower case, with single spaces: as quotes are compared."""
    return _SPACE.sub(" ", text).strip().casefold()


def invents(text: str, cited: Sequence[StoredMessage]) -> bool:
    """Whether it names an address or a number that none of the messages holds."""
    said = plain("\n".join(line for message in cited for line in said_parts(message)))
    return any(plain(name).strip(_EDGES) not in said for name in _NAMED.findall(text))
