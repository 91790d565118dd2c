"""Files that are deleted or replaced while they are open: nothing is acknowledged that nobody can find."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from acontext_store.errors import NotFound, StoreReplaced, StoreUnavailable
from acontext_store.sql import names
from acontext_store.sql.keys import SqliteKeys
from acontext_store.sql.sqlite import SqliteStore
from acontext_store.testing.factories import a_session, a_space, done, said, texts, until
from acontext_store.types import ApiKey

from .children import Say, start

Reopen = Callable[..., SqliteStore]
Lose = Callable[[Path], None]


def _another(path: Path) -> Path:
    """A database of ours that holds another conversation."""
    other = path.with_name("another.db")
    with closing(SqliteStore(other, project_id="p1")) as store:
        done(store.append("elsewhere", [said("from another file")], ensure=a_session("elsewhere")))
    return other


def _all_files(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def _by_a_copy(path: Path) -> None:
    shutil.copy(path, path.with_name("copy.db"))
    os.replace(path.with_name("copy.db"), path)


def _its_folder_renamed(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


DELETIONS: dict[str, Lose] = {
    "the file is deleted": lambda path: path.unlink(),
    "all its files are deleted": _all_files,
    "it is renamed": lambda path: os.rename(path, path.with_name("old.db")),
    "its folder is deleted": lambda path: shutil.rmtree(path.parent),
    "its folder is renamed": _its_folder_renamed,
}
REPLACEMENTS: dict[str, Lose] = {
    "another takes its place": lambda path: os.replace(_another(path), path),
    "a copy takes its place": _by_a_copy,
    "an empty file takes its place": lambda path: os.replace(_touched(path.with_name("empty")), path),
}


def _touched(path: Path) -> Path:
    path.touch()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """In a folder of its own."""
    return tmp_path / "folder" / "store.db"


@pytest.fixture
def store(reopen: Reopen) -> SqliteStore:
    """It has been written to and read from, in every way."""
    store = reopen()
    done(store.append("s1", [said("before")], ensure=a_session()))
    assert texts(store, "s1") == ["before"]
    assert len(done(store.sessions()).items) == 1
    return store


def _on_disk(path: Path) -> list[str]:
    """What somebody finds who comes now."""
    with closing(SqliteStore(path, project_id="p1")) as store:
        sessions = done(store.sessions(limit=100)).items
        return [text for session in sessions for text in texts(store, session.id)]


def _is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("how", [*DELETIONS, *REPLACEMENTS])
def test_a_write_into_a_lost_file_is_refused_and_the_next_one_kept(how: str, path: Path, store: SqliteStore) -> None:
    {**DELETIONS, **REPLACEMENTS}[how](path)
    word = "deleted" if how in DELETIONS else "replaced"
    with pytest.raises(StoreReplaced, match=f"{path} was {word}"):
        done(store.append("s2", [said("lost")], ensure=a_session("s2")))
    done(store.append("s2", [said("kept")], ensure=a_session("s2")))
    assert texts(store, "s2") == ["kept"]
    found = _on_disk(path)
    assert "kept" in found
    assert "lost" not in found
    assert _is_sound(path)


@pytest.mark.parametrize("how", DELETIONS)
def test_what_was_deleted_is_not_shown_any_more(how: str, path: Path, store: SqliteStore) -> None:
    DELETIONS[how](path)
    for _ in range(2):
        with pytest.raises(StoreReplaced, match="deleted"):
            texts(store, "s1")
        with pytest.raises(StoreReplaced, match="deleted"):
            done(store.sessions())
    assert not path.exists(), "who only reads makes no database"


def test_what_has_taken_the_place_of_a_file_is_read_at_once(path: Path, store: SqliteStore) -> None:
    os.replace(_another(path), path)
    assert texts(store, "elsewhere") == ["from another file"]
    with pytest.raises(NotFound):
        texts(store, "s1")
    assert [session.id for session in done(store.sessions()).items] == ["elsewhere"]


def test_a_backup_that_is_put_back_is_used_from_then_on(path: Path, store: SqliteStore, reopen: Reopen) -> None:
    backup = path.with_name("backup.db")
    with closing(sqlite3.connect(path)) as raw, closing(sqlite3.connect(backup)) as copy:
        raw.backup(copy)
    done(store.append("s1", [said("after the backup")]))
    os.replace(backup, path)
    assert texts(store, "s1") == ["before"]
    with pytest.raises(StoreReplaced, match="Try again"):
        done(store.append("s1", [said("again")]))
    assert done(store.append("s1", [said("again")])).last_seq == 2
    assert _on_disk(path) == ["before", "again"]
    assert _is_sound(path), "the log of the file that it replaced has not got into it"
    kept = path.with_name(path.name + "-wal.replaced")
    assert b"after the backup" in kept.read_bytes()


def test_a_file_that_is_renamed_holds_all_that_was_acknowledged(path: Path, store: SqliteStore) -> None:
    for number in range(200):
        done(store.append("s1", [said(str(number))]))
    os.rename(path, path.with_name("old.db"))
    with pytest.raises(StoreReplaced):
        done(store.append("s1", [said("not kept")]))
    assert _on_disk(path.with_name("old.db"))[:201] == ["before", *map(str, range(200))]


def test_a_link_that_leads_elsewhere_is_another_file(tmp_path: Path) -> None:
    for name in ("one.db", "two.db"):
        SqliteStore(tmp_path / name, project_id="p1").close()
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "one.db")
    with closing(SqliteStore(link, project_id="p1")) as store:
        done(store.append("s1", [said("one")], ensure=a_session()))
        link.unlink()
        link.symlink_to(tmp_path / "two.db")
        with pytest.raises(StoreReplaced):
            done(store.append("s1", [said("two")], ensure=a_session()))
        done(store.append("s1", [said("two")], ensure=a_session()))
    assert (_on_disk(tmp_path / "one.db")[0], _on_disk(tmp_path / "two.db")) == ("one", ["two"])
    assert not list(tmp_path.glob("*.replaced"))


def test_it_is_logged_once(path: Path, store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "acontext"):
        path.unlink()
        for _ in range(3):
            store.sessions().exception()
            store.append("s1", [said("x")], ensure=a_session()).exception()
    assert [record.message for record in caplog.records if "deleted while it was in use" in record.message]
    assert len(caplog.records) == 1


def test_who_looks_for_work_makes_no_database_and_does_not_keep_the_loss_to_himself(
    path: Path, store: SqliteStore
) -> None:
    shutil.rmtree(path.parent)
    for _ in range(3):
        with pytest.raises(StoreReplaced):
            done(store.claim("worker", kinds=["observe"], lease=60))
        with pytest.raises(StoreReplaced):
            done(store.flush())
    assert not path.parent.exists()
    with pytest.raises(StoreReplaced, match="deleted"):
        done(store.append("s1", [said("lost")], ensure=a_session()))
    done(store.append("s1", [said("kept")], ensure=a_session()))
    assert _on_disk(path) == ["kept"]


def test_a_folder_that_cannot_be_made_is_said_until_it_can(path: Path, store: SqliteStore) -> None:
    shutil.rmtree(path.parent)
    path.parent.write_text("a file in the way")
    with pytest.raises(StoreReplaced):
        done(store.append("s1", [said("lost")], ensure=a_session()))
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="is a file, not a directory"):
            done(store.append("s1", [said("lost")], ensure=a_session()))
    path.parent.unlink()
    done(store.append("s1", [said("kept")], ensure=a_session()))
    assert _on_disk(path) == ["kept"]


@pytest.mark.parametrize("in_the_way", [False, True])
def test_a_log_that_is_deleted_takes_nothing_with_it(in_the_way: bool, path: Path) -> None:
    """Not what was acknowledged before, nor what is acknowledged afterwards: another process finds all of it."""

    def work(say: Say) -> None:
        store = SqliteStore(path, project_id="p1")
        other = sqlite3.connect(path) if in_the_way else None
        for number in range(20):
            if number in (5, 10):
                path.with_name(path.name + "-wal").unlink(missing_ok=True)
            done(store.append("s1", [said(str(number))], ensure=a_session()))
            assert len(texts(store, "s1")) == number + 1
            if other is not None:
                assert other.execute("SELECT count(*) FROM messages").fetchone() == (number + 1,)
        os.kill(os.getpid(), 9)

    start(work).wait(expected=-9)
    assert _on_disk(path) == [str(number) for number in range(20)]
    assert _is_sound(path)


def test_a_log_is_begun_anew_when_nobody_is_in_the_way_any_more(path: Path, store: SqliteStore) -> None:
    log = path.with_name(path.name + "-wal")
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM messages").fetchone()
        log.unlink()
        done(store.append("s1", [said("one")]))
        assert not log.exists()
    done(store.append("s1", [said("two")]))
    assert log.exists()
    assert _on_disk(path) == ["before", "one", "two"]


def test_two_stores_of_one_process_find_each_other_again(path: Path, store: SqliteStore, reopen: Reopen) -> None:
    other = reopen()
    assert texts(other, "s1") == ["before"]
    path.unlink()
    for one in (store, other):

        def keeps(one: SqliteStore = one) -> bool:
            return one.append("s1", [said("kept")], ensure=a_session()).exception() is None

        until(keeps)
    assert texts(store, "s1") == texts(other, "s1") == ["kept", "kept"] == _on_disk(path)
    assert _is_sound(path)


@pytest.mark.slow
def test_a_file_that_is_lost_again_and_again_under_many_writers(path: Path, store: SqliteStore) -> None:
    stop = threading.Event()
    kept: dict[str, list[str]] = {}

    def keep_writing(name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            text = f"{name} {number}"
            if store.append("s1", [said(text)], ensure=a_session()).exception() is None:
                kept.setdefault(name, []).append(text)

    threads = [threading.Thread(target=keep_writing, args=(f"writer{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for round in range(20):
        before = sum(map(len, kept.values()))
        until(lambda before=before: sum(map(len, list(kept.values()))) > before + 5)  # type: ignore[misc]
        (_by_a_copy if round % 4 == 3 else Path.unlink)(path)
    before = sum(map(len, kept.values()))
    until(lambda: sum(map(len, list(kept.values()))) > before + 5)
    stop.set()
    for thread in threads:
        thread.join()
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = texts(store, "s1")
    for name, said_so in kept.items():
        mine = [text for text in found if text.startswith(name)]
        assert mine == said_so[-len(mine) :], "of what was acknowledged since the last loss, all is there"


def test_what_embeds_is_known_to_the_database_that_comes_next(path: Path, store: SqliteStore) -> None:
    done(store.embed_with("a-model", 3))
    path.unlink()
    store.append("s1", [said("lost")], ensure=a_session()).exception()
    a_space(store)
    assert done(store.embedder()) == ("a-model", 3)


def test_keys_are_those_of_the_file_that_is_there(path: Path) -> None:
    keys = SqliteKeys(path)
    key = keys.add(ApiKey(project_id="p1", name="first", hash="1" * 64, hint="sk-ac-1"))
    assert keys.find(key.hash) == key
    _all_files(path)
    assert keys.find(key.hash) is None
    keys.add(key)
    assert keys.all() == [key]


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize("reader", [False, True])
def test_a_disk_that_does_not_answer_for_a_while_has_lost_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reader: bool
) -> None:
    """Above all its log stays, also where a reader is in the way of moving it to the database."""

    class Disk:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def stat(self, name: str | os.PathLike[str]) -> os.stat_result:
            if str(name) == str(path):
                raise OSError(number, os.strerror(number), str(name))
            return os.stat(name)

    path.parent.mkdir()
    with closing(SqliteStore(path, project_id="p1")) as store, closing(sqlite3.connect(path)) as other:
        done(store.append("s1", [said("before")], ensure=a_session("s1")))
        if reader:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM messages").fetchone()
        done(store.append("s1", [said("acknowledged")]))
        monkeypatch.setattr(names, "os", Disk())
        with pytest.raises(StoreUnavailable, match="cannot look at") as raised:
            done(store.append("s1", [said("during", id="m3")]))
        assert not isinstance(raised.value, StoreReplaced)
        with pytest.raises(StoreUnavailable, match="cannot look at"):
            done(store.messages("s1"))
        monkeypatch.undo()
        assert path.with_name(f"{path.name}-wal").exists()
        done(store.append("s1", [said("during", id="m3")]))  # tried again, it is kept once
        assert texts(store, "s1") == ["before", "acknowledged", "during"]
    with closing(SqliteStore(path, project_id="p1")) as store:
        assert texts(store, "s1") == ["before", "acknowledged", "during"]
