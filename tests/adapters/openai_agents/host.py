"""A host that uses the OpenAI Agents SDK, with tools of every temper, and notes all that it can see of a run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agents import (
    Agent,
    AgentHooks,
    GuardrailFunctionOutput,
    RunConfig,
    RunHooks,
    function_tool,
    input_guardrail,
    output_guardrail,
)
from openai.types.responses import ResponseOutputMessage, ResponseOutputRefusal, ResponseReasoningItem
from openai.types.responses.response_reasoning_item import Summary

from .scripted import ScriptedModel, assistant_message, function_call

SKILLS = '<acontext-skills id="5c1115">\nUse when: weather\n1. weather: ask for the city\n</acontext-skills>'


# -- the host's tools
@function_tool
def weather(city: str) -> str:
    """The weather."""
    return f"21C in {city}"


@function_tool
def count(city: str) -> dict[str, int]:
    """A structured result."""
    return {"people": len(city)}


@function_tool
def broken(city: str) -> str:
    """Fails; the SDK tells the model."""
    raise ValueError("no such city")


@function_tool(failure_error_function=None)
def fatal(city: str) -> str:
    """Fails, and the run with it."""
    raise ValueError("fatal tool")


@function_tool(needs_approval=True)
def risky(city: str) -> str:
    """Needs a human."""
    return f"done {city}"


@function_tool
async def slow(city: str) -> str:
    """Never comes back by itself."""
    await asyncio.sleep(60)
    return "late"


TOOLS = [weather, count, broken, fatal, risky, slow]


@input_guardrail
async def stop_input(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info="no", tripwire_triggered=True)


@input_guardrail(run_in_parallel=False)
async def stop_input_first(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info="no", tripwire_triggered=True)


@input_guardrail
async def let_input(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info="yes", tripwire_triggered=False)


@output_guardrail
async def let_output(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info="yes", tripwire_triggered=False)


@output_guardrail
async def stop_output(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info="no", tripwire_triggered=True)


def calls(*steps: Any) -> ScriptedModel:
    """A model that takes these steps: ("tool", "call id") pairs, words, exceptions or items."""
    script: list[Any] = []
    for step in steps:
        if isinstance(step, str):
            script.append([assistant_message(step)])
        elif isinstance(step, tuple):
            script.append([function_call(step[0], {"city": "Oslo"}, call_id=step[1])])
        else:
            script.append(step)
    return ScriptedModel(script)


def call(name: str, call_id: str, **arguments: str) -> Any:
    return function_call(name, arguments or {"city": "Oslo"}, call_id=call_id)


def refusal() -> Any:
    return ResponseOutputMessage(
        id="m",
        type="message",
        role="assistant",
        status="completed",
        content=[ResponseOutputRefusal(type="refusal", refusal="I will not")],
    )


def thought(text: str) -> Any:
    return ResponseReasoningItem(id="r1", type="reasoning", summary=[Summary(type="summary_text", text=text)])


# -- what the host sees
@dataclass
class Seen:
    """All that a host can see of a run, as plain values."""

    events: list[Any] = field(default_factory=list)

    def add(self, *event: Any) -> None:
        self.events.append(_plain(event))


def _plain(value: Any) -> Any:
    if value == SKILLS:
        return None
    if isinstance(value, str):
        return re.sub(r"0x[0-9a-f]+", "0x", value.replace("\n\n" + SKILLS, "").replace(SKILLS, ""))
    if isinstance(value, int | float | bool | None):
        return value
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump())
    return type(value).__name__


class SpyHooks(RunHooks[Any]):
    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        self.seen.add("run.agent_start", agent.name, context.turn_input)

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        self.seen.add("run.agent_end", agent.name, output)

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        self.seen.add("run.handoff", from_agent.name, to_agent.name)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.seen.add("run.tool_start", agent.name, tool.name, context.tool_call_id)

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self.seen.add("run.tool_end", agent.name, tool.name, context.tool_call_id, result)

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        self.seen.add("run.llm_start", agent.name, system_prompt, input_items)

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self.seen.add("run.llm_end", agent.name, response.output)


class SpyAgentHooks(AgentHooks[Any]):
    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    async def on_start(self, context: Any, agent: Any) -> None:
        self.seen.add("agent.start", agent.name)

    async def on_end(self, context: Any, agent: Any, output: Any) -> None:
        self.seen.add("agent.end", agent.name, output)

    async def on_handoff(self, context: Any, agent: Any, source: Any) -> None:
        self.seen.add("agent.handoff", source.name, agent.name)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.seen.add("agent.tool_start", tool.name)

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self.seen.add("agent.tool_end", tool.name, result)


class Host:
    """Drives one scenario with a runner and a way to wrap agents, and notes what it sees."""

    def __init__(self, runner: Any, wrap: Callable[[Agent[Any]], Agent[Any]], *, untraced: bool = False) -> None:
        self.runner = runner
        self.wrap = wrap
        self.seen = Seen()
        self.models: list[ScriptedModel] = []
        self._config = {"tracing_disabled": True} if untraced else {}

    def agent(self, model: ScriptedModel, name: str = "A", **changes: Any) -> Agent[Any]:
        self.models.append(model)
        given: dict[str, Any] = {"instructions": "Base.", "tools": TOOLS, "hooks": SpyAgentHooks(self.seen), **changes}
        return Agent(name=name, model=model, **given)

    def options(self, given: dict[str, Any]) -> dict[str, Any]:
        options = {"hooks": SpyHooks(self.seen), **given}
        if self._config:
            options["run_config"] = RunConfig(**{**self._config, **options.pop("config", {})})
        elif "config" in options:
            options["run_config"] = RunConfig(**options.pop("config"))
        return options

    async def run(self, agent: Agent[Any], given: Any = "weather in Oslo?", **options: Any) -> Any:
        try:
            result = await self.runner.run(agent, given, **self.options(options))
        except BaseException as error:
            self.seen.add("raised", type(error).__name__, str(error))
            return None
        self.result(result)
        return result

    async def stream(self, agent: Agent[Any], given: Any = "weather in Oslo?", **options: Any) -> Any:
        stop = options.pop("stop", None)
        result = self.runner.run_streamed(agent, given, **self.options(options))
        events = []
        try:
            async for event in result.stream_events():
                name = getattr(event, "name", None) or getattr(getattr(event, "data", None), "type", None)
                events.append([event.type, name])
                if stop is not None and stop(result, event):
                    break
        except BaseException as error:
            self.seen.add("raised", type(error).__name__, str(error))
        if result.run_loop_task is not None:
            await asyncio.wait([result.run_loop_task])
            await asyncio.sleep(0)
        self.seen.add("stream", events)
        self.result(result)
        return result

    def result(self, result: Any) -> None:
        self.seen.add(
            "final", result.final_output, result.last_agent.name, [type(i).__name__ for i in result.new_items]
        )
        self.seen.add("input_list", result.to_input_list(), len(result.interruptions), len(result.raw_responses))
        usage = result.context_wrapper.usage
        self.seen.add("usage", usage.requests, usage.input_tokens, usage.output_tokens)

    def models_saw(self) -> list[Any]:
        return [
            _plain([made.system_instructions, made.input, [tool.name for tool in made.tools or []]])
            for model in self.models
            for made in model.calls
        ]
