"""Pages of a listing, and the opaque text that says where the next one begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Column, Row, Select, and_, or_

from ..cursors import decode_cursor, decode_number_cursor, encode_cursor
from ..errors import InvalidInput
from ..types import Page
from .tx import Tx

Item = TypeVar("Item")


def check_limit(limit: int, *, most: int | None = 200) -> int:
    """Raises InvalidInput outside 1 to `most`."""
    if limit < 1 or (most is not None and limit > most):
        raise InvalidInput(f"limit is {limit}: it must be " + (f"1 to {most}" if most else "1 or more"))
    return limit


def page(
    tx: Tx,
    query: Select[Any],
    place: Column[Any],
    id: Column[Any],
    make: Callable[[Row[Any]], Item],
    *,
    limit: int,
    cursor: str | None,
    time_desc: bool,
) -> Page[Item]:
    """The rows of `query` by (place, id), `limit` at a time."""
    check_limit(limit)
    if cursor is not None:
        numeric = place.type.python_type is int
        at, last = decode_number_cursor(cursor) if numeric else decode_cursor(cursor)
        beyond = place < at if time_desc else place > at
        further = id < last if time_desc else id > last
        query = query.where(or_(beyond, and_(place == at, further)))
    if time_desc:
        query = query.order_by(place.desc(), id.desc())
    else:
        query = query.order_by(place, id)
    rows = tx.all(query.limit(limit + 1))
    more = len(rows) > limit
    rows = rows[:limit]
    following = encode_cursor(rows[-1]._mapping[place], rows[-1]._mapping[id]) if more else None
    return Page(items=[make(row) for row in rows], next_cursor=following, has_more=more)
