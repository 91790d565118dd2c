"""Bring a database file to the newest schema, or say why that cannot be."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from functools import cache
from pathlib import Path

from sqlalchemy import create_mock_engine
from sqlalchemy.dialects import sqlite

from ..errors import IncompatibleStore, StoreUnavailable
from ..forks import renewed_in_child
from .connect import BUSY_TIMEOUT, is_busy, translated
from .database import SqliteConnection
from .migrations import HEAD, REVISIONS, VERSION_TABLE
from .tables import metadata


def ensure(link: SqliteConnection, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
    """Make or migrate the tables. Any number of processes may do so at once: one does, the others wait.

    Raises IncompatibleStore where a newer version of this library wrote the database.
    """
    with translated(link.path):
        if _version(link.raw, link.path) == HEAD:
            return
        _begin(link.raw, busy_timeout)
        try:
            version = _version(link.raw, link.path)
            if version is None:
                _create(link)
            elif version != HEAD:
                _migrate(link)
            link.raw.execute("COMMIT")
        except BaseException:
            if link.raw.in_transaction:
                link.raw.execute("ROLLBACK")
            raise


def _version(raw: sqlite3.Connection, path: Path) -> str | None:
    """The version of the schema; None = there is none yet."""
    tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if VERSION_TABLE not in tables:
        if tables & {"sessions", "messages", "spaces", "skills", "lanes"}:
            raise StoreUnavailable(f"cannot use {path}: it is the database of another program; choose another path")
        return None
    row = raw.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
    if row is None:
        return None
    version = str(row[0])
    if version not in REVISIONS:
        raise IncompatibleStore(
            f"{path} was written by a newer version of acontext-plugins (schema {version}; this one knows up to "
            f"{HEAD}): upgrade with `pip install -U acontext-plugins`, or choose another path"
        )
    return version


def _begin(raw: sqlite3.Connection, busy_timeout: float) -> None:
    deadline = time.monotonic() + max(busy_timeout, 30.0)
    while True:
        try:
            raw.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise


#: Alembic keeps what it works on in module globals: one migration at a time in a process.
_migrating = renewed_in_child(sys.modules[__name__], "_migrating", threading.Lock)


def _create(link: SqliteConnection) -> None:
    """All tables at once, as the migrations would have made them: loading what runs those takes 0.2 s."""
    for statement in _tables_and_indexes():
        link.raw.execute(statement)
    link.raw.execute(_VERSION_TABLE)
    link.raw.execute(f"INSERT INTO {VERSION_TABLE} (version_num) VALUES (?)", (HEAD,))


@cache
def _tables_and_indexes() -> tuple[str, ...]:
    """The SQL that makes them, put together once in a process: doing so takes longer than running it."""
    found: list[str] = []
    dialect = sqlite.dialect()
    engine = create_mock_engine(
        "sqlite+pysqlite://", lambda made, *_, **__: found.append(str(made.compile(dialect=dialect)))
    )
    metadata.create_all(engine, checkfirst=False)
    return tuple(found)


#: As Alembic makes it.
_VERSION_TABLE = f"""
CREATE TABLE {VERSION_TABLE} (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num)
)
"""


def _migrate(link: SqliteConnection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = link.sql
    with _migrating:
        command.upgrade(config, "head")
