"""Responses repeat the request's instructions: the host reads its own there, whatever was sent."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
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
    """A provider that says everything again, whole or in events, in chunks that end anywhere, compressed or not.

    `read`: its transport hands out responses that are read already, as mocks and caches do.
    """

    def __init__(self, *, zipped: bool = False, read: bool = False, kind: Any = httpx.Response) -> None:
        self.zipped = zipped
        self.read = read
        self.kind = kind
        self.accepted: list[str] = []
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
        self.accepted.append(request.headers.get("accept-encoding", ""))
        body_of = {"content": content} if self.read else {"stream": _Pieces(content)}
        return self.kind(200, headers=headers, **body_of)

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


@pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("own", OWN)
def test_an_answer_and_the_events_of_a_stream_hold_the_hosts_own(
    own: str | None, zipped: bool, read: bool, memory: MemoryClient
) -> None:
    echo = Echo(zipped=zipped, read=read)
    door = httpx.Client(transport=httpx.MockTransport(echo))
    client = learning(OpenAI(api_key="none", http_client=door), space="s", client=memory)
    said = client.responses.create(**asked(own))
    assert (said.instructions, said.output_text) == (own, "ok 😀")
    events = list(client.responses.create(**asked(own), stream=True))
    assert [event.response.instructions for event in events] == [own] * 3
    assert events[-1].response.output_text == "ok 😀"
    with client.responses.with_streaming_response.create(**asked(own)) as raw:
        assert json.loads(raw.read()).get("instructions") == own
    with client.responses.with_streaming_response.create(**asked(own), stream=True) as raw:
        assert b"acontext" not in b"".join(raw.iter_bytes())
    assert all(SKILLS in (sent or "") for sent in echo.sent)


@pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize("own", OWN)
async def test_an_async_client_reads_its_own_too(own: str | None, read: bool, memory: MemoryClient) -> None:
    echo = Echo(read=read)
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


class _Cached(httpx.Response):  # type: ignore[misc]
    """A response as caches have them: with an attribute of its own, and made in its own way."""

    def __init__(self, status: int, *, headers: Any, content: bytes, age: int = 7) -> None:
        super().__init__(status, headers=headers, content=content, extensions={"http_version": b"HTTP/2"})
        self.age = age
        self.kept = [self.text]  # somebody has read it


def test_a_response_that_was_read_keeps_all_that_it_has(memory: MemoryClient) -> None:
    echo = Echo(read=True, kind=_Cached)
    door = httpx.Client(transport=httpx.MockTransport(echo))
    client = learning(OpenAI(api_key="none", http_client=door), space="s", client=memory)
    response: Any = client.responses.with_raw_response.create(**asked("Help.")).http_response
    assert (type(response), response.age, response.http_version) == (_Cached, 7, "HTTP/2")
    assert json.loads(response.text)["instructions"] == "Help."
    assert json.loads(response.request.content)["instructions"] == "Help."
    assert int(response.headers["content-length"]) == len(response.content)


def test_the_time_that_a_response_took_is_known_where_it_was_measured(memory: MemoryClient) -> None:
    door = httpx.Client(transport=httpx.MockTransport(Echo()))
    client = learning(OpenAI(api_key="none", http_client=door), space="s", client=memory)
    response = client.responses.with_raw_response.create(**asked("Help.")).http_response
    assert isinstance(response.elapsed, timedelta)


def test_an_answer_is_asked_for_in_an_encoding_that_can_be_read_along(memory: MemoryClient) -> None:
    echo = Echo()
    for accepted in ("gzip, br;q=0.9, zstd", "br"):
        door = httpx.Client(transport=httpx.MockTransport(echo), headers={"accept-encoding": accepted})
        client = learning(OpenAI(api_key="none", http_client=door), space="s", client=memory)
        client.responses.create(**asked("Help."))
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "refund it"}])
    assert echo.accepted == ["gzip", "gzip, br;q=0.9, zstd", "identity", "br"]


def test_another_encoding_is_read_as_a_whole(memory: MemoryClient) -> None:
    class Twice(Echo):
        def __call__(self, request: Any) -> Any:
            response = super().__call__(request)
            content = gzip.compress(b"".join(response.stream))
            return httpx.Response(200, headers={**response.headers, "content-encoding": "gzip, gzip"},
                                  stream=_Pieces(content))  # fmt: skip

    door = httpx.Client(transport=httpx.MockTransport(Twice(zipped=True)))
    client = learning(OpenAI(api_key="none", http_client=door), space="s", client=memory)
    assert client.responses.create(**asked("Help.")).instructions == "Help."
    events = list(client.responses.create(**asked("Help."), stream=True))
    assert [event.response.instructions for event in events] == ["Help."] * 3
