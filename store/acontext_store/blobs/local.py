"""Blobs as files in a directory. Nothing is held open, so threads, processes and forked children may share it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from ..errors import InvalidInput, NotFound, StoreUnavailable
from ..types import Blob

_HASH = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20
_BATCH = 500
_DRAFTS = ".drafts"
#: Seconds after which an upload that is neither ended nor fed has been left behind.
_ABANDONED = 86_400.0


class LocalBlobs:
    """`BlobStore` in a directory: `ab/cdef...`, one file a blob, readable by its owner only.

    The age of a blob is its file's time of change, which a second `put` renews. To look at a file and then touch,
    replace or delete it is one step, because the directory is locked (`flock`) meanwhile: shared by those who put,
    alone for who deletes. The system lets go of the lock of a process that dies.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Make the directory where it is missing. Raises StoreUnavailable."""
        self.path = Path(path).absolute()
        self._make()

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._trouble("make the directory", error) from error

    def put(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        self._make()  # somebody may have deleted it
        try:
            with self._locked(fcntl.LOCK_SH):
                if _renewed(self._place(sha256), len(data)):
                    return sha256
        except OSError as error:
            raise self._trouble("keep a blob", error) from error
        with self.write() as writer:
            writer.write(data)
            return writer.commit().sha256

    def write(self) -> LocalWriter:
        self._make()
        return LocalWriter(self)

    def get(self, sha256: str) -> bytes:
        place = self._place(sha256)
        try:
            data = place.read_bytes()
        except FileNotFoundError as error:
            raise NotFound("blob", sha256) from error
        except OSError as error:
            raise self._trouble("read a blob", error) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise self._damaged(place)
        return data

    def read(self, sha256: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        size = self.size(sha256)
        if start < 0 or (end is not None and end < start):
            raise InvalidInput(
                f"bytes {start} to {end} of a blob: the range must begin at 0 or later, and not end before"
            )
        last = size if end is None else min(end, size)
        return self._pieces(self._place(sha256), start, last, sha256 if (start, last) == (0, size) else None)

    def _pieces(self, place: Path, start: int, end: int, sha256: str | None) -> Iterator[bytes]:
        digest = hashlib.sha256()
        try:
            with open(place, "rb") as file:
                file.seek(start)
                rest = end - start
                while rest > 0 and (piece := file.read(min(rest, _CHUNK))):
                    rest -= len(piece)
                    if sha256 is not None:
                        digest.update(piece)
                    yield piece
        except FileNotFoundError as error:
            raise NotFound("blob", place.parent.name + place.name) from error
        except OSError as error:
            raise self._trouble("read a blob", error) from error
        if sha256 is not None and digest.hexdigest() != sha256:
            raise self._damaged(place)

    def size(self, sha256: str) -> int:
        try:
            return self._place(sha256).stat().st_size
        except FileNotFoundError as error:
            raise NotFound("blob", sha256) from error
        except OSError as error:
            raise self._trouble("read a blob", error) from error

    def exists(self, sha256: str) -> bool:
        return self._place(sha256).is_file()

    def delete(self, sha256: str, *, untouched_since: float | None = None) -> bool:
        place = self._place(sha256)
        try:
            with self._locked(fcntl.LOCK_EX):
                try:
                    if untouched_since is not None and place.stat().st_mtime >= untouched_since:
                        return False
                    place.unlink()
                except FileNotFoundError:
                    pass
            return True
        except OSError as error:
            raise self._trouble("delete a blob", error) from error

    def sweep(self, used: Callable[[Sequence[str]], Collection[str]], *, untouched_since: float) -> int:
        gone, batch = 0, list[str]()
        try:
            for draft in (self.path / _DRAFTS).glob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if draft.stat().st_mtime < untouched_since - _ABANDONED:
                        draft.unlink()
            for place in self.path.glob("[0-9a-f][0-9a-f]/*"):
                sha256 = place.parent.name + place.name
                with contextlib.suppress(FileNotFoundError):
                    if _HASH.fullmatch(sha256) and place.stat().st_mtime < untouched_since:
                        batch.append(sha256)
                if len(batch) == _BATCH:
                    gone += self._delete_unused(batch, used, untouched_since)
                    batch = []
        except OSError as error:
            raise self._trouble("look for blobs", error) from error
        return gone + self._delete_unused(batch, used, untouched_since)

    def _delete_unused(
        self, batch: Sequence[str], used: Callable[[Sequence[str]], Collection[str]], untouched_since: float
    ) -> int:
        kept = used(batch) if batch else ()
        return sum(self.delete(sha256, untouched_since=untouched_since) for sha256 in batch if sha256 not in kept)

    # -- files
    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        handle = os.open(self.path, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # not every file system has locks
                fcntl.flock(handle, how)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    fcntl.flock(handle, fcntl.LOCK_UN)  # a child forked meanwhile has the handle, too
        finally:
            os.close(handle)

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

    @staticmethod
    def _damaged(place: Path) -> StoreUnavailable:
        return StoreUnavailable(f"the blob {place} is damaged: restore it from a backup, or delete it")


class LocalWriter:
    """A blob on its way in: under another name first, so that a reader, or a crash, never meets half of it."""

    def __init__(self, blobs: LocalBlobs) -> None:
        self._blobs = blobs
        self._digest = hashlib.sha256()
        self._size = 0
        self._draft = blobs.path / _DRAFTS / f"{os.getpid()}.{secrets.token_hex(8)}"
        try:
            self._draft.parent.mkdir(mode=0o700, exist_ok=True)
            self._file = open(os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")  # noqa: SIM115
        except OSError as error:
            raise blobs._trouble("keep a blob", error) from error

    def __enter__(self) -> LocalWriter:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._draft.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self._size += len(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise self._blobs._trouble("keep a blob", error) from error

    def commit(self) -> Blob:
        blob = Blob(self._digest.hexdigest(), self._size)
        place = self._blobs._place(blob.sha256)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            place.parent.mkdir(mode=0o700, exist_ok=True)
            with self._blobs._locked(fcntl.LOCK_SH):
                if _renewed(place, blob.size):
                    return blob
                os.utime(self._draft)
                os.replace(self._draft, place)
        except OSError as error:
            raise self._blobs._trouble("keep a blob", error) from error
        _sync_directory(place.parent)
        return blob


def _renewed(place: Path, size: int) -> bool:
    """Whether it is there, all of it: then it is as new as if it had been written now."""
    try:
        if place.stat().st_size != size:
            return False
        os.utime(place)
    except FileNotFoundError:
        return False
    return True


def _sync_directory(path: Path) -> None:
    """So that the new name, too, outlives a power cut; not every file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
