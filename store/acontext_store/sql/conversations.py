"""Sessions, messages and outcomes. `append` is the hot path: bare SQL, one insert a message."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, func, select, update

from ..errors import Conflict, InvalidInput, NotFound
from ..types import Appended, Json, Message, Outcome, Page, Part, Session, StoredMessage, now
from . import lanes
from .connect import clean, dump, load
from .paging import check_limit, decode_number_cursor, encode_cursor
from .paging import page as page_of
from .tables import episodes, evidence, injections, messages, outcomes, sessions, spaces, tasks
from .tables import lanes as lanes_table
from .tx import Counters, Tx

# ----------------------------------------------------------------------------------------------- sessions


def create_session(tx: Tx, session: Session) -> Session:
    _check_project(tx, session)
    _check_space(tx, session.space_id)
    if tx.one(select(sessions.c.id).where(tx.mine(sessions, id=session.id))) is not None:
        raise Conflict(f"there is a session {session.id!r} already: use another id, or go on with that one")
    _insert_session(tx, session)
    return session


def _check_project(tx: Tx, session: Session) -> None:
    if session.project_id != tx.project_id:
        raise InvalidInput(f"the session belongs to project {session.project_id!r}, this store to {tx.project_id!r}")


def _check_space(tx: Tx, space_id: str | None) -> None:
    if space_id is not None and tx.one(select(spaces.c.id).where(tx.mine(spaces, id=space_id))) is None:
        raise NotFound("space", space_id)


def _insert_session(tx: Tx, session: Session) -> None:
    if session.key is not None:
        taken = tx.one(select(sessions.c.id).where(tx.mine(sessions, key=session.key)))
        if taken is not None:
            raise Conflict(f"session {taken.id!r} has the key {session.key!r} already: go on with that one")
    tx.run(
        sessions.insert().values(
            project_id=tx.project_id,
            id=session.id,
            space_id=session.space_id,
            key=session.key,
            principal=None if session.principal is None else clean(session.principal),
            agent=None if session.agent is None else clean(session.agent),
            disable_task_tracking=session.disable_task_tracking,
            configs=None if session.configs is None else dump(session.configs),
            created_at=session.created_at,
            updated_at=session.updated_at,
        )
    )


def session(tx: Tx, session_id: str) -> Session:
    return _session(tx.get(sessions, "session", session_id))


def list_sessions(
    tx: Tx,
    *,
    space_id: str | None,
    not_connected: bool,
    key: str | None,
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
    return page_of(
        tx,
        query,
        sessions.c.created_at,
        sessions.c.id,
        _session,
        limit=limit,
        cursor=cursor,
        time_desc=time_desc,
    )


def update_session(tx: Tx, session_id: str, *, configs: Json | None, space_id: str | None) -> Session:
    before = tx.get(sessions, "session", session_id)
    _check_space(tx, space_id)
    values: dict[str, Any] = {"updated_at": now()}
    if configs is not None:
        values["configs"] = dump(configs)
    if space_id is not None and space_id != before.space_id:
        values["space_id"] = space_id
        # what waits to be learned was said for another space: it stays out of this one, and out of that one
        tx.run(
            update(tasks)
            .where(tx.mine(tasks, session_id=session_id), tasks.c.space_digested.is_(False))
            .values(space_id=None)
        )
    tx.run(update(sessions).where(tx.mine(sessions, id=session_id)).values(**values))
    return session(tx, session_id)


def delete_session(tx: Tx, session_id: str) -> None:
    tx.get(sessions, "session", session_id)
    tx.run(delete(lanes_table).where(tx.mine(lanes_table, kind="observe", key=session_id)))
    for table in (episodes, evidence, tasks, outcomes, messages):
        tx.run(delete(table).where(tx.mine(table, session_id=session_id)))
    tx.run(update(injections).where(tx.mine(injections, session_id=session_id)).values(session_id=None))
    tx.run(delete(sessions).where(tx.mine(sessions, id=session_id)))
    tx.purged = True


def _session(row: Row[Any]) -> Session:
    return Session.model_construct(
        id=row.id,
        project_id=row.project_id,
        space_id=row.space_id,
        key=row.key,
        principal=row.principal,
        agent=row.agent,
        disable_task_tracking=bool(row.disable_task_tracking),
        configs=None if row.configs is None else load(row.configs),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


# ----------------------------------------------------------------------------------------------- messages

_COUNTERS = (
    "SELECT disable_task_tracking, last_seq, last_message_id, outcome_count, bytes FROM sessions "
    "WHERE project_id = ? AND id = ?"
)
_INSERT_MESSAGE = (
    "INSERT INTO messages (project_id, session_id, seq, id, role, run_id, parent_id, body, created_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project_id, session_id, id) DO NOTHING"
)
_INSERT_OUTCOME = (
    "INSERT INTO outcomes (project_id, session_id, number, id, status, source, reason, run_id, after_seq, created_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project_id, session_id, id) DO NOTHING"
)
_SET_COUNTERS = (
    "UPDATE sessions SET last_seq = ?, last_message_id = ?, outcome_count = ?, bytes = ? "
    "WHERE project_id = ? AND id = ?"
)


def append(
    tx: Tx,
    session_id: str,
    new_messages: Sequence[Message],
    new_outcomes: Sequence[Outcome],
    ensure: Session | None,
    quiet: float,
    max_wait: float,
) -> Appended:
    counters = tx.counters.get(session_id) or _load_counters(tx, session_id, ensure)
    project_id, insert = tx.project_id, tx.raw.execute
    seq, parent, size, fresh = counters.last_seq, counters.last_message_id, counters.bytes, 0
    for message in new_messages:
        body = message_body(message)
        run_id = message.run_id
        row = (
            project_id,
            session_id,
            seq + 1,
            message.id,
            message.role,
            run_id,
            parent,
            body,
            message.created_at,
        )
        if insert(_INSERT_MESSAGE, row).rowcount:
            seq += 1
            fresh += 1
            parent = message.id
            size += len(body)
    said = counters.outcome_count
    for outcome in new_outcomes:
        reason = dump(outcome.reason)
        values = (
            project_id,
            session_id,
            said + 1,
            outcome.id,
            outcome.status,
            outcome.source,
            reason,
            outcome.run_id,
            seq,
            outcome.created_at,
        )
        if insert(_INSERT_OUTCOME, values).rowcount:
            said += 1
            size += len(reason)
    if fresh or said != counters.outcome_count:
        counters.last_seq, counters.last_message_id = seq, parent
        counters.outcome_count, counters.bytes = said, size
        if counters.tracked:
            moment = time.time()
            counters.due_at, counters.deadline = moment + quiet, moment + max_wait
        tx.counters[session_id] = counters
    return Appended.model_construct(
        session_id=session_id,
        message_ids=tuple(message.id for message in new_messages),
        new=fresh,
        last_seq=seq,
    )


def settle(tx: Tx) -> None:
    """Write what the appends so far have changed on their sessions, and make their observe work due."""
    if not tx.counters:
        return
    for session_id, counters in tx.counters.items():
        tx.raw.execute(
            _SET_COUNTERS,
            (
                counters.last_seq,
                counters.last_message_id,
                counters.outcome_count,
                counters.bytes,
                tx.project_id,
                session_id,
            ),
        )
        if counters.due_at is not None:
            lanes.observe_later(tx, session_id, due_at=counters.due_at, deadline=counters.deadline)
    tx.counters.clear()


def _load_counters(tx: Tx, session_id: str, ensure: Session | None) -> Counters:
    row = tx.raw.execute(_COUNTERS, (tx.project_id, session_id)).fetchone()
    if row is None:
        if ensure is None:
            raise NotFound("session", session_id)
        if ensure.id != session_id:
            raise InvalidInput(f"`ensure` is session {ensure.id!r}, the messages are for {session_id!r}")
        _check_project(tx, ensure)
        _check_space(tx, ensure.space_id)
        _insert_session(tx, ensure)
        return Counters(not ensure.disable_task_tracking, 0, None, 0, 0)
    return Counters(not row[0], row[1], row[2], row[3], row[4])


def message_body(message: Message) -> str:
    """What a message says, as JSON: its parts without what is empty."""
    body: dict[str, Any] = {"parts": [_part(part) for part in message.parts]}
    if message.format != "openai":
        body["format"] = message.format
    if message.native is not None:
        body["native"] = message.native
    if message.meta:
        body["meta"] = message.meta
    return dump(body)


def _part(part: Part) -> dict[str, Any]:
    packed: dict[str, Any] = {"type": part.type}
    if part.text is not None:
        packed["text"] = part.text
    if part.meta is not None:
        packed["meta"] = part.meta
    if part.asset is not None:
        packed["asset"] = part.asset
    if part.filename is not None:
        packed["filename"] = part.filename
    return packed


def _message(row: Row[Any]) -> StoredMessage:
    body = load(row.body)
    return StoredMessage.model_construct(
        id=row.id,
        role=row.role,
        parts=tuple(
            Part.model_construct(
                type=part["type"],
                text=part.get("text"),
                meta=part.get("meta"),
                asset=part.get("asset"),
                filename=part.get("filename"),
            )
            for part in body["parts"]
        ),
        format=body.get("format", "openai"),
        native=body.get("native"),
        meta=body.get("meta", {}),
        run_id=row.run_id,
        created_at=row.created_at,
        project_id=row.project_id,
        session_id=row.session_id,
        seq=row.seq,
        parent_id=row.parent_id,
        task_id=row.task_id,
        session_task_process_status=row.status,
        updated_at=row.updated_at or row.created_at,
    )


def list_messages(
    tx: Tx, session_id: str, *, after_seq: int, limit: int | None, cursor: str | None, time_desc: bool
) -> Page[StoredMessage]:
    tx.get(sessions, "session", session_id)
    query = messages.select().where(tx.mine(messages, session_id=session_id), messages.c.seq > after_seq)
    if cursor is not None:
        at, _ = decode_number_cursor(cursor)
        query = query.where(messages.c.seq < at if time_desc else messages.c.seq > at)
    query = query.order_by(messages.c.seq.desc() if time_desc else messages.c.seq)
    if limit is not None:
        query = query.limit(check_limit(limit, most=None) + 1)
    rows = tx.all(query)
    more = limit is not None and len(rows) > limit
    if more:
        rows = rows[:limit]
    following = encode_cursor(rows[-1].seq, rows[-1].id) if more else None
    if time_desc:
        rows.reverse()
    return Page[StoredMessage].model_construct(
        items=[_message(row) for row in rows], next_cursor=following, has_more=more
    )


def list_outcomes(tx: Tx, session_id: str, *, after_seq: int) -> list[Outcome]:
    tx.get(sessions, "session", session_id)
    query = (
        outcomes.select()
        .where(tx.mine(outcomes, session_id=session_id), outcomes.c.after_seq >= after_seq)
        .order_by(outcomes.c.number)
    )
    return [
        Outcome.model_construct(
            id=row.id,
            status=row.status,
            source=row.source,
            reason=load(row.reason),
            run_id=row.run_id,
            after_seq=row.after_seq,
            created_at=row.created_at,
        )
        for row in tx.all(query)
    ]


def count(tx: Tx, table: Any) -> int:
    """How many rows of this project the table has."""
    return int(tx.sql.execute(select(func.count()).select_from(table).where(tx.mine(table))).scalar_one())
