"""One open transaction of one project: what statements are run with."""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Executable,
    Row,
    Table,
    and_,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import sqlite

from ..errors import NotFound
from .connect import SqliteConnection


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

    `find`, `add`, `change` and `drop` say the simplest statements (columns that equal values): SQLAlchemy writes
    each once, and it is run bare. All others go through `run`, `one` and `all`.
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
        return None if row is None else _row_of(table)._make(row)

    def get(self, table: Table, kind: str, id: str, **columns: object) -> Any:
        """The row with that id. Raises NotFound, which calls it a `kind`."""
        row = self.find(table, id=id, **columns)
        if row is None:
            raise NotFound(kind, id)
        return row

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
def _row_of(table: Table) -> Any:
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


#: Something done in a transaction.
Work = Callable[..., Any]
