"""LiteLLM's functions, router and callbacks with memory, against a provider on loopback."""

from __future__ import annotations

import asyncio
import gc
import inspect
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Any

import litellm
import pytest

from acontext_adapters.litellm import AcontextLogger, functions
from acontext_adapters.model_calls import CallRecorder
from acontext_adapters.testing import SKILLS, MemoryClient
from acontext_plugins.learning import learning

from .memory import once
from .upstream import Refused, Slow, Upstream

NEW = tuple(map(int, version("litellm").split(".")[:2])) >= (1, 95)
SAID = "It is 21C."
ASKED: dict[str, dict[str, Any]] = {
    "completion": {"messages": [{"role": "user", "content": "hi"}]},
    "responses": {"input": "hi"},
    "acompletion": {"messages": [{"role": "user", "content": "hi"}]},
    "aresponses": {"input": "hi"},
    "anthropic_messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
}
every_function = pytest.mark.parametrize("name", list(ASKED))
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "calls", CallRecorder())


def asked(name: str, upstream: Upstream, **more: Any) -> dict[str, Any]:
    where = {"model": "openai/fake", "api_base": upstream.url, "api_key": "sk-canary", "num_retries": 0}
    return {**where, **ASKED[name], **more}


async def ask(function: Any, **given: Any) -> Any:
    """The answer of a function of either kind, a stream read to its end. Sync ones have a thread, as with a host."""
    if not inspect.iscoroutinefunction(function):
        return await asyncio.to_thread(lambda: list(function(**given)) if given.get("stream") else function(**given))
    result = await function(**given)
    return [chunk async for chunk in result] if given.get("stream") else result


def acts(stream: Any) -> bool:
    """Whether it is to be read asynchronously: some have both ways."""
    return (
        not hasattr(stream, "__next__")
        or "async" in type(getattr(stream, "completion_stream", stream)).__name__.lower()
    )


@every_function
@both_ways
async def test_a_turn_is_recorded_and_given_skills_once(name: str, streamed: bool, upstream: Upstream) -> None:
    recorded = MemoryClient(SKILLS)
    function = learning(getattr(litellm, name), space="s", client=recorded)
    upstream.say(SAID)
    await ask(function, **asked(name, upstream, stream=streamed))
    assert upstream.seen[0].prompt.count("<acontext-skills") == 1
    assert recorded.lines == ["user: hi", f"assistant: {SAID}"]
    assert recorded.outcome == ("success", "")
    assert "canary" not in str(recorded.recordings)


@every_function
async def test_what_it_raises_is_litellms_own(name: str, upstream: Upstream) -> None:
    recorded, raised = MemoryClient(), []
    for function in (getattr(litellm, name), learning(getattr(litellm, name), space="s", client=recorded)):
        upstream.say(Refused(500))
        with pytest.raises(litellm.exceptions.InternalServerError) as error:
            await ask(function, **asked(name, upstream))
        raised.append(type(error.value))
    assert raised[0] is raised[1]
    assert recorded.lines == ["user: hi"]
    assert recorded.outcome is not None
    assert recorded.outcome[0] == "failed"


@pytest.mark.parametrize("name", list(ASKED)[1:])  # LiteLLM itself keeps its newest sync stream of a chat
async def test_a_stream_that_nobody_reads_to_its_end_is_cancelled(name: str, upstream: Upstream) -> None:
    recorded = MemoryClient()
    upstream.say(SAID)
    function = learning(getattr(litellm, name), space="s", client=recorded)
    stream: Any = function(**asked(name, upstream, stream=True))
    stream = await stream if asyncio.iscoroutine(stream) else stream
    first = await anext(stream) if name not in ("completion", "responses") else next(stream)
    del stream, first
    gc.collect()
    await asyncio.to_thread(once, lambda: recorded.outcome is not None, "an outcome")
    assert recorded.outcome == ("cancelled", "")
    assert recorded.lines == ["user: hi"]


async def test_a_stream_is_of_its_class(upstream: Upstream) -> None:
    function = learning(litellm.acompletion, space="s", client=MemoryClient())
    stream = await function(**asked("acompletion", upstream, stream=True))
    assert isinstance(stream, litellm.CustomStreamWrapper)
    assert type(stream).__name__ == "CustomStreamWrapper"
    assert [chunk async for chunk in stream]


async def test_a_stream_that_its_reader_closes_is_cancelled(upstream: Upstream) -> None:
    recorded = MemoryClient()
    stream = await learning(litellm.acompletion, space="s", client=recorded)(
        **asked("acompletion", upstream, stream=True)
    )
    await anext(stream)
    await stream.aclose()
    assert recorded.outcome == ("cancelled", "")


async def test_a_stream_that_closes_itself_at_its_end_is_not_cancelled(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, read = MemoryClient(), litellm.CustomStreamWrapper.__anext__

    async def closing(stream: Any) -> Any:  # as newer versions do
        try:
            return await read(stream)
        except StopAsyncIteration:
            await stream.aclose()
            raise

    monkeypatch.setattr(litellm.CustomStreamWrapper, "__anext__", closing)
    upstream.say(SAID)
    await ask(learning(litellm.acompletion, space="s", client=recorded), **asked("acompletion", upstream, stream=True))
    assert recorded.lines == ["user: hi", f"assistant: {SAID}"]
    assert recorded.outcome == ("success", "")


async def test_a_call_that_is_cancelled_is_cancelled(upstream: Upstream) -> None:
    recorded, slow = MemoryClient(), Slow(SAID)
    upstream.say(slow)
    function = learning(litellm.acompletion, space="s", client=recorded)
    calling = asyncio.create_task(function(**asked("acompletion", upstream)))
    await asyncio.to_thread(slow.begun.wait, 30)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    slow.go.set()
    assert recorded.outcome == ("cancelled", "")


async def test_what_a_router_tries_again_elsewhere_is_one_turn(upstream: Upstream) -> None:
    recorded = MemoryClient(SKILLS)
    where = {"api_base": upstream.url, "api_key": "x"}
    models = [{"model_name": n, "litellm_params": {"model": f"openai/{n}", **where}} for n in ("first", "second")]
    router = litellm.Router(model_list=models, fallbacks=[{"first": ["second"]}], num_retries=0)
    wise = learning(router, space="s", client=recorded)
    upstream.say(Refused(500), SAID)
    metadata = {"session_id": "s1"}
    await wise.acompletion("first", [{"role": "user", "content": "hi"}], metadata=metadata)
    assert [request.body["model"] for request in upstream.seen] == ["first", "second"]
    assert recorded.lines == ["user: hi", f"assistant: {SAID}"]
    assert [outcome.status for outcome in recorded.session.outcomes] == ["success"]
    assert recorded.session.ref.key == "s1"
    assert isinstance(wise, litellm.Router)
    assert learning(wise, space="s", client=recorded) is wise


def test_the_hosts_own_messages_are_not_changed(upstream: Upstream) -> None:
    messages = [{"role": "system", "content": "Base."}, {"role": "user", "content": "hi"}]
    metadata: dict[str, Any] = {"mine": 1}
    function = learning(litellm.completion, space="s", client=MemoryClient(SKILLS))
    given = asked("completion", upstream, messages=messages, metadata=metadata)
    function(given.pop("model"), given.pop("messages"), **given)
    assert messages == [{"role": "system", "content": "Base."}, {"role": "user", "content": "hi"}]
    assert not any("acontext" in name for name in metadata)
    assert upstream.seen[0].system == f"Base.\n\n{SKILLS}"


def test_wrapped_again_with_the_same_options_it_is_the_same() -> None:
    recorded = MemoryClient()
    one = learning(litellm.completion, space="s", client=recorded)
    assert learning(one, space="s", client=recorded) is one
    other = learning(one, space="t", client=recorded)
    assert other is not one
    assert functions.mark_of(other).original is litellm.completion  # type: ignore[union-attr]


def test_what_a_host_writes_around_one_with_memory_is_its_own() -> None:
    complete = learning(litellm.completion, space="s", client=MemoryClient())

    @wraps(complete)
    def mine(**given: Any) -> Any:
        return complete(**given)

    assert functions.mark_of(mine) is None
    assert functions.mark_of(complete) is not None


async def test_inside_a_function_with_memory_its_calls_are_part_of_it(upstream: Upstream) -> None:
    recorded = MemoryClient()
    complete = learning(litellm.acompletion, space="s", client=recorded)

    @learning(space="s", client=recorded)
    async def agent(question: str) -> str:
        for _ in range(2):
            await complete(**asked("acompletion", upstream))
        return "done"

    await agent("hi")
    assert len(recorded.sessions) == 1
    assert [outcome.status for outcome in recorded.session.outcomes] == ["success"]


# -- callbacks
async def settled(logger: AcontextLogger) -> None:
    await asyncio.to_thread(once, lambda: not len(logger), "all calls have ended")


@pytest.mark.parametrize("name", ["acompletion", "aresponses", "anthropic_messages"])
@both_ways
async def test_callbacks_record_and_inject_into_async_calls(name: str, streamed: bool, upstream: Upstream) -> None:
    if streamed and name != "acompletion" and not NEW:
        return  # nothing is said of these streams by older versions
    recorded = MemoryClient(SKILLS)
    logger = AcontextLogger(space="s", client=recorded)
    litellm.callbacks = [logger]
    upstream.say(SAID)
    await ask(getattr(litellm, name), **asked(name, upstream, stream=streamed))
    await settled(logger)
    assert upstream.seen[0].prompt.count("<acontext-skills") == 1
    assert recorded.lines == ["user: hi", f"assistant: {SAID}"]
    assert recorded.outcome == ("success", "")


@both_ways
async def test_callbacks_record_sync_calls(streamed: bool, upstream: Upstream) -> None:
    recorded = MemoryClient(SKILLS)
    logger = AcontextLogger(space="s", client=recorded)
    litellm.callbacks = [logger]
    upstream.say(SAID)
    given = asked("completion", upstream, stream=streamed)
    await asyncio.to_thread(lambda: list(litellm.completion(**given)) if streamed else litellm.completion(**given))
    await settled(logger)
    assert recorded.lines == ["user: hi", f"assistant: {SAID}"]


async def test_callbacks_leave_alone_what_a_function_with_memory_records(upstream: Upstream) -> None:
    recorded, other = MemoryClient(), MemoryClient(SKILLS)
    logger = AcontextLogger(space="s", client=other)
    litellm.callbacks = [logger]
    upstream.say(SAID)
    await learning(litellm.acompletion, space="s", client=recorded)(**asked("acompletion", upstream))
    await settled(logger)
    assert recorded.lines == ["user: hi", f"assistant: {SAID}"]
    assert (other.sessions, other.queries) == ({}, [])


async def test_two_callbacks_record_each_for_itself(upstream: Upstream) -> None:
    memory_clients = MemoryClient(), MemoryClient()
    loggers = [AcontextLogger(space=name, client=recorded) for name, recorded in zip("ab", memory_clients, strict=True)]
    litellm.callbacks = [*loggers]
    upstream.say(SAID)
    await asyncio.to_thread(lambda: litellm.completion(**asked("completion", upstream)))
    for logger, recorded in zip(loggers, memory_clients, strict=True):
        await settled(logger)
        assert recorded.lines == ["user: hi", f"assistant: {SAID}"]


async def test_callbacks_say_of_a_failed_call_that_it_has_failed(upstream: Upstream) -> None:
    recorded = MemoryClient()
    litellm.callbacks = [AcontextLogger(space="s", client=recorded)]
    upstream.say(Refused(500))
    with pytest.raises(litellm.exceptions.InternalServerError):
        await litellm.acompletion(**asked("acompletion", upstream))
    failed: Callable[[], bool] = lambda: recorded.outcome is not None and recorded.outcome[0] == "failed"  # noqa: E731
    await asyncio.to_thread(once, failed, "a failure")


def test_importing_the_adapter_loads_no_litellm() -> None:
    code = "import sys, acontext_adapters.litellm as a; a.adapter().matches(print); assert 'litellm' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
