"""Tools with which a model reads and writes files of a disk.

Names, parameters and answers are those of `acontext.agent.disk` in the `acontext` package, so a program may change the
import alone. They stand on `client.disks.artifacts`: embedded or remote, synchronous or not.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acontext_store.errors import Conflict, InvalidInput
from acontext_store.types import Json

from ..client import Acontext, AsyncAcontext
from ..files.service import ARTIFACT_INFO
from .tools import Arguments, Tool, ToolPool

#: Characters that reading a file gives at a time.
_MOST_SHOWN = 100_000
#: How often a change is tried again that others were quicker with.
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class DiskContext:
    """The disk that a model works on, and the client that reaches it."""

    client: Acontext | AsyncAcontext
    disk_id: str

    @property
    def asynchronous(self) -> bool:
        """Whether the client is an `AsyncAcontext`."""
        return inspect.iscoroutinefunction(self.client.disks.artifacts.get)

    async def ask(self, method: Callable[..., Any], **options: Any) -> Any:
        """Call a method of `client.disks.artifacts` with this disk, and await it where the client is asynchronous."""
        answer = method(self.disk_id, **options)
        return await answer if inspect.isawaitable(answer) else answer


class DiskTools(ToolPool[DiskContext]):
    """The pool of the tools of a disk."""

    def format_context(self, client: Acontext | AsyncAcontext, disk_id: str) -> DiskContext:
        """The context that `execute_tool` wants, by the name that the `acontext` package has for it."""
        return DiskContext(client, disk_id)

    async def async_format_context(self, client: AsyncAcontext, disk_id: str) -> DiskContext:
        """The context that `async_execute_tool` wants, by the name that the `acontext` package has for it."""
        return DiskContext(client, disk_id)


async def _write_file(ctx: DiskContext, arguments: Arguments) -> str:
    filename, content = arguments.text("filename"), arguments.text("content")
    artifact = await ctx.ask(
        ctx.client.disks.artifacts.upsert,
        file=(filename, content.encode("utf-8", "replace")),
        file_path=_folder(arguments),
    )
    return f"File '{artifact.filename}' written successfully to '{artifact.path}'"


async def _read_file(ctx: DiskContext, arguments: Arguments) -> str:
    path, filename = _folder(arguments), arguments.text("filename")
    offset = max(0, arguments.number("line_offset", 0))
    limit = max(1, arguments.number("line_limit", 100))
    lines = (await _text(ctx, path, filename))[0].split("\n")
    start = min(offset, len(lines) - 1)
    end = min(start + limit, len(lines))
    shown = "\n".join(lines[start:end])
    if len(shown) > _MOST_SHOWN:
        shown = f"{shown[:_MOST_SHOWN]}\n[cut after {_MOST_SHOWN} characters]"
    return f"[{path}{filename} - showing L{start}-{end} of {len(lines)} lines]\n{shown}"


async def _replace_string(ctx: DiskContext, arguments: Arguments) -> str:
    path, filename = _folder(arguments), arguments.text("filename")
    old, new = arguments.text("old_string"), arguments.text("new_string")
    if not old:
        raise InvalidInput("old_string is empty: give the text to replace")
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(Conflict):  # another call has changed it meanwhile: what that wrote must not be lost
            return await _replaced(ctx, path, filename, old, new)
    return await _replaced(ctx, path, filename, old, new)


async def _replaced(ctx: DiskContext, path: str, filename: str, old: str, new: str) -> str:
    text, artifact = await _text(ctx, path, filename)
    count = text.count(old)
    if not count:
        return f"String '{old}' not found in file '{filename}'"
    meta = dict(artifact.meta)
    info = meta.pop(ARTIFACT_INFO, {})
    await ctx.ask(
        ctx.client.disks.artifacts.upsert,
        file=(filename, text.replace(old, new).encode("utf-8", "replace"), info.get("mime", "text/plain")),
        file_path=path,
        meta=meta,
        if_sha256=artifact.sha256,
    )
    return f"Found {count} old_string in {path}{filename} and replaced it."


async def _list_artifacts(ctx: DiskContext, arguments: Arguments) -> str:
    path = _folder(arguments)
    listing = await ctx.ask(ctx.client.disks.artifacts.list, path=path)
    files = [artifact.filename for artifact in listing.artifacts]
    if not files and not listing.directories:
        return f"No files or directories found in '{path}'"
    folders = "\n".join(f"{name.rstrip('/')}/" for name in listing.directories) or "[NO DIR]"
    return f"[Listing in {path}]\nDirectories:\n{folders}\nFiles:\n{chr(10).join(files) or '[NO FILE]'}"


async def _grep_artifacts(ctx: DiskContext, arguments: Arguments) -> str:
    query = arguments.text("query")
    found = await ctx.ask(ctx.client.disks.artifacts.grep_artifacts, query=query, limit=arguments.number("limit", 100))
    return _found(found, query) if found else f"No matches found for pattern '{query}'"


async def _glob_artifacts(ctx: DiskContext, arguments: Arguments) -> str:
    query = arguments.text("query")
    found = await ctx.ask(ctx.client.disks.artifacts.glob_artifacts, query=query, limit=arguments.number("limit", 100))
    return _found(found, query) if found else f"No files found matching pattern '{query}'"


async def _download_file(ctx: DiskContext, arguments: Arguments) -> str:
    path, filename, expire = _folder(arguments), arguments.text("filename"), arguments.number("expire", 3600)
    result = await ctx.ask(
        ctx.client.disks.artifacts.get,
        file_path=path,
        filename=filename,
        with_public_url=True,
        with_content=False,
        expire=expire,
    )
    return f"Public download URL for '{path}{filename}' (expires in {expire}s):\n{result.public_url}"


async def _text(ctx: DiskContext, path: str, filename: str) -> tuple[str, Any]:
    """A file's text, and the file. Raises InvalidInput where it is no text."""
    result = await ctx.ask(
        ctx.client.disks.artifacts.get, file_path=path, filename=filename, with_public_url=False, with_content=True
    )
    if result.content is None:
        raise InvalidInput(f"{path}{filename} holds no text that can be shown: use download_file to get its address")
    return result.content.raw, result.artifact


def _folder(arguments: Arguments) -> str:
    names = arguments.text("file_path", "/").strip("/")
    return f"/{names}/" if names else "/"


def _found(artifacts: Any, query: str) -> str:
    paths = "\n".join(f"{artifact.path}{artifact.filename}" for artifact in artifacts)
    return f"Found {len(artifacts)} file(s) matching '{query}':\n{paths}"


def _string(description: str) -> Json:
    return {"type": "string", "description": description}


def _integer(description: str) -> Json:
    return {"type": "integer", "description": description}


_PATH = _string("The folder of the file, for example '/notes/'. Without it: the root, '/'.")
_NAME = _string("The name of the file, for example 'report.md'.")

DISK_TOOLS = DiskTools(
    Tool(
        "write_file",
        "Write a text to a file. A file that is there already is replaced.",
        {"file_path": _PATH, "filename": _NAME, "content": _string("The whole text of the file.")},
        ("filename", "content"),
        _write_file,
    ),
    Tool(
        "read_file",
        "Read lines of a text file.",
        {
            "file_path": _PATH,
            "filename": _NAME,
            "line_offset": _integer("The line to begin with; 0, the first, without it."),
            "line_limit": _integer("How many lines at most; 100 without it."),
        },
        ("filename",),
        _read_file,
    ),
    Tool(
        "replace_string",
        "Replace a string in a text file, wherever it occurs there.",
        {
            "file_path": _PATH,
            "filename": _NAME,
            "old_string": _string("What is replaced, exactly as it stands in the file."),
            "new_string": _string("What stands there afterwards."),
        },
        ("filename", "old_string", "new_string"),
        _replace_string,
    ),
    Tool(
        "list_artifacts",
        "List the files and folders that stand directly in a folder.",
        {"file_path": _string("The folder, for example '/notes/'; the root is '/'.")},
        ("file_path",),
        _list_artifacts,
    ),
    Tool(
        "grep_artifacts",
        "Find text files (notes, code, JSON, CSV) in which a regular expression matches some line.",
        {
            "query": _string("The regular expression, for example 'TODO.*' or 'import .*pandas'."),
            "limit": _integer("How many files at most; 100 without it."),
        },
        ("query",),
        _grep_artifacts,
    ),
    Tool(
        "glob_artifacts",
        "Find files by their paths: * and ? stand for characters of a name, ** for any number of folders.",
        {
            "query": _string("The pattern: '*.txt' in the root, '**/*.py' anywhere, '/docs/**' all below docs."),
            "limit": _integer("How many files at most; 100 without it."),
        },
        ("query",),
        _glob_artifacts,
    ),
    Tool(
        "download_file",
        "Get an address from which a file can be downloaded for some time.",
        {
            "file_path": _PATH,
            "filename": _NAME,
            "expire": _integer("For how many seconds the address is good; 3600, an hour, without it."),
        },
        ("filename",),
        _download_file,
    ),
)
