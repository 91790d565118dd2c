"""Projects: one engine each, opened when it is first asked for, closed together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from acontext_store.errors import Closed

from ..engine.embedded import EmbeddedEngine
from ..engine.engine import Engine

log = logging.getLogger("acontext")


class Projects:
    """The engines of a server. Each lives on a loop of its own, so that learning never holds up a request."""

    def __init__(self, open_project: Callable[[str], EmbeddedEngine]) -> None:
        self._open = open_project
        self._engines: dict[str, EmbeddedEngine] = {}
        self._opening: dict[str, asyncio.Task[EmbeddedEngine]] = {}
        self._closed = False

    def opened(self, project_id: str) -> Engine | None:
        """The engine, where it is open."""
        embedded = self._engines.get(project_id)
        return embedded.engine if embedded is not None else None

    async def service(self, project_id: str) -> Engine:
        """The engine. Raises StoreUnavailable where it cannot be opened, Closed after `close`."""
        embedded = self._engines.get(project_id)
        if embedded is None:
            if self._closed:
                raise Closed("the server is going down: try again later")
            opening = self._opening.get(project_id)
            if opening is None:
                opening = asyncio.create_task(self._open_one(project_id))
                self._opening[project_id] = opening
            embedded = await asyncio.shield(opening)
        return embedded.engine

    async def _open_one(self, project_id: str) -> EmbeddedEngine:
        try:
            embedded = await asyncio.to_thread(self._open, project_id)
            self._engines[project_id] = embedded
            return embedded
        finally:
            del self._opening[project_id]

    async def open_all(self, project_ids: Iterable[str]) -> None:
        """Open them now, so that work that was left is done although nobody calls."""
        for project_id in dict.fromkeys(project_ids):
            await self.service(project_id)

    async def close(self) -> None:
        """Write what is recorded, and let go of all databases."""
        self._closed = True
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        engines, self._engines = list(self._engines.values()), {}
        done = await asyncio.gather(
            *(asyncio.to_thread(embedded.close) for embedded in engines), return_exceptions=True
        )
        for trouble in done:
            if isinstance(trouble, BaseException):
                log.error("acontext: a project was not closed in order", exc_info=trouble)
