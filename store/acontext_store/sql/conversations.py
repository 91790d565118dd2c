"""Sessions, messages, outcomes and the fates of calls. `append` is the hot path: bare SQL, one insert a message."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Row, func, select, update

from ..cursors import decode_number_cursor, encode_cursor
from ..errors import Conflict, InvalidInput, NotFound
from ..types import Appended, CallFate, Json, Message, Outcome, Page, Part, Session, StoredMessage, Task, now
from . import blob_references, jobs, resent
from .database import Tail, Tx, check_limit, dump, load, quoted
from .outcome_sources import strength_of
from .tables import sessions, spaces, tasks

M = TypeVar("M", bound=StoredMessage)

# ----------------------------------------------------------------------------------------------- sessions


_WITH_KEY = "SELECT id FROM sessions WHERE project_id = ? AND key = ? AND principal IS ?"


def create_session(tx: Tx, session: Session) -> Session:
    check_project(tx, session)
    check_space(tx, session.space_id)
    if tx.find(sessions, id=session.id) is not None:
        raise Conflict(f"there is a session {session.id!r} already: use another id, or go on with that one")
    _insert_session(tx, session)
    return session


def check_project(tx: Tx, session: Session) -> None:
    if session.project_id != tx.project_id:
        raise InvalidInput(f"the session belongs to project {session.project_id!r}, this store to {tx.project_id!r}")


def check_space(tx: Tx, space_id: str | None) -> None:
    if space_id is not None and tx.find(spaces, id=space_id) is None:
        raise NotFound("space", space_id)


def _insert_session(tx: Tx, session: Session) -> None:
    if session.key is not None:
        taken = tx.raw.execute(_WITH_KEY, (tx.project_id, session.key, session.principal)).fetchone()
        if taken is not None:
            raise Conflict(f"session {taken[0]!r} has the key {session.key!r} already: go on with that one")
    tx.add(
        sessions,
        [
            {
                "id": session.id,
                "space_id": session.space_id,
                "key": session.key,
                "principal": session.principal,
                "agent": session.agent,
                "disable_task_tracking": session.disable_task_tracking,
                "configs": None if session.configs is None else dump(session.configs),
                "created_at": session.created_at,
                "updated_at": session.updated_at,
            }
        ],
    )


def session(tx: Tx, session_id: str) -> Session:
    return session_of(tx.get(sessions, "session", session_id))


def update_session(tx: Tx, session_id: str, *, configs: Json | None, space_id: str | None) -> Session:
    before = tx.get(sessions, "session", session_id)
    check_space(tx, space_id)
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
    tx.change(sessions, values, id=session_id)
    return session(tx, session_id)


def session_of(row: Row[Any]) -> Session:
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

#: How much longer than `quiet` the work may wait.
_SLACK = 1.05

_TRACKED = "SELECT disable_task_tracking FROM sessions WHERE project_id = ? AND id = ?"
_LAST_MESSAGE = "SELECT seq, id FROM messages WHERE project_id = ? AND session_id = ? ORDER BY seq DESC LIMIT 1"
_LAST_OUTCOME = "SELECT max(number) FROM outcomes WHERE project_id = ? AND session_id = ?"
_INSERT_MESSAGE = (
    "INSERT INTO messages (project_id, session_id, seq, id, role, run_id, parent_id, body, created_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project_id, id, session_id) DO NOTHING"
)
_INSERT_OUTCOME = (
    "INSERT INTO outcomes (project_id, session_id, number, id, status, source, reason, run_id, after_seq, created_at, "
    "said_by, strength) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (project_id, session_id, id) DO NOTHING"
)


def append(
    tx: Tx,
    session_id: str,
    new_messages: Sequence[Message],
    new_outcomes: Sequence[Outcome],
    new_fates: Sequence[CallFate],
    ensure: Session | None,
    quiet: float,
    max_wait: float,
    buffer: int,
) -> Appended:
    tail = tx.memory.tails.get(session_id) or _find_tail(tx, session_id, ensure)
    if ensure is not None and ensure.space_id is not None:
        _join_space(tx, session_id, ensure.space_id)
    if buffer and tail.seen_at != tx.memory.lane_changes:
        tail.observed_seq = None if jobs.is_held(tx, session_id) else tail.last_seq - jobs.waiting(tx, session_id)
        tail.seen_at = tx.memory.lane_changes
    project_id, execute = tx.project_id, tx.raw.execute
    seq, last_id = tail.last_seq, tail.last_message_id
    ids: list[str] = []
    calls: dict[str, int] = {}
    said_already: dict[str, str] | None = None
    for at, message in enumerate(new_messages):
        if not message.if_unsaid:
            said_already = None
        elif said_already is None:
            shown = itertools.takewhile(lambda message: message.if_unsaid, new_messages[at:])
            said_already = resent.said_already(
                tx, session_id, [(one.id, one.role, [_part(part) for part in one.parts]) for one in shown]
            )
        if said_already and message.id in said_already:
            ids.append(said_already[message.id])
            continue
        id = message.id
        row = (
            project_id,
            session_id,
            seq + 1,
            id,
            message.role,
            message.run_id,
            last_id,
            message_body(message),
            message.created_at,
        )
        added = execute(_INSERT_MESSAGE, row).rowcount
        if not added and message.id_if_taken is not None and resent.is_over(tx, session_id, message):
            id = message.id_if_taken
            added = execute(_INSERT_MESSAGE, (*row[:3], id, *row[4:])).rowcount
        ids.append(id)
        if added:
            seq += 1
            last_id = id
            if blobs := message.blobs:
                blob_references.refer(tx, session_id, blobs)
            if message.fates_told:
                _adopt_fates(tx, session_id, message, seq, calls)
    if new_fates:
        _keep_fates(tx, session_id, new_fates, {**tail.calls, **calls})
    said = tail.outcome_count
    for outcome in new_outcomes:
        values = (
            project_id,
            session_id,
            said + 1,
            outcome.id,
            outcome.status,
            outcome.source,
            dump(outcome.reason),
            outcome.run_id,
            seq,
            outcome.created_at,
            outcome.by,
            strength_of(tx, outcome.by) if outcome.by else None,
        )
        if execute(_INSERT_OUTCOME, values).rowcount:
            said += 1
    new = seq - tail.last_seq
    # from here on nothing fails: what is remembered must not run ahead of what is written
    tx.memory.tails[session_id] = tail
    if tail.tracked and (new or said != tail.outcome_count):
        if buffer and tail.observed_seq is not None and seq - tail.observed_seq >= buffer:
            quiet = max_wait = 0.0
        _put_off(tx, session_id, tail, quiet, max_wait)
    tail.last_seq, tail.last_message_id, tail.outcome_count = seq, last_id, said
    if calls:
        _remember_calls(tail, calls)
    return Appended.model_construct(
        session_id=session_id,
        message_ids=tuple(ids),
        new=new,
        last_seq=seq,
    )


def _join_space(tx: Tx, session_id: str, space_id: str) -> None:
    """A session without a space learns into that one from now on."""
    query = "SELECT 1 FROM sessions WHERE project_id = ? AND id = ? AND space_id IS NULL"
    if tx.raw.execute(query, (tx.project_id, session_id)).fetchone() is not None:
        update_session(tx, session_id, configs=None, space_id=space_id)


def _put_off(tx: Tx, session_id: str, tail: Tail, quiet: float, max_wait: float) -> None:
    """The observe work is due `quiet` seconds from now: said with some slack, so that not every append must say so."""
    moment = time.time()
    due_at, deadline = moment + quiet, moment + max_wait
    if tail.lane_changes == tx.memory.lane_changes and tail.deadline <= deadline:
        due_at = min(due_at, tail.deadline)
        if tail.due_at >= due_at or (tail.due_at <= moment and due_at <= moment):
            return  # it is so already
        deadline = tail.deadline
    tail.due_at, tail.deadline = min(moment + quiet * _SLACK, deadline), deadline
    tail.lane_changes = tx.memory.lane_changes
    tx.due[session_id] = (tail.due_at, deadline)


def is_one_insert(tx: Tx, arguments: tuple[Any, ...]) -> bool:
    """Whether an append with these arguments is one statement, which needs no savepoint to be all or nothing."""
    session_id, new_messages, new_outcomes, new_fates, ensure, *_ = arguments
    if session_id not in tx.memory.tails or ensure is not None:
        return False
    if len(new_messages) + len(new_outcomes) + len(new_fates) > 1:
        return False
    return not any(message.blobs or message.fates_told for message in new_messages)


def settle(tx: Tx) -> None:
    """Make due what the appends so far have put off: once a session, however many they were."""
    for session_id, (due_at, deadline) in tx.due.items():
        jobs.observe_later(tx, session_id, due_at=due_at, deadline=deadline)
    tx.due.clear()


def _find_tail(tx: Tx, session_id: str, ensure: Session | None) -> Tail:
    of_session = (tx.project_id, session_id)
    found = tx.raw.execute(_TRACKED, of_session).fetchone()
    if found is None:
        if ensure is None:
            raise NotFound("session", session_id)
        if ensure.id != session_id:
            raise InvalidInput(f"`ensure` is session {ensure.id!r}, the messages are for {session_id!r}")
        check_project(tx, ensure)
        check_space(tx, ensure.space_id)
        _insert_session(tx, ensure)
        return Tail(not ensure.disable_task_tracking, 0, None, 0)
    last_seq, last_id = tx.raw.execute(_LAST_MESSAGE, of_session).fetchone() or (0, None)
    (outcome_count,) = tx.raw.execute(_LAST_OUTCOME, of_session).fetchone()
    return Tail(not found[0], last_seq, last_id, outcome_count or 0)


_BARE = (None, None, None)


#: How the formats of most messages are written behind their parts.
_ENDS = {"openai": "", "acontext": ',"format":"acontext"'}


def message_body(message: Message) -> str:
    """What a message says, as JSON: its parts without what is empty."""
    plain = message.native is None and not message.meta and not message.fates_told
    if plain and message.format in _ENDS and len(message.parts) == 1:
        part = message.parts[0]
        if part.type == "text" and part.text is not None and (part.meta, part.asset, part.filename) == _BARE:
            # most messages are such
            return f'{{"parts":[{{"type":"text","text":{quoted(part.text)}}}]{_ENDS[message.format]}}}'
    body: dict[str, Any] = {"parts": [_part(part) for part in message.parts]}
    if message.format != "openai":
        body["format"] = message.format
    if message.native is not None:
        body["native"] = message.native
    if message.meta:
        body["meta"] = message.meta
    if message.fates_told:
        body["fates_told"] = True
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


_COLUMNS = "id, role, body, run_id, created_at, seq, parent_id, task_id, status, updated_at"
_PAGE = f"""
SELECT {_COLUMNS} FROM messages
WHERE project_id = ? AND session_id = ? AND seq {{beyond}} ? {{bound}} ORDER BY seq {{way}} LIMIT ?
"""


def list_messages(
    tx: Tx, session_id: str, *, after_seq: int, limit: int | None, cursor: str | None, time_desc: bool
) -> Page[StoredMessage]:
    if tx.raw.execute(_TRACKED, (tx.project_id, session_id)).fetchone() is None:
        raise NotFound("session", session_id)
    at = after_seq if cursor is None else decode_number_cursor(cursor)[0]
    values: list[object] = [tx.project_id, session_id]
    if time_desc and cursor is not None:
        query = _PAGE.format(beyond="<", bound="AND seq > ?", way="DESC")
        values += [at, after_seq]
    else:
        query = _PAGE.format(beyond=">", bound="", way="DESC" if time_desc else "ASC")
        values += [max(at, after_seq)]
    values.append(-1 if limit is None else check_limit(limit, most=None) + 1)
    rows = tx.raw.execute(query, values).fetchall()
    more = limit is not None and len(rows) > limit
    if more:
        rows = rows[:limit]
    following = encode_cursor(rows[-1][5], rows[-1][0]) if more else None
    if time_desc:
        rows.reverse()
    items = _with_fates(tx, session_id, [_message(tx.project_id, session_id, row) for row in rows])
    return Page.model_construct(items=items, next_cursor=following, has_more=more)


_OF_TASK = f"""
SELECT {_COLUMNS} FROM messages
WHERE project_id = ? AND session_id = ? AND seq BETWEEN ? AND ? AND task_id = ? ORDER BY seq DESC LIMIT ?
"""


def messages_of(tx: Tx, task: Task, *, last: int | None) -> list[StoredMessage]:
    """The messages that belong to the task, oldest first; the `last` of them."""
    where = (tx.project_id, task.session_id, task.first_seq, task.last_seq, task.id)
    rows = tx.raw.execute(_OF_TASK, (*where, -1 if last is None else last)).fetchall()
    found = [_message(tx.project_id, task.session_id, row) for row in reversed(rows)]
    return _with_fates(tx, task.session_id, found)


_ONE = f"SELECT {_COLUMNS} FROM messages WHERE project_id = ? AND id = ? AND session_id = ?"
_CHANGE = "UPDATE messages SET body = ?, updated_at = ? WHERE project_id = ? AND id = ? AND session_id = ?"


def message(tx: Tx, session_id: str, message_id: str) -> StoredMessage:
    row = tx.raw.execute(_ONE, (tx.project_id, message_id, session_id)).fetchone()
    if row is None:
        tx.get(sessions, "session", session_id)
        raise NotFound("message", message_id)
    return _with_fates(tx, session_id, [_message(tx.project_id, session_id, row)])[0]


def update_message(tx: Tx, session_id: str, message_id: str, *, meta: Json) -> StoredMessage:
    before = message(tx, session_id, message_id)
    kept = {name: value for name, value in {**before.meta, **meta}.items() if value is not None}
    body = message_body(before.model_copy(update={"meta": kept}))
    tx.raw.execute(_CHANGE, (body, now(), tx.project_id, message_id, session_id))
    return message(tx, session_id, message_id)


def _message(project_id: str, session_id: str, row: tuple[Any, ...]) -> StoredMessage:
    return (_remembered if len(row[2]) <= _SHORT else _read)(project_id, session_id, row)


def _read(project_id: str, session_id: str, row: tuple[Any, ...]) -> StoredMessage:
    id, role, text, run_id, created_at, seq, parent_id, task_id, status, updated_at = row
    body = load(text)
    values = {
        "id": id,
        "role": role,
        "parts": body["parts"],
        "format": body.get("format", "openai"),
        "native": body.get("native"),
        "meta": body.get("meta", {}),
        "fates_told": body.get("fates_told", False),
        "run_id": run_id,
        "created_at": created_at,
        "project_id": project_id,
        "session_id": session_id,
        "seq": seq,
        "parent_id": parent_id,
        "task_id": task_id,
        "session_task_process_status": status,
        "updated_at": updated_at or created_at,
    }
    return StoredMessage(**values)


#: An agent reads its conversation again and again, and most of it is what it was: a row that is the same, column by
#: column, is the same message. Bodies of so many characters, so that the memory it takes is bounded (about 10 MB).
_SHORT = 4_096
_remembered = lru_cache(maxsize=4_096)(_read)


_OUTCOMES = """
SELECT id, status, source, reason, run_id, after_seq, created_at, said_by, strength FROM outcomes
WHERE project_id = ? AND session_id = ? AND after_seq >= ? ORDER BY number
"""


def list_outcomes(tx: Tx, session_id: str, *, after_seq: int) -> list[Outcome]:
    tx.get(sessions, "session", session_id)
    return outcomes_of(tx, session_id, after_seq=after_seq)


def outcomes_of(tx: Tx, session_id: str, *, after_seq: int) -> list[Outcome]:
    """The outcomes of a session that is there."""
    rows = tx.raw.execute(_OUTCOMES, (tx.project_id, session_id, after_seq)).fetchall()
    return [
        Outcome.model_construct(
            id=id,
            status=status,
            source=source,
            reason=load(reason),
            run_id=run_id,
            after_seq=said_after,
            created_at=created_at,
            by=by,
            strength=strength,
        )
        for id, status, source, reason, run_id, said_after, created_at, by, strength in rows
    ]


def count(tx: Tx, table: Any) -> int:
    """How many rows of this project the table has."""
    return int(tx.sql.execute(select(func.count()).select_from(table).where(tx.mine(table))).scalar_one())


# --------------------------------------------------------------------------------------------- fates of calls

#: Calls of a session that are remembered, so that their fates need no search.
_REMEMBERED = 256

_UPSERT = (
    "INSERT INTO call_fates "
    "(project_id, session_id, message_seq, call_id, occurrence, status, body, run_id, created_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (project_id, session_id, message_seq, call_id, occurrence) DO UPDATE SET "
    "status = excluded.status, body = excluded.body, run_id = excluded.run_id, created_at = excluded.created_at"
)
_WITH_CALL = (
    "SELECT max(seq) FROM messages WHERE project_id = ? AND session_id = ? AND role = 'assistant' "
    "AND instr(body, ?) > 0"
)
_ADOPT = (
    "UPDATE OR REPLACE call_fates SET message_seq = ? "
    "WHERE project_id = ? AND session_id = ? AND message_seq = 0 AND call_id = ?"
)
_OF_MESSAGES = (
    "SELECT message_seq, call_id, occurrence, status, body, run_id, created_at FROM call_fates "
    "WHERE project_id = ? AND session_id = ? AND message_seq BETWEEN ? AND ? "
    "ORDER BY message_seq, call_id, occurrence"
)


def _adopt_fates(tx: Tx, session_id: str, message: Message, seq: int, calls: dict[str, int]) -> None:
    """The session has the calls of this message now (`calls`): fates that came before them are theirs."""
    for part in message.tool_calls:
        call_id = str((part.meta or {}).get("id") or "")
        calls[call_id] = seq
        tx.raw.execute(_ADOPT, (seq, tx.project_id, session_id, call_id))


def _keep_fates(tx: Tx, session_id: str, fates: Sequence[CallFate], calls: Mapping[str, int]) -> None:
    """Keep these fates, in place of what was told of the same calls before.

    Ids of calls may come again in a session: it is the newest call of that id. `calls` are the numbers of the messages
    that hold calls, as far as they are known. A fate whose call has not arrived waits for it.
    """
    for fate in fates:
        seq = calls.get(fate.call_id) or _seq_of_call(tx, session_id, fate.call_id)
        body = fate.model_dump(
            mode="json",
            exclude_defaults=True,
            exclude={"call_id", "occurrence", "status", "run_id", "created_at"},
        )
        tx.raw.execute(
            _UPSERT,
            (
                tx.project_id,
                session_id,
                seq,
                fate.call_id,
                fate.occurrence,
                fate.status,
                dump(body),
                fate.run_id,
                fate.created_at,
            ),
        )


def _remember_calls(tail: Tail, calls: Mapping[str, int]) -> None:
    """The session's newest calls, so that their fates need no search."""
    tail.calls.update(calls)
    while len(tail.calls) > _REMEMBERED:
        del tail.calls[next(iter(tail.calls))]


def _with_fates(tx: Tx, session_id: str, messages: Sequence[M]) -> list[M]:
    """The messages with the fates of their calls; they are of one session, in any order."""
    if not messages:
        return []
    seqs = [message.seq for message in messages]
    rows = tx.raw.execute(_OF_MESSAGES, (tx.project_id, session_id, min(seqs), max(seqs))).fetchall()
    if not rows:
        return list(messages)
    found: dict[int, list[CallFate]] = {}
    for seq, *row in rows:
        found.setdefault(seq, []).append(_fate(row))
    return [
        message.model_copy(update={"fates": tuple(found[message.seq])}) if message.seq in found else message
        for message in messages
    ]


def _fate(row: Iterable[Any]) -> CallFate:
    call_id, occurrence, status, body, run_id, created_at = row
    return CallFate(
        call_id=call_id, occurrence=occurrence, status=status, run_id=run_id, created_at=created_at, **load(body)
    )


def _seq_of_call(tx: Tx, session_id: str, call_id: str) -> int:
    """The newest message with a call of that id; 0 where there is none."""
    (seq,) = tx.raw.execute(_WITH_CALL, (tx.project_id, session_id, f'"id":{quoted(call_id)}')).fetchone()
    return seq or 0
