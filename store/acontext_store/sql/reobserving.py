"""A session that is observed from its first message again, as if nobody had read it."""

from __future__ import annotations

import time

from sqlalchemy import update

from ..types import now
from . import jobs
from .database import Tx
from .tables import episodes, messages, sessions, tasks
from .tables import lanes as lanes_table


def forget_tasks(tx: Tx, session_id: str, *, learn_in: float) -> None:
    """Forget the session's tasks and what they taught, and have the spaces that learned from them look again.

    They are due to learn `learn_in` seconds from now. When the session is observed is for the caller to say.
    """
    unlinked = {"task_id": None, "status": "pending", "updated_at": now()}
    tx.run(update(messages).where(tx.mine(messages, session_id=session_id)).values(unlinked))
    learned = {row.space_id for row in tx.all(episodes.select().where(tx.mine(episodes, session_id=session_id)))}
    for table in (episodes, tasks):
        tx.drop(table, session_id=session_id)
    for space_id in learned:
        jobs.schedule_now(tx, "learn", space_id, at=time.time() + learn_in)
    tx.drop(lanes_table, kind="observe", key=session_id)  # whoever observes it now has read what it was
    unread = {"observed_seq": 0, "observed_outcomes": 0, "resume_seq": 1, "updated_at": now()}
    tx.change(sessions, unread, id=session_id)
    tx.memory.tails.pop(session_id, None)
    tx.memory.lane_changes += 1
