"""A provider in the process: answers requests of chat completions and responses as a script says.

`transport` is a mock of the HTTP library that the installed SDK runs on.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from openai import OpenAI

#: openai 3 runs on httpx2, older ones on httpx.
httpx: Any = importlib.import_module(next(k for k in OpenAI.__init__.__globals__ if k in ("httpx2", "httpx")))
Json = dict[str, Any]
FINAL = {"created": 1, "model": "m"}


@dataclass(frozen=True)
class Tool:
    """The model calls a tool."""

    name: str
    id: str
    arguments: str = '{"city":"Oslo"}'


@dataclass(frozen=True)
class Status:
    """The provider refuses with an HTTP status."""

    code: int
    words: str = "overloaded"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """A stream that ends in the middle, with this error where there is one."""

    words: str
    error: Exception | None = None


Step = str | Sequence[Tool] | Status | Cut | Exception | Json


class Provider:
    """What it was asked is in `bodies`; what it says comes from `steps`, one for each request, then "ok"."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.bodies: list[Json] = []
        self.requests: list[Any] = []

    def __call__(self, request: Any) -> Any:
        self.requests.append(request)
        path = request.url.path
        if request.method != "POST" or not path.endswith(("/chat/completions", "/responses")):
            return self.other(request)
        body = json.loads(request.content)
        self.bodies.append(body)
        step: Step = self.steps.pop(0) if self.steps else "ok"
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Status):
            error = {"error": {"message": step.words, "type": "server_error"}}
            return httpx.Response(step.code, json=error, headers=step.headers)
        number = len(self.bodies)
        events = chat_events if path.endswith("/chat/completions") else response_events
        whole = chat_answer if path.endswith("/chat/completions") else response_answer
        if not body.get("stream"):
            return httpx.Response(200, json=step if isinstance(step, dict) else whole(step, number))
        lines = [f"data: {json.dumps(event)}\n\n".encode() for event in events(step, number)]
        if not isinstance(step, Cut) and path.endswith("/chat/completions"):
            lines.append(b"data: [DONE]\n\n")
        error = step.error if isinstance(step, Cut) else None
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream(lines, error))

    def other(self, request: Any) -> Any:
        """Requests that are no call of a model."""
        return httpx.Response(200, json={"path": request.url.path, "object": "list", "data": []})

    @property
    def prompts(self) -> list[str]:
        """All text of each request."""
        return [prompt(body) for body in self.bodies]

    async def asynchronously(self, request: Any) -> Any:
        return self(request)


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):  # type: ignore[misc]
    """Chunks, and whether somebody has closed it."""

    def __init__(self, lines: Sequence[bytes], error: Exception | None = None) -> None:
        self.lines = list(lines)
        self.error = error
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self.lines
        if self.error is not None:
            raise self.error

    async def __aiter__(self) -> Any:
        for line in self.lines:
            yield line
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def prompt(body: Json) -> str:
    items = body.get("messages") or body.get("input") or []
    if isinstance(items, str):
        items = [{"content": items}]
    return "\n".join([str(body.get("instructions")), *(text(item.get("content")) for item in items)])


def text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content)
    return str(content)


# -- chat completions
def chat_answer(step: Any, number: int) -> Json:
    message: Json = {"role": "assistant", "content": step if isinstance(step, str) else None}
    if not isinstance(step, str):
        message["tool_calls"] = [
            {"id": tool.id, "type": "function", "function": {"name": tool.name, "arguments": tool.arguments}}
            for tool in step
        ]
    finish = "stop" if isinstance(step, str) else "tool_calls"
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {**FINAL, "id": f"chat{number}", "object": "chat.completion", "choices": [choice]}


def chat_events(step: Any, number: int) -> Iterator[Json]:
    base = {**FINAL, "id": f"chat{number}", "object": "chat.completion.chunk"}

    def delta(finish: str | None = None, **content: Any) -> Json:
        return {**base, "choices": [{"index": 0, "delta": content, "finish_reason": finish}]}

    yield delta(role="assistant", content="")
    words = step if isinstance(step, str) else step.words if isinstance(step, Cut) else None
    if words is not None:
        for word in words.split(" "):
            yield delta(content=word if word == words.split(" ")[0] else f" {word}")
    else:
        for at, tool in enumerate(step):
            function = {"name": tool.name, "arguments": ""}
            yield delta(tool_calls=[{"index": at, "id": tool.id, "type": "function", "function": function}])
            for half in (tool.arguments[:4], tool.arguments[4:]):
                yield delta(tool_calls=[{"index": at, "function": {"arguments": half}}])
    if not isinstance(step, Cut):
        yield delta("stop" if words is not None else "tool_calls")
        yield {**base, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}


# -- responses
def response_answer(step: Any, number: int, status: str = "completed") -> Json:
    if isinstance(step, str):
        content = [{"type": "output_text", "text": step, "annotations": []}]
        output: list[Json] = [
            {"type": "message", "id": f"msg{number}", "role": "assistant", "status": "completed", "content": content}
        ]
    else:
        output = [
            {
                "type": "function_call",
                "id": f"fc_{tool.id}",
                "call_id": tool.id,
                "name": tool.name,
                "arguments": tool.arguments,
                "status": "completed",
            }
            for tool in step
        ]
    return {
        "id": f"resp{number}",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": status,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
    }


def response_events(step: Any, number: int) -> Iterator[Json]:
    numbers = iter(range(1000))

    def event(kind: str, **more: Any) -> Json:
        return {"type": kind, "sequence_number": next(numbers), **more}

    words = step.words if isinstance(step, Cut) else step
    whole = response_answer(words, number)
    begun = {**whole, "status": "in_progress", "output": []}
    yield event("response.created", response=begun)
    for at, item in enumerate(whole["output"]):
        where = {"item_id": item["id"], "output_index": at}
        if item["type"] == "message":
            yield event("response.output_item.added", output_index=at, item={**item, "content": []})
            part = {"type": "output_text", "text": "", "annotations": []}
            yield event("response.content_part.added", content_index=0, part=part, **where)
            said = item["content"][0]["text"]
            yield event("response.output_text.delta", content_index=0, delta=said, logprobs=[], **where)
            if isinstance(step, Cut):
                return
            yield event("response.output_text.done", content_index=0, text=said, logprobs=[], **where)
            yield event("response.content_part.done", content_index=0, part=item["content"][0], **where)
        else:
            yield event("response.output_item.added", output_index=at, item={**item, "arguments": ""})
            yield event("response.function_call_arguments.delta", delta=item["arguments"], **where)
            done = {"arguments": item["arguments"], "name": item["name"]}
            yield event("response.function_call_arguments.done", **done, **where)
        yield event("response.output_item.done", output_index=at, item=item)
    yield event("response.completed", response=whole)
