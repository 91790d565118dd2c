"""Blobs as files in a directory. Nothing is held open, so threads, processes and forked children may share it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from pathlib import Path

from ..errors import InvalidInput, NotFound, StoreUnavailable

_HASH = re.compile(r"[0-9a-f]{64}")


class LocalBlobs:
    """`BlobStore` in a directory: `ab/cdef...`, one file a blob, readable by its owner only."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Make the directory where it is missing. Raises StoreUnavailable."""
        self.path = Path(path).absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._trouble("make the directory", error) from error

    def put(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        place = self._place(sha256)
        try:
            if _is_whole(place, len(data)):
                return sha256
            place.parent.mkdir(mode=0o700, exist_ok=True)
            self._write(place, data)
        except OSError as error:
            raise self._trouble("keep a blob", error) from error
        return sha256

    def _write(self, place: Path, data: bytes) -> None:
        """Under another name first, so that a reader, or a crash, never meets half of it."""
        draft = place.with_name(f".{place.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, place)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        _sync_directory(place.parent)

    def get(self, sha256: str) -> bytes:
        place = self._place(sha256)
        try:
            data = place.read_bytes()
        except FileNotFoundError as error:
            raise NotFound("blob", sha256) from error
        except OSError as error:
            raise self._trouble("read a blob", error) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StoreUnavailable(f"the blob {place} is damaged: restore it from a backup, or delete it")
        return data

    def exists(self, sha256: str) -> bool:
        return self._place(sha256).is_file()

    def delete(self, sha256: str) -> None:
        try:
            self._place(sha256).unlink(missing_ok=True)
        except OSError as error:
            raise self._trouble("delete a blob", error) from error

    def _place(self, sha256: str) -> Path:
        """Where it is. Nothing but a hash is ever part of a path."""
        if not _HASH.fullmatch(sha256):
            raise InvalidInput(f"{sha256[:80]!r} is not a SHA-256: it must be 64 characters, 0-9 and a-f")
        return self.path / sha256[:2] / sha256[2:]

    def _trouble(self, what: str, error: OSError) -> StoreUnavailable:
        return StoreUnavailable(
            f"cannot {what} in {self.path}: {error.strerror or error}; free some space, make it writable for this "
            "user, or choose another directory"
        )


def _is_whole(place: Path, size: int) -> bool:
    try:
        return place.stat().st_size == size
    except FileNotFoundError:
        return False


def _sync_directory(path: Path) -> None:
    """So that the new name, too, outlives a power cut; not every file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
