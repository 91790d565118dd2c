"""One open transaction of one project: what statements are run with."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, CursorResult, Executable, Row, Table

from ..errors import NotFound
from .connect import Link


@dataclass(slots=True)
class Counters:
    """What an append changes on its session's row; written once for all appends that follow one another."""

    tracked: bool
    last_seq: int
    last_message_id: str | None
    outcome_count: int
    bytes: int
    # when the observe work is due, seconds; None = nothing new
    due_at: float | None = None
    deadline: float = 0.0


@dataclass(slots=True)
class Tx:
    """A transaction that is open, and the project it may touch."""

    sql: Connection
    raw: sqlite3.Connection
    project_id: str
    #: Sessions that appends of this transaction have touched and whose rows are still to be written.
    counters: dict[str, Counters] = field(default_factory=dict)
    #: Set when text was deleted: the log is emptied after the commit, so that it holds none of it.
    purged: bool = False

    @classmethod
    def on(cls, link: Link, project_id: str) -> Tx:
        return cls(link.sql, link.raw, project_id)

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
