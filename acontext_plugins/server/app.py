"""The application: gate, routes, and one way to say that something went wrong."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from acontext_store.errors import AcontextError

from ..settings import ServerSettings
from .auth import Authenticator
from .middleware import API, OPEN, AuthMiddleware
from .projects import Projects
from .responses import EmptyResponse, ErrorResponse, answer, problem, problem_of
from .routes import blocks, disks, internal, messages, sessions, spaces, users
from .routing import Router

log = logging.getLogger("acontext")

_ERRORS = {
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    413: "too_large",
    415: "unsupported_media_type",
}
_ROUTERS = (
    sessions.router,
    messages.router,
    spaces.router,
    blocks.router,
    blocks.tools,
    disks.router,
    users.router,
    internal.router,
)
_PROBLEMS: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorResponse}, "5XX": {"model": ErrorResponse}}


def create_app(
    projects: Projects,
    doorkeeper: Authenticator,
    *,
    settings: ServerSettings | None = None,
    open_at_start: Iterable[str] = (),
) -> FastAPI:
    """The REST API over these projects, for those whom the doorkeeper lets in.

    Projects named in `open_at_start` are opened with it, so that their background work goes on. All are closed when
    the application's lifespan ends.
    """
    settings = settings or ServerSettings()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await projects.open_all(open_at_start)
            yield
        finally:
            await projects.close()

    app = FastAPI(
        title="acontext-plugins",
        version=version("acontext-plugins"),
        description="Memory that learns, for any AI agent: the REST API that the `acontext` SDK speaks.",
        lifespan=lifespan,
        redirect_slashes=False,
        responses=_PROBLEMS,
    )
    app.state.settings = settings
    app.state.projects = projects
    app.state.doorkeeper = doorkeeper
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, _unexpected)
    app.add_api_route("/health", _health, response_model=EmptyResponse, tags=["server"])
    app.add_api_route(API + "/ping", _ping, response_model=EmptyResponse, tags=["server"])
    for router in _ROUTERS:
        app.include_router(router, prefix=API)
    routes = [route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    app.add_middleware(Router, prefix=API, routes=routes, explain=_explain)
    app.add_middleware(AuthMiddleware, doorkeeper=doorkeeper, projects=projects, settings=settings)
    _secure(app)
    return app


async def _health() -> Response:
    """The server is up. Needs no key."""
    return answer(msg="ok")


async def _ping(request: Request) -> Response:
    """The server is up, the key is good, and the database answers."""
    return answer(msg=await request.state.service.ping())


def _secure(app: FastAPI) -> None:
    """Say in the description of the API that it takes a key."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()
            schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for path, methods in schema["paths"].items():
                for operation in methods.values():
                    operation["responses"].pop("422", None)
                    for body in operation.get("requestBody", {}).get("content", {}).values():
                        for name, inner in body["schema"].pop("$defs", {}).items():
                            schema["components"]["schemas"].setdefault(name, inner)
                    if path.startswith(API) and path != OPEN:
                        operation["security"] = [{"key": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


# ------------------------------------------------------------------------------------------- what went wrong


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, AcontextError)
    if error.status >= 500:
        log.warning("acontext: %s %s: %s", request.method, request.url.path, error)
    return problem_of(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem(400, "; ".join(_words(error.errors()[:5])), "invalid_input")


def _words(errors: Sequence[Any]) -> list[str]:
    said = []
    for error in errors:
        place = [str(step) for step in error["loc"] if step not in ("body", "query", "path")]
        name = ".".join(place) or ("the body" if "body" in error["loc"] else "the request")
        what = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
        value = error.get("input")
        found = "" if error["type"] == "missing" or isinstance(value, dict | list) else f", found {value!r:.80}"
        said.append(f"{name}: {what[:1].lower()}{what[1:]}{found}")
    return said


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = str(error.detail)
    if error.status_code == 404:
        words = f"there is nothing at {request.method} {request.url.path[:200]}: see /docs for what there is"
    elif error.status_code == 405:
        words = f"{request.method} is not what {request.url.path[:200]} takes: see /docs"
    answered = problem(error.status_code, words, _ERRORS.get(error.status_code, "invalid_input"))
    for name, value in (error.headers or {}).items():
        if name.lower() == "allow":
            answered.headers[name] = value
    return answered


async def _gone(request: Request, error: Exception) -> Response:
    """Nobody is there to read this."""
    return problem(400, "the client left before the body was complete", "invalid_input")


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    AcontextError: _ours,
    RequestValidationError: _invalid,
    HTTPException: _http,
    ClientDisconnect: _gone,
}


async def _explain(request: Request, error: Exception) -> Response | None:
    """The answer to what a route raised; None for a mistake of ours."""
    handler = next((_HANDLERS[kind] for kind in type(error).__mro__ if kind in _HANDLERS), None)
    return await handler(request, error) if handler is not None else None


async def _unexpected(request: Request, error: Exception) -> Response:
    """A mistake of ours: the log has it, the client is told no more than that."""
    return problem(500, "the server made a mistake; its log says which", "error")
