"""Routing: from a method and a path to its route in a few look-ups, however many routes there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .parameters import Handler

#: Makes an answer of what a route raised; None where that is nothing it knows.
Explain = Callable[[Request, Exception], Awaitable[Response | None]]


@dataclass(slots=True)
class _PathStep:
    """What may follow in a path."""

    literal: dict[str, _PathStep] = field(default_factory=dict)
    any: _PathStep | None = None
    #: By method: what answers, and the names of what stands in the path.
    answers: dict[str, tuple[Handler, tuple[str, ...]]] = field(default_factory=dict)


class Router:
    """Middleware: answers what is one of these routes, and leaves the rest (and all that is wrong) to FastAPI.

    FastAPI asks its routes one after the other, which for sixty of them takes longer than most of ours need.
    """

    def __init__(self, app: ASGIApp, *, prefix: str, routes: Iterable[APIRoute], explain: Explain) -> None:
        self._app = app
        self._explain = explain
        self._root = _PathStep()
        for route in routes:
            if ":path}" not in route.path:  # what may hold a slash is for FastAPI
                self._add(prefix + route.path, route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self.find(scope) if scope["type"] == "http" else None
        if handler is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await handler(request)
        except Exception as error:
            explained = await self._explain(request, error)
            if explained is None:
                raise
            response = explained
        await response(scope, receive, send)

    def find(self, scope: Scope) -> Handler | None:
        """What answers this, with its `path_params` set; None where no route is exactly it."""
        step: _PathStep | None = self._root
        values = []
        for piece in _pieces(scope):
            assert step is not None
            following = step.literal.get(piece)
            if following is None:
                following = step.any
                values.append(piece)
            if following is None or (not piece and following is step.any):
                return None
            step = following
        assert step is not None
        handler, names = step.answers.get(scope["method"], (None, ()))
        if handler is not None:
            scope["path_params"] = dict(zip(names, values, strict=True))
        return handler

    def _add(self, path: str, route: APIRoute) -> None:
        step, names = self._root, []
        for piece in path.split("/"):
            if piece.startswith("{"):
                names.append(piece.strip("{}"))
                step.any = step.any or _PathStep()
                step = step.any
            else:
                step = step.literal.setdefault(piece, _PathStep())
        handler = route.get_route_handler()
        for method in route.methods or ():
            step.answers[method] = (handler, tuple(names))


def _pieces(scope: Scope) -> list[str]:
    """What stands between the slashes. A slash that is encoded (`%2F`) is part of a name, and parts nothing."""
    raw = scope.get("raw_path") or b""
    if b"%" in raw:
        return [unquote(piece) for piece in raw.decode("latin-1").split("/")]
    return str(scope["path"]).split("/")
