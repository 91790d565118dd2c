"""Everything a run of an agent can come to, each as a host that is driven once bare and once wrapped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from agno.agent import Agent
from agno.exceptions import CheckTrigger, InputCheckError, OutputCheckError
from agno.models.message import Message

from .host import City, Host, forecast
from .scripted import call


@dataclass(frozen=True)
class Scenario:
    name: str
    drive: Callable[[Host], Awaitable[Any]]
    #: The lines of the main session, in order.
    lines: tuple[str, ...]
    outcome: tuple[str, str] | None
    #: Further sessions, by the label of their agent.
    others: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: Versions differ in what they keep of an answer that was being given.
    partial: bool = False
    #: The version of agno that can do this first.
    since: tuple[int, int] = (2, 4)

    def __str__(self) -> str:
        return self.name


ASK = "user: weather in Oslo?"
CALL = 'call: weather {"city": "Oslo"}'
RESULT = "result: 21C in Oslo"
SCENARIOS: list[Scenario] = []
SUCCESS = ("success", "")
Drive = Callable[[Host], Awaitable[Any]]


def scenario(
    lines: list[str], outcome: tuple[str, str] | None, *, others: Any = None, partial: bool = False
) -> Callable[[Drive], Drive]:
    def add(drive: Drive) -> Drive:
        SCENARIOS.append(Scenario(drive.__name__, drive, tuple(lines), outcome, others or {}, partial))
        return drive

    return add


# -- runs that work
@scenario([ASK, CALL, RESULT, "assistant: ok"], SUCCESS)
async def success(host: Host) -> None:
    await host.run(host.wrap(host.agent(("weather", "c1"), "ok")))


@scenario([ASK, CALL, RESULT, "assistant: ok"], SUCCESS)
async def success_blocking(host: Host) -> None:
    host.run_sync(host.wrap(host.agent(("weather", "c1"), "ok")))


@scenario([ASK, CALL, RESULT, "assistant: it is warm"], SUCCESS)
async def streamed(host: Host) -> None:
    agent = host.wrap(host.agent(("weather", "c1"), "it is warm"))
    await host.stream(lambda: agent.arun("weather in Oslo?", stream=True))


@scenario([ASK, CALL, RESULT, "assistant: it is warm"], SUCCESS)
async def streamed_with_events(host: Host) -> None:
    agent = host.wrap(host.agent(("weather", "c1"), "it is warm"))
    await host.stream(lambda: agent.arun("weather in Oslo?", stream=True, stream_events=True, yield_run_output=True))


@scenario([ASK, CALL, RESULT, "assistant: it is warm"], SUCCESS)
async def streamed_blocking(host: Host) -> None:
    agent = host.wrap(host.agent(("weather", "c1"), "it is warm"))
    host.stream_sync(lambda: agent.run("weather in Oslo?", stream=True))


@scenario([ASK, CALL, RESULT, "assistant: it is warm"], SUCCESS)
async def streamed_blocking_with_events(host: Host) -> None:
    agent = host.wrap(host.agent(("weather", "c1"), "it is warm"))
    host.stream_sync(lambda: agent.run("weather in Oslo?", stream=True, stream_events=True, yield_run_output=True))


@scenario(
    [
        ASK,
        CALL,
        'call: broken {"city": "Rome"}',
        'call: count {"city": "Rome"}',
        RESULT,
        "error: no such city",
        "result: {'people': 4}",
        "assistant: ok",
    ],
    SUCCESS,
)
async def parallel_tools(host: Host) -> None:
    calls = [call("weather", "c1"), call("broken", "c2", city="Rome"), call("count", "c3", city="Rome")]
    await host.run(host.wrap(host.agent(calls, "ok")))


@scenario([ASK, 'call: forecast {"city": "Oslo"}', "result: 22C in Oslo", "assistant: ok"], SUCCESS)
async def async_tool(host: Host) -> None:
    await host.run(host.wrap(host.agent(("forecast", "c1"), "ok", tools=[forecast])))


@scenario([ASK, 'call: final {"city": "Oslo"}', "result: final Oslo"], SUCCESS)
async def stops_after_a_tool(host: Host) -> None:
    await host.run(host.wrap(host.agent(("final", "c1"))))


@scenario([ASK, 'assistant: {"name": "Oslo", "people": 4}'], SUCCESS)
async def structured_output(host: Host) -> None:
    output = await host.run(host.wrap(host.agent('{"name": "Oslo", "people": 4}', output_schema=City)))
    assert output.content == City(name="Oslo", people=4)


@scenario([ASK, "assistant: one", "user: and tomorrow?", "assistant: two"], SUCCESS)
async def two_turns_without_a_session(host: Host) -> None:
    agent = host.wrap(host.agent("one", "two"))
    await host.run(agent)
    await host.run(agent, "and tomorrow?")


@scenario([ASK, CALL, RESULT, "assistant: one", "user: and tomorrow?", "assistant: two"], SUCCESS)
async def two_turns_with_a_history(host: Host) -> None:
    agent = host.wrap(host.agent(("weather", "c1"), "one", "two", db=host.db, add_history_to_context=True))
    await host.run(agent, session_id="thread-1", user_id="ada")
    await host.run(agent, "and tomorrow?", session_id="thread-1", user_id="ada")
    host.stored(agent, "thread-1")


@scenario([ASK, "assistant: one"], SUCCESS)
async def instructions_by_function(host: Host) -> None:
    def instructions(agent: Agent, run_context: Any) -> str:
        host.add("instructions", agent.name, run_context.user_id)
        return "Dynamic {user_id}."

    await host.run(host.wrap(host.agent("one", instructions=instructions)), user_id="ada")


@scenario([ASK, "assistant: one"], SUCCESS)
async def instructions_in_a_list(host: Host) -> None:
    await host.run(host.wrap(host.agent("one", instructions=["Be kind.", "Be brief."], use_instruction_tags=True)))


@scenario([ASK, "assistant: one"], SUCCESS)
async def system_message(host: Host) -> None:
    await host.run(host.wrap(host.agent("one", system_message="Just {user_id}.")), user_id="ada")


@scenario([ASK, "assistant: one"], SUCCESS)
async def system_message_by_function(host: Host) -> None:
    await host.run(host.wrap(host.agent("one", system_message=lambda agent: f"I am {agent.name}.")))


@scenario([ASK, "assistant: one"], SUCCESS)
async def system_message_as_an_object(host: Host) -> None:
    await host.run(host.wrap(host.agent("one", system_message=Message(role="system", content="Just this."))))


@scenario([ASK, "assistant: one"], SUCCESS)
async def no_system_message(host: Host) -> None:
    await host.run(host.wrap(host.agent("one", build_context=False)))


@scenario([ASK, "assistant: one"], SUCCESS)
async def examples_in_every_prompt(host: Host) -> None:
    examples = [Message(role="user", content="for instance?"), Message(role="assistant", content="like this")]
    await host.run(host.wrap(host.agent("one", additional_input=examples)))


@scenario([ASK, "assistant: one"], SUCCESS)
async def words_that_agno_puts_behind_the_users(host: Host) -> None:
    agent = host.wrap(host.agent("one", dependencies={"shop": "open"}, add_dependencies_to_context=True))
    await host.run(agent)


@scenario(["user: and tomorrow?", "assistant: one"], SUCCESS)
async def history_in_the_input(host: Host) -> None:
    given = [
        Message(role="user", content="weather in Oslo?"),
        Message(role="assistant", content="21C"),
        {"role": "user", "content": "and tomorrow?"},
    ]
    await host.run(host.wrap(host.agent("one", pre_hooks=None)), given)


@scenario(['user: {\n  "name": "Oslo",\n  "people": 4\n}', "assistant: one"], SUCCESS)
async def input_with_a_shape(host: Host) -> None:
    await host.run(host.wrap(host.agent("one", input_schema=City)), City(name="Oslo", people=4))


@scenario([ASK, 'call: ask {"city": "Oslo"}', "result: A says Oslo", "assistant: ok"], SUCCESS)
async def agent_given_to_a_tool(host: Host) -> None:
    def ask(agent: Agent, city: str) -> str:
        """Asks the agent for its name."""
        return f"{agent.name} says {city}"

    await host.run(host.wrap(host.agent(("ask", "c1"), "ok", tools=[ask])))


# -- runs that fail
@scenario([ASK], ("failed", "RuntimeError: 503"))
async def model_raises(host: Host) -> None:
    await host.run(host.wrap(host.agent(RuntimeError("503"))))


@scenario([ASK, CALL, RESULT], ("failed", "RuntimeError: 503"))
async def model_raises_blocking(host: Host) -> None:
    host.run_sync(host.wrap(host.agent(("weather", "c1"), RuntimeError("503"))))


@scenario([ASK, CALL, RESULT], ("failed", "RuntimeError: 503"))
async def model_raises_streamed(host: Host) -> None:
    agent = host.wrap(host.agent(("weather", "c1"), RuntimeError("503")))
    await host.stream(lambda: agent.arun("weather in Oslo?", stream=True, stream_events=True))


@scenario([ASK, CALL, RESULT], ("failed", "RuntimeError: 503"))
async def model_raises_streamed_blocking(host: Host) -> None:
    agent = host.wrap(host.agent(("weather", "c1"), RuntimeError("503")))
    host.stream_sync(lambda: agent.run("weather in Oslo?", stream=True))


@scenario([ASK, CALL, RESULT, "assistant: ok"], SUCCESS)
async def retried_after_a_failure(host: Host) -> None:
    steps = (("weather", "c1"), RuntimeError("503"), "ok")
    await host.run(host.wrap(host.agent(*steps, retries=1, delay_between_retries=0)))


@scenario([ASK, 'call: broken {"city": "Oslo"}', "error: no such city", "assistant: sorry"], SUCCESS)
async def tool_raises(host: Host) -> None:
    await host.run(host.wrap(host.agent(("broken", "c1"), "sorry")))


#: Agno does not mark this one as an error.
UNKNOWN = "error: Error: The requested tool does not exist or is not available."


@scenario([ASK, 'call: unknown {"city": "Oslo"}', UNKNOWN, "assistant: so"], SUCCESS)
async def unknown_tool(host: Host) -> None:
    await host.run(host.wrap(host.agent(("unknown", "c1"), "so")))


def _refuse_input() -> None:
    raise InputCheckError("not that", check_trigger=CheckTrigger.INPUT_NOT_ALLOWED)


def _refuse_output() -> None:
    raise OutputCheckError("not so", check_trigger=CheckTrigger.OUTPUT_NOT_ALLOWED)


@scenario([], None)
async def input_is_refused(host: Host) -> None:
    await host.run(host.wrap(host.agent("never", pre_hooks=[_refuse_input])))


@scenario([], None)
async def input_is_refused_streamed(host: Host) -> None:
    agent = host.wrap(host.agent("never", pre_hooks=[_refuse_input]))
    await host.stream(lambda: agent.arun("weather in Oslo?", stream=True))


@scenario([ASK], ("failed", "a check or a hook has failed after the answer"))
async def output_is_refused(host: Host) -> None:
    await host.run(host.wrap(host.agent("one", post_hooks=[_refuse_output])))


@scenario([ASK], ("failed", "no instructions"))
async def instructions_raise(host: Host) -> None:
    await host.run(host.wrap(host.agent("never", instructions=_no_instructions, pre_hooks=None, post_hooks=None)))


@scenario([], None)
async def instructions_raise_behind_hooks_that_may_have_refused(host: Host) -> None:
    await host.run(host.wrap(host.agent("never", instructions=_no_instructions)))


def _no_instructions() -> str:
    raise RuntimeError("no instructions")


@scenario([], None)
async def called_in_a_way_that_agno_refuses(host: Host) -> None:
    host.run_sync(host.wrap(host.agent("never", input_schema=City)), "no city")


# -- runs that are stopped
@scenario([ASK, 'call: slow {"city": "Oslo"}'], ("cancelled", ""))
async def task_is_cancelled(host: Host) -> None:
    agent = host.wrap(host.agent(("slow", "c1"), "never", tools=[host.slow]))
    running = asyncio.create_task(host.run(agent))
    await host.started.wait()
    running.cancel()
    await asyncio.wait([running])


@scenario([ASK, 'call: stop {"city": "Oslo"}', "result: stopped", "assistant: too late"], ("cancelled", ""))
async def run_is_cancelled(host: Host) -> None:
    def stop(run_context: Any, city: str) -> str:
        """Cancels its own run."""
        Agent.cancel_run(run_context.run_id)
        return "stopped"

    output = await host.run(host.wrap(host.agent(("stop", "c1"), "too late", tools=[stop])), run_id="run-1")
    assert output is not None


@scenario([ASK], ("cancelled", ""), partial=True)
async def stream_is_abandoned(host: Host) -> None:
    agent = host.wrap(host.agent("it is warm"))
    await host.stream(lambda: agent.arun("weather in Oslo?", stream=True), stop="RunContent")


@scenario([ASK], ("cancelled", ""), partial=True)
async def stream_is_abandoned_blocking(host: Host) -> None:
    agent = host.wrap(host.agent("it is warm"))
    host.stream_sync(lambda: agent.run("weather in Oslo?", stream=True), stop="RunContent")


# -- runs that wait for a human
RISKY = 'call: risky {"city": "Oslo"}'
REJECTED = "error: Function call was rejected by the user"


@scenario([ASK, RISKY], ("interrupted", "risky"))
async def waits_for_a_human(host: Host) -> None:
    await host.run(host.wrap(host.agent(("risky", "c1"), "ok")))


@scenario([ASK, RISKY, "result: done Oslo", "assistant: ok"], SUCCESS)
async def confirmed(host: Host) -> None:
    agent = host.wrap(host.agent(("risky", "c1"), "ok"))
    output = await host.run(agent)
    for requirement in output.active_requirements:
        requirement.confirm()
    await host.awaited(lambda: agent.acontinue_run(run_response=output))


@scenario([ASK, RISKY, "result: done Oslo", "assistant: ok"], SUCCESS)
async def confirmed_blocking_by_id(host: Host) -> None:
    agent = host.wrap(host.agent(("risky", "c1"), "ok", db=host.db))
    output = host.run_sync(agent, session_id="thread-1")
    for requirement in output.active_requirements:
        requirement.confirm()
    given = {"run_id": output.run_id, "session_id": "thread-1", "requirements": output.requirements}
    host.called(lambda: agent.continue_run(**given))
    host.stored(agent, "thread-1")


@scenario([ASK, RISKY, "result: done Oslo", "assistant: all is well"], SUCCESS)
async def confirmed_streamed(host: Host) -> None:
    agent = host.wrap(host.agent(("risky", "c1"), "all is well", db=host.db))
    options = {"session_id": "thread-1", "stream": True, "stream_events": True}
    paused = await host.stream(lambda: agent.arun("weather in Oslo?", **options))
    for requirement in paused.requirements:
        requirement.confirm()
    given = {"run_id": paused.run_id, "requirements": paused.requirements}
    await host.stream(lambda: agent.acontinue_run(**given, **options))


@scenario([ASK, RISKY, REJECTED, "assistant: then not"], SUCCESS)
async def rejected(host: Host) -> None:
    agent = host.wrap(host.agent(("risky", "c1"), "then not"))
    output = await host.run(agent)
    for requirement in output.active_requirements:
        requirement.reject()
    await host.awaited(lambda: agent.acontinue_run(run_response=output))


@scenario([ASK, CALL, RISKY, RESULT, "result: done Oslo", "assistant: ok"], SUCCESS)
async def one_of_two_waits(host: Host) -> None:
    agent = host.wrap(host.agent([call("weather", "c1"), call("risky", "c2")], "ok"))
    output = await host.run(agent)
    for requirement in output.active_requirements:
        requirement.confirm()
    await host.awaited(lambda: agent.acontinue_run(run_response=output))


# -- agents inside of agents
SUB = ("user: how warm?", CALL, RESULT, "assistant: warm")


@scenario([ASK, 'call: ask {"city": "Oslo"}', "result: warm", "assistant: fin"], SUCCESS)
async def bare_agent_in_a_tool(host: Host) -> None:
    await host.run(host.wrap(_with_sub(host, host.agent(("weather", "s1"), "warm", name="SUB"))))


@scenario([ASK, 'call: ask {"city": "Oslo"}', "result: warm", "assistant: fin"], SUCCESS, others={"SUB": SUB})
async def wrapped_agent_in_a_tool(host: Host) -> None:
    await host.run(host.wrap(_with_sub(host, host.wrap(host.agent(("weather", "s1"), "warm", name="SUB")))))


def _with_sub(host: Host, sub: Agent) -> Agent:
    async def ask(city: str) -> str:
        """Asks another agent."""
        return str((await sub.arun("how warm?")).content)

    return host.agent(("ask", "c1"), "fin", tools=[ask])
