"""learning(): what it wraps, what it refuses, and that types stay what they are."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import inspect
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from acontext_adapters.testing import MemoryClient
from acontext_plugins import learning as public
from acontext_plugins.errors import InvalidInput
from acontext_plugins.learning import Adapter, _adapters, current_run, learning, report
from acontext_plugins.runs import InjectionOptions, LearningOptions, RunOptions, Runtime
from acontext_plugins.service import Recall, RecallQuery

TYPED = """
from collections.abc import AsyncIterator, Iterator
from acontext_plugins import learning
from agents import Agent

@learning(space="s")
def plain(x: int, *, y: str = "") -> str: return y * x
@learning(space="s")
async def later(x: int) -> bytes: return b""
@learning(space="s")
def steps(n: int) -> Iterator[int]:
    yield n
@learning(space="s")
async def async_steps(n: int) -> AsyncIterator[int]:
    yield n
class User: ...
class Shop(Agent[User]): ...
reveal_type(plain)
reveal_type(later)
reveal_type(steps)
reveal_type(async_steps)
reveal_type(learning(Agent[User](name="A"), space="s"))
reveal_type(learning(Shop(name="A"), space="s", limit=1))
plain("no")
"""


#: Kept from one run of the tests to the next: reading the SDK's types takes a while.
CACHE = Path(__file__).parents[2] / ".mypy_cache" / "tests"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy")
def test_types_are_kept_exactly(tmp_path: Path) -> None:
    file = tmp_path / "typed.py"
    file.write_text(TYPED)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", f"--cache-dir={CACHE}", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    revealed = [
        line.replace("= ...", "=").split('"')[1] for line in done.stdout.splitlines() if "Revealed type is" in line
    ]
    assert revealed == [
        "def (x: int, *, y: str =) -> str",
        "def (x: int) -> typing.Coroutine[Any, Any, bytes]",
        "def (n: int) -> typing.Iterator[int]",
        "def (n: int) -> typing.AsyncIterator[int]",
        "agents.agent.Agent[typed.User]",
        "typed.Shop",
    ], done.stdout
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1
    assert 'Argument 1 to "plain" has incompatible type "str"; expected "int"' in errors[0]


def test_learning_loads_no_framework() -> None:
    script = (
        "import sys; from acontext_plugins import learning\n"
        "f = learning(lambda: 1, space=None)\n"
        "loaded = [m for m in sys.modules if m.partition('.')[0] in ('agents', 'openai', 'langchain_core', 'agno')]\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_class_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"not classes: give it an instance of builtins\.dict"):
        learning(dict, space="s")


def test_what_no_adapter_knows_is_refused_by_name_with_what_is_known() -> None:
    names = ", ".join(adapter.name for adapter in _adapters().found)
    assert names.startswith("openai-agents, ")
    assert names.endswith(", function")
    with pytest.raises(TypeError, match=rf"does not know builtins\.int; it wraps: {names}"):
        learning(3, space="s")


class Point:
    def __init__(self, name: str, factory: Any) -> None:
        self.name = name
        self.value = f"somewhere:{name}"
        self._factory = factory

    def load(self) -> Any:
        if isinstance(self._factory, Exception):
            raise self._factory
        return self._factory


class Bells:
    name, priority = "bells", 500

    def matches(self, target: object) -> bool:
        return isinstance(target, int) or callable(target)

    def wrap(self, target: Any, runtime: Any) -> Any:
        return ("rung", target, runtime.options.space)


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Any:
    points: list[Point] = []
    from importlib.metadata import entry_points

    real = list(entry_points(group="acontext_plugins.adapters"))
    module = sys.modules["acontext_plugins.learning"]
    monkeypatch.setattr(module, "entry_points", lambda group: [*points, *real])
    _adapters.cache_clear()
    yield points
    _adapters.cache_clear()


def test_a_third_partys_adapter_is_asked_by_its_priority(points: Any) -> None:
    points.append(Point("bells", Bells))
    assert isinstance(Bells(), Adapter)
    assert learning(3, space="s") == ("rung", 3, "s")
    assert learning(len, space="s")[0] == "rung"  # type: ignore[comparison-overlap,index]


def test_an_adapter_that_cannot_be_loaded_is_said_once_and_named_where_it_is_missed(
    points: Any, caplog: pytest.LogCaptureFixture
) -> None:
    points += [Point("broken", ImportError("no module named bells")), Point("odd", lambda: 7)]
    caplog.set_level(logging.WARNING, "acontext")
    learning(len, space="s")
    with pytest.raises(TypeError, match=r"not loaded: broken \(ImportError: no module named bells\), odd \(TypeError"):
        learning(3, space="s")
    assert [record.getMessage() for record in caplog.records] == [
        "acontext: the adapter 'broken' could not be loaded: ImportError: no module named bells",
        "acontext: the adapter 'odd' could not be loaded: TypeError: somewhere:odd gave a int, which is no Adapter",
    ]


def test_a_client_is_taken_by_its_connection() -> None:
    memory = MemoryClient()

    class Client:
        def __init__(self) -> None:
            self.connection = memory

    @learning(space="s", client=Client())
    def double(word: str) -> str:
        return word * 2

    assert double("a") == "aa"
    assert memory.lines == ["user: a", "assistant: aa"]


def test_without_a_client_the_connection_of_the_process_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MemoryClient()
    monkeypatch.setattr("acontext_plugins.client.background.default_connection", lambda: memory)

    @learning(space="s")
    def double(word: str) -> str:
        return word * 2

    assert memory.recordings == []
    double("a")
    assert memory.session.ref.space == "s"


def test_report_outside_of_a_run_is_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    assert current_run() is None
    report("failed", "nothing")
    assert "outside of a run" in caplog.text


@pytest.mark.parametrize("first", ["acontext_plugins.learning", "acontext_plugins"])
def test_the_public_name_can_be_called_whoever_imported_what_first(first: str) -> None:
    script = f"import {first}; from acontext_plugins import learning; assert learning(len, space=None)([1]) == 1"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_decorator_and_the_call_are_the_same() -> None:
    assert public(space="s")(len)([]) == 0


def test_two_clients_never_share_a_scope_even_when_one_takes_the_place_of_the_other() -> None:
    scopes = [Runtime(RunOptions(space="s"), memory).scope for memory in _doors(200)]
    assert len(set(scopes)) == 200
    memory = MemoryClient()
    same = [Runtime(RunOptions(space="s"), memory).scope for _ in range(2)]
    assert same[0] == same[1]


async def test_who_asks_for_skills_while_another_one_waits_gets_the_same() -> None:
    memory = MemoryClient("skills", delay=0.05)
    run = Runtime(RunOptions(space="s", deadline=30), memory).start(label="l")
    first, second = await asyncio.gather(run.arecall("warm?"), run.arecall("warm?"))
    assert (first, second) == ("skills", "skills")
    assert len(memory.queries) == 1


async def test_one_who_is_cancelled_while_it_waits_takes_nothing_from_the_others() -> None:
    memory = MemoryClient("skills", delay=0.05)
    run = Runtime(RunOptions(space="s", deadline=30), memory).start(label="l")
    waiting = asyncio.create_task(run.arecall("warm?"))
    other = asyncio.create_task(run.arecall("warm?"))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await other == "skills"
    assert waiting.cancelled()
    assert await run.arecall("warm?") == "skills"


async def test_after_the_deadline_the_whole_run_goes_without() -> None:
    memory = MemoryClient("skills", delay=0.05)
    run = Runtime(RunOptions(space="s", deadline=0.001), memory).start(label="l")
    assert await run.arecall("warm?") == ""
    await asyncio.sleep(0.1)
    assert await run.arecall("warm?") == ""


async def test_skills_that_came_in_time_are_taken_where_the_loop_was_too_busy_to_hear_of_them() -> None:
    answer: Future[Recall] = Future()

    class Late(MemoryClient):
        def recall(self, query: RecallQuery) -> Future[Recall]:
            return answer

    run = Runtime(RunOptions(space="s", deadline=0), Late()).start(label="l")
    asked = asyncio.create_task(run.arecall("warm?"))
    await asyncio.sleep(0)  # it has begun to wait, and is told next that the time is up
    answer.set_result(Recall(text="skills"))
    assert await asked == "skills"


def _doors(count: int) -> Iterator[MemoryClient]:
    for _ in range(count):
        yield MemoryClient()


def test_options_are_the_same_wherever_they_are_taken() -> None:
    """`learning` spells them out for whoever reads its help; everything else takes them as a typed dict."""
    taken = inspect.signature(learning).parameters
    keys = set(LearningOptions.__annotations__) | set(InjectionOptions.__annotations__)
    assert set(taken) - {"target", "space", "client"} == keys
    fields = {field.name: field.default for field in dataclasses.fields(RunOptions)}
    assert {name: taken[name].default for name in keys} == {name: fields[name] for name in keys}
    assert set(fields) - keys == {"space", "opening_deadline"}


@pytest.mark.parametrize("space", ["", " "])
def test_a_space_without_a_name_is_refused(space: str) -> None:
    with pytest.raises(InvalidInput, match="give None to record only"):
        learning(len, space=space)


def test_an_option_that_is_none_is_named() -> None:
    with pytest.raises(TypeError, match="tokenbudget"):
        learning(len, space="s", tokenbudget=5)  # type: ignore[call-overload]


def test_a_catalog_is_refused_where_there_is_no_place_for_its_tool() -> None:
    with pytest.raises(InvalidInput, match="use 'system' or 'user' there"):
        learning(lambda question: question, space="support", inject_as="catalog")
    for name in ("space", "session", "principal"):
        with pytest.raises(InvalidInput, match=f"{name} is int 5: it must be a text, or None"):
            learning(print, **{"space": "s", name: 5})  # type: ignore[call-overload]
    with pytest.raises(InvalidInput, match="inject_as is 'prompt'"):
        learning(lambda question: question, space="support", inject_as="prompt")  # type: ignore[call-overload]
