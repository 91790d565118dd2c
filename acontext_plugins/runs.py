"""Runs: one run of an agent, as it is being recorded. What adapters stand on.

An adapter makes one `Runtime` per wrapped object and one `Run` per run of it. Nothing here raises into the host
(`strict=True` is for tests): trouble is logged, each step at most once a minute.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import logging
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextvars import ContextVar, Token
from typing import Any, Literal, Protocol

from acontext_store.errors import AcontextError
from acontext_store.outcome_sources import check_source_name
from acontext_store.types import CallFate, FateStatus, Message, Outcome, OutcomeStatus, Part, new_id

from .concurrency.copies import SharedByCopies
from .concurrency.futures import done_within
from .concurrency.limited_log import LimitedLog
from .inject.recall import HEAD, Recall, RecallQuery, ShownTurns, SkillsBlock
from .inject.render import short_id, whole
from .run_options import InjectionOptions, LearningOptions, RunOptions
from .service import Recording, SessionRef

__all__ = [
    "HasConnection",
    "InjectionOptions",
    "LearningOptions",
    "RecordingClient",
    "Run",
    "RunKind",
    "RunOptions",
    "Runtime",
    "current_run",
    "reason_of",
    "report",
]

log = logging.getLogger("acontext")
_outside = LimitedLog(log)

#: What runs: something that holds agents, an agent, or one call of a model.
RunKind = Literal["container", "agent", "model"]
_current: ContextVar[Run | None] = ContextVar("acontext_run", default=None)


class RecordingClient(Protocol):
    """The part of a client that a runtime uses: recording, and recalling from any thread."""

    def record(self, recording: Recording) -> None:
        """Enqueue a recording. Must not block: an agent waits for it."""

    def recall(self, query: RecallQuery) -> Future[Recall]:
        """Search skills for a run. Must not block; the run waits for the future until its deadline."""


class HasConnection(Protocol):
    """A client, by what `learning` needs of it."""

    @property
    def connection(self) -> RecordingClient:
        """The connection on which the client records and recalls. May raise where it cannot be opened."""


#: A number for each client: an `id` would be given to another one, later.
_numbers: weakref.WeakKeyDictionary[RecordingClient, int] = weakref.WeakKeyDictionary()
_next_number = itertools.count(1)


def _number(client: RecordingClient) -> int:
    number = _numbers.get(client)
    return _numbers.setdefault(client, next(_next_number)) if number is None else number


class _Guard:
    __slots__ = ("_runtime", "_step")

    def __init__(self, runtime: Runtime, step: str) -> None:
        self._runtime = runtime
        self._step = step

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None or not isinstance(error, Exception) or self._runtime.options.strict:
            return False
        known = isinstance(error, TimeoutError | AcontextError)  # their own words are enough
        why = "it took too long" if isinstance(error, TimeoutError) else error
        text = "acontext skipped a step: %s (the agent goes on without it): %s"
        self._runtime.log.warning(self._step, text, self._step, why, exc_info=error if not known else None)
        return True


class Runtime(SharedByCopies):
    """Starts the runs of one wrapped object and of its copies, and keeps errors of the memory from the host."""

    def __init__(
        self, options: RunOptions, client: HasConnection | RecordingClient, *, framework: str | None = None
    ) -> None:
        """`framework` is the distribution that tells the fates of calls, "langchain" for instance."""
        self.options = options
        self._given = client
        #: The distribution that is wrapped; "" where none was named.
        self.framework = framework or ""
        self.log = LimitedLog(log)

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Runtime, framework=self.framework), (self.options, self._given)

    def same_as(self, other: Runtime) -> bool:
        """Whether `other` has the same options and the same client."""
        return self.options == other.options and self._given == other._given

    @property
    def client(self) -> RecordingClient:
        """The client, opened on first use. May raise: call it inside `guard`."""
        given: Any = self._given
        found: RecordingClient = getattr(given, "connection", given)
        return found

    @property
    def scope(self) -> str:
        """A key of client, space, user and session: a conversation goes on only in runs with the same key. May raise.

        Equal messages of two clients, spaces or users are no sign of one conversation.
        """
        options = self.options
        return json.dumps([_number(self.client), options.space, options.principal, options.session])

    @property
    def told_by(self) -> str:
        """The framework that tells fates, with its version: "langchain 1.5.2"; "" where none was named."""
        return _with_version(self.framework) if self.framework else ""

    def guard(self, step: str) -> _Guard:
        """A context manager that logs an exception of its block instead of raising it, unless `strict`.

        `step` names the block in the log line, which is logged once a minute at most.
        """
        return _Guard(self, step)

    def start(
        self,
        *,
        label: str,
        kind: RunKind = "agent",
        session_key: str | None = None,
        principal: str | None = None,
        run_id: str | None = None,
        parent: Run | None = None,
        parent_call_id: str | None = None,
        nested: bool = True,
        recall: Recall | None = None,
    ) -> Run:
        """Start a run. Inside a container's run it becomes part of that run; inside an agent's run it is a child.

        `label` names what runs, in the session's `agent`. `session_key` is the host's own id of the conversation;
        without one, it is the options' `session`, else a new conversation. `principal` is the framework's word for the
        user; the options' comes before it. `run_id` continues an interrupted run, and
        `recall` holds the skills that it was given before, so that they are not searched again. An adapter that knows
        the outer run gives it as `parent`, with the id of the tool call that started this one (`parent_call_id`);
        else the run that is active in the context is the outer run, unless `nested=False`.

        >>> runtime = Runtime(RunOptions(space="support"), client)
        >>> run = runtime.start(label="triage", session_key="thread-7")
        >>> with run.active():
        ...     current_run() is run
        True
        >>> run.end("success")
        """
        outer = parent or (_current.get() if nested else None)
        return Run(self, label, kind, outer, session_key, principal, run_id, parent_call_id, recall)


class Run:
    """One run: its messages go to one session, and its outcome is recorded once."""

    def __init__(
        self,
        runtime: Runtime,
        label: str,
        kind: RunKind,
        outer: Run | None,
        session_key: str | None,
        principal: str | None,
        run_id: str | None,
        parent_call_id: str | None,
        recall: Recall | None = None,
    ) -> None:
        options = runtime.options
        principal = options.principal or principal or (outer.session.principal if outer is not None else None)
        self.id: str
        self.session: SessionRef
        self.runtime = runtime
        self.label = label
        self.kind = kind
        self.parent = outer
        #: Set once something other than the run's frame has been recorded in it or in a run adopted by it.
        self.has_content = False
        #: Makes the request to a container as messages, which are recorded before its first `record_tool`.
        self.opening: Callable[[], Sequence[Message]] | None = None
        #: Whether `opening` has been recorded.
        self.opened = False
        self._recall = recall
        self._asking: Future[Recall] | None = None
        self._ended: OutcomeStatus | None = None
        self._count = 0
        if outer is not None and outer.kind == "container":
            self.id = outer.id
            self.adopted = True
            self.session = outer.session
        else:
            self.id = run_id or new_id()
            self.adopted = False
            if outer is None:
                key = session_key or options.session or self.id
                self.session = SessionRef(key, options.space, principal, label)
            else:
                key = f"{outer.session.key}/{parent_call_id or self.id}"
                configs = {"parent_session": outer.session.key, "parent_run": outer.id}
                configs |= {"parent_call": parent_call_id} if parent_call_id else {}
                self.session = SessionRef(key, options.space, principal, label, track_tasks=False, configs=configs)

    # -- recording
    def record(
        self,
        *messages: Message,
        make: Callable[[], Sequence[Message]] | None = None,
        fates: Sequence[CallFate] = (),
        told: bool = False,
        size: int = 512,
        frame: bool = False,
    ) -> None:
        """Enqueue messages, or a function `make` that returns them. Takes microseconds; never raises unless `strict`.

        `fates` says what became of calls in these messages or in earlier ones of the session. `told=True` promises
        that the fate of every call in these messages is told, now or later: one without a fate counts as asked for
        and no more. Without it fates are assumed from the results.

        `make` runs on the recorder's thread. Messages get the id of this run, unless they have the id of another.
        `size` is their rough size in bytes, for the bound on memory. `frame=True` marks messages in which a container
        speaks about itself (arguments, return value).

        >>> run = Runtime(RunOptions(space="support"), client).start(label="triage")
        >>> run.record(to_message({"role": "user", "content": "Where is my order?"}))
        >>> run.record(make=lambda: [to_message({"role": "assistant", "content": "On its way."})])
        >>> run.end("success")
        """
        with self.runtime.guard("record"):
            if not frame:
                self._touch()
            run_id = self.id
            payload: Sequence[Message] | Callable[[], Sequence[Message]]
            if make is not None:
                payload = functools.partial(_made_with_run, make, run_id, told)
            else:
                payload = [_with_run(message, run_id, told) for message in messages]
            known = tuple([self._told(fate) for fate in fates])
            self.runtime.client.record(Recording(self.session, payload, fates=known, size=size))

    def tell(self, *fates: CallFate) -> None:
        """Record what became of calls whose messages were recorded with `told=True`. Never raises unless `strict`.

        A fate takes the place of what was told of the same call before.

        >>> from acontext_store.types import CallFate
        >>> run = Runtime(RunOptions(space="support"), client).start(label="triage")
        >>> function = {"name": "issue_refund", "arguments": '{"order": "A-1"}'}
        >>> call = {"id": "call_1", "type": "function", "function": function}
        >>> run.record(to_message({"role": "assistant", "tool_calls": [call]}), told=True)
        >>> run.tell(CallFate(call_id="call_1", status="refused", by="person", reason="too much"))
        >>> run.end("success")
        """
        with self.runtime.guard("fate"):
            self.runtime.client.record(Recording(self.session, fates=tuple([self._told(fate) for fate in fates])))

    def _told(self, fate: CallFate) -> CallFate:
        told_by, run_id = fate.told_by or self.runtime.told_by, fate.run_id or self.id
        return fate.model_copy(update={"told_by": told_by, "run_id": run_id})

    def record_tool(
        self,
        name: str,
        arguments: dict[str, Any],
        result: object = None,
        *,
        error: bool = False,
        status: FateStatus | None = None,
        by: str = "",
    ) -> None:
        """Record a tool call that no adapter sees, with its result: for hand-written loops. Never raises.

        `arguments` and `result` are kept as JSON; `error=True` says that the call failed. Where the tool itself did not
        run to its end, `status` says what became of the call, and `by` who did it: "answered" (by "middleware", for
        a cache or a dry run), "refused" (by "person"), "unfinished". Those may have no result. Inside a decorated
        function, its arguments are recorded before its first tool call.
        """
        call_id = f"call_{new_id()}"
        with self.runtime.guard("record_tool"):
            self._open()
            meta = {"id": call_id, "name": name, "arguments": _as_json(arguments)}
            messages = [Message(role="assistant", parts=(Part(type="tool-call", meta=meta),), format="acontext")]
            text = result if isinstance(result, str) else _as_json(result)
            if result is not None or status is None:
                answer: dict[str, Any] = {"tool_call_id": call_id, "name": name}
                if error:
                    answer["is_error"] = True
                result_part = Part(type="tool-result", text=text, meta=answer)
                messages.append(Message(role="tool", parts=(result_part,), format="acontext"))
            fate = CallFate(call_id=call_id, status=status or ("failed" if error else "executed"), by=by)
            frame = self.kind == "container"
            self.record(*messages, fates=(fate,), told=True, size=len(text) + 512, frame=frame)

    def _open(self) -> None:
        """Record what the outermost container was asked, once, unless an agent in it has recorded its own turn."""
        run = self
        while run.adopted and run.parent is not None:
            run = run.parent
        opening, run.opening = run.opening, None
        if opening is not None and not run.has_content:
            run.opened = True
            run.record(*opening(), frame=True)

    def _touch(self) -> None:
        run: Run | None = self
        while run is not None and not run.has_content:
            run.has_content = True
            run = run.parent

    def end(self, status: OutcomeStatus, reason: str = "") -> None:
        """Record how the framework says that the run ended. The first call counts.

        A run that is part of an outer run leaves its outcome to that run. `reason` is cut at 2,000 characters.
        """
        if self._ended is not None:
            return
        self._ended = status
        if not self.adopted and self.kind != "model":
            by = self.runtime.framework
            self._outcome(Outcome(status=status, source="framework", by=by, reason=reason[:2000], run_id=self.id))

    @property
    def ended(self) -> OutcomeStatus | None:
        """The status that `end` was given; None while the run goes on."""
        return self._ended

    def forget(self) -> None:
        """End it without a word: it was blocked before anything of it was recorded."""
        self._ended = self._ended or "cancelled"

    def reopen(self) -> None:
        """Let an interrupted run go on: its next `end` counts again."""
        self._ended = None

    def report(self, status: Literal["success", "failed"], reason: str = "", *, by: str = "") -> None:
        """Record what the host knows about the result; it outranks every other sign of success.

        `by` names whose word it is, in 64 characters at most: "unit-tests". A registered source claims its strength.
        """
        with self.runtime.guard("report"):
            name = by and check_source_name(by)
            self._outcome(Outcome(status=status, source="report", by=name, reason=reason[:2000], run_id=self.id))

    def _outcome(self, outcome: Outcome) -> None:
        with self.runtime.guard("outcome"):
            self.runtime.client.record(Recording(self.session, outcomes=(outcome,)))

    # -- recalling
    async def arecall(
        self, query: str, tools: Collection[str] | None = None, *, shown: ShownTurns | None = None
    ) -> str:
        """The text of the skills that fit `query`; "" where none fits, or the deadline passes first.

        `tools` are the names of the tools that the run has: skills that need others are left out (None = unknown).
        `shown` says which turns the model is shown, so that skills stay where they stood when the conversation goes on
        (see `blocks`); without it the text is one, to which later runs of the session add. A run searches once:
        later calls, and calls of other tasks at the same time, get the same text.

        >>> run = Runtime(RunOptions(space="support"), client).start(label="triage")
        >>> text = await run.arecall("please refund my broken lamp", tools=["issue_refund"])
        >>> "Use when: refund a broken item" in text
        True
        """
        if self._recall is None:
            found = Recall()
            with self.runtime.guard("recall"):
                future = self._asked(query, tools, shown)
                if future is not None:
                    if not future.done():
                        await done_within(future, self._patience())
                    found = future.result(0)  # it may have come while the loop was too busy to say so
            self._decide(found, shown)
        return self.skills_text

    def recall(self, query: str, tools: Collection[str] | None = None, *, shown: ShownTurns | None = None) -> str:
        """As `arecall`, in a thread without an event loop: it blocks until the deadline at the latest."""
        if self._recall is None:
            found = Recall()
            with self.runtime.guard("recall"):
                future = self._asked(query, tools, shown)
                if future is not None:
                    found = future.result(self._patience())
            self._decide(found, shown)
        return self.skills_text

    def _asked(self, query: str, tools: Collection[str] | None, shown: ShownTurns | None) -> Future[Recall] | None:
        if self._asking is None:
            self._asking = self._ask(query, tools, shown)
        return self._asking

    def _decide(self, found: Recall, shown: ShownTurns | None) -> None:
        """Keep the first answer for the whole run, or the fact that none came in time."""
        if self._recall is None:
            self._recall = found if found.blocks or not found.text else self._as_block(found, shown)

    def _as_block(self, found: Recall, shown: ShownTurns | None) -> Recall:
        """A client's text that does not say where it stands: where it would if it were found now."""
        opens = shown is None or (shown.opens and self._head is not None)
        anchor = HEAD if opens or shown is None or not shown.names else shown.names[-1]
        return dataclasses.replace(found, blocks=(SkillsBlock(anchor, found.text),))

    def _patience(self) -> float:
        options = self.runtime.options
        opening = getattr(self.runtime.client, "opening", False)
        return max(options.deadline, options.opening_deadline) if opening else options.deadline

    def _ask(self, query: str, tools: Collection[str] | None, shown: ShownTurns | None) -> Future[Recall] | None:
        options = self.runtime.options
        if not options.inject or options.space is None or not (query.strip() or (shown and shown.names)):
            return None
        return self.runtime.client.recall(
            RecallQuery(
                space=options.space,
                text=query,
                tools=tools,
                limit=options.limit,
                token_budget=options.token_budget,
                with_trace=options.with_trace,
                session_key=self.session.key,
                principal=self.session.principal,
                run_id=self.id,
                deadline=options.deadline,
                shown=shown,
                head=self._head,
                catalog=options.inject_as == "catalog",
            )
        )

    @property
    def _head(self) -> str | None:
        """The place behind the instructions: agents inside a function share its session, and each has its own."""
        if self.runtime.options.inject_as == "user":
            return None
        return f"@{self.label}" if self.adopted else HEAD

    @property
    def recalled(self) -> Recall | None:
        """The result of the run's search, for `Runtime.start(recall=...)` when it goes on; None before the search."""
        return self._recall

    @property
    def skills_text(self) -> str:
        """The text that was injected into this run ("" before `recall`, and where no skill fits)."""
        return self._recall.text if self._recall is not None else ""

    @property
    def blocks(self) -> tuple[SkillsBlock, ...]:
        """The same text in pieces, each with its place in what the model is shown."""
        return self._recall.blocks if self._recall is not None else ()

    @property
    def skills(self) -> Recall:
        """The skills behind `skills_text`."""
        return self._recall or Recall()

    def read_skill(self, name: str) -> str:
        """What the tool of a catalog gives: all of the skill that the catalog has under that name."""
        known = {short_id(skill): skill for skill in self.skills.skills}
        found = known.get(name.strip()[:8])
        if found is None:
            return f"There is no skill {name!r}. There are: {', '.join(known) or 'none'}."
        return whole(found)

    # -- the context
    def enter(self) -> Token[Run | None]:
        """Make this the current run; give the token to `leave`."""
        return _current.set(self)

    def leave(self, token: Token[Run | None]) -> None:
        """Undo `enter`; harmless from another context, where a generator is finalised for instance."""
        with contextlib.suppress(ValueError):
            _current.reset(token)

    @contextlib.contextmanager
    def active(self) -> Iterator[Run]:
        """The current run inside this block."""
        token = self.enter()
        try:
            yield self
        finally:
            self.leave(token)


def _made_with_run(make: Callable[[], Sequence[Message]], run_id: str, told: bool) -> list[Message]:
    return [_with_run(message, run_id, told) for message in make()]


def _with_run(message: Message, run_id: str, told: bool) -> Message:
    tells = told and message.role == "assistant" and bool(message.tool_calls)
    if message.run_id and not tells:
        return message
    return message.model_copy(update={"run_id": message.run_id or run_id, "fates_told": message.fates_told or tells})


@functools.cache
def _with_version(distribution: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and seldom asked

    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return distribution


def reason_of(error: BaseException) -> str:
    """An exception as "KeyError: 'name'"; one whose `str` raises as its class alone."""
    kind = type(error).__name__
    try:
        words = str(error)
    except Exception:
        return kind
    return f"{kind}: {words}"


def _as_json(value: object) -> str:
    """A value as JSON; what has no words in it by its kind."""
    try:
        return json.dumps(value, default=_named)
    except Exception:  # keys that are no text, loops, depths
        return json.dumps(_named(value))


def _named(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__qualname__}>"


def current_run() -> Run | None:
    """The run that the calling code is part of; None outside of runs.

    >>> @learning(space="support", client=client)
    ... def answer(question: str) -> str:
    ...     run = current_run()
    ...     run.record_tool("find_order", {"number": 7}, {"state": "on its way"})
    ...     return run.skills_text or "It arrives on Monday."
    >>> answer("Where is my order?")
    'It arrives on Monday.'
    >>> print(current_run())
    None
    """
    return _current.get()


def report(status: Literal["success", "failed"], reason: str = "", *, by: str = "") -> None:
    """Record whether the current run succeeded, and why. Outside of a run it only logs a warning.

    The report of the host outranks every other sign of success. `reason` is cut at 2,000 characters. `by` names whose
    word it is, in 64 characters at most ("unit-tests"): what rests on it can be withdrawn (`outcome_sources.revoke`).

    >>> @learning(space="support", client=client)
    ... def answer(question: str) -> str:
    ...     report("failed", "the customer asked again")
    ...     return "It arrives on Monday."
    >>> answer("Where is my order?")
    'It arrives on Monday.'
    """
    run = _current.get()
    if run is None:
        _outside.warning(status, "acontext: report(%r) was called outside of a run, so it changes nothing", status)
        return
    while run.parent is not None:
        run = run.parent
    run.report(status, reason, by=by)
