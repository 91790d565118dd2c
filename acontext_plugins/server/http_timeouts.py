"""HTTP as uvicorn speaks it, but a head that is too long, too slow or none gets our kind of answer, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .responses import encoded

#: Bytes that the head of a request may have; and so many may stand around the chunks of a body and after them.
HEAD = 64 * 1024
#: A body of unknown length is given to the parser in pieces of so many bytes.
_PIECE = 16 * 1024
#: After an answer that ends a connection so much is still read, so that its sender gets to read why.
_LINGER_BYTES, _LINGER_SECONDS = 1024 * 1024, 5.0

_MALFORMED = "this is no HTTP request: its head, or what stands around its body, is malformed"
_SLOW = "the head of the request came too slowly: send it within {seconds:g} s"
_LONG_HEAD = "the head of the request is longer than 64 kB: send less in headers, and long texts in a body"
_LONG_TARGET = "the address of the request is longer than 64 kB: send long texts in a body"
_LONG_TRAILER = "chunk extensions or trailers of the body are longer than 64 kB: send them without"


def protocol_of(seconds: float) -> type[asyncio.Protocol]:
    """The protocol of connections that have so many seconds for the head of each request."""
    base: Any = HttpToolsProtocol

    class Guarded(base):  # type: ignore[misc]
        """Without this a client that sends a byte a minute keeps a connection for ever, and a head has no end.

        The parser keeps a head until it is whole, so it is never given more of one than may be kept.
        """

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._timer: asyncio.TimerHandle | None = self.loop.call_later(seconds, self._close_if_idle)
            self._begun = self._in_body = False
            self.url = b""
            #: Bytes of the body that are still to come; None = nobody said how many.
            self._left: int | None = None
            #: Bytes that the parser was given since it last gave us something.
            self._kept = 0
            self._refusal = b""
            self._discarded = 0

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        # -- what comes in
        def data_received(self, data: bytes) -> None:
            self._begun = True
            start, end = 0, len(data)
            while start < end and not self._refusal:
                size = self._portion(data, start)
                if size:
                    self._kept += size
                    base.data_received(self, data if size == end else data[start : start + size])
                    start += size
                else:
                    self._refuse_long()
            if self._refusal:
                self._discard(end - start)
            elif not self._waits_for_head():
                self._begun = False
                self._stop_timer()
            elif self._timer is None:
                self._timer = self.loop.call_later(seconds, self._close_if_idle)

        def _portion(self, data: bytes, start: int) -> int:
            """How much of it the parser may have next: up to where a head or a body ends; 0 = no more."""
            rest, most = len(data) - start, HEAD - self._kept
            if not self._in_body:
                found = data.find(b"\r\n\r\n", start)
                rest = found + 4 - start if found >= 0 else rest
            elif self._left:
                most = self._left
            elif most > _PIECE:
                most = _PIECE
            return rest if rest < most else most

        def on_headers_complete(self) -> None:
            base.on_headers_complete(self)
            self._in_body, self._kept = True, 0
            self._left = _length(self.headers)
            # trailers go here: they are none of the headers that the application sees
            self.headers: list[tuple[bytes, bytes]] = []

        def on_body(self, body: bytes) -> None:
            self._kept = 0
            if self._left is not None:
                self._left -= len(body)
            base.on_body(self, body)

        def on_message_complete(self) -> None:
            self._in_body, self._kept = False, 0
            base.on_message_complete(self)

        # -- what is refused
        def send_400_response(self, msg: str) -> None:
            self._refuse(400, "invalid_input", _MALFORMED)

        def _refuse_long(self) -> None:
            if self._in_body:
                self._refuse(431, "too_large", _LONG_TRAILER)
            elif len(self.url) > HEAD // 2:
                self._refuse(414, "too_large", _LONG_TARGET)
            else:
                self._refuse(431, "too_large", _LONG_HEAD)

        def _refuse(self, status: int, error: str, words: str) -> None:
            """The answer to the request that is coming in, after those to the requests before it, and the end."""
            body = encoded({"code": status, "msg": words, "error": error})
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            rest = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self._refusal = (head + rest).encode() + body
            self._stop_timer()
            if self._is_next():
                self._end()
            else:
                self.flow.pause_reading()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._refusal and not self.transport.is_closing() and self._is_next():
                self._end()

        def _is_next(self) -> bool:
            """Whether all requests before the one that is refused have been answered."""
            return self._waits_for_head() or (self._in_body and not self.pipeline)

        def _end(self) -> None:
            self._unset_keepalive_if_required()
            if not self._waits_for_head():  # the request itself is being answered, and waits for its body
                self.cycle.disconnected = True
                self.cycle.message_event.set()
                if self.cycle.response_started:
                    self.transport.close()
                    return
            self.transport.write(self._refusal)
            self.transport.write_eof()
            self.flow.resume_reading()
            self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

        def _discard(self, size: int) -> None:
            self._discarded += size
            if self._discarded > _LINGER_BYTES and self._is_next():
                self.transport.abort()

        # -- what does not come
        def _waits_for_head(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _close_if_idle(self) -> None:
            self._timer = None
            if not self._waits_for_head() or self.transport.is_closing():
                return
            if self._begun:
                self._refuse(408, "timeout", _SLOW.format(seconds=seconds))
            else:
                self.transport.close()

    return Guarded


def _length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """What they say of the body's length; None = nothing."""
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None
