"""A server as users start it, and the SDK that none of us wrote. Its versions have environments of their own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

KEY = "sk-ac-your-root-api-bearer-token"
#: The port of the seed's snippets.
_FIRST = 8029
_COMMAND = str(Path(sys.executable).parent / "acontext")


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    port: int
    database: Path

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/api/v1"


@contextlib.contextmanager
def running(folder: Path, *options: str, port: int | None = None, **settings: str) -> Iterator[Served]:
    """`acontext serve` in a process of its own with these settings, stopped in the end as an operator would."""
    database = folder / "served.db"
    port = port or free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACONTEXT_")}
    process = subprocess.Popen(
        [_COMMAND, "serve", "--url", f"sqlite:///{database}", "--port", str(port), *options],
        cwd=folder,
        env={**environment, "ACONTEXT_LEARN__QUIET": "0", "ACONTEXT_OBSERVE__QUIET": "0.1", **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until_healthy(process, port)
        yield Served(port, database)
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        assert "Traceback" not in output, output


def until_healthy(process: subprocess.Popen[str], port: int) -> None:
    """Returns when the server answers."""
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as response:
                assert response.status == 200
                return
        except OSError:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)


def free_port(*wanted: int) -> int:
    """The first of those wanted that is free, else another below the ephemeral ones."""
    for port in (*wanted, *range(12_000 + os.getpid() * 16 % 18_000, 32_000)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pytest.importorskip("acontext", reason="the SDK has environments of its own: python -m tests.envs sdk-0.0.8")
    with first_port() as port, running(tmp_path_factory.mktemp("served"), port=port) as server:
        yield server


@contextlib.contextmanager
def first_port() -> Iterator[int]:
    """The SDK's own port, while no other run of these tests has it; else another one."""
    with (Path(tempfile.gettempdir()) / f"acontext-tests-{_FIRST}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield free_port()
        else:
            yield free_port(_FIRST)
