"""Progress: how far the finished tasks of a session have been learned from, and what holds that up."""

from __future__ import annotations

from sqlalchemy import select

from ..types import Lane, LearningStatus
from . import jobs, learned
from .database import Tx
from .tables import sessions, tasks


def learning_status(tx: Tx, session_id: str) -> LearningStatus:
    session = tx.get(sessions, "session", session_id)
    query = select(tasks.c.id, tasks.c.space_id, tasks.c.space_digested).where(
        tx.mine(tasks, session_id=session_id),
        tasks.c.space_id.is_not(None),
        tasks.c.status.in_(("success", "failed")),
        tasks.c.is_planning.is_(False),
    )
    rows = tx.all(query)
    digested = {row.id for row in rows if row.space_digested}
    left = [row.space_id for row in rows if not row.space_digested]
    waiting = digested & learned.waiting_tasks(tx, session_id) if digested else set()
    troubled = _troubled(tx, session_id, {session.space_id, *left} - {None})
    dead = {lane.key for lane in troubled if lane.dead_at is not None and lane.kind == "learn"}
    return LearningStatus(
        space_digested_count=len(digested) - len(waiting),
        not_space_digested_count=len(left),
        waiting_count=len(waiting),
        failed_count=sum(space_id in dead for space_id in left),
        errmsg="; ".join(_said(lane) for lane in troubled),
    )


def _troubled(tx: Tx, session_id: str, space_ids: set[str]) -> list[Lane]:
    """The lanes that this session is learned by, as far as they fail."""
    found = jobs.list_lanes(tx, dead=None, session_id=session_id)
    for space_id in sorted(space_ids):
        found += [lane for lane in jobs.list_lanes(tx, dead=None, key=space_id) if lane.kind == "learn"]
    return [lane for lane in found if lane.failing or lane.dead_at is not None]


def _said(lane: Lane) -> str:
    doing = "observing" if lane.kind == "observe" else "learning"
    state = "has failed for good" if lane.dead_at is not None else "fails, and is tried again"
    return f"{doing} {state}: {lane.reason}"
