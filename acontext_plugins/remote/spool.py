"""Spool: recordings on the disk while the server is away. Processes with the same server and key share one.

A file of SQLite's, because it outlives a kill -9 in mid-write. Whoever holds the lease sends; the others only add.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from pathlib import Path

from acontext_store.errors import StoreUnavailable
from acontext_store.sql.names import Names, file_id

_SCHEMA = """
CREATE TABLE IF NOT EXISTS recordings (
    number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS lease (one INTEGER PRIMARY KEY CHECK (one = 1), owner TEXT NOT NULL, until REAL NOT NULL);
"""
_LEASE = """
INSERT INTO lease (one, owner, until) VALUES (1, :owner, :until)
ON CONFLICT (one) DO UPDATE SET owner = :owner, until = :until WHERE owner = :owner OR until < :now
"""


def spool_path(folder: Path, url: str, api_key: str) -> Path:
    """The file for this server and key; the key is not in its name."""
    name = hashlib.sha256(f"{url.rstrip('/')}\n{api_key}".encode()).hexdigest()[:24]
    return folder / f"{name}.db"


class Spool:
    """Of one thread. Made when it is first needed."""

    def __init__(self, path: Path, owner: str, *, most: int, lease: float = 60.0) -> None:
        self.path = path
        self._owner = owner
        self._most = most
        self._lease = lease
        self._connection: sqlite3.Connection | None = None
        self._names: Names | None = None

    @property
    def exists(self) -> bool:
        """Whether anything was ever written to it."""
        return self.path.exists()

    def add(self, bodies: list[bytes]) -> int:
        """Keep them, in order; how many there was room for. Raises StoreUnavailable."""
        db = self._open()
        room = self._most - self._bytes(db)
        taken: list[bytes] = []
        for body in bodies:
            room -= len(body)
            if room < 0:
                break
            taken.append(body)
        self._insert(db, taken)
        if not self._is_found:  # deleted meanwhile: they go into the next one; what is sent twice is kept once
            self._insert(self._open(), taken)
        return len(taken)

    def _insert(self, db: sqlite3.Connection, bodies: list[bytes]) -> None:
        with _tx(db):
            db.executemany("INSERT INTO recordings (owner, body) VALUES (?, ?)", [(self._owner, one) for one in bodies])

    def first(self, count: int, size: int) -> list[tuple[int, bytes]]:
        """The oldest ones, at most so many and (but for the first) so many bytes; none where another one sends."""
        db = self._open()
        moment = time.time()
        with _tx(db):
            db.execute(_LEASE, {"owner": self._owner, "until": moment + self._lease, "now": moment})
            holder = db.execute("SELECT owner FROM lease").fetchone()
        if holder[0] != self._owner:
            return []
        found: list[tuple[int, bytes]] = []
        for number, body in db.execute("SELECT number, body FROM recordings ORDER BY number LIMIT ?", (count,)):
            size -= len(body)
            if found and size < 0:
                break
            found.append((number, body))
        return found

    def drop(self, numbers: list[int]) -> None:
        """They have arrived."""
        db = self._open()
        with _tx(db):
            db.executemany("DELETE FROM recordings WHERE number = ?", [(number,) for number in numbers])

    def mine(self) -> bool:
        """Whether any of this owner's waits in it: what comes later must wait, too."""
        return bool(self._open().execute("SELECT 1 FROM recordings WHERE owner = ? LIMIT 1", (self._owner,)).fetchone())

    def __len__(self) -> int:
        if not self.exists:
            return 0
        return int(self._open().execute("SELECT count(*) FROM recordings").fetchone()[0])

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error), _tx(self._connection):
                self._connection.execute("DELETE FROM lease WHERE owner = ?", (self._owner,))
            self._connection.close()
            self._connection = None

    def _bytes(self, db: sqlite3.Connection) -> int:
        return int(db.execute("SELECT coalesce(sum(length(body)), 0) FROM recordings").fetchone()[0])

    @property
    def _is_found(self) -> bool:
        """Whether others, and this process when it begins again, will find what is written."""
        return self._names is not None and self._names.lead_here and self._names.lead_to_log

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and not self._is_found:
            if self._names is not None and not self._names.lead_here:
                self._names.clear_log()
            self._connection.close()
            self._connection = None
        if self._connection is None:
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
                names = Names(self.path, file_id(self.path))
                db = sqlite3.connect(self.path, timeout=10.0, isolation_level=None, check_same_thread=False)
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                db.executescript(_SCHEMA)
            except (OSError, sqlite3.Error) as error:
                raise _trouble(self.path, error) from error
            names.see_log()
            self._connection, self._names = db, names
        return self._connection


class _tx:  # noqa: N801
    """A transaction: all of it, or nothing. Raises StoreUnavailable."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise _trouble(None, error) from error

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._db.execute("COMMIT" if error is None else "ROLLBACK")
        except sqlite3.Error as trouble:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise _trouble(None, trouble) from trouble
        if isinstance(error, sqlite3.Error):
            raise _trouble(None, error) from error


def _trouble(path: Path | None, error: Exception) -> StoreUnavailable:
    where = f" {path}" if path is not None else ""
    return StoreUnavailable(
        f"what waits for the server cannot be kept in the spool{where}: {error}; free some space, or set "
        "ACONTEXT_REMOTE__SPOOL to a folder that can be written"
    )
