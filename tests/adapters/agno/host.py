"""A host that uses agno, with tools of every temper, and notes all that it can see of a run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.run.team import TeamRunOutput
from agno.team import Team
from agno.tools import tool
from pydantic import BaseModel

from acontext_plugins.runs import Run, current_run

from .scripted import ScriptedModel, scripted

SKILLS = '<acontext-skills id="5c1115">\nUse when: {user_id} asks ${city}, $$5\n1. weather\n</acontext-skills>'

_TOOK = re.compile(r"completed in [\d.]+s")


# -- the host's tools
def weather(city: str) -> str:
    """The weather."""
    return f"21C in {city}"


async def forecast(city: str) -> str:
    """The weather, awaited."""
    await asyncio.sleep(0)
    return f"22C in {city}"


def count(city: str) -> dict[str, int]:
    """A structured result."""
    return {"people": len(city)}


def broken(city: str) -> str:
    """Fails; agno tells the model."""
    raise ValueError("no such city")


@tool(requires_confirmation=True)
def risky(city: str) -> str:
    """Needs a human."""
    return f"done {city}"


@tool(stop_after_tool_call=True)
def final(city: str) -> str:
    """Its result is the answer."""
    return f"final {city}"


TOOLS = [weather, count, broken, risky, final]


class City(BaseModel):
    """An answer with a shape."""

    name: str
    people: int


class Host:
    """Drives one scenario with a way to wrap agents, and notes what it sees."""

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        self.wrap = wrap
        self.seen: list[Any] = []
        self.models: list[ScriptedModel] = []
        self.db = InMemoryDb()
        #: The runs that tools were called in.
        self.runs: list[Run | None] = []
        #: Set by tools that wait; they never come back by themselves.
        self.started = asyncio.Event()

    # -- what the host has
    def model(self, *steps: Any) -> ScriptedModel:
        model = scripted(*steps)
        self.models.append(model)
        return model

    def agent(self, *steps: Any, name: str = "A", **changes: Any) -> Agent:
        given: dict[str, Any] = {"instructions": "Base {user_id}.", "tools": TOOLS, "telemetry": False, **changes}
        given.setdefault("pre_hooks", [self.before])
        given.setdefault("post_hooks", [self.after])
        return Agent(name=name, model=self.model(*steps), **given)

    def team(self, *steps: Any, members: Any, name: str = "T", **changes: Any) -> Team:
        given: dict[str, Any] = {"instructions": "Lead.", "telemetry": False, **changes}
        return Team(name=name, model=self.model(*steps), members=members, **given)

    def before(self, run_input: Any, run_context: Any) -> None:
        """A pre hook of the host."""
        self.add("before", run_input.input_content, run_context.user_id)

    def after(self, run_output: Any) -> None:
        """A post hook of the host."""
        self.add("after", run_output.status.value, [_plain(one) for one in run_output.messages or ()])

    def where(self, city: str) -> str:
        """A tool that looks which run it is called in."""
        self.runs.append(current_run())
        return "here"

    async def awhere(self, city: str) -> str:
        """The same, awaited."""
        self.runs.append(current_run())
        return "here"

    async def slow(self, city: str) -> str:
        """Never comes back by itself."""
        self.started.set()
        await asyncio.sleep(60)
        return "late"

    # -- what the host sees
    def add(self, *event: Any) -> None:
        self.seen.append(_plain(event))

    async def run(self, agent: Any, given: Any = "weather in Oslo?", **options: Any) -> Any:
        return await self.awaited(lambda: agent.arun(given, **options))

    def run_sync(self, agent: Any, given: Any = "weather in Oslo?", **options: Any) -> Any:
        return self.called(lambda: agent.run(given, **options))

    async def awaited(self, start: Callable[[], Any]) -> Any:
        try:
            output = await start()
        except BaseException as error:
            self.add("raised", type(error).__name__, str(error))
            return None
        self.output(output)
        return output

    def called(self, start: Callable[[], Any]) -> Any:
        try:
            output = start()
        except BaseException as error:
            self.add("raised", type(error).__name__, str(error))
            return None
        self.output(output)
        return output

    async def stream(self, start: Callable[[], Any], stop: str = "") -> Any:
        """Read an async stream, to the end or to an event."""
        newest: Any = None
        stream = start()
        try:
            async for newest in stream:
                self.item(newest)
                if stop and getattr(newest, "event", "") == stop:
                    await stream.aclose()
                    break
        except BaseException as error:
            self.add("raised", type(error).__name__, str(error))
        return newest

    def stream_sync(self, start: Callable[[], Any], stop: str = "") -> Any:
        """Read a stream, to the end or to an event."""
        newest: Any = None
        stream = start()
        try:
            for newest in stream:
                self.item(newest)
                if stop and getattr(newest, "event", "") == stop:
                    stream.close()
                    break
        except BaseException as error:
            self.add("raised", type(error).__name__, str(error))
        return newest

    def item(self, item: Any) -> None:
        if isinstance(item, RunOutput | TeamRunOutput):
            self.output(item)
        else:
            self.add(type(item).__name__, item.event, getattr(item, "content", None), getattr(item, "agent_name", ""))
        assert current_run() is None, "the run has leaked into the code that reads its stream"

    def output(self, output: Any) -> None:
        self.add(type(output).__name__, output.status.value, output.content, output.messages)
        self.add([(one.tool_call_id, one.tool_name, one.result, one.tool_call_error) for one in output.tools or ()])
        for member in getattr(output, "member_responses", None) or ():
            self.output(member)

    def stored(self, agent: Any, session_id: str) -> None:
        """What agno keeps of a conversation."""
        session = agent.get_session(session_id=session_id)
        self.add("stored", [(RunStatus(run.status).value, run.messages) for run in session.runs or ()])

    def models_saw(self) -> list[Any]:
        """What each model was given, without skills."""
        return [[_plain(request) for request in model.calls] for model in self.models]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _TOOK.sub("completed", value.replace("\n\n" + SKILLS, "").replace(SKILLS, ""))
    if isinstance(value, int | float | bool | None):
        return value
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tool_call_id") and hasattr(value, "role"):
        told = (value.role, value.content, value.tool_call_id, value.tool_calls, value.tool_call_error)
        return _plain((*told, value.from_history))
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    return type(value).__name__
