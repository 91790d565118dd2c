"""A `Runner` that knows how each run ends, with tracing on or off, and which conversation it belongs to."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import agents
from agents import Agent, ItemHelpers, RunResult, RunResultStreaming, RunState, TResponseInputItem

from ..shared.users import user_in
from .learned import runtime_of
from .run_registry import registry
from .run_tracker import AgentsRunTracker, RunnerCall, current_call

Input = str | list[TResponseInputItem] | RunState[Any]


@functools.cache
def _positional(method: Callable[..., Any]) -> tuple[str, ...]:
    """The names of what `method` takes by position."""
    parameters = inspect.signature(method).parameters.values()
    return tuple(one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD)


def _arguments(method: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments of a call by their names; None where they do not fit, and the SDK says what is wrong."""
    names = _positional(method)
    arguments = dict(zip(names, given, strict=False))
    if len(given) > len(names) or not arguments.keys().isdisjoint(named):
        return None
    arguments.update(named)
    return arguments if "starting_agent" in arguments and "input" in arguments else None


class Runner(agents.Runner):
    """`agents.Runner` with the same arguments and results. An agent that is not wrapped runs as ever.

    Beyond what the wrapped agent records by itself, it says how runs end that tracing would have to say, keeps a
    conversation (`session`, `conversation_id`, `previous_response_id`, `group_id`) in one session, and makes
    `current_run()` the run in all that the run calls.
    """

    if not TYPE_CHECKING:  # the signatures are those of the SDK that is installed

        @classmethod
        @functools.wraps(agents.Runner.run.__func__)
        async def run(cls, *given, **named):
            arguments = _arguments(agents.Runner.run, given, named)
            if arguments is None:
                return await agents.Runner.run(*given, **named)
            with _call(arguments) as call:
                result = await agents.Runner.run(**arguments)
                if call is not None:
                    call.returned(result)
                return result

        @classmethod
        @functools.wraps(agents.Runner.run_sync.__func__)
        def run_sync(cls, *given, **named):
            arguments = _arguments(agents.Runner.run_sync, given, named)
            if arguments is None:
                return agents.Runner.run_sync(*given, **named)
            with _call(arguments) as call:
                result = agents.Runner.run_sync(**arguments)
                if call is not None:
                    call.returned(result)
                return result

        @classmethod
        @functools.wraps(agents.Runner.run_streamed.__func__)
        def run_streamed(cls, *given, **named):
            arguments = _arguments(agents.Runner.run_streamed, given, named)
            if arguments is None:
                return agents.Runner.run_streamed(*given, **named)
            with _call(arguments) as call:
                result = agents.Runner.run_streamed(**arguments)
                if call is not None:
                    call.streams(result)
                return result


class _RunCall(RunnerCall):
    """One call of our `Runner` on a wrapped agent."""

    def __init__(self, agent: Agent[Any], tracker: AgentsRunTracker) -> None:
        super().__init__(agent)
        self.tracker: AgentsRunTracker = tracker
        self.open = True

    def returned(self, result: RunResult) -> None:
        with self.tracker.runtime.guard("run end"):
            self.tracker.finished = not result.interruptions
            self.tracker.results_of(result.context_wrapper, result.new_items)
            self.end(reason=_tripped(result.output_guardrail_results), interrupted=bool(result.interruptions))

    def streams(self, result: RunResultStreaming) -> None:
        task = result.run_loop_task
        if task is None:
            return
        self.open = False
        tracker = self.tracker

        def done(_: object) -> None:
            with tracker.runtime.guard("stream end"):
                if task.cancelled():
                    self.end(asyncio.CancelledError())
                    return
                error = task.exception()
                tracker.results_of(result.context_wrapper, result.new_items)
                guards = [*result.input_guardrail_results, *result.output_guardrail_results]
                reason = _tripped(guards)
                most = result.max_turns
                if reason is None and most is not None and result.current_turn > most and not tracker.finished:
                    reason = f"MaxTurnsExceeded: Max turns ({most}) exceeded"
                self.end(error, reason=reason, interrupted=bool(result.interruptions))

        task.add_done_callback(done)

    def end(
        self,
        error: BaseException | None = None,
        *,
        reason: str | None = None,
        interrupted: bool = False,
    ) -> None:
        self.open = False
        self.tracker.call = None
        with self.tracker.runtime.guard("run end"):
            registry.end(self.tracker, error, reason=reason, interrupted=interrupted)


@contextlib.contextmanager
def _call(options: dict[str, Any]) -> Iterator[_RunCall | None]:
    """What our runner does around the SDK's. `options` are changed where error handlers need it."""
    call: _RunCall | None = None
    runtime = runtime_of(options["starting_agent"])
    input = options["input"]
    if runtime is not None and isinstance(input, str | list | RunState):  # of anything else the SDK says what is wrong
        with runtime.guard("run start"):
            call = _prepare(options["starting_agent"], input, options)
    if call is None:
        yield None
        return
    token = current_call.set(call)
    run = call.tracker.run
    entered = run.enter() if run is not None else None
    try:
        yield call
    except BaseException as error:
        if call.open:
            call.end(error)
        raise
    finally:
        if run is not None and entered is not None:
            run.leave(entered)
        current_call.reset(token)


def _prepare(agent: Agent[Any], input: Input, options: Any) -> _RunCall:
    runtime = runtime_of(agent)
    assert runtime is not None
    tracker: AgentsRunTracker | None = None
    items: list[Any] = []
    if isinstance(input, RunState):
        call_ids = [getattr(item.raw_item, "call_id", None) for item in input.get_interruptions()]
        tracker = registry.interrupted(call_id for call_id in call_ids if call_id)
        if tracker is not None:
            registry.resume(tracker, None)
    else:
        items = list(ItemHelpers.input_to_new_input_list(input))
    if tracker is None:
        tracker = AgentsRunTracker(runtime, agent, items)
        tracker.principal = _user(options)
        tracker.guards_input |= bool(_configured(options, "input_guardrails"))
        tracker.guards_output = bool(_configured(options, "output_guardrails"))
        key, chained = _session_key(options)
        tracker.begin(registry.conversations, session_key=key, new=items if chained else None)
        tracker.said = tracker.from_elsewhere = isinstance(input, RunState)
        tracker.expected = agent
        tracker.held = options.get("session") is None and chained
    call = _RunCall(agent, tracker)
    call.unknown = isinstance(input, RunState) and not tracker.started
    tracker.call = call
    handlers = options.get("error_handlers")
    if handlers:
        options["error_handlers"] = {kind: _noting(handler, tracker) for kind, handler in handlers.items()}
    return call


def _tripped(results: Sequence[Any]) -> str | None:
    """Which guardrail has blocked a run that the SDK ends without an exception."""
    for guard in results:
        if guard.output.tripwire_triggered:
            side = "Output" if hasattr(guard, "agent_output") else "Input"
            kind = type(guard.guardrail).__name__
            return f"{side}GuardrailTripwireTriggered: Guardrail {kind} triggered tripwire"
    return None


def _session_key(options: Any) -> tuple[str | None, bool]:
    """The host's own id of the conversation, and whether `input` is only what is new in it."""
    session, conversation = options.get("session"), options.get("conversation_id")
    if session is not None:
        return str(session.session_id), True
    if conversation is not None:
        return str(conversation), True
    group = _configured(options, "group_id")
    previous = options.get("previous_response_id")
    if previous is not None:
        return group or registry.responses.get(previous) or None, True
    return group, False


def _user(options: Any) -> str | None:
    """The user on whose behalf the run is made, where its context or the metadata of its trace say so."""
    return user_in(options.get("context")) or user_in(_configured(options, "trace_metadata"))


def _configured(options: Any, name: str) -> Any:
    config = options.get("run_config")
    return config.get(name) if isinstance(config, dict) else getattr(config, name, None)


def _noting(handler: Callable[[Any], Any], tracker: AgentsRunTracker) -> Callable[[Any], Any]:
    """The user's error handler; when it gives an output, the run has failed all the same."""

    def note(data: Any, outcome: Any) -> Any:
        if outcome is not None:
            with tracker.runtime.guard("error handler"):
                tracker.handled = f"{type(data.error).__name__}: {data.error}; an error handler gave the final output"
        return outcome

    def handle(data: Any) -> Any:
        outcome = handler(data)
        if inspect.isawaitable(outcome):

            async def wait() -> Any:
                return note(data, await outcome)

            return wait()
        return note(data, outcome)

    return handle
