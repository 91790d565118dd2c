"""HTTP as uvicorn speaks it, but heads that come too slowly, or are none, get our kind of answer and the end."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from .answers import encoded

_MALFORMED = "this is no HTTP request: its head is malformed, or longer than 64 kB (send long texts in a body)"
_SLOW = "the head of the request came too slowly: send it within {seconds:g} s"


def protocol_of(seconds: float) -> type[asyncio.Protocol]:
    """The protocol of connections that have so many seconds for the head of each request."""
    base: Any = AutoHTTPProtocol

    class Impatient(base):  # type: ignore[misc]
        """Without this, a client that sends a byte a minute keeps a connection for ever."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(seconds, self._close_if_idle)
            self._begun = False

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self._begun = True
            super().data_received(data)
            if not self._waits_for_head():
                self._begun = False
                self._stop_timer()
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(seconds, self._close_if_idle)

        def send_400_response(self, msg: str) -> None:
            self._refuse(400, "invalid_input", _MALFORMED)

        def _waits_for_head(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _stop_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _close_if_idle(self) -> None:
            self._head_timer = None
            if not self._waits_for_head() or self.transport.is_closing():
                return
            if self._begun:
                self._refuse(408, "timeout", _SLOW.format(seconds=seconds))
            else:
                self.transport.close()

        def _refuse(self, status: int, error: str, words: str) -> None:
            body = encoded({"code": status, "msg": words, "error": error})
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            rest = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write((head + rest).encode() + body)
            self.transport.close()

    return Impatient
