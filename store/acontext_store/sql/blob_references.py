"""What refers to a blob: the files on disks, and the sessions whose messages name it. See `BlobStore`."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from .database import Tx
from .tables import unused_blobs

_REFER = (
    "INSERT INTO session_blobs (project_id, session_id, sha256) VALUES (?, ?, ?) "
    "ON CONFLICT (project_id, session_id, sha256) DO NOTHING"
)
_RELEASE = """
INSERT INTO unused_blobs (project_id, sha256) SELECT :project, :sha256
WHERE NOT EXISTS (SELECT 1 FROM artifacts WHERE project_id = :project AND sha256 = :sha256)
AND NOT EXISTS (SELECT 1 FROM session_blobs WHERE project_id = :project AND sha256 = :sha256)
ON CONFLICT (project_id, sha256) DO NOTHING
"""
_OF_SESSION = "SELECT sha256 FROM session_blobs WHERE project_id = ? AND session_id = ?"
_UNUSED = "SELECT sha256 FROM unused_blobs WHERE project_id = ? ORDER BY sha256 LIMIT ?"
_USED = """
SELECT EXISTS (SELECT 1 FROM artifacts WHERE project_id = :project AND sha256 = :sha256)
OR EXISTS (SELECT 1 FROM session_blobs WHERE project_id = :project AND sha256 = :sha256)
"""


def refer(tx: Tx, session_id: str, hashes: Iterable[str]) -> None:
    """The session's messages name these."""
    for sha256 in hashes:
        tx.raw.execute(_REFER, (tx.project_id, session_id, sha256))
        tx.drop(unused_blobs, sha256=sha256)


def of_session(tx: Tx, session_id: str) -> list[str]:
    return [sha256 for (sha256,) in tx.raw.execute(_OF_SESSION, (tx.project_id, session_id))]


def release(tx: Tx, hashes: Iterable[str]) -> None:
    """References to these have just gone: those that were the last are noted."""
    tx.raw.executemany(_RELEASE, [{"project": tx.project_id, "sha256": sha256} for sha256 in hashes])


def list_unused(tx: Tx, *, limit: int) -> list[str]:
    return [sha256 for (sha256,) in tx.raw.execute(_UNUSED, (tx.project_id, limit))]


def forget(tx: Tx, hashes: Collection[str]) -> None:
    for sha256 in hashes:
        tx.drop(unused_blobs, sha256=sha256)


def used(tx: Tx, hashes: Collection[str]) -> set[str]:
    return {
        sha256 for sha256 in hashes if tx.raw.execute(_USED, {"project": tx.project_id, "sha256": sha256}).fetchone()[0]
    }
