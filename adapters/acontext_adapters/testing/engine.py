"""A real engine in a temporary database, and what it has to tell when all its work is done."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from acontext_plugins.client import Acontext
from acontext_plugins.settings import LearnSettings, ObserveSettings, RecorderSettings, Settings
from acontext_store.open import database_url
from acontext_store.types import Session, StoredMessage, Task


@dataclass(frozen=True)
class RealEngine:
    """A client and the file behind it."""

    client: Acontext
    database: Path

    async def flush(self) -> None:
        """Wait until everything is durable, observed and learned."""
        assert await asyncio.to_thread(self.client.flush, 60), "the engine is not done after a minute"

    def sessions(self) -> list[Session]:
        """All conversations, in order of their beginning."""
        return list(self.client.sessions.list(limit=200).items)

    def tasks(self, session: Session) -> list[Task]:
        """The tasks of a session."""
        return list(self.client.sessions.get_tasks(session.id, limit=200).items)

    def messages(self, session: Session) -> Sequence[StoredMessage]:
        """The stored messages of a session."""
        embedded = self.client.connection.opened()
        return embedded.loop.run(embedded.engine.messages(session.id)).items


@asynccontextmanager
async def real_engine() -> AsyncIterator[RealEngine]:
    """A client on an empty database, which learns at once."""
    with tempfile.TemporaryDirectory(prefix="acontext-contract-") as folder:
        database = Path(folder) / "memory.db"
        settings = Settings(
            url=database_url(database),
            observe=ObserveSettings(quiet=0.05),
            learn=LearnSettings(quiet=0.05),
            recorder=RecorderSettings(close_timeout=60),
        )
        client = await asyncio.to_thread(Acontext, settings=settings)
        try:
            yield RealEngine(client, database)
        finally:
            await asyncio.to_thread(client.close)
