"""Over real sockets: a provider on loopback, the SDK's own HTTP client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from acontext_adapters.model_calls import CallRecorder
from acontext_adapters.openai import exchange
from acontext_adapters.testing import SKILLS, MemoryClient
from acontext_plugins.learning import learning

from ..litellm.upstream import Broken, Call, Refused, Slow, Upstream
from . import loop
from .test_clients import CALL


@pytest.fixture(autouse=True)
def _calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "calls", CallRecorder())


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture
def memory() -> MemoryClient:
    return MemoryClient(SKILLS)


def learned(upstream: Upstream, memory: MemoryClient, kind: Any = OpenAI, **options: Any) -> Any:
    bare = kind(api_key="sk-a-secret", base_url=upstream.url, **{"max_retries": 0, **options})
    return learning(bare, space="s", client=memory, strict=True, deadline=30)


class Tools:
    def weather(self, city: str) -> str:
        return f"21C in {city}"


@pytest.mark.parametrize("kind", [OpenAI, AsyncOpenAI])
@pytest.mark.parametrize("talk", [loop.chat, loop.responses])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_talk(talk: Any, kind: Any, streamed: bool, upstream: Upstream, memory: MemoryClient) -> None:
    upstream.say([Call("weather", "c1"), Call("weather", "c2", {"city": "Rome"})], "21C in both")
    client = learned(upstream, memory, kind)
    history = [{"role": "user", "content": "warm?"}]
    assert await talk(client, history, Tools(), streamed=streamed) == "21C in both"
    await loop.done(client.close())
    assert memory.lines == [
        "user: warm?",
        'call: weather {"city":"Oslo"}',
        'call: weather {"city":"Rome"}',
        "result: 21C in Oslo",
        "result: 21C in Rome",
        "assistant: 21C in both",
    ]
    assert memory.outcome == ("success", "")
    assert [seen.system.count(SKILLS) for seen in upstream.seen] == [1, 1]


def test_the_first_words_are_there_before_the_rest_is_made(upstream: Upstream, memory: MemoryClient) -> None:
    slow = Slow("first second")
    upstream.say(slow)
    client = learned(upstream, memory)
    words = []
    for chunk in client.chat.completions.create(**CALL, stream=True):
        words.append(chunk.choices[0].delta.content or "" if chunk.choices else "")
        if "first" in words:
            slow.go.set()
    client.close()
    assert "".join(words) == "first second"
    assert memory.lines == ["user: hello", "assistant: first second"]


async def test_a_reader_who_leaves_hangs_up(upstream: Upstream, memory: MemoryClient) -> None:
    slow = Slow("first second")
    upstream.say(slow)
    client = learned(upstream, memory, AsyncOpenAI)
    async with await client.chat.completions.create(**CALL, stream=True) as stream:
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    assert await asyncio.to_thread(slow.gone.wait, 30)
    await client.close()
    assert memory.outcome == ("cancelled", "")


async def test_a_task_that_is_cancelled_while_it_waits_hangs_up(upstream: Upstream, memory: MemoryClient) -> None:
    slow = Slow("late")
    upstream.say(slow)
    client = learned(upstream, memory, AsyncOpenAI, max_retries=2)
    asking = asyncio.create_task(client.chat.completions.create(**CALL))
    assert await asyncio.to_thread(slow.begun.wait, 30)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    slow.go.set()
    await client.close()
    assert memory.outcome == ("cancelled", "")


def test_a_connection_that_breaks_in_a_stream_has_failed(upstream: Upstream, memory: MemoryClient) -> None:
    upstream.say(Broken("first second"))
    client = learned(upstream, memory)
    with pytest.raises(
        Exception, match=r"incomplete chunked read|Connection error"
    ):  # as the SDK of this version has it
        list(client.chat.completions.create(**CALL, stream=True))
    client.close()
    assert memory.outcome is not None
    assert memory.outcome[0] == "failed"
    assert "RemoteProtocolError" in memory.outcome[1]


def test_a_retry_of_the_sdk(upstream: Upstream, memory: MemoryClient) -> None:
    upstream.say(Refused(500), "ok")
    client = learned(upstream, memory, max_retries=1)
    assert client.chat.completions.create(**CALL).choices[0].message.content == "ok"
    client.close()
    assert memory.lines == ["user: hello", "assistant: ok"]
    assert [outcome.status for outcome in memory.session.outcomes] == ["success"]


def test_a_provider_that_is_not_there(memory: MemoryClient) -> None:
    with Upstream() as gone:
        url = gone.url
    client = learning(
        OpenAI(api_key="k", base_url=url, max_retries=0), space="s", client=memory, strict=True, deadline=30
    )
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**CALL)
    client.close()
    assert memory.outcome is not None
    assert memory.outcome[1].startswith("ConnectError")


def test_one_client_in_many_threads(upstream: Upstream, memory: MemoryClient) -> None:
    upstream.say()
    client = learned(upstream, memory)

    def ask(number: int) -> None:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": f"hello {number}"}])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    assert sorted(line for session in memory.sessions.values() for line in session.lines) == sorted(
        line for number in range(12) for line in (f"user: hello {number}", "assistant: ok")
    )
