"""Many processes keep, replace and delete files at once: no file loses its bytes, and bytes without a file go."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

import acontext_store
from acontext_store.blobs.garbage import sweep
from acontext_store.blobs.local import LocalBlobs
from acontext_store.errors import NotFound
from acontext_store.sql.connect import writing
from acontext_store.sql.migrations import VERSION_TABLE
from acontext_store.sql.sqlite import SqliteStore
from acontext_store.testing.disks import a_disk, a_file, with_blob
from acontext_store.testing.factories import a_session, done

from .children import Say, start

KILLS = int(os.environ.get("ACONTEXT_KILLS", "6"))


def _files(blobs: LocalBlobs) -> list[Path]:
    return [path for path in blobs.path.rglob("*") if path.is_file()]


def _upload(store: SqliteStore, blobs: LocalBlobs, data: bytes, path: str = "/a.bin") -> str:
    with blobs.write() as writer:
        for at in range(0, len(data), 65_536):
            writer.write(data[at : at + 65_536])
        blob = writer.commit()
    done(store.put_artifact(a_file(path, sha256=blob.sha256)))
    return blob.sha256


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


def test_eight_processes_replace_one_file_and_a_reader_always_meets_a_whole_one(
    path: Path, blobs: LocalBlobs, reopen: Callable[..., SqliteStore]
) -> None:
    store = reopen()
    a_disk(store)
    _upload(store, blobs, b"0" * 200_000)
    store.close()

    def work(name: int) -> Callable[[Say], None]:
        def write(say: Say) -> None:
            mine = SqliteStore(path, project_id="p1", busy_timeout=60)
            for n in range(10):
                _upload(mine, blobs, bytes([65 + name]) * (100_000 + n))
                data = blobs.get(done(mine.artifact("d1", "/", "a.bin")).sha256)
                assert len(set(data)) == 1
            mine.close()

        return write

    for child in [start(work(name)) for name in range(8)]:
        child.wait()
    store = reopen()
    (kept,) = done(store.artifacts("d1")).items
    assert sweep(store, blobs, grace=-1) == 80
    assert len(_files(blobs)) == 1
    assert set(blobs.get(kept.sha256)) <= set(range(65, 73))
    assert done(store.unused_blobs()) == []


def test_a_sweep_never_takes_what_is_put_again_at_that_moment(
    path: Path, blobs: LocalBlobs, reopen: Callable[..., SqliteStore]
) -> None:
    store = reopen()
    for n in range(3):
        a_disk(store, f"d{n}")
    store.close()
    over = blobs.path.parent / "over"

    def uploads(name: int) -> Callable[[Say], None]:
        def work(say: Say) -> None:
            mine = SqliteStore(path, project_id="p1", busy_timeout=60)
            data = b"same bytes, again and again %d" % name
            place = blobs._place(hashlib.sha256(data).hexdigest())
            for _ in range(100):
                sha256 = blobs.put(data)
                done(mine.put_artifact(a_file("/x", disk_id=f"d{name}", sha256=sha256)))
                assert blobs.get(sha256) == data
                os.utime(place, (0, 0))  # it grows old, but has its row
                assert blobs.get(sha256) == data
                done(mine.delete_artifact(f"d{name}", "/", "x"))
                say("again")
            mine.close()

        return work

    def sweeps(say: Say) -> None:
        mine = SqliteStore(path, project_id="p1", busy_timeout=60)
        gone = 0
        while not over.exists():
            gone += sweep(mine, blobs) + sweep(mine, blobs, thorough=True)
        say(str(gone))
        mine.close()

    sweepers = [start(sweeps) for _ in range(2)]
    for child in [start(uploads(name)) for name in range(3)]:
        child.wait()
    over.touch()
    assert sum(int(child.wait()[0]) for child in sweepers) > 0


@pytest.mark.slow
@pytest.mark.parametrize("round", range(KILLS))
def test_a_process_killed_while_it_uploads_leaves_the_old_file_whole(
    path: Path, blobs: LocalBlobs, reopen: Callable[..., SqliteStore], round: int
) -> None:
    store = reopen()
    a_disk(store)
    old = _upload(store, blobs, b"the old file")
    store.close()
    chance = random.Random(round)

    def work(say: Say) -> None:
        mine = SqliteStore(path, project_id="p1")
        for n in range(100_000):
            data = b"%d" % n * 40_000
            say(f"{n} {hashlib.sha256(data).hexdigest()}")
            _upload(mine, blobs, data)
            say(f"{n} kept")

    child = start(work)
    child.hear(1 + 2 * chance.randrange(0, 8))
    time.sleep(chance.random() / 500)  # anywhere between the first byte and the commit
    heard = [line.split() for line in child.kill()]
    store = reopen()
    kept = done(store.artifact("d1", "/", "a.bin"))
    said = {int(n): word for n, word in heard if word != "kept"}
    acknowledged = [said[int(n)] for n, word in heard if word == "kept"]
    assert kept.sha256 in [*(acknowledged[-1:] or [old]), said[max(said)]]
    assert hashlib.sha256(blobs.get(kept.sha256)).hexdigest() == kept.sha256
    sweep(store, blobs, grace=-1, thorough=True)
    assert blobs.sweep(lambda hashes: hashes, untouched_since=time.time() + 90_000) == 0
    assert [file for file in _files(blobs) if file.parent.name == ".drafts"] == []
    assert len(_files(blobs)) == 1


def test_a_thorough_sweep_finds_what_never_had_a_reference(
    blobs: LocalBlobs, reopen: Callable[..., SqliteStore]
) -> None:
    store = reopen()
    a_disk(store)
    kept = _upload(store, blobs, b"kept")
    named = blobs.put(b"named by a message")
    done(store.append("s1", [with_blob(named)], ensure=a_session()))
    orphan = blobs.put(b"orphan")
    assert sweep(store, blobs, grace=-1) == 0
    assert sweep(store, blobs, thorough=True) == 0  # it may be on its way
    assert sweep(store, blobs, thorough=True, grace=-1) == 1
    assert [blobs.exists(sha256) for sha256 in (kept, named, orphan)] == [True, True, False]
    with pytest.raises(NotFound):
        blobs.get(orphan)


def _as_of(version: str, path: Path) -> None:
    """The database as that version of the schema would hold it."""
    new, old = path.with_suffix(".new"), path.with_suffix(".old")
    link = writing(old)
    config = Config()
    config.set_main_option("script_location", str(Path(acontext_store.__file__).parent / "sql" / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = link.sql
    link.raw.execute("BEGIN IMMEDIATE")
    command.upgrade(config, version)
    link.raw.execute("COMMIT")
    link.raw.execute("ATTACH ? AS new", (str(path),))
    for (table,) in link.raw.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
        columns = ", ".join(f'"{row[1]}"' for row in link.raw.execute(f"PRAGMA main.table_info({table})"))
        if table != VERSION_TABLE:
            link.raw.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
    link.close()
    path.rename(new)
    old.rename(path)


def test_messages_from_before_there_were_disks_keep_their_blobs(
    path: Path, blobs: LocalBlobs, reopen: Callable[..., SqliteStore]
) -> None:
    store = reopen()
    sha256 = blobs.put(b"long ago")
    done(store.append("s1", [with_blob(sha256)], ensure=a_session()))
    store.close()
    _as_of("0002", path)
    store = reopen()
    assert done(store.used_blobs([sha256])) == {sha256}
    assert sweep(store, blobs, thorough=True, grace=-1) == 0
    assert blobs.get(sha256) == b"long ago"
