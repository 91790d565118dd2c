"""How calls of a plain client end: what is said of them, and that the host sees what it would have seen."""

from __future__ import annotations

import asyncio
import gc
import json
import zlib
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from acontext_adapters.model_calls import CallRecorder
from acontext_adapters.openai import exchange
from acontext_adapters.testing import SKILLS, MemoryClient
from acontext_plugins.learning import learning

from . import loop
from .scripted import Cut, Json, Provider, Status, Stream, Tool, chat_events, httpx, response_answer
from .test_clients import CALL, HELLO, learned

NO_WAIT = {"retry-after-ms": "1"}


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[CallRecorder]:
    calls = CallRecorder()
    monkeypatch.setattr(exchange, "calls", calls)
    yield calls
    calls.flush()


@pytest.fixture
def memory() -> MemoryClient:
    return MemoryClient(SKILLS)


def outcomes(memory: MemoryClient) -> list[tuple[str, str]]:
    return [(outcome.status, outcome.reason) for outcome in memory.session.outcomes]


# -- retries
@pytest.mark.parametrize("kind", [OpenAI, AsyncOpenAI])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_retry_that_succeeds_leaves_success_only(kind: Any, streamed: bool, memory: MemoryClient) -> None:
    provider = Provider(Status(503, headers=NO_WAIT), Status(429, headers=NO_WAIT), "ok")
    client = learned(provider, memory, kind, max_retries=2)
    await loop.chat(client, list(HELLO), None, streamed=streamed, see=lambda _: None)
    assert memory.lines == ["user: hello", "assistant: ok"]
    assert outcomes(memory) == [("success", "")]
    assert len(set(provider.prompts)) == 1, "each attempt has the same bytes"
    assert len(memory.queries) == 1


def test_retries_that_come_to_nothing_are_one_failure(memory: MemoryClient) -> None:
    provider = Provider(*[Status(503, f"overloaded {number}", NO_WAIT) for number in range(3)])
    with pytest.raises(openai.InternalServerError):
        learned(provider, memory, max_retries=2).chat.completions.create(**CALL)
    assert memory.lines == ["user: hello"]
    assert outcomes(memory) == [("failed", "503 Service Unavailable: overloaded 2")]


def test_a_failure_that_might_be_retried_and_is_not_is_one_in_the_end(
    memory: MemoryClient, calls: CallRecorder
) -> None:
    client = learned(Provider(Status(503)), memory, max_retries=2).with_options(max_retries=0)
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(**CALL)
    assert memory.session.outcomes == []
    calls.flush()
    assert outcomes(memory) == [("failed", "503 Service Unavailable: overloaded")]


def test_what_no_retry_could_help_fails_at_once(memory: MemoryClient) -> None:
    with pytest.raises(openai.BadRequestError):
        learned(Provider(Status(400, "no such model")), memory, max_retries=2).chat.completions.create(**CALL)
    assert outcomes(memory) == [("failed", "400 Bad Request: no such model")]


def test_a_provider_that_says_not_to_try_again_is_believed(memory: MemoryClient) -> None:
    refused = Status(500, "final", {"x-should-retry": "false"})
    with pytest.raises(openai.InternalServerError):
        learned(Provider(refused), memory, max_retries=2).chat.completions.create(**CALL)
    assert outcomes(memory) == [("failed", "500 Internal Server Error: final")]


def test_two_conversations_that_fail_alike_both_fail(memory: MemoryClient, calls: CallRecorder) -> None:
    client = learned(Provider(Status(503), Status(503)), memory, max_retries=2).with_options(max_retries=0)
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**CALL)
    calls.flush()
    assert [session.outcomes[0].status for session in memory.sessions.values()] == ["failed", "failed"]


def test_a_connection_that_fails_is_retried_and_recorded_once(memory: MemoryClient) -> None:
    error = httpx.ConnectError("no route")
    client = learned(Provider(error, "ok"), memory, max_retries=1)
    client.with_options(timeout=5).chat.completions.create(**CALL)
    assert memory.lines == ["user: hello", "assistant: ok"]
    assert outcomes(memory) == [("success", "")]


def test_the_hosts_own_retry_after_a_failure_is_the_same_turn(memory: MemoryClient) -> None:
    client = learned(Provider(Status(400), "ok"), memory, session="talk")
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**CALL)
    client.chat.completions.create(**CALL)
    assert memory.lines == ["user: hello", "assistant: ok"]
    assert len({message.run_id for message in memory.session.messages}) == 1
    assert [status for status, _ in outcomes(memory)] == ["failed", "success"]


# -- errors are the host's own
@pytest.mark.parametrize(
    "step",
    [Status(401), Status(404), Status(500), RuntimeError("odd"), httpx.ReadTimeout("slow"), httpx.ConnectError("x")],
    ids=str,
)
@pytest.mark.parametrize("streamed", [False, True])
def test_errors_are_the_same_as_without_us(step: Any, streamed: bool, memory: MemoryClient) -> None:
    def raised(client: Any) -> tuple[Any, ...]:
        with pytest.raises((openai.APIError, RuntimeError)) as caught:
            client.chat.completions.create(**CALL, stream=streamed)
        error: Any = caught.value
        mine = (error.body, error.request.content) if isinstance(error, openai.APIError) else ()
        return type(error), str(error), type(error.__cause__), *mine

    bare = raised(loop.client(Provider(step), OpenAI))
    assert raised(learned(Provider(step), memory)) == bare
    assert memory.outcome is not None
    assert memory.outcome[0] == "failed"


# -- streams
def test_a_stream_that_is_left_is_cancelled(memory: MemoryClient) -> None:
    stream = learned(Provider("one two three"), memory).chat.completions.create(**CALL, stream=True)
    for _ in stream:
        break
    stream.close()
    assert outcomes(memory) == [("cancelled", "")]
    assert memory.lines == ["user: hello"]


def test_a_stream_that_nobody_holds_any_more_is_cancelled(memory: MemoryClient) -> None:
    stream = learned(Provider("one two three"), memory).chat.completions.create(**CALL, stream=True)
    next(iter(stream))
    del stream
    gc.collect()
    assert outcomes(memory) == [("cancelled", "")]


async def test_an_async_stream_that_is_left_is_cancelled(memory: MemoryClient) -> None:
    client = learned(Provider("one two three"), memory, AsyncOpenAI)
    async with await client.chat.completions.create(**CALL, stream=True) as stream:
        async for _ in stream:
            break
    assert outcomes(memory) == [("cancelled", "")]


def test_a_stream_that_breaks_has_failed_with_the_hosts_own_error(memory: MemoryClient) -> None:
    step = Cut("one two", httpx.ReadError("reset"))

    def read(client: Any) -> tuple[list[Any], Any]:
        seen: list[Any] = []
        try:
            for chunk in client.chat.completions.create(**CALL, stream=True):
                seen.append(chunk.model_dump())
        except Exception as error:
            return seen, (type(error), str(error))
        return seen, None

    assert read(learned(Provider(step), memory)) == read(loop.client(Provider(step), OpenAI))
    assert outcomes(memory) == [("failed", "ReadError: reset")]


def test_a_stream_that_ends_early_has_failed(memory: MemoryClient) -> None:
    client = learned(Provider(Cut("one two")), memory)
    assert len(list(client.responses.create(model="m", input="hello", stream=True))) == 4
    assert outcomes(memory) == [("failed", "the stream ended before the answer was complete")]


def test_a_stream_is_closed_behind_us(memory: MemoryClient) -> None:
    closed: list[Any] = []

    class Closing(Stream):
        def close(self) -> None:
            closed.append(self)

    lines = [f"data: {json.dumps(event)}\n\n".encode() for event in chat_events("one two", 1)]
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Closing(lines))
    http = httpx.Client(transport=httpx.MockTransport(lambda request: answer))
    client = learning(OpenAI(api_key="k", http_client=http), space="s", client=memory, strict=True)
    stream = client.chat.completions.create(**CALL, stream=True)
    next(iter(stream))
    stream.close()
    assert stream.response.is_closed
    assert len(closed) == 1


def test_each_chunk_is_there_as_soon_as_it_has_come(memory: MemoryClient) -> None:
    """The host has read what was sent before the rest is sent."""
    read: list[str] = []
    sent: list[int] = []

    class Slow(Stream):
        def __iter__(self) -> Iterator[bytes]:
            for number, line in enumerate(self.lines):
                sent.append(number)
                assert len(read) >= number - 1, "a chunk was held back"
                yield line

    def serve(request: Any) -> Any:
        lines = [f"data: {json.dumps(event)}\n\n".encode() for event in chat_events("one two three four", 1)]
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Slow(lines))

    bare = OpenAI(api_key="k", max_retries=0, http_client=httpx.Client(transport=httpx.MockTransport(serve)))
    client = learning(bare, space="s", client=memory, strict=True)
    for chunk in client.chat.completions.create(**CALL, stream=True):
        read.append(chunk.choices[0].delta.content or "" if chunk.choices else "")
    assert len(sent) == len(read) == 7
    assert memory.lines[-1] == "assistant: one two three four"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("streamed", [False, True])
def test_compressed_answers_are_read_along(encoding: str, streamed: bool, memory: MemoryClient) -> None:
    def serve(request: Any) -> Any:
        provider = Provider("21C in Oslo")
        answer = provider(request)
        body = answer.read()
        squeeze = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
        pieces = [squeeze.compress(body[:50]) + squeeze.flush(zlib.Z_SYNC_FLUSH), squeeze.compress(body[50:])]
        headers = {"content-type": answer.headers["content-type"], "content-encoding": encoding}
        return httpx.Response(200, headers=headers, stream=Stream([*pieces, squeeze.flush()]))

    bare = OpenAI(api_key="k", max_retries=0, http_client=httpx.Client(transport=httpx.MockTransport(serve)))
    client = learning(bare, space="s", client=memory, strict=True)
    if streamed:
        words = [
            c.choices[0].delta.content or "" for c in client.chat.completions.create(**CALL, stream=True) if c.choices
        ]
    else:
        words = [client.chat.completions.create(**CALL).choices[0].message.content]
    assert "".join(words) == "21C in Oslo"
    assert memory.lines == ["user: hello", "assistant: 21C in Oslo"]


async def test_a_task_that_is_cancelled_in_a_call_is_cancelled(memory: MemoryClient) -> None:
    there = asyncio.Event()

    async def serve(request: Any) -> Any:
        there.set()
        await asyncio.sleep(3600)

    http = httpx.AsyncClient(transport=httpx.MockTransport(serve))
    bare = AsyncOpenAI(api_key="k", max_retries=2, http_client=http)
    client = learning(bare, space="s", client=memory, strict=True)
    asking = asyncio.create_task(client.chat.completions.create(**CALL))
    await there.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert outcomes(memory) == [("cancelled", "")]


# -- what answers mean
def chat_answer(message: Json, finish: str) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (chat_answer({"content": "cut"}, "length"), ("unknown", "the answer was cut off: length")),
        (
            chat_answer({"content": ""}, "content_filter"),
            ("failed", "content_filter: the provider's filter stopped the answer"),
        ),
        (chat_answer({"content": None, "refusal": "I will not"}, "stop"), ("failed", "refusal: I will not")),
    ],
)
def test_answers_that_are_none(answer: Json, outcome: Any, memory: MemoryClient) -> None:
    learned(Provider(answer), memory).chat.completions.create(**CALL)
    assert outcomes(memory) == [outcome]


def test_a_call_that_the_host_has_named_is_the_answer(memory: MemoryClient) -> None:
    client = learned(Provider([Tool("extract", "c1")], "done"), memory)
    choice = {"type": "function", "function": {"name": "extract"}}
    tools = [{"type": "function", "function": {"name": "extract"}}]
    said = client.chat.completions.create(**CALL, tools=tools, tool_choice=choice).choices[0].message
    assert outcomes(memory) == [("success", "")]
    result = {"role": "tool", "tool_call_id": "c1", "content": "kept"}
    history = [*HELLO, said.model_dump(exclude_none=True), result]
    client.chat.completions.create(model="m", messages=history, tools=tools)
    assert len({message.run_id for message in memory.session.messages}) == 1


def test_responses_in_the_background_end_when_they_are_asked_for(memory: MemoryClient) -> None:
    class Later(Provider):
        def other(self, request: Any) -> Any:
            states = {1: "in_progress", 2: "completed"}
            polls = sum(one.method == "GET" for one in self.requests)
            return httpx.Response(200, json=response_answer("21C" if polls > 1 else "", 1, states[polls]))

    client = learned(Later(response_answer("", 1, "queued")), memory)
    asked = client.responses.create(model="m", input="hello", extra_body={"background": True})
    assert client.responses.retrieve(asked.id).status == "in_progress"
    assert memory.session.outcomes == []
    assert client.responses.retrieve(asked.id).output_text == "21C"
    assert memory.lines == ["user: hello", "assistant: 21C"]
    assert outcomes(memory) == [("success", "")]


def test_a_response_in_the_background_that_is_stopped_is_cancelled(memory: MemoryClient) -> None:
    class Stopped(Provider):
        def other(self, request: Any) -> Any:
            return httpx.Response(200, json={**response_answer("", 1, "cancelled"), "output": []})

    client = learned(Stopped(response_answer("", 1, "queued")), memory)
    client.responses.create(model="m", input="hello", extra_body={"background": True})
    client.post("/responses/resp1/cancel", cast_to=httpx.Response)
    assert outcomes(memory) == [("cancelled", "")]


def test_a_body_that_is_no_object_goes_through(memory: MemoryClient) -> None:
    http = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, content=request.content)))
    client = learning(OpenAI(api_key="k", http_client=http), space="s", client=memory, strict=True)
    assert client.post("/chat/completions", body=[1], cast_to=httpx.Response).json() == [1]
    assert memory.recordings == []
