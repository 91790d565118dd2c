"""A remote engine: a service over HTTP, on a loop of its own."""

from __future__ import annotations

from acontext_store.errors import Unauthorized

from ..concurrency.background import BackgroundEventLoop
from ..record.redaction.redactor import Scrubber
from ..settings import Settings
from .service import RemoteService


class RemoteEngine:
    """A remote service and the loop it lives on; of one process."""

    def __init__(self, engine: RemoteService, loop: BackgroundEventLoop) -> None:
        self.engine = engine
        self.loop = loop

    def work(self) -> None:
        """The server works by itself."""

    def write(self) -> None:
        """Send what is recorded, or leave it in the spool, and go on."""
        self.engine.recorder.put_by(self.engine.settings.recorder.close_timeout)

    def close(self) -> None:
        """Send what is recorded, or leave it in the spool. Nothing happens in a forked child."""
        if not self.loop.alive:
            return
        try:
            self.engine.close()
            self.loop.run(self.engine.stop(), timeout=10)
        finally:
            self.loop.close()


def open_remote(settings: Settings, scrubber: Scrubber) -> RemoteEngine:
    """Make ready to speak to the server of the settings. It need not be there yet. Without a key: Unauthorized."""
    if settings.api_key is None:
        raise Unauthorized(f"the server at {settings.url} wants a key: give api_key, or set ACONTEXT_API_KEY")
    loop = BackgroundEventLoop()

    async def make() -> RemoteService:
        return RemoteService(settings, scrubber, loop)

    try:
        return RemoteEngine(loop.run(make()), loop)
    except BaseException:
        loop.close()
        raise
