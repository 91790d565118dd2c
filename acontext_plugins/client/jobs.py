"""Jobs, for both clients: work in the background, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from ..service import Job
from .connection import AsyncResource


class AsyncJobs(AsyncResource):
    """Work in the background."""

    async def list(
        self,
        *,
        dead: bool | None = None,
        space_id: str | None = None,
        session_id: str | None = None,
        limit: int = 200,
    ) -> Sequence[Job]:
        """What is to be done, or (`dead`) what has failed and waits for a person, or (None) both."""
        return await self._service.jobs(dead=dead, space_id=space_id, session_id=session_id, limit=limit)

    async def retry(self, *, space_id: str | None = None, session_id: str | None = None) -> int:
        """Have all that failed done again now, as if for the first time: of a space, of a session, or everything.

        The number of jobs. Raises NotFound.
        """
        return await self._service.retry_jobs(space_id=space_id, session_id=session_id)
