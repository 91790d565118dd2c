"""Looks whether the database was deleted or replaced under us, so that nothing is written to a file nobody finds.

A file that is deleted or replaced stays open: SQLite goes on to read and write what nobody will find again. So its name
is looked at after each commit and before each read: a `stat` of the database, and after commits another of its log. For
databases without a write-ahead log SQLite does the same itself, by the inode too; for those with one it does not.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ..errors import StoreUnavailable

#: Device and inode; None = the name leads nowhere.
FileId = tuple[int, int] | None


def file_id(path: str | os.PathLike[str]) -> FileId:
    """The file that has this name.

    Raises StoreUnavailable where it cannot be told: a disk that does not answer for a while has lost nothing.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreUnavailable(
            f"cannot look at {path}: {error.strerror or error}; it is not certain that this was kept: try again"
        ) from error
    return found.st_dev, found.st_ino


class Names:
    """The names of an open database and of its log, and which files they led to when they were opened."""

    __slots__ = ("_index", "_index_path", "_log", "_log_path", "_path", "_real", "database")

    def __init__(self, path: Path, database: FileId) -> None:
        self.database = database
        self._path = str(path)
        self._real = os.path.realpath(path)  # SQLite puts its other files beside the file, not beside a link to it
        self._log_path, self._index_path = f"{self._real}-wal", f"{self._real}-shm"
        self._log: FileId = None
        self._index: FileId = None

    def see_log(self) -> None:
        """The log and its index, which are there once a connection has read or written, are the right ones."""
        self._log, self._index = file_id(self._log_path), file_id(self._index_path)

    @property
    def lead_here(self) -> bool:
        """Whether the database's name leads to the file that is open."""
        return file_id(self._path) == self.database

    @property
    def lead_to_log(self) -> bool:
        """The same of the log."""
        return file_id(self._log_path) == self._log

    @property
    def has_other_log(self) -> bool:
        """Whether the log's name leads to one that others have made."""
        return file_id(self._log_path) not in (None, self._log)

    def clear_log(self) -> str:
        """The database is lost: its log must not be taken for that of another, which it would ruin.

        Where another is there already, the log is kept under the name that is returned: it may hold what was written
        last. Else it goes as its database went ("" is returned). To be done while both are still open.
        """
        kept = ""
        if file_id(self._real) == self.database:
            return kept  # only a link to it leads elsewhere
        with contextlib.suppress(OSError):
            if self._index is not None and file_id(self._index_path) == self._index:
                os.unlink(self._index_path)
        with contextlib.suppress(OSError):
            if self._log is not None and self.lead_to_log:
                if file_id(self._real) is None or not os.path.getsize(self._log_path):
                    os.unlink(self._log_path)
                else:
                    kept = f"{self._log_path}.replaced"
                    os.replace(self._log_path, kept)
        return kept
