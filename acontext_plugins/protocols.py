"""The two thinkers of the engine. They decide; they touch no database. Rules and models implement both."""

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

#: Earlier tasks of a session that a learner is told of.
MOST_EARLIER = 5


@dataclass(frozen=True, slots=True)
class Observation:
    """What an observer looks at: a session from its `resume_seq` on, or a batch of its messages."""

    session: Session
    messages: Sequence[StoredMessage]
    #: Outcomes said at or after the first of these messages, in order of arrival.
    outcomes: Sequence[Outcome]
    #: The session's tasks so far, by order, without the planning task.
    tasks: Sequence[Task]


@dataclass(frozen=True, slots=True)
class Batch(Observation):
    """Messages that have not been observed yet, and what they go on from.

    Its outcomes are those said at or after `observed_seq` or the first message of `again`: some were heard before.
    """

    #: The last message that has been observed.
    observed_seq: int = 0
    #: Earlier messages, oldest first: the newest ones, and those of tasks that are not finished or that an outcome
    #: speaks of.
    earlier: Sequence[StoredMessage] = ()
    #: Observed messages that an observer of the whole reads again: from `resume_seq` on.
    again: Sequence[StoredMessage] = ()
    planning: Task | None = None
    #: Which tasks have messages of the runs that the outcomes speak of: run -> ids of tasks.
    runs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Whether there are more messages than these.
    more: bool = False


@dataclass(frozen=True, slots=True)
class FinishedTask:
    """A finished task with all that a learner may read of it."""

    task: Task
    session: Session
    messages: Sequence[StoredMessage]
    #: Descriptions of the tasks before it in its session, at most `MOST_EARLIER`, oldest first.
    earlier: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LearningInput:
    """What a learner looks at: new finished tasks, and what the space has so far."""

    space: Space
    finished: Sequence[FinishedTask]
    episodes: Sequence[Episode]
    skills: Sequence[Skill]
    #: Paths of the pages that the space has.
    pages: Sequence[tuple[str, ...]] = ()
    #: Tasks that evidence of `skills` names, and that are not there any more as they were learned from: their
    #: conversation was replaced, or an observer has changed its mind.
    gone: Collection[str] = frozenset()


class Observer(Protocol):
    """Tells tasks and their outcomes from a conversation."""

    async def observe(self, observation: Observation) -> TaskOps:
        """Deterministic ids: the same observation gives the same tasks (a model: for the same answer), however often.

        An observer of the whole gives the same tasks in whatever pieces the conversation came.
        """


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much of a session an observer is shown at once."""

    #: So many messages are not waited longer for.
    buffer: int
    #: At most so many messages are observed together.
    most: int
    #: At most so many earlier messages of each task that is not finished.
    earlier: int


@runtime_checkable
class BatchObserver(Observer, Protocol):
    """An observer to whom a session is shown as one `Batch` after the other: each of its messages once."""

    @property
    def window(self) -> BatchLimits: ...


class Learner(Protocol):
    """Distils skills from finished tasks."""

    @property
    def batch(self) -> int:
        """How many tasks one lesson has, at most."""

    async def learn(self, lesson: LearningInput) -> SkillOps:
        """The wanted state of the space's skills after these tasks, as edits."""
