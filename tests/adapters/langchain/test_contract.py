"""LangChain and LangGraph keep the contract of all adapters, by every client that sees a whole run."""

from __future__ import annotations

import functools
import inspect
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command

from acontext_adapters.langchain import (
    AcontextCallbackHandler,
    AcontextMiddleware,
    convert,
    graph,
    handler,
    held_messages,
    middleware,
    model,
    placement,
    run_tracker,
)
from acontext_adapters.shared.resent_history import Conversations
from acontext_adapters.testing import AdapterContract, HostTools, MemoryClient, Played, Turn, Use
from acontext_plugins import runs
from acontext_plugins.learning import learning

from .scripted import ScriptedModel, asks, call

THREADS = itertools.count()
SEES_NO_SYSTEM_PROMPT = "a graph's agent makes its system prompt inside of the node: skills stand in the user's turn"
NEVER_WAITS = dict.fromkeys(("resume", "refusal"), "without a checkpointer nothing can wait")
#: What a handler takes, which injects nothing.
RECORDING = ("space", "client", "session", "principal", "strict")
SHARED: list[tuple[Any, str]] = [
    (run_tracker.LangChainRunTracker, "begin"),
    (run_tracker.LangChainRunTracker, "heard"),
    (run_tracker.LangChainRunTracker, "answered"),
    (run_tracker.LangChainRunTracker, "result"),
    (run_tracker.LangChainRunTracker, "_record"),
    (run_tracker.LangChainRunTracker, "query"),
    (run_tracker.LangChainRunTracker, "askills"),
    (run_tracker.LangChainRunTracker, "end"),
    (run_tracker, "frozen"),
    (held_messages, "rough_size"),
    (run_tracker, "by_user"),
    (convert, "_parts"),
    (runs.Runtime, "start"),
    (runs.Run, "record"),
    (runs.Run, "arecall"),
    (runs.Run, "end"),
]
GRAPH: list[tuple[Any, str]] = [
    (graph, "found"),
    (graph, "thread_of"),
    (graph, "tool_names"),
    (graph, "messages_in"),
]
NODES: list[tuple[Any, str]] = [
    (graph, "in_turns"),
    (graph, "restored"),
    (graph, "call_in"),
    (run_tracker.LangChainRunTracker, "visit"),
    (run_tracker.LangChainRunTracker, "gave"),
    (run_tracker.LangChainRunTracker, "tool_started"),
    (run_tracker.LangChainRunTracker, "tool_ended"),
    (run_tracker.LangChainRunTracker, "tool_raised"),
    (graph, "with_handler"),
    (placement, "_appended"),
    (placement, "_without"),
]
RESENT: list[tuple[Any, str]] = [
    (run_tracker.LangChainRunTracker, "follow"),
    (run_tracker.LangChainRunTracker, "remember"),
    (run_tracker, "items_of"),
    (Conversations, "sent"),
    (Conversations, "answered"),
]
HANDLER: list[tuple[Any, str]] = [
    (handler.AcontextCallbackHandler, "acontext_scope"),
    (handler.AcontextCallbackHandler, "_opened"),
    (handler.AcontextCallbackHandler, "_place"),
    (handler.AcontextCallbackHandler, "_closed"),
    (handler.AcontextCallbackHandler, "_asked"),
    (handler.AcontextCallbackHandler, "_answer"),
]


@pytest.fixture(autouse=True)
def _two_conversations(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of conversations is bounded; so low that the leak test sees the bound."""
    monkeypatch.setattr(run_tracker, "conversations", Conversations(sessions=2))


class Errors(AgentMiddleware[Any, Any, Any]):
    """The host tells the model what went wrong in a tool."""

    tools = ()

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return await handler(request)
        except ValueError as error:
            return ToolMessage(str(error), tool_call_id=request.tool_call["id"], status="error")


APPROVAL: Any = HumanInTheLoopMiddleware(interrupt_on={"guarded": True})


def scripted(turns: Sequence[Turn]) -> ScriptedModel:
    script: list[Any] = []
    for step in (step for turn in turns for step in turn.steps):
        if isinstance(step, tuple):
            script.append(asks(*(call(use.tool, use.call_id, **use.arguments) for use in step)))
        else:
            script.append(step)
    return ScriptedModel(steps=script)


def guarded(turn: Turn) -> list[Use]:
    """The calls that a person is asked about."""
    return [use for step in turn.steps if isinstance(step, tuple) for use in step if use.tool == "guarded"]


def structured(tool: Any) -> StructuredTool:
    """A tool on the event loop: those in threads end in any order, which the host sees with us or without."""

    @functools.wraps(tool)
    async def coroutine(city: str) -> str:
        result = tool(city)
        return await result if inspect.isawaitable(result) else result

    return StructuredTool.from_function(coroutine=coroutine, name=tool.__name__, description=tool.__doc__)


def plain(message: Any) -> Any:
    """A message without the ids that are made anew each time."""
    return [message.type, message.content, getattr(message, "tool_calls", None), getattr(message, "status", None)]


def settled(events: list[Any]) -> list[Any]:
    """Events with those of parallel tools in one order: the framework takes them as they come, in any."""

    def group(event: Any) -> bool:
        return bool(event[0] == "tool" or (event[0] == "updates" and event[1][0][0] == "tools"))

    order = []
    for of_tools, found in itertools.groupby(events, group):
        some = list(found)
        order += sorted(some, key=json.dumps) if of_tools else some
    return order


def given(recorded: MemoryClient, options: dict[str, Any]) -> dict[str, Any]:
    """What memory is told."""
    return {"space": "s", "client": recorded, "deadline": 0.01} | options


class TestAgent(AdapterContract):
    """`learning(create_agent(...))`, and the whole history sent again each time."""

    unsupported: ClassVar[Mapping[str, str]] = {"inject_as_system": SEES_NO_SYSTEM_PROMPT} | NEVER_WAITS

    steps: ClassVar[Sequence[tuple[Any, str]]] = [*SHARED, *GRAPH, *NODES, *RESENT]
    runs = 300

    def agent(self, model: Any, tools: list[Any], recorded: MemoryClient | None, options: dict[str, Any]) -> Any:
        agent = create_agent(model, tools, system_prompt="Base.", middleware=[Errors()])
        return self.learn(agent, recorded, options)

    def learn(self, target: Any, recorded: MemoryClient | None, options: dict[str, Any]) -> Any:
        return target if recorded is None else learning(target, **given(recorded, options))

    def config(self) -> dict[str, Any]:
        return {}

    def sends(self, history: list[Any], says: str) -> list[Any]:
        return [*history, {"role": "user", "content": says}]

    async def play(
        self,
        turns: Sequence[Turn],
        tools: HostTools,
        recorded: MemoryClient | None,
        *,
        streamed: bool = False,
        **options: Any,
    ) -> Played:
        scripted_model = scripted(turns)
        hosts = [structured(tool) for tool in (tools.weather, tools.broken, tools.slow, tools.guarded)]
        agent = self.agent(scripted_model, hosts, recorded, options)
        played = Played()
        config = self.config()
        history: list[Any] = []
        for turn in turns:
            state = await self.turn(agent, {"messages": self.sends(history, turn.says)}, config, played, streamed)
            while state.get("__interrupt__"):
                decisions = [{"type": "reject" if use.refused else "approve"} for use in guarded(turn)]
                answer = Command(resume={"decisions": decisions})
                state = await self.turn(agent, answer, config, played, streamed)
            history = state["messages"]
            played.see([plain(message) for message in history])
        played.history = [message.model_dump(mode="json") for message in history]
        played.prompts = [
            "\n".join(f"{message.type}: {convert.text_of(message.content)}" for message in prompt)
            for prompt in scripted_model.prompts
        ]
        return played

    async def turn(self, agent: Any, given: Any, config: Any, played: Played, streamed: bool) -> dict[str, Any]:
        """The state after a run, and in it `__interrupt__` where that waits for a person."""
        if not streamed:
            state: dict[str, Any] = await agent.ainvoke(given, config)
            return state
        begun = len(played.seen)
        state = {}
        async for mode, chunk in agent.astream(given, config, stream_mode=["updates", "messages", "values"]):
            if mode == "messages":
                played.see(plain(chunk[0]))
            elif mode == "values":
                state = {**state, **chunk}
            else:
                waits = "__interrupt__" in chunk
                state = {**state, "__interrupt__": waits}
                played.see([mode, [[node, *map(plain, _messages(update))] for node, update in chunk.items()]])
        played.seen[begun:] = settled(played.seen[begun:])
        return state


def _messages(update: Any) -> list[Any]:
    return list(update.get("messages", ())) if isinstance(update, dict) else []


class TestAgentWithCheckpointer(TestAgent):
    """The graph keeps the conversation; the thread is the session."""

    unsupported: ClassVar[Mapping[str, str]] = {
        "inject_as_system": SEES_NO_SYSTEM_PROMPT,
        "session": "a checkpointer needs a thread, and that is the conversation",
    }

    steps: ClassVar[Sequence[tuple[Any, str]]] = [*SHARED, *GRAPH, *NODES]

    def agent(self, model: Any, tools: list[Any], recorded: MemoryClient | None, options: dict[str, Any]) -> Any:
        agent = create_agent(
            model, tools, system_prompt="Base.", middleware=[Errors(), APPROVAL], checkpointer=InMemorySaver()
        )
        return self.learn(agent, recorded, options)

    def config(self) -> dict[str, Any]:
        return {"configurable": {"thread_id": f"thread-{next(THREADS)}"}}

    def sends(self, history: list[Any], says: str) -> list[Any]:
        return [{"role": "user", "content": says}]


class TestAgentWithMiddleware(TestAgent):
    """Skills stand behind the system prompt; the graph says how runs end."""

    unsupported: ClassVar[Mapping[str, str]] = {
        "bare_original": "the middleware is a part of it",
    } | NEVER_WAITS

    steps: ClassVar[Sequence[tuple[Any, str]]] = [*SHARED, *GRAPH]

    def agent(self, model: Any, tools: list[Any], recorded: MemoryClient | None, options: dict[str, Any]) -> Any:
        ours: list[Any] = [] if recorded is None else [AcontextMiddleware(**given(recorded, options))]
        agent = create_agent(model, tools, system_prompt="Base.", middleware=[*ours, Errors()])
        return self.learn(agent, recorded, options)


class TestGraphWrittenByHand(TestAgent):
    """A learned chat model in a learned graph: one run, recorded once."""

    unsupported: ClassVar[Mapping[str, str]] = NEVER_WAITS

    steps: ClassVar[Sequence[tuple[Any, str]]] = [
        *SHARED,
        *GRAPH,
        *RESENT,
        *HANDLER,
        (graph, "with_handler"),
        (model, "_messages"),
        (model, "tool_names"),
        (model, "in_prompt"),
    ]

    def agent(self, model: Any, tools: list[Any], recorded: MemoryClient | None, options: dict[str, Any]) -> Any:
        bound = self.learn(model, recorded, options).bind_tools(tools)

        async def ask(state: MessagesState) -> dict[str, list[AIMessage]]:
            return {"messages": [await bound.ainvoke([("system", "Base."), *state["messages"]])]}

        builder = StateGraph(MessagesState)
        builder.add_node("ask", ask)
        builder.add_node("tools", ToolNode(tools, handle_tool_errors=True))
        builder.add_edge(START, "ask")
        builder.add_conditional_edges("ask", tools_condition)
        builder.add_edge("tools", "ask")
        return self.learn(builder.compile(), recorded, options)


class TestHandlerAndMiddleware(TestAgent):
    """Nothing is wrapped: a middleware in the agent, a handler in its configuration."""

    unsupported: ClassVar[Mapping[str, str]] = {
        "wrapping": "a middleware and a handler stand in the host's own agent",
        "bare_original": "a middleware and a handler stand in the host's own agent",
        "current_run_in_tools": "a callback handler is told of tools, and stands around none",
    } | NEVER_WAITS
    steps: ClassVar[Sequence[tuple[Any, str]]] = [
        *SHARED,
        *RESENT,
        *HANDLER,
        (middleware, "found"),
        (middleware, "in_request"),
        (middleware, "tool_names"),
    ]

    def agent(self, model: Any, tools: list[Any], recorded: MemoryClient | None, options: dict[str, Any]) -> Any:
        if recorded is None:
            return create_agent(model, tools, system_prompt="Base.", middleware=[Errors()])
        ours = AcontextMiddleware(**given(recorded, options))
        agent = create_agent(model, tools, system_prompt="Base.", middleware=[ours, Errors()])
        recording = {name: value for name, value in given(recorded, options).items() if name in RECORDING}
        return agent.with_config(callbacks=[AcontextCallbackHandler(**recording)])
