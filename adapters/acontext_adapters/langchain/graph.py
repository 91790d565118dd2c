"""Graphs: a copy of the same class whose runs are recorded, and whose agent is given skills.

Around each run stands a watch. In an agent of `create_agent` the node of the model and the node of the tools tell of
it, and the skills are put into turns of the user on their way to the model; in other graphs a callback handler
tells what models and tools do. (Handlers cost time at every event, so an agent has none, unless it has breakpoints.)
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.graph import START
from langgraph.pregel import Pregel
from langgraph.types import Command

from acontext_plugins.inject.recall import SkillsBlock
from acontext_plugins.runs import Run, Runtime

from ..shared.subclass import mark_in, over, under
from ..shared.users import user_in
from .calls import Visit, call_in, tools_of
from .config import thread_of, user_of, with_handler
from .convert import by_user, messages_in
from .handler import InterruptListener, Tell, ToolListener
from .mark import Mark, mark_of
from .placement import in_turns, restored
from .run_tracker import LangChainRunTracker, Scope, broken_call_in, found, scope

log = logging.getLogger("acontext")
#: What the nodes are called in which an agent's middleware speaks.
_HOOKS = (".before_agent", ".before_model", ".after_model", ".after_agent")


class LearnedGraph:
    """What a learned graph does around the runs of its class. `invoke`, `batch` and events come down to these two."""

    def copy(self, update: dict[str, Any] | None = None) -> Any:
        around: Any = super()
        mark = mark_of(self)
        copied = around.copy(update)
        return copied if mark is None else _learned(copied, mark)

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:
        around: Any = super()
        play = _begin(self, input, config, options)
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
        play = _begin(self, input, config, options)
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
        self._owner = owner
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
            self._say_who_gets_no_skills()

    def _say_who_gets_no_skills(self) -> None:
        tracker, options = self.tracker, self.tracker.runtime.options
        if tracker.told or not tracker.started or tracker.asked_for_skills or "no skills" in self._owner.said:
            return
        if options.inject and options.space is not None:
            self._owner.said.add("no skills")
            log.warning(
                "acontext: the graph %r is recorded and gets no skills, as it is no agent of create_agent and nothing "
                "in it is learned: build it with learning(chat_model, ...), or learn it with inject=False",
                tracker.label,
            )


def _begin(graph: Any, input: Any, config: RunnableConfig | None, options: Mapping[str, Any]) -> _Play | None:
    """What the run needs; None where there is nothing to add: it is part of another one, or trouble is ours."""
    mark = mark_of(graph)
    if mark is None:
        return None
    with mark.runtime.guard("run start"):
        around = found(config)
        if around is not None and around.call_id is None and around.tracker.run is not None:
            return None
        user = user_in(options.get("context")) or user_of(graph, config)
        tracker = LangChainRunTracker(mark.runtime, graph.get_name(), principal=user)
        tracker.tools = tool_names(graph)
        run = tracker.begin(
            messages_in(input) if not isinstance(input, Command) else (),
            thread=thread_of(graph, config),
            goes_on=input is None or isinstance(input, Command),
            parent=around.tracker.run if around is not None else None,
            parent_call_id=around.call_id if around is not None else None,
            command=input,
            inside=around is None and "langgraph_node" in (ensure_config(config).get("metadata") or {}),
        )
        tracker.told = is_agent(graph)
        tracker.holds = tracker.told and any(name.endswith(_HOOKS) for name in graph.nodes)
        handler: Any = None
        if not tracker.told:
            nodes = {name: node.bound for name, node in graph.nodes.items()}
            tools = {name: given for name, bound in nodes.items() if (given := tools_of(bound))}
            agents = [name for name, bound in nodes.items() if isinstance(bound, Pregel) and is_agent(bound)]
            handler = Tell(tracker, tools, agents)
        elif _has_breakpoints(graph, options):
            handler = InterruptListener(tracker)
        return _Play(tracker, run, mark, with_handler(graph, config, handler) if handler is not None else config)
    return None


def _has_breakpoints(graph: Any, options: Mapping[str, Any]) -> bool:
    """Whether the run may stop between two nodes: nothing but a callback tells of it."""
    names = ("interrupt_before", "interrupt_after")
    return any(options.get(name) or getattr(graph, f"{name}_nodes", None) for name in names)


def is_agent(graph: Any) -> bool:
    """Whether `create_agent` made it, itself or for somebody else: its node of the model is made of code of its own.

    Not whether its metadata say so: deep agents, and whoever sets `ls_integration`, say something else there.
    """
    bound = getattr(graph.nodes.get("model"), "bound", None)
    function = getattr(bound, "func", None) or getattr(bound, "afunc", None)
    return str(getattr(function, "__module__", "")).startswith("langchain.agents.")


def tool_names(graph: Any) -> Collection[str] | None:
    """The tools that a graph's nodes can call; None where none of them says."""
    names: set[str] = set()
    for node in graph.nodes.values():
        names.update(tools_of(node.bound) or ())
    return sorted(names) if names else None


# -- wrapping
def wrap_graph(graph: Any, runtime: Runtime) -> Any:
    """The graph's copy that records, and whose agent is given skills."""
    known = mark_of(graph)
    if known is not None and known.runtime.same_as(runtime):
        return graph
    return _learned(_bare(graph), Mark(runtime))


def _learned(graph: Any, mark: Mark) -> Any:
    learned = over(graph, LearnedGraph, mark)
    if is_agent(learned):
        learned.nodes = {name: _node(name, node, mark) for name, node in graph.nodes.items()}
    return learned


def _bare(graph: Any) -> Any:
    """A learned graph as it would be had nobody learned it; itself where nobody has."""
    if mark_of(graph) is None:
        return graph
    bare = under(graph)
    if is_agent(bare):
        bare.nodes = {
            name: node.copy({"bound": under(node.bound)}) if isinstance(mark_in(node.bound), NodeMark) else node
            for name, node in graph.nodes.items()
        }
    return bare


@dataclass(frozen=True, slots=True, eq=False)
class NodeMark:
    """Which node of a learned agent it is, and the agent's mark."""

    node: str
    mark: Mark


def _node(name: str, node: Any, mark: Mark) -> Any:
    kind: type[WrappedNode] = HookNode
    if name == START or mark_in(node.bound) is not None:
        return node
    if name == "model":
        kind = ModelNode
    elif tools_of(node.bound) is not None:
        kind = ToolsNode
    return node.copy({"bound": over(node.bound, kind, NodeMark(name, mark))})


class WrappedNode:
    """What lies over a node of an agent: when it waits for somebody, so does the run."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        around: Any = super()
        try:
            return around.invoke(input, config, **options)
        except GraphInterrupt:
            _waits()
            raise

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        around: Any = super()
        try:
            return await around.ainvoke(input, config, **options)
        except GraphInterrupt:
            _waits()
            raise


def _waits() -> None:
    around = scope.get()
    if around is not None:
        around.tracker.interrupted = True


class HookNode(WrappedNode):
    """A node of an agent in which middleware speaks: it may answer calls itself, or change them."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        visit = _visit(mark_in(self).node, input, config)
        try:
            output = super().invoke(input, config, **options)
        except Exception as error:
            _refused(visit, error)
            raise
        return _gave(visit, output)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        visit = _visit(mark_in(self).node, input, config)
        try:
            output = await super().ainvoke(input, config, **options)
        except Exception as error:
            _refused(visit, error)
            raise
        return _gave(visit, output)


class ModelNode(WrappedNode):
    """The node of an agent that calls its model: what goes in is heard, what comes out is the answer."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        mark: Mark = mark_in(self).mark
        step = _ModelStep(input, mark)
        if step.asks:
            with step.tracker.runtime.guard("skills"):
                step.blocks = step.tracker.skills(mark.runtime, step.messages, None)
        try:
            output = super().invoke(step.prompt(), config, **options)
        except BaseException:
            step.hear()
            raise
        return step.given_by(output)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        mark: Mark = mark_in(self).mark
        step = _ModelStep(input, mark)
        if step.asks:
            with step.tracker.runtime.guard("skills"):
                step.blocks = await step.tracker.askills(mark.runtime, step.messages, None)
        try:
            output = await super().ainvoke(step.prompt(), config, **options)
        except BaseException:
            step.hear()
            raise
        return step.given_by(output)


class _ModelStep:
    """One call of an agent's model, as its node sees it."""

    def __init__(self, input: Any, mark: Mark) -> None:
        self.input = input
        self.messages: list[BaseMessage] = []
        self.blocks: tuple[SkillsBlock, ...] = ()
        self.asks = False
        #: The agent answers a call of an earlier turn now, which stands before what the user says next.
        self._repairs = False
        around = scope.get()
        self.around = around
        if around is None or around.call_id is not None:
            self.around = None
            return
        with self.tracker.runtime.guard("model step"):
            self.messages = messages_in(input)
            self._turns = around.owner is mark
            self._repairs = broken_call_in(self.messages)
            if not self._repairs:
                self.tracker.heard(self.messages, turns=self._turns)
            self.asks = True

    @property
    def tracker(self) -> LangChainRunTracker:
        assert self.around is not None
        return self.around.tracker

    def hear(self, output: Any = None) -> None:
        """Tell what the model is asked, where that waited for what the agent answers to a call of an earlier turn."""
        if not self._repairs or not self.asks:
            return
        self._repairs = False
        with self.tracker.runtime.guard("model step"):
            given = messages_in(output)
            known = {id(message) for message in self.messages}
            answer = next(
                (at for at, one in enumerate(given) if isinstance(one, AIMessage) and id(one) not in known), 0
            )
            asked = [
                message
                for message in given[:answer]
                if isinstance(message, AIMessage | ToolMessage) or by_user(message)
            ]
            self.tracker.heard(asked or self.messages, turns=self._turns)

    def prompt(self) -> Any:
        """The input, with the skills in turns of the user."""
        if not self.blocks:
            return self.input
        with self.tracker.runtime.guard("place"):
            return {**self.input, "messages": in_turns(self.messages, self.blocks)}
        return self.input

    def given_by(self, output: Any) -> Any:
        """The output, without any trace of ours."""
        if self.around is None:
            return output
        if self.blocks:
            with self.tracker.runtime.guard("restore"):
                output = restored(output, self.blocks, self.messages)
        self.hear(output)
        with self.tracker.runtime.guard("model answer"):
            before = {id(message) for message in self.messages}
            answers = [message for message in messages_in(output) if id(message) not in before]
            for message in answers:
                if isinstance(message, AIMessage):
                    self.tracker.answered(message)
            self.tracker.gave(Visit("model", self.tracker.answers, by_model=True), answers)
            self.tracker.remember(self.messages, answers)
        return output


class ToolsNode(WrappedNode):
    """The node of an agent that calls its tools: what runs in there knows in which call it is, and tells its start."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        step = _ToolStep(self, input, config)
        try:
            output = super().invoke(input, step.config, **options)
        finally:
            step.leave()
        return _gave(step.visit, output)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        step = _ToolStep(self, input, config)
        try:
            output = await super().ainvoke(input, step.config, **options)
        finally:
            step.leave()
        return _gave(step.visit, output)


class _ToolStep:
    """One run of the node that calls tools."""

    def __init__(self, node: ToolsNode, input: Any, config: RunnableConfig | None) -> None:
        self.config = config
        self.visit: Visit | None = None
        self._placed: Any = None
        around = scope.get()
        if around is None or around.call_id is not None:
            return
        tracker, call_id = around.tracker, ""
        with tracker.runtime.guard("tool step"):
            sent = call_in(input)
            call_id = str((sent or {}).get("id") or "")
            if tracker.told:
                self.visit = _visit(
                    mark_in(node).node, input, config, sent=sent, calls_tools=True, tools=tools_of(node)
                )
                self.config = with_handler(None, config, ToolListener(tracker, self.visit), inherit=False)
        self._placed = scope.set(Scope(tracker, around.owner, call_id))

    def leave(self) -> None:
        if self._placed is not None:
            scope.reset(self._placed)
        if self.visit is not None:
            self.visit.leave()


def _visit(node: str, input: Any, config: RunnableConfig | None, **about: Any) -> Visit | None:
    """This run of a node; None where it is no part of an agent's run that is told by its nodes."""
    around = scope.get()
    if around is None or around.call_id is not None or not around.tracker.told:
        return None
    with around.tracker.runtime.guard("node start"):
        return around.tracker.visit(node, (config or {}).get("metadata"), input, **about)
    return None


def _refused(visit: Visit | None, error: Exception) -> None:
    """A hook has raised."""
    around = scope.get()
    if visit is not None and around is not None and not isinstance(error, GraphBubbleUp):
        with around.tracker.runtime.guard("node refused"):
            around.tracker.refused()


def _gave(visit: Visit | None, output: Any) -> Any:
    """The node's output, which has been told."""
    around = scope.get()
    if visit is not None and around is not None:
        with around.tracker.runtime.guard("node end"):
            around.tracker.gave(visit, messages_in(output))
    return output
