"""One open database: a connection to its file, a transaction of one project, and how values and pages are read.

`connect` opens it; the modules of the tables say what is done in a transaction.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    Executable,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    create_engine,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import NullPool

from ..cursors import decode_cursor, decode_number_cursor, encode_cursor
from ..errors import InvalidInput, NotFound, StoreReplaced
from ..forks import LOCKS, at_fork
from ..records import valid
from ..types import Page
from .names import Names, file_id

Item = TypeVar("Item")
#: Something done in a transaction.
Work = Callable[..., Any]


class SqliteConnection:
    """One connection, for one thread at a time: as SQLAlchemy sees it, and bare for the hot paths.

    SQLAlchemy never begins or ends a transaction on it; whoever holds the link does, with SQL.
    """

    __slots__ = ("names", "path", "raw", "sql")

    def __init__(self, path: Path, raw: sqlite3.Connection, names: Names) -> None:
        if not names.lead_here:
            raise replaced(path)
        self.path = path
        self.raw = raw
        self.names = names
        _given.raw = raw
        try:
            self.sql: Connection = _engine().connect()
        finally:
            del _given.raw
        self.sql.begin()  # as far as SQLAlchemy knows: with AUTOCOMMIT it says nothing to the database

    def close(self) -> None:
        try:
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
            self.sql.close()
        finally:
            self.raw.close()


#: The connection that this thread is about to hand to SQLAlchemy.
_given = threading.local()


@cache
def _engine() -> Engine:
    """One for all connections of this process, so that each statement is compiled once, not once a connection."""
    return create_engine(
        "sqlite+pysqlite://",
        creator=lambda: _given.raw,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        query_cache_size=2_000,
    )


# what is inside may be locked by a thread that a child does not have
at_fork(LOCKS, after_in_child=_engine.cache_clear)


def replaced(path: Path) -> StoreReplaced:
    """The database's name leads to another file now, or nowhere."""
    if file_id(path) is not None:
        return StoreReplaced(
            f"{path} was replaced by another file while it was in use: this was not kept. Try again; the file that is "
            "there now is used from here on"
        )
    return StoreReplaced(
        f"{path} was deleted while it was in use: this was not kept. Put a backup in its place to have back what it "
        "held; what is recorded next goes into a new one"
    )


@dataclass(slots=True)
class Tail:
    """Where a session ends, and when it is due, so that the next append need not ask."""

    tracked: bool
    last_seq: int
    last_message_id: str | None
    outcome_count: int
    #: What was last written to its lane, while `Memory.lane_changes` was this.
    due_at: float = 0.0
    deadline: float = 0.0
    lane_changes: int = -1
    #: The last message that has been observed, while `Memory.lane_changes` was `seen_at`. None = somebody observes
    #: the session now, and nobody knows yet how far.
    observed_seq: int | None = None
    seen_at: int = -1
    #: Newest calls whose fates are told, by id: the number of the message that holds each.
    calls: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Memory:
    """What the one who writes remembers from one transaction to the next, for as long as nobody else writes."""

    tails: dict[str, Tail] = field(default_factory=dict)
    #: How often lanes were changed by anything but appends.
    lane_changes: int = 0
    #: SQLite's count of the commits of others, as it was last seen.
    data_version: int = -1

    def forget(self) -> None:
        self.tails.clear()


@dataclass(slots=True)
class Tx:
    """A transaction that is open, and the project it may touch.

    `find`, `rows`, `add`, `change` and `drop` say the simplest statements (columns that equal values): SQLAlchemy
    writes each once, and it is run bare. All others go through `run`, `one` and `all`.
    """

    sql: Connection
    raw: sqlite3.Connection
    project_id: str
    memory: Memory = field(default_factory=Memory)
    #: Sessions whose observe work the appends so far put off: when it is due, and when at the latest.
    due: dict[str, tuple[float, float]] = field(default_factory=dict)
    #: Set when text was deleted: the log is emptied after the commit, so that it holds none of it.
    purged: bool = False

    @classmethod
    def on(cls, link: SqliteConnection, project_id: str) -> Tx:
        return cls(link.sql, link.raw, project_id)

    # -- columns that equal values, of this project
    def find(self, table: Table, **columns: object) -> Any | None:
        """The row (one, where there may be more) with these values; its columns are attributes."""
        text = _text("select", table, tuple(columns))
        row = self.raw.execute(text, {"project_id_is": self.project_id, **_named(columns)}).fetchone()
        return None if row is None else row_of(table)._make(row)

    def get(self, table: Table, kind: str, id: str, **columns: object) -> Any:
        """The row with that id. Raises NotFound, which calls it a `kind`."""
        row = self.find(table, id=id, **columns)
        if row is None:
            raise NotFound(kind, id)
        return row

    def rows(self, table: Table, order: str, *, limit: int = -1, **columns: object) -> list[Any]:
        """All rows with these values, in the order of these columns ("position, id"); -1 = however many."""
        text = f"{_text('select', table, tuple(columns))} ORDER BY {order} LIMIT :at_most"
        values = {"project_id_is": self.project_id, "at_most": limit, **_named(columns)}
        return list(map(row_of(table)._make, self.raw.execute(text, values)))

    def add(self, table: Table, rows: Iterable[Mapping[str, object]]) -> None:
        """Insert rows, all with the same columns."""
        mine = [{"project_id": self.project_id, **row} for row in rows]
        if mine:
            self.raw.executemany(_text("insert", table, (), tuple(mine[0])), mine)

    def change(self, table: Table, values: Mapping[str, object], **columns: object) -> int:
        """Update the rows with these values; how many there were."""
        text = _text("update", table, tuple(columns), tuple(values))
        return self.raw.execute(text, {"project_id_is": self.project_id, **_named(columns), **values}).rowcount

    def drop(self, table: Table, **columns: object) -> int:
        """Delete the rows with these values; how many there were."""
        text = _text("delete", table, tuple(columns))
        return self.raw.execute(text, {"project_id_is": self.project_id, **_named(columns)}).rowcount

    # -- any statement
    def run(self, statement: Executable) -> CursorResult[Any]:
        return self.sql.execute(statement)

    def one(self, statement: Executable) -> Row[Any] | None:
        return self.sql.execute(statement).one_or_none()

    def all(self, statement: Executable) -> list[Row[Any]]:
        return list(self.sql.execute(statement))

    def mine(self, table: Table, **columns: object) -> ColumnElement[bool]:
        """The condition that a row is this project's, and has these values."""
        condition: ColumnElement[bool] = table.c.project_id == self.project_id
        for name, value in columns.items():
            condition = condition & (table.c[name] == value)
        return condition


def _named(columns: dict[str, object]) -> dict[str, object]:
    return {f"{name}_is": value for name, value in columns.items()}


@cache
def row_of(table: Table) -> Any:
    """The class of the table's rows: its columns are attributes."""
    return namedtuple(table.name, [column.name for column in table.columns])


@cache
def _text(
    verb: Literal["select", "insert", "update", "delete"],
    table: Table,
    columns: tuple[str, ...],
    values: tuple[str, ...] = (),
) -> str:
    """The statement as SQLAlchemy writes it."""
    given: dict[str, Any] = {name: bindparam(name) for name in values}
    if verb == "insert":
        return _compiled(insert(table).values(given))
    mine = and_(*(table.c[name] == bindparam(f"{name}_is") for name in ("project_id", *columns)))
    if verb == "select":
        return _compiled(select(table).where(mine))
    if verb == "update":
        return _compiled(update(table).values(given).where(mine))
    return _compiled(delete(table).where(mine))


def _compiled(statement: Any) -> str:
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


# ------------------------------------------------------------------------------------------------- values

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode


def dump(value: object) -> str:
    """JSON as ASCII: NULs survive. Raises InvalidInput for what JSON cannot say."""
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"a value cannot be kept as JSON: {error}") from error


def load(text: str) -> Any:
    """What `dump` was given. Databases that were written before texts were made valid may hold others."""
    value = json.loads(text)
    return valid(value) if "\\ud" in text else value


#: A text as JSON, the same as `dump` has it.
quoted = json.encoder.encode_basestring_ascii


# -------------------------------------------------------------------------------------------------- pages


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
