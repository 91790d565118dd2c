"""Supervisor: several processes that answer on one port. `python -m acontext_plugins.server FD` is one of them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

log = logging.getLogger("acontext")

STOPPING = (signal.SIGTERM, signal.SIGINT)
#: A process that ends sooner than this after its start, and was not killed, would end so again: all stop.
_TOO_SOON = 2.0


def supervise(listener: socket.socket, count: int) -> None:
    """Run that many processes until SIGTERM or SIGINT; one that dies is replaced. Settings are in the environment."""
    told: list[int] = []

    def tell(number: int, frame: FrameType | None) -> None:
        told.append(number)

    before = {number: signal.signal(number, tell) for number in STOPPING}
    children: dict[subprocess.Popen[bytes], float] = {}
    try:
        for _ in range(count):
            children[_start(listener)] = time.monotonic()
        while not told:
            time.sleep(0.1)
            for child in [child for child in children if child.poll() is not None]:
                lived = time.monotonic() - children.pop(child)
                if told:
                    break
                if lived < _TOO_SOON and child.returncode != -signal.SIGKILL:
                    log.error("acontext: a worker ended with code %s as soon as it began", child.returncode)
                    return
                log.warning("acontext: a worker ended with code %s; another takes its place", child.returncode)
                children[_start(listener)] = time.monotonic()
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            child.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(listener: socket.socket) -> subprocess.Popen[bytes]:
    """A process of its own session, so that Ctrl-C reaches it only through us."""
    handle = listener.fileno()
    return subprocess.Popen(
        [sys.executable, "-m", "acontext_plugins.server", str(handle)],
        pass_fds=[handle],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "ACONTEXT_SERVER__WORKERS": "1"},
    )
