"""The other processes of `acontext bench --proxy`: a provider that answers at once, and agents that ask it.

`python -m acontext_plugins.bench.proxy_load provider PORT` is the provider; with `agents` instead, it reads a plan a
line and prints what came of it. Both say "ready" first.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .players import CALLS, INSTRUCTIONS, REQUEST, SCHEMAS, completion, order

MODEL = "scripted"


@dataclass(frozen=True)
class AgentPlan:
    """So many agents at once, each of which plays one conversation after another: `CALLS` requests that grow."""

    port: int
    key: str
    agents: int
    #: Conversations of all agents together.
    conversations: int
    #: A number that no conversation had before.
    first: int
    #: The space that the requests name; "" = none.
    space: str = ""


@dataclass(frozen=True)
class AgentResult:
    """What came of a plan: how long each request took (microseconds), and how many were answered with skills."""

    times: list[float]
    with_skills: int


class _Client:
    """A connection that is kept, one request on its way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, plan: AgentPlan) -> None:
        self._reader = reader
        self._writer = writer
        space = f"x-acontext-space: {plan.space}\r\n" if plan.space else ""
        self._head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {plan.key}\r\n{space}content-length: "
        )

    async def ask(self, body: dict[str, Any]) -> tuple[dict[str, Any], bool, float]:
        """The answer, whether it came with skills, and the seconds that it took."""
        data = json.dumps(body).encode()
        request = f"{self._head}{len(data)}\r\n\r\n".encode() + data
        begin = time.perf_counter()
        self._writer.write(request)
        head, answer = await _message(self._reader)
        took = time.perf_counter() - begin
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the proxy answered {head[:40]!r}: {answer[:500]!r}")
        return json.loads(answer), b"\r\nx-acontext-skills: " in head.lower(), took


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head and the body of what comes next."""
    head = await reader.readuntil(b"\r\n\r\n")
    at = head.lower().find(b"\r\ncontent-length:")
    return head, await reader.readexactly(int(head[at + 17 :].partition(b"\r\n")[0])) if at >= 0 else b""


async def _play(plan: AgentPlan) -> AgentResult:
    numbers = iter(range(plan.first, plan.first + plan.conversations))
    times: list[float] = []
    skilled = 0

    async def agent() -> None:
        nonlocal skilled
        reader, writer = await asyncio.open_connection("127.0.0.1", plan.port)
        client = _Client(reader, writer, plan)
        for number in numbers:
            for took, with_skills in [one async for one in _conversation(client, number)]:
                times.append(took * 1e6)
                skilled += with_skills
        writer.close()

    await asyncio.gather(*[agent() for _ in range(plan.agents)])
    return AgentResult(times, skilled)


async def _conversation(client: _Client, number: int) -> Any:
    messages: list[Any] = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": REQUEST.format(number=number)},
    ]
    for _ in range(CALLS):
        answer, with_skills, took = await client.ask({"model": MODEL, "messages": messages, "tools": SCHEMAS})
        yield took, with_skills
        message = answer["choices"][0]["message"]
        messages.append({name: value for name, value in message.items() if value is not None})
        for call in message.get("tool_calls") or ():
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": order(f"A-{number}")})


def agents() -> None:
    """Do what each line says, until there are no more."""
    _ready()
    for line in sys.stdin:
        done = asyncio.run(_play(AgentPlan(**json.loads(line))))
        sys.stdout.write(json.dumps(asdict(done)) + "\n")
        sys.stdout.flush()


async def _provide(port: int) -> None:
    numbers: Iterator[int] = itertools.count(1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                _, body = await _message(reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            messages = json.loads(body)["messages"] if body else []  # LiteLLM also asks for a list of models
            answer = json.dumps(completion(messages, next(numbers))).encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
            writer.write(head.encode() + answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    _ready()
    await server.serve_forever()


def _ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "agents":
        agents()
    else:
        asyncio.run(_provide(int(sys.argv[2])))
