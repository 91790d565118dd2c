"""A learned client is what the host passed, in every respect: constructed by nobody, with all that was set on it."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI
from openai.resources.chat import Chat

from acontext_adapters.openai import wrap
from acontext_adapters.testing import SKILLS, MemoryClient
from acontext_plugins import Acontext
from acontext_plugins.learning import learning

from . import loop
from .scripted import Provider, httpx
from .test_clients import AZURE, CALL, KINDS


def learned(bare: Any, memory: Any, **options: Any) -> Any:
    return learning(bare, space="s", client=memory, strict=True, deadline=30, **options)


async def said_by(client: Any) -> str:
    answer = await loop.done(client.chat.completions.create(**CALL))
    return str(answer.choices[0].message.content)


# -- a zoo of clients
class Tenant(OpenAI):
    """What it wants to be made with, it does not keep."""

    def __init__(self, tenant: str, *, region: str, **options: Any) -> None:
        super().__init__(**options)
        self.label = f"{tenant}@{region}"


class AsyncTenant(AsyncOpenAI):
    def __init__(self, tenant: str, *, region: str, **options: Any) -> None:
        super().__init__(**options)
        self.label = f"{tenant}@{region}"


class AzureTenant(AzureOpenAI):
    def __init__(self, tenant: str, *, region: str, **options: Any) -> None:
        super().__init__(**options, **AZURE)
        self.label = f"{tenant}@{region}"


class Slotted(OpenAI):
    __slots__ = ("label",)

    def __init__(self, tenant: str, *, region: str, **options: Any) -> None:
        super().__init__(**options)
        self.label = f"{tenant}@{region}"


class Uncopied(OpenAI):
    """Its copies are nobody's business."""

    def __init__(self, tenant: str, *, region: str, **options: Any) -> None:
        super().__init__(**options)
        self.label = f"{tenant}@{region}"
        self.other = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(500)))

    def copy(self, **options: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("kind", [Tenant, AsyncTenant, AzureTenant, Slotted, Uncopied])
async def test_a_subclass_with_required_arguments_keeps_what_it_was_made_with(kind: Any) -> None:
    memory, provider = MemoryClient(SKILLS), Provider()
    bare = loop.client(provider, kind, tenant="cups", region="north")
    client = learned(bare, memory)
    assert type(client) is kind
    assert client.label == "cups@north"
    assert await said_by(client) == "ok"
    assert SKILLS in provider.prompts[0]
    assert memory.lines == ["user: hello", "assistant: ok"]


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("used", [False, True])
async def test_every_attribute_of_the_client_is_there(kind: Any, options: Any, used: bool) -> None:
    bare = loop.client(Provider(), kind, _strict_response_validation=True, **options)
    bare.note = {"mine": 1}
    if used:
        await said_by(bare)
    client = learned(bare, MemoryClient())
    parts = [name for name, value in vars(bare).items() if type(value).__module__.startswith("openai.resources")]
    views = ("with_raw_response", "with_streaming_response", "with_streamed_response")  # made at once by old versions
    own = {name: value for name, value in vars(bare).items() if name not in ("_client", *parts, *views)}
    for name, value in own.items():
        bound = getattr(value, "__self__", None) is bare
        assert getattr(vars(client)[name], "__func__", vars(client)[name]) == (value.__func__ if bound else value), name
    assert client._strict_response_validation
    assert client.note is bare.note


def test_strict_validation_is_kept() -> None:
    broken = httpx.Response(200, json={"id": 5, "choices": "none"})
    http = httpx.Client(transport=httpx.MockTransport(lambda request: broken))
    bare = OpenAI(api_key="k", http_client=http, max_retries=0, _strict_response_validation=True)
    with pytest.raises(Exception) as seen:
        bare.chat.completions.create(**CALL)
    with pytest.raises(type(seen.value)) as same:
        learned(bare, MemoryClient()).chat.completions.create(**CALL)
    assert str(same.value) == str(seen.value)


# -- parts
async def test_parts_that_were_used_before_belong_to_the_learned_client() -> None:
    memory, provider = MemoryClient(SKILLS), Provider()
    bare = loop.client(provider, OpenAI)
    for one in (bare, bare.with_raw_response, bare.with_streaming_response):
        assert one.chat.completions
    assert bare.chat.completions.with_raw_response
    client = learned(bare, memory)
    client.chat.completions.create(**CALL)
    client.chat.completions.with_raw_response.create(**CALL)
    client.with_raw_response.chat.completions.create(**CALL)
    with client.chat.completions.with_streaming_response.create(**CALL) as response:
        response.read()
    assert len(provider.prompts) == 4
    assert all(SKILLS in prompt for prompt in provider.prompts)
    bare.chat.completions.create(**CALL)
    bare.chat.completions.with_raw_response.create(**CALL)
    assert not any(SKILLS in prompt for prompt in provider.prompts[4:])
    assert len(memory.sessions) == 4


class Loud(Chat):
    """A part of the host's own, made in its own way."""

    def __init__(self, client: OpenAI, words: str) -> None:
        super().__init__(client)
        self.words = words


async def test_a_part_that_the_host_has_set_is_kept_and_bound() -> None:
    memory, provider = MemoryClient(SKILLS), Provider()
    bare = loop.client(provider, OpenAI)
    bare.chat = Loud(bare, "hey")
    bare.ask = bare.chat.completions.create
    client = learned(bare, memory)
    assert type(client.chat) is Loud
    assert client.chat.words == "hey"
    assert await said_by(client) == "ok"
    assert client.ask(**CALL).choices
    assert all(SKILLS in prompt for prompt in provider.prompts)
    assert await said_by(bare) == "ok"
    assert SKILLS not in provider.prompts[-1]


def test_a_stand_in_for_a_part_stays_what_it_is() -> None:
    bare: Any = loop.client(Provider(), OpenAI)
    bare.chat = stand_in = object()
    assert learned(bare, MemoryClient()).chat is stand_in


# -- what is set later
@pytest.mark.parametrize("kind", [OpenAI, AsyncOpenAI])
async def test_what_is_set_on_it_later_counts(kind: Any) -> None:
    memory, provider = MemoryClient(SKILLS), Provider()
    client = learned(loop.client(provider, kind), memory)
    await said_by(client)
    client.api_key, client.organization, client.max_retries = "sk-rotated", "org-late", 0
    await said_by(client)
    await said_by(client.with_options(default_headers={"x-mine": "1"}))
    assert [one.headers.get("authorization") for one in provider.requests][1:] == ["Bearer sk-rotated"] * 2
    assert [one.headers.get("openai-organization") for one in provider.requests] == [None, "org-late", "org-late"]
    assert [one.headers.get("x-mine") for one in provider.requests] == [None, None, "1"]
    assert len(memory.sessions) == 3
    again = learned(client, memory, inject=False)
    assert (again.api_key, again.organization) == ("sk-rotated", "org-late")


async def test_a_token_provider_of_azure_is_asked_as_before() -> None:
    provider, asked = Provider(), []

    def token() -> str:
        asked.append(1)
        return "late"

    http = httpx.AsyncClient(transport=httpx.MockTransport(provider))
    bare = AsyncAzureOpenAI(azure_ad_token_provider=token, azure_deployment="d", http_client=http, **AZURE)
    await said_by(learned(bare, MemoryClient()))
    assert asked
    assert provider.requests[0].url.path == "/openai/deployments/d/chat/completions"


# -- copies
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_is_learned(copied: Any, tmp_path: Path) -> None:
    """Where the host's transport can be copied."""
    bare = OpenAI(api_key="k", http_client=httpx.Client(transport=httpx.MockTransport(Provider())), max_retries=0)
    try:
        expected = copied(bare).chat.completions.create(**CALL).choices[0].message.content
    except Exception as error:
        with pytest.raises(type(error)):
            copied(learned(bare, MemoryClient()))
        return
    with Acontext(f"sqlite:///{tmp_path / 'memory.db'}") as client:
        other = copied(learned(bare, client))
        assert type(other) is OpenAI
        assert other.chat.completions.create(**CALL).choices[0].message.content == expected
        assert isinstance(wrap.http_client_of(other), httpx.Client)
        client.flush()
        [session] = client.sessions.list().items
        assert len(client.sessions.get_messages(session.id).items) == 2
