"""Chat models and chains that are learned: skills in their prompts, their calls recorded once."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel, FakeListLLM
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableBinding, RunnableLambda, RunnableSequence
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from acontext_adapters.langchain import AcontextCallbackHandler
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning
from acontext_plugins.runs import Runtime, current_run

from .host import SKILLS
from .scripted import ScriptedModel, asks, call, model


def learned(target: Any, memory: MemoryClient, **options: Any) -> Any:
    return learning(target, space="s", client=memory, strict=True, **options)


def prompts(scripted: Any) -> list[list[Any]]:
    return [[(message.type, message.content) for message in prompt] for prompt in scripted.prompts]


HI = HumanMessage("hi")


async def test_a_model_is_given_skills_behind_its_system_message() -> None:
    memory, base = MemoryClient(SKILLS), model("one", "two", "three")
    chat = learned(base, memory)
    assert (await chat.ainvoke([SystemMessage("Base."), HI])).content == "one"
    assert chat.invoke("hi").content == "two"
    blocks = SystemMessage([{"type": "text", "text": "Base.", "cache_control": {"type": "ephemeral"}}])
    chat.invoke([blocks, HI])
    assert prompts(base) == [
        [("system", f"Base.\n\n{SKILLS}"), ("human", "hi")],
        [("system", SKILLS), ("human", "hi")],
        [("system", [*blocks.content, {"type": "text", "text": SKILLS}]), ("human", "hi")],
    ]


def test_skills_can_stand_in_the_users_turn() -> None:
    memory, base = MemoryClient(SKILLS), model("one")
    learned(base, memory, inject_as="user").invoke([SystemMessage("Base."), HI])
    assert prompts(base) == [[("system", "Base."), ("human", f"hi\n\n{SKILLS}")]]


def test_what_the_host_gave_is_not_changed() -> None:
    memory, base = MemoryClient(SKILLS), model("one")
    given = [SystemMessage("Base."), HumanMessage("hi")]
    learned(base, memory).invoke(given)
    assert [message.content for message in given] == ["Base.", "hi"]
    assert base.invoke.__self__ is base
    assert type(base) is ScriptedModel


def test_a_learned_model_is_of_its_class_and_learned_once() -> None:
    memory, base = MemoryClient(), model("one")
    chat = learned(base, memory)
    assert isinstance(chat, ScriptedModel)
    assert isinstance(chat, BaseChatModel)
    assert type(chat).__qualname__ == "ScriptedModel"
    assert chat.get_name() == base.get_name()
    assert learned(chat, memory) is chat
    other = learned(chat, memory, inject=False)
    assert other is not chat
    assert type(other) is type(chat)
    assert type(chat).__mro__[2] is ScriptedModel
    assert chat.model_copy().invoke("hi").content == "one"
    assert memory.lines == ["user: hi", "assistant: one"]


async def test_a_loop_written_by_hand_is_one_conversation_and_one_run() -> None:
    memory, base = MemoryClient(SKILLS), model(("weather", "c1"), "warm", "rainy")

    @tool
    def weather(city: str) -> str:
        """The weather."""
        return f"21C in {city}"

    chat = learned(base, memory).bind_tools([weather])
    messages: list[Any] = [SystemMessage("Base."), HumanMessage("weather?")]
    for question in (None, HumanMessage("and tomorrow?")):
        if question is not None:
            messages.append(question)
        while True:
            answer = await chat.ainvoke(messages)
            messages.append(answer)
            if not answer.tool_calls:
                break
            messages += [await weather.ainvoke(one) for one in answer.tool_calls]
    assert memory.lines == [
        "user: weather?",
        'call: weather {"city": "Oslo"}',
        "result: 21C in Oslo",
        "assistant: warm",
        "user: and tomorrow?",
        "assistant: rainy",
    ]
    assert len({message.run_id for message in memory.session.messages}) == 2
    assert [query.text for query in memory.queries] == ["weather?", "and tomorrow?"]
    assert [query.tools for query in memory.queries] == [["weather"], ["weather"]]
    assert [prompt[0][1] for prompt in prompts(base)] == [f"Base.\n\n{SKILLS}"] * 3
    assert base.bound == [["weather"]] * 3


async def test_streams_are_given_skills_and_recorded() -> None:
    memory, base = MemoryClient(SKILLS), model("one two", ("weather", "c1"))
    chat = learned(base, memory)
    assert [chunk.content for chunk in chat.stream("hi")][:2] == ["one ", "two"]
    assert current_run() is None
    async for _ in chat.astream([SystemMessage("Base."), HumanMessage("ho")]):
        pass
    lines = [session.lines for session in memory.sessions.values()]
    assert lines == [["user: hi", "assistant: one two"], ["user: ho", 'call: weather {"city": "Oslo"}']]
    assert [prompt[0][1] for prompt in prompts(base)] == [SKILLS, f"Base.\n\n{SKILLS}"]


async def test_a_stream_that_nobody_reads_to_its_end_leaves_nothing() -> None:
    memory = MemoryClient(SKILLS)
    chat = learned(model("one two", "three four"), memory)
    chunks = chat.stream("hi")
    next(chunks)
    chunks.close()
    achunks = chat.astream("hi")
    await anext(achunks)
    await achunks.aclose()
    assert memory.sessions == {}


def test_a_call_that_is_made_again_is_recorded_once() -> None:
    memory, base = MemoryClient(SKILLS), model(RuntimeError("503"), "ok")
    chat = learned(base, memory).with_retry(wait_exponential_jitter=False)
    assert chat.invoke("hi").content == "ok"
    assert memory.lines == ["user: hi", "assistant: ok"]
    assert [prompt[0][1] for prompt in prompts(base)] == [SKILLS] * 2


def test_structured_output_and_fallbacks_keep_the_skills() -> None:
    class Answer(TypedDict):
        """An answer."""

        degrees: int

    memory = MemoryClient(SKILLS)
    base = model(asks({"name": "Answer", "args": {"degrees": 21}, "id": "c1", "type": "tool_call"}))
    broken = model(RuntimeError("503"))
    instead = learned(base, memory).with_structured_output(Answer)
    chat = learned(broken, memory).with_structured_output(Answer).with_fallbacks([instead])
    assert chat.invoke("hi") == {"degrees": 21}
    assert [prompt[0][1] for prompt in prompts(base)] == [SKILLS]
    assert memory.lines == ["user: hi", 'call: Answer {"degrees": 21}']


def test_many_prompts_at_once_are_a_conversation_each() -> None:
    memory, base = MemoryClient(SKILLS), model("one", "two", "three", "four")
    chat = learned(base, memory)
    chat.batch(["a", "b"], {"max_concurrency": 1})
    chat.generate([[HumanMessage("c")], [HumanMessage("d")]])
    assert [session.lines[0] for session in memory.sessions.values()] == ["user: a", "user: b", "user: c", "user: d"]
    assert [prompt[0][1] for prompt in prompts(base)] == [SKILLS] * 4


def test_what_is_bound_around_a_model_stays_around_it() -> None:
    memory, base = MemoryClient(SKILLS), model("one")
    bound = base.bind(stop=["x"])
    chat = learned(bound, memory)
    assert isinstance(chat, RunnableBinding)
    assert chat.kwargs == {"stop": ["x"]}
    assert learned(chat, memory) is chat
    chat.invoke("hi")
    assert prompts(base)[0][0] == ("system", SKILLS)


def test_a_chain_is_one_run_with_its_outcome_and_its_model_is_given_skills() -> None:
    memory, base = MemoryClient(SKILLS), model("rainy", RuntimeError("503"))
    prompt = ChatPromptTemplate([("system", "Base."), ("human", "weather in {city}?")])
    chain = learned(prompt | base | StrOutputParser(), memory)
    assert isinstance(chain, RunnableSequence)
    assert learned(chain, memory) is chain
    assert chain.invoke({"city": "Oslo"}) == "rainy"
    with pytest.raises(RuntimeError, match="503"):
        chain.invoke({"city": "Rome"})
    told = [(session.lines, session.outcome and session.outcome.status) for session in memory.sessions.values()]
    assert told == [
        (["user: weather in Oslo?", "assistant: rainy"], "success"),
        (["user: weather in Rome?"], "failed"),
    ]
    assert [prompt[0][1] for prompt in prompts(base)] == [f"Base.\n\n{SKILLS}"] * 2


async def test_a_chain_keeps_its_ways_to_be_called() -> None:
    memory = MemoryClient()
    base = model("a b", "a b", "a b", "a b", "a b", "a b")
    chain = learned(ChatPromptTemplate([("human", "{x}")]) | base | StrOutputParser(), memory)
    assert await chain.ainvoke({"x": "1"}) == "a b"
    assert "".join(chain.stream({"x": "2"})) == "a b"
    assert "".join([chunk async for chunk in chain.astream({"x": "3"})]) == "a b"
    assert chain.batch([{"x": "4"}]) == ["a b"]
    assert await chain.abatch([{"x": "5"}], [{"tags": ["t"]}]) == ["a b"]
    events = [event["event"] async for event in chain.astream_events({"x": "6"}, version="v2")]
    assert events[0] == "on_chain_start"
    assert [session.lines for session in memory.sessions.values()] == [
        [f"user: {number}", "assistant: a b"] for number in range(1, 7)
    ]
    assert all(session.outcome and session.outcome.status == "success" for session in memory.sessions.values())


async def test_models_of_text_are_recorded_in_chains() -> None:
    memory = MemoryClient()
    chain = learned(RunnableLambda(lambda words: f"say {words}") | FakeListLLM(responses=["x"]), memory)
    assert chain.invoke("hi") == "x"
    assert await chain.ainvoke("hi") == "x"
    assert [session.lines for session in memory.sessions.values()] == [["user: say hi", "assistant: x"]] * 2


def test_a_handler_records_a_model_by_itself() -> None:
    memory = MemoryClient()
    handler = AcontextCallbackHandler(space="s", client=memory, strict=True)
    model("one").invoke("hi", {"callbacks": [handler], "metadata": {"thread_id": "t1"}})
    assert memory.session.ref.key == "t1"
    assert memory.lines == ["user: hi", "assistant: one"]
    assert len(handler) == 0


class State(TypedDict):
    messages: Annotated[list[AnyMessage], operator.add]


async def test_parallel_branches_are_given_the_same_text() -> None:
    memory, base = MemoryClient(SKILLS, delay=0.02), model("a", "b")
    chat = learned(base, memory)

    async def ask(state: State) -> dict[str, list[AIMessage]]:
        return {"messages": [await chat.ainvoke(state["messages"])]}

    builder = StateGraph(State).add_node("a", ask).add_node("b", ask)
    graph = learned(builder.add_edge(START, "a").add_edge(START, "b").compile(), memory)
    await graph.ainvoke({"messages": [HumanMessage("hi")]})
    assert len(memory.queries) == 1
    assert [prompt[0] for prompt in prompts(base)] == [("system", SKILLS)] * 2
    assert sorted(memory.lines) == ["assistant: a", "assistant: b", "user: hi"]


async def test_a_model_inside_of_a_tool_is_the_tools() -> None:
    memory, inner = MemoryClient(SKILLS), model("short")
    helper = learned(inner, memory)

    @tool
    async def shorten(text: str) -> str:
        """Makes it short."""
        return str((await helper.ainvoke(text)).content)

    agent = learned(create_agent(model(asks(call("shorten", "c1", text="long")), "fin"), [shorten]), memory)
    await agent.ainvoke({"messages": [("user", "hi")]})
    assert memory.lines == ["user: hi", 'call: shorten {"text": "long"}', "result: short", "assistant: fin"]
    assert prompts(inner) == [[("human", "long")]]


async def test_inside_of_another_frameworks_agent_a_model_records_and_injects_nothing() -> None:
    memory, base = MemoryClient(SKILLS), model("one")
    chat = learned(base, memory)
    agent = chat._acontext.runtime
    assert isinstance(agent, Runtime)
    with agent.start(label="other").active():
        await chat.ainvoke("hi")
    assert memory.sessions == {}
    assert prompts(base) == [[("human", "hi")]]


async def test_a_cancelled_call_is_cancelled() -> None:
    started = asyncio.Event()

    class Slow(ScriptedModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            started.set()
            await asyncio.sleep(60)

    memory = MemoryClient(SKILLS)
    asking = asyncio.create_task(learned(Slow(), memory).ainvoke("hi"))
    await started.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert memory.sessions == {}


def test_all_that_a_message_can_hold_is_kept() -> None:
    memory = MemoryClient()
    answer = AIMessage(
        [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "a"},
            {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}},
        ],
        tool_calls=[call("weather", "c1")],
        response_metadata={"model_provider": "anthropic"},
    )
    picture = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    chat = learned(model(answer, "done"), memory)
    first = HumanMessage([{"type": "text", "text": "look"}, picture])
    said = chat.invoke([first])
    chat.invoke(
        [first, said, ToolMessage([{"type": "text", "text": "21C"}, picture], tool_call_id="c1", name="weather")]
    )
    parts = [(part.type, part.text, part.meta) for message in memory.session.messages for part in message.parts]
    image = {"data": "aGk=", "media_type": "image/png"}
    assert parts == [
        ("text", "look", None),
        ("image", None, image),
        ("thinking", "hm", {"type": "thinking", "signature": "s"}),
        ("text", "a", None),
        ("tool-call", None, {"id": "c1", "name": "weather", "arguments": '{"city": "Oslo"}'}),
        ("tool-result", "21C", {"tool_call_id": "c1", "name": "weather"}),
        ("image", None, image),
        ("text", "done", None),
    ]
