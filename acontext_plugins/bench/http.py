"""`acontext bench --http`: a server under load, beside a bare FastAPI route that returns the same JSON.

Three processes on loopback: `acontext serve`, the bare server under the same uvicorn settings, and the clients. Rounds
alternate between the two servers, so that what else the machine does falls on both.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from acontext_plugins.remote.paths import at
from acontext_plugins.server.auth import WELL_KNOWN
from acontext_store.open import database_url

from .figures import Figure
from .load import LoadPlan, LoadResult

CLIENTS = (1, 16, 64)
#: The least share of the bare route's rate.
_READS, _WRITES = 0.5, 0.25
_API = "/api/v1"
_HEAD = f"host: localhost\r\nauthorization: Bearer {WELL_KNOWN}\r\n"


def figures(quick: bool) -> Iterator[Figure]:
    """Rates and times of reads and durable writes with 1, 16 and 64 clients, and of one session that grows."""
    with tempfile.TemporaryDirectory(prefix="acontext-bench-") as folder, contextlib.ExitStack() as stack:
        ours = _Ours(Path(folder), stack)
        ours.furnish(max(CLIENTS))
        given = {"page": ours.ask("GET", ours.page), "session": ours.ask("GET", ours.session), "write": ours.write()}
        bare = _bare(Path(folder), given, stack)
        load = _Load(stack)
        yield from _compared(ours, bare, load, seconds=0.5 if quick else 1.5, rounds=1 if quick else 3)
        yield from _grown(ours, load, (10, 100, 1_000, 10_000) if quick else (10, 100, 1_000, 10_000, 100_000))


def _compared(ours: _Ours, bare: int, load: _Load, *, seconds: float, rounds: int) -> Iterator[Figure]:
    kinds: list[tuple[str, float, Callable[[int], list[str]], Callable[[str], str]]] = [
        ("read 20 messages", _READS, lambda n: [_get(ours.page)] * n, lambda way: _get(f"{way}/page")),
        ("read a session", _READS, lambda n: [_get(ours.session)] * n, lambda way: _get(f"{way}/session")),
        (
            "store a message",
            _WRITES,
            lambda n: [_post(path, ours.blob) for path in ours.to[:n]],
            lambda way: _post(f"{way}/write", ours.blob),
        ),
    ]
    for name, share, asked, same in kinds:
        for clients in CLIENTS:
            outcomes: tuple[list[LoadResult], list[LoadResult], list[LoadResult]] = ([], [], [])
            plans = [(ours.port, asked(clients)), (bare, [same("")] * clients), (bare, [same("/quick")] * clients)]
            for _ in range(rounds):
                for (port, requests), done in zip(plans, outcomes, strict=True):
                    done.append(load.run(LoadPlan(port, requests, seconds)))
            rate, raw, quick = map(_rate, outcomes)
            what = f"{name}, {clients} client{'s' if clients > 1 else ''}"
            yield Figure(what, rate, "/s", raw, "bare route", f">= {share:g} of raw", rate >= share * raw)
            yield Figure(f"{what}, to the fastest", rate, "/s", quick, "bare route, return type declared")
            for field in ("p50", "p99"):
                mine, theirs = (statistics.median(getattr(one, field) for one in done) for done in outcomes[:2])
                yield Figure(f"{what}, {field}", mine, "us", theirs, "bare route")


def _rate(outcomes: Sequence[LoadResult]) -> float:
    refused = sum(one.refused for one in outcomes)
    if refused:
        raise RuntimeError(f"{refused} requests were refused")
    return statistics.median(one.rate for one in outcomes)


def _grown(ours: _Ours, load: _Load, sizes: Sequence[int]) -> Iterator[Figure]:
    """Storing one message and reading the newest twenty, as a session grows that nobody observes meanwhile."""
    id = ours.new_session(observed=False)
    path = _API + at("/session/{session}/messages", id)
    writes, reads, there = [], [], 0
    for size in sizes:
        while there < size:
            there += ours.add(id, min(500, size - there))
        writes.append(load.run(LoadPlan(ours.port, [_post(path, ours.blob)], 30, most=300)))
        there += 300
        reads.append(load.run(LoadPlan(ours.port, [_get(f"{path}?limit=20&time_desc=true")], 30, most=300)))
    for name, outcomes in (("store a message", writes), ("read the newest 20", reads)):
        first = outcomes[0].p50
        for size, one in zip(sizes, outcomes, strict=True):
            if size == sizes[0]:
                yield Figure(f"{name} of {size:,}, p50", one.p50, "us")
            else:
                budget = "flat (<= 2x)"
                yield Figure(
                    f"{name} of {size:,}, p50", one.p50, "us", first, f"at {sizes[0]}", budget, one.p50 <= 2 * first
                )


# ------------------------------------------------------------------------------------------- three processes


class _Ours:
    """`acontext serve` on a fresh database, and what it was told."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.port = free_port()
        self.blob = json.dumps({"format": "openai", "blob": {"role": "user", "content": _text(0)}})
        self.to: list[str] = []
        self.page = self.session = ""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ACONTEXT_")}
        command = "from acontext_plugins.cli.main import main; main()"
        url = database_url(folder / "bench.db")
        arguments = ["serve", "--port", str(self.port), "--url", url]
        process = subprocess.Popen(
            [sys.executable, "-c", command, *arguments], cwd=folder, env=environment, stderr=subprocess.DEVNULL
        )
        stack.callback(stop, process)
        until_there(process, self.port, "/health")

    def furnish(self, sessions: int) -> None:
        """A session with messages to be read, and others to write to."""
        reading = self.new_session()
        self.add(reading, 200)
        self.session = _API + at("/session/{session}/configs", reading)
        self.page = _API + at("/session/{session}/messages", reading) + "?limit=20"
        self.to = [_API + at("/session/{session}/messages", self.new_session()) for _ in range(sessions)]

    def new_session(self, *, observed: bool = True) -> str:
        body = json.dumps({"disable_task_tracking": not observed})
        return str(self.ask("POST", "/api/v1/session", body)["data"]["id"])

    def write(self) -> Any:
        """What storing a message is answered with."""
        return self.ask("POST", self.to[0], self.blob)

    def add(self, session_id: str, count: int) -> int:
        parts = [{"role": "user", "parts": [{"type": "text", "text": _text(number)}]} for number in range(count)]
        path = _API + at("/_acontext/session/{session}/messages", session_id)
        self.ask("POST", path, json.dumps({"messages": parts}))
        return count

    def ask(self, method: str, path: str, body: str | None = None) -> Any:
        headers = {"authorization": f"Bearer {WELL_KNOWN}", "content-type": "application/json"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=body.encode() if body is not None else None,
            headers=headers,
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read())


def _bare(folder: Path, given: dict[str, Any], stack: contextlib.ExitStack) -> int:
    port, file = free_port(), folder / "given.json"
    file.write_text(json.dumps(given))
    process = subprocess.Popen([sys.executable, "-m", "acontext_plugins.bench.load", "bare", str(port), str(file)])
    stack.callback(stop, process)
    until_there(process, port, "/page")
    return port


class _Load:
    """The process that sends."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "acontext_plugins.bench.load", "load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(stop, self._process)

    def run(self, plan: LoadPlan) -> LoadResult:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(plan)) + "\n")
        self._process.stdin.flush()
        return LoadResult(**json.loads(self._process.stdout.readline()))


def stop(process: subprocess.Popen[Any]) -> None:
    """End it, and wait for that."""
    process.terminate()
    process.wait(timeout=60)


def until_there(process: subprocess.Popen[Any], port: int, path: str, *, seconds: float = 60) -> None:
    """Wait until it answers there. Raises RuntimeError where it ends before that, or the time is up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("a server of the benchmark did not start") from None
            time.sleep(0.05)


def free_port() -> int:
    """A port below those that the system gives to outgoing connections."""
    for port in range(20_000 + os.getpid() % 5_000, 32_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


def _get(path: str) -> str:
    return f"GET {path} HTTP/1.1\r\n{_HEAD}\r\n"


def _post(path: str, body: str) -> str:
    return f"POST {path} HTTP/1.1\r\n{_HEAD}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"


def _text(number: int) -> str:
    """About 500 bytes."""
    return f"message {number}: " + "the quick brown fox jumps over the lazy dog " * 11
