"""A host that uses LangChain: its tools, its agents and its middleware, for the evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("langchain")

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool

from acontext_plugins.learning import learning
from tests.adapters.langchain.scripted import asks, call, model

from .harness import SPACE, Stage


# -- the host's tools
def tool(stage: Stage, name: str = "pay", fails: type[Exception] | None = None, **options: Any) -> BaseTool:
    """Pays, or fails. In a thread for sync runs, on the event loop for others."""

    def run(amount: int) -> str:
        with stage.log.running(name, amount=amount):
            if fails is not None:
                raise fails("the bank is closed")
            return f"done: {amount}"

    async def arun(amount: int) -> str:
        return run(amount)

    only = {"func": run} if stage.way == "sync" else {"coroutine": arun}
    return StructuredTool.from_function(**only, name=name, description=f"{name} an amount.", **options)


def waiting(stage: Stage, name: str = "pay") -> tuple[BaseTool, asyncio.Event]:
    """A tool that never comes back by itself, and the event that it has begun."""
    begun = asyncio.Event()

    async def arun(amount: int) -> str:
        with stage.log.running(name, amount=amount):
            begun.set()
            await asyncio.Event().wait()
        return "never"

    return StructuredTool.from_function(coroutine=arun, name=name, description="Waits."), begun


# -- the host's agent
def pays(stage: Stage, amount: Any = 3000, tool: str = "pay", id: str = "c") -> Any:
    return call(tool, f"{id}{stage.number}", amount=amount)


def agent(stage: Stage, *steps: Any, tools: Sequence[Any] | None = None, **options: Any) -> Any:
    made = create_agent(model(*steps), tools if tools is not None else [tool(stage)], **options)
    return learning(made, space=SPACE, client=stage.client, strict=True)


async def run(stage: Stage, target: Any, given: Any = None, config: Any = None, **options: Any) -> Any:
    if given is None:
        given = f"Always pay invoice {stage.number} of the plumber at once."
    if isinstance(given, str):
        given = {"messages": [{"role": "user", "content": given}]}
    if stage.way == "sync":
        return await asyncio.to_thread(target.invoke, given, config, **options)
    if stage.way == "async":
        return await target.ainvoke(given, config, **options)
    async for _ in target.astream(given, config, stream_mode=["updates", "messages"], **options):
        pass
    return None


def once(*steps: Callable[[Stage], Any], **options: Callable[[Stage], Any]) -> Callable[[Stage], Any]:
    """One run of an agent with these steps and options, each made for the stage."""

    async def play(stage: Stage) -> None:
        made = {name: option(stage) for name, option in options.items()}
        await run(stage, agent(stage, *(step(stage) for step in steps), **made))

    return play


def a_call(*amounts: int, tools: Sequence[str] = ()) -> Callable[[Stage], AIMessage]:
    def step(stage: Stage) -> AIMessage:
        names = tools or ["pay"] * len(amounts)
        pairs = enumerate(zip(names, amounts, strict=True))
        return asks(*(pays(stage, amount, name, f"c{at}-") for at, (name, amount) in pairs))

    return step


def says(words: str) -> Callable[[Stage], str]:
    return lambda stage: words


async def raises(stage: Stage, target: Any) -> None:
    with pytest.raises(ValueError, match="closed"):
        await run(stage, target)


# -- the host's middleware
class Hurry(AgentMiddleware[Any, Any, Any]):
    """The step behind the model's may take 0.01 seconds."""

    tools = ()
    graph: Any = None

    def after_model(self, state: Any, runtime: Any) -> None:
        self.graph.step_timeout = 0.01


class Hook(AgentMiddleware[Any, Any, Any]):
    """A middleware of the host's around each call, made of a function of the request and of what does the call."""

    tools = ()

    def __init__(self, around: Callable[[Any, Callable[[Any], Any]], Any]) -> None:
        super().__init__()
        self.around = around

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return self.around(request, handler)

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        done = self.around(request, handler)
        return await done if asyncio.iscoroutine(done) else done


class Checks(AgentMiddleware[Any, Any, Any]):
    """A guardrail of the host's on results."""

    tools = ()

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        handler(request)
        return self.refused(request)

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        await handler(request)
        return self.refused(request)

    def refused(self, request: Any) -> ToolMessage:
        return ToolMessage("the result is secret", tool_call_id=request.tool_call["id"], status="error")


class Selector(AgentMiddleware[Any, Any, Any]):
    """Offers no tool to the model."""

    tools = ()

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(request.override(tools=[]))

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return await handler(request.override(tools=[]))
