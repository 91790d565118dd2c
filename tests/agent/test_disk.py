"""The disk tools: what a model is offered, what it gets, and what it is told when it errs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from acontext_plugins import Acontext, AsyncAcontext
from acontext_plugins.agent import ToolPool
from acontext_plugins.agent.disk import DISK_TOOLS
from acontext_plugins.errors import Closed, InvalidInput

Call = Callable[..., str]


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Call]:
    """Calls a tool of an empty disk, by either front client."""
    url = f"sqlite:///{tmp_path}/a.db"
    if request.param == "sync":
        with Acontext(url) as client:
            ctx = DISK_TOOLS.format_context(client, client.disks.create().id)
            yield lambda name, **given: DISK_TOOLS.execute_tool(ctx, name, given)
        return
    with asyncio.Runner() as runner:
        memory = AsyncAcontext(url)
        disk = runner.run(memory.disks.create())
        async_ctx = runner.run(DISK_TOOLS.async_format_context(memory, disk.id))
        yield lambda name, **given: runner.run(DISK_TOOLS.async_execute_tool(async_ctx, name, given))
        runner.run(memory.aclose())


def test_a_model_works_on_a_disk(call: Call) -> None:
    answer = call("write_file", filename="test.txt", file_path="/try/", content="Hello, world!")
    assert answer == "File 'test.txt' written successfully to '/try/'"
    assert call("read_file", filename="test.txt", file_path="/try/") == (
        "[/try/test.txt - showing L0-1 of 1 lines]\nHello, world!"
    )
    assert call("list_artifacts", file_path="/") == "[Listing in /]\nDirectories:\ntry/\nFiles:\n[NO FILE]"
    assert call("list_artifacts", file_path="try") == "[Listing in /try/]\nDirectories:\n[NO DIR]\nFiles:\ntest.txt"
    assert call("list_artifacts", file_path="/none/") == "No files or directories found in '/none/'"
    replaced = call("replace_string", filename="test.txt", file_path="/try/", old_string="Hello", new_string="Hi")
    assert replaced == "Found 1 old_string in /try/test.txt and replaced it."
    missing = call("replace_string", filename="test.txt", file_path="/try/", old_string="Hello", new_string="Hi")
    assert missing == "String 'Hello' not found in file 'test.txt'"
    assert call("grep_artifacts", query="w.rld") == "Found 1 file(s) matching 'w.rld':\n/try/test.txt"
    assert call("grep_artifacts", query="moon") == "No matches found for pattern 'moon'"
    assert call("glob_artifacts", query="**/*.txt") == "Found 1 file(s) matching '**/*.txt':\n/try/test.txt"
    assert call("glob_artifacts", query="*.txt") == "No files found matching pattern '*.txt'"
    answer = call("download_file", filename="test.txt", file_path="/try/", expire=300)
    said, _, url = answer.partition("\n")
    assert said == "Public download URL for '/try/test.txt' (expires in 300s):"
    assert httpx.get(url).text == "Hi, world!"


def test_lines_are_read_a_part_at_a_time(call: Call) -> None:
    call("write_file", filename="a.txt", content="\n".join(f"line {n}" for n in range(250)))
    assert call("read_file", filename="a.txt").startswith("[/a.txt - showing L0-100 of 250 lines]\nline 0\n")
    part = call("read_file", filename="a.txt", line_offset=248, line_limit="10")
    assert part == "[/a.txt - showing L248-250 of 250 lines]\nline 248\nline 249"
    assert call("read_file", filename="a.txt", line_offset=999).endswith("\nline 249")
    assert call("read_file", filename="a.txt", line_offset=-5, line_limit=-1).endswith("lines]\nline 0")
    call("write_file", filename="long.txt", content="x" * 300_000)
    assert len(call("read_file", filename="long.txt")) < 101_000


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("read_file", {"filename": "nowhere.txt"}, "no artifact '/nowhere.txt'"),
        ("read_file", {}, "filename is required"),
        ("write_file", {"filename": "a.txt"}, "content is required"),
        ("write_file", {"filename": "a.txt", "content": "x", "file_path": "/../etc"}, "'..'"),
        ("write_file", {"filename": "../a.txt", "content": "x"}, "slash"),
        ("read_file", {"filename": "a.txt", "line_limit": "many"}, "line_limit"),
        ("replace_string", {"filename": "a.txt", "old_string": "", "new_string": "x"}, "old_string is empty"),
        ("replace_string", {"filename": "b.txt", "old_string": "x", "new_string": "y"}, "no artifact '/b.txt'"),
        ("grep_artifacts", {"query": "("}, "cannot be read"),
        ("grep_artifacts", {"query": "x", "limit": 5000}, "1 to 1000"),
        ("glob_artifacts", {"query": ""}, "empty"),
        ("download_file", {"filename": "a.txt"}, "no artifact"),
        ("download_file", {"filename": "a.txt", "expire": -1}, "expire"),
    ],
)
def test_a_model_is_told_what_it_did_wrong(call: Call, name: str, given: Mapping[str, Any], said: str) -> None:
    answer = call(name, **given)
    assert answer.startswith("Error: ")
    assert said in answer


def test_a_file_that_is_no_text_is_not_shown(tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path}/a.db") as client:
        disk = client.disks.create()
        client.artifacts.upsert(disk.id, file=("a.png", b"\x89PNG"))
        ctx = DISK_TOOLS.format_context(client, disk.id)
        assert "download_file" in DISK_TOOLS.execute_tool(ctx, "read_file", {"filename": "a.png"})


def test_replacing_keeps_type_and_notes_of_the_file(tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path}/a.db") as client:
        disk = client.disks.create()
        client.artifacts.upsert(disk.id, file=("a.md", b"one", "text/markdown"), meta={"author": "x"})
        ctx = DISK_TOOLS.format_context(client, disk.id)
        arguments = json.dumps({"filename": "a.md", "old_string": "one", "new_string": "two"})
        assert DISK_TOOLS.execute_tool(ctx, "replace_string", arguments).startswith("Found 1")
        kept = client.artifacts.get(disk.id, file_path="/", filename="a.md").artifact
        assert (kept.mime, kept.meta["author"]) == ("text/markdown", "x")


def test_parallel_calls_lose_nothing_of_each_other(tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path}/a.db") as client, ThreadPoolExecutor(6) as pool:
        disk = client.disks.create()
        ctx = DISK_TOOLS.format_context(client, disk.id)
        client.artifacts.upsert(disk.id, file=("a.txt", " ".join(f"<{n}>" for n in range(12)).encode()))
        calls = [{"filename": "a.txt", "old_string": f"<{n}>", "new_string": str(n)} for n in range(12)]
        answers = list(pool.map(lambda call: DISK_TOOLS.execute_tool(ctx, "replace_string", call), calls))
        assert all(answer.startswith("Found 1") for answer in answers)
        text = client.artifacts.get(disk.id, file_path="/", filename="a.txt").content
        assert text is not None
        assert text.raw == " ".join(str(n) for n in range(12))


def test_what_a_model_cannot_help_is_raised(tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path}/a.db") as client:
        ctx = DISK_TOOLS.format_context(client, client.disks.create().id)
        for wrong in ("[]", "{", "1"):
            assert DISK_TOOLS.execute_tool(ctx, "read_file", wrong).startswith("Error: the arguments")
        with pytest.raises(InvalidInput, match="there is no tool 'rm'"):
            DISK_TOOLS.execute_tool(ctx, "rm", {})
    with pytest.raises(Closed):
        DISK_TOOLS.execute_tool(ctx, "read_file", {"filename": "a.txt"})


async def test_each_door_has_its_way_to_call(tmp_path: Path) -> None:
    async with AsyncAcontext(f"sqlite:///{tmp_path}/a.db") as client:
        ctx = DISK_TOOLS.format_context(client, (await client.disks.create()).id)
        with pytest.raises(InvalidInput, match="async_execute_tool"):
            DISK_TOOLS.execute_tool(ctx, "list_artifacts", {"file_path": "/"})
    with Acontext(f"sqlite:///{tmp_path}/a.db") as sync, pytest.raises(InvalidInput, match="call execute_tool"):
        await DISK_TOOLS.async_execute_tool(DISK_TOOLS.format_context(sync, "d"), "list_artifacts", {})


def test_each_provider_is_offered_the_same_tools() -> None:
    names = [
        "write_file",
        "read_file",
        "replace_string",
        "list_artifacts",
        "grep_artifacts",
        "glob_artifacts",
        "download_file",
    ]
    openai, anthropic = DISK_TOOLS.to_openai_tool_schema(), DISK_TOOLS.to_anthropic_tool_schema()
    gemini = DISK_TOOLS.to_gemini_tool_schema()
    assert [tool["function"]["name"] for tool in openai] == names
    for one, two, three in zip(openai, anthropic, gemini, strict=True):
        assert one == {"type": "function", "function": three}
        assert {**three, "input_schema": three["parameters"]} == {**two, "parameters": two["input_schema"]}
        schema = two["input_schema"]
        assert set(schema["required"]) <= set(schema["properties"])
        assert all(one.keys() == {"type", "description"} for one in schema["properties"].values())


def test_a_pool_can_be_changed() -> None:
    pool: ToolPool[Any] = ToolPool(*DISK_TOOLS.tools.values())
    pool.remove_tool("write_file")
    assert not pool.tool_exists("write_file")
    assert DISK_TOOLS.tool_exists("write_file")
    with pytest.raises(InvalidInput):
        pool.remove_tool("write_file")
    pool.add_tool(DISK_TOOLS.tools["write_file"])
    other: ToolPool[Any] = ToolPool()
    other.extent_tool_pool(pool)
    assert set(other.tools) == set(DISK_TOOLS.tools)
