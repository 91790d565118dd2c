"""The OpenAI Agents SDK keeps the contract of all adapters, with its own runner and with ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import agents
import pytest
from agents import Agent, RunConfig, function_tool

from acontext_adapters.openai_agents import Runner, convert, history, run_registry, run_tracker, runner, tracing
from acontext_adapters.testing import AdapterContract, HostTools, MemoryClient, Played, Turn
from acontext_plugins import runs
from acontext_plugins.learning import learning

from .scripted import ScriptedModel, assistant_message, function_call

#: What a run of this script calls, whichever runner there is.
STEPS: list[tuple[Any, str]] = [
    (run_tracker.AgentsRunTracker, "begin"),
    (run_tracker.AgentsRunTracker, "given"),
    (run_tracker.AgentsRunTracker, "say"),
    (run_tracker.AgentsRunTracker, "responded"),
    (run_tracker.AgentsRunTracker, "tool_started"),
    (run_tracker.AgentsRunTracker, "tool_ended"),
    (run_tracker.AgentsRunTracker, "results_in"),
    (run_tracker.AgentsRunTracker, "gave"),
    (run_tracker.AgentsRunTracker, "recall"),
    (run_tracker.AgentsRunTracker, "head"),
    (run_tracker.AgentsRunTracker, "place"),
    (run_tracker.AgentsRunTracker, "end"),
    (run_tracker.AgentsRunTracker, "remember"),
    (run_registry.RunRegistry, "started"),
    (run_registry.RunRegistry, "speaking"),
    (run_registry.RunRegistry, "working"),
    (run_registry.RunRegistry, "ending"),
    (run_registry.RunRegistry, "end"),
    (run_registry.RunRegistry, "_place"),
    (run_registry.RunRegistry, "_remove"),
    (run_tracker, "continued"),
    (history.Conversations, "sent"),
    (history.Conversations, "answered"),
    (run_tracker, "as_item"),
    (run_tracker, "frozen"),
    (run_tracker, "field_of"),
    (run_tracker, "rough_size"),
    (convert, "from_responses"),
    (convert, "from_response_output"),
    (runs.Runtime, "start"),
    (runs.Run, "record"),
    (runs.Run, "end"),
    (runs.Run, "arecall"),
]
TRACED: list[tuple[Any, str]] = [
    (tracing.SpanListener, "link"),
    (tracing.SpanListener, "on_span_start"),
    (tracing.SpanListener, "on_span_end"),
    (run_tracker, "get_current_trace"),
]
OURS: list[tuple[Any, str]] = [(runner, "_prepare"), (runner, "_session_key")]

IN_USERS_TURN: list[tuple[Any, str]] = [*OURS, (run_tracker, "with_text")]


@pytest.fixture(autouse=True)
def _two_conversations(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of conversations is bounded; so low that the leak test sees the bound."""
    monkeypatch.setattr(run_registry.registry, "conversations", history.Conversations(sessions=2))


class TestPlainRunner(AdapterContract):
    runner: Any = agents.Runner
    options: ClassVar[dict[str, Any]] = {}
    inject_as: Any = "system"
    steps: ClassVar[Any] = STEPS + TRACED

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
            if isinstance(step, str):
                script.append([assistant_message(step)])
            elif isinstance(step, Exception):
                script.append(step)
            else:
                script.append([function_call(use.tool, dict(use.arguments), call_id=use.call_id) for use in step])
        model = ScriptedModel(script)
        hosts = [function_tool(tool) for tool in (tools.weather, tools.broken, tools.slow)]
        hosts.append(function_tool(tools.guarded, needs_approval=True))
        agent: Agent[Any] = Agent(name="A", instructions="Base.", tools=hosts, model=model)
        if memory is not None:
            given = {"space": "s", "client": memory, "deadline": 0.01, "inject_as": self.inject_as} | options
            agent = learning(agent, **given)
        uses = [use for turn in turns for step in turn.steps if isinstance(step, tuple) for use in step]
        refused = {use.call_id for use in uses if use.refused}
        played = Played()
        history: list[Any] = []
        for turn in turns:
            history.append({"role": "user", "content": turn.says})
            result = await self.turn(agent, history, played, streamed)
            while result.interruptions:
                state = result.to_state()
                for waiting in result.interruptions:
                    if waiting.raw_item.call_id in refused:
                        state.reject(waiting)
                    else:
                        state.approve(waiting)
                result = await self.turn(agent, state, played, streamed)
            history = result.to_input_list()
            played.see((result.final_output, history, result.last_agent.name))
        played.prompts = [
            f"{call.system_instructions}\n" + "\n".join(str(item.get("content")) for item in call.input)
            for call in model.calls
        ]
        played.history = json.dumps(history)
        return played

    async def turn(self, agent: Any, given: Any, played: Played, streamed: bool) -> Any:
        if not streamed:
            return await self.runner.run(agent, given, **self.options)
        result = self.runner.run_streamed(agent, given, **self.options)
        async for event in result.stream_events():
            played.see((event.type, getattr(event, "name", "")))
        await result.run_loop_task
        return result


class TestOurRunner(TestPlainRunner):
    runner = Runner
    unsupported: ClassVar[Any] = {}
    steps = STEPS + TRACED + OURS
    runs = 300


@pytest.mark.slow
class TestOurRunnerUntraced(TestPlainRunner):
    runner = Runner
    unsupported: ClassVar[Any] = {}
    options: ClassVar[dict[str, Any]] = {"run_config": RunConfig(tracing_disabled=True)}
    steps = OURS
    runs = 120


@pytest.mark.slow
class TestOurRunnerInTheUsersTurn(TestPlainRunner):
    runner = Runner
    unsupported: ClassVar[Any] = {}
    inject_as = "user"
    steps = IN_USERS_TURN
    runs = 120
