"""Whatever an id holds, it is one segment of the address that was meant, or nothing is asked at all."""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ..examples import examples

pytest.importorskip("uvicorn", reason="the server is not installed here")

from fastapi.routing import APIRoute

from acontext_plugins.concurrency.background import BackgroundEventLoop
from acontext_plugins.errors import InvalidInput, NotFound
from acontext_plugins.files.service import FileUpload
from acontext_plugins.record.redaction import Redactor
from acontext_plugins.remote.paths import at
from acontext_plugins.remote.service import RemoteService
from acontext_plugins.server.app import _ROUTERS
from acontext_plugins.settings import Settings
from acontext_store.types import Asset, is_uuid, new_id

IDS = {"session_id", "message_id", "space_id", "block_id", "disk_id", "skill_id", "confirmation_id"}
#: What else methods have to be told.
OTHERS: dict[str, Any] = {
    "assets": [Asset(sha256="0" * 64, size=1, mime="text/plain", filename="a.txt")],
    "block_type": "page",
    "configs": {},
    "file_path": "/a?b/c#d.txt",
    "messages": [],
    "meta": {},
    "query": "words",
    "save": True,
    "sort": 1,
    "types": ["page", "text"],
}
ROUTES = {
    (method, route.path)
    for router in _ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods
}


class Told:
    """A server that notes what it is asked, and has nothing."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.loop = BackgroundEventLoop()
        transport = httpx.MockTransport(self._answer)
        options: Any = {"transport": transport, "recording_transport": transport}
        settings = Settings(url="http://server.test/api/v1", api_key="a key of 16 letters")

        async def make() -> RemoteService:
            return RemoteService(settings, Redactor(), self.loop, **options)

        self.service = self.loop.run(make())

    def _answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        path, _, _ = request.url.raw_path.decode("ascii").partition("?")
        self.asked.append((request.method, path))
        return httpx.Response(404, json={"code": 404, "msg": "there is none", "error": "not_found"})

    def close(self) -> None:
        self.loop.run(self.service.aclose())
        self.loop.close()


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    made = Told()
    yield made
    made.close()


def methods() -> dict[str, list[str]]:
    """Methods that take an id which becomes part of an address, and their names for these."""
    found = {}
    for name, method in inspect.getmembers(RemoteService, inspect.iscoroutinefunction):
        parameters = inspect.signature(method).parameters.values()
        ids = [one.name for one in parameters if one.name in IDS and one.default is inspect.Parameter.empty]
        if ids:
            found[name] = ids
    return found


METHODS = methods()
odd = st.one_of(
    st.sampled_from(
        ["", ".", "..", "/", "?", "#", "%2F", "%2e%2e", "a/../b", "a b", "\n", "\0", "\ud800", "nobody", "ß"]
    ),
    st.builds(lambda end: new_id() + end, st.sampled_from(["?x=1", "#x", "/configs", "/..", "%00", " ", "", "\\"])),
    st.text(max_size=12),
)


def segments(path: str) -> list[str]:
    return [unquote(piece) for piece in path.split("/")]


@examples(20)
@given(ids=st.lists(odd, min_size=2, max_size=2))
@example(ids=["", ""])
@example(ids=["..", "a/b"])
@pytest.mark.parametrize("name", METHODS)
def test_an_id_is_one_segment_or_nothing_is_asked(told: Told, name: str, ids: list[str]) -> None:
    for number in range(len(METHODS[name])):
        whole = dict.fromkeys(METHODS[name], new_id()) | {METHODS[name][number]: ids[number]}
        told.asked.clear()
        with pytest.raises((NotFound, InvalidInput)) as caught:
            call(told, name, whole)
        asked = ids[number]
        free = METHODS[name][number] == "message_id"
        if asked in ("", ".", "..") or not (free or is_uuid(asked)):
            assert told.asked == []
            assert caught.value.code == "not_found"
            assert caught.value.id == asked
        elif caught.value.code == "invalid_input":
            assert not asked.isprintable()
            assert told.asked == []
        else:
            assert all(is_meant(method, path, list(whole.values())) for method, path in told.asked), told.asked


def call(told: Told, name: str, ids: dict[str, str]) -> None:
    method = getattr(told.service, name)
    upload = FileUpload("a.txt", io.BytesIO(b"x"), "text/plain")
    rest = {
        one.name: upload if one.name == "file" else OTHERS[one.name]
        for one in inspect.signature(method).parameters.values()
        if one.default is inspect.Parameter.empty and one.name not in ids
    }
    told.loop.run(method(**ids, **rest))


def is_meant(method: str, path: str, ids: list[str]) -> bool:
    """Whether it is exactly one of the server's routes, with these ids in the places of its parameters, in order."""
    found = segments(path.removeprefix("/api/v1"))
    for known, route in ROUTES:
        pieces = route.split("/")
        given = [value for piece, value in zip(pieces, found, strict=False) if piece.startswith("{")]
        same = all(piece == value or piece.startswith("{") for piece, value in zip(pieces, found, strict=False))
        if known == method and len(pieces) == len(found) and same and given == ids:
            return True
    return False


def test_every_method_with_an_id_is_looked_at() -> None:
    assert len(METHODS) > 35
    assert set().union(*METHODS.values()) == IDS


def test_a_template_and_its_ids_fit_together() -> None:
    id = new_id()
    assert at("/space/{space}/block/{block}/sort", id, id.upper()) == f"/space/{id}/block/{id.upper()}/sort"
    assert at("/session/{session}/messages/{message}", id, "a/b?c#d %2F é") == (
        f"/session/{id}/messages/a%2Fb%3Fc%23d%20%252F%20%C3%A9"
    )
    with pytest.raises(NotFound, match=r"^no experience confirmation 'x'$"):
        at("/space/{space}/experience_confirmations/{experience confirmation}", id, "x")
    with pytest.raises(ValueError):
        at("/session/{session}")
