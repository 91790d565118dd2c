"""The fates of calls: each is kept beside the message that holds its call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ..types import CallFate, Message, StoredMessage
from .database import Tail, Tx, clean, dump, load, quoted

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

M = TypeVar("M", bound=StoredMessage)


def adopt(tx: Tx, session_id: str, message: Message, seq: int, calls: dict[str, int]) -> None:
    """The session has the calls of this message now (`calls`): fates that came before them are theirs."""
    for part in message.tool_calls:
        call_id = str((part.meta or {}).get("id") or "")
        calls[call_id] = seq
        tx.raw.execute(_ADOPT, (seq, tx.project_id, session_id, clean(call_id)))


def keep(tx: Tx, session_id: str, fates: Sequence[CallFate], calls: Mapping[str, int]) -> None:
    """Keep these fates, in place of what was told of the same calls before.

    Ids of calls may come again in a session: it is the newest call of that id. `calls` are the numbers of the messages
    that hold calls, as far as they are known. A fate whose call has not arrived waits for it.
    """
    for fate in fates:
        seq = calls.get(fate.call_id) or _seq_of(tx, session_id, fate.call_id)
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
                clean(fate.call_id),
                fate.occurrence,
                fate.status,
                dump(body),
                fate.run_id,
                fate.created_at,
            ),
        )


def remember(tail: Tail, calls: Mapping[str, int]) -> None:
    """The session's newest calls, so that their fates need no search."""
    tail.calls.update(calls)
    while len(tail.calls) > _REMEMBERED:
        del tail.calls[next(iter(tail.calls))]


def of_messages(tx: Tx, session_id: str, messages: Sequence[M]) -> list[M]:
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


def _seq_of(tx: Tx, session_id: str, call_id: str) -> int:
    """The newest message with a call of that id; 0 where there is none."""
    (seq,) = tx.raw.execute(_WITH_CALL, (tx.project_id, session_id, f'"id":{quoted(call_id)}')).fetchone()
    return seq or 0
