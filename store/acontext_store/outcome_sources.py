"""Sources of outcomes: whose word an outcome is, how much each may claim, and what a revoked one takes with it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .errors import InvalidInput
from .records import valid
from .types import SOURCE_NAME_CHARS, Record, SkillStatus, TaskStatus

#: What became of a skill that rested on a revoked source. "retired": nothing else stands behind it. "changed": it was
#: learned anew from the rest. "kept": the rest teaches the same. "a person's": a person wrote or changed it, and so it
#: stays as it is. "waiting": it has not been learned anew yet.
SkillFate = Literal["retired", "changed", "kept", "a person's", "waiting"]

WaitsFor = Literal["model", "time", "failure"]


class NamedSource(Record):
    """A source of outcomes by its name: a framework, a person, a verifier of the user's."""

    name: str
    #: The most that its word weighs, from 0 to 1. None = it is not registered, and claims what the way it comes allows.
    strength: float | None = Field(default=None, ge=0, le=1)
    #: What it is, in a person's words.
    note: str = ""
    #: How many outcomes it has given.
    outcomes: int = 0
    registered_at: str | None = None
    #: Since when nothing that it says counts; None = it was not revoked, or has been registered anew.
    revoked_at: str | None = None


class WithdrawnVerdict(Record):
    """A task that is judged otherwise since a source of outcomes was revoked."""

    task_id: str
    session_id: str
    #: The host's own id of the conversation, where it has one.
    session_key: str | None = None
    #: What was asked; "" where nothing is left of the task.
    description: str = ""
    before: TaskStatus
    #: None = it is not there any more, or its session has not been observed anew yet.
    after: TaskStatus | None = None
    #: By whose word it is what it is now: a name, or the way that the outcome came; "" = nobody's.
    now_by: str = ""


class WithdrawnLesson(Record):
    """A skill that rested on a revoked source of outcomes, at least in part."""

    skill_id: str
    space_id: str
    use_when: str
    before: SkillStatus
    after: SkillStatus
    before_version: int
    after_version: int
    fate: SkillFate
    #: Tasks that stand behind it now as successes.
    support: int = 0


class Revocation(Record):
    """What rested on a revoked source of outcomes, compared with what is there when it is asked for."""

    source: NamedSource
    tasks: tuple[WithdrawnVerdict, ...] = ()
    skills: tuple[WithdrawnLesson, ...] = ()
    #: Ids of sessions that have not been observed anew yet, and of spaces that have not learned anew.
    waiting_sessions: tuple[str, ...] = ()
    waiting_spaces: tuple[str, ...] = ()
    #: Why the one who revoked it did not wait for them: a model has to be asked, its time ran out, or work failed.
    waits_for: WaitsFor | None = None

    @property
    def settled(self) -> bool:
        """Whether all that rested on the source has been done anew."""
        return not self.waiting_sessions and not self.waiting_spaces


def check_source_name(name: str) -> str:
    """The name. Raises InvalidInput for what cannot be one."""
    name = valid(name)
    if not isinstance(name, str) or not name.strip():
        raise InvalidInput(f'a source of outcomes needs a name, like "unit-tests"; found {name!r:.80}')
    if len(name) > SOURCE_NAME_CHARS:
        raise InvalidInput(
            f"the name of a source of outcomes has at most {SOURCE_NAME_CHARS} characters, {name[:24]!r}... has "
            f"{len(name)}: what there is to say of it goes into the reason, or its note"
        )
    if name != name.strip() or not name.isprintable():
        raise InvalidInput(
            f"the name of a source of outcomes has no blanks around it, and no line breaks or control characters in "
            f"it; found {name!r}"
        )
    return name
