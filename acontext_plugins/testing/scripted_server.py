"""An endpoint on loopback that speaks OpenAI's HTTP and says what a script says: real requests, and no model.

>>> with ScriptedServer([{"tasks": []}, Status(429, headers={"retry-after": "2"})]) as server:
...     settings = LLMSettings(model="openai/scripted", base_url=server.url, api_key="any")
"""

from __future__ import annotations

import json
import select
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from acontext_store.types import Json

from ..llm.base import Reply
from .scripted_llm import Scripted, reply_of, usage_of


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: Json

    @property
    def messages(self) -> list[Json]:
        """The messages of the request; empty where it has none."""
        return list(self.body.get("messages") or ())

    @property
    def answer_name(self) -> str:
        """The name of the JSON schema that the answer shall follow, "" where there is none."""
        wanted = self.body.get("response_format") or {}
        return str((wanted.get("json_schema") or {}).get("name") or "")

    @property
    def prompt(self) -> str:
        """All of the body, as text."""
        return json.dumps(self.body, ensure_ascii=False)


@dataclass(frozen=True)
class Status:
    """The endpoint answers with an error. `code` is the provider's own word for it, like "insufficient_quota"."""

    status: int = 500
    words: str = "scripted failure"
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """The model declines, as OpenAI's says it beside an answer that should follow a schema."""

    words: str = "I cannot help with that."


@dataclass(frozen=True)
class Raw:
    """A body that may be anything, with status 200."""

    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True)
class Cut:
    """The connection ends after `after` bytes of the answer's body; with None, before the answer begins."""

    after: int | None = None


@dataclass(frozen=True)
class Hang:
    """No answer until `go` is set, then "ok". `begun` is set when a client waits, `gone` when it has left."""

    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)


Step = Scripted | Status | Refusal | Raw | Cut | Hang
Script = Callable[[Asked], Step]
#: Texts -> vectors.
Vectors = Callable[[Sequence[str]], Sequence[Sequence[float]]]


class HttpExchange(BaseHTTPRequestHandler):
    """One HTTP request to the scripted server, and the ways of answering it. `status` is an HTTP status code."""

    scripted: ScriptedServer
    protocol_version = "HTTP/1.1"
    #: Else the body of an answer waits 40 ms for the acknowledgement of its head.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: requests are in `ScriptedServer.seen`."""

    def do_POST(self) -> None:
        """Read the request and have the server answer it."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.scripted.respond(self, self.scripted.asked(self.path, headers, body))

    def json(self, status: int, body: Json, headers: dict[str, str] | None = None) -> None:
        """Answer with a JSON body."""
        self.send(status, json.dumps(body).encode(), {"content-type": "application/json", **(headers or {})})

    def error(self, step: Status) -> None:
        """Answer with an error in the form of OpenAI's."""
        error = {"message": step.words, "type": "scripted", "param": None, "code": step.code or None}
        self.json(step.status, {"error": error}, step.headers)

    def send(self, status: int, payload: bytes, headers: dict[str, str]) -> None:
        """Answer with these bytes; a client that has left is no error."""
        try:
            self._head(status, len(payload), headers)
            self.wfile.write(payload)
        except OSError:
            self.close_connection = True

    def cut(self, body: Json, step: Cut) -> None:
        """End the connection before all of the body is out."""
        self.close_connection = True
        payload = json.dumps(body).encode()
        if step.after is not None:
            self._head(200, len(payload), {"content-type": "application/json"})
            self.wfile.write(payload[: step.after])
            self.wfile.flush()

    def wait(self, step: Hang) -> None:
        """Block until `step.go` is set, or the client closes the connection (`step.gone`)."""
        step.begun.set()
        while not step.go.wait(0.01):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1):
                step.gone.set()
                self.close_connection = True
                return

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(length))
        self.end_headers()


class ScriptedServer:
    """Answers chat completions by a function of the request, or one line of a list after the other.

    `url` is what `llm.base_url` wants; `seen` holds all that was asked. Embeddings are made by `vectors`, after the
    script had its say where it is a function. `delay` = seconds that each answer takes. A subclass may speak other
    wires: see `respond`.
    """

    #: What each request is handled with.
    exchange: type[HttpExchange] = HttpExchange

    def __init__(
        self, script: Script | Iterable[Step] = (), *, vectors: Vectors | None = None, delay: float = 0.0
    ) -> None:
        self.seen: list[Asked] = []
        self.delay = delay
        self._script: Script | None = script if callable(script) else None
        self._steps: list[Step] = [] if callable(script) else list(script)
        self._vectors = vectors
        self._lock = threading.Lock()
        handler = type("Handler", (self.exchange,), {"scripted": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """The base URL on loopback, with a free port: what `llm.base_url` wants."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def say(self, *steps: Step) -> None:
        """What the next requests are answered with, one each. What was seen is forgotten."""
        with self._lock:
            self._steps[:] = steps
            self.seen.clear()

    def asked(self, path: str, headers: dict[str, str], body: Json) -> Asked:
        """A request as `seen` holds it."""
        return Asked(path, headers, body)

    def next(self, asked: Asked, otherwise: Step | None = None) -> Step:
        """What this request is answered with; `otherwise`, where the script has no line for it."""
        with self._lock:
            self.seen.append(asked)
            if self._script is None:
                missing = Status(500, f"the script has no line for this request: {asked.path}")
                return self._steps.pop(0) if self._steps else missing if otherwise is None else otherwise
        return self._script(asked)

    def respond(self, exchange: HttpExchange, asked: Asked) -> None:
        """Answer it. What speaks other wires does it here."""
        if self._vectors is not None and asked.path.endswith("/embeddings"):
            step = self._embeddings(asked)
        else:
            step = self.next(asked)
        if self.delay:
            time.sleep(self.delay)
        if isinstance(step, BaseException):
            step = Status(500, str(step))
        if isinstance(step, Hang):
            exchange.wait(step)
            step = "ok"
        if isinstance(step, Status):
            exchange.error(step)
        elif isinstance(step, Raw):
            exchange.send(200, step.body, {"content-type": step.content_type})
        elif isinstance(step, Cut):
            exchange.cut(completion(asked, Reply(text="cut")), step)
        elif isinstance(step, Refusal):
            exchange.json(200, completion(asked, Reply(), refusal=step.words))
        elif asked.path.endswith("/embeddings"):
            exchange.json(200, step if isinstance(step, dict) else {})
        else:
            exchange.json(200, completion(asked, reply_of(step)))

    def _embeddings(self, asked: Asked) -> Step:
        if self._script is not None:
            step = self.next(asked)
            if not isinstance(step, str) or step:
                return step
        else:
            with self._lock:
                self.seen.append(asked)
                if self._steps:
                    return self._steps.pop(0)
        assert self._vectors is not None
        given = asked.body["input"]
        texts = [given] if isinstance(given, str) else list(given)
        data = [
            {"object": "embedding", "index": number, "embedding": list(vector)}
            for number, vector in enumerate(self._vectors(texts))
        ]
        tokens = sum(len(text) for text in texts) // 4
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "model": asked.body.get("model"), "data": data, "usage": usage}

    def start(self) -> Self:
        """Serve requests on a thread, until `close`."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop serving, and wait for the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients leave; that is what they are tested with."""


def completion(asked: Asked, reply: Reply, *, refusal: str | None = None) -> Json:
    """The body of a chat completion."""
    usage = usage_of(asked.messages, reply)
    message = {**reply.message, "refusal": refusal}
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": reply.model or asked.body.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish}],
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        },
    }
