"""Callback handlers: what LangChain tells of any runnable's run, for objects that cannot be asked themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from acontext_plugins.concurrency.copies import SharedByCopies
from acontext_plugins.learning import client_or_default
from acontext_plugins.runs import HasConnection, RecordingClient, RunKind, RunOptions, Runtime

from ..shared.users import user_in
from .calls import Visit, call_in, is_create_agent, is_node
from .convert import messages_in
from .langgraph_types import HeardByGraphs, is_bubble_up, is_command
from .run_tracker import LangChainRunTracker, Scope, scope


@dataclass(slots=True)
class _Root:
    """A run that a handler has seen begin, and all that goes on inside of it."""

    tracker: LangChainRunTracker
    inside: set[UUID] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Span:
    """Something that goes on: part of which run, and in which call of a tool (None = in none)."""

    root: UUID
    tracker: LangChainRunTracker | None
    call_id: str | None = None
    #: The node of a graph that it is.
    visit: Visit | None = None
    #: It belongs to an agent all of whose calls come by here.
    told: bool = False


class AcontextCallbackHandler(HeardByGraphs, SharedByCopies, BaseCallbackHandler):
    """Records runs of any runnable or graph, and says how they ended: `config={"callbacks": [handler]}`.

    It injects nothing. One handler serves any number of runs, at the same time as well. What goes on inside a tool
    is the tool's: only its result is recorded.
    """

    #: In an event loop, too: what is not run inline there costs a thread each time.
    run_inline = True

    def __init__(
        self,
        *,
        space: str | None,
        client: HasConnection | RecordingClient | None = None,
        session: str | None = None,
        principal: str | None = None,
        strict: bool = False,
    ) -> None:
        options = RunOptions(space=space, session=session, principal=principal, inject=False, strict=strict)
        self._setup(Runtime(options, client_or_default(client)))

    def _setup(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._spans: dict[UUID, _Span] = {}
        self._roots: dict[UUID, _Root] = {}
        #: The tools of nodes that call tools, by the nodes' names: of the outermost graph, where it is known.
        self._tools: Mapping[str, Mapping[str, Any]] = {}
        #: The nodes of that graph which are agents: langgraph before 1.2 does not say so inside of them.
        self._agents: Collection[str] = ()
        #: Whose runs these are, where it is known before they begin.
        self._thread: str | None = None
        self._user: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_spans": {}, "_roots": {}}  # runs go on where they are

    # -- which run
    def acontext_scope(self, run_id: UUID | None) -> Scope | None:
        """Where code is that runs directly inside of `run_id`."""
        span = self._spans.get(run_id) if run_id is not None else None
        if span is None or span.tracker is None:
            return None
        span.tracker.begun()
        return Scope(span.tracker, self, span.call_id)

    def _opened(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        label: str,
        given: Sequence[BaseMessage],
        metadata: Mapping[str, Any] | None,
        kind: RunKind = "agent",
        *,
        command: object = None,
        goes_on: bool = False,
    ) -> _Span:
        parent = self._spans.get(parent_run_id) if parent_run_id is not None else None
        if parent is None:
            tracker = self._watch(label, given, metadata, kind, command, goes_on=goes_on)
            parent = _Span(run_id, tracker)
            self._roots[run_id] = (
                _Root(tracker) if tracker is not None else _Root(LangChainRunTracker(self.runtime, label))
            )
        elif parent.tracker is not None:
            parent.tracker.begun()
        told = parent.told or self._in_agent(metadata)
        span = _Span(parent.root, parent.tracker, parent.call_id, told=told)
        if told and span.tracker is not None and span.call_id is None:
            span.tracker.holds = True
        self._place(run_id, span)
        return span

    def _in_agent(self, metadata: Mapping[str, Any] | None) -> bool:
        outermost = str((metadata or {}).get("langgraph_checkpoint_ns") or "").partition(":")[0]
        return is_create_agent(metadata) or outermost in self._agents

    def _place(self, run_id: UUID, span: _Span) -> None:
        self._spans[run_id] = span
        root = self._roots.get(span.root)
        if root is not None:
            root.inside.add(run_id)

    def _watch(
        self,
        label: str,
        given: Sequence[BaseMessage],
        metadata: Mapping[str, Any] | None,
        kind: RunKind,
        command: object,
        *,
        goes_on: bool,
    ) -> LangChainRunTracker | None:
        around = scope.get()
        if around is not None and around.call_id is None:
            return None  # a learned object records this run
        tracker = LangChainRunTracker(self.runtime, label, kind=kind, principal=self._user or user_in(metadata))
        thread = self._thread or (metadata or {}).get("thread_id")
        parent = around.tracker.run if around is not None else None
        tracker.begin_later(
            given,
            thread=str(thread) if thread is not None else None,
            goes_on=goes_on,
            parent=parent,
            parent_call_id=around.call_id if around is not None else None,
            command=command,
        )
        return tracker

    def _closed(self, run_id: UUID, error: BaseException | None = None) -> _Span | None:
        span = self._spans.pop(run_id, None)
        if span is None:
            return None
        root = self._roots.get(span.root)
        if root is not None:
            root.inside.discard(run_id)
        if span.root == run_id:
            self._roots.pop(run_id, None)
            for inner in root.inside if root is not None else ():
                self._spans.pop(inner, None)
            self._over(span, error)
        return span

    def _over(self, span: _Span, error: BaseException | None) -> None:
        if span.tracker is not None:
            span.tracker.end(error)

    # -- chains and graphs
    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        with self.runtime.guard("chain start"):
            label = str(kwargs.get("name") or "chain")
            goes_on = inputs is None or is_command(inputs)
            given = messages_in(inputs) if parent_run_id not in self._spans and not is_command(inputs) else ()
            span = self._opened(run_id, parent_run_id, label, given, metadata, command=inputs, goes_on=goes_on)
            if span.tracker is not None and span.call_id is None and is_node(kwargs.get("name"), metadata):
                self._place(run_id, replace(span, visit=self._visit(span, span.tracker, label, inputs, metadata or {})))

    def _visit(
        self, span: _Span, tracker: LangChainRunTracker, node: str, inputs: Any, metadata: Mapping[str, Any]
    ) -> Visit:
        outermost = "|" not in str(metadata.get("langgraph_checkpoint_ns") or "")
        tools = self._tools.get(node) if outermost else None
        calls_tools = tools is not None or (span.told and node == "tools")
        sent = call_in(inputs) if calls_tools else None
        visit = tracker.visit(
            node, metadata, inputs, sent=sent, calls_tools=calls_tools, tools=tools, is_agents=span.told
        )
        visit.by_model = span.told and node == "model"
        return visit

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> Any:
        with self.runtime.guard("chain end"):
            span = self._closed(run_id)
            if span is not None and span.visit is not None and span.tracker is not None:
                span.visit.leave()
                span.tracker.gave(span.visit, messages_in(outputs))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> Any:
        with self.runtime.guard("chain error"):
            span = self._closed(run_id, error)
            if span is None or span.visit is None:
                return
            span.visit.leave()
            hook = not span.visit.by_model and not span.visit.calls_tools
            if span.told and hook and span.tracker is not None and not is_bubble_up(error):
                span.tracker.refused()

    def on_interrupt(self, event: Any) -> Any:
        with self.runtime.guard("interrupt"):
            span = self._spans.get(event.run_id) if event.run_id is not None else None
            if span is not None and span.tracker is not None and span.call_id is None:
                span.tracker.interrupted = True

    # -- models
    def on_chat_model_start(
        self,
        serialized: Any,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        with self.runtime.guard("model start"):
            self._asked(run_id, parent_run_id, messages[0], metadata, str(kwargs.get("name") or "model"))

    def on_llm_start(
        self,
        serialized: Any,
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        with self.runtime.guard("model start"):
            messages: list[BaseMessage] = [HumanMessage(content=prompt) for prompt in prompts]
            self._asked(run_id, parent_run_id, messages, metadata, str(kwargs.get("name") or "model"))

    def _asked(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        messages: Sequence[BaseMessage],
        metadata: Mapping[str, Any] | None,
        label: str,
    ) -> None:
        span = self._opened(run_id, parent_run_id, label, messages, metadata, "model")
        if span.tracker is None or span.call_id is not None:
            return
        node = (metadata or {}).get("langgraph_node")
        if "lc_source" in (metadata or {}) or (span.told and node != "model"):  # a middleware asks for itself
            self._place(run_id, _Span(span.root, None))
            return
        span.tracker.heard(messages)

    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> Any:
        with self.runtime.guard("model end"):
            span = self._spans.get(run_id)
            try:
                if span is not None and span.tracker is not None and span.call_id is None:
                    self._answer(span.tracker, response, span.told)
            finally:
                self._closed(run_id)

    def _answer(self, tracker: LangChainRunTracker, response: Any, told: bool) -> None:
        for generations in response.generations:
            if not generations:
                continue
            message = getattr(generations[0], "message", None)
            answer = message if isinstance(message, AIMessage) else AIMessage(content=generations[0].text)
            tracker.answered(answer, told=told)
            tracker.remember(tracker.prompt, [answer])

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> Any:
        with self.runtime.guard("model error"):
            self._closed(run_id, error)

    # -- tools
    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        with self.runtime.guard("tool start"):
            parent = self._spans.get(parent_run_id) if parent_run_id is not None else None
            if parent is None:
                return
            if parent.tracker is not None:
                parent.tracker.begun()
            if parent.call_id is not None:
                self._place(run_id, _Span(parent.root, parent.tracker, parent.call_id))
                return
            call_id = str(kwargs.get("tool_call_id") or "")
            self._place(run_id, _Span(parent.root, parent.tracker, call_id, parent.visit))
            if parent.tracker is not None:
                arguments = inputs if inputs is not None else input_str
                parent.tracker.tool_started(run_id, call_id, serialized["name"], arguments, parent.visit)

    def on_tool_end(self, output: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> Any:
        with self.runtime.guard("tool end"):
            span = self._closed(run_id)
            around = self._spans.get(parent_run_id) if parent_run_id is not None else None
            if span is None or span.tracker is None or around is None or around.call_id is not None:
                return
            call = span.tracker.tool_ended(run_id, output, span.visit)
            for message in messages_in(output):
                if isinstance(message, ToolMessage):
                    own = call is not None and message.tool_call_id == call.id
                    span.tracker.result(message, call=call if own else None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> Any:
        with self.runtime.guard("tool error"):
            span = self._closed(run_id)
            if span is not None and span.tracker is not None:
                span.tracker.tool_raised(run_id, error)

    def __len__(self) -> int:
        return len(self._spans)

    def __bool__(self) -> bool:
        return True


class Tell(AcontextCallbackHandler):
    """Tells the watch of one run, whose beginning and end are seen by somebody else."""

    def __init__(
        self, tracker: LangChainRunTracker, tools: Mapping[str, Mapping[str, Any]], agents: Collection[str]
    ) -> None:
        self.tracker = tracker
        tracker.tell = self
        self._setup(tracker.runtime)
        self._tools = tools
        self._agents = agents

    def _watch(
        self,
        label: str,
        given: Sequence[BaseMessage],
        metadata: Mapping[str, Any] | None,
        kind: RunKind,
        command: object,
        *,
        goes_on: bool,
    ) -> LangChainRunTracker | None:
        return self.tracker

    def _over(self, span: _Span, error: BaseException | None) -> None:
        pass


class RunnableHandler(AcontextCallbackHandler):
    """The handler of one run of a learned runnable, whose configuration names the thread and the user."""

    def __init__(self, runtime: Runtime, thread: str | None, user: str | None) -> None:
        self._setup(runtime)
        self._thread, self._user = thread, user


class InterruptListener(HeardByGraphs, BaseCallbackHandler):
    """Hears of interruptions, and of nothing else."""

    ignore_llm = ignore_chat_model = ignore_chain = ignore_agent = ignore_retriever = True
    ignore_retry = ignore_custom_event = True
    run_inline = True

    def __init__(self, tracker: LangChainRunTracker) -> None:
        self.tracker = tracker

    def on_interrupt(self, event: Any) -> Any:
        around = scope.get()
        if around is not None and around.tracker is self.tracker and around.call_id is None:
            self.tracker.interrupted = True


class ToolListener(BaseCallbackHandler):
    """Hears of the tools that one run of an agent's node calls, and of nothing inside of them."""

    ignore_llm = ignore_chat_model = ignore_chain = ignore_retriever = True
    ignore_retry = ignore_custom_event = True
    run_inline = True

    def __init__(self, tracker: LangChainRunTracker, visit: Visit | None) -> None:
        self.tracker = tracker
        self.visit = visit

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, inputs: dict[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        with self.tracker.runtime.guard("tool start"):
            call_id = str(kwargs.get("tool_call_id") or "")
            arguments = inputs if inputs is not None else input_str
            self.tracker.tool_started(run_id, call_id, serialized["name"], arguments, self.visit)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> Any:
        with self.tracker.runtime.guard("tool end"):
            self.tracker.tool_ended(run_id, output, self.visit)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> Any:
        with self.tracker.runtime.guard("tool error"):
            self.tracker.tool_raised(run_id, error)
