"""The other processes of `acontext bench --http`: one that sends requests, and one that answers with what it was given.

`python -m acontext_plugins.bench.load load` reads a plan a line and prints what came of it;
`python -m acontext_plugins.bench.load bare PORT FILE` is the bare server.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class LoadPlan:
    """So many connections, each of which sends its request again as soon as it is answered."""

    port: int
    #: What each connection sends, as HTTP has it.
    requests: list[str]
    #: It ends after so many seconds, or so many answers.
    seconds: float
    most: int = 1_000_000_000


@dataclass(frozen=True)
class LoadResult:
    """What came of a plan. Times are in microseconds."""

    rate: float
    p50: float
    p99: float
    answers: int
    #: Answers that were no 2xx.
    refused: int


class _Connection(asyncio.Protocol):
    """One client: keeps its connection, and has one request on its way. No HTTP library, so that the client is not
    what is measured."""

    def __init__(self, request: bytes, run: _Run) -> None:
        self._request = request
        self._run = run
        self._buffer = b""
        self._transport: Any = None
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.finished(self)

    def ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0 or len(buffer) < end + 4 + _length(buffer[:end]):
            self._buffer = buffer
            return
        moment = time.perf_counter()
        self._buffer = b""
        run = self._run
        run.times.append(moment - self._began)
        if buffer[9:10] != b"2":
            run.refused += 1
        if moment < run.until and len(run.times) < run.most:
            self._began = moment
            self._transport.write(self._request)
        else:
            run.finished(self)

    def close(self) -> None:
        self._transport.close()


def _length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError(f"an answer without a length: {head[:200]!r}")
    return int(head[at + 17 :].partition(b"\r\n")[0])


class _Run:
    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self.times: list[float] = []
        self.refused = 0
        self.until = 0.0
        self.most = plan.most
        self._open: set[_Connection] = set()
        self._over = asyncio.Event()

    def finished(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._over.set()

    async def go(self) -> LoadResult:
        loop = asyncio.get_running_loop()
        connections = []
        for request in self.plan.requests:
            text = request.encode()
            _, connection = await loop.create_connection(
                lambda text=text: _Connection(text, self),  # type: ignore[misc]
                "127.0.0.1",
                self.plan.port,
            )
            connections.append(connection)
        self._open = set(connections)
        begun = time.perf_counter()
        self.until = begun + self.plan.seconds
        for connection in connections:
            connection.ask()
        await self._over.wait()
        took = time.perf_counter() - begun
        for connection in connections:
            connection.close()
        times = sorted(self.times)
        return LoadResult(
            rate=len(times) / took,
            p50=times[len(times) // 2] * 1e6,
            p99=times[min(len(times) - 1, int(len(times) * 0.99))] * 1e6,
            answers=len(times),
            refused=self.refused,
        )


def load() -> None:
    """Do what each line says, until there are no more."""
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    gc.disable()
    for line in sys.stdin:
        done = asyncio.run(_Run(LoadPlan(**json.loads(line))).go())
        sys.stdout.write(json.dumps(asdict(done)) + "\n")
        sys.stdout.flush()
        gc.collect()


def bare(port: int, file: str) -> None:
    """FastAPI with nothing behind it: routes that return the JSON they were given, under the same settings.

    Each is there as people write it, and below `/quick` with its return type declared, which FastAPI encodes faster.
    """
    import uvicorn
    from fastapi import FastAPI

    from acontext_plugins.server.run import bound, config_of
    from acontext_plugins.settings import Settings

    given = json.loads(Path(file).read_text())
    app = FastAPI()

    for name, said in given.items():
        _add(app, name, said)

    with bound("127.0.0.1", port) as listener:
        uvicorn.Server(config_of(app, Settings())).run(sockets=[listener])


def _add(app: Any, name: str, said: dict[str, Any]) -> None:
    @app.get(f"/{name}", response_model=None)  # type: ignore[untyped-decorator]
    async def read() -> Any:
        return said

    @app.get(f"/quick/{name}")  # type: ignore[untyped-decorator]
    async def read_quickly() -> dict[str, Any]:
        return said

    @app.post(f"/{name}", status_code=201, response_model=None)  # type: ignore[untyped-decorator]
    async def write(body: dict[str, Any]) -> Any:
        return said

    @app.post(f"/quick/{name}", status_code=201)  # type: ignore[untyped-decorator]
    async def write_quickly(body: dict[str, Any]) -> dict[str, Any]:
        return said


if __name__ == "__main__":
    if sys.argv[1] == "load":
        load()
    else:
        bare(int(sys.argv[2]), sys.argv[3])
