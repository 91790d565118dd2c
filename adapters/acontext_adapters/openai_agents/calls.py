"""The calls of one run: which a model asked for, which began, and what became of each.

All of it is told by the SDK: hooks of tools, errors that it notes in the span of a tool, decisions about approvals,
and the items of calls and results. Hooks of function tools say which call they are about; those of shells, patches and
computers do not, but such calls run one after the other, in their order.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from agents import (
    Agent,
    FunctionTool,
    ModelBehaviorError,
    RunContextWrapper,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
    __version__,
)
from agents.tool_context import ToolContext
from agents.tracing import get_current_span

from acontext_plugins.formats.tool_status import how_it_failed
from acontext_plugins.runs import reason_of
from acontext_plugins.transcript.result_texts import known_text
from acontext_store.types import CallFate, FateStatus, Json

from .convert import as_dict, field_of, words_of

_TOLD_BY = f"openai-agents {__version__}"
#: How the SDK's own error function begins: the only sign of a failed tool where its span cannot be listened to.
_FAILED = "An error occurred while running the tool"
#: How the SDK says that it has not run a tool, for its arguments were no JSON or did not fit.
_INVALID = "Invalid JSON input for tool"
#: What the SDK answers where a person rejects a call without a word.
_REJECTED = "Tool execution was not approved."
#: How an error is noted that may end the run, so that no hook tells of the call any more.
RAISED = "Error running tool"
_BY_FUNCTIONS = ("function_call", "custom_tool_call")
_ENDED_BADLY = ("failed", "incomplete")
_GOES_ON = ("in_progress", "searching", "interpreting", "generating", "calling")


class AskedCall:
    """A call that a model asked for."""

    __slots__ = (
        "approved",
        "arguments",
        "began",
        "ended",
        "error",
        "guarded",
        "heard",
        "id",
        "kind",
        "name",
        "names",
        "refusal",
        "repeated",
        "served",
        "turn",
    )

    def __init__(self, item: Any, call_id: str, turn: int) -> None:
        self.id = call_id
        self.kind = str(field_of(item, "type"))
        self.name = str(field_of(item, "name") or self.kind.removesuffix("_call"))
        namespace = field_of(item, "namespace")
        #: What decisions about it are known by.
        self.names = (self.name, f"{namespace}.{self.name}") if namespace else (self.name,)
        self.arguments = field_of(item, "arguments")
        #: By which response of the model.
        self.turn = turn
        #: An earlier call of the run had the same id and was answered: the SDK answers it from that one.
        self.repeated = False
        #: Its tool has guardrails on what it is given.
        self.guarded = False
        #: An MCP server runs it.
        self.served = False
        #: A person has approved it; has rejected it, with these words ("" = without any).
        self.approved = False
        self.refusal: str | None = None
        #: When its tool began, on the monotonic clock; None = it has not.
        self.began: float | None = None
        self.ended = False
        #: Whether its span tells of errors, and the one that it told of.
        self.heard = False
        self.error: BaseException | None = None

    def is_error(self, fate: CallFate) -> bool:
        """Whether its result with this fate is none of success."""
        return fate.status in ("failed", "refused") or (fate.status == "answered" and not self.repeated)

    def fate(self, status: FateStatus, *, by: str = "", reason: str = "", **changes: Any) -> CallFate:
        return CallFate(call_id=self.id, status=status, by=by, reason=reason[:2000], told_by=_TOLD_BY, **changes)


class CallLedger:
    """What is known of the calls of one run."""

    def __init__(self) -> None:
        #: Calls that have no result yet, by their id.
        self.open: dict[str, AskedCall] = {}
        self._answered: dict[str, AskedCall] = {}
        #: Calls that another process has seen being asked for, as items: not recorded here yet.
        self.from_elsewhere: list[Any] = []

    def __contains__(self, call_id: object) -> bool:
        return call_id in self.open

    @property
    def waiting(self) -> str:
        """The names of the tools whose calls have no result yet."""
        return ", ".join(sorted({call.name for call in self.open.values()}))

    def is_answered(self, call_id: str) -> bool:
        """Whether the newest call of that id has its result."""
        return call_id in self._answered

    # -- what the model asks for
    def asked(self, items: Iterable[Any], turn: int, agent: Agent[Any]) -> list[CallFate]:
        """Keep the calls of a response. Gives the fates of those that are settled with it."""
        settled: list[CallFate] = []
        counts: dict[str, int] = {}
        for item in items:
            kind = str(field_of(item, "type"))
            call_id = field_of(item, "call_id")
            if kind.endswith("_output"):
                call = self.open.get(call_id or "")
                if call is not None:  # a shell that the provider runs
                    self._settle(call)
                    settled.append(_of_item(call, item))
            elif not call_id:
                settled += _hosted(item) if kind.endswith("_call") and kind not in _BY_FUNCTIONS else []
            elif call_id in counts:
                counts[call_id] += 1
                why = "an earlier call of the same answer has its id"
                again = self.open[call_id].fate("answered", by="framework", reason=why)
                settled.append(again.model_copy(update={"occurrence": counts[call_id]}))
            else:
                counts[call_id] = 0
                call = self.open[call_id] = AskedCall(item, call_id, turn)
                call.repeated = self._answered.pop(call_id, None) is not None
                tools = [tool for tool in agent.tools if getattr(tool, "name", None) == call.name]
                call.guarded = any(getattr(tool, "tool_input_guardrails", None) for tool in tools)
                call.served = bool(agent.mcp_servers) and not tools
        return settled

    def asked_elsewhere(self, context: Any, items: Iterable[Any]) -> None:
        """Keep the calls among `items` that a person has decided about: another process has seen them before."""
        for item in items:
            call_id, kind = field_of(item, "call_id"), str(field_of(item, "type"))
            if call_id and not kind.endswith("_output") and call_id not in self.open and call_id not in self._answered:
                call = AskedCall(item, call_id, 0)
                if any(_decision(context, name, call_id) is not None for name in call.names):
                    self.open[call_id] = call
                    self.from_elsewhere.append(item)

    # -- what hooks tell
    def begun(
        self, context: Any, tool: Any, note: Callable[[AskedCall, Any, BaseException | None], None]
    ) -> AskedCall | None:
        """A tool begins. Gives its call, unless that is known already.

        `note` is called with each error that the SDK notes in the span of the tool, and the exception behind it.
        """
        own = is_own(context, tool)
        call = self._own(context) if own else self._next(context, tool)
        if call is None or call.began is not None:
            return None
        call.began = time.monotonic()
        span = get_current_span()
        inside = span.span_data if span is not None and span.span_data.type == "function" else None
        if inside and (own or str(getattr(tool, "name", "")).startswith(str(getattr(inside, "name", "-")))):
            call.heard = listen(span, lambda noted, error: note(call, noted, error))
        return call

    def ended(self, context: Any, tool: Any, output: Any) -> tuple[AskedCall, CallFate | None] | None:
        """A tool has given its result. None where that is known already.

        Of a shell, a patch or a computer the item will tell more. No fate where an error would not have been heard of.
        """
        if not is_own(context, tool):
            name = str(getattr(tool, "name", ""))
            mine = (call for call in self.open.values() if call.began is not None and not call.ended)
            found = next((call for call in mine if name.startswith(call.name)), None)
            if found is None:
                return None
            found.ended = True
            return found, self.of_run(found, tool)
        call = self._own(context)
        if call.id in self._answered:
            return None
        self._settle(call)
        fate = self.of_run(call, tool, output, given=getattr(context, "tool_arguments", None))
        return call, fate if call.heard or isinstance(tool, FunctionTool) else None

    def _own(self, context: ToolContext[Any]) -> AskedCall:
        """The call that a hook says it is about."""
        call_id = context.tool_call_id
        call = self.open.get(call_id) or self._answered.get(call_id)
        if call is None:  # another process has seen it being asked for
            call = self.open[call_id] = AskedCall(context.tool_call, call_id, 0)
            self.from_elsewhere.append(context.tool_call)
        return call

    def _next(self, context: Any, tool: Any) -> AskedCall | None:
        """The call of a shell, a patch or a computer that begins now: they run in order, without those refused."""
        self.decisions(context)
        name = str(getattr(tool, "name", ""))
        mine = [call for call in self.open.values() if call.began is None and call.refusal is None]
        mine = [call for call in mine if name.startswith(call.name)]
        return next((call for call in mine if call.approved), mine[0] if mine else None)

    def decided(self, context: Any) -> bool:
        """Whether a person has decided about a call that has no result yet."""
        self.decisions(context)
        return any(call.approved or call.refusal is not None for call in self.open.values())

    def decisions(self, context: Any) -> None:
        """Keep what a person has decided about the calls that have no result yet."""
        for call in self.open.values():
            for name in call.names:
                decision = _decision(context, name, call.id)
                call.approved = call.approved or decision is True
                if decision is False:
                    call.refusal = context.get_rejection_message(name, call.id) or ""

    def of_run(self, call: AskedCall, tool: Any, output: Any = None, *, given: Any = None) -> CallFate:
        """The fate of a call whose tool was started by the SDK."""
        error = call.error
        changes: Json = {}
        if isinstance(given, str) and isinstance(call.arguments, str) and given != call.arguments:
            changes = {"arguments": _parsed(given), "edited_by": "person"}
        if isinstance(error, ToolOutputGuardrailTripwireTriggered):
            return call.fate("executed", reason=reason_of(error), **changes)
        if isinstance(error, ModelBehaviorError) and str(error).startswith(f"{_INVALID} {getattr(tool, 'name', '')}"):
            return call.fate("answered", by="framework", reason=str(error))
        if error is not None:
            return call.fate("failed", reason=reason_of(error), **changes)
        if not call.heard and isinstance(output, str) and output.startswith(_FAILED):
            return call.fate("failed", reason=output, **changes)
        if call.served and (known := known_text(words_of(output))) is not None:
            # the SDK keeps to itself that a server calls its result an error: words are all there is
            return call.fate(known.status, by=known.by, reason=words_of(output), **changes)
        if (late := _timed_out(call, tool, output)) is not None:
            return call.fate("failed", reason=late, **changes)
        return call.fate("executed", **changes)

    # -- what items tell
    def results(
        self, context: Any, items: Iterable[Any], handoffs: Collection[str]
    ) -> Iterator[tuple[AskedCall, Any, CallFate]]:
        """The results among `items` that no hook told of: of rejected calls, handoffs, shells ..."""
        if not self.open:
            return
        self.decisions(context)
        found: dict[str, Any] = {}
        for item in items:  # an id may come again: the newest result is that of the newest call
            call_id = field_of(item, "call_id")
            if call_id in self.open and str(field_of(item, "type")).endswith("_output"):
                found[call_id] = item
        for call_id, item in found.items():
            call = self.open[call_id]
            self._settle(call)
            yield call, item, self._of_result(call, item, handoffs)

    def _of_result(self, call: AskedCall, item: Any, handoffs: Collection[str]) -> CallFate:
        output = field_of(item, "output")
        words = output if isinstance(output, str) else ""
        if call.error is not None:
            return call.fate("failed", reason=reason_of(call.error))
        if call.began is None and call.refusal is not None:
            return call.fate("refused", by="person", reason=call.refusal or (words if words != _REJECTED else ""))
        if call.began is None and call.repeated:
            return call.fate("answered", by="framework", reason="an earlier call has its id")
        if call.began is None and call.guarded:
            return call.fate("refused", by="guardrail", reason=words)
        if call.began is None and (call.name in handoffs or call.kind in _BY_FUNCTIONS):
            return call.fate("answered", by="framework", reason=words)
        return _of_item(call, item)

    def handed_off(self, to_target: Collection[str], names: Collection[str]) -> list[tuple[AskedCall, CallFate]]:
        """The conversation goes to another agent: the call that did it first, then the other handoffs of the answer."""
        calls = [call for call in self.open.values() if call.name in names]
        calls.sort(key=lambda call: call.name not in to_target)
        why = "the conversation had gone to another agent"
        for call in calls:
            self._settle(call)
        others = [(call, call.fate("answered", by="framework", reason=why)) for call in calls[1:]]
        return [(call, call.fate("executed")) for call in calls[:1]] + others

    # -- ending
    def left(self, context: Any, error: BaseException | None) -> list[CallFate]:
        """What became of the calls that have no result, now that the run has ended or waits for a person."""
        self.decisions(context)
        fates = []
        stopped = isinstance(error, ToolInputGuardrailTripwireTriggered)
        guarded = [call for call in self.open.values() if call.guarded and call.began is None]
        for call in self.open.values():
            if call.error is not None:
                continue  # told when it was noted
            if call.ended:
                fates.append(self.of_run(call, None))
            elif call.began is not None:
                fates.append(call.fate("unfinished", reason=reason_of(error) if error is not None else ""))
            elif call.refusal is not None:
                fates.append(call.fate("refused", by="person", reason=call.refusal))
            elif stopped and error is not None and guarded == [call]:
                fates.append(call.fate("refused", by="guardrail", reason=reason_of(error)))
        return fates

    def _settle(self, call: AskedCall) -> None:
        self.open.pop(call.id, None)
        self._answered[call.id] = call


def listen(span: Any, note: Callable[[Any, BaseException | None], None]) -> bool:
    """Have `note` called with each error that the SDK notes in `span`, and with the exception behind it.

    The SDK notes an error in a tool's span wherever a tool fails, and nowhere else in public: what its error function
    answers may be any text. Without tracing the span keeps nothing, but is there. It belongs to this one call, and does
    what it always did. Gives False where that cannot be done.
    """
    inner = span.set_error

    def set_error(error: Any) -> None:
        inner(error)
        note(error, sys.exc_info()[1])

    try:
        own = vars(span)
    except TypeError:
        return False
    own["set_error"] = set_error
    return True


def _decision(context: Any, name: str, call_id: str) -> bool | None:
    """Whether a person has approved the call or rejected it; None = nobody has said."""
    return context.is_tool_approved(name, call_id) if isinstance(context, RunContextWrapper) else None


def is_own(context: Any, tool: Any) -> bool:
    """Whether a hook of `tool` says which call it is about. A shell in an agent that runs as a tool shows the outer."""
    name = getattr(tool, "name", None)
    return isinstance(context, ToolContext) and (isinstance(tool, FunctionTool) or context.tool_name == name)


def _timed_out(call: AskedCall, tool: Any, output: Any) -> str | None:
    """What a tool that took too long was answered with: a text of the SDK or of the host's."""
    limit = getattr(tool, "timeout_seconds", None)
    if limit is None or call.began is None or not isinstance(output, str):
        return None
    if getattr(tool, "timeout_error_function", None) is not None:
        return output if time.monotonic() - call.began >= limit else None
    return output if output == f"Tool '{tool.name}' timed out after {limit:g} seconds." else None


def _of_item(call: AskedCall, item: Any) -> CallFate:
    """The fate of a call by its result's item: that of a tool that ran."""
    why = how_it_failed(as_dict(item))
    return call.fate("executed") if why is None else call.fate("failed", reason=why)


def _hosted(item: Any) -> list[CallFate]:
    """The fate of a call that the provider ran: its item tells."""
    call_id = field_of(item, "id")
    if not call_id:
        return []
    call = AskedCall(item, call_id, 0)
    error, status = as_dict(item).get("error"), field_of(item, "status")
    if error or status in _ENDED_BADLY:
        return [call.fate("failed", reason=_text(error))]
    return [call.fate("unfinished" if status in _GOES_ON else "executed")]


def _parsed(arguments: str) -> Json | None:
    try:
        value = json.loads(arguments)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, default=str)
