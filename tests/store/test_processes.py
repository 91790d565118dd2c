"""Several processes on one database, and processes that die at any point."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

import pytest

from acontext_store.errors import LeaseLost
from acontext_store.protocols import Pending
from acontext_store.sql.sqlite import SqliteStore
from acontext_store.testing.factories import a_session, a_task, done, said, talk, texts, until
from acontext_store.types import Appended, Claim, Message, TaskOps

from .children import Say, start

Reopen = Callable[..., SqliteStore]
KILLS = int(os.environ.get("ACONTEXT_KILLS", "15"))


def _is_sound(path: Path) -> bool:
    raw = sqlite3.connect(path)
    try:
        return (
            raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            and not raw.execute("PRAGMA foreign_key_check").fetchall()
        )
    finally:
        raw.close()


def test_eight_processes_may_open_a_fresh_database_at_once(tmp_path: Path) -> None:
    path = tmp_path / "fresh.db"
    gate, opening = os.pipe()

    def work(say: Say) -> None:
        os.close(opening)
        os.read(gate, 1)  # all wait here until the gate falls shut
        store = SqliteStore(path, project_id="p1")
        done(store.append("s1", [said(str(os.getpid()))], ensure=a_session()))
        store.close()
        say("done")

    children = [start(work) for _ in range(8)]
    os.close(opening)
    os.close(gate)
    for child in children:
        assert child.wait() == ["done"]
    store = SqliteStore(path, project_id="p1")
    assert sorted(texts(store, "s1")) == sorted(str(child.pid) for child in children)
    store.close()
    assert _is_sound(path)


def test_many_processes_append_without_loss_or_doubles(path: Path) -> None:
    def work(name: str) -> Callable[[Say], None]:
        def append(say: Say) -> None:
            store = SqliteStore(path, project_id="p1", busy_timeout=60)
            mine = [said(f"{name} {n}", id=f"{name}-{n}") for n in range(250)]
            shared = [said(f"all {n}", id=f"all-{n}") for n in range(250)]
            pending: list[Pending[Appended]] = []
            for own, common in zip(mine, shared, strict=True):
                pending.append(store.append("shared", [own], ensure=a_session("shared")))
                pending.append(store.append("shared", [common]))
                pending.append(store.append(name, [own], ensure=a_session(name)))
                if len(pending) > 30:
                    done(pending.pop(0))
            for one in pending:
                done(one)
            store.close()

        return append

    names = [f"process{n}" for n in range(4)]
    for child in [start(work(name)) for name in names]:
        child.wait()
    store = SqliteStore(path, project_id="p1")
    kept = done(store.messages("shared")).items
    assert [message.seq for message in kept] == list(range(1, 1251))
    assert [message.parent_id for message in kept] == [None, *(message.id for message in kept[:-1])]
    assert len({message.id for message in kept}) == 1250
    for name in names:
        in_order = [f"{name} {n}" for n in range(250)]
        assert [message.text for message in kept if message.id.startswith(name)] == in_order
        assert texts(store, name) == in_order
    store.close()
    assert _is_sound(path)


def test_each_lane_is_claimed_by_one_process(path: Path) -> None:
    store = SqliteStore(path, project_id="p1")
    for n in range(120):
        talk(store, f"s{n}")
    store.close()

    def work(say: Say) -> None:
        mine = SqliteStore(path, project_id="p1", busy_timeout=60)
        while claims := done(mine.claim(str(os.getpid()), kinds=["observe"], lease=600, limit=3)):
            for claim in claims:
                say(claim.key)
                task = a_task(f"{claim.key}-t", session_id=claim.key)
                done(mine.apply_tasks(claim, TaskOps(session_id=claim.key, tasks=(task,), observed_seq=2)))
        mine.close()

    seen: Counter[str] = Counter()
    for child in [start(work) for _ in range(4)]:
        seen.update(child.wait())
    assert seen == Counter({f"s{n}": 1 for n in range(120)})
    store = SqliteStore(path, project_id="p1")
    assert done(store.lanes()) == []
    assert done(store.stats()).tasks == 120
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("round", range(KILLS))
def test_nothing_acknowledged_is_lost_when_a_process_is_killed(path: Path, round: int) -> None:
    chance = random.Random(round)

    def work(say: Say) -> None:
        store = SqliteStore(path, project_id="p1")
        flying: deque[tuple[list[Message], Pending[Appended]]] = deque()
        for n in range(100_000):
            turn = [said(f"{n} {k} " + "x" * (n % 7) * 1000, id=f"m{n}-{k}") for k in range(1 + n % 3)]
            session_id = f"s{n % 3}"
            flying.append((turn, store.append(session_id, turn, ensure=a_session(session_id))))
            if len(flying) > 1 + round % 40:
                turn, pending = flying.popleft()
                pending.result()
                for message in turn:
                    say(message.id)

    child = start(work)
    child.hear(chance.randrange(1, 400))
    time.sleep(chance.random() / 200)  # anywhere within a commit, not always right after one
    acknowledged = child.kill()
    store = SqliteStore(path, project_id="p1")
    kept: list[str] = []
    for session in done(store.sessions()).items:
        messages = done(store.messages(session.id)).items
        assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
        kept += [message.id for message in messages]
        assert (session.id in {lane.key for lane in done(store.lanes())}) == bool(messages)
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)
    turns = Counter(id.split("-")[0] for id in kept)
    assert all(count == 1 + int(turn[1:]) % 3 for turn, count in turns.items()), "half a turn was kept"
    store.close()
    assert _is_sound(path)


@pytest.mark.slow
@pytest.mark.parametrize("round", range(max(KILLS // 5, 3)))
def test_the_work_of_a_killed_worker_is_done_once_by_another(path: Path, round: int) -> None:
    store = SqliteStore(path, project_id="p1")
    talk(store)
    store.close()

    def work(say: Say) -> None:
        mine = SqliteStore(path, project_id="p1")
        (claim,) = done(mine.claim("doomed", kinds=["observe"], lease=0.3))
        say(claim.model_dump_json())
        task = a_task("t-doomed", about="never")
        if round % 2:  # killed while it writes, or just before
            mine.apply_tasks(claim, TaskOps(session_id="s1", tasks=(task,) * 50, observed_seq=2))
        time.sleep(600)

    child = start(work)
    doomed = Claim.model_validate_json(child.hear()[0])
    child.kill()
    store = SqliteStore(path, project_id="p1")
    if done(store.tasks("s1")).items:
        assert done(store.lanes()) == []  # it had committed: all of it, and nobody does it again
    else:
        (claim,) = until(lambda: done(store.claim("heir", kinds=["observe"], lease=60)))
        assert (claim.attempts, claim.token > doomed.token) == (1, True)
        done(store.apply_tasks(claim, TaskOps(session_id="s1", tasks=(a_task(),), observed_seq=2)))
    stale = TaskOps(session_id="s1", tasks=(a_task("stale"),), observed_seq=2)
    with pytest.raises(LeaseLost):
        done(store.apply_tasks(doomed, stale))
    assert len(done(store.tasks("s1")).items) == 1
    store.close()
    assert _is_sound(path)
