"""Whatever comes in: an answer in the envelope, with a sentence, and never a 500."""

from __future__ import annotations

import json
import random
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acontext_store.types import new_id

from .conftest import SMALL, Server, a_session, a_space, data, say, words
from .test_access import household

JSON = {"content-type": "application/json"}
_UUID = "0190d7a0-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"{} {}",
        b'{"configs": NaN}',
        b'{"configs": {"x": Infinity}}',
        b'{"configs": {"x": ' + b"1" * 5000 + b"}}",
        b"[" * 100_000,
        b'{"configs": ' + b'{"a":' * 200 + b"1" + b"}" * 201,
        b'{"configs": "x"}',
        b'{"configs": [1]}',
        b"{}",
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_body_that_is_no_json_object_is_named(ann: httpx.AsyncClient, body: bytes) -> None:
    session_id = await a_session(ann)
    words(await ann.put(f"/session/{session_id}/configs", content=body, headers=JSON), 400)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", "x" * 300, "text/json"])
async def test_a_body_of_another_kind_is_refused(ann: httpx.AsyncClient, kind: str) -> None:
    session_id = await a_session(ann)
    for method, path in (("PUT", "configs"), ("POST", "messages")):
        answer = await ann.request(
            method, f"/session/{session_id}/{path}", content=b'{"configs": {}}', headers={"content-type": kind}
        )
        assert answer.status_code in (400, 415), answer.text
        words(answer, answer.status_code)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"--x\r\n",
        b"--x\r\ncontent-disposition: form-data; name=payload\r\n\r\n{}",
        b"--x\r\ncontent-disposition: form-data\r\n\r\n{}\r\n--x--\r\n",
        b"--x\r\n" * 1000,
        b"--x\r\ncontent-disposition: form-data; name=payload; filename=a\r\n\r\n{}\r\n--x--\r\n",
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_malformed_multipart_body_is_refused(ann: httpx.AsyncClient, body: bytes) -> None:
    session_id = await a_session(ann)
    disk_id = data(await ann.post("/disk"), 201)["id"]
    for path in (f"/session/{session_id}/messages", f"/disk/{disk_id}/artifact"):
        headers = {"content-type": "multipart/form-data; boundary=x"}
        words(await ann.post(path, content=body, headers=headers), 400)


@pytest.mark.parametrize("id", ["x", "0", "..", "%00", "%ff", "a" * 36, _UUID + "0", _UUID[:-1], "null", "'--"])
async def test_an_id_that_is_no_uuid_is_named(ann: httpx.AsyncClient, id: str) -> None:
    answer = await ann.get(f"/session/{id}/configs")
    assert answer.status_code in (400, 404, 405), answer.text
    words(answer, answer.status_code)


async def test_cursors_of_other_listings_and_made_up_ones_do_no_harm(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann)
    for n in range(3):
        await say(ann, session_id, {"role": "user", "content": str(n)})
        await a_session(ann)
    of_sessions = data(await ann.get("/session", params={"limit": 1}))["next_cursor"]
    of_messages = data(await ann.get(f"/session/{session_id}/messages", params={"limit": 1}))["next_cursor"]
    words(await ann.get(f"/session/{session_id}/messages", params={"cursor": of_sessions}), 400)
    assert (await ann.get("/session", params={"cursor": of_messages})).status_code == 200
    for wrong in ("x", "", "====", "😀", "MXwx" * 400, "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OXx4"):
        for path in ("/session", "/space", "/disk", f"/session/{session_id}/messages", f"/session/{session_id}/task"):
            answer = await ann.get(path, params={"cursor": wrong})
            assert answer.status_code < 500, answer.text
            if answer.status_code != 200:
                words(answer, 400)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=-1", "limit=x", "limit=1.5", "limit=" + "9" * 40, "time_desc=perhaps"]
)
async def test_limits_and_switches_are_checked(ann: httpx.AsyncClient, query: str) -> None:
    said = words(await ann.get(f"/session?{query}"), 400)
    assert query.partition("=")[0] in said


# ------------------------------------------------------------------------------------------------ too much


async def test_a_body_that_is_too_large_is_refused_before_and_while_it_comes(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann)
    path = f"/session/{session_id}/messages"
    large = json.dumps({"blob": {"role": "user", "content": "x" * SMALL.max_body}}).encode()
    said = words(await ann.post(path, content=large, headers=JSON), 413)
    assert "200,000 bytes" in said

    async def pieces() -> Any:
        for at in range(0, len(large), 1000):
            yield large[at : at + 1000]

    words(await ann.post(path, content=pieces(), headers=JSON), 413)
    file = {"file": ("x.bin", b"x" * (SMALL.max_upload + 1))}
    disk_id = data(await ann.post("/disk"), 201)["id"]
    words(await ann.post(f"/disk/{disk_id}/artifact", files=file), 413)
    assert data(await ann.get(f"/disk/{disk_id}/artifact/ls"))["artifacts"] == []
    assert data(await ann.get(path))["items"] == []


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "0x1"])
async def test_a_length_that_is_none_is_refused(ann: httpx.AsyncClient, length: str) -> None:
    words(await ann.post("/session", content=b"{}", headers={**JSON, "content-length": length}), 400)


# ------------------------------------------------------------------------------------------------- anything


def _values() -> st.SearchStrategy[Any]:
    leaves = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=20)
        | st.sampled_from(["user", "openai", "anthropic", "acontext", "text", "page", "sop", "success", "\ud800", "\0"])
    )
    names = st.sampled_from(
        "role content parts type text meta tool_calls function name arguments id format blob configs space_id save "
        "parent_id title props sort rename old_name new_name tool_sops preferences asset native messages outcomes key "
        "session recordings space query limit timeout file_path assets".split()
    )
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5))


def _operations(server: Server) -> list[tuple[str, str, Any]]:
    paths = server.app.openapi()["paths"]
    return [
        (method.upper(), path, operation)
        for path, methods in sorted(paths.items())
        for method, operation in methods.items()
        if "flush" not in path
    ]


@pytest.fixture
async def furnished(ann: httpx.AsyncClient) -> dict[str, str]:
    return await household(ann)


@pytest.mark.slow
async def test_no_body_and_no_query_is_answered_with_500(
    ann: httpx.AsyncClient, server: Server, furnished: dict[str, str]
) -> None:
    """Each route with bodies and queries of every kind, some of which nearly fit."""
    operations = _operations(server)
    known = server.app.openapi()["components"]["schemas"]
    names = {name: tuple(schema.get("properties", ())) for name, schema in known.items()}
    bodies = _examples(_values(), 25)
    texts = _examples(st.text(max_size=30), 25)
    dice = random.Random(7)
    for method, path, operation in operations:
        for body, text in zip(bodies, texts, strict=True):
            ids = furnished if dice.random() < 0.8 else {name: new_id() for name in furnished}
            if method == "DELETE":
                ids = {name: new_id() for name in furnished}
            query = {
                parameter["name"]: dice.choice([text, "1", "true", "-1", "", "openai", "[]", "{}"])
                for parameter in operation.get("parameters", ())
                if parameter["in"] == "query" and dice.random() < 0.7
            }
            content = json.dumps(_shaped(body, operation, names, dice)).encode() if method != "GET" else None
            answer = await ann.request(
                method,
                "http://localhost" + path.format(**ids),
                params=query,
                content=content,
                headers=JSON if content is not None else {},
            )
            assert answer.status_code < 500, (method, path, query, content, answer.text)
            if answer.headers["content-type"] == "application/json" and "/openapi" not in path:
                said = answer.json()
                assert said["code"] == (answer.status_code if answer.status_code >= 400 else 0)
                assert isinstance(said["msg"], str)


def _shaped(body: Any, operation: Any, known: dict[str, tuple[str, ...]], dice: random.Random) -> Any:
    """Sometimes under the names that the route knows, so that it comes past the first check."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    reference = schema.get("$ref") or next((one["$ref"] for one in schema.get("anyOf", ()) if "$ref" in one), None)
    if reference is None or dice.random() < 0.2:
        return body
    names = known.get(reference.rpartition("/")[2], ())
    inner = list(body.values()) if isinstance(body, dict) else body if isinstance(body, list) else [body]
    return {name: dice.choice(inner or [None]) for name in names}


def _examples(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """So many values, the same each time."""
    found: list[Any] = []

    @settings(max_examples=count, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return (found * count)[:count]


async def test_deep_and_long_things_within_the_limits_are_taken(ann: httpx.AsyncClient) -> None:
    deep: Any = 1
    for _ in range(90):
        deep = {"a": deep}
    session_id = await a_session(ann, configs={"deep": deep})
    assert data(await ann.get(f"/session/{session_id}/configs"))["configs"] == {"deep": deep}
    long = "ü" * 90_000
    await say(ann, session_id, {"role": "user", "content": long})
    assert data(await ann.get(f"/session/{session_id}/messages"))["items"][0]["content"] == long
    space_id = await a_space(ann)
    query = "how do I " * 200
    data(await ann.get(f"/space/{space_id}/experience_search", params={"query": query}))
