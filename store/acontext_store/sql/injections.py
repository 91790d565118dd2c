"""Injections: which skills runs were shown, and where those stand in their conversations."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..injections import Injection
from .database import Tx, check_limit, dump, load
from .tables import injections
from .tables import spaces as spaces_table

#: The most placements that are read of one conversation, and the most anchors that are looked for.
_MOST = 256


def log_injection(tx: Tx, injection: Injection) -> None:
    tx.get(spaces_table, "space", injection.space_id)
    body = injection.model_dump(exclude={"id", "space_id", "session_id", "run_id", "anchor", "created_at"})
    if tx.find(injections, id=injection.id) is not None:
        return
    tx.add(
        injections,
        [
            {
                "id": injection.id,
                "space_id": injection.space_id,
                "session_id": injection.session_id,
                "run_id": injection.run_id,
                "anchor": injection.anchor,
                "body": dump(body),
                "created_at": injection.created_at,
            }
        ],
    )


def list_injections(tx: Tx, space_id: str, *, limit: int) -> list[Injection]:
    tx.get(spaces_table, "space", space_id)
    query = (
        injections.select()
        .where(tx.mine(injections, space_id=space_id))
        .order_by(injections.c.created_at.desc(), injections.c.id.desc())
        .limit(check_limit(limit, most=None))
    )
    return [_injection(row) for row in tx.all(query)]


def placements(tx: Tx, space_id: str, session_id: str, anchors: Collection[str] | None = None) -> list[Injection]:
    query = injections.select().where(tx.mine(injections, session_id=session_id, space_id=space_id))
    if anchors is None:
        query = query.where(injections.c.anchor.is_not(None))
    else:
        query = query.where(injections.c.anchor.in_(list(anchors)[-_MOST:]))
    query = query.order_by(injections.c.created_at, injections.c.id).limit(_MOST)
    return [_injection(row) for row in tx.all(query)]


def _injection(row: Any) -> Injection:
    return Injection(
        id=row.id,
        space_id=row.space_id,
        session_id=row.session_id,
        run_id=row.run_id,
        anchor=row.anchor,
        created_at=row.created_at,
        **load(row.body),
    )
