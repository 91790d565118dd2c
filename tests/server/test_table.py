"""The table of routes finds what FastAPI would, and leaves it the rest."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from acontext_plugins.server.app import _ROUTERS
from acontext_plugins.server.middleware import API
from acontext_plugins.server.routing import Router
from acontext_store.types import new_id

from .conftest import Server, a_session, data, words


async def _rest(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(status_code=404)(scope, receive, send)


async def _nothing(request: object, error: Exception) -> None:
    return None


@pytest.fixture
def table() -> Router:
    routes = [route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return Router(_rest, prefix=API, routes=routes, explain=_nothing)


def test_every_route_is_found_with_what_stands_in_its_path(server: Server, table: Router) -> None:
    left: list[str] = []
    for path, methods in server.app.openapi()["paths"].items():
        for method in methods:
            ids = {name: new_id() for name in re.findall(r"{(\w+)}", path)}
            scope: dict[str, Any] = {"type": "http", "method": method.upper(), "path": path.format(**ids)}
            if table.find(scope) is None:
                left.append(path.removeprefix(API))
            else:
                assert scope["path_params"] == ids
    # what may hold a slash, what stands outside of the API, and what is the application's own
    assert sorted(left) == ["/health", "/ping", "/user/{identifier}", "/user/{identifier}/resources"]


@pytest.mark.parametrize("path", ["", "/", "//", "/session", "/api", "/api/v1", "/api/v1/", "/api/v1/session/", "x"])
def test_what_is_no_route_is_left(table: Router, path: str) -> None:
    assert table.find({"type": "http", "method": "GET", "path": path}) is None


def test_a_slash_that_is_encoded_is_part_of_a_name(table: Router) -> None:
    """So a name is one step of a path, whatever it holds, and leads to no other route."""
    id, scope = new_id(), {"type": "http", "method": "PATCH"}
    for said, meant in (("a%2Fb%3Fc", "a/b?c"), ("%2e%2e", ".."), ("100%25", "100%"), ("%C3%A9", "é"), ("x", "x")):
        raw = f"/api/v1/session/{id}/messages/{said}/meta"
        asked: dict[str, Any] = {**scope, "path": unquote(raw), "raw_path": raw.encode()}
        assert table.find(asked) is not None
        assert asked["path_params"] == {"session_id": id, "message_id": meant}
    raw = f"/api/v1/session%2F{id}%2Fmessages/x/meta"
    assert table.find({**scope, "path": unquote(raw), "raw_path": raw.encode()}) is None


async def test_a_name_with_a_slash_leads_to_no_other_route(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann)
    assert "UUID" in words(await ann.delete(f"/session/{session_id}%3Fx=1"), 400)
    assert "UUID" in words(await ann.delete(f"/session/{session_id}%2Fconfigs"), 400)
    assert data(await ann.get(f"/session/{session_id}/configs"))["id"] == session_id


async def test_what_the_table_leaves_is_answered_as_ever(ann: httpx.AsyncClient, server: Server) -> None:
    session_id = await a_session(ann)
    assert "/docs" in words(await ann.get("/nothing"), 404)
    words(await ann.get(f"/session/{session_id}/"), 404)
    words(await ann.get(f"/session//{session_id}/configs"), 404)
    refused = await ann.request("TRACE", "/session")
    assert "takes" in words(refused, 405)
    assert refused.headers["allow"]
    assert data(await ann.get(f"/session/{session_id}/configs"))["id"] == session_id


async def test_a_mistake_of_ours_is_a_500_that_tells_nothing(ann: httpx.AsyncClient, server: Server) -> None:
    service = await server.projects.service("p1")

    async def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("secret words")

    service.session = broken  # type: ignore[method-assign, assignment]
    said = words(await ann.get(f"/session/{new_id()}/configs"), 500)
    assert "secret" not in said
