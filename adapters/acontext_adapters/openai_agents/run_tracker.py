"""Run tracker: one run of an agent, as its hooks tell of it.

Nothing in here knows how the hooks were attached (a wrapped agent, `hooks()`, our `Runner`), and what two of them tell
is recorded once.
"""

from __future__ import annotations

import asyncio
import functools
import json
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any

from agents import Agent, Handoff, ItemHelpers, ModelResponse, RunContextWrapper
from agents.exceptions import InputGuardrailTripwireTriggered, OutputGuardrailTripwireTriggered
from agents.tracing import get_current_span, get_current_trace
from pydantic import TypeAdapter

from acontext_plugins.runs import Run, Runtime, reason_of
from acontext_store.types import CallFate, Json, Message, Part, new_id, stable_id

from ..shared.placement import place_blocks, shown_turns, turn_names
from ..shared.resent_history import Conversations, Item, Sent
from ..shared.users import user_in
from .calls import RAISED, AskedCall, CallLedger, is_own, listen
from .convert import as_dict, field_of, frozen, input_messages, output_messages, result_message, rough_size, words_of
from .history import as_item, by_host, continued, said, with_text

#: What the SDK notes where an output is not of the agent's type.
_UNFIT = "Invalid JSON provided"
#: What the SDK answers to all handoffs of a response but the first.
_OTHER_HANDOFF = "Multiple handoffs detected, ignoring this one."


class RunnerCall:
    """A call that our `Runner` makes: what it knows of the run and the hooks don't."""

    def __init__(self, agent: Agent[Any]) -> None:
        self.agent = agent
        self.tracker: AgentsRunTracker | None = None
        #: A run goes on that this process has not seen being interrupted: whichever agent is heard of first is its own.
        self.unknown = False

    def awaits(self, agent: Agent[Any]) -> bool:
        """Whether the first hook of this call's run would speak of `agent`."""
        tracker = self.tracker
        return tracker is not None and tracker.usage is None and (self.unknown or tracker.expected is agent)


current_call: ContextVar[RunnerCall | None] = ContextVar("acontext_openai_agents_call", default=None)


class AgentsRunTracker:
    """One run: what has been recorded of it, what is still awaited."""

    def __init__(self, runtime: Runtime, agent: Agent[Any], turn_input: Sequence[Any] = ()) -> None:
        self.id = new_id()
        self.runtime = runtime
        self.agent = agent
        self.turn_input = list(turn_input)
        self.run: Run | None = None
        self.parent: AgentsRunTracker | None = None
        self.parent_call_id: str | None = None
        #: The agent whose start belongs to this run, after a handoff or a resume.
        self.expected: Agent[Any] | None = None
        self.context: weakref.ref[RunContextWrapper[Any]] | None = None
        self.opened_by: weakref.ref[RunContextWrapper[Any]] | None = None
        self.trace_id = ""
        self.usage: int | None = None
        #: Somebody else says how it ends: the trace, or our Runner.
        self.traced = False
        self.call: RunnerCall | None = None
        #: A hook has been heard of: an input that never reached the agent is not recorded.
        self.started = False
        #: The user's turn is recorded.
        self.said = False
        #: It goes on with what another process has seen, and recorded: in the same session, where the host names one.
        self.from_elsewhere = False
        self.named = True
        #: The end hook has been seen; not yet the proof of success (output guardrails come after it).
        self.finished = False
        #: An error handler gave the final output: why it had to.
        self.handled: str | None = None
        self.calls = CallLedger()
        #: The newest response asks for tools that are to be run; is not what the agent is to give.
        self._asks = False
        self._unfit = False
        self._responses = 0
        self._last_response: ModelResponse | None = None
        self._refused = False
        self._new: list[Any] = []
        #: What is recorded once no guardrail can block it any more; None = at once.
        self._held: list[Callable[[], None]] | None = None
        #: The run's configuration has guardrails, beside those of the agent.
        self.guards_input = bool(agent.input_guardrails)
        self.guards_output = False
        #: A guardrail has blocked the run before anything of it was recorded.
        self.blocked = False
        self._scope = ""
        #: The user on whose behalf it runs, where the host says so.
        self.principal: str | None = None
        #: What is known of the conversation; None where `turn_input` is only what is new in it.
        self._sent: Sent | None = None
        #: What the run has added to it.
        self._added: list[Item] = []
        #: Where that stands in a history that begins anew with a handoff: behind what the model was given last.
        self._handed_off = False
        self._given: Item | None = None
        #: The provider has the history: the items are only what is new in it.
        self.held = False

    # -- beginning
    def begin(
        self, conversations: Conversations, *, session_key: str | None = None, new: list[Any] | None = None
    ) -> Run:
        """The run behind this watch, made now if it is not there yet. Records nothing.

        `new` are the items that the user added, where the caller knows them; else they are found in the history.
        """
        if self.run is not None:
            return self.run
        options = self.runtime.options
        self.principal = self.principal or _trace_user()
        self._scope = json.dumps([self.runtime.scope, self.principal])
        session_key = session_key or _group_id() or options.session
        run_id: str | None = None
        if new is None:
            self.named = named = session_key is not None
            self._sent, new = continued(conversations, self._scope, session_key, self.turn_input)
            session_key = self._sent.session_key
            run_id = (
                None if named or self._sent.known else session_key
            )  # a conversation is called what its first run is
        self._new = [item for item in new if not by_host(item)]
        self.trace_id = trace_id()
        self.run = self.runtime.start(
            label=self.agent.name,
            session_key=session_key,
            principal=self.principal,
            run_id=run_id,
            parent=self.parent.run if self.parent is not None else None,
            parent_call_id=self.parent_call_id,
        )
        return self.run

    def say(self) -> None:
        """Record the user's turn, once."""
        if self.run is None or self.said:
            return
        self.said = True
        items = frozen(self._new)
        self._new = []
        if not items:
            return
        mine = self.id
        if self.guards_input and not self.alone:
            self._held = []
        self._record(make=lambda: input_messages(items, mine, "input"), size=sum(rough_size(item) for item in items))

    def _record(self, **recording: Any) -> None:
        if self.run is not None:
            self._later(functools.partial(self.run.record, **recording))

    def _tell(self, *fates: CallFate) -> None:
        if self.run is not None and fates:
            self._later(functools.partial(self.run.tell, *fates))

    def _later(self, record: Callable[[], None]) -> None:
        """At once, unless guardrails may still block what was said."""
        if self._held is None:
            record()
        else:
            self._held.append(record)

    def _release(self) -> None:
        held, self._held = self._held, None
        for record in held or ():
            record()

    @property
    def query(self) -> str:
        """The newest words of the user."""
        for item in reversed(self.turn_input):
            if field_of(item, "role") == "user":
                return words_of(field_of(item, "content"))
        return ""

    # -- what hooks tell
    def given(self, context: Any, items: Sequence[Any]) -> None:
        """The model is called with these items."""
        self._given = as_item(items[-1]) if self._handed_off and items else None
        span = get_current_span()
        if self.agent.output_type is not None and span is not None and span.span_data.type in ("turn", "agent"):
            mine = weakref.ref(self)

            def note(noted: Any, _: object) -> None:
                tracker = mine()
                if tracker is not None and isinstance(noted, dict) and noted.get("message") == _UNFIT:
                    tracker._unfit = True

            listen(span, note)
        self._release()  # the SDK goes on when its guardrails have let the turn before pass
        self.say()
        self.results_in(context, items)

    def responded(self, response: ModelResponse) -> None:
        """The model has answered (or called tools)."""
        if self.run is None or response is self._last_response:
            return
        self._last_response = response
        self._unfit = False
        self._responses += 1
        items = list(response.output)
        self._refused = False
        for item in items:
            self._added.append(as_item(item))
            if str(field_of(item, "type")) == "message":
                self._refused |= any(field_of(part, "type") == "refusal" for part in field_of(item, "content") or ())
        before = len(self.calls.open)
        fates = self.calls.asked(items, self._responses, self.agent)
        self._asks = len(self.calls.open) > before
        name, number = self.id, str(self._responses)
        copies = frozen(items)
        if self._held is None and (self.guards_output or self.agent.output_guardrails) and not self.alone:
            self._held = []
        self._record(
            make=lambda: output_messages(copies, name, "output", number),
            fates=fates,
            told=True,
            size=sum(rough_size(item) for item in items),
        )

    def tool_started(self, context: Any, tool: Any) -> None:
        """A tool begins."""
        mine = weakref.ref(self)  # a span that somebody keeps does not keep the run

        def note(call: AskedCall, noted: Any, error: BaseException | None) -> None:
            tracker = mine()
            if tracker is not None:
                with tracker.runtime.guard("tool error"):
                    tracker.tool_failed(call, tool, noted, error)

        call = self.calls.begun(context, tool, note)
        self._record_from_elsewhere()
        if call is not None and self.alone and self.run is not None:
            self._tell(call.fate("unfinished"))  # nobody tells of a run that fails now

    def tool_failed(self, call: AskedCall, tool: Any, noted: Any, error: BaseException | None) -> None:
        """The SDK has noted an error in a tool's span."""
        if error is None or "tool_name" not in (noted.get("data") or {}):
            return  # the host's own note
        call.error = error
        if noted.get("message") == RAISED and self.run is not None:
            self._tell(self.calls.of_run(call, tool))  # it may be the end of the run

    @property
    def alone(self) -> bool:
        """Whether nobody says how the run ends: it is not traced, and not our Runner's."""
        return self.call is None and not self.traced

    def tool_ended(self, context: Any, tool: Any, result: object) -> None:
        """A tool has given its result."""
        output: Any = result
        if not isinstance(result, str) and is_own(context, tool):
            call = getattr(context, "tool_call", None)
            output = ItemHelpers.tool_call_output_item(call, result)["output"] if call is not None else str(result)
        found = self.calls.ended(context, tool, output)
        self._record_from_elsewhere()
        if found is None:
            return
        asked, fate = found
        if is_own(context, tool):
            self._answer(asked, {"type": "function_call_output", "call_id": asked.id, "output": output}, fate)
        elif self.alone and fate is not None and self.run is not None:
            self._tell(fate)

    def _record_from_elsewhere(self) -> None:
        """Calls that this process has not seen being asked for: their session has them only if it is the same one."""
        items, self.calls.from_elsewhere = self.calls.from_elsewhere, []
        if items and not self.named and self.run is not None:
            copies, ids = frozen(items), (self.id, "elsewhere", str(field_of(items[0], "call_id")))
            self._record(make=lambda: output_messages(copies, *ids), told=True, size=sum(map(rough_size, items)))

    def _answer(self, call: AskedCall, given: Any, fate: CallFate | None, *, error: bool | None = None) -> None:
        if self.run is None:
            return
        (item,) = frozen([given])
        self._added.append(as_item(item))
        ids = (self.id, "result", call.id, str(call.turn))
        failed = error if error is not None else fate is not None and call.is_error(fate)
        self._record(
            make=lambda: [result_message(as_dict(item), stable_id(*ids), name=call.name, error=failed)],
            fates=() if fate is None else (fate,),
            size=rough_size(item),
        )

    def results_in(self, context: Any, items: Sequence[Any]) -> None:
        """Results that no hook told of (handoffs, rejected calls, shells ...) stand in the model's next input."""
        if self.from_elsewhere:
            self.calls.asked_elsewhere(context, items)
            self._record_from_elsewhere()
        for call, item, fate in self.calls.results(context, items, _handoff_names(self.agent)):
            self._answer(call, item, fate)

    def results_of(self, context: Any, made: Iterable[Any]) -> None:
        """The same where no model is asked any more: `made` is what the run has made, as the SDK's own objects."""
        self.results_in(context, [one.raw_item for one in made])

    def handed_off(self, source: Agent[Any], target: Agent[Any]) -> None:
        """The conversation goes to another agent. No tool ends then, so the call is answered here."""
        self.expected = target
        names = _handoff_names(source)
        to_target = {name for name, agent in names.items() if agent == target.name}
        self._handed_off = True
        for number, (call, fate) in enumerate(self.calls.handed_off(to_target, names)):
            output = _OTHER_HANDOFF if number else json.dumps({"assistant": target.name})
            item = {"type": "function_call_output", "call_id": call.id, "output": output}
            self._answer(call, item, fate, error=False)

    def gave(self, context: Any, agent: Agent[Any], output: object) -> None:
        """The final output is there."""
        self.finished = True
        self.calls.decisions(context)
        if self.handled is None and self._refused:
            self.handled = "ModelRefusalError: the model refused; an error handler gave the final output"
        elif self.handled is None and self._unfit:
            self.handled = "ModelBehaviorError: the output does not fit; an error handler gave the final output"
        elif self.handled is None and self._asks and agent.tool_use_behavior == "run_llm_again":
            self.handled = "MaxTurnsExceeded: an error handler gave the final output"  # the model would have gone on
        if self.handled is not None and self.run is not None:
            text = output if isinstance(output, str) else TypeAdapter(Any).dump_json(output, fallback=str).decode()
            self._added.append(said(str(output) if agent.output_type is None else text))
            message = Message(
                id=stable_id(self.id, "handler"),
                role="assistant",
                parts=(Part(type="text", text=text),),
                format="acontext",
                meta={"source": "error_handler"},
            )
            self._record(make=lambda: [message], size=len(text) + 256)

    # -- skills
    async def recall(self, agent: Agent[Any], items: Sequence[Any]) -> None:
        """Ask for the skills, once: what the run has been given stays the same. `items` are what the model is shown."""
        if self.run is not None:
            known, names = self._named(items)
            shown = shown_turns(known, names, held=self.held)
            await self.run.arecall(self.query, tools=_tool_names(agent), shown=shown)

    @property
    def head(self) -> str:
        """What stands behind the agent's instructions."""
        return place_blocks((), self.run.blocks)[0] if self.run is not None else ""

    def place(self, items: list[Any]) -> None:
        """Put what stands behind turns of the user into these items, each in a copy of its own."""
        if self.run is None or not self.run.blocks:
            return
        for at, text in place_blocks(self._named(items)[1], self.run.blocks)[1].items():
            items[at] = with_text(items[at], text)

    def _named(self, items: Sequence[Any]) -> tuple[list[Item], list[str]]:
        known = [as_item(one) for one in items]
        return known, turn_names(known, salt=self.run.id if self.held and self.run is not None else "")

    # -- ending
    def end(self, error: BaseException | None = None, *, reason: str | None = None, interrupted: bool = False) -> None:
        """How it ended, from what was seen and, where they are known, the exception or a reason."""
        run = self.run
        if run is None or run.ended is not None:
            return
        if _is_blocked(error, reason):
            self._held = []
            self.blocked = not run.has_content
            if self.blocked:
                run.forget()
                return
        self._release()
        self.say()
        data = getattr(error, "run_data", None)
        if data is not None:
            self.results_of(data.context_wrapper, data.new_items)
        fates = self.calls.left(self.context() if self.context is not None else None, error)
        self._tell(*fates)
        self._release()
        if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit):
            run.end("cancelled")
        elif error is not None:
            run.end("failed", reason_of(error))
        elif self.handled or reason:
            run.end("failed", self.handled or reason or "")
        elif self.finished:
            run.end("success")
        elif interrupted or self.calls.open:
            run.end("interrupted", self.calls.waiting)
        else:
            run.end("cancelled")

    def remember(self, conversations: Conversations) -> None:
        """Leave what a history that is sent again is known by."""
        if self.run is None or self.parent is not None or self._sent is None:
            return
        if self.blocked:
            conversations.withdrawn(self._scope, self._sent)
        else:
            conversations.answered(self._scope, self._sent, self._added, behind=self._given)


def trace_id() -> str:
    trace = get_current_trace()
    return trace.trace_id if trace is not None and trace.trace_id != "no-op" else ""


def _is_blocked(error: BaseException | None, reason: str | None) -> bool:
    """Whether a guardrail has blocked what was said, by the exception or by what the SDK notes of it."""
    if error is not None:
        return isinstance(error, InputGuardrailTripwireTriggered | OutputGuardrailTripwireTriggered)
    return "tripwire" in (reason or "")


def _group_id() -> str | None:
    group = _trace_fields().get("group_id")
    return group if isinstance(group, str) and group else None


def _trace_user() -> str | None:
    return user_in(_trace_fields().get("metadata"))


def _trace_fields() -> Json:
    trace = get_current_trace()
    return (trace.export() if trace is not None else None) or {}


def _handoff_names(agent: Agent[Any]) -> dict[str, str]:
    """The agents that `agent` hands off to, by the names of the tools that do it."""
    return {
        target.tool_name if isinstance(target, Handoff) else Handoff.default_tool_name(target): (
            target.agent_name if isinstance(target, Handoff) else target.name
        )
        for target in agent.handoffs
    }


def _tool_names(agent: Agent[Any]) -> list[str] | None:
    """What the run can call: the tools of the agent and of those it hands off to. None = nobody knows (MCP)."""
    names: set[str] = set()
    seen: set[int] = set()
    rest: list[Any] = [agent]
    while rest:
        one = rest.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if one.mcp_servers:
            return None
        names.update(tool.name for tool in one.tools)
        names.update(_handoff_names(one))
        rest.extend(target for target in one.handoffs if not isinstance(target, Handoff))
    return sorted(names)
