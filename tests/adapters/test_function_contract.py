"""A decorated function keeps the contract of all adapters: a loop by hand that notes the calls of its tools."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

from acontext_adapters import function
from acontext_adapters.testing import AdapterContract, HostTools, MemoryClient, Played, Turn
from acontext_plugins import current_run, learning, runs

NAMES = ("weather", "broken", "slow")
TALKS = itertools.count()


class Agent:
    """An agent of the host's own: a history, and a function for each turn."""

    def __init__(self, script: list[Any], tools: HostTools) -> None:
        self.script = script
        self.tools = tools
        self.history: list[dict[str, Any]] = []
        self.prompts: list[str] = []

    async def answer(self, question: str) -> str:
        """One turn."""
        return "".join([word async for word in self.words(question)])

    async def words(self, question: str) -> AsyncIterator[str]:
        """The same, a word at a time."""
        run = current_run()
        self.history.append({"role": "user", "content": question})
        skills = await run.arecall(question, tools=NAMES) if run is not None else ""
        while True:
            self.prompts.append("\n".join(["Base.", skills, *(str(item["content"]) for item in self.history)]))
            step = self.script.pop(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, str):
                self.history.append({"role": "assistant", "content": step})
                for number, word in enumerate(step.split(" ")):
                    yield f" {word}" if number else word
                return
            for use in step:
                await self.use(use.tool, use.arguments)

    async def use(self, name: str, arguments: dict[str, Any]) -> None:
        """A tool is called, and noted."""
        run, tool = current_run(), getattr(self.tools, name)
        failed = False
        became: dict[str, Any] = {}
        try:
            if _takes(tool, arguments):
                result = tool(**arguments)
                result = await result if inspect.isawaitable(result) else result
            else:
                failed, result, became = True, "there are no such arguments", {"status": "answered", "by": "framework"}
        except Exception as error:
            failed, result = True, str(error)
        self.history.append({"role": "tool", "content": result})
        if run is not None:
            run.record_tool(name, arguments, result, error=failed, **became)


def _takes(tool: Any, arguments: dict[str, Any]) -> bool:
    try:
        inspect.signature(tool).bind(**arguments)
    except TypeError:
        return False
    return True


class TestFunction(AdapterContract):
    unsupported: ClassVar[Mapping[str, str]] = {
        "inject_as_user": "a function puts its skills where it wants",
        "calls_before_results": "`record_tool` notes a call together with its result",
        "resume": "a function never waits for a person: the host does",
        "refusal": 'a function asks no person: the host does, and says so (`record_tool(status="refused")`)',
    }
    steps: ClassVar[Sequence[tuple[Any, str]]] = [
        (function._Frame, "_question"),
        (function, "_arguments"),
        (function, "_message"),
        (runs.Runtime, "start"),
        (runs.Run, "record"),
        (runs.Run, "end"),
        (runs.Run, "_open"),
        (runs, "_as_json"),
    ]

    async def play(
        self,
        turns: Sequence[Turn],
        tools: HostTools,
        memory: MemoryClient | None,
        *,
        streamed: bool = False,
        **options: Any,
    ) -> Played:
        played = Played()
        agent = Agent([step for turn in turns for step in turn.steps], tools)
        turn: Any = agent.words if streamed else agent.answer
        if memory is not None:
            given = {"space": "s", "client": memory, "deadline": 0.01, "session": f"talk {next(TALKS)}"} | options
            turn = learning(turn, **given)
        for one in turns:
            if streamed:
                async for word in turn(one.says):
                    played.see(word)
            else:
                played.see(await turn(one.says))
            played.see(list(agent.history))
        played.prompts, played.history = agent.prompts, agent.history
        return played
