"""Locked databases, full disks, forks, sudden ends, and text that must be gone."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acontext_store.errors import StoreUnavailable
from acontext_store.sql.sqlite import SqliteStore
from acontext_store.testing.factories import (
    a_body,
    a_session,
    a_space,
    a_task,
    an_edit,
    an_outcome,
    done,
    learned,
    observed,
    said,
    talk,
    texts,
    until,
)
from acontext_store.types import Episode

from .children import Say, start

Reopen = Callable[..., SqliteStore]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Another program keeps the database to itself."""
    raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    raw.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        raw.execute("ROLLBACK")
        raw.close()


def test_a_write_waits_for_a_locked_database_and_the_caller_does_not(path: Path, reopen: Reopen) -> None:
    store = reopen()
    done(store.create_session(a_session()))
    with _locked(path):
        pending = [store.append("s1", [said(str(n))]) for n in range(100)]
        assert texts(store, "s1") == []
        assert not any(one.done() for one in pending)
    assert [done(one).last_seq for one in pending] == list(range(1, 101))


def test_a_database_that_stays_locked_is_reported(path: Path, reopen: Reopen) -> None:
    store = reopen(busy_timeout=0.05)
    done(store.create_session(a_session()))
    with _locked(path), pytest.raises(StoreUnavailable, match=f"{path}.*locked"):
        done(store.append("s1", [said("lost")]))
    assert done(store.append("s1", [said("kept")])).last_seq == 1
    assert texts(store, "s1") == ["kept"]


def test_a_cancelled_write_that_had_not_begun_writes_nothing(path: Path, reopen: Reopen) -> None:
    store = reopen()
    done(store.create_session(a_session()))
    with _locked(path):
        first = store.append("s1", [said("first")])
        until(first.running)
        second, third = store.append("s1", [said("second")]), store.append("s1", [said("third")])
        assert second.cancel()
        assert not first.cancel()
    assert done(third).last_seq == 2
    assert texts(store, "s1") == ["first", "third"]


def test_a_full_disk_fails_what_it_must_and_keeps_the_rest(path: Path, reopen: Reopen) -> None:
    store = reopen()
    done(store.append("s1", [said("before")], ensure=a_session()))
    _limit_pages(store, 10)
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match=f"{path}.*disk is full"):
            done(store.append("s1", [said("big " * 20_000), said("and more")], [an_outcome()]))
    _limit_pages(store, None)
    assert texts(store, "s1") == ["before"]
    assert done(store.append("s1", [said("after")])).last_seq == 2
    assert done(store.outcomes("s1")) == []


def _limit_pages(store: SqliteStore, more: int | None) -> None:
    assert store._writer is not None
    raw = store._writer._link.raw
    (count,) = raw.execute("PRAGMA page_count").fetchone()
    raw.execute(f"PRAGMA max_page_count={count + more if more is not None else 1 << 30}").fetchone()


def test_a_batch_whose_commit_fails_is_not_remembered(path: Path, reopen: Reopen) -> None:
    """What is remembered of a session must not survive the rollback of the append that changed it."""
    store = reopen()
    done(store.append("s1", [said("one")], ensure=a_session()))
    _limit_pages(store, 3)
    pending = [store.append("s1", [said("x" * 500)]) for _ in range(200)]
    outcomes = [one.exception() for one in pending]
    _limit_pages(store, None)
    kept = 1 + sum(error is None for error in outcomes)
    assert any(isinstance(error, StoreUnavailable) for error in outcomes)
    assert done(store.append("s1", [said("last")])).last_seq == kept + 1
    assert [m.seq for m in done(store.messages("s1")).items] == list(range(1, kept + 2))


def test_a_forked_child_uses_the_store_by_itself(path: Path, reopen: Reopen) -> None:
    store = reopen()
    talk(store)
    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.is_set():
            done(store.append("busy", [said("x")], ensure=a_session("busy")))
            texts(store, "busy", limit=5)

    def work(say: Say) -> None:
        assert texts(store, "s1")[:2] == ["message 1", "message 2"]
        done(store.append("s1", [said(f"child {os.getpid()}")]))
        store.close()
        say("done")

    thread = threading.Thread(target=keep_writing)
    thread.start()
    try:
        children = [start(work) for _ in range(6)]
        for child in children:
            assert child.wait() == ["done"]
    finally:
        stop.set()
        thread.join()
    assert sorted(texts(store, "s1")[2:]) == sorted(f"child {child.pid}" for child in children)
    done(store.append("s1", [said("parent")]))


def test_a_child_of_a_closed_store_is_told_so(path: Path, reopen: Reopen) -> None:
    store = reopen()
    store.close()

    def work(say: Say) -> None:
        with pytest.raises(Exception, match="closed"):
            store.stats()
        say("done")

    assert start(work).wait() == ["done"]


def _run(code: str, **options: float) -> subprocess.CompletedProcess[str]:
    head = (
        "from acontext_store.open import open_store\n"
        "from acontext_store.testing.factories import *\n"
        "from acontext_store.sql.sqlite import SqliteStore\n"
    )
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", head + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]


def test_what_is_queued_is_written_when_the_program_ends(path: Path, reopen: Reopen) -> None:
    ended = _run(
        f"store = open_store('sqlite:///{path}', project_id='p1')\n"
        "store.create_session(a_session())\n"
        "for n in range(2000): store.append('s1', [said(str(n))])\n"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(texts(reopen(), "s1")) == 2000


def test_a_program_ends_though_the_database_is_locked(path: Path) -> None:
    with _locked(path):
        ended = _run(
            f"store = SqliteStore('{path}', project_id='p1', busy_timeout=0.3)\n"
            "for n in range(5000): store.append('s1', [said(str(n))], ensure=a_session())\n"
        )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_forgotten_store_lets_go_of_its_files(path: Path) -> None:
    store = SqliteStore(path, project_id="p1")
    pending = store.append("s1", [said("hello")], ensure=a_session())
    assert store._writer is not None
    thread = store._writer._thread
    del store
    gc.collect()
    assert done(pending).new == 1
    until(lambda: not thread.is_alive())


def test_what_a_person_deletes_is_gone_from_the_disk(path: Path, reopen: Reopen) -> None:
    def everything_on_disk() -> bytes:
        return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))

    canary = "zanzibarcanary"
    store = reopen()
    space_id = a_space(store)
    body = a_body(f"{canary} skill", pitfalls=(canary,))
    for n in range(20):
        talk(store, f"s{n}", space_id=space_id)
        store.append(f"s{n}", [said(f"{canary} {n} " + canary * n * 50)], [an_outcome(reason=canary)])
        task = a_task(f"t{n}", session_id=f"s{n}", about=canary, outcome=an_outcome(reason=canary))
        observed(store, [task], session_id=f"s{n}", observed_seq=3)
    episode = Episode(task_id="t1", session_id="s1", space_id=space_id, body={canary: canary})
    learned(store, space_id, an_edit("k1", body=body, requests=[f"{canary} request"]), episodes=(episode,))
    learned(store, space_id, an_edit("k1", body=a_body(f"{canary} more"), title=canary))
    assert canary.encode() in everything_on_disk()
    for n in range(20):
        done(store.delete_session(f"s{n}"))
    done(store.delete_block(space_id, "k1"))
    until(lambda: canary.encode() not in everything_on_disk())
    assert done(store.stats()).sessions == 0
    store.close()
    assert canary.encode() not in everything_on_disk()
