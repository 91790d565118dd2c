"""A conversation that was imported before, and is imported again: the same is kept once, another takes its place."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..errors import Conflict
from ..types import Appended, CallFate, Change, Message, Outcome, Session, StoredMessage
from . import blob_references, conversations, jobs, outcome_sources
from .conversations import message_body
from .database import Tx
from .reobserving import forget_tasks
from .tables import call_fates, messages, outcomes, session_blobs, sessions


def replace(
    tx: Tx,
    session: Session,
    new_messages: Sequence[Message],
    new_outcomes: Sequence[Outcome],
    new_fates: Sequence[CallFate],
    quiet: float,
    max_wait: float,
    buffer: int,
) -> Appended:
    conversations.check_project(tx, session)
    conversations.check_space(tx, session.space_id)
    before = tx.find(sessions, id=session.id)
    changes: tuple[Change, ...] = ()
    if before is not None:
        if before.space_id not in (None, session.space_id):
            raise Conflict(f"session {session.id!r} belongs to the space {before.space_id!r} already: it stays there")
        kept = conversations.list_messages(tx, session.id, after_seq=0, limit=None, cursor=None, time_desc=False).items
        runs = {message.run_id for message in new_messages}
        if any(message.run_id not in runs for message in kept):
            raise Conflict(
                f"session {session.id!r} holds messages that were not imported: give the conversation another id"
            )
        changes = _changes(tx, before, session, kept, new_messages, new_outcomes)
        if changes:
            _make_room(tx, session, changes, max_wait)
    appended = conversations.append(
        tx, session.id, new_messages, new_outcomes, new_fates, session, quiet, max_wait, buffer
    )
    if before is None or not changes:
        return appended
    if not before.disable_task_tracking:
        jobs.at_the_latest(tx, "observe", session.id, time.time() + quiet)
    return appended.model_copy(update={"replaced": changes if kept else ()})


def _changes(
    tx: Tx,
    before: Session,
    session: Session,
    kept: Sequence[StoredMessage],
    new_messages: Sequence[Message],
    new_outcomes: Sequence[Outcome],
) -> tuple[Change, ...]:
    said = [_verdict(one) for one in conversations.list_outcomes(tx, session.id, after_seq=0) if one.source == "import"]
    say = [
        _verdict(one.model_copy(update={"strength": outcome_sources.strength_of(tx, one.by)})) for one in new_outcomes
    ]
    found: dict[Change, bool] = {
        "messages": len(kept) != len(new_messages)
        or not all(_says(old, new) for old, new in zip(kept, new_messages, strict=True)),
        "outcome": said != say,
        "principal": (before.principal, before.agent) != (session.principal, session.agent),
        "space": before.space_id != session.space_id,
    }
    return tuple(change for change, differs in found.items() if differs)


def _verdict(outcome: Outcome) -> tuple[object, ...]:
    return outcome.id, outcome.status, outcome.reason, outcome.run_id or "", outcome.by, outcome.weight


def _says(old: StoredMessage, new: Message) -> bool:
    """Whether the message is kept as it comes; what its meta was given since then aside."""
    if (old.id, old.role) != (new.id, new.role):
        return False
    meta = {name: old.meta[name] for name in new.meta if name in old.meta}
    return message_body(old.model_copy(update={"meta": meta})) == message_body(new)


def _make_room(tx: Tx, session: Session, changes: Sequence[Change], max_wait: float) -> None:
    """Forget what was kept of it and made of it, and have the spaces that learned from it look again."""
    if "messages" in changes:
        blobs = blob_references.of_session(tx, session.id)
        for table in (messages, outcomes, call_fates, session_blobs):
            tx.drop(table, session_id=session.id)
        blob_references.release(tx, blobs)
        tx.purged = True
    else:
        tx.drop(outcomes, session_id=session.id, source="import")
    forget_tasks(tx, session.id, learn_in=max_wait)
    values = {"space_id": session.space_id, "principal": session.principal, "agent": session.agent}
    tx.change(sessions, values, id=session.id)
