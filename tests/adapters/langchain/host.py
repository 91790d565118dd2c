"""A host that uses LangChain and LangGraph, with tools of every temper, and notes all that it can see of a run."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.types import Command, interrupt

from .scripted import ScriptedModel

SKILLS = '<acontext-skills id="5c1115">\nUse when: weather\n1. weather: ask for the city\n</acontext-skills>'
THREADS = itertools.count()


# -- the host's tools
@tool
async def weather(city: str) -> str:
    """The weather."""
    return f"21C in {city}"


@tool
async def count(city: str) -> dict[str, int]:
    """A structured result."""
    return {"people": len(city)}


@tool
async def broken(city: str) -> str:
    """Fails, and the run with it."""
    raise ValueError("no such city")


@tool
async def asking(city: str) -> str:
    """Waits for somebody."""
    return f"done: {interrupt('may I?')}"


TOOLS = [weather, count, broken, asking]


@tool("weather")
def plain_weather(city: str) -> str:
    """The weather, from a function that is none of the event loop's."""
    return f"21C in {city}"


class Errors(AgentMiddleware[Any, Any, Any]):
    """The host tells the model what went wrong in a tool."""

    tools = ()

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return await handler(request)
        except ValueError as error:
            return ToolMessage(str(error), tool_call_id=request.tool_call["id"], status="error")


# -- what the host sees
def plain(value: Any) -> Any:
    """Anything that a run gives, as values that can be compared: without ids that are made anew each time."""
    if isinstance(value, str):
        value = value.replace("\n\n" + SKILLS, "").replace(SKILLS, "")
        return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|[0-9a-f]{32}", "#", value)
    if isinstance(value, int | float | bool | None):
        return value
    if isinstance(value, BaseMessage):
        content = plain(value.content)
        calls = [[call["name"], call["args"], call["id"]] for call in getattr(value, "tool_calls", ())]
        return [value.type, content, calls, getattr(value, "status", None)]
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items() if key not in ("checkpoint", "config")}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value if not _ours(inner)]
    if isinstance(value, Command):
        return ["Command", plain(value.update), str(value.goto)]
    if isinstance(value, BaseException):
        return [type(value).__name__, plain(str(value))]
    if hasattr(value, "value") and hasattr(value, "id"):  # an Interrupt
        return ["Interrupt", plain(value.value)]
    return type(value).__name__


def _ours(value: Any) -> bool:
    """A system message or a block that holds our text and nothing else: what a host without us would not see."""
    if isinstance(value, SystemMessage):
        return bool(value.content == SKILLS)
    return isinstance(value, dict) and value.get("text") == SKILLS


class Spy(BaseCallbackHandler):
    """The host's own handler: which events come, in which order, with what."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.seen.append(["chain start", kwargs.get("name"), plain(inputs)])

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.seen.append(["chain end", plain(outputs)])

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        self.seen.append(["chain error", plain(error)])

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.seen.append(["model start", serialized and serialized.get("name"), plain(messages)])

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.seen.append(["token", plain(token)])

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.seen.append(["model end", plain(response.generations[0][0].message)])

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.seen.append(["model error", plain(error)])

    def on_tool_start(self, serialized: Any, given: str, **kwargs: Any) -> None:
        self.seen.append(["tool start", serialized.get("name"), plain(given)])

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self.seen.append(["tool end", plain(output)])

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        self.seen.append(["tool error", plain(error)])


class Host:
    """Drives one scenario with a way to learn what it makes, and notes what it sees."""

    def __init__(
        self, wrap: Callable[[Any], Any] = lambda target: target, middleware: Any = list, handlers: Any = ()
    ) -> None:
        self.wrap = wrap
        self.handlers = list(handlers)
        self.middleware: Callable[[], list[Any]] = middleware
        self.seen: list[Any] = []
        self.events: list[Any] = []
        self.models: list[ScriptedModel] = []

    def model(self, model: ScriptedModel) -> ScriptedModel:
        self.models.append(model)
        return model

    def agent(self, model: ScriptedModel, *, middleware: Any = (), before: Any = (), **changes: Any) -> Any:
        given: dict[str, Any] = {"tools": TOOLS, "system_prompt": "Base.", "name": "A", **changes}
        return create_agent(self.model(model), middleware=[*before, *self.middleware(), *middleware], **given)

    def config(self, *, thread: bool = False, **more: Any) -> dict[str, Any]:
        config: dict[str, Any] = {"callbacks": [Spy(self.events), *self.handlers], **more}
        if thread:
            config["configurable"] = {"thread_id": f"t{next(THREADS)}"}
        return config

    def add(self, *event: Any) -> None:
        self.seen.append(plain(list(event)))

    async def run(self, runnable: Any, given: Any = "weather in Oslo?", config: Any = None, **options: Any) -> Any:
        given = {"messages": [{"role": "user", "content": given}]} if isinstance(given, str) else given
        try:
            result = await runnable.ainvoke(given, config or self.config(), **options)
        except BaseException as error:
            self.add("raised", error)
            return None
        self.add("result", result)
        return result

    def run_sync(self, runnable: Any, given: Any = "weather in Oslo?", config: Any = None, **options: Any) -> Any:
        given = {"messages": [{"role": "user", "content": given}]} if isinstance(given, str) else given
        try:
            result = runnable.invoke(given, config or self.config(), **options)
        except BaseException as error:
            self.add("raised", error)
            return None
        self.add("result", result)
        return result

    async def stream(
        self, runnable: Any, given: Any = "weather in Oslo?", config: Any = None, *, stop: int = 0, **options: Any
    ) -> None:
        given = {"messages": [{"role": "user", "content": given}]} if isinstance(given, str) else given
        chunks = runnable.astream(given, config or self.config(), **options)
        number = 0
        try:
            async for chunk in chunks:
                number += 1
                self.add("chunk", _without_metadata(chunk))
                if number == stop:
                    break
        except BaseException as error:
            self.add("raised", error)
        finally:
            if stop:
                await chunks.aclose()

    def stream_sync(
        self, runnable: Any, given: Any = "weather in Oslo?", config: Any = None, *, stop: int = 0, **options: Any
    ) -> None:
        given = {"messages": [{"role": "user", "content": given}]} if isinstance(given, str) else given
        chunks = runnable.stream(given, config or self.config(), **options)
        number = 0
        try:
            for chunk in chunks:
                number += 1
                self.add("chunk", _without_metadata(chunk))
                if number == stop:
                    break
        except BaseException as error:
            self.add("raised", error)
        finally:
            if stop:
                chunks.close()

    def saw(self, *, unordered: bool = False) -> list[Any]:
        """All that was seen: results, chunks and exceptions; callbacks; what the models were asked."""
        asked = [plain(list(prompt)) for model in self.models for prompt in model.prompts]
        asked.append([[sorted(names) for names in model.bound] for model in self.models])
        seen = [self.seen, self.events, asked]
        return [sorted(json.dumps(one) for one in part) for part in seen] if unordered else seen


def _without_metadata(chunk: Any) -> Any:
    """A chunk without the timestamps and ids that stand beside messages."""
    if isinstance(chunk, tuple) and len(chunk) == 2 and isinstance(chunk[1], dict) and "langgraph_step" in chunk[1]:
        return chunk[0]
    if isinstance(chunk, tuple):
        return [_without_metadata(one) for one in chunk]
    if isinstance(chunk, dict) and "timestamp" in chunk:
        return {key: value for key, value in chunk.items() if key in ("type", "step")}
    return chunk
