"""HTTP as uvicorn speaks it, but a connection that sends no request is closed, and bad heads get our kind of answer."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from .answers import encoded

_MALFORMED = encoded(
    {
        "code": 400,
        "msg": "this is no HTTP request: its head is malformed, or longer than 64 kB (send long texts in a body)",
        "error": "invalid_input",
    }
)


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

        def send_400_response(self, msg: str) -> None:
            head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            self.transport.write(head + b"content-length: %d\r\n\r\n" % len(_MALFORMED) + _MALFORMED)
            self.transport.close()

        def _close_if_idle(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self.transport.close()

    return Impatient
