"""Wrapping an agent: a clone with our instructions, our hooks, and wrapped handoffs."""

from __future__ import annotations

import copy
import inspect
import logging
from typing import Any, TypeVar

from agents import Agent, AgentHooks, Handoff, ModelResponse, RunContextWrapper, RunHooks, Tool

from acontext_plugins.concurrency.caches import SharedCache
from acontext_plugins.learning import client_or_default
from acontext_plugins.runs import HasConnection, RecordingClient, RunOptions, Runtime

from .history import goes_on
from .run_registry import registry
from .run_tracker import AgentsRunTracker
from .tracing import SpanListener, reason_of

log = logging.getLogger("acontext")
witness = SpanListener(registry)
AnyAgent = TypeVar("AnyAgent", bound="Agent[Any]")
_MARK = "__acontext__"
_TARGETS = 64


class HookRecorder:
    """What our hooks do, whoever they are attached by. Never raises into the run."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._said = False

    def started(self, context: RunContextWrapper[Any], agent: Agent[Any]) -> None:
        with self.runtime.guard("agent start"):
            witness.link(registry.started(context, agent, self.runtime))

    def calling(self, context: RunContextWrapper[Any], agent: Agent[Any], items: list[Any]) -> None:
        with self.runtime.guard("model start"):
            tracker = self._speaking(context, agent, items)
            if self.runtime.options.inject_as == "user" and tracker.call is None and not self._said:
                self._said = True
                log.warning(
                    "acontext: inject_as='user' needs acontext_adapters.openai_agents.Runner; nothing is injected"
                )
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
        with self.runtime.guard("skills"):
            tracker = self._speaking(context, agent)
            before = None if tracker.said else registry.interrupted_in(tracker.trace_id)
            return await (before or tracker).skills(agent)
        return ""


class LearningHooks(AgentHooks[Any]):
    """An agent's hooks: ours, then those that the user had set."""

    def __init__(self, runtime: Runtime, inner: AgentHooks[Any] | None, *, implicit: bool = False) -> None:
        self.recorder = HookRecorder(runtime)
        self.runtime = runtime
        self.inner = inner
        #: The user has not wrapped this agent: one that hands off to it was.
        self.implicit = implicit

    async def on_start(self, context: Any, agent: Any) -> None:
        self.recorder.started(context, agent)
        if self.inner is not None:
            await self.inner.on_start(context, agent)

    async def on_end(self, context: Any, agent: Any, output: Any) -> None:
        self.recorder.ended(context, agent, output)
        if self.inner is not None:
            await self.inner.on_end(context, agent, output)

    async def on_handoff(self, context: Any, agent: Any, source: Any) -> None:
        self.recorder.handed_off(context, source, agent)
        if self.inner is not None:
            await self.inner.on_handoff(context, agent=agent, source=source)

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

    def __getattr__(self, name: str) -> Any:
        inner = self.__dict__.get("inner")
        if inner is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(inner, name)


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


# -- agents
def wrap_agent(agent: AnyAgent, runtime: Runtime) -> AnyAgent:
    """The agent's clone that records and is given skills; its handoffs lead to clones, too."""
    witness.attach()
    known = agent.hooks
    if isinstance(known, LearningHooks) and known.runtime.same_as(runtime):
        return agent
    return _HandoffCloner(runtime).agent(agent)


def runtime_of(agent: Agent[Any]) -> Runtime | None:
    """How an agent is wrapped; None where it is not."""
    return agent.hooks.runtime if isinstance(agent.hooks, LearningHooks) else None


class _HandoffCloner:
    """One `learning(agent)`: each agent that can be reached by handoffs is cloned once, so cycles stay cycles."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        #: The original beside its clone, so that its id stays its own.
        self._clones: SharedCache[int, tuple[Any, Any]] = SharedCache(_TARGETS)

    def agent(self, agent: AnyAgent, *, implicit: bool = False) -> AnyAgent:
        kept = self._clones.get(id(agent))
        if kept is not None:
            clone: AnyAgent = kept[1]
            return clone
        known = agent.hooks
        inner = known.inner if isinstance(known, LearningHooks) else known
        handoffs: list[Agent[Any] | Handoff[Any, Any]] = []
        clone = _clone(
            agent,
            hooks=LearningHooks(self.runtime, inner, implicit=implicit),
            instructions=self._instructions(getattr(agent.instructions, _MARK, agent.instructions)),
            handoffs=handoffs,
        )
        self._clones[id(agent)] = agent, clone
        handoffs.extend(self._target(target) for target in agent.handoffs)
        return clone

    def _target(self, target: Agent[Any] | Handoff[Any, Any]) -> Agent[Any] | Handoff[Any, Any]:
        if isinstance(target, Handoff):
            return self._handoff(target)
        if isinstance(target.hooks, LearningHooks) and not target.hooks.implicit:
            return target
        return self.agent(target, implicit=True)

    def _handoff(self, handoff: Handoff[Any, Any]) -> Handoff[Any, Any]:
        """The same handoff to the clone of whatever agent it gives."""
        invoke = getattr(handoff.on_invoke_handoff, _MARK, handoff.on_invoke_handoff)

        async def on_invoke_handoff(context: RunContextWrapper[Any], arguments: str) -> Any:
            agent = await invoke(context, arguments)
            with self.runtime.guard("handoff"):
                return self._target(agent)
            return agent

        setattr(on_invoke_handoff, _MARK, invoke)
        wrapped = copy.copy(handoff)
        wrapped.on_invoke_handoff = on_invoke_handoff
        return wrapped

    def _instructions(self, base: Any) -> Any:
        options = self.runtime.options
        if not options.inject or options.space is None or options.inject_as != "system":
            return base
        if callable(base) and len(inspect.signature(base).parameters) != 2:
            return base  # the SDK says what is wrong with it
        recorder = HookRecorder(self.runtime)

        async def instructions(context: RunContextWrapper[Any], agent: Agent[Any]) -> Any:
            text = base(context, agent) if callable(base) else base
            if inspect.isawaitable(text):
                text = await text
            skills = await recorder.skills(context, agent)
            if not skills:
                return text
            return f"{text}\n\n{skills}" if text else skills

        setattr(instructions, _MARK, base)
        return instructions


def _clone(agent: AnyAgent, **changes: Any) -> AnyAgent:
    clone: Any
    try:
        clone = agent.clone(**changes)
    except TypeError:  # a subclass with an __init__ of its own
        clone = copy.copy(agent)
        for name, value in changes.items():
            setattr(clone, name, value)
    result: AnyAgent = clone
    return result
