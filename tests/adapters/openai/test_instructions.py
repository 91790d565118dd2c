"""Responses repeat the request's instructions: the host reads its own there, whatever was sent."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from acontext_adapters.testing.memory_clients import MemoryClient
from acontext_plugins.learning import learning

from .scripted import httpx

SKILLS = '<acontext-skills id="1">\nUse when: refund\n</acontext-skills>'
OWN = [None, "Help.", "Hilf, 日本 😀."]


def answer(body: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "output_text", "text": "ok \U0001f600", "annotations": []}
    said = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [text]}
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [said],
        "instructions": body.get("instructions"), "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    }  # fmt: skip


class Echo:
    """A provider that says everything again, whole or in events, in chunks that end anywhere, compressed or not."""

    def __init__(self, *, zipped: bool) -> None:
        self.zipped = zipped
        self.sent: list[str | None] = []

    def __call__(self, request: Any) -> Any:
        body = json.loads(request.content)
        self.sent.append(body.get("instructions"))
        whole = answer(body)
        content, kind = json.dumps(whole).encode(), "application/json"
        if body.get("stream"):
            begun = {**whole, "status": "in_progress", "output": []}
            events = [("response.created", begun), ("response.in_progress", begun), ("response.completed", whole)]
            lines = [
                f"event: {name}\ndata: {json.dumps({'type': name, 'sequence_number': n, 'response': one})}\n\n"
                for n, (name, one) in enumerate(events)
            ]
            content, kind = "".join(lines).encode(), "text/event-stream"
        headers = {"content-type": kind}
        if self.zipped:
            content, headers = gzip.compress(content), {**headers, "content-encoding": "gzip"}
        return httpx.Response(200, headers=headers, stream=_Pieces(content))

    async def asynchronously(self, request: Any) -> Any:
        return self(request)


class _Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):  # type: ignore[misc]
    def __init__(self, content: bytes) -> None:
        self.pieces = [content[at : at + 7] for at in range(0, len(content), 7)]

    def __iter__(self) -> Any:
        yield from self.pieces

    async def __aiter__(self) -> Any:
        for piece in self.pieces:
            yield piece


def asked(own: str | None) -> dict[str, Any]:
    return {"model": "m", "input": "refund it", **({} if own is None else {"instructions": own})}


@pytest.fixture
def memory() -> MemoryClient:
    return MemoryClient(SKILLS)


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("own", OWN)
def test_an_answer_and_the_events_of_a_stream_hold_the_hosts_own(
    own: str | None, zipped: bool, memory: MemoryClient
) -> None:
    echo = Echo(zipped=zipped)
    door = httpx.Client(transport=httpx.MockTransport(echo))
    client = learning(OpenAI(api_key="none", http_client=door), space="s", client=memory)
    said = client.responses.create(**asked(own))
    assert (said.instructions, said.output_text) == (own, "ok 😀")
    events = list(client.responses.create(**asked(own), stream=True))
    assert [event.response.instructions for event in events] == [own] * 3
    assert events[-1].response.output_text == "ok 😀"
    with client.responses.with_streaming_response.create(**asked(own)) as raw:
        assert json.loads(raw.read()).get("instructions") == own
    assert all(SKILLS in (sent or "") for sent in echo.sent)


@pytest.mark.parametrize("own", OWN)
async def test_an_async_client_reads_its_own_too(own: str | None, memory: MemoryClient) -> None:
    echo = Echo(zipped=False)
    door = httpx.AsyncClient(transport=httpx.MockTransport(echo.asynchronously))
    client = learning(AsyncOpenAI(api_key="none", http_client=door), space="s", client=memory)
    assert (await client.responses.create(**asked(own))).instructions == own
    events = [event async for event in await client.responses.create(**asked(own), stream=True)]
    assert [event.response.instructions for event in events] == [own] * 3
    assert all(SKILLS in (sent or "") for sent in echo.sent)


def test_other_words_of_the_provider_stay_as_they_are(memory: MemoryClient) -> None:
    def other(request: Any) -> Any:
        return httpx.Response(200, json={**answer({}), "instructions": "the provider's own"})

    door = httpx.Client(transport=httpx.MockTransport(other))
    client = learning(OpenAI(api_key="none", http_client=door), space="s", client=memory)
    assert client.responses.create(**asked("Help.")).instructions == "the provider's own"
