"""A database that is deleted or replaced under a client: what was recorded waits for the next one, and it is said."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from acontext_plugins import Acontext, learning
from acontext_plugins.errors import StoreReplaced
from acontext_plugins.service import Recording, SessionRef
from acontext_plugins.settings import LearnSettings, ObserveSettings, RecorderSettings, Settings, WorkerSettings
from acontext_store.types import Message, Part

LONG = "a long one " * 100


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "acontext.db"


@pytest.fixture
def client(database: Path) -> Iterator[Acontext]:
    settings = Settings(
        url=f"sqlite:///{database}",
        recorder=RecorderSettings(inline_bytes=len(LONG) - 1),
        worker=WorkerSettings(idle=0.02),
        observe=ObserveSettings(quiet=0.0, max_wait=0.0),
        learn=LearnSettings(quiet=0.0),
    )
    with Acontext(settings=settings) as made:
        yield made


def alone(database: Path) -> Acontext:
    """Another client, which leaves the work to others."""
    return Acontext(settings=Settings(url=f"sqlite:///{database}", worker=WorkerSettings(enabled=False)))


def record(client: Acontext, key: str, text: str, *, space: str | None = None) -> None:
    message = Message(role="user", parts=(Part(type="text", text=text),))
    client.connection.record(Recording(SessionRef(key, space=space), [message]))


def contents(database: Path) -> list[str]:
    """What another client finds."""
    with alone(database) as other:
        sessions = other.sessions.list(limit=200).items
        return [item["content"] for one in sessions for item in other.sessions.get_messages(one.id).items]


def delete_file(database: Path) -> None:
    database.unlink()


def delete_folder(database: Path) -> None:
    while database.parent.exists():  # somebody may write into it meanwhile
        shutil.rmtree(database.parent, ignore_errors=True)


def replace(database: Path) -> None:
    other = database.with_name("other.db")
    alone(other).close()
    os.replace(other, database)


@pytest.mark.parametrize("lose", [delete_file, delete_folder, replace])
def test_what_is_recorded_is_kept_in_the_database_that_comes_next(
    lose: Callable[[Path], None], client: Acontext, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for text in ("known before", LONG):
        record(client, "known", text, space="shop")
    assert client.flush(30)
    with caplog.at_level(logging.WARNING, "acontext"):
        lose(database)
        for number in range(20):
            record(client, "known" if number % 2 else f"new {number}", f"{LONG} {number}", space="shop")
        assert client.flush(30)
    assert sorted(contents(database)) == sorted(f"{LONG} {number}" for number in range(20))
    assert [space.name for space in client.spaces.list().items] == ["shop"]
    assert all(session.space_id for session in client.sessions.list(limit=100).items)
    assert [record.message.count("while it was in use") for record in caplog.records] == [1]


@pytest.mark.parametrize("background", [True, False])
def test_a_client_is_told_what_happened_and_the_way_out(background: bool, database: Path) -> None:
    settings = Settings(url=f"sqlite:///{database}", worker=WorkerSettings(enabled=background, idle=0.01))
    with Acontext(settings=settings) as client:
        session = client.sessions.create()
        client.sessions.send_message(session.id, blob={"role": "user", "content": "before"})
        delete_folder(database)
        with pytest.raises(StoreReplaced, match=rf"{database} was deleted.*a backup"):
            client.sessions.get_messages(session.id)
        with pytest.raises(StoreReplaced, match=rf"{database} was deleted.*a backup"):
            client.flush(1)
        with pytest.raises(StoreReplaced, match=rf"{database} was deleted.*a backup"):
            client.sessions.send_message(session.id, blob={"role": "user", "content": "lost"})
        assert not database.exists()
        again = client.sessions.create()
        client.sessions.send_message(again.id, blob={"role": "user", "content": "after"})
    assert contents(database) == ["after"]


def test_an_agent_runs_on_and_is_remembered(client: Acontext, database: Path) -> None:
    @learning(space="s", client=client)
    def run(what: str) -> str:
        return what.upper()

    assert run("one") == "ONE"
    assert client.flush(30)
    delete_folder(database)
    assert [run("two"), run("three")] == ["TWO", "THREE"]
    assert client.flush(30)
    assert {"two", "three"} <= set(contents(database))


def test_a_backup_that_is_put_back_is_gone_on_with(client: Acontext, database: Path, tmp_path: Path) -> None:
    record(client, "talk", "one")
    assert client.flush(30)
    with closing(sqlite3.connect(database)) as raw, closing(sqlite3.connect(tmp_path / "backup.db")) as copy:
        raw.backup(copy)
    delete_folder(database)
    database.parent.mkdir()
    os.replace(tmp_path / "backup.db", database)
    record(client, "talk", "two")
    assert client.flush(30)
    assert contents(database) == ["one", "two"]


def test_a_client_of_a_folder_that_is_gone_closes_and_makes_nothing_anew(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As of a temporary directory that is cleaned up while somebody still has a client."""
    with Acontext(settings=Settings(url=f"sqlite:///{database}", worker=WorkerSettings(idle=0.01))) as client:
        client.sessions.create()
        delete_folder(database)
        with pytest.raises(StoreReplaced):
            client.sessions.list()
    assert not database.parent.exists()
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
