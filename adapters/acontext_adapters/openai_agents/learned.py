"""Learned agents: what `learning(agent)` gives, and what clones and copies of it are."""

from __future__ import annotations

import copy
import functools
import logging
import weakref
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any, ClassVar, TypeVar

from agents import Agent, AgentHooks, Handoff, RunContextWrapper, Tool
from agents.lifecycle import AgentHooksBase

from acontext_plugins.concurrency.copies import SharedByCopies
from acontext_plugins.concurrency.limited_log import LimitedLog
from acontext_plugins.run_options import refuse_catalog
from acontext_plugins.runs import Runtime

from .wrap import HookRecorder, witness

log = LimitedLog(logging.getLogger("acontext"))
AnyAgent = TypeVar("AnyAgent", bound="Agent[Any]")
_REPLACED = "acontext: %r was learned, and lost its hooks: nothing is recorded or injected; use clone(hooks=...)"


def wrap_agent(agent: AnyAgent, runtime: Runtime) -> AnyAgent:
    """The agent's clone that records and is given skills; its handoffs lead to clones, too."""
    witness.attach()
    known = agent.hooks
    if isinstance(known, LearningHooks) and known.graph.runtime.same_as(runtime):
        known.graph.complete(agent)
        return agent
    if agent.tool_use_behavior == "stop_on_first_tool":
        refuse_catalog(runtime.options, f"agent {agent.name!r}, which stops on its first tool,")
    return AgentGraph(runtime).learned(agent)


def runtime_of(agent: Agent[Any]) -> Runtime | None:
    """How an agent is wrapped; None where it is not."""
    return agent.hooks.graph.runtime if isinstance(agent.hooks, LearningHooks) else None


class AgentGraph(SharedByCopies):
    """One `learning(agent)`: each agent that can be reached by handoffs is learned once, so cycles stay cycles.

    Copies of its agents, deep ones as well, belong to the same graph.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.recorder = HookRecorder(runtime)
        #: Learned agents by the id of the agent that each was made from, which it keeps alive.
        self._learned: weakref.WeakValueDictionary[int, Agent[Any]] = weakref.WeakValueDictionary()

    def __reduce__(self) -> tuple[Any, ...]:
        return AgentGraph, (self.runtime,)

    def learned(self, agent: AnyAgent) -> AnyAgent:
        """The learned agent beside `agent`, and beside all that its handoffs lead to."""
        learned = self._beside(agent, implicit=False)
        self.learn_all(learned.handoffs)
        return learned

    def complete(self, agent: Agent[Any]) -> None:
        """Make an agent that has our hooks a learned one, however it was made: a clone, a copy, a `replace`."""
        own = vars(agent)
        for name, method in _METHODS.items():
            own.setdefault(name, functools.partial(method, agent))
        if isinstance(agent.handoffs, list) and not isinstance(agent.handoffs, Handoffs):
            agent.handoffs = Handoffs(agent.handoffs, graph=self)
            self.learn_all(agent.handoffs)

    def of(self, agent: Any) -> bool:
        """Whether `agent` is learned as it is to be here: by this graph, or by the user."""
        hooks = agent.hooks
        return isinstance(hooks, LearningHooks) and (hooks.graph is self or not hooks.implicit)

    def learn_all(self, handoffs: list[Any]) -> None:
        """Let handoffs lead to learned agents, in the list itself."""
        lists = [handoffs]
        while lists:
            here = lists.pop()
            for place in range(len(here)):
                learned = self.target(here[place])
                if learned is not here[place]:
                    here[place] = learned
                    led_to: list[Any] = [learned] if isinstance(learned, Agent) else learned.on_invoke_handoff.agents
                    lists.extend(agent.handoffs for agent in led_to if self._made(agent))

    def target(self, one: Any) -> Any:
        """The learned agent beside an agent, or a handoff to it; what is neither stays what it is."""
        if isinstance(one, Handoff):
            call = one.on_invoke_handoff
            return one if isinstance(call, HandoffCall) and call.graph is self else self._handoff(one)
        return self._beside(one, implicit=True) if isinstance(one, Agent) and not self.of(one) else one

    def beside(self, agent: Agent[Any]) -> Agent[Any] | None:
        """The learned agent that was made from `agent`, if there is one."""
        return self._learned.get(id(agent))

    def _made(self, agent: Agent[Any]) -> bool:
        return self.beside(original(agent)) is agent

    def _beside(self, agent: AnyAgent, *, implicit: bool) -> AnyAgent:
        known: Any = self._learned.get(id(agent))
        if known is not None:
            return known  # type: ignore[no-any-return]
        learned: Any = _copy(agent)
        learned.hooks = LearningHooks(self, bare_hooks(agent.hooks), implicit=implicit, original=agent)
        learned.handoffs = Handoffs(agent.handoffs, graph=self)
        self.complete(learned)
        return self._learned.setdefault(id(agent), learned)  # type: ignore[return-value]

    def _handoff(self, handoff: Handoff[Any, Any]) -> Handoff[Any, Any]:
        """The same handoff to the learned agent beside whatever agent it gives."""
        learned = copy.copy(handoff)
        learned.on_invoke_handoff = call = HandoffCall(self, handoff)
        for name, value in vars(handoff).items():
            # a handoff names the agent that it leads to, for whoever walks the graph: a run that is resumed from JSON
            agent = value() if isinstance(value, weakref.ReferenceType) else value
            if isinstance(agent, Agent):
                agent = self.target(agent)
                call.agents.append(agent)
                setattr(learned, name, weakref.ref(agent) if isinstance(value, weakref.ReferenceType) else agent)
        return learned


def original(one: Any) -> Any:
    """What a learned agent, or a handoff, was made from; itself where it was not made of another."""
    if isinstance(one, Handoff):
        call = one.on_invoke_handoff
        return call.handoff if isinstance(call, HandoffCall) else one
    hooks = getattr(one, "hooks", None)
    if not isinstance(hooks, LearningHooks) or hooks.original is None:
        return one
    return hooks.original if hooks.graph.beside(hooks.original) is one else one


class HandoffCall(SharedByCopies):
    """What a learned handoff does: what it always did, and the learned agent comes of it. Copied, it stays itself."""

    def __init__(self, graph: AgentGraph, handoff: Handoff[Any, Any]) -> None:
        self.graph = graph
        self.handoff = handoff
        #: The learned agents that it is known to lead to. They live as long as it does.
        self.agents: list[Agent[Any]] = []

    def __call__(self, context: RunContextWrapper[Any], arguments: str) -> Coroutine[Any, Any, Any]:
        return self._learned(self.handoff.on_invoke_handoff(context, arguments))

    async def _learned(self, given: Any) -> Any:
        agent = await given
        with self.graph.runtime.guard("handoff"):
            learned = self.graph.target(agent)
            if learned is not agent:
                self.graph.learn_all(learned.handoffs)
            return learned
        return agent


class LearningHooks(AgentHooks[Any]):
    """An agent's hooks: ours, then those that the user had set.

    What is read from them, and written, is the user's own, but for the names of this class.
    """

    _OWN: ClassVar = frozenset({"graph", "inner", "implicit", "original"})

    def __init__(
        self,
        graph: AgentGraph,
        inner: AgentHooks[Any] | None,
        *,
        implicit: bool = False,
        original: Agent[Any] | None = None,
    ) -> None:
        self.graph = graph
        self.inner = inner
        #: The user has not wrapped this agent: one that hands off to it was.
        self.implicit = implicit
        #: What the graph made its agent from.
        self.original = original

    def with_inner(self, given: Any) -> Any:
        """These hooks with others of the user's. What can be no hooks is given back: the SDK says so."""
        if given is self or (given is not None and not isinstance(given, AgentHooksBase)):
            return given
        return LearningHooks(self.graph, bare_hooks(given), implicit=self.implicit, original=self.original)

    async def on_start(self, context: Any, agent: Any) -> None:
        recorder = self.graph.recorder
        with recorder.runtime.guard("clone"):
            self.graph.complete(agent)
        recorder.started(context, agent)
        if self.inner is not None:
            await self.inner.on_start(context, agent)

    async def on_end(self, context: Any, agent: Any, output: Any) -> None:
        self.graph.recorder.ended(context, agent, output)
        if self.inner is not None:
            await self.inner.on_end(context, agent, output)

    async def on_handoff(self, context: Any, agent: Any, source: Any) -> None:
        self.graph.recorder.handed_off(context, source, agent)
        if self.inner is not None:
            await self.inner.on_handoff(context, agent=agent, source=source)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.graph.recorder.tool_started(context, agent, tool)
        if self.inner is not None:
            await self.inner.on_tool_start(context, agent, tool)

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self.graph.recorder.tool_ended(context, agent, tool, result)
        if self.inner is not None:
            await self.inner.on_tool_end(context, agent, tool, result)

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        self.graph.recorder.calling(context, agent, input_items)
        if self.inner is not None:
            await self.inner.on_llm_start(context, agent, system_prompt, input_items)
        await self.graph.recorder.place(context, agent, input_items)

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self.graph.recorder.responded(context, agent, response)
        if self.inner is not None:
            await self.inner.on_llm_end(context, agent, response)

    def __call__(self, *given: Any, **named: Any) -> Any:
        """As the user's hooks, where those can be called.

        That there is a `__call__` keeps us out of what the SDK tells agents of one name apart by when it saves a run:
        hooks that can be called count by their name alone, others by all that they hold.
        """
        inner: Any = self.inner
        return inner(*given, **named)

    def __getattr__(self, name: str) -> Any:
        inner = vars(self).get("inner")
        if inner is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._OWN or self.inner is None:
            super().__setattr__(name, value)
        else:
            setattr(self.inner, name, value)

    def __repr__(self) -> str:
        """As the user's own: an agent prints as ever."""
        return repr(self.inner)

    def __eq__(self, other: object) -> bool:
        return bool(self.inner == bare_hooks(other))

    def __hash__(self) -> int:
        return hash(self.inner)

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(LearningHooks, implicit=self.implicit), (self.graph, self.inner)


def bare_hooks(hooks: Any) -> Any:
    """The user's own hooks, of those that an agent has."""
    return hooks.inner if isinstance(hooks, LearningHooks) else hooks


class Handoffs(list[Any]):
    """The handoffs of a learned agent: whatever is put among them is learned, too, before anybody walks them."""

    def __init__(self, given: Iterable[Any] = (), *, graph: AgentGraph | None = None) -> None:
        super().__init__(given)
        self.graph = graph

    def __iter__(self) -> Iterator[Any]:
        if self.graph is not None:
            with self.graph.runtime.guard("handoffs"):
                self.graph.learn_all(self)
        return super().__iter__()

    def __eq__(self, other: object) -> bool:
        """As what these were made from, so that agents that hand off in circles can be compared."""
        return [*map(original, self)] == ([*map(original, other)] if isinstance(other, Handoffs) else other)

    __hash__ = None


# -- what a learned agent does otherwise than its class: in the agent itself, so that its class stays what it is
async def _get_system_prompt(agent: Agent[Any], run_context: RunContextWrapper[Any]) -> str | None:
    """As the agent's own `get_system_prompt`, with the skills of the run behind it."""
    text = await type(agent).get_system_prompt(agent, run_context)
    hooks = agent.hooks
    if not isinstance(hooks, LearningHooks):
        log.warning("hooks", _REPLACED, agent.name)
    else:
        skills = await hooks.graph.recorder.skills(run_context, agent)
        if skills:
            return f"{text}\n\n{skills}" if text else skills
    return text


async def _get_all_tools(agent: Agent[Any], run_context: RunContextWrapper[Any]) -> list[Tool]:
    """As the agent's own `get_all_tools`, with the tool of a catalog behind them."""
    tools: list[Tool] = await type(agent).get_all_tools(agent, run_context)
    catalog = agent.hooks.graph.recorder.catalog if isinstance(agent.hooks, LearningHooks) else None
    return tools if catalog is None else [*tools, catalog]


def _clone(agent: AnyAgent, /, *given: Any, **changes: Any) -> AnyAgent:
    """As the agent's own `clone`: a learned agent with the new fields."""
    hooks = agent.hooks
    if "hooks" in changes and isinstance(hooks, LearningHooks):
        changes["hooks"] = hooks.with_inner(changes["hooks"])
    clone: Any = type(agent).clone(agent, *given, **changes)
    if isinstance(clone.hooks, LearningHooks):
        clone.hooks.graph.complete(clone)
    return clone  # type: ignore[no-any-return]


def _reduce(agent: Agent[Any], protocol: Any, /) -> Any:
    """As the agent's own `__reduce_ex__`: copies and pickles have none of these methods, which speak of one agent.

    They have our hooks, and are completed when their first run starts.
    """
    reduced = type(agent).__reduce_ex__(agent, protocol)
    return tuple(map(_without_methods, reduced)) if isinstance(reduced, tuple) else reduced


def _without_methods(state: Any) -> Any:
    if isinstance(state, tuple):  # of a class with slots
        return tuple(map(_without_methods, state))
    return {name: value for name, value in state.items() if name not in _METHODS} if type(state) is dict else state


_METHODS: dict[str, Any] = {
    "get_system_prompt": _get_system_prompt,
    "get_all_tools": _get_all_tools,
    "clone": _clone,
    "__reduce_ex__": _reduce,
}


def _copy(agent: Any) -> Any:
    try:
        return type(agent).clone(agent)
    except TypeError:  # a subclass with an __init__ of its own
        return copy.copy(agent)
