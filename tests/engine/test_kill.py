"""kill -9 at any point: what was acknowledged is there, once, and learning goes on where it stood."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from acontext_plugins import Acontext
from acontext_plugins.settings import ObserveSettings, Settings, WorkerSettings

KILLS = int(os.environ.get("ACONTEXT_KILLS", "6"))

CHILD = """
import asyncio, sys
from acontext_plugins import AsyncAcontext
from acontext_plugins.service import Recording, SessionRef
from acontext_plugins.settings import ObserveSettings, LearnSettings, Settings, WorkerSettings
from acontext_store.types import Message, Outcome, Part, new_id

url, life = sys.argv[1], sys.argv[2]
settings = Settings(url=url, observe=ObserveSettings(quiet=0.0, max_wait=0.0), learn=LearnSettings(quiet=0.0),
                    worker=WorkerSettings(lease=0.5, idle=0.02))

def call(name, arguments, result, run):
    id = new_id()
    made = Part(type="tool-call", meta={"id": id, "name": name, "arguments": arguments})
    answer = Part(type="tool-result", text=result, meta={"tool_call_id": id})
    return [Message(role="assistant", parts=(made,), run_id=run), Message(role="tool", parts=(answer,), run_id=run)]

def teach(client, number):
    run = f"{life}-{number}"
    text = f"I am user{number}@example.com, please refund order A-{number}"
    messages = [Message(role="user", parts=(Part(type="text", text=text),), run_id=run),
                *call("find_order", '{"order": "A-%d"}' % number, '{"order": "A-%d"}' % number, run),
                *call("issue_refund", '{"order": "A-%d"}' % number, '{"status": "ok"}', run)]
    outcome = Outcome(status="success", source="report", run_id=run)
    client.connection.record(Recording(SessionRef(run, space="shop"), messages, [outcome]))

async def talk(client, session_id, name):
    number = 0
    while True:
        blob = {"role": "user", "content": f"{life} {name} {number}"}
        stored = await client.sessions.send_message(session_id, blob=blob)
        sys.stdout.write(f"{session_id} {stored.id}\\n")
        sys.stdout.flush()
        if number % 5 == 0:
            teach(client, number)
        number += 1

async def main():
    client = AsyncAcontext(settings=settings)
    found = (await client.sessions.list(limit=200)).items
    mine = [s for s in found if s.key and s.key.startswith("talk")]
    while len(mine) < 3:
        mine.append(await client.sessions.create(key=f"talk-{len(mine)}"))
    await asyncio.gather(*[talk(client, session.id, str(n)) for n, session in enumerate(mine)])

asyncio.run(main())
"""


def live_and_die(url: str, life: int, draw: random.Random) -> list[tuple[str, str]]:
    """Start a program, kill it at a random point of its life, and return what it was told to be kept."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, url, f"life{life}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stderr is not None
    acknowledged = []
    for _ in range(draw.randint(1, 150)):
        line = child.stdout.readline()
        if not line.endswith("\n"):
            raise AssertionError(child.stderr.read())
        acknowledged.append(line)
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read()
    child.stderr.close()
    child.stdout.close()
    child.wait()
    acknowledged += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    pairs = [line.split() for line in acknowledged]
    return [(session, message) for session, message in pairs]


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    draw = random.Random(20)
    told: list[tuple[str, str]] = []
    for life in range(KILLS):
        told += live_and_die(url, life, draw)
        raw = sqlite3.connect(tmp_path / "a.db")
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = Counter(raw.execute("SELECT session_id, id FROM messages").fetchall())
        assert set(told) <= set(kept)
        assert max(kept.values()) == 1
        for count, last in raw.execute("SELECT count(*), max(seq) FROM messages GROUP BY session_id"):
            assert count == last
        raw.close()
    settings = Settings(url=url, observe=ObserveSettings(quiet=0), worker=WorkerSettings(lease=1, idle=0.05))
    with Acontext(settings=settings) as client:
        assert client.flush(60)
        (skill,) = client.spaces.skills(client.spaces.get("shop").id, candidates=True)
        assert [step.tool_name for step in skill.body.tool_sops] == ["find_order", "issue_refund"]
        versions = client.spaces.skill_versions(skill.id)
        assert [version.version for version in versions] == list(range(1, len(versions) + 1))
        sessions = client.sessions.list(limit=200).items
        taught = [session for session in sessions if session.key and session.key.startswith("life")]
        for session in taught[:20]:
            (task,) = client.sessions.get_tasks(session.id).items
            assert task.status == "success"
            assert task.space_digested
