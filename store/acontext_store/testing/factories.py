"""Words that the contracts speak with: nouns in few letters, and the way to a given state."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..protocols import Pending, Store
from ..types import (
    Claim,
    Evidence,
    LaneKind,
    Message,
    Outcome,
    OutcomeStatus,
    Part,
    Role,
    SearchText,
    Session,
    SkillBody,
    SkillEdit,
    SkillOps,
    SkillStatus,
    Space,
    Step,
    Task,
    TaskOps,
    TaskStatus,
    new_id,
)

T = TypeVar("T")
PROJECT = "p1"


def done(pending: Pending[T]) -> T:
    """The result, or the error, of something that must not take long."""
    return pending.result(60)


def each(*pending: Pending[Any]) -> tuple[Pending[Any], ...]:
    """Answers of different kinds, to be looked at in the same way."""
    return pending


def until(condition: Callable[[], T], *, seconds: float = 30.0) -> T:
    """What `condition` returns as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.005)
    return value


def a_session(id: str = "s1", *, project_id: str = PROJECT, **fields: Any) -> Session:
    return Session(id=id, project_id=project_id, **fields)


def said(text: str, *, id: str | None = None, role: Role = "user") -> Message:
    return Message(id=id or new_id(), role=role, parts=(Part(type="text", text=text),))


def an_outcome(status: OutcomeStatus = "success", **fields: Any) -> Outcome:
    return Outcome(status=status, source="report", **fields)


def texts(store: Store, session_id: str, **options: Any) -> list[str]:
    return [message.text for message in done(store.messages(session_id, **options)).items]


def a_space(store: Store, name: str | None = None) -> str:
    return done(store.create_space(Space(id=new_id(), project_id=store.project_id, name=name))).id


def talk(store: Store, session_id: str = "s1", *, space_id: str | None = None, count: int = 2) -> None:
    """A session with some messages, whose observe work is due."""
    done(
        store.append(
            session_id,
            [said(f"message {n}", id=f"{session_id}-m{n}") for n in range(1, count + 1)],
            ensure=a_session(session_id, project_id=store.project_id, space_id=space_id),
        )
    )


def claimed(store: Store, kind: LaneKind, key: str, *, owner: str = "w1", lease: float = 600.0) -> Claim:
    """The claim on that lane, which must be due."""
    claims = done(store.claim(owner, kinds=[kind], lease=lease, limit=1000))
    found = [claim for claim in claims if claim.key == key]
    for claim in claims:
        if claim.key != key:
            done(store.release(claim))
    assert found, f"{kind} {key} was not due"
    return found[0]


def a_task(
    id: str = "t1",
    *,
    session_id: str = "s1",
    project_id: str = PROJECT,
    status: TaskStatus = "success",
    order: int = 1,
    first_seq: int = 1,
    last_seq: int = 2,
    about: str = "book a table",
    **fields: Any,
) -> Task:
    return Task(
        id=id,
        session_id=session_id,
        project_id=project_id,
        order=order,
        data={"task_description": about},
        status=status,
        first_seq=first_seq,
        last_seq=last_seq,
        **fields,
    )


def observed(
    store: Store,
    tasks: Sequence[Task],
    *,
    session_id: str = "s1",
    removed: Sequence[str] = (),
    observed_seq: int = 2,
    resume_seq: int = 1,
    learn_after: float = 0.0,
) -> None:
    """An observer saw the session's messages, and found these tasks."""
    done(store.schedule_now("observe", session_id))
    ops = TaskOps(
        session_id=session_id,
        tasks=tuple(tasks),
        removed=tuple(removed),
        observed_seq=observed_seq,
        resume_seq=resume_seq,
    )
    done(store.apply_tasks(claimed(store, "observe", session_id), ops, learn_after=learn_after))


def a_body(use_when: str = "booking a table", *, steps: Sequence[str] = ("search", "book"), **fields: Any) -> SkillBody:
    return SkillBody(
        use_when=use_when, tool_sops=tuple(Step(tool_name=step, action=f"{step} it") for step in steps), **fields
    )


def an_edit(
    skill_id: str = "k1",
    *,
    body: SkillBody | None = None,
    status: SkillStatus = "active",
    requests: Sequence[str] = (),
    sessions: Sequence[str] = ("s1",),
    **fields: Any,
) -> SkillEdit:
    body = body or a_body()
    return SkillEdit(
        skill_id=skill_id,
        title=fields.pop("title", body.use_when),
        status=status,
        origin=fields.pop("origin", "rules"),
        body=body,
        evidence=tuple(
            Evidence(session_id=session, task_id=f"{session}-t", outcome="success", gave=("body",))
            for session in sessions
        ),
        texts=tuple(SearchText(kind="request", text=text) for text in requests),
        **fields,
    )


def learned(store: Store, space_id: str, *edits: SkillEdit, **ops: Any) -> int:
    """A learner looked at the space, and decided this. The number of versions that were written."""
    done(store.schedule_now("learn", space_id))
    return done(store.apply_skills(claimed(store, "learn", space_id), SkillOps(space_id=space_id, edits=edits, **ops)))
