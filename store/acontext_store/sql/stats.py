"""How much a project holds."""

from __future__ import annotations

from sqlalchemy import func, select

from ..types import StoreStats
from . import conversations, jobs
from .database import Tx
from .migrations import HEAD
from .tables import injections, messages, sessions, skills, spaces, tasks


def count(tx: Tx) -> StoreStats:
    by_status = tx.all(
        select(skills.c.status, func.count().label("number")).where(tx.mine(skills)).group_by(skills.c.status)
    )
    size = select(func.coalesce(func.sum(func.length(messages.c.body)), 0)).where(tx.mine(messages))
    due, dead = jobs.counts(tx)
    return StoreStats(
        schema_version=HEAD,
        sessions=conversations.count(tx, sessions),
        messages=conversations.count(tx, messages),
        tasks=conversations.count(tx, tasks),
        spaces=conversations.count(tx, spaces),
        skills={row.status: row.number for row in by_status},
        lanes_due=due,
        lanes_dead=dead,
        injections=conversations.count(tx, injections),
        bytes=int(tx.sql.execute(size).scalar_one()),
    )
