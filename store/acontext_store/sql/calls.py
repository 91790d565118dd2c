"""The ledger of model calls."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select

from ..errors import InvalidInput
from ..ledger import COST_BY, COST_FIELDS, Cost, CostBy, ModelCall
from .database import Tx, check_limit
from .tables import model_calls as table

_DAY = len("2026-01-31")


def log(tx: Tx, call: ModelCall) -> None:
    if tx.find(table, id=call.id) is not None:
        return
    tx.add(table, [call.model_dump()])


def list_calls(tx: Tx, *, space_id: str | None, limit: int) -> list[ModelCall]:
    query = select(table).where(tx.mine(table, **_of(space_id)))
    query = query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(check_limit(limit, most=None))
    return [_call(row) for row in tx.all(query)]


def sums(tx: Tx, *, by: Collection[CostBy], space_id: str | None, since: str | None, until: str | None) -> list[Cost]:
    for name in by:
        if name not in COST_BY:
            raise InvalidInput(f"costs cannot be told apart by {name!r}: take any of {', '.join(COST_BY)}")
    keys: dict[str, ColumnElement[Any]] = {
        field: func.substr(table.c.created_at, 1, _DAY) if name == "day" else table.c[field]
        for name, field in COST_FIELDS.items()
        if name in by
    }
    mine = tx.mine(table, **_of(space_id))
    if since is not None:
        mine = mine & (table.c.created_at >= since)
    if until is not None:
        mine = mine & (table.c.created_at < until)
    query = select(*(column.label(name) for name, column in keys.items()), *_SUMS).where(mine)
    if keys:
        query = query.group_by(*keys.values()).order_by(*keys.values())
    return [Cost(**row._mapping) for row in tx.all(query) if row.calls]


def _total(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(column), 0)


_SUMS = (
    func.count().label("calls"),
    func.count().filter(table.c.error != "").label("failed"),
    *(_total(table.c[name]).label(name) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")),
    _total(table.c.cost).label("cost"),
    func.count().filter(table.c.cost.is_(None), table.c.error == "").label("unpriced"),
    _total(table.c.duration).label("duration"),
)


def _of(space_id: str | None) -> dict[str, object]:
    return {} if space_id is None else {"space_id": space_id}


def _call(row: Row[Any]) -> ModelCall:
    return ModelCall(**{name: value for name, value in row._mapping.items() if name != "project_id"})
