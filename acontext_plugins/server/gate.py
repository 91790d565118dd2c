"""The gate: who comes in, how much and how fast, before any route runs and before any body is read."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from acontext_store.errors import AcontextError

from ..settings import ServerSettings
from .access import Doorkeeper
from .answers import problem, problem_of
from .projects import Projects

API = "/api/v1"
#: Open to all: a signed download says itself who may have it.
_OPEN = (f"{API}/_acontext/download/",)
#: Of a body that is refused so much is still read, so that its sender gets to read why.
_LINGER_BYTES = 256 * 1024 * 1024
_LINGER_SECONDS = 20.0


class Gate:
    """Middleware. `scope["state"]["service"]` is the caller's project; nothing else of the server knows of keys."""

    def __init__(self, app: ASGIApp, *, doorkeeper: Doorkeeper, projects: Projects, settings: ServerSettings) -> None:
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
        path: str = scope["path"]
        state = scope.setdefault("state", {})
        body = Body(receive, self._limit(headers), grace=self._settings.body_grace, rate=self._settings.body_rate)
        try:
            if path.startswith(API + "/") and not path.startswith(_OPEN):
                state["service"] = await self._admit(headers)
            refused = body.check(headers)
        except AcontextError as error:
            refused = problem_of(error)
        if refused is not None:
            await body.discard(headers)
            refused.headers["connection"] = "close"
            await refused(scope, receive, send)
            return
        await self._app(scope, body.receive, send)

    async def _admit(self, headers: dict[bytes, str]) -> Any:
        authorization = headers.get(b"authorization", "")
        project_id = self._doorkeeper.remembered(authorization, headers.get(b"host", ""))
        if project_id is None:
            project_id = await asyncio.to_thread(self._doorkeeper.find, authorization)
        return self._projects.opened(project_id) or await self._projects.service(project_id)

    def _limit(self, headers: dict[bytes, str]) -> int:
        multipart = headers.get(b"content-type", "").lower().startswith("multipart/")
        return self._settings.max_upload if multipart else self._settings.max_body


class Body:
    """The body of one request, held to a size and to a least speed."""

    def __init__(self, receive: Receive, limit: int, *, grace: float, rate: int) -> None:
        self._receive = receive
        self._limit = limit
        self._grace = grace
        self._rate = rate
        self._size = 0
        self._done = False
        self._waited = 0.0

    def check(self, headers: dict[bytes, str]) -> Response | None:
        """What its length tells beforehand."""
        declared = headers.get(b"content-length")
        if declared is None:
            return None
        if not declared.isascii() or not declared.isdigit():
            return problem(400, "content-length: expected a number of bytes", "invalid_input")
        return self._too_large() if int(declared) > self._limit else None

    async def receive(self) -> Message:
        if self._done:
            return await self._receive()
        began = time.monotonic()
        allowed = self._grace + self._size / self._rate - self._waited
        try:
            async with asyncio.timeout(max(allowed, 0.001)):
                message = await self._receive()
        except TimeoutError:
            self._done = True
            raise HTTPException(
                408,
                f"the body came too slowly: {self._size} bytes in {self._waited + allowed:.0f} s; send at least "
                f"{self._rate} bytes a second",
                {"connection": "close"},
            ) from None
        self._waited += time.monotonic() - began
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._done = not message.get("more_body", False)
            if self._size > self._limit:
                await self.discard({})
                refused = self._too_large()
                raise HTTPException(413, self._words(), dict(refused.headers))
        else:
            self._done = True
        return message

    async def discard(self, headers: dict[bytes, str]) -> None:
        """Read the rest and throw it away, within bounds."""
        if headers.get(b"expect", "").lower() == "100-continue":
            return  # it waits for our word before it sends anything
        if not headers.get(b"content-length") and not headers.get(b"transfer-encoding") and headers:
            return
        read = 0
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self._done and read < _LINGER_BYTES:
                    message = await self._receive()
                    read += len(message.get("body", b""))
                    self._done = message["type"] != "http.request" or not message.get("more_body", False)
        except TimeoutError:
            self._done = True

    def _words(self) -> str:
        return (
            f"the body is too large: at most {self._limit:,} bytes are taken here; send it in pieces, or set "
            "ACONTEXT_SERVER__MAX_BODY (JSON) or ACONTEXT_SERVER__MAX_UPLOAD (files) on the server"
        )

    def _too_large(self) -> Response:
        return problem(413, self._words(), "too_large", close=True)
