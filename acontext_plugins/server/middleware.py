"""Middleware: who comes in, how much and how fast, before any route runs and before any body is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from acontext_store.errors import AcontextError

from ..settings import ServerSettings
from .auth import Authenticator
from .projects import Projects
from .responses import problem, problem_of

API = "/api/v1"
#: Open to all: a signed link says itself who may have what.
OPEN = f"{API}/download"
#: Of a body that is refused so much is still read, so that its sender gets to read why.
_LINGER_BYTES = 256 * 1024 * 1024
_LINGER_SECONDS = 20.0


class AuthMiddleware:
    """Middleware. `scope["state"]["service"]` is the caller's project; nothing else of the server knows of keys."""

    def __init__(
        self, app: ASGIApp, *, doorkeeper: Authenticator, projects: Projects, settings: ServerSettings
    ) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._projects = projects
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        body = LimitedBody(receive, headers, self._limit(headers), self._settings)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await body.discard()  # else its sender might never read our answer
                if body.broken:
                    message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        try:
            refused = body.check()
            if scope["path"].startswith(API + "/") and scope["path"] != OPEN:
                scope.setdefault("state", {})["service"] = await self._admit(headers)
        except AcontextError as error:
            refused = problem_of(error)
        await (refused or self._app)(scope, body.receive, answer)

    async def _admit(self, headers: dict[bytes, str]) -> Any:
        authorization = headers.get(b"authorization", "")
        project_id = self._doorkeeper.remembered(authorization, headers.get(b"host", ""))
        if project_id is None:
            project_id = await asyncio.to_thread(self._doorkeeper.find, authorization)
        return self._projects.opened(project_id) or await self._projects.service(project_id)

    def _limit(self, headers: dict[bytes, str]) -> int:
        multipart = headers.get(b"content-type", "").lower().startswith("multipart/")
        return self._settings.max_upload if multipart else self._settings.max_body


class LimitedBody:
    """The body of one request, held to a size and to a least speed."""

    def __init__(self, receive: Receive, headers: Mapping[bytes, str], limit: int, settings: ServerSettings) -> None:
        self._receive = receive
        self._declared = headers.get(b"content-length")
        self._waiting = headers.get(b"expect", "").lower() == "100-continue"
        self._limit = limit
        self._grace, self._rate = settings.body_grace, settings.body_rate
        self._size = 0
        self._waited = 0.0
        self._done = self._declared in (None, "0") and b"transfer-encoding" not in headers
        #: It was not read to its end: what follows on this connection is no request.
        self.broken = False

    def check(self) -> Response | None:
        """What its length tells beforehand."""
        if self._declared is None:
            return None
        if not self._declared.isascii() or not self._declared.isdigit():
            return problem(400, "content-length: expected a number of bytes", "invalid_input")
        return problem(413, self._words(), "too_large") if int(self._declared) > self._limit else None

    async def receive(self) -> Message:
        if self._done:
            return await self._receive()
        began = time.monotonic()
        allowed = self._grace + self._size / self._rate - self._waited
        try:
            async with asyncio.timeout(max(allowed, 0.001)):
                message = await self._receive()
        except TimeoutError:
            self._done = self.broken = True
            raise HTTPException(
                408,
                f"the body came too slowly: {self._size} bytes in {self._waited + allowed:.0f} s; send at least "
                f"{self._rate} bytes a second",
            ) from None
        self._waited += time.monotonic() - began
        self._waiting = False
        self._count(message)
        if self._size > self._limit:
            raise HTTPException(413, self._words())
        return message

    async def discard(self) -> None:
        """Read the rest and throw it away, within bounds."""
        if self._done:
            return
        if self._waiting:  # it waits for our word before it sends anything
            self._done = self.broken = True
            return
        enough = self._size + _LINGER_BYTES
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self._done and self._size < enough:
                    self._count(await self._receive())
        except TimeoutError:
            pass
        self.broken = not self._done
        self._done = True

    def _count(self, message: Message) -> None:
        self._size += len(message.get("body", b""))
        self._done = message["type"] != "http.request" or not message.get("more_body", False)

    def _words(self) -> str:
        return (
            f"the body is too large: at most {self._limit:,} bytes are taken here; send it in pieces, or set "
            "ACONTEXT_SERVER__MAX_BODY (JSON) or ACONTEXT_SERVER__MAX_UPLOAD (files) on the server"
        )
