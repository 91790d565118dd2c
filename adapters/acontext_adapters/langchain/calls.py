"""Calls: what becomes of the tool calls that a model asks for, as the events of the framework tell it.

A tool that starts tells the arguments that it starts with, a tool that ends or raises tells so, and a node that gives a
result for a call whose tool never started has answered it. Texts are never looked at.
"""

from __future__ import annotations

import functools
import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from acontext_plugins.runs import reason_of
from acontext_store.types import CallFate, FateStatus, Json

from .convert import text_of
from .langgraph_types import is_bubble_up, is_command, is_parent_command

_LIMIT = "ToolCallLimitMiddleware"
#: What people decide about calls, as `HumanInTheLoopMiddleware` takes it.
_DECISIONS = frozenset({"approve", "edit", "reject", "respond"})


@functools.cache
def told_by() -> str:
    """The framework that tells fates, with its version."""
    for distribution in ("langchain", "langgraph"):
        try:
            return f"{distribution} {version(distribution)}"
        except PackageNotFoundError:
            continue
    return "langchain"


# -- people
class Answers:
    """What somebody answered to a run that waited: the value that it is resumed with. Nothing, in other runs.

    `given=True`: somebody may have answered, and what is said elsewhere.
    """

    def __init__(self, command: object = None, *, given: bool = False) -> None:
        value = getattr(command, "resume", None) if is_command(command) else None
        #: Somebody has answered: what nodes that waited give now is that person's word.
        self.given = given or value is not None
        self._decisions = list(_decisions(value))

    def edits(self, name: str, arguments: Any) -> bool | None:
        """Whether a person made this call out of another one; None where the answer has no such form."""
        if not self._decisions:
            return None
        actions = (one.get("edited_action") for one in self._decisions)
        return any(
            isinstance(action, Mapping) and action.get("name") == name and action.get("args") == arguments
            for action in actions
        )

    def words(self, text: str) -> str:
        """The person's own words in the text that the framework makes of a decision; the text where there are none."""
        said = [one.get("message") for one in self._decisions]
        return next((words for words in said if isinstance(words, str) and words and words in text), text)


def _decisions(value: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    if depth > 3:
        return
    if isinstance(value, Mapping):
        if value.get("type") in _DECISIONS:
            yield value
            return
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _decisions(one, depth + 1)


# -- calls
@dataclass(slots=True, eq=False)
class LangChainCall:
    """A call that a model has asked for."""

    id: str
    #: Which of the calls with this id in one answer, and the id of that answer ("" = nobody knows).
    occurrence: int
    answer: str
    name: str
    #: None = nobody knows what was asked for, or it is no JSON.
    arguments: Mapping[str, Any] | None
    #: What is wrong with its arguments, where they are no JSON.
    broken: str | None = None
    #: Nobody asked for it in this run: it is known from the state of a run that goes on, or from its result alone.
    from_before: bool = False
    #: All that becomes of it is seen.
    told: bool = False
    status: FateStatus = "requested"
    by: str = ""
    edited_by: str = ""
    ran_name: str | None = None
    ran_arguments: Json | None = None
    reason: str = ""
    #: Its tool has started; it has a result.
    began: bool = False
    answered: bool = False
    #: A task of the graph does it now.
    taken: bool = False
    #: A person has seen it before it ran.
    reviewed: bool = False
    _told: tuple[Any, ...] | None = field(default=None)

    def becomes(self, status: FateStatus, *, by: str = "", reason: str = "") -> None:
        """Its fate so far."""
        self.status, self.by, self.reason = status, by, reason[:2000]

    def starts(self, name: str, arguments: Any, edited_by: str) -> None:
        """Its tool starts with these."""
        self.began = True
        self.becomes("unfinished")
        same = name == self.name and arguments == self.arguments
        self.edited_by = "" if same else edited_by
        # what was asked for in another process may have been changed on the way here
        self.ran_name = name if name != self.name else None
        self.ran_arguments = _plain(arguments) if not same or self.from_before else None

    def news(self) -> tuple[CallFate, ...]:
        """Its fate, where that was not told before: recorded with what is recorded now."""
        if self.status == "requested" and not self.reason:
            return ()
        edited_by = self.edited_by if self.status in ("executed", "failed", "unfinished") else ""
        now = (self.status, self.by, edited_by, self.ran_name, self.ran_arguments, self.reason)
        if now == self._told:
            return ()
        self._told = now
        return (
            CallFate(
                call_id=self.id,
                occurrence=self.occurrence,
                status=self.status,
                by=self.by,
                edited_by=edited_by,
                name=self.ran_name,
                arguments=self.ran_arguments,
                reason=self.reason,
                told_by=told_by(),
            ),
        )


def _plain(value: Any) -> Json:
    """Arguments as JSON: what has no words in it by its `str`."""
    found = json.loads(json.dumps(value, default=str))
    return found if isinstance(found, dict) else {"input": found}


@dataclass(slots=True)
class Visit:
    """One run of a node of a graph: who speaks in what it gives."""

    node: str
    answers: Answers
    #: A person's answer goes into this node now.
    resumed: bool = False
    #: It calls tools for the model. Those that it knows, where anybody does.
    calls_tools: bool = False
    tools: Mapping[str, Any] | None = None
    #: All calls that are made by the model of this graph come through its nodes, so none can be answered elsewhere.
    is_agents: bool = True
    #: The only call that it was sent.
    call: LangChainCall | None = None
    #: It calls the model: results in what it gives are the framework's own, of structured answers and broken calls.
    by_model: bool = False

    @property
    def by(self) -> str:
        """Who speaks, where it is not the framework itself."""
        if self.resumed and self.answers.given:
            return "person"
        return "limit" if self.node.startswith(_LIMIT) else "middleware"

    def leave(self) -> None:
        """The node is done with its call, or waits with it."""
        if self.call is not None:
            self.call.taken = False

    def settles(self, call: LangChainCall, result: ToolMessage) -> bool:
        """Whether it is known how this result of the node came about; then the call has its fate."""
        if call.began:
            return True
        error, words = result.status == "error", text_of(result.content)
        by = self.by
        if self.by_model:
            call.becomes("answered", by="framework", reason=words if error else "")
            return True
        if self.calls_tools and error and self.tools is not None and call.name not in self.tools:
            call.becomes("answered", by="framework", reason=words)
        elif by == "person":
            call.becomes("refused" if error else "answered", by=by, reason=self.answers.words(words))
        elif not self.is_agents and not self.calls_tools:
            return False  # a node of the host's own, which may have called the tool in any way
        elif by == "limit" or (self.calls_tools and self.tools is None and error):
            call.becomes("answered", by="limit" if by == "limit" else "", reason=words)
        else:
            call.becomes("refused" if error else "answered", by=by, reason=words if error else "")
        return True


class LangChainCallLedger:
    """The calls of one run, the newest of each id. Tools in threads tell of theirs at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, list[LangChainCall]] = {}
        self._running: dict[UUID, LangChainCall] = {}
        self._newest: list[LangChainCall] = []

    def asked(self, message: AIMessage, answer: str, *, told: bool = False, from_before: bool = False) -> None:
        """A model has asked for the calls of this message, which nobody changes any more."""
        found: dict[str, list[LangChainCall]] = {}
        for call in message.tool_calls:
            same = found.setdefault(call.get("id") or "", [])
            same.append(LangChainCall(call.get("id") or "", len(same), answer, call["name"], call["args"]))
        for bad in message.invalid_tool_calls:
            same = found.setdefault(bad.get("id") or "", [])
            words = bad.get("error") or "its arguments are no JSON"
            same.append(
                LangChainCall(bad.get("id") or "", len(same), answer, bad.get("name") or "", None, broken=words)
            )
        with self._lock:
            if from_before:
                found = {id: calls for id, calls in found.items() if not self._knows(id, answer)}
            else:
                self._newest = [call for calls in found.values() for call in calls]
            for known in (one for calls in found.values() for one in calls):
                known.told, known.from_before = told, from_before
            self._calls.update(found)

    def _knows(self, id: str, answer: str) -> bool:
        return any(answer in (call.answer, "") for call in self._calls.get(id, ()))

    def sent(self, asked: Mapping[str, Any], *, resumed: bool) -> LangChainCall:
        """The call that a task of the graph is to do now."""
        id, name, arguments = asked.get("id") or "", asked.get("name") or "", asked.get("args")
        with self._lock:
            calls = self._calls.get(id)
            if not calls:
                calls = self._calls[id] = [LangChainCall(id, 0, "", name, _copied(arguments), from_before=True)]
            free = [one for one in calls if not one.taken]
            call = _first(
                [one for one in free if one.name == name and one.arguments == arguments],
                [one for one in free if not one.answered],
                calls,
            )
            call.taken = True
            if resumed and (name, arguments) != (call.name, call.arguments):
                call.edited_by = "person"  # the state was changed while the run waited
            return call

    def started(
        self, run_id: UUID, call_id: str, name: str, arguments: Any, visit: Visit | None
    ) -> LangChainCall | None:
        """A tool has started. None where no call of the run is behind it."""
        with self._lock:
            call = self._behind(call_id, name, arguments, visit.call if visit is not None else None)
            if call is None:
                return None
            self._running[run_id] = call
            if _same(call.arguments, arguments):
                arguments = call.arguments
            edited_by = ""
            if name != call.name or arguments != call.arguments:
                edited_by = call.edited_by or "middleware"
                if visit is not None and visit.answers.given:
                    by_person = visit.answers.edits(name, arguments)
                    if by_person or (by_person is None and (visit.resumed or call.reviewed)):
                        edited_by = "person"
            call.starts(name, arguments, edited_by)
            return call

    def _behind(self, call_id: str, name: str, arguments: Any, sent: LangChainCall | None) -> LangChainCall | None:
        if sent is not None:
            return sent if call_id == sent.id or (not call_id and name == sent.name) else None
        calls = self._calls.get(call_id, []) if call_id else [one for same in self._calls.values() for one in same]
        if not call_id:
            calls = [one for one in calls if one.name == name and not one.answered]
        ready = [one for one in calls if not one.began]
        same = [one for one in ready if one.name == name and _same(one.arguments, arguments)]
        if not call_id and not same:
            return None  # another tool of the host's, as likely
        return _first(same, ready, calls) if calls else None

    def ended(self, run_id: UUID, result: Any, tools: Mapping[str, Any] | None) -> LangChainCall | None:
        """A tool has come to its end, and gives this."""
        call = self._running.pop(run_id, None)
        if call is None:
            return None
        if isinstance(result, ToolMessage) and result.status == "error":
            words = text_of(result.content)
            if _refuses_arguments((tools or {}).get(call.ran_name or call.name), call):
                call.becomes("answered", by="framework", reason=words)
            else:
                call.becomes("failed", reason=words)
        else:
            call.becomes("executed")
        return call

    def raised(self, run_id: UUID, error: BaseException) -> LangChainCall | None:
        """A tool has raised; or what stands before it has, as its arguments do not fit."""
        call = self._running.pop(run_id, None)
        if call is None:
            return None
        if is_parent_command(error):
            call.becomes("executed")
        elif is_bubble_up(error):
            call.began = False  # it waits, and is started again
        elif not isinstance(error, Exception):
            call.becomes("unfinished")  # it was cancelled
        elif _ran(error.__traceback__):
            call.becomes("failed", reason=reason_of(error))
        else:
            call.becomes("answered", by="framework", reason=reason_of(error))
        return call

    def changed(self, message: AIMessage, by: str) -> None:
        """A node has put this in place of the message that holds the calls: who changed which of them."""
        counts: Counter[str] = Counter()
        for asked in message.tool_calls:
            id = asked.get("id") or ""
            for call in self._calls.get(id, [])[counts[id] : counts[id] + 1]:
                if call.answer == message.id and (asked["name"], asked["args"]) != (call.name, call.arguments):
                    call.edited_by = by
            counts[id] += 1

    def of_result(self, call_id: str, occurrence: int | None, asker: str) -> LangChainCall | None:
        """The call that a result is for; None where it has one already."""
        with self._lock:
            calls = self._calls.get(call_id)
            if not calls:
                calls = self._calls[call_id] = [
                    LangChainCall(call_id, occurrence or 0, asker, "", None, from_before=True)
                ]
            elif occurrence is not None:
                if occurrence == len(calls) and not calls[0].name:
                    calls.append(LangChainCall(call_id, occurrence, asker, "", None, from_before=True))
                calls = calls[occurrence : occurrence + 1]
            call = next((one for one in calls if not one.answered), None)
            if call is not None:
                call.answered = True
                call.answer = call.answer or asker
            return call

    def pending(self, call_id: str, occurrence: int) -> LangChainCall | None:
        """The call of this run that has no result yet."""
        calls = self._calls.get(call_id, ())[occurrence : occurrence + 1]
        return next((one for one in calls if not one.answered), None)

    @property
    def waiting(self) -> list[LangChainCall]:
        """The calls that have no result yet."""
        return [call for call in self._all if not call.answered]

    @property
    def _all(self) -> Iterable[LangChainCall]:
        return [call for calls in list(self._calls.values()) for call in calls]

    def at_the_end(self) -> list[CallFate]:
        """What is still to be told when the run ends."""
        for call in self._newest:
            if call.broken and not call.answered:
                call.reason = call.broken[:2000]
        return [fate for call in self._all for fate in call.news()]

    @property
    def stopped(self) -> str:
        """Why the run ended with calls that nobody did; "" where it did not."""
        calls = self._newest
        if any(call.began for call in calls):
            return ""
        broken = [call for call in calls if call.broken and not call.answered]
        if broken:
            return f"the arguments of the call of {broken[0].name or 'a tool'} are no JSON: {broken[0].broken}"
        return next((call.reason for call in calls if call.by == "limit"), "")


def _same(asked: Any, started_with: Any) -> bool:
    """Whether a tool starts with what was asked for; the only argument may come as it is."""
    return bool(
        asked == started_with
        or (isinstance(started_with, str) and isinstance(asked, dict) and list(asked.values()) == [started_with])
    )


def _first(*choices: list[LangChainCall]) -> LangChainCall:
    return next(one for some in choices for one in some)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _ran(trace: TracebackType | None) -> bool:
    """Whether an exception came out of the tool itself, which is in `_run` or `_arun` of its class."""
    while trace is not None:
        if trace.tb_frame.f_code.co_name in ("_run", "_arun"):
            return True
        trace = trace.tb_next
    return False


def _refuses_arguments(tool: Any, call: LangChainCall) -> bool:
    """Whether the tool itself answered that these arguments do not fit, without running."""
    schema = getattr(tool, "tool_call_schema", None)
    if not getattr(tool, "handle_validation_error", False) or not hasattr(schema, "model_validate"):
        return False
    arguments = call.ran_arguments if call.ran_arguments is not None else call.arguments
    try:
        schema.model_validate(arguments)  # type: ignore[union-attr]
    except ValueError:
        return True
    return False


def numbered(messages: Iterable[BaseMessage]) -> Iterator[tuple[ToolMessage, int]]:
    """The results among messages, each with a number of its own among those of one call id."""
    counts: Counter[str] = Counter()
    for message in messages:
        if isinstance(message, ToolMessage):
            yield message, counts[message.tool_call_id]
            counts[message.tool_call_id] += 1


def call_in(given: Any) -> Mapping[str, Any] | None:
    """The only call that a node was sent; None where it was given a state, or several."""
    if isinstance(given, Mapping):
        given = [given["tool_call"]] if "tool_call" in given else ()
    calls = [one for one in given if isinstance(one, Mapping) and "args" in one] if isinstance(given, list) else []
    return calls[0] if len(calls) == 1 else None


def is_node(name: Any, metadata: Mapping[str, Any] | None) -> bool:
    """Whether a run of this name is the run of a graph's node."""
    return name is not None and name == (metadata or {}).get("langgraph_node")


class FirstSteps:
    """The steps that a run which goes on begins with, in each graph: what waited is run again in these."""

    def __init__(self, goes_on: bool) -> None:
        self._steps: dict[str, Any] = {}
        self._goes_on = goes_on

    def hold(self, metadata: Mapping[str, Any] | None) -> bool:
        """Whether the node with this metadata is run in one of them."""
        if not self._goes_on or not metadata:
            return False
        graph = str(metadata.get("langgraph_checkpoint_ns") or "").rpartition("|")[0]
        step = metadata.get("langgraph_step")
        return bool(self._steps.setdefault(graph, step) == step)


def is_create_agent(metadata: Mapping[str, Any] | None) -> bool:
    """Whether this says of itself that it is part of an agent of `create_agent`, or of a deep agent, which is one."""
    return (metadata or {}).get("ls_integration") in ("langchain_create_agent", "deepagents")


def tools_of(runnable: Any) -> Mapping[str, Any] | None:
    """The tools that a node of a graph calls for the model, by name; None where it is another node."""
    found = getattr(runnable, "tools_by_name", None)
    return found if isinstance(found, Mapping) else None
