"""Run tracker: one run of an agent or a team, as its model calls and its status tell of it."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Iterable, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from agno.exceptions import InputCheckError, OutputCheckError
from cachetools import FIFOCache

from acontext_plugins.inject.recall import ShownTurns
from acontext_plugins.runs import Run, Runtime, reason_of
from acontext_store.forks import renewed_in_child
from acontext_store.types import CallFate, Message, OutcomeStatus, stable_id

from ..shared.placement import place_blocks, shown_turns, turn_names
from ..shared.resent_history import Item, item
from .calls import AgnoCall, Calls
from .convert import Copied, Kind, copied, item_of, kind_of, message_of, words_of
from .executions import Execution, current_execution

_PAUSED = 1024
#: Events that say how a run ends, by what `RunOutput.status` says then.
_ENDS = {"Completed": "COMPLETED", "Error": "ERROR", "Cancelled": "CANCELLED", "Paused": "PAUSED"}
_EVENTS = {f"{owner}{end}": status for owner in ("Run", "TeamRun") for end, status in _ENDS.items()}

current_watch: ContextVar[AgnoRunTracker | None] = ContextVar("acontext_agno_watch", default=None)


class _KeptRun(NamedTuple):
    """A message that is to be recorded: a model's with its calls, a tool's with the fate of its call."""

    id: str
    copy: Copied
    calls: Sequence[AgnoCall] = ()
    fate: CallFate | None = None


@dataclass(slots=True)
class Paused:
    """What must be known of a run that waits for a human, until it goes on."""

    run: Run
    seen: set[str]
    calls: Calls
    parent: Execution | None
    is_member: bool


class PausedRuns:
    """Runs that wait, by agno's own id. Bounded: the one that has waited longest is forgotten first."""

    def __init__(self, size: int = _PAUSED) -> None:
        self._runs: FIFOCache[str, Paused] = FIFOCache(size)
        self._lock = renewed_in_child(self, "_lock", threading.RLock)

    def keep(self, run_id: str, paused: Paused) -> None:
        with self._lock:
            self._runs[run_id] = paused

    def take(self, run_id: str | None, runtime: Runtime) -> Paused | None:
        """The run with that id, where it was recorded in the same way."""
        with self._lock:
            paused = self._runs.get(run_id) if run_id is not None else None
            if run_id is None or paused is None or not paused.run.runtime.same_as(runtime):
                return None
            return self._runs.pop(run_id)

    def __len__(self) -> int:
        return len(self._runs)


paused_runs = PausedRuns()


class AgnoRunTracker:
    """One run: what has been recorded of it, what is still awaited. Its public methods never raise, unless strict.

    `owner` is the wrapped agent (`WrappedAgent`): calls of other agents' models are none of this run's.
    """

    def __init__(self, owner: Any, runtime: Runtime, run: Run, session_id: str, asked: object = None) -> None:
        self.owner = owner
        self.runtime = runtime
        self.run = run
        self.session_id = session_id
        #: What the host gave as input, where the run began now.
        self.asked = asked
        #: The run goes on that had been interrupted.
        self.resumed = False
        #: Agno's id of the run that gives way to this one (`regenerate=True`): agno calls it REGENERATED.
        self.replaces: str | None = None
        #: It goes on without us when the call returns (`background=True`).
        self.detached = False
        #: Agno's own id of the run, and its own object for it, once they are known.
        self.run_id: str | None = None
        self.output: Any = None
        #: The list of messages that agno works on.
        self.live: list[Any] | None = None
        #: The newest exception that the model has raised.
        self.error: Exception | None = None
        self.seen: set[str] = set()
        self.calls = Calls(runtime)
        #: What agno does for the calls is done before our eyes.
        self._sees_calls = True
        #: The call of the run around this one that it runs in, and whether it runs there as the member of a team.
        self._parent: Execution | None = None
        self._is_member = False
        #: Messages of the user are still to come.
        self._users = True
        self._said = False
        #: Hooks behind the answer may refuse it: the newest one waits for them.
        self.checks_output = False
        #: Whether hooks of the host check what goes in or comes out, and may refuse it.
        self.checks = False
        self._held: list[_KeptRun] = []
        self._tools: list[str] | None = None
        self._status: tuple[str, str] | None = None
        #: The messages that carry skills, by the ids of those that they stand for ("" for one that is new).
        self._carriers: dict[str, tuple[Any, Any]] = {}
        self._lock = threading.RLock()

    def resume(self, paused: Paused | None, *, asked: bool) -> None:
        """It is a run that was interrupted, `asked` for something more or not.

        What another process has recorded of it has the same ids here, so it is recorded once.
        """
        self.resumed = self._said = True
        self._users = paused is None or asked
        self._sees_calls = paused is not None
        if paused is not None:
            self.run, self.seen, self.calls = paused.run, paused.seen, paused.calls
            self._parent, self._is_member = paused.parent, paused.is_member
            self.calls.goes_on()
            self.run.reopen()

    # -- the context
    def active(self) -> Active:
        """The current run inside a block: tools, members and models find it there."""
        return Active(self)

    # -- what the model calls tell
    def begin(self, messages: list[Any], output: Any, tools: Sequence[Any] | None) -> None:
        """The run's messages are with the model: for the first time, or again after a failure."""
        with self.runtime.guard("model start"), self._lock:
            self.error = None
            self.identify(output.run_id, getattr(output, "user_id", None))
            self.output = output
            self._tools = _names(tools)
            if messages is not self.live:
                self.live = messages
                if not self.resumed:
                    self._context(messages, output)
            self._note(messages, users=self._users)
            self._said, self._users, self._sees_calls = True, False, True

    def identify(self, run_id: str | None, user_id: str | None = None) -> None:
        """Agno's own id of this run is ours, too: so it goes on in another process."""
        if self.run_id is not None or not run_id:
            return
        self.run_id = run_id
        if not self.run.adopted:
            self.run.id = run_id
            if user_id and self.run.session.principal is None:
                self.run.session = replace(self.run.session, principal=user_id)
            if self.replaces is not None and self.run.parent is None:
                key, label = self.run.session.key, self.run.label
                before = self.runtime.start(
                    label=label,
                    session_key=key,
                    principal=self.run.session.principal,
                    run_id=self.replaces,
                    nested=False,
                )
                before.end("unknown", f"regenerated as {run_id}")

    def _context(self, messages: Sequence[Any], output: Any) -> None:
        """Mark what is none of the user's newest turn: examples, a history in the input; all of it after a failure."""
        self.seen |= _examples(output)
        fresh = [message for message in messages if not message.from_history and kind_of(message) != "system"]
        last = max((number for number, one in enumerate(fresh, 1) if kind_of(one) != "user"), default=0)
        self.seen.update(message.id for message in (fresh if self._said else fresh[:last]))

    def note(self) -> None:
        """Record what has come since the last time."""
        with self.runtime.guard("messages"), self._lock:
            if self.live is not None:
                self._note(self.live)

    def _note(self, messages: Iterable[Any], *, users: bool = False) -> None:
        fresh: list[tuple[Any, Copied, list[AgnoCall]]] = []
        for message in messages:
            if message.from_history or message.id in self.seen or self.calls.waits(message):
                continue
            self.seen.add(message.id)
            kind = kind_of(message)
            if kind == "system" or message.temporary or (kind == "user" and not users):
                continue
            if kind == "tool" and message.tool_call_id is None:
                continue  # results of several calls in one: they are told one by one at the end
            copy = copied(message, kind, self._words(message, kind))
            if copy.content or copy.calls or copy.media or copy.thoughts or kind == "tool":
                fresh.append((message, copy, self.calls.asked(copy.calls)))
        # Results find their calls when all are known: calls of several messages may have one id.
        self._record(
            [
                self._result(message.id, copy, self.calls.answered(message))
                if copy.call_id is not None
                else _KeptRun(message.id, copy, calls)
                for message, copy, calls in fresh
            ]
        )

    def _result(self, id: str, copy: Copied, call: AgnoCall | None) -> _KeptRun:
        """A result, with the fate of the call that it belongs to."""
        fate = self._fate(call, answered=True) if call is not None else None
        if call is not None and fate is not None and call.is_error(fate):
            copy = replace(copy, error=True)
        return _KeptRun(id, copy, [] if call is None else [call], fate)

    def _fate(self, call: AgnoCall, *, answered: bool) -> CallFate | None:
        """What has become of a call, where that has not been told yet."""
        tools = getattr(self.output, "tools", None) if call.execution is None else None
        tool = self.calls.told_of(call, tools) if tools else None
        fate = call.fate(tool, answered=answered, seen=self._sees_calls)
        if fate is None or fate.status == call.told or call.superseded:
            return None
        call.told = fate.status
        return fate

    def _words(self, message: Any, kind: Kind) -> str | None:
        """The user's own words, without what agno puts behind them (references, dependencies)."""
        if kind != "user" or self.output is None:
            return None
        given = getattr(self.output.input, "input_content", None)
        content = message.content
        mine = isinstance(given, str) and isinstance(content, str) and given and content.startswith(given)
        return given if mine else None

    def _record(self, kept: list[_KeptRun]) -> None:
        kept, self._held = [*self._held, *kept], []
        if self.checks_output and kept and kept[-1].copy.kind == "assistant" and not kept[-1].calls:
            self._held = [kept.pop()]
        if not kept:
            return
        make = functools.partial(_messages, self.run.session.key, [(one.id, one.copy) for one in kept])
        fates = [one.fate for one in kept if one.fate is not None and not one.calls[0].superseded]
        asked = [call for one in kept if one.copy.kind == "assistant" for call in one.calls]
        told = self._sees_calls or all(call.told or not call.answered for call in asked)
        self.run.record(make=make, fates=fates, told=told, size=sum(one.copy.size for one in kept))

    # -- skills
    @property
    def query(self) -> str:
        """The newest words of the user."""
        given = getattr(getattr(self.output, "input", None), "input_content", None)
        if isinstance(given, str) and not self.resumed:
            return given
        for message in reversed(self.live or ()):
            if kind_of(message) == "user":
                return words_of(message.content)
        return ""

    def recall(self) -> None:
        """Ask for the skills that fit, once a run."""
        with self.runtime.guard("skills"):
            self.run.recall(self.query, self._tools, shown=self._shown())

    async def arecall(self) -> None:
        """The same, without blocking the event loop."""
        with self.runtime.guard("skills"):
            await self.run.arecall(self.query, self._tools, shown=self._shown())

    def _shown(self) -> ShownTurns:
        items = self._items(self.live or ())
        return shown_turns(items, turn_names(items))

    def _items(self, messages: Iterable[Any]) -> list[Item]:
        """The messages by what they say. Examples that the host puts into every prompt are no part of the talk."""
        examples = _examples(self.output)
        return [item("host") if message.id in examples else item_of(message) for message in messages]

    def given(self, messages: list[Any], role: str) -> list[Any]:
        """What the model is given instead of the run's messages: the same list, or another one that holds skills."""
        if messages is not self.live:
            return messages
        self.note()
        with self.runtime.guard("inject"):
            return self._with_skills(messages, role)
        return messages

    def _with_skills(self, messages: list[Any], role: str) -> list[Any]:
        if not self.run.blocks:
            return messages
        head, behind = place_blocks(turn_names(self._items(messages)), self.run.blocks)
        placed = list(messages)
        for at, text in behind.items():
            placed[at] = self._carrying(messages[at], text, messages[at], role)
        if head:
            first = _system_place(messages, role)
            carrier = self._carrying(None if first is None else messages[first], head, messages[-1], role)
            placed[slice(0, 0) if first is None else slice(first, first + 1)] = [carrier]
        return placed

    def _carrying(self, before: Any, text: str, like: Any, role: str) -> Any:
        """The message with the text in it: the same one for each request of the run."""
        id = "" if before is None else before.id
        known = self._carriers.get(id)
        if known is None or known[0] is not before:
            known = self._carriers[id] = before, _carrying(before, text, like, role)
        return known[1]

    # -- calls
    def runs(self, function_call: Any) -> None:
        """Agno is about to run a call."""
        with self.runtime.guard("tool start"), self._lock:
            self.calls.runs(function_call)

    def made(self, function_call: Any, message: Any) -> None:
        """Agno has made the result of a call, of one that has run or is refused."""
        with self.runtime.guard("tool end"), self._lock:
            self.calls.made(function_call, message)

    def limited(self, function_call: Any, message: Any) -> None:
        """Agno has made the result of a call that the limit of calls keeps from running."""
        with self.runtime.guard("tool limit"), self._lock:
            self.calls.limited(function_call, message)

    def _ended_late(self, call: AgnoCall) -> None:
        """A tool has come to its end after the run."""
        with self.runtime.guard("late tool end"), self._lock:
            fate = self._fate(call, answered=call.answered)
            if fate is not None:
                self.run.tell(fate)

    # -- children
    def running_call(self) -> Execution | None:
        """The call of this run that the code which asks runs in."""
        with self.runtime.guard("parent call"):
            execution = current_execution.get()
            if execution is not None and execution.ledger is self.calls:
                self.note()
                return execution
        return None

    def runs_in(self, execution: Execution | None, *, as_member: bool) -> None:
        """This run is part of a call of the one around it."""
        self._parent, self._is_member = execution, as_member

    # -- ending
    def saw(self, item: Any) -> None:
        """An item of a stream."""
        with self.runtime.guard("stream"):
            run_id = getattr(item, "run_id", None)
            if self.run_id is None:
                self.identify(run_id, getattr(item, "user_id", None))
            if run_id != self.run_id:
                return  # a member's
            status = _EVENTS.get(getattr(item, "event", ""))
            if status is None and hasattr(item, "messages"):
                self._heard(item)
            elif status is not None and self._status is None:
                self._status = status, words_of(item.content) if status == "ERROR" else ""

    def returned(self, output: Any) -> None:
        """The call has returned what agno says of the run."""
        with self.runtime.guard("run end"):
            self._heard(output)
            self._end(output)

    def exhausted(self) -> None:
        """The stream has come to its end."""
        with self.runtime.guard("run end"):
            self._end(self.output)

    def raised(self, error: BaseException) -> None:
        """An exception has left the run, or its consumer has gone."""
        with self.runtime.guard("run end"):
            if isinstance(error, GeneratorExit):
                self._end(self.output, abandoned=True)
            elif self.run_id is not None:
                if isinstance(error, InputCheckError | OutputCheckError) and self._refused(reason_of(error)):
                    return
                self._flush()
                stopped = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
                self._ends(*(("cancelled",) if stopped else ("failed", reason_of(error))))

    def model_ended(self, error: Exception | None = None) -> None:
        """The model has answered for good, or raised. Of a run in the background nothing more is heard."""
        with self.runtime.guard("model end"):
            self.error = error
            if self.detached:
                self._flush()
                self.run.reopen()
                if error is not None:
                    self.run.end("failed", reason_of(error))
                elif self._waits():
                    self._pause()
                else:
                    self.run.end("success")

    def _heard(self, output: Any) -> None:
        """A run whose model calls were not seen (another model, a failure before it): what the output says of it."""
        self.identify(output.run_id, getattr(output, "user_id", None))
        unseen = self.live is None
        self.output = output
        if unseen and output.messages:
            with self._lock:
                self._said, self._sees_calls = True, False
                self.seen |= _examples(output)
                self._note(output.messages, users=True)

    def _note_all(self) -> None:
        for messages in (self.live, getattr(self.output, "messages", None)):
            self._note(messages or ())

    def _flush(self) -> None:
        with self._lock:
            self._note_all()
            self.checks_output = False
            self._record([])
            self.calls.match()
            for call in self.calls.pending:
                tool = self.calls.told_of(call, getattr(self.output, "tools", None) or ())
                if tool is not None and tool.result is not None and not call.waiting:
                    self.calls.answer(call)
                    copy = Copied("tool", str(tool.result), call_id=call.id, tool=tool.tool_name)
                    copy = replace(copy, error=bool(tool.tool_call_error))
                    again = self.calls.number(call)
                    id = f"{self.run_id} {call.id} {again}" if again else f"{self.run_id} {call.id}"
                    self._record([self._result(id, copy, call)])
            self._tell_the_rest()
            if not self._said and self.asked is not None:
                self._said = True
                words = words_of(self.asked)
                self._record([_KeptRun(f"{self.run_id} input", Copied("user", words))] if words else [])

    def _tell_the_rest(self) -> None:
        """Tell the fates of calls that never got a result."""
        fates = []
        for call in self.calls.pending:
            execution = call.execution
            if execution is not None and execution.running:
                execution.late = functools.partial(self._ended_late, call)
            fate = self._fate(call, answered=False) if not call.waiting else None
            if fate is not None:
                fates.append(fate)
        if fates:
            self.run.tell(*fates)

    def _end(self, output: Any, *, abandoned: bool = False) -> None:
        status, reason = self._status or ("", "")
        if output is not None:
            status = str(getattr(output.status, "value", output.status))
        if self.detached and status not in ("COMPLETED", "ERROR", "PAUSED", "CANCELLED"):
            return
        if self.run_id is None:
            return  # agno has never heard of it
        checked = status == "ERROR" and self.error is None and self.checks
        if checked and self._refused(self._reason(output, reason)):
            return
        self._flush()
        if status == "COMPLETED":
            self._ends("success")
        elif status == "ERROR":
            self._ends("failed", self._reason(output, reason))
        elif status == "PAUSED":
            self._pause()
        elif status == "CANCELLED" or abandoned:
            self._ends("cancelled")
        elif self.error is not None:  # some versions leave the status of a team's failed run as it was
            self._ends("failed", reason_of(self.error))
        else:
            self._ends("unknown", f"agno says {status or 'nothing'}")

    def _refused(self, reason: str) -> bool:
        """A guardrail or a hook has refused the input, or the answer: its words are not kept.

        Whether the run is over with that: nothing of it has reached a model.
        """
        with self._lock:
            self._note_all()
            self._held = []
        if self.live is not None or self.resumed or getattr(self.output, "messages", None):
            return False
        self.run.forget()
        self._ends("failed", reason)
        return True

    def _ends(self, status: OutcomeStatus, reason: str = "") -> None:
        self.run.end(status, reason)
        if self._parent is not None and self._is_member:
            self._parent.member_ended(reason if status == "failed" else None)

    def _pause(self) -> None:
        self.run.end("interrupted", ", ".join(self._awaited()))
        if self._parent is not None:
            self._parent.waiting = True
        if self.run_id is not None:
            paused_runs.keep(self.run_id, Paused(self.run, self.seen, self.calls, self._parent, self._is_member))

    def _reason(self, output: Any, told: str) -> str:
        """Why it failed. Agno keeps the words of an exception where the answer would be, unless there is an answer."""
        if self.error is not None:
            return reason_of(self.error)
        content = words_of(getattr(output, "content", None))
        answers = [words_of(message.content) for message in self.live or () if kind_of(message) == "assistant"]
        if told:
            return told
        return content if content and content not in answers else "a check or a hook has failed after the answer"

    def _waits(self) -> bool:
        requirements = getattr(self.output, "requirements", None) or ()
        return any(not requirement.is_resolved() for requirement in requirements)

    def _awaited(self) -> list[str]:
        """The tools that a human is asked about."""
        requirements = getattr(self.output, "requirements", None) or ()
        tools = [requirement.tool_execution for requirement in requirements if not requirement.is_resolved()]
        names = [tool.tool_name for tool in tools if tool is not None and tool.tool_name]
        return sorted(set(names) or {call.name for call in self.calls.pending})


class Active:
    """Makes a watch and its run the current ones; leaves nothing in the context of whoever iterates a stream."""

    __slots__ = ("_run", "_watch", "tracker")

    def __init__(self, tracker: AgnoRunTracker) -> None:
        self.tracker = tracker
        self._run: Token[Run | None] | None = None
        self._watch: Token[AgnoRunTracker | None] | None = None

    def __enter__(self) -> None:
        self._run = self.tracker.run.enter()
        self._watch = current_watch.set(self.tracker)

    def __exit__(self, *raised: object) -> None:
        if self._watch is not None:
            try:
                current_watch.reset(self._watch)
            except ValueError:  # a generator that is finalised in another context
                pass
        if self._run is not None:
            self.tracker.run.leave(self._run)


def _messages(key: str, copies: Sequence[tuple[str, Copied]]) -> list[Message]:
    return [message_of(copy, stable_id(key, id)) for id, copy in copies]


def _names(tools: Sequence[Any] | None) -> list[str] | None:
    """The names of the tools that a model is given."""
    names = []
    for tool in tools or ():
        name = tool.get("name") or (tool.get("function") or {}).get("name") if isinstance(tool, dict) else tool.name
        if name:
            names.append(name)
    return names if tools is not None else None


def _system_place(messages: Sequence[Any], role: str) -> int | None:
    first = messages[0] if messages else None
    if first is not None and not first.from_history and (first.role == role or kind_of(first) == "system"):
        return 0
    return None


def _examples(output: Any) -> set[str]:
    """Messages that the host puts into every prompt (`additional_input`)."""
    return {message.id for message in getattr(output, "additional_input", None) or ()}


def _carrying(before: Any, text: str, like: Any, role: str) -> Any:
    """A message like `before` with `text` at its end; without one, a new one (of the class of `like`)."""
    if before is None:
        return type(like)(role=role, content=text)
    content = before.content
    if isinstance(content, list):
        return before.model_copy(update={"content": [*content, {"type": "text", "text": text}]})
    return before.model_copy(update={"content": f"{content}\n\n{text}" if content else text})
