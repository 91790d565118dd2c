"""One open transaction of one project: what statements are run with."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, CursorResult, Executable, Row, Table, select

from ..errors import NotFound
from .connect import Link


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
    """A transaction that is open, and the project it may touch."""

    sql: Connection
    raw: sqlite3.Connection
    project_id: str
    memory: Memory = field(default_factory=Memory)
    #: Sessions whose observe work the appends so far put off: when it is due, and when at the latest.
    due: dict[str, tuple[float, float]] = field(default_factory=dict)
    #: Set when text was deleted: the log is emptied after the commit, so that it holds none of it.
    purged: bool = False

    @classmethod
    def on(cls, link: Link, project_id: str) -> Tx:
        return cls(link.sql, link.raw, project_id)

    def has(self, table: Table, id: str) -> bool:
        return self.one(select(table.c.id).where(self.mine(table, id=id))) is not None

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

    def get(self, table: Table, kind: str, id: str, **columns: object) -> Row[Any]:
        """The row with that id. Raises NotFound, which calls it a `kind`."""
        row = self.one(table.select().where(self.mine(table, id=id, **columns)))
        if row is None:
            raise NotFound(kind, id)
        return row


#: Something done in a transaction.
Work = Callable[..., Any]
