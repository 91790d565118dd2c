"""Wrapped things inside of wrapped things: one task, recorded once, and its context where the host's code runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from acontext_adapters.testing import SKILLS, MemoryClient
from acontext_plugins.learning import learning
from acontext_plugins.runs import current_run, report

agents = pytest.importorskip("agents")
openai = pytest.importorskip("openai")

from acontext_adapters.openai import exchange  # noqa: E402
from acontext_adapters.openai_agents import Runner  # noqa: E402

from .openai import loop  # noqa: E402
from .openai.scripted import Json, Provider, Tool  # noqa: E402
from .openai_agents.scripted import ScriptedModel, assistant_message, function_call  # noqa: E402

ASK = "weather in Oslo?"
LINES = ["user: weather in Oslo?", 'call: weather {"city":"Oslo"}', "result: 21C in Oslo", "assistant: 21C"]
RUNNERS = [agents.Runner, Runner]


class Tools:
    """The host's tools; they note which run they are part of."""

    def __init__(self) -> None:
        self.runs: list[str | None] = []
        self.say: tuple[Any, str] | None = None

    def weather(self, city: str) -> str:
        """The weather in a city."""
        run = current_run()
        self.runs.append(run.id if run is not None else None)
        if self.say is not None:
            report(*self.say)
        return f"21C in {city}"


@pytest.fixture
def memory() -> MemoryClient:
    return MemoryClient(SKILLS)


@pytest.fixture
def wrap(memory: MemoryClient) -> Any:
    def wrapped(target: Any, **options: Any) -> Any:
        return learning(target, space="s", client=memory, strict=True, deadline=30, **options)

    return wrapped


def provider() -> Provider:
    return Provider([Tool("weather", "c1")], "21C")


def agent(tools: Tools, model: Any = None) -> Any:
    script = [[function_call("weather", {"city": "Oslo"}, call_id="c1")], [assistant_message("21C")]]
    return agents.Agent(
        name="A",
        instructions="Base.",
        tools=[agents.function_tool(tools.weather)],
        model=model or ScriptedModel(script),
    )


def once(memory: MemoryClient) -> None:
    """One session, one run, one outcome, every line once."""
    assert memory.lines == LINES
    assert len({message.run_id for message in memory.session.messages}) == 1
    assert [(outcome.status, outcome.run_id) for outcome in memory.session.outcomes] == [
        ("success", memory.session.messages[0].run_id)
    ]


# -- a function around something that is wrapped, too
@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_function_around_an_agent_is_one_task(
    runner: Any, streamed: bool, wrap: Any, memory: MemoryClient
) -> None:
    tools = Tools()
    inner = wrap(agent(tools))

    @wrap
    async def handle(question: str) -> str:
        if streamed:
            result = runner.run_streamed(inner, question)
            async for _ in result.stream_events():
                pass
        else:
            result = await runner.run(inner, question)
        return str(result.final_output)

    assert await handle(ASK) == "21C"
    once(memory)
    assert tools.runs == [memory.session.messages[0].run_id]
    assert len(memory.queries) == 1


@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("talk", [loop.chat, loop.responses])
async def test_a_function_around_a_plain_client_is_one_task(
    talk: Any, kind: Any, streamed: bool, wrap: Any, memory: MemoryClient
) -> None:
    tools, upstream = Tools(), provider()
    client = wrap(loop.client(upstream, kind))

    @wrap
    async def handle(question: str) -> str:
        history: list[Json] = [{"role": "user", "content": question}]
        return str(await talk(client, history, tools, streamed=streamed))

    assert await handle(ASK) == "21C"
    once(memory)
    assert tools.runs == [memory.session.messages[0].run_id]
    assert len(memory.queries) == 1
    assert [prompt.count(SKILLS) for prompt in upstream.prompts] == [1, 1]


@pytest.mark.parametrize("runner", RUNNERS)
async def test_an_agent_over_a_plain_client_is_recorded_by_the_agent_alone(
    runner: Any, wrap: Any, memory: MemoryClient
) -> None:
    tools, upstream = Tools(), provider()
    client = wrap(loop.client(upstream, openai.AsyncOpenAI))
    model = agents.OpenAIChatCompletionsModel(model="m", openai_client=client)
    result = await runner.run(wrap(agent(tools, model)), ASK)
    assert result.final_output == "21C"
    once(memory)
    assert len(memory.queries) == 1
    assert [prompt.count(SKILLS) for prompt in upstream.prompts] == [1, 1]


@pytest.mark.parametrize("runner", RUNNERS)
async def test_a_function_around_an_agent_over_a_plain_client_is_one_task(
    runner: Any, wrap: Any, memory: MemoryClient
) -> None:
    tools, upstream = Tools(), provider()
    client = wrap(loop.client(upstream, openai.AsyncOpenAI))
    inner = wrap(agent(tools, agents.OpenAIResponsesModel(model="m", openai_client=client)))

    @wrap
    async def handle(question: str) -> str:
        return str((await runner.run(inner, question)).final_output)

    assert await handle(ASK) == "21C"
    once(memory)
    assert len(memory.queries) == 1
    assert [prompt.count(SKILLS) for prompt in upstream.prompts] == [1, 1]


async def test_a_function_around_a_function_is_one_task(wrap: Any, memory: MemoryClient) -> None:
    tools = Tools()
    client = wrap(loop.client(provider(), openai.AsyncOpenAI))

    @wrap
    async def inner(question: str) -> str:
        return await loop.chat(client, [{"role": "user", "content": question}], tools)

    @wrap
    async def outer(question: str) -> str:
        return str(await inner(question)).upper()

    assert await outer(ASK) == "21C"
    once(memory)
    assert tools.runs == [memory.session.messages[0].run_id]


async def test_two_agents_in_one_function_are_one_task(wrap: Any, memory: MemoryClient) -> None:
    client = wrap(loop.client(Provider("a plan", "a poem"), openai.AsyncOpenAI))

    @wrap
    async def handle(question: str) -> str:
        plan = await loop.chat(client, [{"role": "user", "content": f"plan: {question}"}], None)
        return await loop.chat(client, [{"role": "user", "content": f"write: {plan}"}], None)

    assert await handle("a poem") == "a poem"
    assert memory.lines == ["user: plan: a poem", "assistant: a plan", "user: write: a plan", "assistant: a poem"]
    assert len({message.run_id for message in memory.session.messages}) == 1
    assert [outcome.status for outcome in memory.session.outcomes] == ["success"]


async def test_a_call_that_fails_and_is_handled_by_its_function_is_no_failure(wrap: Any, memory: MemoryClient) -> None:
    client = wrap(loop.client(Provider(RuntimeError("503"), "ok"), openai.AsyncOpenAI))

    @wrap
    async def handle(question: str) -> str:
        for _ in range(2):
            try:
                return await loop.chat(client, [{"role": "user", "content": question}], None)
            except Exception as error:
                assert "503" in str(error) or "Connection" in str(error)  # noqa: PT017
        return ""

    assert await handle(ASK) == "ok"
    assert memory.lines == ["user: weather in Oslo?", "assistant: ok"]
    assert [outcome.status for outcome in memory.session.outcomes] == ["success"]


async def test_a_plain_client_in_an_agents_tool_is_part_of_what_the_agent_did(wrap: Any, memory: MemoryClient) -> None:
    client = wrap(loop.client(Provider("aside"), openai.AsyncOpenAI))

    @agents.function_tool
    async def weather(city: str) -> str:
        assert await loop.chat(client, [{"role": "user", "content": "a secret aside"}], None) == "aside"
        return f"21C in {city}"

    bare = agent(Tools())
    bare.tools = [weather]
    await agents.Runner.run(wrap(bare), ASK)
    once(memory)


async def test_the_history_that_a_function_goes_on_with_is_kept_once(wrap: Any, memory: MemoryClient) -> None:
    client = wrap(loop.client(Provider("a", "b"), openai.AsyncOpenAI))
    history: list[Json] = []

    @wrap
    async def handle(question: str) -> str:
        history.append({"role": "user", "content": question})
        return await loop.chat(client, history, None)

    handle = learning(handle, space="s", client=memory, strict=True, session="talk", deadline=30)
    await handle("one")
    await handle("two")
    assert memory.lines == ["user: one", "assistant: a", "user: two", "assistant: b"]
    assert len({message.run_id for message in memory.session.messages}) == 2
    assert [outcome.status for outcome in memory.session.outcomes] == ["success", "success"]


# -- the current run, and what is reported about it
@pytest.mark.parametrize("runner", RUNNERS)
async def test_a_tool_can_report_on_the_task_around_it(runner: Any, wrap: Any, memory: MemoryClient) -> None:
    tools = Tools()
    tools.say = ("failed", "the wrong city")
    inner = wrap(agent(tools))

    @wrap
    async def handle(question: str) -> str:
        return str((await runner.run(inner, question)).final_output)

    await handle(ASK)
    told = [(outcome.status, outcome.source, outcome.reason) for outcome in memory.session.outcomes]
    assert told == [("failed", "report", "the wrong city"), ("success", "framework", "")]
    assert len({outcome.run_id for outcome in memory.session.outcomes}) == 1


async def test_outside_of_a_run_there_is_none(wrap: Any, memory: MemoryClient, caplog: Any) -> None:
    client = wrap(loop.client(provider(), openai.AsyncOpenAI))
    tools = Tools()
    assert await loop.chat(client, [{"role": "user", "content": ASK}], tools) == "21C"
    assert tools.runs == [None], "the host runs its tools between two calls: nobody can know of which run"
    once(memory)
    assert current_run() is None


# -- generators
def test_a_generator_is_the_run_inside_and_not_in_its_consumer(wrap: Any, memory: MemoryClient) -> None:
    client = wrap(loop.client(Provider("one two three"), openai.OpenAI))
    inside: list[Any] = []

    @wrap
    def answer(question: str) -> Iterator[str]:
        asked = [{"role": "user", "content": question}]
        for chunk in client.chat.completions.create(model="m", messages=asked, stream=True):
            inside.append(current_run())
            yield chunk.choices[0].delta.content or "" if chunk.choices else ""

    words = []
    for word in answer("count"):
        assert current_run() is None
        words.append(word)
    assert "".join(words) == "one two three"
    assert {run.id for run in inside} == {memory.session.messages[0].run_id}
    assert memory.lines == ["user: count", "assistant: one two three"]
    assert [outcome.status for outcome in memory.session.outcomes] == ["success"]


async def test_an_async_generator_that_is_left_takes_its_stream_with_it(wrap: Any, memory: MemoryClient) -> None:
    client = wrap(loop.client(Provider("one two three"), openai.AsyncOpenAI))

    @wrap
    async def answer(question: str) -> AsyncIterator[str]:
        asked = [{"role": "user", "content": question}]
        async for chunk in await client.chat.completions.create(model="m", messages=asked, stream=True):
            yield chunk.choices[0].delta.content or ""

    items = answer("count")
    assert await anext(items) == ""
    assert current_run() is None
    await items.aclose()  # type: ignore[attr-defined]
    assert memory.lines == ["user: count"]
    assert [outcome.status for outcome in memory.session.outcomes] == ["cancelled"]


async def test_many_at_once_stay_apart(wrap: Any, memory: MemoryClient) -> None:
    async def one(number: int) -> None:
        tools = Tools()
        client = wrap(loop.client(provider(), openai.AsyncOpenAI))

        @wrap
        async def handle(question: str) -> str:
            return await loop.chat(client, [{"role": "user", "content": question}], tools)

        await handle(f"{ASK} {number}")

    await asyncio.gather(*(one(number) for number in range(10)))
    assert len(memory.sessions) == 10
    for session in memory.sessions.values():
        assert session.lines[1:] == LINES[1:]
        assert len({message.run_id for message in session.messages}) == 1


def test_nothing_of_all_that_is_kept_for_ever() -> None:
    assert len(exchange.calls) < 100
