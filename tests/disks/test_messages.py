"""Files that come with messages, and results that leave a conversation for a disk."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from acontext_plugins import Acontext, FileUpload, Settings
from acontext_plugins.editing import edit, parse_strategies
from acontext_plugins.errors import InvalidInput, NotFound
from acontext_plugins.files import place
from acontext_store.types import Message, Part

from .test_client import blobs

PNG = b"\x89PNG\r\n" + bytes(range(256))


def picture(**fields: Any) -> dict[str, Any]:
    parts = [{"type": "text", "text": "look"}, {"type": "image", "file_field": "photo", **fields}]
    return {"role": "user", "parts": parts}


@pytest.fixture
def session_id(client: Acontext) -> str:
    return client.sessions.create().id


def send(client: Acontext, session_id: str, file: Any = None) -> Any:
    return client.sessions.send_message(
        session_id,
        blob=picture(),
        format="acontext",
        file_field="photo",
        file=file or FileUpload("a.png", PNG, "image/png"),
    )


def test_a_file_is_kept_with_its_message_and_a_link_leads_to_it(client: Acontext, session_id: str) -> None:
    part = send(client, session_id).parts[1]
    page = client.sessions.get_messages(session_id, format="acontext", with_asset_public_url=True)
    (item,) = page.items
    assert item["parts"][1]["filename"] == "a.png"
    assert item["parts"][1]["asset"]["sha256"] == part.asset
    assert (item["parts"][1]["asset"]["mime"], item["parts"][1]["asset"]["size_b"]) == ("image/png", len(PNG))
    assert page.public_urls is not None
    answer = httpx.get(page.public_urls[part.asset].url)
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    assert page.public_urls[part.asset].expire_at.endswith("Z")
    assert client.sessions.get_messages(session_id, format="acontext").public_urls is None


@pytest.mark.parametrize("format", ["openai", "anthropic", "gemini"])
def test_another_format_has_the_picture_in_it(client: Acontext, session_id: str, format: Any) -> None:
    send(client, session_id)
    text = json.dumps(client.sessions.get_messages(session_id, format=format).items)
    assert base64.b64encode(PNG).decode() in text
    assert "image/png" in text


def test_where_others_can_follow_links_the_picture_is_a_link(tmp_path: Path) -> None:
    settings = Settings(url=f"sqlite:///{tmp_path}/a.db", public_url="https://example.org/api/v1")
    with Acontext(settings=settings) as client:
        session = client.sessions.create()
        sha256 = send(client, session.id).parts[1].asset
        (item,) = client.sessions.get_messages(session.id).items
        assert item["content"][1]["image_url"]["url"].startswith("https://example.org/api/v1/download?project=default")
        page = client.sessions.get_messages(session.id, format="acontext")
        assert page.public_urls is not None
        assert set(page.public_urls) == {sha256}


def test_a_message_without_its_file_or_a_file_without_its_part_is_refused(client: Acontext, session_id: str) -> None:
    file = FileUpload("a.png", PNG)
    wrong: list[dict[str, Any]] = [
        {"blob": picture(), "format": "acontext", "file": file},
        {"blob": picture(), "format": "acontext", "file": file, "file_field": "other"},
        {"blob": {"role": "user", "content": "x"}, "format": "openai", "file": file, "file_field": "photo"},
        {"blob": "text", "format": "acontext", "file": file, "file_field": "photo"},
        {"blob": {"role": "user"}, "format": "acontext", "file": file, "file_field": "photo"},
        {"blob": picture(), "format": "acontext", "file": ("a.png", io.StringIO("x")), "file_field": "photo"},
    ]
    two = picture()
    two["parts"].append({"type": "file", "file_field": "second"})
    wrong.append({"blob": two, "format": "acontext", "file": file, "file_field": "photo"})
    for given in wrong:
        with pytest.raises(InvalidInput):
            client.sessions.send_message(session_id, **given)
    with pytest.raises(NotFound):
        send(client, "nowhere")
    assert client.sessions.get_messages(session_id).items == []
    assert blobs(client) == []


@pytest.mark.parametrize("part", [{"asset": "ab" * 32}, {"asset": "../../a"}, {"asset": {"sha256": "ab" * 32}}])
def test_a_message_cannot_name_a_file_that_nobody_sent(client: Acontext, session_id: str, part: dict[str, Any]) -> None:
    with pytest.raises((InvalidInput, NotFound)):
        client.sessions.send_message(
            session_id, blob={"role": "user", "parts": [{"type": "image", **part}]}, format="acontext"
        )
    assert client.sessions.get_messages(session_id).items == []


def test_a_deleted_session_takes_its_files_with_it(client: Acontext, session_id: str) -> None:
    other = client.sessions.create().id
    send(client, session_id)
    send(client, other)
    page = client.sessions.get_messages(session_id, format="acontext", with_asset_public_url=True)
    assert page.public_urls is not None
    (public,) = page.public_urls.values()
    (blob,) = blobs(client)
    os.utime(blob, (0, 0))
    client.sessions.delete(session_id)
    assert httpx.get(public.url).status_code == 404
    assert blobs(client) == [blob]
    client.sessions.delete(other)
    assert blobs(client) == []


def _talk(client: Acontext, session_id: str, results: list[str]) -> None:
    for n, result in enumerate(results):
        call = {"id": f"c{n}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        for message in (
            {"role": "user", "content": f"look {n}"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{n}", "content": result},
        ):
            client.sessions.send_message(session_id, blob=message)


def test_big_results_leave_the_conversation_for_the_sessions_own_disk(client: Acontext, session_id: str) -> None:
    big = "\n".join(f"row {n}: some words that take their tokens" for n in range(2_000))
    _talk(client, session_id, [big, "small", "newest"])
    strategy = [{"type": "offload_tool_results", "params": {"gt_token": 500, "preview": 20}}]
    (pointer,) = [
        str(item["content"])
        for item in client.sessions.get_messages(session_id, edit_strategies=strategy).items
        if item["role"] == "tool" and item["tool_call_id"] == "c0"
    ]
    disk = client.disks.of_session(session_id)
    (kept,) = client.artifacts.glob_artifacts(disk.id, query="/tool_results/*")
    assert kept.full_path in pointer
    found = client.artifacts.get(disk.id, file_path=kept.path, filename=kept.filename)
    assert found.content is not None
    assert found.content.raw == big
    client.sessions.get_messages(session_id, edit_strategies=strategy)
    assert client.artifacts.glob_artifacts(disk.id, query="**") == [kept]
    assert client.sessions.get_messages(session_id).items[2]["content"] == big


@pytest.mark.parametrize("message_id", ["thread/1", "../../x", "a\0b", "", "é" * 300])
def test_whatever_a_message_is_called_its_result_has_a_path(message_id: str) -> None:
    call = Part(type="tool-call", meta={"id": "c", "name": "look", "arguments": "{}"})
    result = Part(type="tool-result", text="words " * 3_000, meta={"tool_call_id": "c"})
    messages = [Message(role="assistant", parts=(call,)), Message(id=message_id, role="tool", parts=(result,))]
    params = {"keep_recent_n_tool_results": 0}
    done = edit(messages, parse_strategies([{"type": "offload_tool_results", "params": params}]))
    (offload,) = done.offloads
    assert place(offload.path).path == "/tool_results/"


def test_results_go_to_the_disk_that_is_named_and_it_must_be_there(client: Acontext, session_id: str) -> None:
    _talk(client, session_id, ["words " * 3_000, "newest"])
    disk = client.disks.create()

    def read(disk_id: str) -> Any:
        strategy = {"type": "offload_tool_results", "params": {"disk_id": disk_id}}
        return client.sessions.get_messages(session_id, edit_strategies=[strategy])

    read(disk.id)
    assert len(client.artifacts.glob_artifacts(disk.id, query="**")) == 1
    with pytest.raises(NotFound, match="disk"):
        read("nowhere")
