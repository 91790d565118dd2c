"""What somebody waits for: the work that there was when they began, and not what others bring meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable

from acontext_store.types import Lane


class FlushTargets:
    """Lanes of one kind, each until all that it held at the beginning is done.

    A claim takes all that a lane holds; so that is done where the lane was claimed since then, was released, and is
    not due now: what is left of a batch would be, and what failed is counted on it.
    """

    def __init__(self, lanes: Iterable[Lane]) -> None:
        self._tokens = {lane.key: lane.token for lane in lanes}

    def of(self, lanes: Iterable[Lane]) -> list[Lane]:
        """Those of the lanes that are still wanted. One that is not is never wanted again."""
        wanted = [lane for lane in lanes if lane.key in self._tokens and not self._is_done(lane)]
        self._tokens = {lane.key: self._tokens[lane.key] for lane in wanted}
        return wanted

    def _is_done(self, lane: Lane) -> bool:
        claimed_since = lane.token > self._tokens[lane.key]
        failed = lane.attempts or lane.outages
        return claimed_since and lane.owner is None and not failed and lane.due_at > time.time()
