"""Sessions as wholes: listed, and deleted with all that they hold."""

from __future__ import annotations

from sqlalchemy import func

from ..containment import filter_text, needles
from ..types import Json, Page, Session
from . import blob_references, disks
from .connect import CONTAINS
from .conversations import session_of
from .database import Tx, page
from .tables import call_fates, episodes, evidence, injections, messages, outcomes, session_blobs, sessions, tasks
from .tables import lanes as lanes_table


def list_sessions(
    tx: Tx,
    *,
    space_id: str | None,
    not_connected: bool,
    key: str | None,
    principal: str | None,
    filter_by_configs: Json | None,
    limit: int,
    cursor: str | None,
    time_desc: bool,
) -> Page[Session]:
    query = sessions.select().where(tx.mine(sessions))
    if not_connected:
        query = query.where(sessions.c.space_id.is_(None))
    elif space_id is not None:
        query = query.where(sessions.c.space_id == space_id)
    if key is not None:
        query = query.where(sessions.c.key == key)
    if principal is not None:
        query = query.where(sessions.c.principal == principal)
    if filter_by_configs is not None and (wanted := filter_text(filter_by_configs)) != "{}":
        for needle in needles(wanted):
            query = query.where(func.instr(sessions.c.configs, needle) > 0)
        query = query.where(getattr(func, CONTAINS)(sessions.c.configs, wanted))
    return page(
        tx,
        query,
        sessions.c.created_at,
        sessions.c.id,
        session_of,
        limit=limit,
        cursor=cursor,
        time_desc=time_desc,
    )


def delete_session(tx: Tx, session_id: str) -> None:
    tx.get(sessions, "session", session_id)
    tx.drop(lanes_table, kind="observe", key=session_id)
    disks.drop_of_session(tx, session_id)
    blobs = blob_references.of_session(tx, session_id)
    for table in (episodes, evidence, tasks, outcomes, call_fates, messages, session_blobs):
        tx.drop(table, session_id=session_id)
    blob_references.release(tx, blobs)
    tx.change(injections, {"session_id": None}, session_id=session_id)
    tx.drop(sessions, id=session_id)
    tx.memory.tails.pop(session_id, None)
    tx.purged = True
