"""Every example in a public docstring runs and prints what it says; the names that users call most have one."""

from __future__ import annotations

import ast
import asyncio
import builtins
import contextlib
import doctest
import inspect
import io
import itertools
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins import Acontext, AsyncAcontext

from . import house

CALLED_MOST = """
    learning.learning runs.report runs.current_run formats.to_message testing.scripted_llm.ScriptedLLM
    client.sync.Acontext client.sync.Acontext.flush client.sync.Acontext.close
    client.asynchronous.AsyncAcontext client.asynchronous.AsyncAcontext.flush client.asynchronous.AsyncAcontext.aclose
    client.asynchronous.AsyncSessions.create client.asynchronous.AsyncSessions.send_message
    client.asynchronous.AsyncSessions.get_messages client.asynchronous.AsyncSessions.get_tasks
    client.asynchronous.AsyncSessions.flush
    client.asynchronous.AsyncSpaces.create client.asynchronous.AsyncSpaces.get client.asynchronous.AsyncSpaces.skills
    client.asynchronous.AsyncSpaces.experience_search
    client.disks.AsyncDisks.create client.disks.AsyncArtifacts.upsert client.disks.AsyncArtifacts.get
    runs.Runtime.start runs.Run.record runs.Run.arecall
"""
DOCSTRINGS = {address: ast.get_docstring(node) or "" for address, node, _ in house.public(house.modules())}
_number = itertools.count(1)
EXAMPLES = {address: text for address, text in DOCSTRINGS.items() if ">>>" in text}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database that stays open."""
    url = f"sqlite:///{tmp_path_factory.mktemp('examples')}/examples.db"
    with Acontext(url):
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Acontext]:
    """A client of a new project, whose space "support" has one skill."""
    with Acontext(url, project=f"project-{next(_number)}") as client:
        space = client.spaces.create(name="support")
        page = client.blocks.create(space.id, block_type="page", title="refunds")
        sop = {"tool_sops": [{"tool_name": "issue_refund", "action": "refund the order, in cents"}]}
        title = "refund a broken item"
        client.blocks.create(space.id, block_type="sop", parent_id=page.id, title=title, props=sop)
        yield client


@pytest.fixture
def names(client: Acontext, address: str) -> dict[str, Any]:
    """What the example speaks of: public names, a client, and one of each of its things that the example names."""
    modules = [import_module(module) for module in house.SURFACE]
    found = {name: getattr(module, name) for module in modules for name in module.__all__}
    found |= {"client": client, "space": client.spaces.get("support")}
    if "session.id" in EXAMPLES[address]:
        found["session"] = session = client.sessions.create(space_id=found["space"].id)
        client.sessions.send_message(session.id, blob={"role": "user", "content": "Where is my order?"})
        client.sessions.flush(session.id)
    if "disk.id" in EXAMPLES[address]:
        found["disk"] = disk = client.disks.create()
        client.artifacts.upsert(disk.id, file=("todo.md", b"call ann"), file_path="/notes/")
    return found


def said_by(code: str, names: dict[str, Any], run: Callable[[Any], object]) -> str:
    """What a statement of an example prints, at a prompt that knows `await`."""
    compiled = compile(code, "<example>", "single", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = eval(compiled, names)
        if inspect.iscoroutine(result):
            run(result)
    return printed.getvalue()


@pytest.mark.parametrize("address", EXAMPLES)
def test_an_example_prints_what_it_says(
    address: str,
    names: dict[str, Any],
    client: Acontext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "displayhook", lambda value: None if value is None else builtins.print(repr(value)))
    with asyncio.Runner() as runner:
        if ".Async" in address:
            names["client"] = AsyncAcontext(settings=client.settings)
        for example in doctest.DocTestParser().get_examples(EXAMPLES[address]):
            assert said_by(example.source, names, runner.run) == example.want, example.source
        if ".Async" in address:
            runner.run(names["client"].aclose())


@pytest.mark.parametrize("name", CALLED_MOST.split())
def test_what_users_call_most_has_an_example(name: str) -> None:
    assert f"acontext_plugins.{name}" in EXAMPLES


def test_an_example_of_an_asynchronous_resource_stands_in_the_synchronous_one_without_await() -> None:
    modules = (".resources.", ".sessions.")
    shown = {address for address in EXAMPLES if any(f"client{module}" in address for module in modules)}
    twins = {
        address.rpartition(".Async")[2] for address in EXAMPLES if ".Async" in address and "Acontext" not in address
    }
    assert {address.split(".client.")[1].partition(".")[2] for address in shown} == twins
    assert not [address for address in shown if "await" in EXAMPLES[address]]
