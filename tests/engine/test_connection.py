"""Doors: an agent never waits for its memory to open, and runs on when it cannot be opened or written."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from acontext_plugins import Acontext
from acontext_plugins.client.background import BackgroundConnection
from acontext_plugins.client.connection import Connection
from acontext_plugins.engine.engine import Engine
from acontext_plugins.errors import StoreUnavailable
from acontext_plugins.service import Recall, RecallQuery, Recording, SessionRef
from acontext_plugins.settings import Settings, WorkerSettings
from acontext_store.errors import IncompatibleStore
from acontext_store.forks import HELD, at_fork
from acontext_store.sql.migrations import VERSION_TABLE
from acontext_store.types import Message, Part, Session, new_id

from ..store.children import start


def said(text: str) -> Recording:
    return Recording(SessionRef("s"), [Message(role="user", parts=(Part(type="text", text=text),))])


def settings(path: Path) -> Settings:
    return Settings(url=f"sqlite:///{path}", worker=WorkerSettings(enabled=False))


def test_the_default_database_is_at_home_whatever_that_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "50%25 off?"
    monkeypatch.setenv("HOME", str(home))
    with Acontext() as client:
        client.sessions.create()
    assert (home / ".acontext" / "acontext.db").is_file()


def wait_for(state: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not state():
        assert time.monotonic() < end, "the state did not come"
        time.sleep(0.01)


def kept(path: Path) -> list[str]:
    with Acontext(settings=settings(path)) as client:
        found = client.sessions.list().items
        return [item["content"] for item in client.sessions.get_messages(found[0].id).items] if found else []


def test_what_is_recorded_before_the_database_is_open_is_kept_in_order(tmp_path: Path) -> None:
    memory = BackgroundConnection(settings=settings(tmp_path / "a.db"))
    for number in range(50):
        memory.record(said(str(number)))
    memory.connection(20).close()
    assert kept(tmp_path / "a.db") == [str(number) for number in range(50)]


def test_a_recall_that_comes_before_the_database_is_open_is_answered_when_it_is(tmp_path: Path) -> None:
    memory = BackgroundConnection(settings=settings(tmp_path / "a.db"))
    assert memory.recall(RecallQuery("space", "anything")).result(20) == Recall()
    memory.connection(20).close()


def test_many_threads_open_one_database_once(tmp_path: Path) -> None:
    memory = BackgroundConnection(settings=settings(tmp_path / "a.db"))
    threads = [threading.Thread(target=memory.record, args=(said(str(number)),)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    memory.connection(20).close()
    assert sorted(kept(tmp_path / "a.db"), key=int) == [str(number) for number in range(20)]


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A database that a later version of this library has written."""
    path = tmp_path / "newer.db"
    Acontext(settings=settings(path)).close()
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    connection.commit()
    connection.close()
    return path


def test_a_database_of_a_newer_version_is_refused_with_the_way_out(newer: Path) -> None:
    with pytest.raises(IncompatibleStore, match=r"newer version.*upgrade"):
        Acontext(settings=settings(newer))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"this is a text file, not a database" * 100)
    with pytest.raises(StoreUnavailable, match=r"a\.db"):
        Acontext(settings=settings(tmp_path / "a.db"))


def test_a_door_to_a_database_that_cannot_be_opened_drops_nothing_on_the_host(
    newer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = BackgroundConnection(settings=settings(newer), waiting=5, retry=0.0)
    with caplog.at_level(logging.WARNING, "acontext"):
        for number in range(10):
            memory.record(said(str(number)))
        assert memory.recall(RecallQuery("space", "anything")).result(20) == Recall()
        wait_for(lambda: memory.error is not None)
    assert isinstance(memory.error, IncompatibleStore)
    assert memory.dropped >= 5
    assert "run without memory" in caplog.text


def test_a_database_that_cannot_be_opened_is_said_once_and_not_at_each_try(
    newer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = BackgroundConnection(settings=settings(newer), retry=0.0)
    with caplog.at_level(logging.WARNING, "acontext"):
        for number in range(5):
            memory.record(said(str(number)))
            wait_for(lambda: not memory.opening and memory._opening is None)
    assert caplog.text.count("run without memory") == 1


def test_a_door_opens_when_the_trouble_is_over(tmp_path: Path) -> None:
    blocked = tmp_path / "folder"
    blocked.write_text("a file in the way")
    memory = BackgroundConnection(settings=settings(blocked / "a.db"), retry=0.0)
    memory.record(said("first"))
    wait_for(lambda: memory.error is not None)
    blocked.unlink()
    memory.record(said("second"))
    memory.connection(20).close()
    assert kept(blocked / "a.db") == ["first", "second"]


AGENT = """
import os, sys
os.environ["OPENAI_API_KEY"] = "sk-offline"
from agents import Agent, Runner, function_tool, set_tracing_disabled
from agents.testing import ScriptedModel, assistant_message, function_call
from acontext_plugins import learning
set_tracing_disabled(True)

@function_tool
def weather(city: str) -> str:
    return "21C in " + city

steps = [[function_call("weather", {"city": "Oslo"}, call_id="c1")], [assistant_message("It is 21C.")]]
agent = learning(Agent(name="a", tools=[weather], model=ScriptedModel(steps)), space="s")
print(Runner.run_sync(agent, "weather in Oslo?").final_output)
"""

LIMITED = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
"""


def run_agent(code: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ACONTEXT_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("trouble", ["none", "no directory", "newer version", "no database", "disk full", "bad url"])
def test_an_agent_run_works_whatever_is_wrong_with_its_memory(trouble: str, tmp_path: Path, newer: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "text.db").write_bytes(b"no database" * 1000)
    urls = {
        "none": f"sqlite:///{tmp_path}/a.db",
        "no directory": f"sqlite:///{tmp_path}/file/a.db",
        "newer version": f"sqlite:///{newer}",
        "no database": f"sqlite:///{tmp_path}/text.db",
        "disk full": f"sqlite:///{tmp_path}/full.db",
        "bad url": "mysql://localhost/x",
    }
    done = run_agent((LIMITED if trouble == "disk full" else "") + AGENT, urls[trouble])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "It is 21C."
    assert "Traceback" not in done.stderr
    if trouble not in ("none", "disk full"):
        assert "acontext" in done.stderr


def test_a_disk_that_is_full_is_a_clear_error_for_one_who_asks(tmp_path: Path) -> None:
    code = LIMITED + (
        "from acontext_plugins import Acontext\n"
        "from acontext_plugins.errors import AcontextError\n"
        "try:\n"
        f"    client = Acontext('sqlite:///{tmp_path}/full.db')\n"
        "    session = client.sessions.create()\n"
        "    for n in range(200):\n"
        "        client.sessions.send_message(session.id, blob={'role': 'user', 'content': 'x' * 1000})\n"
        "except AcontextError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("StoreUnavailable"), done.stderr
    assert "full.db" in done.stdout


def test_a_forked_child_opens_a_connection_of_its_own_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = BackgroundConnection(settings=settings(tmp_path / "a.db"))
    monkeypatch.setattr("acontext_plugins.client.background._default", memory)
    memory.record(said("parent"))
    assert memory.connection(20).opened().engine.recorder.flush(20)
    pid = os.fork()
    if pid == 0:
        try:
            memory.record(said("child"))
            threads = {thread.name for thread in threading.enumerate()}
            memory.connection(20).close()
            os._exit(0 if "acontext-open" in threads else 3)
        except BaseException:
            os._exit(4)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    memory.connection(20).close()
    assert kept(tmp_path / "a.db") == ["parent", "child"]


@pytest.mark.parametrize("in_background", [True, False])
def test_a_fork_waits_for_a_database_that_is_being_opened(
    in_background: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, forking = threading.Event(), threading.Event()
    written: list[bool] = []

    class SlowEngine(Engine):
        """Its store is open, and its start writes something, once somebody is forking."""

        async def start(self) -> None:
            opened.set()
            await asyncio.to_thread(forking.wait)
            await asyncio.wait_for(self.store.create_session(Session(id=new_id(), project_id="default")), 5)
            written.append(True)
            await super().start()

    class Forking:
        def __init__(self) -> None:
            at_fork(HELD, before=self.tell)

        def tell(self) -> None:
            forking.set()

    monkeypatch.setattr("acontext_plugins.engine.embedded.Engine", SlowEngine)
    teller = Forking()
    memory = BackgroundConnection(settings=settings(tmp_path / "a.db"))
    mine = Connection(settings(tmp_path / "a.db"))
    opener = threading.Thread(target=memory.connection if in_background else mine.opened)
    opener.start()
    opened.wait()
    found = start(lambda say: say(str(written)))
    opener.join()
    (mine if not in_background else memory.connection()).close()
    assert found.wait() == ["[True]"]
    assert teller
