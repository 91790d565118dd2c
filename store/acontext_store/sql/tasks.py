"""Tasks: what an observer decided about a session, and what waits to be learned from."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Row

from ..errors import Conflict, InvalidInput
from ..types import Claim, Outcome, Page, Task, TaskOps, now
from . import jobs
from .database import Tx, check_limit, dump, load, page, row_of
from .tables import episodes, messages, sessions, tasks

#: More than any table has: SQLite's largest number.
MOST_ROWS = 2**63 - 1

# what each observation says, bare: written anew each time, they would take longer than what they do
_LINK = """
UPDATE messages SET task_id = :task_id, updated_at = :now
WHERE project_id = :project_id AND session_id = :session_id AND seq BETWEEN :first AND :last AND task_id IS NULL
"""
_OF_RUN = """
SELECT DISTINCT task_id FROM messages
WHERE project_id = ? AND session_id = ? AND run_id = ? AND task_id IS NOT NULL ORDER BY task_id
"""
_OBSERVED = """
UPDATE messages SET status = 'success', updated_at = :now
WHERE project_id = :project_id AND session_id = :session_id AND seq BETWEEN :first AND :last AND status != 'success'
"""
_BEFORE = f"""
SELECT {", ".join(column.name for column in tasks.columns)} FROM tasks
WHERE project_id = ? AND session_id = ? AND position < ? AND is_planning = 0 ORDER BY position DESC LIMIT ?
"""
_UNLINK = """
UPDATE messages SET task_id = NULL, updated_at = :now
WHERE project_id = :project_id AND session_id = :session_id AND task_id = :task_id AND seq BETWEEN :first AND :last
"""
# `+` keeps to the session's few tasks, instead of all that waits in the space
_WAITING = """
SELECT 1 FROM tasks
WHERE project_id = ? AND session_id = ? AND +space_id = ? AND space_digested = 0
    AND status IN ('success', 'failed') AND is_planning = 0 LIMIT 1
"""
# a learner that holds the lane now has not seen these changes: see `digest`
_CHANGED = """
UPDATE tasks SET learn_token = (SELECT token FROM lanes WHERE project_id = ? AND kind = 'learn' AND key = ?)
WHERE project_id = ? AND id = ?
"""
# what has failed for good must not keep a space from learning something else
_ANOTHER_CHANCE = """
UPDATE lanes SET dead_at = NULL WHERE project_id = ? AND kind = 'learn' AND key = ? AND dead_at IS NOT NULL
"""
_DIGESTED = """
UPDATE tasks SET space_digested = 1 WHERE project_id = ? AND id = ? AND space_id = ? AND learn_token < ?
"""


def list_tasks(tx: Tx, session_id: str, *, limit: int, cursor: str | None, time_desc: bool) -> Page[Task]:
    tx.get(sessions, "session", session_id)
    query = tasks.select().where(tx.mine(tasks, session_id=session_id), tasks.c.is_planning.is_(False))
    return page(tx, query, tasks.c.position, tasks.c.id, _task, limit=limit, cursor=cursor, time_desc=time_desc)


def task(tx: Tx, task_id: str) -> Task:
    return _task(tx.get(tasks, "task", task_id))


def before(tx: Tx, task: Task, *, limit: int) -> list[Task]:
    found = tx.raw.execute(_BEFORE, (tx.project_id, task.session_id, task.order, limit)).fetchall()
    return [_task(row) for row in map(row_of(tasks)._make, reversed(found))]


def of_session(tx: Tx, session_id: str, *, planning: bool) -> list[Task]:
    """Its tasks, by order; or those of planning."""
    rows = tx.rows(tasks, "position, id", session_id=session_id, is_planning=planning)
    return [_task(row) for row in rows]


def of_run(tx: Tx, session_id: str, run_id: str) -> list[str]:
    return [task_id for (task_id,) in tx.raw.execute(_OF_RUN, (tx.project_id, session_id, run_id))]


def resume_seq(tx: Tx, session_id: str) -> int:
    return int(tx.get(sessions, "session", session_id).resume_seq)


def observed_seq(tx: Tx, session_id: str) -> int:
    return int(tx.get(sessions, "session", session_id).observed_seq)


def undigested(tx: Tx, space_id: str, *, limit: int) -> list[Task]:
    query = (
        tasks.select()
        .where(jobs.undigested(tx, space_id))
        .order_by(tasks.c.created_at, tasks.c.id)
        .limit(check_limit(limit, most=None))
    )
    return [_task(row) for row in tx.all(query)]


def apply(tx: Tx, claim: Claim, ops: TaskOps, *, learn_after: float, buffer: int) -> None:
    """What an observer decided, and the release of its lane."""
    if claim.kind != "observe" or claim.key != ops.session_id:
        raise InvalidInput(f"a claim on {claim.kind} {claim.key!r} cannot change session {ops.session_id!r}")
    for task in ops.tasks:
        if (task.project_id, task.session_id) != (tx.project_id, ops.session_id):
            raise InvalidInput(f"task {task.id!r} is of another session than {ops.session_id!r}, or another project")
    lane = jobs.fence(tx, claim)
    session = tx.get(sessions, "session", ops.session_id)
    _remove(tx, ops)
    exact = ops.links is not None
    changed = {task.id: task for task in ops.tasks if _store(tx, session.space_id, task, unlink=not exact)}
    if not exact:
        for task in changed.values():
            _link(tx, task)
    relinked = [task_id for task_id in _link_exactly(tx, session, ops) if task_id not in changed]
    _mark_observed(tx, session, ops, nothing_new=lane.due_at is None)
    if session.space_id is not None:
        _learn_later(tx, session, [*changed, *relinked], learn_after)
    patient = buffer > 0 and not ops.more and jobs.waiting(tx, session.id) < buffer
    jobs.finish(tx, claim, patient=patient)


def _remove(tx: Tx, ops: TaskOps) -> None:
    for task_id in ops.removed:
        if tx.drop(tasks, id=task_id, session_id=ops.session_id):
            _unlink(tx, ops.session_id, task_id)
            tx.drop(episodes, task_id=task_id)


def _unlink(tx: Tx, session_id: str, task_id: str, first: int = 0, last: int = MOST_ROWS) -> None:
    values = {
        "project_id": tx.project_id,
        "session_id": session_id,
        "task_id": task_id,
        "first": first,
        "last": last,
        "now": now(),
    }
    tx.raw.execute(_UNLINK, values)


def _store(tx: Tx, space_id: str | None, task: Task, *, unlink: bool) -> bool:
    """Insert or replace it. False where it is there already and says the same."""
    content = {
        "status": task.status,
        "is_planning": task.is_planning,
        "data": dump(task.data),
        "outcome": None if task.outcome is None else dump(task.outcome.model_dump()),
        "first_seq": task.first_seq,
        "last_seq": task.last_seq,
    }
    before = tx.find(tasks, id=task.id)
    if before is None:
        tx.add(
            tasks,
            [
                dict(
                    id=task.id,
                    session_id=task.session_id,
                    space_id=space_id,
                    position=task.order,
                    space_digested=task.space_digested,
                    created_at=task.created_at,
                    updated_at=task.updated_at,
                    **content,
                )
            ],
        )
        return True
    if before.session_id != task.session_id:
        raise Conflict(f"task {task.id!r} belongs to session {before.session_id!r}, not to {task.session_id!r}")
    if before.position != task.order:
        tx.change(tasks, {"position": task.order}, id=task.id)
    if all(getattr(before, name) == value for name, value in content.items()):
        return False
    tx.change(tasks, {"space_id": space_id, "space_digested": False, "updated_at": now(), **content}, id=task.id)
    if unlink and (before.first_seq, before.last_seq) != (task.first_seq, task.last_seq):
        _unlink(tx, task.session_id, task.id, before.first_seq, before.last_seq)
    return True


def _link(tx: Tx, task: Task) -> None:
    values = {
        "project_id": tx.project_id,
        "session_id": task.session_id,
        "task_id": task.id,
        "first": task.first_seq,
        "last": task.last_seq,
        "now": now(),
    }
    tx.raw.execute(_LINK, values)


def _link_exactly(tx: Tx, session: Any, ops: TaskOps) -> list[str]:
    """The messages of `links` to their tasks; the ids of tasks that have got or lost some."""
    touched: dict[str, None] = {}
    for link in ops.links or ():
        before = tx.find(messages, id=link.message_id, session_id=session.id)
        if before is None:
            raise InvalidInput(f"session {session.id!r} has no message {link.message_id!r}")
        if tx.find(tasks, id=link.task_id, session_id=session.id) is None:
            raise InvalidInput(f"session {session.id!r} has no task {link.task_id!r}")
        if before.task_id != link.task_id:
            values = {"task_id": link.task_id, "updated_at": now()}
            tx.change(messages, values, id=link.message_id, session_id=session.id)
            touched |= {id: None for id in (before.task_id, link.task_id) if id is not None}
    for task_id in touched:
        tx.change(tasks, {"space_digested": False, "space_id": session.space_id}, id=task_id)
    return list(touched)


def _mark_observed(tx: Tx, session: Any, ops: TaskOps, *, nothing_new: bool) -> None:
    last_seq, outcome_count = jobs.ends(tx, session.id)
    observed = max(session.observed_seq, min(ops.observed_seq, last_seq))
    values: dict[str, object] = {"observed_seq": observed, "resume_seq": max(ops.resume_seq, 1)}
    if nothing_new:
        values["observed_outcomes"] = outcome_count
    tx.change(sessions, values, id=session.id)
    seen = {
        "project_id": tx.project_id,
        "session_id": session.id,
        "first": session.observed_seq + 1,
        "last": observed,
        "now": now(),
    }
    tx.raw.execute(_OBSERVED, seen)


def _learn_later(tx: Tx, session: Any, changed: list[str], learn_after: float) -> None:
    if tx.raw.execute(_WAITING, (tx.project_id, session.id, session.space_id)).fetchone() is None:
        return
    jobs.at_the_latest(tx, "learn", session.space_id, time.time() + learn_after)
    if changed:
        tx.raw.execute(_ANOTHER_CHANCE, (tx.project_id, session.space_id))
    tx.raw.executemany(_CHANGED, [(tx.project_id, session.space_id, tx.project_id, task_id) for task_id in changed])


def digest(tx: Tx, claim: Claim, task_ids: tuple[str, ...]) -> None:
    """They have been looked at, but for those that changed after the learner claimed its lane."""
    tx.raw.executemany(_DIGESTED, [(tx.project_id, task_id, claim.key, claim.token) for task_id in task_ids])


def _task(row: Row[Any]) -> Task:
    return Task.model_construct(
        id=row.id,
        session_id=row.session_id,
        project_id=row.project_id,
        order=row.position,
        data=load(row.data),
        status=row.status,
        is_planning=bool(row.is_planning),
        space_digested=bool(row.space_digested),
        first_seq=row.first_seq,
        last_seq=row.last_seq,
        outcome=None if row.outcome is None else Outcome(**load(row.outcome)),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
