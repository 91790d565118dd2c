"""Observer and Learner: the interfaces behind which rules and models decide. They touch no database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from acontext_store.types import (
    Episode,
    Outcome,
    Session,
    Skill,
    SkillOps,
    Space,
    StoredMessage,
    Task,
    TaskOps,
)

__all__ = [
    "MOST_EARLIER",
    "Batch",
    "BatchLimits",
    "BatchObserver",
    "FinishedTask",
    "Learner",
    "LearningInput",
    "Observation",
    "Observer",
]

#: The most earlier tasks of a session that a learner is told about.
MOST_EARLIER = 5


@dataclass(frozen=True, slots=True)
class Observation:
    """The input of an observer: a session from its `resume_seq` on, or a batch of its messages."""

    session: Session
    messages: Sequence[StoredMessage]
    #: Outcomes that were said at or after the first of these messages, in order of arrival.
    outcomes: Sequence[Outcome]
    #: The session's tasks so far, by order, without the planning task.
    tasks: Sequence[Task]


@dataclass(frozen=True, slots=True)
class Batch(Observation):
    """Messages that have not been observed yet, and the earlier messages that they continue.

    The outcomes are those that were said at or after `observed_seq` or the first message of `again`: earlier batches
    held some of them, too.
    """

    #: The number of the last message that has been observed.
    observed_seq: int = 0
    #: Earlier messages, oldest first: the newest ones, and those of tasks that are unfinished or that an outcome names.
    earlier: Sequence[StoredMessage] = ()
    #: Observed messages that an observer of whole sessions reads again: from `resume_seq` on.
    again: Sequence[StoredMessage] = ()
    planning: Task | None = None
    #: For each run that an outcome names: the ids of the tasks that have messages of it.
    runs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Whether the session has more messages than this batch.
    more: bool = False


@dataclass(frozen=True, slots=True)
class FinishedTask:
    """A finished task, and the messages that a learner may read of it."""

    task: Task
    session: Session
    messages: Sequence[StoredMessage]
    #: Descriptions of the tasks before it in its session, at most `MOST_EARLIER`, oldest first.
    earlier: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LearningInput:
    """New finished tasks, and the skills and pages that their space has so far: what a learner reads."""

    space: Space
    finished: Sequence[FinishedTask]
    episodes: Sequence[Episode]
    skills: Sequence[Skill]
    #: Paths of the pages that the space has.
    pages: Sequence[tuple[str, ...]] = ()
    #: Ids of tasks that evidence of `skills` names and that no longer exist in that form: their conversation was
    #: replaced, or an observer has decided otherwise.
    gone: Collection[str] = frozenset()


class Observer(Protocol):
    """Finds tasks and their outcomes in a conversation."""

    async def observe(self, observation: Observation) -> TaskOps:
        """The tasks of a conversation, as changes to those that it has. Raises LearningUnavailable.

        The ids of tasks are derived from the messages, so observing the same conversation twice gives the same tasks
        (with a model: for the same answer). The tasks of an observer of whole sessions do not depend on how the
        conversation was cut into observations.
        """


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much of a session one batch holds."""

    #: The number of waiting messages at which a batch is observed without further delay.
    buffer: int
    #: The most messages of a batch.
    most: int
    #: The most earlier messages that a batch repeats of each unfinished task.
    earlier: int


@runtime_checkable
class BatchObserver(Observer, Protocol):
    """An observer that reads a session as one `Batch` after the other: each message is new in one of them."""

    @property
    def window(self) -> BatchLimits:
        """How much of a session one batch holds."""


class Learner(Protocol):
    """Distils skills from finished tasks."""

    @property
    def batch(self) -> int:
        """The most finished tasks that one `learn` is given."""

    async def learn(self, lesson: LearningInput) -> SkillOps:
        """The changes to the skills of the space that these tasks teach. Raises LearningUnavailable."""
