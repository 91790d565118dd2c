"""Calls: what the model of a run has asked for, and what has become of each call.

What ran is told by the tool's own function (`executions`). Who refused a call, or answered it in the tool's place, is
told by agno's `ToolExecution`; a result that nothing of this made is agno's own answer (unknown tools, broken JSON).
"""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from acontext_plugins.runs import Runtime
from acontext_store.types import CallFate, FateStatus, Json

from .executions import Execution, execution_of, follow, frozen


class AgnoCall:
    """A call that the model has asked for."""

    __slots__ = ("answered", "arguments", "execution", "id", "name", "occurrence", "superseded", "told")

    def __init__(self, asked: Json, occurrence: int) -> None:
        self.id: str = asked["id"]
        self.name: str = asked["name"]
        #: As the model wrote them.
        self.arguments: str = asked["arguments"]
        #: Which of the calls with this id in its message.
        self.occurrence = occurrence
        #: Its result is recorded.
        self.answered = False
        #: A later message of the model has its id, which is what the id means now.
        self.superseded = False
        self.execution: Execution | None = None
        #: What was told of it last.
        self.told: FateStatus | None = None

    @property
    def waiting(self) -> bool:
        """A member in it waits for a human."""
        return self.execution is not None and self.execution.waiting

    @property
    def failed_inside(self) -> bool:
        """Every member that ran in it has failed, whatever agno's result says."""
        execution = self.execution
        return execution is not None and 0 < execution.members == execution.members_failed

    def is_error(self, fate: CallFate) -> bool:
        """Whether its result is an error that agno does not call one: of members, of a call that it could not read."""
        return self.failed_inside or (self.execution is None and fate.status == "answered" and fate.by == "framework")

    def asks_as(self, other: AgnoCall) -> bool:
        """Whether it asks for the same as another."""
        return (self.name, self.arguments) == (other.name, other.arguments)

    def fits(self, name: str | None, arguments: Any) -> int:
        """How well it fits what has its id, and this name and these arguments: calls of a run may have one id."""
        read = _read(self.arguments)
        return 0 if read is None else 2 * (self.name == name) + bool(read == (arguments or {}))

    def fate(self, tool: Any, *, answered: bool, seen: bool = True) -> CallFate | None:
        """What has become of it; None = it was asked for, and no more is known.

        `tool` is agno's `ToolExecution` of it. `answered` = there is a result; `seen` = all that was done for it was
        done before our eyes, so that a result that nothing made is agno's own.
        """
        execution = self.execution
        if execution is not None:
            return self._of_execution(execution)
        if tool is not None and tool.confirmed is False:
            return self._is("refused", by="person", reason=tool.confirmation_note)
        if not answered:
            return None
        if tool is not None and tool.external_execution_required is not None:
            ran = frozen(tool.tool_args or {})
            arguments = ran if ran != (_parsed(self.arguments) or {}) else None
            return self._is("failed" if tool.tool_call_error else "executed", arguments=arguments)
        if tool is not None and tool.requires_user_input is not None:
            return self._is("answered", by="person")
        return self._is("answered", by="framework") if seen else None

    def _of_execution(self, execution: Execution) -> CallFate | None:
        if execution.limited:
            return self._is("answered", by="limit")
        if execution.end == "unfitting":
            return self._is("answered", by="framework", reason=execution.reason)
        if execution.end == "executed" and self.failed_inside:
            return self._ran(execution, "failed", execution.member_error)
        if execution.end == "executed" or execution.end == "failed":
            return self._ran(execution, execution.end, execution.reason)
        if execution.began:  # what stopped the tool, and not the run, is an error to agno
            status: FateStatus = "unfinished" if execution.result_ok is None else "failed"
            return self._ran(execution, status, execution.reason)
        if execution.result_ok is None:
            return None
        if execution.result_ok:
            return self._is("answered", by="middleware" if execution.hooked else "framework")
        if execution.hooked:
            return self._is("refused", by="middleware", reason=execution.reason)
        return self._is("answered", by="framework", reason=execution.reason)

    def _ran(self, execution: Execution, status: FateStatus, reason: str) -> CallFate:
        ran, name = execution.ran, execution.name if execution.name != self.name else None
        if ran is None or (name is None and ran == (_parsed(self.arguments) or {})):
            return self._is(status, reason=reason)
        editor = ""
        if ran != execution.given and execution.hooked:
            editor = "middleware"
        elif name is not None or (_differ(execution.given, self) and not self._is_filled_in(execution)):
            editor = "person"
        return self._is(status, reason=reason, name=name, arguments=ran, edited_by=editor)

    def _is_filled_in(self, execution: Execution) -> bool:
        """Whether a person has only added what the model cannot know; nothing that it asked for is changed."""
        asked = _parsed(self.arguments) or {}
        return execution.filled_in and all(execution.given.get(name) == value for name, value in asked.items())

    def _is(self, status: FateStatus, *, reason: str | None = "", **more: Any) -> CallFate:
        return CallFate(
            call_id=self.id,
            occurrence=self.occurrence,
            status=status,
            reason=(reason or "")[:2000],
            told_by=_told_by(),
            **more,
        )


class Calls:
    """The calls of one run, in the order in which the model asked for them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._by_id: dict[str, list[AgnoCall]] = {}
        #: Those that have no result yet.
        self.pending: list[AgnoCall] = []
        #: Executions whose calls are still to be recorded. Those of a model that only reasons stay here.
        self._executions: list[Execution] = []
        #: The execution of each result that is still to be recorded, by the id of its message.
        self._results: dict[str, Execution] = {}

    def guard(self, step: str) -> AbstractContextManager[None]:
        """Keeps errors of ours from the tool that is running."""
        return self._runtime.guard(step)

    def number(self, call: AgnoCall) -> int:
        """Which of the run's calls with its id it is, from 0."""
        return self._by_id[call.id].index(call)

    def told_of(self, call: AgnoCall, tools: Sequence[Any]) -> Any:
        """Which of agno's `ToolExecution`s is the one of a call, if any."""
        mine = [tool for tool in tools if tool.tool_call_id == call.id]
        calls = self._by_id[call.id]
        if len(calls) > 1:  # not told apart by their id
            mine = [tool for tool in mine if _best(calls, tool.tool_name, tool.tool_args).asks_as(call)]
            calls = [one for one in calls if one.asks_as(call)]
        return mine[min(calls.index(call), len(mine) - 1)] if mine else None

    def goes_on(self) -> None:
        """The run goes on after a human has answered."""
        for call in self.pending:
            if call.execution is not None:
                call.execution.waiting = False

    # -- what the model and agno do
    def asked(self, calls: Sequence[Json]) -> list[AgnoCall]:
        """Keep the calls of one message of the model."""
        found: list[AgnoCall] = []
        for asked in calls:
            found.append(AgnoCall(asked, sum(one.id == asked["id"] for one in found)))
            for earlier in self._by_id.get(asked["id"], ()):
                earlier.superseded = earlier not in found
            self._by_id.setdefault(asked["id"], []).append(found[-1])
        self.pending += found
        return found

    def runs(self, function_call: Any) -> None:
        """Agno is about to run a `FunctionCall`."""
        self._executions.append(follow(function_call, self))

    def limited(self, function_call: Any, message: Any) -> None:
        """Agno has made the result of a call that is one too many."""
        execution = Execution(function_call, self)
        execution.limited = True
        self._executions.append(execution)
        self._results[message.id] = execution

    def made(self, function_call: Any, message: Any) -> None:
        """Agno has made the result of a call."""
        execution = execution_of(function_call)
        if execution is not None and execution.ledger is self:
            execution.result_ok = not message.tool_call_error
            if message.tool_call_error and not execution.began:
                execution.reason = str(function_call.error or "")
            self._results[message.id] = execution

    # -- what is recorded
    def waits(self, message: Any) -> bool:
        """Whether a message stands for the result of a call whose member waits for a human."""
        execution = self._results.get(message.id)
        return execution is not None and execution.waiting

    def answered(self, message: Any) -> AgnoCall | None:
        """The call that a result belongs to, which is recorded now."""
        self.match()
        execution = self._results.pop(message.id, None)
        found = [call for call in self.pending if call.id == message.tool_call_id]
        mine = [call for call in found if execution is not None and call.execution is execution]
        free = [call for call in found if call.execution is None]
        found = mine or free or found
        if not found:
            return None
        name, arguments = getattr(message, "tool_name", None), getattr(message, "tool_args", None)
        call = _best(found, name, arguments)
        self.answer(call)
        return call

    def answer(self, call: AgnoCall) -> None:
        """The result of a call is recorded now."""
        call.answered = True
        self.pending = [one for one in self.pending if one is not call]

    def match(self) -> None:
        """Find the call of each execution: of calls with one id the one that fits best, then the first."""
        left = []
        for execution in self._executions:
            free = [one for one in self.pending if one.id == execution.call_id and one.execution is None]
            free = [one for one in free if not one.superseded] or free  # what runs is asked for by the newest
            if free:
                _best(free, execution.name, execution.given).execution = execution
            else:
                left.append(execution)
        self._executions = left


@functools.cache
def _told_by() -> str:
    from importlib.metadata import version  # slow to import

    return f"agno {version('agno')}"


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return None


def _read(arguments: str) -> Any:
    """Arguments as agno reads them: Python's literals will do. None = they cannot be read."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        try:
            return ast.literal_eval(arguments)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None


def _best(calls: Sequence[AgnoCall], name: str | None, arguments: Any) -> AgnoCall:
    """The call that fits a name and arguments best; of equals the first."""
    return calls[0] if len(calls) == 1 else max(calls, key=lambda call: call.fits(name, arguments))


def _differ(given: Json, call: AgnoCall) -> bool:
    """Whether arguments are others than those that agno reads in a call ("True" for true, for instance)."""
    if given == _parsed(call.arguments):
        return False
    from agno.tools.function import Function
    from agno.utils.functions import get_function_call

    read = get_function_call(call.name, call.arguments, functions={call.name: Function(name=call.name)})
    return read is None or given != (read.arguments or {})
