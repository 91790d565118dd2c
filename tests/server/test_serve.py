"""`acontext serve` as a process: it starts, says where, stops in order, and loses nothing when it is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.wire.conftest import KEY, free_port, running, until_healthy

COMMAND = str(Path(sys.executable).parent / "acontext")
HEADERS = {"authorization": f"Bearer {KEY}"}


@contextlib.contextmanager
def process(folder: Path, port: int, *options: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """A server that the test itself ends."""
    child = subprocess.Popen(
        [COMMAND, "serve", "--url", f"sqlite:///{folder}/served.db", "--port", str(port), *options],
        cwd=folder,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


def test_it_says_where_it_listens_and_with_which_key(tmp_path: Path) -> None:
    port = free_port()
    with process(tmp_path, port) as child:
        until_healthy(child, port)
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/ping", headers=HEADERS)
        assert answer.json()["msg"] == "pong"
        child.send_signal(signal.SIGINT)
        said, _ = child.communicate(timeout=60)
    assert f"http://127.0.0.1:{port}/api/v1" in said
    assert KEY in said
    assert "all that was recorded is kept" in said
    assert child.returncode == 0


def test_what_it_cannot_do_it_says_in_a_sentence(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with process(tmp_path, port) as child:
            said, _ = child.communicate(timeout=60)
        assert child.returncode == 2
        assert f"port {port}" in said
        assert "Traceback" not in said
    with process(tmp_path, port, "--host", "0.0.0.0") as child:
        said, _ = child.communicate(timeout=60)
    assert child.returncode == 2
    assert "acontext keys create" in said


def test_a_request_that_has_begun_is_answered_before_it_stops(tmp_path: Path) -> None:
    port = free_port()
    with process(tmp_path, port) as child:
        until_healthy(child, port)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            head = f"POST /api/v1/session HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n"
            rest = "content-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
            connection.sendall((head + rest).encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 100")  # from here on the route waits for the body
            child.terminate()
            until_closed(port)
            connection.sendall(b"{}")
            assert connection.recv(1000).startswith(b"HTTP/1.1 201")
        child.communicate(timeout=60)
    assert child.returncode == 0


def test_who_says_stop_while_it_starts_is_heard(tmp_path: Path) -> None:
    with process(tmp_path, free_port()) as child:
        assert child.stdout is not None
        assert "listening" in child.stdout.readline()  # the port is bound, the database is not open yet
        child.terminate()
        said, _ = child.communicate(timeout=60)
    assert child.returncode in (0, -signal.SIGTERM), said
    assert "Traceback" not in said


def test_so_are_those_who_say_it_to_workers_that_start(tmp_path: Path) -> None:
    port = free_port()
    with process(tmp_path, port, "--workers", "2") as child:
        workers_of(port, 2)
        child.terminate()
        said, _ = child.communicate(timeout=60)
    assert child.returncode == 0, said
    assert "Traceback" not in said


def until_closed(port: int) -> None:
    """Returns when nobody listens there any more."""
    deadline = time.monotonic() + 60
    with contextlib.suppress(ConnectionRefusedError):
        while time.monotonic() < deadline:
            socket.create_connection(("127.0.0.1", port)).close()
            time.sleep(0.02)
        raise AssertionError("it still listens")


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_by_kills(tmp_path: Path) -> None:
    port = free_port()
    acknowledged: list[str] = []
    session_id = ""
    for round_ in range(3):
        with process(tmp_path, port) as child:
            until_healthy(child, port)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", headers=HEADERS, timeout=30) as client:
                if not session_id:
                    session_id = client.post("/session").json()["data"]["id"]
                killer = threading.Timer(0.7, child.kill)
                killer.start()
                with contextlib.suppress(httpx.HTTPError):
                    for number in range(100_000):
                        blob = {"role": "user", "content": f"{round_} {number}"}
                        answer = client.post(f"/session/{session_id}/messages", json={"blob": blob})
                        acknowledged.append(answer.json()["data"]["id"])
                killer.join()
    with running(tmp_path, port=port) as served:
        page = httpx.get(f"{served.url}/session/{session_id}/messages", headers=HEADERS, timeout=60).json()["data"]
    assert set(acknowledged) <= set(page["ids"])
    assert len(acknowledged) > 3


@pytest.mark.slow
def test_several_workers_answer_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "2") as served:
        gone, *left = workers_of(served.port, 2)
        with httpx.Client(base_url=served.url, headers=HEADERS, timeout=60) as client:
            session_id = client.post("/session").json()["data"]["id"]
            os.kill(gone, signal.SIGKILL)
            assert set(left) < workers_of(served.port, 2, without=gone)
            for number in range(10):
                given = {"blob": {"role": "user", "content": str(number)}}
                with httpx.Client(base_url=served.url, headers=HEADERS, timeout=60) as another:
                    assert another.post(f"/session/{session_id}/messages", json=given).status_code == 201
            assert len(client.get(f"/session/{session_id}/messages").json()["data"]["ids"]) == 10


def workers_of(port: int, count: int, *, without: int = 0) -> set[int]:
    """The processes that listen there, as soon as there are so many, and one has gone."""
    deadline = time.monotonic() + 60
    while True:
        found = {
            int(folder.name)
            for folder in Path("/proc").iterdir()
            if folder.name.isdigit()
            and b"acontext_plugins.server" in _command_line(folder)
            and _environment(folder).get(b"ACONTEXT_SERVER__PORT") == str(port).encode()
        }
        if len(found) == count and without not in found:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def _command_line(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""


def _environment(folder: Path) -> dict[bytes, bytes]:
    try:
        lines = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(line.split(b"=", 1) for line in lines if b"=" in line)


def test_clients_that_dawdle_are_let_go(tmp_path: Path) -> None:
    settings = {
        "ACONTEXT_SERVER__HEADER_TIMEOUT": "0.5",
        "ACONTEXT_SERVER__BODY_GRACE": "0.5",
        "ACONTEXT_SERVER__BODY_RATE": "100000",
    }
    port = free_port()
    with process(tmp_path, port, **settings) as child:
        until_healthy(child, port)
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.settimeout(60)
            assert silent.recv(100) == b"", "it is not waited for a client that says nothing"
        for whole in (b"", b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as slow:
                slow.settimeout(60)
                slow.sendall(whole)
                answer = b""
                while whole and not answer.endswith(b'"msg":"ok"}'):
                    answer += slow.recv(1000)
                slow.sendall(b"GET /health HT")  # the first one, or after another one
                first, _, body = everything(slow).partition(b"\r\n\r\n")
            assert first.startswith(b"HTTP/1.1 408")
            assert "too slowly" in json.loads(body)["msg"]
        for head, status, words in (
            (b"what is this?\r\n\r\n", b"400", "no HTTP"),
            (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414", "64 kB"),
            (b"GET /health HTTP/1.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n", b"431", "64 kB"),
        ):
            with socket.create_connection(("127.0.0.1", port)) as confused:
                confused.settimeout(60)
                confused.sendall(head)
                first, _, body = everything(confused).partition(b"\r\n\r\n")
            assert first.startswith(b"HTTP/1.1 " + status)
            assert words in json.loads(body)["msg"]
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.settimeout(60)
            head = f"POST /api/v1/session HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n"
            slow.sendall(f"{head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{{".encode())
            answer = everything(slow)
        assert answer.startswith(b"HTTP/1.1 408")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "timeout"
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    answer = b""
    while piece := connection.recv(1000):
        answer += piece
    return answer
