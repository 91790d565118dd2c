"""The OpenAI Agents SDK keeps the contract of all adapters, with its own runner and with ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import agents
from agents import Agent, RunConfig, function_tool

from acontext_adapters.openai_agents import Runner
from acontext_adapters.testing import AdapterContract, Played, RecordingDoor, Tools, Turn
from acontext_plugins.learning import learning

from .scripted import ScriptedModel, assistant_message, function_call


class TestPlainRunner(AdapterContract):
    runner: Any = agents.Runner
    options: ClassVar[dict[str, Any]] = {}
    inject_as: Any = "system"

    async def play(
        self, turns: Sequence[Turn], tools: Tools, door: RecordingDoor | None, *, streamed: bool = False
    ) -> Played:
        script: list[Any] = []
        for step in (step for turn in turns for step in turn.steps):
            if isinstance(step, str):
                script.append([assistant_message(step)])
            elif isinstance(step, Exception):
                script.append(step)
            else:
                script.append([function_call(use.tool, {"city": use.city}, call_id=use.call_id) for use in step])
        model = ScriptedModel(script)
        hosts = [function_tool(tool) for tool in (tools.weather, tools.broken, tools.slow)]
        agent: Agent[Any] = Agent(name="A", instructions="Base.", tools=hosts, model=model)
        if door is not None:
            agent = learning(agent, space="s", client=door, deadline=0.01, inject_as=self.inject_as)
        played = Played()
        history: list[Any] = []
        for turn in turns:
            history.append({"role": "user", "content": turn.says})
            if streamed:
                result = self.runner.run_streamed(agent, history, **self.options)
                played.seen += [(event.type, getattr(event, "name", "")) async for event in result.stream_events()]
                await result.run_loop_task
            else:
                result = await self.runner.run(agent, history, **self.options)
            history = result.to_input_list()
            played.seen.append((result.final_output, history, result.last_agent.name))
        played.prompts = [
            f"{call.system_instructions}\n" + "\n".join(str(item.get("content")) for item in call.input)
            for call in model.calls
        ]
        json.dumps(played.seen)
        return played


class TestOurRunner(TestPlainRunner):
    runner = Runner


class TestOurRunnerUntraced(TestPlainRunner):
    runner = Runner
    options: ClassVar[dict[str, Any]] = {"run_config": RunConfig(tracing_disabled=True)}


class TestOurRunnerInTheUsersTurn(TestPlainRunner):
    runner = Runner
    inject_as = "user"
