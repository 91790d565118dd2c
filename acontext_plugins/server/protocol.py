"""HTTP as uvicorn speaks it, but a connection that sends no request is closed after a while."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol


def protocol_of(seconds: float) -> type[asyncio.Protocol]:
    """The protocol of connections that have so many seconds for the head of their first request."""
    base: Any = AutoHTTPProtocol

    class Impatient(base):  # type: ignore[misc]
        """Without this, a client that sends a byte a minute keeps a connection for ever."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._head_timer = self.loop.call_later(seconds, self._close_if_idle)

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_timer.cancel()
            super().connection_lost(exc)

        def _close_if_idle(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self.transport.close()

    return Impatient
