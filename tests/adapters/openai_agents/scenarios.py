"""Everything a run of the OpenAI Agents SDK can come to, each as a host that is driven once bare and once wrapped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from agents import Agent, AgentHooks, ModelRetrySettings, ModelSettings, SQLiteSession, function_tool, handoff

from .host import (
    Host,
    call,
    calls,
    let_input,
    let_output,
    refusal,
    stop_input,
    stop_input_first,
    stop_output,
    thought,
)
from .scripted import function_call


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


OUTPUT = "OutputGuardrailTripwireTriggered: Guardrail OutputGuardrail triggered tripwire"


@scenario([], None)
async def input_guardrail_trips(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls("ok"), input_guardrails=[stop_input])))


@scenario([ASK, CALL, "result: 21C in Oslo", "assistant: ok"], ("success", ""))
async def guardrails_let_it_pass(host: Host) -> None:
    guards: Any = {"input_guardrails": [let_input], "output_guardrails": [let_output]}
    await host.run(host.wrap(host.agent(calls(("weather", "c1"), "ok"), **guards)))


@scenario([ASK, CALL, "result: 21C in Oslo"], ("failed", OUTPUT))
async def output_guardrail_trips_behind_a_tool(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls(("weather", "c1"), "bad words"), output_guardrails=[stop_output])))


@scenario([], None)
async def blocking_input_guardrail_trips(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls("ok"), input_guardrails=[stop_input_first])))


@scenario([], None)
async def blocking_input_guardrail_trips_streamed(host: Host) -> None:
    await host.stream(host.wrap(host.agent(calls("ok"), input_guardrails=[stop_input_first])))


@scenario([ASK], ("failed", OUTPUT))
async def output_guardrail_trips(host: Host) -> None:
    await host.run(host.wrap(host.agent(calls("bad words"), output_guardrails=[stop_output])))


@scenario([ASK], ("failed", OUTPUT))
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
