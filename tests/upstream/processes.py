"""Programs that use the library and die, as an operator's do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_BEGIN = """
import asyncio, os, signal, sys, time
from acontext_plugins import Acontext
from acontext_plugins.settings import LearnSettings, ObserveSettings, Settings, WorkerSettings

def opened(worker=True, quiet=0.0, lease=0.5):
    return Acontext(settings=Settings(
        url=sys.argv[1], observe=ObserveSettings(quiet=quiet, max_wait=60.0), learn=LearnSettings(quiet=0.0),
        worker=WorkerSettings(enabled=worker, lease=lease, idle=0.02),
    ))

def say(client, text="Please archive the project apollo."):
    space = client.spaces.get("shop", create=True)
    session = client.sessions.create(space_id=space.id)
    client.sessions.send_message(session.id, blob={"role": "user", "content": text})
    return session

def tell(*words):
    print(*words, flush=True)

def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def dying(database: Path, code: str) -> list[str]:
    """What a program said before it was killed. It kills itself, or hangs and is killed once it has said "working"."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _BEGIN + code, f"sqlite:///{database}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said += line.split()
        if "working" in said:
            process.kill()
    _, trouble = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, trouble
    return [word for word in said if word != "working"]


def until(state: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a state."""
    end = time.monotonic() + seconds
    while not state():
        assert time.monotonic() < end, "the state did not come"
        time.sleep(0.01)
