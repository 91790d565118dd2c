"""Everything a run of LangChain or LangGraph can come to, each as a host that is driven once bare and once learned."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
)
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from .host import Errors, Host, plain_weather
from .scripted import asks, call, model


@dataclass(frozen=True)
class Scenario:
    name: str
    drive: Callable[[Host], Awaitable[Any]]
    #: The lines of the main session, in order.
    lines: tuple[str, ...]
    outcome: tuple[str, str] | None
    #: Further sessions, by the label of their agent.
    others: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: What parallel tools record may come in any order.
    unordered: bool = False

    def __str__(self) -> str:
        return self.name


ASK = "user: weather in Oslo?"
CALL = 'call: weather {"city": "Oslo"}'
RESULT = "result: 21C in Oslo"
SUCCESS = ("success", "")
CANCELLED = ("cancelled", "")
TALK = [ASK, CALL, RESULT, "assistant: ok"]
SCENARIOS: list[Scenario] = []


def scenario(
    lines: list[str], outcome: tuple[str, str] | None, *, others: Any = None, unordered: bool = False
) -> Callable[[Callable[[Host], Awaitable[Any]]], Callable[[Host], Awaitable[Any]]]:
    def add(drive: Callable[[Host], Awaitable[Any]]) -> Callable[[Host], Awaitable[Any]]:
        SCENARIOS.append(Scenario(drive.__name__, drive, tuple(lines), outcome, others or {}, unordered))
        return drive

    return add


def learned(host: Host, *steps: Any, **changes: Any) -> Any:
    return host.wrap(host.agent(model(*steps), **changes))


@scenario(TALK, SUCCESS)
async def success(host: Host) -> None:
    await host.run(learned(host, ("weather", "c1"), "ok"))


@scenario(TALK, SUCCESS)
async def success_sync(host: Host) -> None:
    agent = learned(host, ("weather", "c1"), "ok", tools=[plain_weather])
    host.run_sync(agent)


@scenario(TALK, SUCCESS)
async def streamed_updates(host: Host) -> None:
    await host.stream(learned(host, ("weather", "c1"), "ok"), stream_mode="updates")


@scenario(TALK, SUCCESS)
async def streamed_messages(host: Host) -> None:
    await host.stream(learned(host, ("weather", "c1"), "ok"), stream_mode="messages")


@scenario(TALK, SUCCESS)
async def streamed_in_all_modes(host: Host) -> None:
    modes = ["values", "updates", "messages", "custom", "tasks", "debug"]
    await host.stream(learned(host, ("weather", "c1"), "ok"), stream_mode=modes)


@scenario(TALK, SUCCESS)
async def streamed_sync(host: Host) -> None:
    agent = learned(host, ("weather", "c1"), "ok", tools=[plain_weather])
    host.stream_sync(agent, stream_mode=["values", "messages"])


@scenario(TALK, SUCCESS)
async def events(host: Host) -> None:
    agent = learned(host, ("weather", "c1"), "ok")
    given = {"messages": [("user", "weather in Oslo?")]}
    async for event in agent.astream_events(given, host.config(), version="v2"):
        host.add("event", event["event"], event["name"])


@scenario(TALK, SUCCESS, others={"A": ("user: and in Rome?", "assistant: rainy")})
async def batch(host: Host) -> None:
    agent = learned(host, ("weather", "c1"), "ok", "rainy")
    inputs = [{"messages": [("user", words)]} for words in ("weather in Oslo?", "and in Rome?")]
    host.add("batch", await agent.abatch(inputs, {**host.config(), "max_concurrency": 1}))


@scenario([ASK, 'call: count {"city": "Oslo"}', 'result: {"people": 4}', "assistant: ok"], SUCCESS)
async def structured_result(host: Host) -> None:
    await host.run(learned(host, ("count", "c1"), "ok"))


@scenario(
    [ASK, CALL, 'call: broken {"city": "Rome"}', RESULT, "error: no such city", "assistant: ok"],
    SUCCESS,
    unordered=True,
)
async def parallel_tools(host: Host) -> None:
    first = asks(call("weather", "c1"), call("broken", "c2", city="Rome"))
    await host.run(learned(host, first, "ok", middleware=[Errors()]))


@scenario([ASK], ("failed", "RuntimeError: 503"))
async def model_raises(host: Host) -> None:
    await host.run(learned(host, RuntimeError("503")))


@scenario([ASK, CALL, RESULT], ("failed", "RuntimeError: 503"))
async def model_raises_streamed(host: Host) -> None:
    await host.stream(learned(host, ("weather", "c1"), RuntimeError("503")))


@scenario([ASK, CALL, RESULT], ("failed", "RuntimeError: 503"))
async def model_raises_sync(host: Host) -> None:
    agent = learned(host, ("weather", "c1"), RuntimeError("503"), tools=[plain_weather])
    host.run_sync(agent)


@scenario([ASK, 'call: broken {"city": "Oslo"}'], ("failed", "ValueError: no such city"))
async def tool_raises(host: Host) -> None:
    await host.run(learned(host, ("broken", "c1"), "never"))


@scenario([ASK, 'call: unknown {"city": "Oslo"}', "error: Error: unknown", "assistant: ok"], SUCCESS)
async def unknown_tool(host: Host) -> None:
    await host.run(learned(host, ("unknown", "c1"), "ok"))


LIMIT = "GraphRecursionError: Recursion limit of 2 reached"


@scenario([ASK, CALL, RESULT], ("failed", LIMIT))
async def recursion_limit(host: Host) -> None:
    await host.run(learned(host, ("weather", "c1"), "never"), config=host.config(recursion_limit=2))


@scenario([ASK, 'call: slow {"city": "Oslo"}'], CANCELLED)
async def cancelled(host: Host) -> None:
    started = asyncio.Event()

    @tool
    async def slow(city: str) -> str:
        """Never comes back by itself."""
        started.set()
        await asyncio.sleep(60)
        return "late"

    agent = learned(host, ("slow", "c1"), "never", tools=[slow])
    running = asyncio.create_task(host.run(agent))
    await started.wait()
    running.cancel()
    await asyncio.wait([running])


@scenario([ASK, CALL], CANCELLED)
async def stream_abandoned(host: Host) -> None:
    await host.stream(learned(host, ("weather", "c1"), "never"), stop=1, stream_mode="updates")


@scenario([ASK, CALL], CANCELLED)
async def stream_abandoned_sync(host: Host) -> None:
    agent = learned(host, ("weather", "c1"), "never", tools=[plain_weather])
    host.stream_sync(agent, stop=1, stream_mode="updates")


@scenario([*TALK, "user: and tomorrow?", "assistant: the same"], SUCCESS)
async def history_sent_again(host: Host) -> None:
    agent = learned(host, ("weather", "c1"), "ok", "the same")
    result = await host.run(agent)
    await host.run(agent, {"messages": [*result["messages"], {"role": "user", "content": "and tomorrow?"}]})


@scenario([*TALK, "user: and tomorrow?", "assistant: the same"], SUCCESS)
async def history_sent_again_as_dicts(host: Host) -> None:
    agent = learned(host, asks(call("weather", "dicts-1")), "ok", "the same")
    await host.run(agent)
    history = [
        {"role": "user", "content": "weather in Oslo?"},
        {"role": "assistant", "content": "", "tool_calls": [call("weather", "dicts-1")]},
        {"role": "tool", "tool_call_id": "dicts-1", "content": "21C in Oslo"},
        {"role": "assistant", "content": "ok"},
    ]
    await host.run(agent, {"messages": [*history, {"role": "user", "content": "and tomorrow?"}]})


@scenario([*TALK, "user: and tomorrow?", "assistant: the same"], SUCCESS)
async def checkpointer(host: Host) -> None:
    agent = learned(host, ("weather", "c1"), "ok", "the same", checkpointer=InMemorySaver())
    config = host.config(thread=True)
    await host.run(agent, config=config)
    await host.run(agent, "and tomorrow?", config=config)
    host.add("state", (await agent.aget_state(config)).values)


def approving(host: Host, *steps: Any) -> tuple[Any, Any]:
    approval = HumanInTheLoopMiddleware(interrupt_on={"weather": True})
    return learned(host, *steps, middleware=[approval], checkpointer=InMemorySaver()), host.config(thread=True)


@scenario([ASK, CALL], ("interrupted", "weather"))
async def awaits_approval(host: Host) -> None:
    agent, config = approving(host, ("weather", "c1"), "ok")
    await host.run(agent, config=config)


@scenario(TALK, SUCCESS)
async def approved(host: Host) -> None:
    agent, config = approving(host, ("weather", "c1"), "ok")
    await host.run(agent, config=config)
    await host.run(agent, Command(resume={"decisions": [{"type": "approve"}]}), config)


@scenario(TALK, SUCCESS)
async def approved_streamed(host: Host) -> None:
    agent, config = approving(host, ("weather", "c1"), "ok")
    await host.stream(agent, config=config, stream_mode="messages")
    await host.stream(agent, Command(resume={"decisions": [{"type": "approve"}]}), config, stream_mode="updates")


@scenario([ASK, CALL, "error: User rejected", "assistant: sorry"], SUCCESS)
async def rejected(host: Host) -> None:
    agent, config = approving(host, ("weather", "c1"), "sorry")
    await host.run(agent, config=config)
    await host.run(agent, Command(resume={"decisions": [{"type": "reject", "message": "not today"}]}), config)


@scenario([ASK, 'call: asking {"city": "Oslo"}', "result: done: yes", "assistant: ok"], SUCCESS)
async def tool_asks(host: Host) -> None:
    agent = learned(host, ("asking", "c1"), "ok", checkpointer=InMemorySaver())
    config = host.config(thread=True)
    await host.run(agent, config=config)
    await host.run(agent, Command(resume="yes"), config)


@scenario(TALK, SUCCESS)
async def breakpoint_before_tools(host: Host) -> None:
    agent = learned(host, ("weather", "c1"), "ok", checkpointer=InMemorySaver(), interrupt_before=["tools"])
    config = host.config(thread=True)
    await host.run(agent, config=config)
    try:
        host.add("result", await agent.ainvoke(None, config))
    except Exception as error:
        host.add("raised", error)


@scenario(TALK, SUCCESS)
async def goes_on_after_a_failure(host: Host) -> None:
    agent = learned(host, ("weather", "c1"), RuntimeError("503"), "ok", checkpointer=InMemorySaver())
    config = host.config(thread=True)
    await host.run(agent, config=config)
    try:
        host.add("result", await agent.ainvoke(None, config))
    except Exception as error:
        host.add("raised", error)


def retry() -> Any:
    return ModelRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)


@scenario([ASK, "assistant: ok"], SUCCESS)
async def retried_inside(host: Host) -> None:
    await host.run(learned(host, RuntimeError("503"), "ok", middleware=[retry()]))


@scenario([ASK, "assistant: ok"], SUCCESS)
async def retried_outside(host: Host) -> None:
    await host.run(learned(host, RuntimeError("503"), "ok", before=[retry()]))


@scenario([ASK, CALL, RESULT], SUCCESS)
async def call_limit(host: Host) -> None:
    limit = ModelCallLimitMiddleware(run_limit=1)
    await host.run(learned(host, ("weather", "c1"), "never", middleware=[limit]))


class Answer(BaseModel):
    """What the host wants."""

    degrees: int


@scenario([ASK, 'call: Answer {"degrees": 21}', "result: Returning structured response: degrees=21"], SUCCESS)
async def structured_answer(host: Host) -> None:
    answer = asks({"name": "Answer", "args": {"degrees": 21}, "id": "c1", "type": "tool_call"})
    await host.run(learned(host, answer, response_format=ToolStrategy(Answer)))


@scenario([*TALK, "user: and tomorrow?", "assistant: the same"], SUCCESS)
async def summarized(host: Host) -> None:
    summary = SummarizationMiddleware(
        model=host.model(model("they talked")), trigger=("messages", 4), keep=("messages", 1)
    )
    agent = learned(host, ("weather", "c1"), "ok", "the same", middleware=[summary], checkpointer=InMemorySaver())
    config = host.config(thread=True)
    await host.run(agent, config=config)
    await host.run(agent, "and tomorrow?", config=config)
    host.add("state", (await agent.aget_state(config)).values)


#: Older versions leave calls that are no JSON without a result.
REPAIRED = ["error: Tool call weather"] if tuple(map(int, version("langchain").split(".")[:2])) >= (1, 4) else []


@scenario([ASK, "call: weather {broken", *REPAIRED, "assistant: ok"], SUCCESS)
async def invalid_call_repaired(host: Host) -> None:
    invalid = {"name": "weather", "args": "{broken", "id": "c1", "error": "no JSON", "type": "invalid_tool_call"}
    first = AIMessage(content="", invalid_tool_calls=[invalid], id="ai-1")
    agent = learned(host, first, "ok", checkpointer=InMemorySaver())
    config = host.config(thread=True)
    await host.run(agent, config=config)
    await host.run(agent, {"messages": []}, config)
    host.add("state", (await agent.aget_state(config)).values)


def with_sub(host: Host, sub: Any, *rest: Any) -> Any:
    @tool
    async def ask_sub(question: str) -> str:
        """Asks another agent."""
        result = await sub.ainvoke({"messages": [{"role": "user", "content": question}]})
        return str(result["messages"][-1].content)

    first = asks(call("ask_sub", "t1", question="how warm?"))
    return host.wrap(host.agent(model(first, *rest), tools=[ask_sub]))


ASK_SUB = 'call: ask_sub {"question": "how warm?"}'


@scenario([ASK, ASK_SUB, "result: warm", "assistant: fin"], SUCCESS)
async def bare_sub_agent(host: Host) -> None:
    from langchain.agents import create_agent

    sub = create_agent(host.model(model("warm")), [], name="SUB")
    await host.run(with_sub(host, sub, "fin"))


SUB = ("user: how warm?", CALL, RESULT, "assistant: warm")


@scenario([ASK, ASK_SUB, "result: warm", "assistant: fin"], SUCCESS, others={"SUB": SUB})
async def learned_sub_agent(host: Host) -> None:
    sub = learned(host, ("weather", "s1"), "warm", name="SUB")
    await host.run(with_sub(host, sub, "fin"))


@scenario([ASK, ASK_SUB], ("failed", "RuntimeError: 503"), others={"SUB": ("user: how warm?",)})
async def learned_sub_agent_fails(host: Host) -> None:
    sub = learned(host, RuntimeError("503"), name="SUB")
    await host.run(with_sub(host, sub, "never"))


def supervisor(host: Host, agent: Any, **options: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_edge(START, "agent")
    return builder.compile(**options)


@scenario(TALK, SUCCESS)
async def learned_agent_in_a_graph(host: Host) -> None:
    await host.run(supervisor(host, learned(host, ("weather", "c1"), "ok")))


@scenario(TALK, SUCCESS)
async def learned_agent_in_a_learned_graph(host: Host) -> None:
    await host.run(host.wrap(supervisor(host, learned(host, ("weather", "c1"), "ok"))))


@scenario([ASK, "assistant: ok"], SUCCESS)
async def message_object(host: Host) -> None:
    agent = learned(host, "ok")
    await host.run(agent, {"messages": HumanMessage([{"type": "text", "text": "weather in Oslo?"}])})


@scenario([ASK, "assistant: ok"], SUCCESS)
async def own_callbacks_of_the_graph(host: Host) -> None:
    agent = host.agent(model("ok")).with_config(host.config())
    await host.run(host.wrap(agent), config={"tags": ["x"]})


@scenario([ASK, "assistant: ok"], SUCCESS)
async def own_system_message(host: Host) -> None:
    await host.run(learned(host, "ok", system_prompt=None))
