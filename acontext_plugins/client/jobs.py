"""Jobs, for both clients: work in the background, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from ..service import Job
from .connection import AsyncResource


class AsyncJobs(AsyncResource):
    """Background work: observing, learning and embedding."""

    async def list(
        self,
        *,
        dead: bool | None = None,
        space_id: str | None = None,
        session_id: str | None = None,
        limit: int = 200,
    ) -> Sequence[Job]:
        """Jobs to be done, jobs that failed for good and wait for a person (`dead`), or both (None).

        `limit` is the most jobs returned, 1 to 10,000. Raises InvalidInput.
        """
        return await self._service.jobs(dead=dead, space_id=space_id, session_id=session_id, limit=limit)

    async def retry(self, *, space_id: str | None = None, session_id: str | None = None) -> int:
        """Make all failed jobs due now, with no attempts counted: of a space, of a session, or of the project.

        Returns the number of jobs. Raises NotFound.
        """
        return await self._service.retry_jobs(space_id=space_id, session_id=session_id)
