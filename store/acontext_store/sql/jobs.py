"""Due work. A lane is a row for each session (observe) and each space (learn, embed), written with its cause.

`due_at` says when there is something to do. A claim takes it away and puts an owner, a lease and a new fencing token
in its place; what arrives meanwhile sets it again, so a release sees that there is more. A lease that has run out can
be claimed like due work; that counts as an attempt, so work that kills its worker does not go on for ever.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, and_, case, func, or_, select, update

from ..errors import InvalidInput, LeaseLost, NotFound
from ..types import Claim, Lane, LaneKind, ObservingStatus
from .database import Tx
from .tables import lanes, messages, sessions, spaces, tasks, unembedded

_LATER = """
INSERT INTO lanes (project_id, kind, key, due_at, deadline, token) VALUES (?, 'observe', ?, min(?, ?), ?, ?)
ON CONFLICT (project_id, kind, key) DO UPDATE SET
    due_at = min(excluded.deadline, coalesce(deadline, excluded.deadline), ?),
    deadline = min(excluded.deadline, coalesce(deadline, excluded.deadline))
"""
_AT_THE_LATEST = """
INSERT INTO lanes (project_id, kind, key, due_at, deadline, token) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (project_id, kind, key) DO UPDATE SET
    due_at = min(coalesce(due_at, excluded.due_at), excluded.due_at),
    deadline = min(coalesce(deadline, excluded.due_at), excluded.due_at)
"""
_ENDS = """
SELECT
    coalesce((SELECT max(seq) FROM messages WHERE project_id = ? AND session_id = ?), 0),
    coalesce((SELECT max(number) FROM outcomes WHERE project_id = ? AND session_id = ?), 0)
"""
_CLAIM = """
UPDATE lanes SET
    attempts = attempts + (owner IS NOT NULL),
    last_error = CASE WHEN owner IS NULL THEN last_error ELSE 'the lease of ' || owner || ' ran out' END,
    failing_since = CASE WHEN owner IS NULL THEN failing_since ELSE coalesce(failing_since, :now) END,
    owner = :owner, lease_until = :until, claimed_at = :now, token = token + 1, due_at = NULL, deadline = NULL
WHERE project_id = :project_id AND (kind, key) IN (
    SELECT kind, key FROM lanes WHERE project_id = :project_id AND ready_at <= :now AND kind IN ({kinds})
    ORDER BY ready_at LIMIT :limit
)
RETURNING kind, key, token, attempts, outages, failing_since
"""
_NEXT_DUE = "SELECT min(ready_at) FROM lanes WHERE project_id = ? AND kind IN ({kinds})"
_OF_SPACE = """
(kind != 'observe' AND key = :space_id OR kind = 'observe' AND key IN (
    SELECT id FROM sessions WHERE project_id = :project_id AND space_id = :space_id
))
"""
_OF_SESSION = "kind = 'observe' AND key = :session_id"
_SEEN_AGAIN = """
UPDATE messages SET status = 'pending' WHERE project_id = :project_id AND status = 'failed' AND session_id IN (
    SELECT key FROM lanes WHERE project_id = :project_id AND kind = 'observe' AND dead_at IS NOT NULL AND {which}
)
"""
_RETRY = """
UPDATE lanes SET
    attempts = 0, outages = 0, failing_since = NULL, dead_at = NULL, due_at = :now, deadline = :now, not_before = 0
WHERE project_id = :project_id AND owner IS NULL AND (dead_at IS NOT NULL OR attempts > 0 OR outages > 0) AND {which}
"""


def _first_token(moment: float) -> int:
    """Where a new lane's tokens start: above all that an earlier lane of that name can have had."""
    return int(moment * 1_000_000)


def observe_later(tx: Tx, session_id: str, *, due_at: float, deadline: float) -> None:
    """Put the session's observe work off until `due_at`, but never beyond the earliest deadline it was given."""
    tx.raw.execute(
        _LATER,
        (tx.project_id, session_id, due_at, deadline, deadline, _first_token(time.time()), due_at),
    )


def at_the_latest(tx: Tx, kind: LaneKind, key: str, at: float) -> None:
    """The lane's work is due then, or earlier."""
    tx.memory.lane_changes += 1
    tx.raw.execute(_AT_THE_LATEST, (tx.project_id, kind, key, at, at, _first_token(time.time())))


def schedule_now(tx: Tx, kind: LaneKind, key: str, *, at: float | None) -> None:
    table = sessions if kind == "observe" else spaces
    if tx.find(table, id=key) is None:
        raise NotFound("session" if kind == "observe" else "space", key)
    at_the_latest(tx, kind, key, time.time() if at is None else at)
    dead = tx.mine(lanes, kind=kind, key=key) & lanes.c.dead_at.is_not(None)
    alive = {"dead_at": None, "attempts": 0, "outages": 0, "failing_since": None}
    if tx.run(update(lanes).where(dead).values(alive)).rowcount and kind == "observe":
        tx.run(
            update(messages)
            .where(tx.mine(messages, session_id=key), messages.c.status == "failed")
            .values(status="pending")
        )
    tx.change(lanes, {"not_before": 0.0}, kind=kind, key=key)


def observing_status(tx: Tx, session_id: str) -> ObservingStatus:
    session = tx.get(sessions, "session", session_id)
    last_seq, _ = ends(tx, session_id)
    waiting = last_seq - session.observed_seq
    lane = tx.find(lanes, kind="observe", key=session_id)
    busy = lane is not None and lane.owner is not None and lane.lease_until > time.time()
    dead = lane is not None and lane.dead_at is not None
    return ObservingStatus(
        observed=session.observed_seq,
        in_process=waiting if busy else 0,
        pending=0 if busy else waiting,
        failed=waiting if dead else 0,
    )


def waiting(tx: Tx, session_id: str) -> int:
    """How many messages of the session have not been observed."""
    return ends(tx, session_id)[0] - int(tx.get(sessions, "session", session_id).observed_seq)


def is_held(tx: Tx, session_id: str) -> bool:
    """Whether somebody observes the session now."""
    lane = tx.find(lanes, kind="observe", key=session_id)
    return lane is not None and lane.owner is not None and bool(lane.lease_until > time.time())


def retry(tx: Tx, *, space_id: str | None, session_id: str | None) -> int:
    """Make due now what failed, or could not be tried: as if it was for the first time. How many lanes that were."""
    which = "1"
    if space_id is not None:
        tx.get(spaces, "space", space_id)
        which += f" AND {_OF_SPACE}"
    if session_id is not None:
        tx.get(sessions, "session", session_id)
        which += f" AND {_OF_SESSION}"
    tx.memory.lane_changes += 1
    values = {"project_id": tx.project_id, "space_id": space_id, "session_id": session_id, "now": time.time()}
    tx.raw.execute(_SEEN_AGAIN.format(which=which), values)
    return tx.raw.execute(_RETRY.format(which=which), values).rowcount


def claim(tx: Tx, owner: str, *, kinds: Collection[LaneKind], lease: float, limit: int) -> list[Claim]:
    if not kinds or limit < 1:
        return []
    if not owner or lease <= 0:
        raise InvalidInput("a claim needs an owner's name and a lease of more than 0 seconds")
    moment = time.time()
    names = {f"kind{n}": kind for n, kind in enumerate(kinds)}
    rows = tx.raw.execute(
        _CLAIM.format(kinds=", ".join(f":{name}" for name in names)),
        {
            "project_id": tx.project_id,
            "owner": owner,
            "until": moment + lease,
            "now": moment,
            "limit": limit,
            **names,
        },
    ).fetchall()
    tx.memory.lane_changes += len(rows)
    return [
        Claim(
            kind=kind,
            key=key,
            owner=owner,
            token=token,
            attempts=attempts,
            outages=outages,
            failing_since=failing_since,
        )
        for kind, key, token, attempts, outages, failing_since in rows
    ]


def fence(tx: Tx, claim: Claim) -> Any:
    """The claimed lane. Raises LeaseLost where the claim does not hold any more."""
    row = tx.find(lanes, **_held(claim))
    if row is None:
        raise LeaseLost(f"{claim.kind} {claim.key!r} is not {claim.owner!r}'s any more: another worker does it now")
    return row


def _held(claim: Claim) -> dict[str, object]:
    """The columns of a lane that is still the claim's."""
    return {"kind": claim.kind, "key": claim.key, "token": claim.token, "owner": claim.owner}


def heartbeat(tx: Tx, claim: Claim, *, lease: float) -> None:
    fence(tx, claim)
    tx.change(lanes, {"lease_until": time.time() + lease}, **_held(claim))


def release(
    tx: Tx, claim: Claim, *, error: str | None, retry_in: float | None, dead: bool, outage: bool = False
) -> None:
    lane = fence(tx, claim)
    tx.memory.lane_changes += 1
    moment = time.time()
    values: dict[str, Any] = {"owner": None, "lease_until": 0.0}
    if error is not None or dead:
        counted = {"outages": lane.outages + 1} if outage else {"attempts": lane.attempts + 1}
        since = moment if lane.failing_since is None else lane.failing_since
        values |= {**counted, "failing_since": since, "last_error": error or ""}
    if dead:
        values["dead_at"] = moment
        if claim.kind == "observe":
            observed = select(sessions.c.observed_seq).where(tx.mine(sessions, id=claim.key)).scalar_subquery()
            tx.run(
                update(messages)
                .where(tx.mine(messages, session_id=claim.key), messages.c.seq > observed)
                .values(status="failed")
            )
    if error is not None or retry_in is not None:
        retry_at = moment + (retry_in or 0.0)
        values |= {"due_at": retry_at, "deadline": retry_at, "not_before": retry_at}
    elif _unfinished(tx, claim):
        values |= {"due_at": moment, "deadline": moment}
    tx.change(lanes, values, **_held(claim))


def finish(tx: Tx, claim: Claim, *, patient: bool = False, note: str | None = None) -> None:
    """Release after the work was done: due again at once if there is more of it, else idle.

    `patient` leaves what arrived since the claim to its own time.
    """
    tx.memory.lane_changes += 1
    lane = fence(tx, claim)
    values: dict[str, Any] = {
        "owner": None,
        "lease_until": 0.0,
        "attempts": 0,
        "outages": 0,
        "failing_since": None,
        "last_error": None,
        "not_before": 0.0,
        "due_at": None,
        "deadline": None,
        "note": note,
    }
    if patient and lane.due_at is not None:
        del values["due_at"], values["deadline"]
    elif _unfinished(tx, claim):
        values["due_at"] = values["deadline"] = time.time()
    tx.change(lanes, values, **_held(claim))


def _unfinished(tx: Tx, claim: Claim) -> bool:
    """Whether there is more to do: something arrived since the claim, or was there and was not dealt with."""
    if fence(tx, claim).due_at is not None:
        return True
    if claim.kind == "observe":
        session = tx.get(sessions, "session", claim.key)
        last_seq, outcome_count = ends(tx, claim.key)
        return bool(last_seq > session.observed_seq or outcome_count > session.observed_outcomes)
    if claim.kind == "embed":
        return tx.find(unembedded, space_id=claim.key) is not None
    waiting = select(tasks.c.id).where(undigested(tx, claim.key))
    return tx.run(waiting.limit(1)).first() is not None


def ends(tx: Tx, session_id: str) -> tuple[int, int]:
    """The place of the session's last message, and of its last outcome."""
    last_seq, outcome_count = tx.raw.execute(_ENDS, (tx.project_id, session_id) * 2).fetchone()
    return int(last_seq), int(outcome_count)


def undigested(tx: Tx, space_id: str) -> Any:
    """The condition that a task is finished, and no learner of the space has looked at it."""
    return and_(
        tx.mine(tasks, space_id=space_id),
        tasks.c.space_digested.is_(False),
        tasks.c.status.in_(("success", "failed")),
        tasks.c.is_planning.is_(False),
    )


def next_due(tx: Tx, *, kinds: Collection[LaneKind]) -> float | None:
    query = _NEXT_DUE.format(kinds=", ".join("?" * len(kinds)))
    (value,) = tx.raw.execute(query, (tx.project_id, *kinds)).fetchone()
    return None if value is None else float(value)


def list_lanes(
    tx: Tx,
    *,
    dead: bool | None,
    space_id: str | None = None,
    session_id: str | None = None,
    key: str | None = None,
    limit: int | None = None,
) -> list[Lane]:
    whose = func.coalesce(sessions.c.space_id, case((lanes.c.kind != "observe", lanes.c.key))).label("space_id")
    session = and_(sessions.c.project_id == lanes.c.project_id, lanes.c.kind == "observe", sessions.c.id == lanes.c.key)
    query = select(lanes, whose).select_from(lanes.outerjoin(sessions, session)).where(tx.mine(lanes))
    if dead is True:
        query = query.where(lanes.c.dead_at.is_not(None))
    elif dead is False:
        query = query.where(lanes.c.ready_at.is_not(None))
    else:
        told = (lanes.c.ready_at, lanes.c.dead_at, lanes.c.note)
        query = query.where(or_(*(column.is_not(None) for column in told)))
    if space_id is not None:
        query = query.where(whose == space_id)
    if session_id is not None:
        query = query.where(lanes.c.kind == "observe", lanes.c.key == session_id)
    if key is not None:
        query = query.where(lanes.c.key == key)
    return [_lane(row) for row in tx.all(query.order_by(lanes.c.ready_at, lanes.c.kind, lanes.c.key).limit(limit))]


def _lane(row: Row[Any]) -> Lane:
    if row.due_at is not None:
        due_at = max(row.due_at, row.not_before)
    else:
        due_at = row.claimed_at
    return Lane.model_construct(
        kind=row.kind,
        key=row.key,
        due_at=due_at,
        owner=row.owner,
        lease_until=row.lease_until,
        token=row.token,
        attempts=row.attempts,
        outages=row.outages,
        failing_since=row.failing_since,
        last_error=row.last_error,
        dead_at=row.dead_at,
        note=row.note,
        idle=row.ready_at is None and row.dead_at is None,
        space_id=row.space_id,
    )


def counts(tx: Tx) -> tuple[int, int]:
    """Lanes with work that can be claimed now or later, and dead ones."""
    alive, dead = tx.sql.execute(
        select(func.count(lanes.c.ready_at), func.count(lanes.c.dead_at)).where(tx.mine(lanes))
    ).one()
    return int(alive), int(dead)


def forget_space(tx: Tx, space_id: str) -> None:
    for kind in ("learn", "embed"):
        tx.drop(lanes, kind=kind, key=space_id)
