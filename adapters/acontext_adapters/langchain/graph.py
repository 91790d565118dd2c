"""Graphs: a copy of the same class whose runs are recorded, and whose agent is given skills.

Around each run stands a watch. In an agent of `create_agent` the node of the model and the node of the tools tell of
it, and the skills are put into the user's newest turn on its way to the model; in other graphs a callback handler
tells what models and tools do. (Handlers cost time at every event, so an agent has none, unless it has breakpoints.)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from langgraph.errors import GraphInterrupt
from langgraph.graph import START
from langgraph.types import Command

from acontext_plugins.runs import Run, Runtime

from .convert import messages_in
from .handler import AsyncInterruptListener, AsyncTell, InterruptListener, Tell
from .placement import append_to_turn, restored
from .run_tracker import LangChainRunTracker, Scope, found, scope
from .subclass import Mark, learned, mark_of

_AGENT = "langchain_create_agent"


class LearnedGraph:
    """What a learned graph does around the runs of its class. `invoke`, `batch` and events come down to these two."""

    _acontext: Mark | None = None

    def __init__(self, *, _acontext: Mark | None = None, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._acontext = _acontext  # a copy of a learned graph is one, too

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:
        around: Any = super()
        play = _begin(self, input, config, options, asynchronous=False)
        steps = around.stream(input, play.config if play is not None else config, **options)
        try:
            while True:
                tokens = play.enter() if play is not None else None
                try:
                    chunk = next(steps)
                except StopIteration:
                    break
                finally:
                    if play is not None:
                        play.leave(tokens)
                yield chunk
        except BaseException as error:
            try:
                steps.close()
            finally:
                if play is not None:
                    play.end(error)
            raise
        if play is not None:
            play.end()

    async def astream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[Any]:
        around: Any = super()
        play = _begin(self, input, config, options, asynchronous=True)
        steps = around.astream(input, play.config if play is not None else config, **options)
        try:
            while True:
                tokens = play.enter() if play is not None else None
                try:
                    chunk = await anext(steps)
                except StopAsyncIteration:
                    break
                finally:
                    if play is not None:
                        play.leave(tokens)
                yield chunk
        except BaseException as error:
            try:
                await steps.aclose()
            finally:
                if play is not None:
                    play.end(error)
            raise
        if play is not None:
            play.end()


class _Play:
    """One run of a learned graph."""

    def __init__(self, tracker: LangChainRunTracker, run: Run, owner: Mark, config: RunnableConfig | None) -> None:
        self.tracker = tracker
        self.run = run
        self.config = config
        self._scope = Scope(tracker, owner)

    def enter(self) -> tuple[Any, Any]:
        """Code of the graph runs: it is part of the run."""
        return self.run.enter(), scope.set(self._scope)

    def leave(self, tokens: Any) -> None:
        entered, placed = tokens
        scope.reset(placed)
        self.run.leave(entered)

    def end(self, error: BaseException | None = None) -> None:
        with self.tracker.runtime.guard("run end"):
            self.tracker.end(error)


def _begin(
    graph: Any, input: Any, config: RunnableConfig | None, options: Mapping[str, Any], *, asynchronous: bool
) -> _Play | None:
    """What the run needs; None where there is nothing to add: it is part of another one, or trouble is ours."""
    mark = mark_of(graph)
    if mark is None:
        return None
    with mark.runtime.guard("run start"):
        around = found(config)
        if around is not None and around.call_id is None and around.tracker.run is not None:
            return None
        tracker = LangChainRunTracker(mark.runtime, graph.get_name())
        tracker.tools = tool_names(graph)
        run = tracker.begin(
            messages_in(input) if not isinstance(input, Command) else (),
            thread=thread_of(graph, config),
            goes_on=input is None or isinstance(input, Command),
            parent=around.tracker.run if around is not None else None,
            parent_call_id=around.call_id if around is not None else None,
        )
        handler: Any = None
        if not is_agent(graph):
            handler = AsyncTell(tracker) if asynchronous else Tell(tracker)
        elif _has_breakpoints(graph, options):
            handler = AsyncInterruptListener(tracker) if asynchronous else InterruptListener(tracker)
        return _Play(tracker, run, mark, with_handler(graph, config, handler) if handler is not None else config)
    return None


def _has_breakpoints(graph: Any, options: Mapping[str, Any]) -> bool:
    """Whether the run may stop between two nodes: nothing but a callback tells of it."""
    names = ("interrupt_before", "interrupt_after")
    return any(options.get(name) or getattr(graph, f"{name}_nodes", None) for name in names)


def with_handler(target: Any, config: RunnableConfig | None, handler: Any) -> RunnableConfig:
    """The configuration with one more handler; those that would have been there are."""
    explicit: RunnableConfig = config or {}
    callbacks: Any = explicit.get("callbacks") or ensure_config().get("callbacks")
    own = (getattr(target, "config", None) or {}).get("callbacks")
    if not explicit.get("callbacks") and own:
        # some versions take these in place of the target's own, some beside them: a manager has each of them once
        handlers = list(own if isinstance(own, list) else own.handlers)
        callbacks = BaseCallbackManager(handlers=handlers, inheritable_handlers=list(handlers))
    if isinstance(callbacks, BaseCallbackManager):
        callbacks = callbacks.copy()
        callbacks.add_handler(handler, inherit=True)
    else:
        callbacks = [*(callbacks or ()), handler]
    return {**explicit, "callbacks": callbacks}


def thread_of(target: Any, config: RunnableConfig | None) -> str | None:
    """The thread that a run belongs to: the id of its conversation."""
    for one in (config, getattr(target, "config", None), ensure_config()):
        thread = ((one or {}).get("configurable") or {}).get("thread_id")
        if thread is not None:
            return str(thread)
    return None


def is_agent(graph: Any) -> bool:
    """Whether `create_agent` made it."""
    metadata = (graph.config or {}).get("metadata") or {}
    return metadata.get("ls_integration") == _AGENT and "model" in graph.nodes


def tool_names(graph: Any) -> Collection[str] | None:
    """The tools that a graph's nodes can call; None where none of them says."""
    names: set[str] = set()
    for node in graph.nodes.values():
        tools = getattr(node.bound, "tools_by_name", None)
        if isinstance(tools, Mapping):
            names.update(tools)
    return sorted(names) if names else None


# -- wrapping
def wrap_graph(graph: Any, runtime: Runtime) -> Any:
    """The graph's copy that records, and whose agent is given skills."""
    known = mark_of(graph)
    if known is not None:
        if known.runtime.same_as(runtime):
            return graph
        graph = known.original
    mark = Mark(runtime, graph)
    if is_agent(graph):
        graph = graph.copy({"nodes": {name: _node(name, node, mark) for name, node in graph.nodes.items()}})
    return learned(LearnedGraph, graph, mark)


def _node(name: str, node: Any, mark: Mark) -> Any:
    kind = WrappedNode
    if name == START:
        return node
    if name == "model":
        kind = ModelNode
    elif isinstance(getattr(node.bound, "tools_by_name", None), Mapping):
        kind = ToolsNode
    return node.copy({"bound": kind(node.bound, mark)})


class WrappedNode(Runnable[Any, Any]):
    """A node of an agent: when it waits for somebody, so does the run. What else is asked of it, it answers itself."""

    def __init__(self, inner: Runnable[Any, Any], mark: Mark) -> None:
        self.inner = inner
        self.mark = mark
        self.name = inner.get_name()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "inner" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.inner, name)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        try:
            return self.inner.invoke(input, config, **options)
        except GraphInterrupt:
            _waits()
            raise

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        try:
            return await self.inner.ainvoke(input, config, **options)
        except GraphInterrupt:
            _waits()
            raise


def _waits() -> None:
    around = scope.get()
    if around is not None:
        around.tracker.interrupted = True


class ModelNode(WrappedNode):
    """The node of an agent that calls its model: what goes in is heard, what comes out is the answer."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        step = _ModelStep(input, self.mark)
        if step.asks:
            with step.tracker.runtime.guard("skills"):
                step.text = step.tracker.skills(self.mark.runtime, step.messages, None)
        return step.given_by(super().invoke(step.prompt(), config, **options))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        step = _ModelStep(input, self.mark)
        if step.asks:
            with step.tracker.runtime.guard("skills"):
                step.text = await step.tracker.askills(self.mark.runtime, step.messages, None)
        return step.given_by(await super().ainvoke(step.prompt(), config, **options))


class _ModelStep:
    """One call of an agent's model, as its node sees it."""

    def __init__(self, input: Any, mark: Mark) -> None:
        self.input = input
        self.messages: list[BaseMessage] = []
        self.text = ""
        self.asks = False
        around = scope.get()
        self.around = around
        if around is None or around.call_id is not None:
            self.around = None
            return
        with self.tracker.runtime.guard("model step"):
            self.messages = messages_in(input)
            self.tracker.heard(self.messages, turns=around.owner is mark)
            self.asks = True

    @property
    def tracker(self) -> LangChainRunTracker:
        assert self.around is not None
        return self.around.tracker

    def prompt(self) -> Any:
        """The input, with the skills in the user's newest turn."""
        if not self.text:
            return self.input
        with self.tracker.runtime.guard("place"):
            return {**self.input, "messages": append_to_turn(self.messages, self.text)}
        return self.input

    def given_by(self, output: Any) -> Any:
        """The output, without any trace of ours."""
        if self.around is None:
            return output
        if self.text:
            with self.tracker.runtime.guard("restore"):
                output = restored(output, self.text, self.messages)
        with self.tracker.runtime.guard("model answer"):
            before = {id(message) for message in self.messages}
            answers = [message for message in messages_in(output) if id(message) not in before]
            for message in answers:
                if isinstance(message, AIMessage):
                    self.tracker.answered(message)
                elif isinstance(message, ToolMessage):
                    self.tracker.result(message)
            self.tracker.remember(self.messages, answers)
        return output


class ToolsNode(WrappedNode):
    """The node of an agent that calls its tools: what runs in there knows in which call it is."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        placed = _in_tool(input)
        try:
            output = super().invoke(input, config, **options)
        finally:
            if placed is not None:
                scope.reset(placed)
        return _results(output)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        placed = _in_tool(input)
        try:
            output = await super().ainvoke(input, config, **options)
        finally:
            if placed is not None:
                scope.reset(placed)
        return _results(output)


def _in_tool(input: Any) -> Any:
    around = scope.get()
    if around is None or around.call_id is not None:
        return None
    call_id = ""
    with around.tracker.runtime.guard("tool step"):
        call_id = _call_id(input)
    return scope.set(Scope(around.tracker, around.owner, call_id))


def _call_id(input: Any) -> str:
    """The call that the node was sent; "" where there are several."""
    if isinstance(input, Mapping):
        input = [input["tool_call"]] if "tool_call" in input else ()
    calls = [one.get("id") for one in input if isinstance(one, Mapping)] if isinstance(input, list) else []
    return calls[0] or "" if len(calls) == 1 else ""


def _results(output: Any) -> Any:
    around = scope.get()
    if around is not None and around.call_id is None:
        with around.tracker.runtime.guard("tool results"):
            for message in messages_in(output):
                if isinstance(message, ToolMessage):
                    around.tracker.result(message)
    return output
