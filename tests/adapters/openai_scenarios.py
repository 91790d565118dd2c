"""Everything a run of the OpenAI Agents SDK can come to, each as a host that is driven once bare and once wrapped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from agents import (
    Agent,
    AgentHooks,
    GuardrailFunctionOutput,
    ModelRetrySettings,
    ModelSettings,
    RunConfig,
    RunHooks,
    SQLiteSession,
    function_tool,
    handoff,
    input_guardrail,
    output_guardrail,
)
from openai.types.responses import ResponseOutputMessage, ResponseOutputRefusal, ResponseReasoningItem
from openai.types.responses.response_reasoning_item import Summary

from acontext_adapters.openai_agents.scripted import ScriptedModel, assistant_message, function_call

SKILLS = '<acontext-skills id="5c1115">\nUse when: weather\n1. weather: ask for the city\n</acontext-skills>'


# -- the host's tools
@function_tool
def weather(city: str) -> str:
    """The weather."""
    return f"21C in {city}"


@function_tool
def count(city: str) -> dict[str, int]:
    """A structured result."""
    return {"people": len(city)}


@function_tool
def broken(city: str) -> str:
    """Fails; the SDK tells the model."""
    raise ValueError("no such city")


@function_tool(failure_error_function=None)
def fatal(city: str) -> str:
    """Fails, and the run with it."""
    raise ValueError("fatal tool")


@function_tool(needs_approval=True)
def risky(city: str) -> str:
    """Needs a human."""
    return f"done {city}"


@function_tool
async def slow(city: str) -> str:
    """Never comes back by itself."""
    await asyncio.sleep(60)
    return "late"


TOOLS = [weather, count, broken, fatal, risky, slow]


@input_guardrail
async def stop_input(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info="no", tripwire_triggered=True)


@input_guardrail(run_in_parallel=False)
async def stop_input_first(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info="no", tripwire_triggered=True)


@output_guardrail
async def stop_output(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info="no", tripwire_triggered=True)


def calls(*steps: Any) -> ScriptedModel:
    """A model that takes these steps: ("tool", "call id") pairs, words, exceptions or items."""
    script: list[Any] = []
    for step in steps:
        if isinstance(step, str):
            script.append([assistant_message(step)])
        elif isinstance(step, tuple):
            script.append([function_call(step[0], {"city": "Oslo"}, call_id=step[1])])
        else:
            script.append(step)
    return ScriptedModel(script)


def call(name: str, call_id: str, **arguments: str) -> Any:
    return function_call(name, arguments or {"city": "Oslo"}, call_id=call_id)


def refusal() -> Any:
    return ResponseOutputMessage(
        id="m",
        type="message",
        role="assistant",
        status="completed",
        content=[ResponseOutputRefusal(type="refusal", refusal="I will not")],
    )


def thought(text: str) -> Any:
    return ResponseReasoningItem(id="r1", type="reasoning", summary=[Summary(type="summary_text", text=text)])


# -- what the host sees
@dataclass
class Seen:
    """All that a host can see of a run, as plain values."""

    events: list[Any] = field(default_factory=list)

    def add(self, *event: Any) -> None:
        self.events.append(_plain(event))


def _plain(value: Any) -> Any:
    if value == SKILLS:
        return None
    if isinstance(value, str):
        return re.sub(r"0x[0-9a-f]+", "0x", value.replace("\n\n" + SKILLS, "").replace(SKILLS, ""))
    if isinstance(value, int | float | bool | None):
        return value
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump())
    return type(value).__name__


class SpyHooks(RunHooks[Any]):
    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        self.seen.add("run.agent_start", agent.name, context.turn_input)

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        self.seen.add("run.agent_end", agent.name, output)

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        self.seen.add("run.handoff", from_agent.name, to_agent.name)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.seen.add("run.tool_start", agent.name, tool.name, context.tool_call_id)

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self.seen.add("run.tool_end", agent.name, tool.name, context.tool_call_id, result)

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        self.seen.add("run.llm_start", agent.name, system_prompt, input_items)

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self.seen.add("run.llm_end", agent.name, response.output)


class SpyAgentHooks(AgentHooks[Any]):
    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    async def on_start(self, context: Any, agent: Any) -> None:
        self.seen.add("agent.start", agent.name)

    async def on_end(self, context: Any, agent: Any, output: Any) -> None:
        self.seen.add("agent.end", agent.name, output)

    async def on_handoff(self, context: Any, agent: Any, source: Any) -> None:
        self.seen.add("agent.handoff", source.name, agent.name)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        self.seen.add("agent.tool_start", tool.name)

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self.seen.add("agent.tool_end", tool.name, result)


class Host:
    """Drives one scenario with a runner and a way to wrap agents, and notes what it sees."""

    def __init__(self, runner: Any, wrap: Callable[[Agent[Any]], Agent[Any]], *, untraced: bool = False) -> None:
        self.runner = runner
        self.wrap = wrap
        self.seen = Seen()
        self.models: list[ScriptedModel] = []
        self._config = {"tracing_disabled": True} if untraced else {}

    def agent(self, model: ScriptedModel, name: str = "A", **changes: Any) -> Agent[Any]:
        self.models.append(model)
        given: dict[str, Any] = {"instructions": "Base.", "tools": TOOLS, "hooks": SpyAgentHooks(self.seen), **changes}
        return Agent(name=name, model=model, **given)

    def options(self, given: dict[str, Any]) -> dict[str, Any]:
        options = {"hooks": SpyHooks(self.seen), **given}
        if self._config:
            options["run_config"] = RunConfig(**{**self._config, **options.pop("config", {})})
        elif "config" in options:
            options["run_config"] = RunConfig(**options.pop("config"))
        return options

    async def run(self, agent: Agent[Any], given: Any = "weather in Oslo?", **options: Any) -> Any:
        try:
            result = await self.runner.run(agent, given, **self.options(options))
        except BaseException as error:
            self.seen.add("raised", type(error).__name__, str(error))
            return None
        self.result(result)
        return result

    async def stream(self, agent: Agent[Any], given: Any = "weather in Oslo?", **options: Any) -> Any:
        stop = options.pop("stop", None)
        result = self.runner.run_streamed(agent, given, **self.options(options))
        events = []
        try:
            async for event in result.stream_events():
                name = getattr(event, "name", None) or getattr(getattr(event, "data", None), "type", None)
                events.append([event.type, name])
                if stop is not None and stop(result, event):
                    break
        except BaseException as error:
            self.seen.add("raised", type(error).__name__, str(error))
        if result.run_loop_task is not None:
            await asyncio.wait([result.run_loop_task])
            await asyncio.sleep(0)
        self.seen.add("stream", events)
        self.result(result)
        return result

    def result(self, result: Any) -> None:
        self.seen.add(
            "final", result.final_output, result.last_agent.name, [type(i).__name__ for i in result.new_items]
        )
        self.seen.add("input_list", result.to_input_list(), len(result.interruptions), len(result.raw_responses))
        usage = result.context_wrapper.usage
        self.seen.add("usage", usage.requests, usage.input_tokens, usage.output_tokens)

    def models_saw(self) -> list[Any]:
        return [
            _plain([made.system_instructions, made.input, [tool.name for tool in made.tools or []]])
            for model in self.models
            for made in model.calls
        ]


@dataclass(frozen=True)
class Scenario:
    name: str
    drive: Callable[[Host], Awaitable[Any]]
    #: The lines of the main session, in order.
    lines: tuple[str, ...]
    outcome: tuple[str, str] | None
    #: Further sessions, by the label of their agent.
    others: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: What parallel tools record may come in any order.
    unordered: bool = False

    def __str__(self) -> str:
        return self.name


ASK = "user: weather in Oslo?"
CALL = 'call: weather {"city":"Oslo"}'
SCENARIOS: list[Scenario] = []


def scenario(
    lines: list[str], outcome: tuple[str, str] | None, *, others: Any = None, unordered: bool = False
) -> Callable[[Callable[[Host], Awaitable[Any]]], Callable[[Host], Awaitable[Any]]]:
    def add(drive: Callable[[Host], Awaitable[Any]]) -> Callable[[Host], Awaitable[Any]]:
        name = drive.__name__
        SCENARIOS.append(Scenario(name, drive, tuple(lines), outcome, others or {}, unordered))
        return drive

    return add


SUCCESS = ("success", "")


@scenario([ASK, CALL, "result: 21C in Oslo", "assistant: ok"], SUCCESS)
async def success(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls(("weather", "c1"), "ok"))))


@scenario([ASK, CALL, "result: 21C in Oslo", "assistant: ok"], SUCCESS)
async def success_streamed(host: Host) -> None:
    await host.stream(host.wrap(host.agent(calls(("weather", "c1"), "ok"))))


@scenario([ASK, 'call: count {"city":"Oslo"}', "result: {'people': 4}", "assistant: ok"], SUCCESS)
async def structured_result(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls(("count", "c1"), "ok"))))


@scenario(
    [ASK, CALL, 'call: broken {"city":"Rome"}', "error: An error occurred", "result: 21C in Oslo", "assistant: ok"],
    SUCCESS,
    unordered=True,
)
async def parallel_tools(host: Host) -> None:
    model = calls([call("weather", "c1"), call("broken", "c2", city="Rome")], "ok")
    await host.run(host.wrap(host.agent(model)))


@scenario([ASK, "thinking: hm", CALL, "result: 21C in Oslo", "assistant: ok"], SUCCESS)
async def reasoning(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls([thought("hm"), call("weather", "c1")], "ok"))))


@scenario([ASK], ("failed", "RuntimeError: 503"))
async def model_raises(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls(RuntimeError("503")))))


@scenario([ASK, CALL, "result: 21C in Oslo"], ("failed", "RuntimeError: 503"))
async def model_raises_streamed(host: Host) -> None:
    await host.stream(host.wrap(host.agent(calls(("weather", "c1"), RuntimeError("503")))))


@scenario([ASK, 'call: broken {"city":"Oslo"}', "error: An error occurred", "assistant: sorry"], SUCCESS)
async def tool_raises(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls(("broken", "c1"), "sorry"))))


@scenario([ASK, 'call: fatal {"city":"Oslo"}'], ("failed", "UserError: Error running tool fatal: fatal tool"))
async def tool_raises_fatally(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls(("fatal", "c1"), "never"))))


@scenario([ASK, CALL, "result: 21C in Oslo"], ("failed", "MaxTurnsExceeded: Max turns (1) exceeded"))
async def max_turns(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls(("weather", "c1"), "never"))), max_turns=1)


@scenario([ASK, CALL, "result: 21C in Oslo"], ("failed", "MaxTurnsExceeded: Max turns (1) exceeded"))
async def max_turns_streamed(host: Host) -> None:
    await host.stream(host.wrap(host.agent(calls(("weather", "c1"), "never"))), max_turns=1)


HANDLED = "MaxTurnsExceeded: Max turns (1) exceeded; an error handler gave the final output"


@scenario([ASK, CALL, "result: 21C in Oslo", "assistant: gave up"], ("failed", HANDLED))
async def max_turns_handled(host: Host) -> None:
    handlers = {"max_turns": lambda given: {"final_output": "gave up"}}
    agent = host.wrap(host.agent(calls(("weather", "c1"), "never")))
    await host.run(agent, max_turns=1, error_handlers=handlers)


@scenario([ASK, CALL, "result: 21C in Oslo", "assistant: gave up"], ("failed", HANDLED))
async def max_turns_handled_streamed(host: Host) -> None:
    async def give_up(given: Any) -> dict[str, str]:
        return {"final_output": "gave up"}

    agent = host.wrap(host.agent(calls(("weather", "c1"), "never")))
    await host.stream(agent, max_turns=1, error_handlers={"max_turns": give_up})


INPUT = "InputGuardrailTripwireTriggered: Guardrail InputGuardrail triggered tripwire"
OUTPUT = "OutputGuardrailTripwireTriggered: Guardrail OutputGuardrail triggered tripwire"


@scenario([ASK], ("failed", INPUT))
async def input_guardrail_trips(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls("ok"), input_guardrails=[stop_input])))


@scenario([], None)
async def blocking_input_guardrail_trips(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls("ok"), input_guardrails=[stop_input_first])))


@scenario([], None)
async def blocking_input_guardrail_trips_streamed(host: Host) -> None:
    await host.stream(host.wrap(host.agent(calls("ok"), input_guardrails=[stop_input_first])))


@scenario([ASK, "assistant: bad words"], ("failed", OUTPUT))
async def output_guardrail_trips(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls("bad words"), output_guardrails=[stop_output])))


@scenario([ASK, "assistant: bad words"], ("failed", OUTPUT))
async def output_guardrail_trips_streamed(host: Host) -> None:
    await host.stream(host.wrap(host.agent(calls("bad words"), output_guardrails=[stop_output])))


@scenario([ASK, 'call: risky {"city":"Oslo"}'], ("interrupted", "risky"))
async def approval_awaited(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls(("risky", "approval-1"), "ok"))))


@scenario([ASK, 'call: risky {"city":"Oslo"}'], ("interrupted", "risky"))
async def approval_awaited_streamed(host: Host) -> None:
    await host.stream(host.wrap(host.agent(calls(("risky", "approval-2"), "ok"))))


@scenario([ASK, 'call: risky {"city":"Oslo"}', "result: done Oslo", "assistant: ok"], SUCCESS)
async def approved(host: Host) -> None:
    result = await host.run(host.wrap(host.agent(calls(("risky", "approval-3"), "ok"))))
    state = result.to_state()
    state.approve(result.interruptions[0])
    await host.run(result.last_agent, state)


@scenario([ASK, 'call: risky {"city":"Oslo"}', "error: Tool execution was not approved.", "assistant: ok"], SUCCESS)
async def rejected(host: Host) -> None:
    result = await host.run(host.wrap(host.agent(calls(("risky", "approval-4"), "ok"))))
    state = result.to_state()
    state.reject(result.interruptions[0])
    await host.run(result.last_agent, state)


@scenario([ASK, 'call: risky {"city":"Oslo"}', "result: done Oslo", "assistant: ok"], SUCCESS)
async def approved_streamed(host: Host) -> None:
    result = await host.stream(host.wrap(host.agent(calls(("risky", "approval-5"), "ok"))))
    state = result.to_state()
    state.approve(result.interruptions[0])
    await host.stream(result.last_agent, state)


@scenario(
    [ASK, CALL, 'call: risky {"city":"Oslo"}', "result: 21C in Oslo", "result: done Oslo", "assistant: ok"],
    SUCCESS,
)
async def approved_beside_another(host: Host) -> None:
    model = calls([call("weather", "beside-1"), call("risky", "beside-2")], "ok")
    result = await host.run(host.wrap(host.agent(model)))
    state = result.to_state()
    state.approve(result.interruptions[0])
    await host.run(result.last_agent, state)


@scenario([ASK, 'call: slow {"city":"Oslo"}'], ("cancelled", ""))
async def task_cancelled(host: Host) -> None:
    started = asyncio.Event()

    @function_tool(name_override="slow")
    async def waits(city: str) -> str:
        started.set()
        await asyncio.sleep(60)
        return "late"

    agent = host.wrap(host.agent(calls(("slow", "c1"), "never"), tools=[waits]))
    task = asyncio.create_task(host.run(agent))
    await started.wait()
    task.cancel()
    await task


@scenario([ASK, 'call: slow {"city":"Oslo"}'], ("cancelled", ""))
async def stream_cancelled(host: Host) -> None:
    def stop(result: Any, event: Any) -> bool:
        if event.type == "run_item_stream_event":
            result.cancel()
        return False

    await host.stream(host.wrap(host.agent(calls(("slow", "c1"), "never"))), stop=stop)


@scenario([ASK, CALL, "result: 21C in Oslo"], ("cancelled", ""))
async def stream_cancelled_after_the_turn(host: Host) -> None:
    def stop(result: Any, event: Any) -> bool:
        if event.type == "run_item_stream_event":
            result.cancel(mode="after_turn")
        return False

    await host.stream(host.wrap(host.agent(calls(("weather", "c1"), "never"))), stop=stop)


@scenario([ASK, CALL, "result: 21C in Oslo", "assistant: ok"], SUCCESS)
async def stream_abandoned(host: Host) -> None:
    await host.stream(host.wrap(host.agent(calls(("weather", "c1"), "ok"))), stop=lambda result, event: True)


class UnreachableError(Exception):
    pass


@scenario([ASK, CALL, "result: 21C in Oslo", "assistant: ok"], SUCCESS)
async def model_retried(host: Host) -> None:
    retry = ModelRetrySettings(max_retries=2, policy=lambda context: True, backoff={"initial_delay": 0.001})
    model = calls(UnreachableError("x"), ("weather", "c1"), UnreachableError("y"), "ok")
    await host.run(host.wrap(host.agent(model, model_settings=ModelSettings(retry=retry))))


TRANSFER = "call: transfer_to_b {}"


@scenario([ASK, TRANSFER, 'result: {"assistant": "B"}', CALL, "result: 21C in Oslo", "assistant: from B"], SUCCESS)
async def handed_off(host: Host) -> None:
    b = host.agent(calls(("weather", "c2"), "from B"), "B")
    a = host.agent(calls([function_call("transfer_to_b", {}, call_id="h1")]), handoffs=[b])
    await host.run(host.wrap(a))


@scenario([ASK, TRANSFER, 'result: {"assistant": "B"}', CALL, "result: 21C in Oslo", "assistant: from B"], SUCCESS)
async def handed_off_by_object_streamed(host: Host) -> None:
    b = host.agent(calls(("weather", "c2"), "from B"), "B")
    a = host.agent(calls([function_call("transfer_to_b", {}, call_id="h1")]), handoffs=[handoff(b)])
    await host.stream(host.wrap(a))


@scenario([ASK, TRANSFER, 'result: {"assistant": "B"}', "assistant: from B"], SUCCESS)
async def handed_off_without_its_history(host: Host) -> None:
    def forget(data: Any) -> Any:
        return data.clone(pre_handoff_items=(), new_items=())

    b = host.agent(calls("from B"), "B")
    a = host.agent(
        calls([function_call("transfer_to_b", {}, call_id="h1")]), handoffs=[handoff(b, input_filter=forget)]
    )
    await host.run(host.wrap(a))


@scenario(
    [
        ASK,
        TRANSFER,
        'result: {"assistant": "B"}',
        "call: transfer_to_a {}",
        'result: {"assistant": "A"}',
        "assistant: back at A",
    ],
    SUCCESS,
)
async def handed_off_and_back(host: Host) -> None:
    a = host.agent(calls([function_call("transfer_to_b", {}, call_id="h1")], "back at A"))
    b = host.agent(calls([function_call("transfer_to_a", {}, call_id="h2")]), "B", handoffs=[a])
    a.handoffs.append(b)
    await host.run(host.wrap(a))


@scenario([ASK, TRANSFER, 'result: {"assistant": "B"}'], ("failed", "MaxTurnsExceeded: Max turns (1) exceeded"))
async def handed_off_past_the_last_turn(host: Host) -> None:
    b = host.agent(calls("never"), "B")
    a = host.agent(calls([function_call("transfer_to_b", {}, call_id="h1")]), handoffs=[b])
    await host.run(host.wrap(a), max_turns=1)


ASK_SUB = 'call: ask_sub {"input":"how warm?"}'


def _with_sub(host: Host, sub: Agent[Any], *rest: Any) -> Agent[Any]:
    model = calls([function_call("ask_sub", {"input": "how warm?"}, call_id="t1")], *rest)
    return host.agent(model, tools=[sub.as_tool("ask_sub", "asks")])


@scenario([ASK, ASK_SUB, "result: warm", "assistant: fin"], SUCCESS)
async def bare_sub_agent(host: Host) -> None:
    sub = host.agent(calls(("weather", "s1"), "warm"), "SUB")
    await host.run(host.wrap(_with_sub(host, sub, "fin")))


SUB = ("user: how warm?", CALL, "result: 21C in Oslo", "assistant: warm")


@scenario([ASK, ASK_SUB, "result: warm", "assistant: fin"], SUCCESS, others={"SUB": SUB})
async def wrapped_sub_agent(host: Host) -> None:
    sub = host.wrap(host.agent(calls(("weather", "s1"), "warm"), "SUB"))
    await host.run(host.wrap(_with_sub(host, sub, "fin")))


@scenario([ASK, ASK_SUB, "error: An error occurred", "assistant: fin"], SUCCESS, others={"SUB": ("user: how warm?",)})
async def wrapped_sub_agent_fails(host: Host) -> None:
    sub = host.wrap(host.agent(calls(RuntimeError("503")), "SUB"))
    await host.run(host.wrap(_with_sub(host, sub, "fin")))


@scenario([ASK, CALL, "result: 21C in Oslo"], SUCCESS)
async def stops_on_the_first_tool(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls(("weather", "c1")), tool_use_behavior="stop_on_first_tool")))


@scenario(
    [ASK, CALL, "result: 21C in Oslo", "assistant: ok", "user: and tomorrow?", "assistant: the same"],
    SUCCESS,
)
async def history_sent_again(host: Host) -> None:
    agent = host.wrap(host.agent(calls(("weather", "again-1"), "ok", "the same")))
    result = await host.run(agent)
    await host.run(agent, [*result.to_input_list(), {"role": "user", "content": "and tomorrow?"}])


@scenario(
    [ASK, CALL, "result: 21C in Oslo", "assistant: ok", "user: and tomorrow?", "assistant: the same as in Oslo"],
    SUCCESS,
)
async def sdk_session(host: Host) -> None:
    session = SQLiteSession("thread-1")
    agent = host.wrap(host.agent(calls(("weather", "session-1"), "ok", "the same as in Oslo")))
    await host.run(agent, session=session)
    await host.run(agent, "and tomorrow?", session=session)
    host.seen.add("session", await session.get_items())
    session.close()


@scenario([ASK, "assistant: I will not"], ("failed", "ModelRefusalError: Model refused to produce output: I will not"))
async def model_refuses(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls([refusal()]))))


@scenario([ASK, 'call: unknown {"city":"Oslo"}'], ("failed", "ModelBehaviorError: Tool unknown not found in agent A"))
async def unknown_tool(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls(("unknown", "c1"), "never"))))


@scenario([ASK, "assistant: one"], SUCCESS)
async def instructions_by_function(host: Host) -> None:
    def instructions(context: Any, agent: Any) -> str:
        host.seen.add("instructions", agent.name)
        return "Dynamic."

    await host.run(host.wrap(host.agent(calls("one"), instructions=instructions)))


@scenario([ASK, "assistant: one"], SUCCESS)
async def no_instructions(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls("one"), instructions=None)))


@scenario([ASK], ("failed", "RuntimeError: hook"))
async def own_hook_raises(host: Host) -> None:
    class Raises(AgentHooks[Any]):
        async def on_llm_start(self, *args: Any) -> None:
            raise RuntimeError("hook")

    await host.run(host.wrap(host.agent(calls("never"), hooks=Raises())))
