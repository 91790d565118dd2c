"""Every method of the published SDK that this API serves, called once, synchronously and asynchronously."""

from __future__ import annotations

import inspect
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import KEY, Served
from .test_seed import SDK

CALL: dict[str, Any] = {
    "role": "assistant",
    "content": "Searching.",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "x"}'}}],
}
RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "c1", "content": "found " * 50}
SOP: dict[str, Any] = {"preferences": "", "tool_sops": [{"tool_name": "goto", "action": "go to github.com"}]}
Call = Callable[..., Any]


def _sync_client(served: Served) -> Any:
    from acontext import AcontextClient

    return AcontextClient(base_url=served.url, api_key=KEY)


def _async_client(served: Served) -> Any:
    from acontext import AcontextAsyncClient

    return AcontextAsyncClient(base_url=served.url, api_key=KEY)


async def settled(value: Any) -> Any:
    """What a call gave, from either client."""
    return await value if inspect.isawaitable(value) else value


def downloaded(url: str) -> bytes:
    """What a plain GET finds there, with no key."""
    with urllib.request.urlopen(url) as response:
        content: bytes = response.read()
    return content


@pytest.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, served: Served) -> Any:
    opened = _sync_client(served) if request.param == "sync" else _async_client(served)
    yield opened
    await settled(opened.close() if request.param == "sync" else opened.aclose())


async def test_sessions(client: Any) -> None:
    sessions = client.sessions
    session = await settled(sessions.create(configs={"a": 1}))
    assert session.project_id == "default"
    await settled(sessions.update_configs(session.id, configs={"b": 2}))
    assert (await settled(sessions.get_configs(session.id))).configs == {"b": 2}
    page = await settled(sessions.list(limit=1, time_desc=True))
    assert [item.id for item in page.items] == [session.id]
    space = await settled(client.spaces.create())
    await settled(sessions.connect_to_space(session.id, space_id=space.id))
    assert (await settled(sessions.list(space_id=space.id))).items[0].id == session.id
    status = await settled(sessions.get_learning_status(session.id))
    assert (status.space_digested_count, status.not_space_digested_count) == (0, 0)
    await settled(sessions.delete(session.id))
    with pytest.raises(Exception, match="404"):
        await settled(sessions.get_configs(session.id))


async def test_messages(client: Any) -> None:
    sessions = client.sessions
    send = getattr(sessions, "send_message", None) or sessions.store_message
    session = await settled(sessions.create())
    first = await settled(send(session.id, blob={"role": "user", "content": "Find x"}))
    assert first.parts[0].text == "Find x"
    for blob in (CALL, RESULT):
        await settled(send(session.id, blob=blob, format="openai"))
    claude = {"role": "user", "content": [{"type": "text", "text": "Thanks"}]}
    await settled(send(session.id, blob=claude, format="anthropic"))
    page = await settled(sessions.get_messages(session.id))
    assert page.items[1:3] == [CALL, RESULT]
    assert (await settled(sessions.get_messages(session.id, format="anthropic"))).items[3] == claude
    newest = await settled(sessions.get_messages(session.id, limit=1, time_desc=True))
    assert newest.has_more
    assert (await settled(sessions.get_token_counts(session.id))).total_tokens > 50
    flushed = await settled(sessions.flush(session.id))
    assert flushed == {"status": 200, "errmsg": ""}
    (task,) = (await settled(sessions.get_tasks(session.id))).items
    described = task.data["task_description"] if SDK < (0, 0, 9) else task.data.task_description
    assert "x" in described
    if SDK >= (0, 0, 8):
        bare = [{"type": "remove_tool_result", "params": {"keep_recent_n_tool_results": 0}}]
        edited = await settled(sessions.get_messages(session.id, edit_strategies=bare))
        assert edited.items[2]["content"] == "Done"
    if SDK >= (0, 0, 10):
        assert len(page.ids) == 4
    if hasattr(sessions, "messages_observing_status"):  # some versions have it in one client only
        seen = await settled(sessions.messages_observing_status(session.id))
        assert seen.observed == 4
    if SDK >= (0, 0, 16):
        assert page.this_time_tokens > 50
        assert page.edit_at_message_id == page.ids[-1]


async def test_a_message_with_a_file(client: Any) -> None:
    from acontext import FileUpload
    from acontext.messages import build_acontext_message

    sessions = client.sessions
    send = getattr(sessions, "send_message", None) or sessions.store_message
    session = await settled(sessions.create())
    picture = {"type": "image", "file_field": "pic"}
    message = build_acontext_message(role="user", parts=["see this", picture])
    upload = FileUpload(filename="dot.png", content=b"\x89PNG dot", content_type="image/png")
    stored = await settled(send(session.id, blob=message, format="acontext", file_field="pic", file=upload))
    assert stored.parts[1].asset.size_b == 8
    page = await settled(sessions.get_messages(session.id, format="acontext"))
    link = page.public_urls[stored.parts[1].asset.sha256]
    assert downloaded(link.url) == b"\x89PNG dot"


async def test_spaces_blocks_and_tools(client: Any) -> None:
    space = await settled(client.spaces.create(configs={"x": 1}))
    await settled(client.spaces.update_configs(space.id, configs={"y": 2}))
    assert (await settled(client.spaces.get_configs(space.id))).configs == {"y": 2}
    assert (await settled(client.spaces.list(limit=1, time_desc=True))).items[0].id == space.id
    blocks = client.blocks

    async def made(**given: Any) -> str:
        block = await settled(blocks.create(space.id, **given))
        return str(block["id"] if isinstance(block, dict) else block.id)

    folder = await made(block_type="folder", title="github")
    page = await made(block_type="page", parent_id=folder, title="ops")
    skill = await made(block_type="sop", parent_id=page, title="star a repo on github", props=SOP)
    assert [block.id for block in await settled(blocks.list(space.id))] == [folder]
    assert [block.id for block in await settled(blocks.list(space.id, parent_id=page, block_type="sop"))] == [skill]
    await settled(blocks.update_properties(space.id, folder, title="hub"))
    assert (await settled(blocks.get_properties(space.id, folder))).title == "hub"
    other = await made(block_type="folder", title="other")
    await settled(blocks.move(space.id, page, parent_id=other))
    await settled(blocks.update_sort(space.id, other, sort=0))
    found = await settled(client.spaces.experience_search(space.id, query="star the repo on github", mode="fast"))
    assert [cited.block_id for cited in found.cited_blocks] == [skill]
    assert found.cited_blocks[0].props["tool_sops"][0]["tool_name"] == "goto"
    assert (await settled(client.spaces.get_unconfirmed_experiences(space.id))).items == []
    names = await settled(client.tools.get_tool_name())
    assert "goto" in [name.name for name in names]
    done = await settled(client.tools.rename_tool_name(rename=[{"old_name": "goto", "new_name": "goto"}]))
    assert done.status == 200
    await settled(blocks.delete(space.id, other))
    await settled(client.spaces.delete(space.id))


async def test_disks_and_artifacts(client: Any) -> None:
    from acontext import FileUpload

    disk = await settled(client.disks.create())
    assert disk.id in [item.id for item in (await settled(client.disks.list(time_desc=True))).items]
    files = client.disks.artifacts
    upload = FileUpload(filename="a.json", content=b'{"x": 1}')
    made = await settled(files.upsert(disk.id, file=upload, file_path="/data/", meta={"by": "me"}))
    assert (made.path, made.meta["by"]) == ("/data/", "me")
    got = await settled(files.get(disk.id, file_path="/data/", filename="a.json"))
    assert (got.content.type, json.loads(got.content.raw)) == ("json", {"x": 1})
    assert downloaded(got.public_url) == b'{"x": 1}'
    changed = await settled(files.update(disk.id, file_path="/data/", filename="a.json", meta={"by": "you"}))
    assert changed.artifact.meta["by"] == "you"
    assert (await settled(files.list(disk.id, path="/"))).directories == ["data"]
    if hasattr(files, "grep_artifacts"):
        assert len(await settled(files.grep_artifacts(disk.id, query="x"))) == 1
        assert len(await settled(files.glob_artifacts(disk.id, query="**/*.json"))) == 1
    await settled(files.delete(disk.id, file_path="/data/", filename="a.json"))
    await settled(client.disks.delete(disk.id))


async def test_ping_and_errors(client: Any) -> None:
    from acontext.errors import APIError

    assert await settled(client.ping()) == "pong"
    with pytest.raises(APIError) as caught:
        await settled(client.sessions.get_configs("no-uuid"))
    assert caught.value.status_code == 400
    assert "UUID" in str(caught.value)


@pytest.mark.skipif(SDK < (0, 0, 7), reason="this SDK has no tools for agents")
def test_the_sdks_own_tools_for_agents_work(served: Served) -> None:
    from acontext.agent.disk import DISK_TOOLS

    client = _sync_client(served)
    disk = client.disks.create()
    context = DISK_TOOLS.format_context(client, disk.id)

    def call(name: str, **arguments: Any) -> str:
        return str(DISK_TOOLS.execute_tool(context, name, arguments))

    call("write_file", filename="notes.md", content="one\ntwo", file_path="/n/")
    assert "two" in call("read_file", filename="notes.md", file_path="/n/")
    call("replace_string", filename="notes.md", file_path="/n/", old_string="two", new_string="three")
    assert "three" in call("read_file", filename="notes.md", file_path="/n/")
    assert "notes.md" in call("list_artifacts", file_path="/n/")
    client.close()
