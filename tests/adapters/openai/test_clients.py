"""`learning(OpenAI())`: the same client, which remembers."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from acontext_adapters.model_calls import CallRecorder
from acontext_adapters.openai import exchange, wrap
from acontext_adapters.testing import SKILLS, MemoryClient
from acontext_plugins.learning import learning

from . import loop
from .scripted import Json, Provider, Status, Tool, httpx

AZURE = {"api_version": "2024-10-21", "azure_endpoint": "https://azure.example"}
KINDS: list[tuple[Any, dict[str, Any]]] = [
    (OpenAI, {}),
    (AsyncOpenAI, {}),
    (AzureOpenAI, AZURE),
    (AsyncAzureOpenAI, AZURE),
]
HELLO = [{"role": "user", "content": "hello"}]
CALL: Json = {"model": "m", "messages": HELLO}


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> CallRecorder:
    calls = CallRecorder()
    monkeypatch.setattr(exchange, "calls", calls)
    return calls


@pytest.fixture
def memory() -> MemoryClient:
    return MemoryClient(SKILLS)


def learned(provider: Provider, memory: MemoryClient, kind: Any = OpenAI, **options: Any) -> Any:
    own = {name: options.pop(name) for name in ("session", "inject", "inject_as") if name in options}
    return learning(loop.client(provider, kind, **options), space="s", client=memory, strict=True, deadline=30, **own)


# -- wrapping
@pytest.mark.parametrize(("kind", "options"), KINDS)
async def test_it_is_a_client_of_the_same_class_with_the_same_options(
    kind: Any, options: Any, memory: MemoryClient
) -> None:
    provider = Provider()
    bare = loop.client(provider, kind, timeout=7.0, max_retries=5, default_headers={"x-mine": "1"}, **options)
    client = learning(bare, space="s", client=memory, strict=True)
    assert type(client) is kind
    assert client is not bare
    for name in ("timeout", "max_retries", "base_url", "api_key", "organization"):
        assert getattr(client, name) == getattr(bare, name), name
    answer = await loop.done(client.chat.completions.create(**CALL))
    assert type(client.chat.completions) is type(bare.chat.completions)
    assert answer.choices[0].message.content == "ok"
    (request,) = provider.requests
    assert request.headers["x-mine"] == "1"
    assert SKILLS in provider.prompts[0]
    assert memory.lines == ["user: hello", "assistant: ok"]
    assert memory.outcome == ("success", "")


def test_the_client_that_was_given_stays_as_it_is(memory: MemoryClient) -> None:
    provider = Provider()
    bare = loop.client(provider, OpenAI)
    before = wrap.http_client_of(bare)
    learning(bare, space="s", client=memory, strict=True)
    bare.chat.completions.create(**CALL)
    assert wrap.http_client_of(bare) is before
    assert SKILLS not in provider.prompts[0]
    assert memory.recordings == []


def test_wrapped_again_it_is_the_same_or_wrapped_anew(memory: MemoryClient) -> None:
    provider = Provider()
    client = learned(provider, memory)
    assert learning(client, space="s", client=memory, strict=True, deadline=30) is client
    other = learning(client, space="other", client=memory, strict=True)
    assert other is not client
    other.chat.completions.create(**CALL)
    assert [query.space for query in memory.queries] == ["other"]
    assert provider.prompts[0].count("<acontext-skills") == 1


def test_clients_made_with_its_options_are_learned_too(memory: MemoryClient) -> None:
    provider = Provider()
    client = learned(provider, memory)
    client.with_options(timeout=3).chat.completions.create(**CALL)
    client.copy(max_retries=1).chat.completions.create(**CALL)
    assert all(SKILLS in prompt for prompt in provider.prompts)
    assert len(memory.sessions) == 2


def test_the_users_http_client_does_all_the_work(memory: MemoryClient) -> None:
    seen: list[str] = []
    http = httpx.Client(
        transport=httpx.MockTransport(Provider()),
        event_hooks={
            "request": [lambda request: seen.append(request.url.path)],
            "response": [lambda _: seen.append("")],
        },
        headers={"x-of-the-http-client": "yes"},
        cookies={"a": "b"},
        timeout=11,
    )
    client = learning(OpenAI(api_key="k", http_client=http, max_retries=0), space="s", client=memory, strict=True)
    assert client.timeout == openai.OpenAI(api_key="k", http_client=http).timeout
    sent = client.chat.completions.with_raw_response.create(**CALL).http_request
    assert seen == ["/v1/chat/completions", ""]
    assert sent.headers["x-of-the-http-client"] == "yes"
    assert sent.headers["cookie"] == "a=b"
    ours = wrap.http_client_of(client)
    assert isinstance(ours, httpx.Client)
    assert ours.event_hooks == http.event_hooks
    assert ours.timeout == http.timeout


async def test_closing_closes_as_it_does_for_any_copy(memory: MemoryClient) -> None:
    bare = loop.client(Provider(), OpenAI)
    with learning(bare, space="s", client=memory) as client:
        assert not client.is_closed()
    assert client.is_closed()
    assert bare.is_closed()
    other = loop.client(Provider(), AsyncOpenAI)
    async with learning(other, space="s", client=memory) as client:
        pass
    assert other.is_closed()


def test_a_client_without_an_http_client_of_the_users_keeps_the_sdks_own(memory: MemoryClient) -> None:
    bare = OpenAI(api_key="k")
    client = learning(bare, space="s", client=memory)
    ours = wrap.http_client_of(client)
    assert ours.acontext_inner is wrap.http_client_of(bare)
    del bare
    gc.collect()
    assert not client.is_closed()


def test_a_subclass_stays_what_it_is(memory: MemoryClient) -> None:
    class Mine(OpenAI):
        def hello(self) -> str:
            return str(self.chat.completions.create(**CALL).choices[0].message.content)

    client = learned(Provider(), memory, Mine)
    assert type(client) is Mine
    assert client.hello() == "ok"
    assert memory.lines == ["user: hello", "assistant: ok"]


def test_an_http_client_of_nobody_we_know_is_named() -> None:
    odd = OpenAI(api_key="k")
    odd._client = 5  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"does not know the HTTP client builtins\.int of openai\.OpenAI"):
        learning(odd, space="s", client=MemoryClient())


def test_importing_the_adapter_loads_neither_the_sdk_nor_an_http_library() -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nimport acontext_adapters.openai as module\nmodule.adapter()\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "sys.exit(str(loaded & {'openai', 'httpx', 'httpx2'}) if loaded & {'openai', 'httpx', 'httpx2'} else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- ways to call
def _chat_ways() -> dict[str, Any]:
    def stream(client: Any) -> Any:
        return [chunk.model_dump() for chunk in client.chat.completions.create(**CALL, stream=True)]

    def raw(client: Any) -> Any:
        return client.chat.completions.with_raw_response.create(**CALL).parse().model_dump()

    def streaming_response(client: Any) -> Any:
        with client.chat.completions.with_streaming_response.create(**CALL) as response:
            return response.read()

    def raw_stream(client: Any) -> Any:
        answer = client.chat.completions.with_raw_response.create(**CALL, stream=True)
        return [chunk.model_dump() for chunk in answer.parse()]

    def parse(client: Any) -> Any:
        completions = client.chat.completions
        completions = completions if hasattr(completions, "parse") else client.beta.chat.completions
        return completions.parse(**CALL).model_dump()

    def helper(client: Any) -> Any:
        completions = client.chat.completions
        completions = completions if hasattr(completions, "stream") else client.beta.chat.completions
        with completions.stream(**CALL) as events:
            kinds = [event.type for event in events]
            return kinds, events.get_final_completion().model_dump()

    return {
        "create": lambda client: client.chat.completions.create(**CALL).model_dump(),
        "stream": stream,
        "raw": raw,
        "streaming_response": streaming_response,
        "raw_stream": raw_stream,
        "parse": parse,
        "helper": helper,
        "with_options": lambda client: client.with_options(timeout=9).chat.completions.create(**CALL).model_dump(),
    }


def _response_ways() -> dict[str, Any]:
    asked: Json = {"model": "m", "input": "hello"}

    def helper(client: Any) -> Any:
        with client.responses.stream(**asked) as events:
            kinds = [event.type for event in events]
            return kinds, events.get_final_response().model_dump()

    ways: dict[str, Any] = {
        "responses.create": lambda client: client.responses.create(**asked).model_dump(),
        "responses.list": lambda client: client.responses.create(model="m", input=HELLO).model_dump(),
        "responses.stream": lambda client: [e.model_dump() for e in client.responses.create(**asked, stream=True)],
        "responses.raw": lambda client: client.responses.with_raw_response.create(**asked).parse().model_dump(),
    }
    if hasattr(OpenAI(api_key="k").responses, "parse"):
        ways["responses.parse"] = lambda client: client.responses.parse(**asked).model_dump()
        ways["responses.helper"] = helper
    return ways


WAYS = {**_chat_ways(), **_response_ways()}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_call_gives_what_it_gives_and_is_recorded_once(way: str, memory: MemoryClient) -> None:
    bare = WAYS[way](loop.client(Provider("21C in Oslo"), OpenAI))
    provider = Provider("21C in Oslo")
    assert WAYS[way](learned(provider, memory)) == bare
    assert SKILLS in provider.prompts[0]
    assert int(provider.requests[0].headers["content-length"]) == len(provider.requests[0].content)
    assert memory.lines == ["user: hello", "assistant: 21C in Oslo"]
    assert [outcome.status for outcome in memory.session.outcomes] == ["success"]


def test_requests_that_are_no_calls_of_a_model_are_left_alone(memory: MemoryClient) -> None:
    provider = Provider()
    client = learned(provider, memory)
    client.models.list()
    client.post("/embeddings", body={"input": "secret"}, cast_to=httpx.Response)
    client.files.with_raw_response.create(file=b"a file", purpose="batch")
    client.post("/responses/compact", body={"input": "secret", "model": "m"}, cast_to=httpx.Response)
    assert len(provider.requests) == 4
    assert memory.recordings == []
    assert memory.queries == []


def test_nothing_of_headers_or_keys_is_kept(memory: MemoryClient) -> None:
    client = learned(Provider(), memory)
    client.chat.completions.create(**CALL, extra_headers={"x-secret": "hush"}, user="ada")
    kept = "".join(message.model_dump_json() for message in memory.session.messages) + repr(memory.recordings)
    assert "sk-a-secret" not in kept
    assert "hush" not in kept


def test_the_request_that_the_host_can_see_is_its_own(memory: MemoryClient) -> None:
    client = learned(Provider(Status(400)), memory)
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**CALL)
    assert b"acontext" not in raised.value.request.content
    assert b"acontext" not in raised.value.response.request.content
    raw = client.chat.completions.with_raw_response.create(**CALL)
    assert b"acontext" not in raw.http_request.content


# -- whose conversation
async def test_a_conversation_that_is_sent_again_is_one_session(memory: MemoryClient) -> None:
    provider = Provider([Tool("weather", "c1")], "21C", "yes")
    client = learned(provider, memory)

    class Tools:
        def weather(self, city: str) -> str:
            return f"21C in {city}"

    history: list[Json] = [{"role": "user", "content": "warm?"}]
    await loop.chat(client, history, Tools())
    history.append({"role": "user", "content": "sure?"})
    await loop.chat(client, history, Tools())
    assert memory.lines == [
        "user: warm?",
        'call: weather {"city":"Oslo"}',
        "result: 21C in Oslo",
        "assistant: 21C",
        "user: sure?",
        "assistant: yes",
    ]
    assert len({message.run_id for message in memory.session.messages}) == 2
    assert [outcome.status for outcome in memory.session.outcomes] == ["success", "success"]
    assert [query.text for query in memory.queries] == ["warm?", "sure?"]


def test_one_client_for_each_request_goes_on_with_the_conversation(memory: MemoryClient) -> None:
    history = [*HELLO, {"role": "assistant", "content": "hi"}, {"role": "user", "content": "again"}]
    learned(Provider("hi"), memory).chat.completions.create(**CALL)
    learned(Provider("yes"), memory).chat.completions.create(model="m", messages=history)
    assert memory.lines == ["user: hello", "assistant: hi", "user: again", "assistant: yes"]


def test_users_of_one_client_are_not_mixed_up(memory: MemoryClient) -> None:
    client = learned(Provider("hi", "hi", "yes", "no"), memory)
    history = [*HELLO, {"role": "assistant", "content": "hi"}, {"role": "user", "content": "again"}]
    for user in ("ada", "bob"):
        client.chat.completions.create(**CALL, user=user)
    for user in ("ada", "bob"):
        client.chat.completions.create(model="m", messages=history, user=user)
    assert [session.lines for session in memory.sessions.values()] == [
        ["user: hello", "assistant: hi", "user: again", "assistant: yes"],
        ["user: hello", "assistant: hi", "user: again", "assistant: no"],
    ]


@pytest.mark.parametrize(
    ("asked", "options", "key"),
    [
        ({"metadata": {"session_id": "of the request"}}, {"session": "of the client"}, "of the request"),
        ({}, {"session": "of the client"}, "of the client"),
    ],
)
def test_the_session_is_the_requests_own_or_the_clients(
    asked: Any, options: Any, key: str, memory: MemoryClient
) -> None:
    client = learned(Provider("a", "b"), memory, **options)
    client.chat.completions.create(**CALL, **asked)
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "more"}], **asked)
    assert memory.session.ref.key == key
    assert memory.lines == ["user: hello", "assistant: a", "user: more", "assistant: b"]


def test_responses_that_go_on_from_one_another_are_one_session(memory: MemoryClient) -> None:
    client = learned(Provider("a", [Tool("weather", "c1")], "c"), memory)
    first = client.responses.create(model="m", input="yes")
    second = client.responses.create(model="m", input="yes", previous_response_id=first.id)
    result = {"type": "function_call_output", "call_id": "c1", "output": "21C"}
    client.responses.create(model="m", input=[result], previous_response_id=second.id)
    assert memory.lines == [
        "user: yes",
        "assistant: a",
        "user: yes",
        'call: weather {"city":"Oslo"}',
        "result: 21C",
        "assistant: c",
    ]
    assert len({message.run_id for message in memory.session.messages}) == 2


def test_a_conversation_of_the_provider_is_a_session(memory: MemoryClient) -> None:
    client = learned(Provider("a", "b"), memory)
    for conversation in ("conv_1", {"id": "conv_1"}):
        client.responses.create(model="m", input="yes", extra_body={"conversation": conversation})
    assert memory.session.ref.key == "conv_1"
    assert memory.lines == ["user: yes", "assistant: a", "user: yes", "assistant: b"]


async def test_many_conversations_at_once_stay_apart(memory: MemoryClient) -> None:
    class Echo(Provider):
        def __call__(self, request: Any) -> Any:
            self.steps = [f"about {json.loads(request.content)['messages'][-1]['content']}"]
            return super().__call__(request)

    client = learned(Echo(), memory, AsyncOpenAI)

    async def talk(name: str) -> None:
        history: list[Json] = []
        for number in range(4):
            history.append({"role": "user", "content": f"{name}{number}"})
            await loop.chat(client, history, None, streamed=number % 2 == 0)

    await asyncio.gather(*(talk(name) for name in "abcdefgh"))
    for session in memory.sessions.values():
        name = session.lines[0][6]
        assert session.lines == [
            line for number in range(4) for line in (f"user: {name}{number}", f"assistant: about {name}{number}")
        ]
    assert len(memory.sessions) == 8
