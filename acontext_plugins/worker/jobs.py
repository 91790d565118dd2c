"""Jobs: what people do about work in the background that could not be done."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from acontext_store.errors import InvalidInput
from acontext_store.protocols import Store
from acontext_store.types import Lane

from ..service import Job, JobStatus


class JobsAdmin:
    """Work in the background, for people: what there is, and another try of what failed."""

    def __init__(self, store: Store, *, hurry: Callable[[], None]) -> None:
        """`probe_now` has the worker look for work now."""
        self.store = store
        self._hurry = hurry

    async def jobs(
        self,
        *,
        dead: bool | None = None,
        space_id: str | None = None,
        session_id: str | None = None,
        limit: int = 200,
    ) -> list[Job]:
        if not 1 <= limit <= 10_000:
            raise InvalidInput(f"limit is {limit}: it must be 1 to 10000")
        found = await self.store.lanes(dead=dead, space_id=space_id, session_id=session_id, limit=limit)
        return [_job(lane) for lane in found]

    async def retry_jobs(self, *, space_id: str | None = None, session_id: str | None = None) -> int:
        count = await self.store.retry(space_id=space_id, session_id=session_id)
        self._hurry()
        return count


def _job(lane: Lane) -> Job:
    return Job(
        kind=lane.kind,
        status=_status(lane),
        session_id=lane.key if lane.kind == "observe" else None,
        space_id=lane.space_id,
        attempts=lane.attempts,
        outages=lane.outages,
        reason=lane.reason if lane.last_error else "",
        note=lane.note or "",
        due_at=None if lane.dead_at is not None or lane.idle else _time(lane.due_at),
        failing_since=_time(lane.failing_since),
        dead_at=_time(lane.dead_at),
    )


def _status(lane: Lane) -> JobStatus:
    if lane.dead_at is not None:
        return "dead"
    if lane.idle:
        return "done"
    if lane.owner is not None and lane.lease_until > time.time():
        return "running"
    return "failing" if lane.failing else "due"


def _time(moment: float | None) -> str | None:
    """RFC 3339, as all times that are not computed with."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
