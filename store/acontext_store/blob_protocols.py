"""The storage interfaces for blobs: bytes by their SHA-256."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol, runtime_checkable

from .types import Blob


class BlobWriter(Protocol):
    """A blob on its way in, piece by piece, in constant memory. Leave its `with` without `commit`, and nothing is kept.

    Raises StoreUnavailable where the bytes cannot be written.
    """

    def __enter__(self) -> BlobWriter: ...

    def __exit__(self, *error: object) -> None: ...

    def write(self, data: bytes) -> None:
        """Add bytes at the end of the blob."""

    def commit(self) -> Blob:
        """Keep the written bytes, atomically and durably, and return their hash and size."""


@runtime_checkable
class BlobStore(Protocol):
    """Bytes by their SHA-256 (lower-case hex). Putting the same bytes twice keeps them once.

    A blob stays while a row of the Store refers to it. A writer puts the bytes first, then the row; when the last row
    is deleted, the blob may be deleted. A garbage collector must not delete bytes that a writer has just put again and
    not yet referred to, so it does three things in this order: it takes a time in the past (longer ago than any writer
    waits between bytes and row), it asks the Store which blobs are unused, and it calls
    `delete(..., untouched_since=time)`. Putting bytes makes them new again, and `delete` checks their age and deletes
    them in one step. So a blob that is deleted was put before that time, and its writer has its row by now or has
    given up.
    """

    def put(self, data: bytes) -> str:
        """Keep the bytes, atomically and durably, and return their hash. Raises StoreUnavailable."""

    def write(self) -> BlobWriter:
        """Keep bytes piece by piece: for blobs that do not fit into memory."""

    def get(self, sha256: str) -> bytes:
        """All bytes of the blob. Raises NotFound, and StoreUnavailable for bytes that do not have that hash."""

    def read(self, sha256: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from index `start` up to index `end` (not included; None = all), in pieces.

        Raises NotFound, and InvalidInput for a range that cannot be, at once. A blob that is read whole and does not
        have that hash raises StoreUnavailable after the last piece.
        """

    def size(self, sha256: str) -> int:
        """The number of bytes of the blob. Raises NotFound."""

    def exists(self, sha256: str) -> bool:
        """Whether the blob is kept here."""

    def delete(self, sha256: str, *, untouched_since: float | None = None) -> bool:
        """Delete a blob, unless it was put after `untouched_since` (Unix time in seconds); True if it is gone now."""

    def sweep(self, used: Callable[[Sequence[str]], Collection[str]], *, untouched_since: float) -> int:
        """Delete blobs that `used` does not name, and what unfinished uploads left; the number of deleted blobs.

        Blobs that were put after `untouched_since` (Unix time in seconds) stay.
        """
