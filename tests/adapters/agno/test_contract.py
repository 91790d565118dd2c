"""Agno keeps the contract of all adapters: awaited and blocking, streamed and not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, ClassVar

from agno.agent import Agent
from agno.tools import tool as agno_tool

from acontext_adapters.agno import calls, convert, executions, run_tracker, wrap
from acontext_adapters.testing import AdapterContract, HostTools, MemoryClient, Played, Turn
from acontext_adapters.testing.script import CANCELLED_TALK
from acontext_plugins import runs
from acontext_plugins.learning import learning

from .scripted import ScriptedModel, call

OLD = tuple(int(number) for number in version("agno").split(".")[:2]) < (2, 5)
NO_RUN = "this agno gives no run that could be gone on with"
STEPS: list[tuple[Any, str]] = [
    (wrap.WrappedAgent, "own_models"),
    (wrap.WrappedAgent, "is_run_of"),
    (wrap.WrappedAgent, "_session"),
    (wrap.WrappedAgent, "_watch"),
    (run_tracker.AgnoRunTracker, "identify"),
    (run_tracker.AgnoRunTracker, "_context"),
    (run_tracker.AgnoRunTracker, "_note"),
    (run_tracker.AgnoRunTracker, "_words"),
    (run_tracker.AgnoRunTracker, "_record"),
    (run_tracker.AgnoRunTracker, "_with_skills"),
    (run_tracker.AgnoRunTracker, "_flush"),
    (run_tracker.AgnoRunTracker, "_end"),
    (run_tracker.AgnoRunTracker, "_heard"),
    (run_tracker.AgnoRunTracker, "_reason"),
    (run_tracker, "_names"),
    (run_tracker, "_system_place"),
    (run_tracker, "_carrying"),
    (run_tracker, "_examples"),
    (run_tracker, "copied"),
    (run_tracker, "kind_of"),
    (run_tracker, "message_of"),
    (run_tracker, "words_of"),
    (calls.Calls, "match"),
    (executions.Execution, "starts"),
    (executions.Execution, "ends"),
    (convert, "calls_of"),
    (convert, "strip_injected"),
    (runs.Runtime, "start"),
    (runs.Run, "record"),
    (runs.Run, "end"),
]


def guarded(tools: HostTools) -> Any:
    """The tool that a person has to approve."""

    def guarded(city: str) -> str:
        """Asks first."""
        return tools.guarded(city)

    return agno_tool(requires_confirmation=True)(guarded)


class TestAgent(AdapterContract):
    steps: ClassVar[Any] = [*STEPS, (runs.Run, "arecall")]
    inject_as: Any = "system"
    #: What the lowest version leaves to be asked for elsewhere: its streams end with an event when a run waits.
    unsupported: ClassVar[Any] = dict.fromkeys(("resume", "refusal"), NO_RUN) if OLD else {}

    async def play(
        self,
        turns: Sequence[Turn],
        tools: HostTools,
        memory: MemoryClient | None,
        *,
        streamed: bool = False,
        **options: Any,
    ) -> Played:
        script: list[Any] = []
        for step in (step for turn in turns for step in turn.steps):
            if isinstance(step, str | Exception):
                script.append(step)
            else:
                script.append([call(use.tool, use.call_id, **use.arguments) for use in step])
        uses = [use for turn in turns for step in turn.steps if not isinstance(step, str | Exception) for use in step]
        refused = {use.call_id for use in uses if use.refused}
        errors = {str(step): step for step in script if isinstance(step, Exception)}
        told = ScriptedModel(script=script)
        agent = Agent(name="A", model=told, instructions="Base.", tools=self.tools(tools, turns), telemetry=False)
        if memory is not None:
            given = {"space": "s", "client": memory, "deadline": 0.01, "inject_as": self.inject_as} | options
            agent = learning(agent, **given)
        played = Played()
        kept = []
        for turn in turns:
            output = await self.turn(agent, turn.says, played, streamed)
            while getattr(getattr(output, "status", None), "value", "") == "PAUSED":
                for waiting in output.active_requirements:
                    waiting.tool_execution.confirmed = waiting.tool_execution.tool_call_id not in refused
                output = await self.goes_on(agent, output, played, streamed)
            if getattr(output, "event", "") == "RunError" or output.status.value == "ERROR":
                raise errors[output.content]  # agno raises nothing; the contract wants to see what happened
            kept.append(json.loads(output.to_json()))
            played.see([output.status.value, output.content, [_plain(one) for one in output.messages or ()]])
        played.prompts = ["\n".join(words for _, words in request) for request in told.calls]
        played.history = kept
        return played

    def tools(self, tools: HostTools, turns: Sequence[Turn]) -> list[Any]:
        return [tools.weather, tools.broken, tools.slow, guarded(tools)]

    async def goes_on(self, agent: Agent, paused: Any, played: Played, streamed: bool) -> Any:
        """The run that waits, when all that it waits for is approved."""
        output: Any = None
        if not streamed:
            return await agent.acontinue_run(run_response=paused)
        stream = agent.acontinue_run(run_response=paused, stream=True, stream_events=True, yield_run_output=True)
        async for output in stream:
            played.see(getattr(output, "event", type(output).__name__))
        return output

    async def turn(self, agent: Agent, says: str, played: Played, streamed: bool) -> Any:
        output: Any = None
        if not streamed:
            return await agent.arun(says)
        async for output in agent.arun(says, stream=True, stream_events=True, yield_run_output=True):
            played.see(getattr(output, "event", type(output).__name__))
        return output


class TestInTheUsersTurn(TestAgent):
    inject_as = "user"
    steps: ClassVar[Any] = [(run_tracker, "place_blocks"), (run_tracker, "_carrying")]
    runs = 60


class TestBlockingAgent(TestAgent):
    steps: ClassVar[Any] = [*STEPS, (runs.Run, "recall")]
    runs = 300

    def tools(self, tools: HostTools, turns: Sequence[Turn]) -> list[Any]:
        def slow(city: str) -> str:
            """Agno refuses a blocking run that has async tools."""
            raise AssertionError

        return [tools.weather, tools.broken, tools.slow if turns is CANCELLED_TALK else slow, guarded(tools)]

    async def turn(self, agent: Agent, says: str, played: Played, streamed: bool) -> Any:
        output: Any = None
        if says == CANCELLED_TALK[0].says:  # a call that blocks cannot be cancelled from outside
            return await super().turn(agent, says, played, streamed)
        if not streamed:
            return agent.run(says)
        for output in agent.run(says, stream=True, stream_events=True, yield_run_output=True):
            played.see(getattr(output, "event", type(output).__name__))
        return output


def _plain(message: Any) -> tuple[Any, ...]:
    return message.role, message.content, message.tool_call_id, message.tool_calls
