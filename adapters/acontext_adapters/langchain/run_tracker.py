"""Run tracker: one run, as the hooks of this adapter tell of it; what two of them tell is recorded once.

Hooks are a learned graph (around the run, and its nodes), a learned chat model, the middleware and the callback
handler. Whichever is outermost makes the tracker; those inside of it find it with `found`.
"""

from __future__ import annotations

import asyncio
import json
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables.config import ensure_config

from acontext_adapters.shared.placement import shown_turns, turn_names
from acontext_adapters.shared.resent_history import Conversations, Sent
from acontext_plugins.concurrency.caches import SharedCache
from acontext_plugins.inject.recall import Recall, ShownTurns, SkillsBlock
from acontext_plugins.runs import RecordingClient, Run, RunKind, Runtime, current_run, reason_of
from acontext_store.types import CallFate, new_id, stable_id

from .calls import Answers, FirstSteps, LangChainCall, LangChainCallLedger, Visit, numbered
from .config import thread_of, user_of
from .convert import by_user, frozen, item_of, items_of, messages_in, text_of
from .held_messages import HeldMessage, HeldMessages
from .langgraph_types import is_bubble_up, is_parent_command

#: Conversations without a thread id, known by what is sent again.
conversations = Conversations()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that may go on, its calls, and the skills that it has been given: it is given the same then."""

    run_id: str
    recall: Recall | None
    calls: LangChainCallLedger


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

    def __init__(self, runtime: Runtime, label: str, *, kind: RunKind = "agent", principal: str | None = None) -> None:
        self.id = new_id()
        self.runtime = runtime
        #: The user on whose behalf it runs, where the host says so.
        self.principal = principal
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
        #: The calls of the model, and what becomes of them.
        self.calls = LangChainCallLedger()
        #: All that becomes of calls is seen: what nobody tells of one did not happen.
        self.told = False
        #: Something of it is recorded: here, or before it went on.
        self._recorded = False
        #: Hooks stand behind the model and the tools, which may change what is said.
        self.holds = False
        self._held = HeldMessages()
        #: What somebody answered to the run that goes on.
        self.answers = Answers()
        self._first_steps = FirstSteps(goes_on=False)
        #: The run is part of a graph that tells nothing of itself: not even that it goes on.
        self._inside = False
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
        self._begin: Callable[[], Run] | None = None
        self._beginning = threading.Lock()
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
        command: object = None,
        inside: bool = False,
    ) -> Run:
        """Make the run. Records nothing.

        `messages` is what the host gives; without a `thread` the conversation that they continue is looked for.
        `command` is what a graph is resumed with; `inside=True` says that it is part of one that nobody hears of.
        """
        runtime = self.runtime
        self._thread = thread
        key = thread or runtime.options.session
        before = unfinished_of(runtime).pop(self._place, None) if thread else None
        run_id = None
        if goes_on and before is not None:
            run_id, self._recall, self.calls = before.run_id, before.recall, before.calls
            self._recorded = True
        self.answers, self._first_steps, self._inside = Answers(command), FirstSteps(goes_on), inside
        if key is None and parent is None and messages:
            key = self.follow(messages)
        self.run = runtime.start(
            label=self.label,
            kind=self.kind,
            session_key=key,
            principal=self.principal,
            run_id=run_id,
            parent=parent,
            parent_call_id=parent_call_id or None,
            recall=self._recall,
        )
        return self.run

    def begin_later(self, messages: Sequence[BaseMessage], *, thread: str | None, **about: Any) -> None:
        """Begin with the first that is told inside of the run: what runs there has its configuration, and its thread.

        A callback is told of the run itself before that.
        """

        def begin() -> Run:
            self.principal = self.principal or user_of(None, None)
            return self.begin(messages, thread=thread or thread_of(None, None), **about)

        self._begin = begin

    @property
    def _scope(self) -> str:
        return json.dumps([self.runtime.scope, self.principal])

    @property
    def _place(self) -> tuple[str, ...]:
        return (self._scope, self._thread or "", self.label)

    def follow(self, messages: Sequence[BaseMessage]) -> str:
        """The session of a conversation that nobody names, known by what of it is sent again."""
        known = self._sent.session_key if self._sent is not None else None
        self._sent = conversations.sent(self._scope, known, items_of(messages))
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
        self._held.now_read(messages)
        self._release()
        self.prompt = messages
        place = _behind_last_answer(messages)
        asker = messages[place - 1] if place else None
        turns = turns or not self.started
        first, self.started = not self.started, True
        for result, occurrence in numbered(messages[place:]):
            self._heard_result(result, occurrence, asker)
        for number, message in enumerate(messages[place:]):
            if turns and by_user(message):
                if message.id is None and not first:
                    continue
                key = message.id or f"{self.id} {number}"
                if key not in self._heard:
                    self._heard.add(key)
                    self._record(message, "turn", key)

    def begun(self, messages: Sequence[BaseMessage] = ()) -> Run:
        """The run, made now where nobody could before."""
        with self._beginning:
            if self.run is None:
                return self._begin() if self._begin is not None else self.begin(messages)
            return self.run

    def answered(self, message: BaseMessage, *, told: bool = False) -> None:
        """The model has answered (or called tools). `told=True`: all that becomes of these calls is seen."""
        if not isinstance(message, AIMessage) or (message.id is not None and message.id in self._said):
            return
        self._count += 1
        if message.id is not None:
            self._said.add(message.id)
        run, told, copy = self.begun(), told or self.told, frozen(message)
        self.calls.asked(copy, message.id or "", told=told)
        id = stable_id(run.session.key, run.id, "answer", message.id or str(self._count))
        self._keep(HeldMessage(copy, id, told=told), holds=self.holds)

    def result(self, message: ToolMessage, asker: str = "", *, call: LangChainCall | None = None) -> None:
        """A tool has given its result, or somebody has in its place. `call` is the one that it is for, where known."""
        if call is None:
            call = self.calls.of_result(message.tool_call_id, None, asker)
        elif call.answered:
            return
        if call is not None:
            self._record_result(message, call)

    def _heard_result(self, message: ToolMessage, occurrence: int, asker: BaseMessage | None) -> None:
        call = self.calls.of_result(message.tool_call_id, occurrence, asker.id or "" if asker is not None else "")
        if call is None:
            return
        broken = asker.invalid_tool_calls if isinstance(asker, AIMessage) else ()
        if any(one.get("id") == call.id for one in broken):
            call.becomes("answered", by="framework", reason=text_of(message.content))
        elif call.told and call.status == "requested":  # no node of the graph has given it
            call.becomes("answered", by="person", reason=text_of(message.content))
        self._record_result(message, call)

    def _record_result(self, message: ToolMessage, call: LangChainCall) -> None:
        call.answered = True
        if call.name and not message.name:
            message = message.model_copy(update={"name": call.name})
        number = (str(call.occurrence),) if call.occurrence else ()
        # some providers number their calls anew in every answer: then the id of the answer tells them apart
        again = ("result", call.answer, call.id, *number)
        self._record(message, "result", call.id, *number, again=again, fates=call.news(), occurrence=call.occurrence)

    def _record(
        self,
        message: BaseMessage,
        *ids: str,
        again: tuple[str, ...] = (),
        fates: Sequence[CallFate] = (),
        occurrence: int = 0,
    ) -> None:
        """Record a message under the id that these make; under that of `again` where an earlier one has that."""
        run = self.begun()
        copy, key = frozen(message), run.session.key
        id, if_taken = stable_id(key, *ids), stable_id(key, *again) if again else None
        held = HeldMessage(copy, id, if_taken, fates, occurrence=occurrence)
        self._keep(held, holds=self.holds and isinstance(message, ToolMessage))

    def _keep(self, message: HeldMessage, *, holds: bool) -> None:
        self._recorded = True
        self._held.hold(message)
        if not holds:
            self._release()

    def _release(self) -> None:
        if self.run is not None:
            self._held.release(self.run)

    def refused(self) -> None:
        """A hook has raised: the words that it was given last are not kept."""
        if (fates := self._held.drop()) and self.run is not None:
            self.run.tell(*fates)

    # -- what becomes of calls
    def visit(
        self,
        node: str,
        metadata: Mapping[str, Any] | None,
        given: Any,
        *,
        sent: Mapping[str, Any] | None = None,
        calls_tools: bool = False,
        tools: Mapping[str, Any] | None = None,
        is_agents: bool = True,
    ) -> Visit:
        """A node of the graph is run, with what it is `given`; `sent` is the only call that it is to do."""
        if self._inside and not self.started:  # a run that begins behind its model goes on
            self.answers, self._first_steps, self._inside = Answers(given=True), FirstSteps(goes_on=True), False
        resumed = self._first_steps.hold(metadata)
        if resumed:
            state = given.get("state", given) if isinstance(given, Mapping) else given
            self._know(messages_in(state))
        if calls_tools and self.run is not None:
            self._held.release(self.run, answers=True)
        elif not calls_tools:
            self._held.now_read(messages_in(given))  # the ids that results have in the state
        call = self.calls.sent(sent, resumed=resumed) if sent is not None else None
        return Visit(node, self.answers, resumed, calls_tools, tools, is_agents, call)

    def _know(self, messages: Sequence[BaseMessage]) -> None:
        """Learn the calls that were asked for before the run went on here, in another process perhaps."""
        place = _behind_last_answer(messages)
        asker = messages[place - 1] if place else None
        if isinstance(asker, AIMessage) and asker.tool_calls:
            self.calls.asked(frozen(asker), asker.id or "", from_before=True)

    def gave(self, visit: Visit, given: Sequence[BaseMessage]) -> None:
        """What the node gave: results of calls, or another message in place of the one that holds them."""
        if not visit.by_model and not visit.calls_tools and (changed := self._held.now_read(given)):
            self.remember(self.prompt, changed)
        for result, occurrence in numbered(given):
            call = visit.call if visit.call is not None and visit.call.id == result.tool_call_id else None
            call = call or self.calls.pending(result.tool_call_id, occurrence)
            if call is None:
                if visit.calls_tools:
                    self.result(result)
            elif not call.answered and visit.settles(call, result):
                self.result(result, call=call)
        if visit.by == "person" and not visit.calls_tools:
            for waiting in self.calls.waiting:
                waiting.reviewed = True
        for message in given:
            if isinstance(message, AIMessage) and message.tool_calls and not visit.by_model:
                self.calls.changed(message, "person" if visit.by == "person" else "middleware")

    def tool_started(self, run_id: UUID, call_id: str, name: str, arguments: Any, visit: Visit | None) -> None:
        """A tool has started, with these arguments."""
        self.calls.started(run_id, call_id, name, arguments, visit)

    def tool_ended(self, run_id: UUID, output: Any, visit: Visit | None) -> LangChainCall | None:
        """A tool has come to its end. Returns the call that it was run for."""
        call = self.calls.ended(run_id, output, visit.tools if visit is not None else None)
        self._tell_late(call)
        return call

    def tool_raised(self, run_id: UUID, error: BaseException) -> None:
        """A tool has raised, or waits for somebody."""
        self._tell_late(self.calls.raised(run_id, error))

    def _tell_late(self, call: LangChainCall | None) -> None:
        run = self.run
        if call is not None and run is not None and run.ended is not None:  # a thread that nobody could stop
            run.tell(*call.news())

    # -- skills
    def query(self, messages: Sequence[BaseMessage]) -> str:
        """The newest words of the user."""
        return next((text_of(one.content) for one in reversed(messages) if by_user(one)), "")

    @property
    def asked_for_skills(self) -> bool:
        """Whether a hook that injects is part of the run."""
        run = self._recaller or self.run
        return run is not None and run.recalled is not None

    def skills(
        self, runtime: Runtime, messages: Sequence[BaseMessage], tools: Collection[str] | None
    ) -> tuple[SkillsBlock, ...]:
        """The skills to inject: asked for once, the same for the whole run."""
        with self._asking:
            asker = self._asker(runtime, messages)
            asker.recall(self.query(messages), self.tools or tools, shown=_shown(messages))
            return asker.blocks

    async def askills(
        self, runtime: Runtime, messages: Sequence[BaseMessage], tools: Collection[str] | None
    ) -> tuple[SkillsBlock, ...]:
        """The same, for code in an event loop."""
        if self._awaiting is None:
            self._awaiting = asyncio.Lock()
        async with self._awaiting:
            asker = self._asker(runtime, messages)
            await asker.arecall(self.query(messages), self.tools or tools, shown=_shown(messages))
            return asker.blocks

    @property
    def injected(self) -> Run | None:
        """The run that was given the skills."""
        return self._recaller or self.run

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
                principal=run.session.principal,
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
        if run is None or run.ended is not None or not (self.started or self._recorded):
            return
        self._release()
        if fates := self.calls.at_the_end():
            run.tell(*fates)
        if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit):
            run.end("cancelled")
        elif is_bubble_up(error) and not is_parent_command(error):
            run.end("interrupted", self._waiting())
        elif error is not None and not is_parent_command(error):
            run.end("failed", reason_of(error))
        elif self.interrupted:
            run.end("interrupted", self._waiting())
        elif why := self.calls.stopped:
            run.end("failed", why)
        else:
            run.end("success")
        if run.ended != "success" and self._thread and run.parent is None:
            unfinished_of(self.runtime)[self._place] = Unfinished(run.id, (self._recaller or run).recalled, self.calls)

    def _waiting(self) -> str:
        return ", ".join(sorted({call.name for call in self.calls.waiting}))

    def remember(self, messages: Sequence[BaseMessage], answers: Sequence[BaseMessage], *, calls: bool = False) -> None:
        """Leave what a history that is sent again is known by: the conversation up to these answers.

        `calls=True`: also up to calls of tools, where each call of the model is all that is seen.
        """
        said = [one for one in answers if isinstance(one, AIMessage)]
        if self._sent is None or not said or (not calls and any(one.tool_calls for one in said)):
            return
        self.follow(messages)
        conversations.answered(self._scope, self._sent, items_of(said))


def _shown(messages: Sequence[BaseMessage]) -> ShownTurns:
    items = [item_of(message) for message in messages]
    return shown_turns(items, turn_names(items))


def _behind_last_answer(messages: Sequence[BaseMessage]) -> int:
    """Where what follows on the model's last answer begins."""
    for place in range(len(messages), 0, -1):
        if isinstance(messages[place - 1], AIMessage):
            return place
    return 0


def broken_call_in(messages: Sequence[BaseMessage]) -> bool:
    """Whether the last answer of the model holds a call whose arguments are no JSON, and which has no result."""
    place = _behind_last_answer(messages)
    asker = messages[place - 1] if place else None
    if not isinstance(asker, AIMessage) or not asker.invalid_tool_calls:
        return False
    answered = {message.tool_call_id for message in messages[place:] if isinstance(message, ToolMessage)}
    return any(call.get("id") not in answered for call in asker.invalid_tool_calls)


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
