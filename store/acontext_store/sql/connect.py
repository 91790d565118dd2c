"""How SQLite connections are opened, and what their errors mean to people."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from ..backend import Durability
from ..containment import contains_text
from ..errors import AcontextError, Conflict, InvalidInput, StoreUnavailable
from ..making import make_directory, make_file
from .database import SqliteConnection
from .names import Names, file_id

#: What SQL here calls the containment of JSON: `json_contains(whole, part)`.
CONTAINS = "json_contains"

#: Seconds for which another process may hold the database before a write is given up.
BUSY_TIMEOUT = 5.0


def writing(path: Path, *, durability: Durability = "normal", busy_timeout: float = BUSY_TIMEOUT) -> SqliteConnection:
    """The connection that writes; the file and its directories are made where they are missing.

    Raises StoreUnavailable.
    """
    make_directory(path.parent)
    make_file(path)
    names = Names(path, file_id(path))
    with translated(path):
        raw = _connect(path, "rwc", busy_timeout)
        try:
            use_wal(raw, busy_timeout)
            raw.execute(f"PRAGMA synchronous={'FULL' if durability == 'full' else 'NORMAL'}")
            raw.execute("PRAGMA foreign_keys=ON")
            # what is deleted must be gone from the file, not only from the tables
            raw.execute("PRAGMA secure_delete=ON")
            raw.execute("PRAGMA journal_size_limit=67108864")
            # pages that change often are then moved from the log to the database less often
            raw.execute("PRAGMA wal_autocheckpoint=10000")
            return SqliteConnection(path, raw, names)
        except BaseException:
            raw.close()
            raise


def reading(path: Path, *, busy_timeout: float = BUSY_TIMEOUT) -> SqliteConnection:
    """A connection that cannot write. Raises StoreUnavailable."""
    names = Names(path, file_id(path))
    with translated(path):
        raw = _connect(path, "ro", busy_timeout)
        try:
            return SqliteConnection(path, raw, names)
        except BaseException:
            raw.close()
            raise


def _connect(path: Path, mode: str, busy_timeout: float) -> sqlite3.Connection:
    raw = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    raw.execute(f"PRAGMA busy_timeout={int(busy_timeout * 1000)}")
    raw.create_function(CONTAINS, 2, contains_text, deterministic=True)
    return raw


def use_wal(raw: sqlite3.Connection, busy_timeout: float) -> None:
    """Switching to WAL needs the file alone and does not wait for it, so ask again until it does."""
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            (mode,) = raw.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        else:
            if mode == "wal":
                return
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"{raw_path(raw)} cannot use write-ahead logging: its file system does not support shared memory; "
                    "put the database on a local disk"
                )
        time.sleep(0.01)


def raw_path(raw: sqlite3.Connection) -> str:
    return str(raw.execute("PRAGMA database_list").fetchone()[2])


def is_busy(error: BaseException) -> bool:
    """Whether another process holds the database, so that trying again may help."""
    error = _cause(error)
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _cause(error: BaseException) -> BaseException:
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig
    return error


_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space; nothing was half written",
    sqlite3.SQLITE_BUSY: "another process has kept it locked: try again, or find out which one holds it",
    sqlite3.SQLITE_LOCKED: "another process has kept it locked: try again, or find out which one holds it",
    sqlite3.SQLITE_READONLY: "it is read-only: make the file and its directory writable for this user",
    sqlite3.SQLITE_PERM: "access is denied: make the file and its directory writable for this user",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database: choose another path, or move the file away",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a backup, or save what is left with `sqlite3 FILE .recover`",
    sqlite3.SQLITE_IOERR: "the disk reports an error: check the disk",
}


def translate(error: BaseException, path: Path) -> BaseException:
    """The same trouble in our words. What is a mistake in our own code stays what it is."""
    cause = _cause(error)
    if isinstance(cause, AcontextError):
        return cause
    if isinstance(cause, UnicodeEncodeError):
        return InvalidInput("an id, a key or a name holds half a surrogate pair: it cannot be encoded as UTF-8")
    if isinstance(cause, sqlite3.IntegrityError):
        return Conflict(f"that id, name or key is taken, or what it belongs to is gone ({cause})")
    if isinstance(cause, sqlite3.DataError | OverflowError):
        return InvalidInput(f"a value is too large for the database ({cause})")
    if not isinstance(cause, sqlite3.DatabaseError):
        return cause
    code = (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreUnavailable(f"cannot open {path}: {_why_not(path)}")
    if code in _REASONS:
        return StoreUnavailable(f"cannot use {path}: {_REASONS[code]}")
    if isinstance(cause, sqlite3.OperationalError):
        return StoreUnavailable(f"cannot use {path}: {cause}")
    return cause


def _why_not(path: Path) -> str:
    if path.is_dir():
        return "it is a directory: name a file in it"
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}: make it, or choose another path"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"the directory {path.parent} is not writable: make it writable for this user, or choose another path"
    return "the file cannot be opened: make it readable and writable for this user, or choose another path"


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Foreign errors become ours at this border."""
    try:
        yield
    except (sqlite3.Error, DBAPIError) as error:
        raise translate(error, path) from error
