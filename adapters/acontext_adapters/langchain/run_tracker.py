"""Run tracker: one run, as the hooks of this adapter tell of it; what two of them tell is recorded once.

Hooks are a learned graph (around the run, and its nodes), a learned chat model, the middleware and the callback
handler. Whichever is outermost makes the tracker; those inside of it find it with `found`.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables.config import ensure_config
from langgraph.errors import GraphBubbleUp, ParentCommand

from acontext_adapters.shared.resent_history import Conversations, Sent
from acontext_plugins.concurrency.caches import SharedCache
from acontext_plugins.runs import RecordingClient, Run, RunKind, Runtime, current_run, reason_of
from acontext_plugins.service import Recall
from acontext_store.types import new_id, stable_id

from .convert import by_user, converted, frozen, items_of, rough_size, text_of

#: Conversations without a thread id, known by what is sent again.
conversations = Conversations()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that may go on, and the skills that it has been given: it is given the same then."""

    run_id: str
    recall: Recall | None


_Unfinished = SharedCache[tuple[str, ...], Unfinished]
#: Runs that may go on, by client, scope, thread and name: the host calls the graph again with `Command(resume=...)` or
#: None. They go when their client goes.
unfinished: weakref.WeakKeyDictionary[RecordingClient, _Unfinished] = weakref.WeakKeyDictionary()


def unfinished_of(runtime: Runtime) -> _Unfinished:
    """The runs that may go on of the runtime's client. May raise: call it inside `guard`."""
    client = runtime.client
    known = unfinished.get(client)
    return unfinished.setdefault(client, SharedCache(1024)) if known is None else known


@dataclass(frozen=True, slots=True)
class Scope:
    """Where code is: in which run, and in which call of a tool ("" = in one, nobody knows which; None = in none)."""

    tracker: LangChainRunTracker
    #: The learned object that the run belongs to: others inside of it take part in its run.
    owner: object = None
    call_id: str | None = None


scope: ContextVar[Scope | None] = ContextVar("acontext_langchain", default=None)


class LangChainRunTracker:
    """One run: what has been recorded of it, what is still awaited."""

    def __init__(self, runtime: Runtime, label: str, *, kind: RunKind = "agent") -> None:
        self.id = new_id()
        self.runtime = runtime
        self.label = label
        self.kind = kind
        self.run: Run | None = None
        #: The tools of a graph; None where nobody knows them before the model is called.
        self.tools: Collection[str] | None = None
        #: What the model was asked last.
        self.prompt: Sequence[BaseMessage] = ()
        #: The model has been asked: what never reached one is not recorded.
        self.started = False
        #: The framework says that it waits for somebody.
        self.interrupted = False
        #: Calls of the model that have no result yet: name of the tool, and the answer that they stand in.
        self.pending: dict[str, tuple[str, str]] = {}
        self._answered: set[str] = set()
        self._heard: set[str] = set()
        self._said: set[str] = set()
        self._count = 0
        #: The handler that knows what goes on inside of the run, where the run's nodes don't.
        self.tell: Any = None
        self._recaller: Run | None = None
        #: What the run was given before it was interrupted.
        self._recall: Recall | None = None
        self._thread: str | None = None
        self._sent: Sent | None = None
        self._asking = threading.Lock()
        self._awaiting: asyncio.Lock | None = None

    # -- beginning
    def begin(
        self,
        messages: Sequence[BaseMessage] = (),
        *,
        thread: str | None = None,
        goes_on: bool = False,
        parent: Run | None = None,
        parent_call_id: str | None = None,
    ) -> Run:
        """Make the run. Records nothing.

        `messages` is what the host gives; without a `thread` the conversation that they continue is looked for.
        """
        runtime = self.runtime
        self._thread = thread
        key = thread or runtime.options.session
        before = unfinished_of(runtime).pop(self._place, None) if thread else None
        run_id = None
        if goes_on and before is not None:
            run_id, self._recall = before.run_id, before.recall
        if key is None and parent is None and messages:
            key = self.follow(messages)
        self.run = runtime.start(
            label=self.label,
            kind=self.kind,
            session_key=key,
            run_id=run_id,
            parent=parent,
            parent_call_id=parent_call_id or None,
            recall=self._recall,
        )
        return self.run

    @property
    def _place(self) -> tuple[str, ...]:
        return (self.runtime.scope, self._thread or "", self.label)

    def follow(self, messages: Sequence[BaseMessage]) -> str:
        """The session of a conversation that nobody names, known by what of it is sent again."""
        known = self._sent.session_key if self._sent is not None else None
        self._sent = conversations.sent(self.runtime.scope, known, items_of(messages))
        return self._sent.session_key

    def new_turn_in(self, messages: Sequence[BaseMessage]) -> bool:
        """Whether the user has said something that this run has not heard."""
        rest = messages[_behind_last_answer(messages) :]
        return any(by_user(message) and message.id not in self._heard for message in rest)

    # -- what hooks tell
    def heard(self, messages: Sequence[BaseMessage], *, turns: bool = True) -> None:
        """The model is about to be called with these: record what is new behind its last answer.

        `turns=False`: only results, for what a nested graph is told is no turn of the user.
        """
        self.begun(messages)
        self.prompt = messages
        place = _behind_last_answer(messages)
        asker = messages[place - 1].id or "" if place else ""
        turns = turns or not self.started
        first, self.started = not self.started, True
        for number, message in enumerate(messages[place:]):
            if isinstance(message, ToolMessage):
                self.result(message, asker)
            elif turns and by_user(message):
                if message.id is None and not first:
                    continue
                key = message.id or f"{self.id} {number}"
                if key not in self._heard:
                    self._heard.add(key)
                    self._record(message, "turn", key)

    def begun(self, messages: Sequence[BaseMessage]) -> Run:
        """The run, made now where nobody could before."""
        return self.run if self.run is not None else self.begin(messages)

    def answered(self, message: BaseMessage) -> None:
        """The model has answered (or called tools)."""
        if not isinstance(message, AIMessage) or (message.id is not None and message.id in self._said):
            return
        self._count += 1
        if message.id is not None:
            self._said.add(message.id)
        answer = message.id or ""
        for call in [*message.tool_calls, *message.invalid_tool_calls]:
            call_id = call.get("id")
            if call_id:
                self.pending[call_id] = call.get("name") or "", answer
                self._answered.discard(call_id)  # some providers number their calls anew in every answer
        self._record(message, self.begun(()).id, "answer", message.id or str(self._count))

    def result(self, message: ToolMessage, asker: str = "") -> None:
        """A tool has given its result."""
        call_id = message.tool_call_id
        if call_id in self._answered:
            return
        self._answered.add(call_id)
        name, asker = self.pending.pop(call_id, (message.name or "", asker))
        if name and not message.name:
            message = message.model_copy(update={"name": name})
        self._record(message, "result", asker, call_id)

    def _record(self, message: BaseMessage, *ids: str) -> None:
        run = self.begun(())
        copy, key = frozen(message), run.session.key
        run.record(make=lambda: converted(copy, stable_id(key, *ids)), size=rough_size(message))

    # -- skills
    def query(self, messages: Sequence[BaseMessage]) -> str:
        """The newest words of the user."""
        return next((text_of(one.content) for one in reversed(messages) if by_user(one)), "")

    def skills(self, runtime: Runtime, messages: Sequence[BaseMessage], tools: Collection[str] | None) -> str:
        """The text to inject: asked for once, the same for the whole run."""
        with self._asking:
            return self._asker(runtime, messages).recall(self.query(messages), self.tools or tools)

    async def askills(self, runtime: Runtime, messages: Sequence[BaseMessage], tools: Collection[str] | None) -> str:
        """The same, for code in an event loop."""
        if self._awaiting is None:
            self._awaiting = asyncio.Lock()
        async with self._awaiting:
            return await self._asker(runtime, messages).arecall(self.query(messages), self.tools or tools)

    def _asker(self, runtime: Runtime, messages: Sequence[BaseMessage]) -> Run:
        """The run; one in its name where it was made by who only records, and another hook injects."""
        run = self.begun(messages)
        options = self.runtime.options
        if options.inject and options.space is not None:
            return run
        if self._recaller is None:
            self._recaller = runtime.start(
                label=self.label,
                session_key=run.session.key,
                run_id=run.id,
                nested=False,
                kind=self.kind,
                recall=self._recall,
            )
        return self._recaller

    # -- ending
    def end(self, error: BaseException | None = None) -> None:
        """How it ended, by the exception that came out of it, if one did."""
        run = self.run
        self.prompt, self.tell = (), None
        if run is None or run.ended is not None or not self.started:
            return
        if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit):
            run.end("cancelled")
        elif isinstance(error, GraphBubbleUp) and not isinstance(error, ParentCommand):
            run.end("interrupted", self._waiting())
        elif error is not None and not isinstance(error, ParentCommand):
            run.end("failed", reason_of(error))
        elif self.interrupted:
            run.end("interrupted", self._waiting())
        else:
            run.end("success")
        if run.ended != "success" and self._thread and run.parent is None:
            unfinished_of(self.runtime)[self._place] = Unfinished(run.id, (self._recaller or run).recalled)

    def _waiting(self) -> str:
        return ", ".join(sorted({name for name, _ in self.pending.values()}))

    def remember(self, messages: Sequence[BaseMessage], answers: Sequence[BaseMessage], *, calls: bool = False) -> None:
        """Leave what a history that is sent again is known by: the conversation up to these answers.

        `calls=True`: also up to calls of tools, where each call of the model is all that is seen.
        """
        said = [one for one in answers if isinstance(one, AIMessage)]
        if self._sent is None or not said or (not calls and any(one.tool_calls for one in said)):
            return
        self.follow(messages)
        conversations.answered(self.runtime.scope, self._sent, items_of(said))


def _behind_last_answer(messages: Sequence[BaseMessage]) -> int:
    """Where what follows on the model's last answer begins."""
    for place in range(len(messages), 0, -1):
        if isinstance(messages[place - 1], AIMessage):
            return place
    return 0


def found(config: Any = None) -> Scope | None:
    """The run that this code is part of, by the context or by a handler in the configuration."""
    around = scope.get()
    if around is not None and (around.call_id is not None or around.tracker.tell is None):
        return around
    manager: Any = ensure_config(config).get("callbacks")
    if around is not None:
        inside = around.tracker.tell.acontext_scope(getattr(manager, "parent_run_id", None))
        return around if inside is None else Scope(around.tracker, around.owner, inside.call_id)
    handlers = manager if isinstance(manager, list) else getattr(manager, "handlers", ())
    for handler in reversed(handlers):
        where = getattr(handler, "acontext_scope", None)
        if where is not None:
            there: Scope | None = where(getattr(manager, "parent_run_id", None))
            if there is not None:
                return there
    return None


def foreign_agent() -> bool:
    """Whether this code is part of an agent's run that no hook of this adapter knows: it is recorded there."""
    run = current_run()
    return run is not None and run.kind == "agent"
