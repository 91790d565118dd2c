"""What was recorded is written wherever the end of a process is told to anybody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from acontext_plugins import Acontext

DECORATED = """
import os, sys
from acontext_plugins import Acontext, learning

def runs(client):
    @learning(space="s", client=client)
    def run(what):
        return "done"
    run("first")
    run("last")
"""


def end(database: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A program, ended."""
    environment = {**os.environ, "ACONTEXT_URL": f"sqlite:///{database}"}
    forking = "ignore:This process:DeprecationWarning"  # 3.12 warns of forks beside threads
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", forking, *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def kept(database: Path) -> list[str]:
    with Acontext(f"sqlite:///{database}") as client:
        sessions = client.sessions.list(limit=200).items
        assert client.flush(30)
        return sorted(client.sessions.get_messages(session.id).items[0]["content"] for session in sessions)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_children_of_multiprocessing_lose_nothing(method: str, database: Path) -> None:
    ended = end(database, "-m", "tests.engine.ended", method)
    assert ended.returncode == 0, ended.stderr
    assert kept(database) == sorted(json.loads(ended.stdout))


@pytest.mark.parametrize("client", ["None", "Acontext()"])
@pytest.mark.parametrize("last", ["", "if os.fork() == 0: runs(CLIENT); sys.exit()\nos.wait()"])
def test_a_short_program_loses_nothing(last: str, client: str, database: Path) -> None:
    ended = end(database, "-c", f"{DECORATED}\nruns({client})\n{last.replace('CLIENT', client)}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert kept(database) == sorted(["first", "last"] * (2 if "fork" in last else 1))


def test_what_is_forked_while_the_database_is_being_opened_has_a_memory_of_its_own(database: Path) -> None:
    code = (
        f"import multiprocessing\n{DECORATED}\n"
        "runs(None)\n"
        "child = multiprocessing.get_context('fork').Process(target=runs, args=(None,))\n"
        "child.start()\n"
        "child.join()\n"
        "assert child.exitcode == 0"
    )
    ended = end(database, "-c", code)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert kept(database) == ["first", "first", "last", "last"]


HELD = """
import multiprocessing
from openai import APIConnectionError, OpenAI
from acontext_plugins import Acontext, learning

def work():
    bare = OpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", max_retries=0)
    client = learning(bare, space="s", client=Acontext())
    try:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "warm in Oslo?"}])
    except APIConnectionError:
        print("failed")
"""


@pytest.mark.parametrize(
    "then",
    [
        "work()",
        "child = multiprocessing.get_context('fork').Process(target=work)\nchild.start()\nchild.join()",
    ],
)
def test_a_failure_that_was_held_back_comes_true_at_the_end(then: str, database: Path) -> None:
    pytest.importorskip("openai")
    ended = end(database, "-W", "ignore::DeprecationWarning", "-c", f"{HELD}\n{then}")
    assert (ended.returncode, ended.stdout) == (0, "failed\n"), ended.stderr
    with Acontext(f"sqlite:///{database}") as client:
        assert client.flush(30)
        (session,) = client.sessions.list().items
        (task,) = client.sessions.get_tasks(session.id).items
        assert task.status == "failed"
