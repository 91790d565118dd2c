"""Messages over HTTP: what goes in in a format comes out in it, uploads, pages, edits, meta."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from acontext_store.types import new_id

from .conftest import Server, a_session, data, say, words

CALL = {
    "role": "assistant",
    "content": None,
    "refusal": None,
    "annotations": None,
    "audio": None,
    "function_call": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "x"}'}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "found " * 100}


async def messages(client: httpx.AsyncClient, session_id: str, **query: Any) -> Any:
    return data(await client.get(f"/session/{session_id}/messages", params=query))


async def test_a_message_is_answered_as_the_sdk_reads_it(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann)
    first = await say(ann, session_id, {"role": "user", "content": "hello"})
    assert first.pop("created_at").endswith("Z")
    assert first.pop("updated_at").endswith("Z")
    assert first == {
        "id": first["id"],
        "session_id": session_id,
        "parent_id": None,
        "role": "user",
        "meta": {},
        "parts": [{"type": "text", "text": "hello"}],
        "task_id": None,
        "session_task_process_status": "pending",
    }
    second = await say(ann, session_id, CALL)
    assert second["parent_id"] == first["id"]
    assert (await say(ann, session_id, RESULT))["role"] == "user"


@pytest.mark.parametrize("format", [None, "openai"])
async def test_nulls_are_as_if_they_were_not_there(ann: httpx.AsyncClient, format: str | None) -> None:
    session_id = await a_session(ann, space_id=None, configs=None, disable_task_tracking=None)
    blob = {**CALL, "content": "ok", "tool_calls": None}
    data(await ann.post(f"/session/{session_id}/messages", json={"format": format, "blob": blob}), 201)
    page = await messages(ann, session_id)
    assert page["items"][0]["content"] == "ok"
    assert not page["items"][0].get("tool_calls")


async def test_pages_are_what_every_version_of_the_sdk_needs(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann)
    empty = await messages(ann, session_id)
    assert {name: empty[name] for name in ("items", "ids", "has_more", "this_time_tokens", "metas")} == {
        "items": [],
        "ids": [],
        "has_more": False,
        "this_time_tokens": 0,
        "metas": [],
    }
    ids = [(await say(ann, session_id, {"role": "user", "content": f"number {n}"}))["id"] for n in range(5)]
    whole = await messages(ann, session_id)
    assert (whole["ids"], whole["edit_at_message_id"]) == (ids, ids[-1])
    assert whole["this_time_tokens"] > 0
    assert (await messages(ann, session_id, limit=0))["ids"] == ids
    newest = await messages(ann, session_id, limit=2, time_desc="true")
    assert (newest["ids"], newest["has_more"]) == (ids[3:], True)
    older = await messages(ann, session_id, limit=3, time_desc="true", cursor=newest["next_cursor"])
    assert (older["ids"], older["has_more"]) == (ids[:3], False)


async def test_strategies_edit_what_is_read(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann)
    for blob in ({"role": "user", "content": "find x"}, CALL, RESULT):
        await say(ann, session_id, blob)
    bare = [{"type": "remove_tool_result", "params": {"keep_recent_n_tool_results": 0}}]
    edited = await messages(ann, session_id, edit_strategies=json.dumps(bare))
    whole = await messages(ann, session_id)
    assert [item["content"] for item in (edited["items"][2], whole["items"][2])] == ["Done", RESULT["content"]]
    assert edited["this_time_tokens"] < whole["this_time_tokens"]
    pin = {"edit_strategies": json.dumps(bare), "pin_editing_strategies_at_message": whole["ids"][1]}
    pinned = await messages(ann, session_id, **pin)
    assert (pinned["items"][2], pinned["edit_at_message_id"]) == (whole["items"][2], whole["ids"][1])
    path = f"/session/{session_id}/messages"
    for wrong in ('[{"type": "x"}]', "{}", "[", '"x"', '[{"type": "token_limit"}]', "NaN"):
        words(await ann.get(path, params={"edit_strategies": wrong}), 400)
    gone = {**pin, "pin_editing_strategies_at_message": "nothing"}
    words(await ann.get(path, params=gone), 404)


@pytest.mark.parametrize("format", ["openai", "anthropic", "gemini", "acontext", "openai_responses"])
async def test_the_same_message_is_read_in_every_format(ann: httpx.AsyncClient, format: str) -> None:
    session_id = await a_session(ann)
    await say(ann, session_id, {"role": "user", "content": "hello"})
    item = (await messages(ann, session_id, format=format))["items"][0]
    assert "hello" in json.dumps(item)
    if format == "acontext":
        assert item["session_id"] == session_id


async def test_an_anthropic_message_may_have_plain_text(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann)
    await say(ann, session_id, {"role": "user", "content": "hello"}, "anthropic")
    assert (await messages(ann, session_id, format="anthropic"))["items"] == [{"role": "user", "content": "hello"}]


async def test_a_message_says_what_it_says_or_is_refused_with_its_own_format_named(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann)
    call = {"id": "t1", "type": "function", "function": {"name": "water", "arguments": "{}"}}
    wrong = {"blob": {"role": "assistant", "content": "Yes.", "tool_calls": [call]}, "format": "anthropic"}
    reason = words(await ann.post(f"/session/{session_id}/messages", json=wrong), 400)
    assert "message.tool_calls" in reason
    assert "'openai'" in reason
    use = {"type": "tool_use", "id": "t1", "name": "water", "input": {"litres": 2}}
    await say(ann, session_id, {"role": "assistant", "content": [use]})
    (item,) = (await messages(ann, session_id, format="acontext"))["items"]
    assert [(part["type"], part["meta"]["name"]) for part in item["parts"]] == [("tool-call", "water")]
    assert (await messages(ann, session_id, format="openai"))["items"] == [{"role": "assistant", "content": [use]}]


async def test_a_file_comes_with_its_message_and_can_be_downloaded(ann: httpx.AsyncClient, server: Server) -> None:
    session_id = await a_session(ann)
    payload = {
        "format": "acontext",
        "blob": {
            "role": "user",
            "parts": [
                {"type": "text", "text": "see", "meta": None, "file_field": None},
                {"type": "image", "text": None, "meta": {"alt": "a dot"}, "file_field": "pic"},
            ],
            "meta": None,
        },
    }
    picture = b"\x89PNG" + bytes(range(256)) * 10
    stored = data(
        await ann.post(
            f"/session/{session_id}/messages",
            data={"payload": json.dumps(payload)},
            files={"pic": ("dot.png", picture, "image/png")},
        ),
        201,
    )
    part = stored["parts"][1]
    assert part["filename"] == "dot.png"
    assert part["meta"]["alt"] == "a dot"
    assert (part["asset"]["mime"], part["asset"]["size_b"]) == ("image/png", len(picture))
    page = await messages(ann, session_id, format="acontext")
    link = page["public_urls"][part["asset"]["sha256"]]
    assert link["expire_at"].endswith("Z")
    without_key = server.client()
    got = await without_key.get(link["url"])
    assert (got.status_code, got.content, got.headers["content-type"]) == (200, picture, "image/png")
    assert not (await messages(ann, session_id, format="acontext", with_asset_public_url="false")).get("public_urls")
    seen = (await messages(ann, session_id))["items"][0]["content"][1]
    assert seen["image_url"]["url"].startswith("data:image/png;base64,")


def payload(blob: Any, format: str = "acontext") -> dict[str, str]:
    return {"payload": json.dumps({"format": format, "blob": blob})}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "payload"),
        ({"payload": "{"}, "payload"),
        ({"payload": "[]"}, "the body"),
        (payload({"role": "user", "parts": 7}), "parts"),
        (payload({"role": "user", "parts": [{"type": "image", "file_field": "other"}]}), "missing file other"),
        (payload({"role": "user", "parts": [{"type": "text", "text": "x"}]}), "file pic: no part"),
        (payload({"role": "user", "content": "x"}, "openai"), "format"),
    ],
)
async def test_an_upload_that_does_not_fit_its_message_is_refused(
    ann: httpx.AsyncClient, fields: dict[str, str], said: str
) -> None:
    session_id = await a_session(ann)
    path = f"/session/{session_id}/messages"
    answer = await ann.post(path, data=fields, files={"pic": ("pic.png", b"x", "image/png")})
    assert said in words(answer, 400)
    assert (await messages(ann, session_id))["items"] == []


async def test_a_message_cannot_name_bytes_that_are_not_there(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann)
    for asset, text, status in (("0" * 64, None, 404), ("../../etc/passwd", None, 400), ("0" * 64, "words", 400)):
        part = {"type": "file", "asset": {"sha256": asset}, "text": text}
        given = {"format": "acontext", "blob": {"role": "user", "parts": [part]}}
        words(await ann.post(f"/session/{session_id}/messages", json=given), status)
    own = {"messages": [{"role": "user", "parts": [{"type": "text", "text": "x"}], "native": {"$asset": "0" * 64}}]}
    words(await ann.post(f"/_acontext/session/{session_id}/messages", json=own), 400)
    assert (await messages(ann, session_id))["items"] == []


async def test_meta_is_kept_beside_a_message_and_can_be_changed(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann)
    stored = await say(ann, session_id, {"role": "user", "content": "x"}, meta={"source": "web", "n": 1})
    assert stored["meta"] == {"source": "web", "n": 1}
    path = f"/session/{session_id}/messages/{stored['id']}/meta"
    changed = data(await ann.patch(path, json={"meta": {"n": None, "grade": "a"}}))
    assert changed == {"meta": {"source": "web", "grade": "a"}}
    assert (await messages(ann, session_id))["metas"] == [changed["meta"]]
    words(await ann.patch(f"/session/{session_id}/messages/{new_id()}/meta", json={"meta": {}}), 404)


async def test_secrets_in_meta_are_masked_whenever_it_is_said(ann: httpx.AsyncClient) -> None:
    secret = "sk-" + "proj-" + "a1B2c3D4e5F6g7H8" * 3
    session_id = await a_session(ann)
    stored = await say(ann, session_id, {"role": "user", "content": "x"}, meta={"note": secret})
    path = f"/session/{session_id}/messages/{stored['id']}/meta"
    data(await ann.patch(path, json={"meta": {"later": f"with {secret}"}}))
    (meta,) = (await messages(ann, session_id))["metas"]
    assert set(meta) == {"note", "later"}
    assert secret not in str(meta)


async def test_what_a_format_has_no_place_for_is_named_in_the_metas(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann)
    audio = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    await say(ann, session_id, {"role": "user", "content": [{"type": "text", "text": "listen"}, audio]})
    page = await messages(ann, session_id, format="anthropic")
    assert page["items"][0]["content"] == [{"type": "text", "text": "listen"}]
    assert page["metas"] == [{"lost": ["audio: the anthropic format has no place for it"]}]
    assert (await messages(ann, session_id))["metas"] == [{}]


async def test_odd_texts_come_back_as_they_went_in(ann: httpx.AsyncClient) -> None:
    configs = '{"configs": {"text": "half \\ud800 \\u0000 é 😀"}}'
    kind = {"content-type": "application/json"}
    session_id = data(await ann.post("/session", content=configs, headers=kind), 201)["id"]
    content = "\0 nul é 😀 \u202e"
    await say(ann, session_id, {"role": "user", "content": content})
    assert (await messages(ann, session_id))["items"][0]["content"] == content
    raw = '{"blob": {"role": "user", "content": "half \\ud800"}}'
    sent = await ann.post(f"/session/{session_id}/messages", content=raw, headers=kind)
    assert data(sent, 201)["parts"][0]["text"].startswith("half ")
    assert data(await ann.get(f"/session/{session_id}/configs"))["configs"]["text"].endswith("é 😀")
    assert len((await messages(ann, session_id))["items"]) == 2


@pytest.mark.parametrize("unknown", ["opera", "", "OpenAI"])
async def test_a_format_that_nobody_has_is_refused_and_those_that_there_are_named(
    ann: httpx.AsyncClient, unknown: str
) -> None:
    session_id = await a_session(ann)
    read = await ann.get(f"/session/{session_id}/messages", params={"format": unknown})
    sent = await ann.post(f"/session/{session_id}/messages", json={"format": unknown, "blob": {}})
    for answer in (read, sent):
        said = words(answer, 400)
        assert "format: expected one of openai, anthropic, gemini, acontext, openai_responses" in said
        assert said.endswith(f"found {unknown!r}")
