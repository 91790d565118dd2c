"""The two thinkers of the engine. They decide; they touch no database. Rules and models implement both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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


@dataclass(frozen=True, slots=True)
class Observation:
    """A session from its `resume_seq` on: what an observer looks at."""

    session: Session
    messages: Sequence[StoredMessage]
    #: Outcomes said at or after the first of these messages, in order of arrival.
    outcomes: Sequence[Outcome]
    #: The session's tasks so far, by order.
    tasks: Sequence[Task]


@dataclass(frozen=True, slots=True)
class FinishedTask:
    """A finished task with all that a learner may read of it."""

    task: Task
    session: Session
    messages: Sequence[StoredMessage]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a learner looks at: new finished tasks, and what the space has so far."""

    space: Space
    finished: Sequence[FinishedTask]
    episodes: Sequence[Episode]
    skills: Sequence[Skill]


class Observer(Protocol):
    """Tells tasks and their outcomes from a conversation."""

    async def observe(self, observation: Observation) -> TaskOps:
        """Deterministic ids: the same conversation gives the same tasks, however often and in whatever batches."""


class Learner(Protocol):
    """Distils skills from finished tasks."""

    async def learn(self, lesson: Lesson) -> SkillOps:
        """The wanted state of the space's skills after these tasks, as edits."""
