"""Hooks: what they record of a run, whoever attached them."""

from __future__ import annotations

import json
from typing import Any

from agents import Agent, FunctionTool, ModelResponse, RunContextWrapper, RunHooks, Tool
from agents.tool_context import ToolContext

from acontext_plugins.inject.render import CATALOG_ARGUMENT, CATALOG_TOOL, READ_SKILL
from acontext_plugins.learning import client_or_default
from acontext_plugins.runs import HasConnection, RecordingClient, RunOptions, Runtime

from .history import goes_on
from .run_registry import registry
from .run_tracker import AgentsRunTracker
from .tracing import SpanListener, reason_of

witness = SpanListener(registry)


class HookRecorder:
    """What our hooks do, whoever they are attached by. Never raises into the run."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        options = runtime.options
        #: The tool that reads a skill of which the prompt has a line.
        self.catalog = _catalog_tool(runtime) if self.injects and options.inject_as == "catalog" else None

    @property
    def injects(self) -> bool:
        """Whether skills are injected."""
        return self.runtime.options.inject and self.runtime.options.space is not None

    def started(self, context: RunContextWrapper[Any], agent: Agent[Any]) -> None:
        with self.runtime.guard("agent start"):
            witness.link(registry.started(context, agent, self.runtime))

    def calling(self, context: RunContextWrapper[Any], agent: Agent[Any], items: list[Any]) -> None:
        with self.runtime.guard("model start"):
            tracker = self._speaking(context, agent, items)
            witness.link(tracker)
            tracker.given(context, items)

    def _speaking(
        self, context: RunContextWrapper[Any], agent: Agent[Any], items: list[Any] | None = None
    ) -> AgentsRunTracker:
        tracker = registry.speaking(context, agent, self.runtime)
        if items is not None and not tracker.said and tracker.call is None:
            made = [item for item in items[len(tracker.turn_input) :] if isinstance(item, dict)]
            before = registry.interrupted(item["call_id"] for item in made if item.get("call_id"))
            if before is not None and before is not tracker:
                tracker = registry.replace(tracker, before, context)
            elif before is None and goes_on(tracker.turn_input, items):
                registry.from_elsewhere(tracker)
        tracker.begin(registry.conversations)
        return tracker

    def responded(self, context: RunContextWrapper[Any], agent: Agent[Any], response: ModelResponse) -> None:
        with self.runtime.guard("model end"):
            tracker = self._speaking(context, agent)
            tracker.responded(response)
            registry.responded(tracker, response.response_id)

    def tool_started(self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool) -> None:
        with self.runtime.guard("tool start"):
            tracker = registry.working(context, agent, tool, self.runtime)
            if tracker is not None:
                witness.link(tracker)
                tracker.tool_started(context, tool)

    def tool_ended(self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool, result: object) -> None:
        with self.runtime.guard("tool end"):
            tracker = registry.working(context, agent, tool, self.runtime)
            if tracker is not None:
                tracker.tool_ended(context, tool, result)

    def handed_off(self, context: RunContextWrapper[Any], source: Agent[Any], target: Agent[Any]) -> None:
        with self.runtime.guard("handoff"):
            tracker = registry.speaking(context, source, self.runtime)
            witness.handed_off(tracker)
            tracker.handed_off(source, target)

    def ended(self, context: RunContextWrapper[Any], agent: Agent[Any], output: object) -> None:
        with self.runtime.guard("agent end"):
            tracker = registry.ending(context, agent)
            if tracker is None:
                return
            witness.link(tracker)
            error = witness.error_at(tracker)
            if error is not None and tracker.handled is None:
                tracker.handled = f"{reason_of(error)}; an error handler gave the final output"
            tracker.gave(context, agent, output)
            if not tracker.traced and tracker.call is None and not agent.output_guardrails:
                registry.end(tracker)

    async def skills(self, context: RunContextWrapper[Any], agent: Agent[Any]) -> str:
        """What stands behind the agent's instructions."""
        if not self.injects or self.runtime.options.inject_as == "user":
            return ""
        with self.runtime.guard("skills"):
            tracker = self._speaking(context, agent)
            before = None if tracker.said else registry.interrupted_in(tracker.trace_id)
            tracker = before or tracker
            await tracker.recall(agent, context.turn_input)
            return tracker.head
        return ""

    async def place(self, context: RunContextWrapper[Any], agent: Agent[Any], items: object) -> None:
        """Put what stands behind turns of the user into the items that the SDK has made for this request."""
        if not self.injects or not isinstance(items, list):
            return
        with self.runtime.guard("place"):
            tracker = self._speaking(context, agent)
            await tracker.recall(agent, items)
            tracker.place(items)


def _catalog_tool(runtime: Runtime) -> Tool:
    async def read(context: ToolContext[Any], arguments: str) -> str:
        with runtime.guard("catalog"):
            tracker = registry.calling(context)
            if tracker is not None and tracker.run is not None:
                return tracker.run.read_skill(str(json.loads(arguments).get("skill")))
        return "The skills cannot be read now: go on without."

    schema = {
        "type": "object",
        "properties": {"skill": {"type": "string", "description": CATALOG_ARGUMENT}},
        "required": ["skill"],
        "additionalProperties": False,
    }
    return FunctionTool(name=READ_SKILL, description=CATALOG_TOOL, params_json_schema=schema, on_invoke_tool=read)


class _RecordingHooks(RunHooks[Any]):
    def __init__(self, runtime: Runtime, inner: RunHooks[Any] | None) -> None:
        self.recorder = HookRecorder(runtime)
        self.inner = inner

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        self.recorder.started(context, agent)
        if self.inner is not None:
            await self.inner.on_agent_start(context, agent)

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        self.recorder.ended(context, agent, output)
        if self.inner is not None:
            await self.inner.on_agent_end(context, agent, output)

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        self.recorder.handed_off(context, from_agent, to_agent)
        if self.inner is not None:
            await self.inner.on_handoff(context, from_agent=from_agent, to_agent=to_agent)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.recorder.tool_started(context, agent, tool)
        if self.inner is not None:
            await self.inner.on_tool_start(context, agent, tool)

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self.recorder.tool_ended(context, agent, tool, result)
        if self.inner is not None:
            await self.inner.on_tool_end(context, agent, tool, result)

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        self.recorder.calling(context, agent, input_items)
        if self.inner is not None:
            await self.inner.on_llm_start(context, agent, system_prompt, input_items)

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self.recorder.responded(context, agent, response)
        if self.inner is not None:
            await self.inner.on_llm_end(context, agent, response)


def hooks(
    inner: RunHooks[Any] | None = None,
    /,
    *,
    space: str | None,
    client: HasConnection | RecordingClient | None = None,
    session: str | None = None,
    principal: str | None = None,
) -> RunHooks[Any]:
    """Run hooks that record, and inject nothing: `Runner.run(agent, ..., hooks=hooks(space="billing"))`.

    For agents that are not wrapped. `inner` are the hooks that you have already. Agents run as tools are not seen:
    the SDK does not hand run hooks down to them.
    """
    options = RunOptions(space=space, session=session, principal=principal, inject=False)
    witness.attach()
    return _RecordingHooks(Runtime(options, client_or_default(client)), inner)
