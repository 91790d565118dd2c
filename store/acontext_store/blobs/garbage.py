"""Blobs that nothing refers to any more are deleted. The protocol, and why it is safe, stands at `BlobStore`."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..protocols import BlobStore, Store

#: Seconds between bytes and the row that refers to them, at the most.
GRACE = 600.0
_BATCH = 1000


def sweep(store: Store, blobs: BlobStore, *, thorough: bool = False, grace: float = GRACE) -> int:
    """Delete blobs whose last reference has gone, if they were put more than `grace` seconds ago; how many went.

    `thorough` looks at every blob, and so finds those, too, that never had a reference (whoever put them died before
    the row), and what unfinished uploads left behind. Any number of processes may sweep at once.
    """
    since = time.time() - grace  # before anything is asked
    if thorough:
        return blobs.sweep(lambda hashes: _used(store, hashes), untouched_since=since)
    gone = 0
    hashes = store.unused_blobs(limit=_BATCH).result()
    while hashes:
        deleted = [sha256 for sha256 in hashes if blobs.delete(sha256, untouched_since=since)]
        store.forget_blobs(deleted).result()
        gone += len(deleted)
        if len(deleted) < _BATCH:  # the rest is too new, or there is none
            break
        hashes = store.unused_blobs(limit=_BATCH).result()
    return gone


def _used(store: Store, hashes: Sequence[str]) -> set[str]:
    return store.used_blobs(hashes).result()
