"""Runs with random calls, hooks and people: what tools write down themselves is what is told of them."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.exceptions import RetryAgentRun
from agno.tools import tool

from acontext_adapters.agno import run_tracker
from acontext_adapters.agno.wrap import wrapped_of
from acontext_adapters.testing import MemoryClient, made
from acontext_plugins.learning import learning
from acontext_store.types import CallFate, Part

from .scripted import call, scripted

VERSION = tuple(int(number) for number in version("agno").split(".")[:2])
WAYS = ["sync", "async", "streamed"] if VERSION >= (3, 0) else ["sync", "async"]
RUNS = 60
#: One line of a log: tool, number, status.
Line = tuple[str, Any, str]


class Play:
    """One run with its tools, hooks and people, all of them drawn."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.way = self.draw.choice(WAYS)
        self.log: list[Line] = []
        self.memory = MemoryClient()
        self.hooks: dict[int, str] = {}
        self.tools = self._tools()
        self.steps = self._steps(unique=self.draw.random() < 0.5)

    def _tools(self) -> dict[str, Any]:
        def works(n: int) -> str:
            self.log.append(("works", n, "executed"))
            return "x"

        def fails(n: int) -> str:
            self.log.append(("fails", n, "failed"))
            raise TypeError("no")

        def asks_again(n: int) -> str:
            self.log.append(("asks_again", n, "failed"))
            raise RetryAgentRun("once more")

        def steps(n: int) -> Iterator[str]:
            yield "a"
            self.log.append(("steps", n, "executed"))

        def guarded(n: int) -> str:
            self.log.append(("guarded", n, "executed"))
            return "x"

        async def awaited(n: int) -> str:
            self.log.append(("awaited", n, "executed"))
            return "x"

        async def asteps(n: int) -> AsyncIterator[str]:
            yield "a"
            self.log.append(("asteps", n, "executed"))

        found = {"guarded": tool(requires_confirmation=True)(guarded)}
        functions = [works, fails, asks_again, steps]
        if self.way != "sync" and VERSION >= (3, 0):  # before, a hook that is not awaited loses what it awaits
            functions += [awaited, asteps]
        return found | {function.__name__: function for function in functions}

    def _steps(self, *, unique: bool) -> list[Any]:
        """What the model asks for: calls with ids of their own, or ids that come again and again."""
        number, steps = 0, []
        for _ in range(self.draw.randint(1, 4)):
            batch = []
            for _ in range(self.draw.randint(1, 4)):
                number += 1
                self.hooks[number] = self.draw.choice(["pass", "pass", "pass", "answer", "refuse", "change", "hide"])
                name, call_id = self.draw.choice(list(self.tools)), f"id{number}"
                kind = self.draw.choice(["plain"] * 6 + ["broken", "unknown", "unfitting", "python"])
                made_of = call(name, call_id if unique else self.draw.choice("abc"), n=number)
                arguments = {"broken": '{"n": ', "unfitting": '{"n": "many"}', "python": f"{{'n': {number}}}"}
                made_of["function"]["arguments"] = arguments.get(kind, made_of["function"]["arguments"])
                made_of["function"]["name"] = "unknown" if kind == "unknown" else name
                batch.append(made_of)
            steps.append(batch)
        return [*steps, "done"]

    def hook(self, function_name: str, function_call: Any, arguments: Any) -> Any:
        does = self.hooks.get(arguments.get("n"), "pass")
        if does == "answer":
            return "a dry run"
        if does == "refuse":
            raise PermissionError("not now")
        if does == "change":
            arguments["n"] += 1000
        try:
            return function_call(**arguments)
        except TypeError:
            if does != "hide":
                raise
            return "all is well"

    async def run(self) -> None:
        agent: Any = Agent(
            model=scripted(*self.steps),
            tools=list(self.tools.values()),
            tool_hooks=[self.hook] if self.draw.random() < 0.7 else None,
            tool_call_limit=self.draw.choice([None, None, 3]),
            telemetry=False,
            db=InMemoryDb(),
        )
        agent = learning(agent, space="s", client=self.memory, strict=True)
        output = await self.to_its_end(agent, "run", "Go.")
        while output.status.value == "PAUSED":
            for requirement in output.requirements:
                waiting = requirement.tool_execution
                if waiting.confirmed is None:
                    waiting.confirmed = self.draw.random() < 0.6
                    if self.draw.random() < 0.3 and isinstance(waiting.tool_args["n"], int):
                        waiting.tool_args = {"n": waiting.tool_args["n"] + 5000}
            if self.draw.random() < 0.4:  # as in another process
                known: Any = wrapped_of(agent)
                run_tracker.paused_runs.take(output.run_id, known.runtime)
            output = await self.to_its_end(agent, "continue_run", run_response=output)

    async def to_its_end(self, agent: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        kwargs["session_id"] = "t"
        if self.way == "sync":
            return getattr(agent, name)(*args, **kwargs)
        if self.way == "async":
            return await getattr(agent, f"a{name}")(*args, **kwargs)
        stream = getattr(agent, f"a{name}")(*args, **kwargs, stream=True, yield_run_output=True)
        return [item async for item in stream][-1]

    @property
    def told(self) -> list[Line]:
        """What the store would know of calls that ran: a fate is of the newest message with its id."""
        calls: list[tuple[Part, list[CallFate]]] = []
        newest: dict[tuple[Any, int], list[CallFate]] = {}
        seen: set[str] = set()
        for recording in self.memory.recordings:
            fresh = [message for message in made(recording) if message.id not in seen]
            seen |= {message.id for message in fresh}
            for message in fresh:
                ids: Counter[Any] = Counter()
                for part in message.tool_calls:
                    id = (part.meta or {})["id"]
                    calls.append((part, []))
                    newest[id, ids[id]] = calls[-1][1]
                    ids[id] += 1
            for fate in recording.fates:
                newest[fate.call_id, fate.occurrence].append(fate)
        return [_ran(part, fates[-1]) for part, fates in calls if fates and fates[-1].ran]


def _ran(part: Part, fate: CallFate) -> Line:
    meta = part.meta or {}
    arguments = fate.arguments if fate.arguments is not None else json.loads(meta["arguments"])
    return fate.name or meta["name"], arguments["n"], fate.status


@pytest.mark.parametrize("tens", range(0, RUNS, 10))
async def test_what_tools_did_is_what_is_told(tens: int) -> None:
    for seed in range(tens, tens + 10):
        play = Play(seed)
        await play.run()
        assert Counter(play.told) == Counter(play.log), f"seed {seed}, {play.way}: {play.steps}"
        assert all(m.fates_told for m in play.memory.session.messages if m.tool_calls), f"seed {seed}"
