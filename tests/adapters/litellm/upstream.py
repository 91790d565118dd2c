"""A provider of models on loopback that says what a script tells it, in three wires: chat, responses, messages."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from acontext_plugins.testing.scripted_server import Asked, HttpExchange, ScriptedServer, Status

Json = dict[str, Any]

#: What LiteLLM itself warns of, in some versions: its own types, answers that it has put together, and log events that
#: still wait in its worker when the loop of a test ends.
LITELLMS_WARNINGS = (
    r"ignore:coroutine 'Logging\.async_\w+' was never awaited:RuntimeWarning",
    r"ignore:Exception ignored in. <coroutine object Logging\.async_:pytest.PytestUnraisableExceptionWarning",
    r"ignore:Items? '.+' on TypedDict class '\w+' (is|are) using the `ReadOnly` qualifier:UserWarning",
    r"ignore:Pydantic serializer warnings:UserWarning",
)


@dataclass(frozen=True)
class Call:
    """The model calls a tool."""

    name: str
    id: str
    arguments: Json = field(default_factory=lambda: {"city": "Oslo"})

    @property
    def text(self) -> str:
        return json.dumps(self.arguments, separators=(",", ":"))


@dataclass(frozen=True)
class Refused:
    """The provider answers with an error."""

    status: int = 500
    words: str = "scripted failure"


@dataclass(frozen=True)
class Slow:
    """Words that stop after the first of them, until `go` is set. `gone` is set when the reader has left."""

    words: str
    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Broken:
    """The connection ends in the middle of a stream."""

    words: str


@dataclass(frozen=True)
class Items:
    """Items of the Responses API as they are, tools that the provider has run for instance, and words behind them."""

    items: Sequence[Json]
    words: str = ""


Step = str | Sequence[Call] | Refused | Slow | Broken | Items


class Request(Asked):
    """What the provider was asked."""

    @property
    def system(self) -> str:
        """All that the model was told beside the conversation."""
        if "responses" in self.path:
            return _words(self.body.get("instructions"))
        if "system" in self.body:
            return _words(self.body["system"])
        told = [m for m in self.body.get("messages", []) if m["role"] in ("system", "developer")]
        return "\n".join(_words(m["content"]) for m in told)


def _words(content: Any) -> str:
    if isinstance(content, list):
        return "\n\n".join(piece.get("text", "") for piece in content)
    return content or ""


class _Streaming(HttpExchange):
    """Answers in pieces, too."""

    def stream(self, events: Iterator[Json], step: Step) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("connection", "close")  # said, so that no client asks again on a connection that is closing
        self.end_headers()
        try:
            for event in events:
                if event == _PAUSE:
                    if isinstance(step, Broken):
                        return
                    assert isinstance(step, Slow)
                    step.begun.set()
                    self._wait(step)
                    continue
                name = f"event: {event['type']}\n" if "type" in event else ""
                self._chunk(f"{name}data: {json.dumps(event)}\n\n")
            if "chat" in self.path:
                self._chunk("data: [DONE]\n\n")
            self._chunk("")
        except OSError:
            if isinstance(step, Slow):
                step.gone.set()

    def _wait(self, step: Slow) -> None:
        """Until the script says go; what is written meanwhile tells when nobody reads any more."""
        for _ in range(3000):
            if step.go.wait(0.01):
                return
            self._chunk(": still there\n\n")

    def _chunk(self, text: str) -> None:
        payload = text.encode()
        self.wfile.write(f"{len(payload):x}\r\n".encode() + payload + b"\r\n")
        self.wfile.flush()


class Upstream(ScriptedServer):
    """`with Upstream() as upstream: upstream.say("It is 21C.")`; `upstream.url` ends in /v1.

    When all steps are said, it says "ok".
    """

    exchange = _Streaming

    def asked(self, path: str, headers: dict[str, str], body: Json) -> Request:
        return Request(path, headers, body)

    def respond(self, exchange: HttpExchange, asked: Asked) -> None:
        assert isinstance(exchange, _Streaming)
        step: Any = self.next(asked, otherwise="ok")
        if isinstance(step, Refused):
            exchange.error(Status(step.status, step.words))
            return
        wire = _responses if "responses" in asked.path else _messages if "messages" in asked.path else _chat
        if asked.body.get("stream"):
            exchange.stream(wire(asked.body, step, streamed=True), step)
        else:
            if isinstance(step, Slow):
                step.begun.set()
                step.go.wait(30)
            (whole,) = wire(asked.body, step, streamed=False)
            exchange.json(200, whole)


# -- the wires. A step as the events of a stream, or as one object.
_PAUSE: Json = {"pause": True}


def _spoken(step: Step) -> list[str]:
    words = step if isinstance(step, str) else step.words if isinstance(step, Slow | Broken | Items) else ""
    return words.split(" ") if words else []


def _calls(step: Step) -> list[Call]:
    return [] if isinstance(step, str | Slow | Broken | Refused | Items) else list(step)


def _pieces(step: Step) -> Iterator[str | None]:
    """The words one by one; None where the stream stops."""
    for at, word in enumerate(_spoken(step)):
        if at == 1 and isinstance(step, Slow | Broken):
            yield None
        yield word if at == 0 else f" {word}"


def _chat(body: Json, step: Step, *, streamed: bool) -> Iterator[Json]:
    calls = _calls(step)
    base = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    finish = "tool_calls" if calls else "stop"
    made = [{"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.text}} for c in calls]
    if not streamed:
        message: Json = {"role": "assistant", "content": " ".join(_spoken(step)) or None}
        if made:
            message["tool_calls"] = made
        choice = {"index": 0, "message": message, "finish_reason": finish}
        yield {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
        return
    base["object"] = "chat.completion.chunk"

    def delta(content: Json, why: str | None = None) -> Json:
        return {**base, "choices": [{"index": 0, "delta": content, "finish_reason": why}]}

    yield delta({"role": "assistant", "content": ""})
    for piece in _pieces(step):
        yield _PAUSE if piece is None else delta({"content": piece})
    for at, call in enumerate(made):
        half = len(call["function"]["arguments"]) // 2
        first = {**call, "function": {**call["function"], "arguments": call["function"]["arguments"][:half]}}
        yield delta({"tool_calls": [{"index": at, **first}]})
        yield delta({"tool_calls": [{"index": at, "function": {"arguments": call["function"]["arguments"][half:]}}]})
    yield delta({}, finish)
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**base, "choices": [], "usage": usage}


def _responses(body: Json, step: Step, *, streamed: bool) -> Iterator[Json]:
    text = " ".join(_spoken(step))
    output: list[Json] = [
        {
            "type": "function_call",
            "id": f"fc_{c.id}",
            "call_id": c.id,
            "name": c.name,
            "arguments": c.text,
            "status": "completed",
        }
        for c in _calls(step)
    ]
    if text:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        output = [
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content},
            *output,
        ]
    if isinstance(step, Items):
        output = [*step.items, *output]
    whole = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": body["model"],
        "status": "completed",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 5,
            "output_tokens": 3,
            "total_tokens": 8,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "temperature": 1,
        "top_p": 1,
    }
    if not streamed:
        yield whole
        return
    number = iter(range(10_000))

    def event(kind: str, **more: Any) -> Json:
        return {"type": kind, "sequence_number": next(number), **more}

    begun = {**whole, "status": "in_progress", "output": []}
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    for at, item in enumerate(output):
        empty_fields = {"message": {"content": []}, "function_call": {"arguments": ""}}
        bare = {**item, **empty_fields.get(item["type"], {})}
        yield event("response.output_item.added", output_index=at, item={**bare, "status": "in_progress"})
        where = {"item_id": item["id"], "output_index": at}
        if item["type"] == "message":
            empty = {"type": "output_text", "text": "", "annotations": []}
            yield event("response.content_part.added", content_index=0, part=empty, **where)
            for piece in _pieces(step):
                if piece is None:
                    yield _PAUSE
                else:
                    yield event("response.output_text.delta", content_index=0, delta=piece, **where)
            yield event("response.output_text.done", content_index=0, text=text, **where)
            yield event("response.content_part.done", content_index=0, part=item["content"][0], **where)
        elif item["type"] == "function_call":
            yield event("response.function_call_arguments.delta", delta=item["arguments"], **where)
            yield event("response.function_call_arguments.done", arguments=item["arguments"], **where)
        yield event("response.output_item.done", output_index=at, item=item)
    yield event("response.completed", response=whole)


def _messages(body: Json, step: Step, *, streamed: bool) -> Iterator[Json]:
    calls = _calls(step)
    text = " ".join(_spoken(step))
    blocks: list[Json] = [{"type": "text", "text": text}] if text else []
    blocks += [{"type": "tool_use", "id": c.id, "name": c.name, "input": c.arguments} for c in calls]
    why = "tool_use" if calls else "end_turn"
    whole = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": blocks,
        "stop_reason": why,
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 3},
    }
    if not streamed:
        yield whole
        return
    yield {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}
    for at, block in enumerate(blocks):
        if block["type"] == "text":
            yield {"type": "content_block_start", "index": at, "content_block": {"type": "text", "text": ""}}
            for piece in _pieces(step):
                if piece is None:
                    yield _PAUSE
                else:
                    yield {
                        "type": "content_block_delta",
                        "index": at,
                        "delta": {"type": "text_delta", "text": piece},
                    }
        else:
            yield {"type": "content_block_start", "index": at, "content_block": {**block, "input": {}}}
            words = json.dumps(block["input"], separators=(",", ":"))
            for half in (words[: len(words) // 2], words[len(words) // 2 :]):
                delta = {"type": "input_json_delta", "partial_json": half}
                yield {"type": "content_block_delta", "index": at, "delta": delta}
        yield {"type": "content_block_stop", "index": at}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": why, "stop_sequence": None},
        "usage": {"output_tokens": 3},
    }
    yield {"type": "message_stop"}
