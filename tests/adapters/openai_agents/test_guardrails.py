"""Guardrails of the SDK: of what they block no word is kept; what they let pass is recorded once."""

from __future__ import annotations

import asyncio
from typing import Any

import agents
import pytest
from agents import Agent, GuardrailFunctionOutput, InputGuardrail, RunConfig, function_tool

from acontext_adapters.openai_agents import Runner
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning

from .host import calls, stop_input, stop_output

WAYS = {"plain runner": agents.Runner, "our runner": Runner}
ways = pytest.mark.parametrize("runner", WAYS.values(), ids=WAYS)


@ways
async def test_of_a_request_that_is_blocked_while_a_tool_runs_no_word_is_kept(runner: Any) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    @function_tool
    async def weather(city: str) -> str:
        began.set()
        await go.wait()
        return f"21C in {city}"

    async def stop(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        await began.wait()
        return GuardrailFunctionOutput(output_info="no", tripwire_triggered=True)

    memory = MemoryClient()
    agent = Agent(
        name="A", model=calls(("weather", "c1"), "ok"), tools=[weather], input_guardrails=[InputGuardrail(stop)]
    )
    with pytest.raises(agents.InputGuardrailTripwireTriggered):
        await runner.run(learning(agent, space="s", client=memory), "my secret wish")
    go.set()
    assert memory.recordings == []


async def test_guardrails_of_a_runs_configuration_are_heeded_too() -> None:
    memory = MemoryClient()
    agent = learning(Agent(name="A", model=calls("bad words", "bad words")), space="s", client=memory)
    with pytest.raises(agents.InputGuardrailTripwireTriggered):
        await Runner.run(agent, "my secret wish", run_config=RunConfig(input_guardrails=[stop_input]))
    assert memory.recordings == []
    with pytest.raises(agents.OutputGuardrailTripwireTriggered):
        await Runner.run(agent, "a wish", run_config=RunConfig(output_guardrails=[stop_output]))
    assert memory.lines == ["user: a wish"]


@ways
async def test_a_conversation_goes_on_where_a_request_in_it_was_blocked(runner: Any) -> None:
    memory, model = MemoryClient(), calls("one", "two", "two")
    blocked = False

    async def stop(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info="", tripwire_triggered=blocked)

    agent = learning(Agent(name="A", model=model, input_guardrails=[InputGuardrail(stop)]), space="s", client=memory)
    history = (await runner.run(agent, "first")).to_input_list()
    blocked = True
    with pytest.raises(agents.InputGuardrailTripwireTriggered):
        await runner.run(agent, [*history, {"role": "user", "content": "my secret wish"}])
    blocked = False
    await runner.run(agent, [*history, {"role": "user", "content": "second"}])
    assert memory.lines == ["user: first", "assistant: one", "user: second", "assistant: two"]


async def test_users_of_one_session_are_told_apart() -> None:
    memory = MemoryClient()
    agent = learning(Agent(name="A", model=calls("hi", "ho", "hey")), space="s", client=memory)
    await Runner.run(agent, "I am Alice", context={"user_id": "alice"}, run_config=RunConfig(group_id="1"))
    await Runner.run(agent, "I am Bob", run_config=RunConfig(group_id="1", trace_metadata={"user_id": "bob"}))
    named = [(one.session.key, one.session.principal) for one in memory.recordings]
    assert list(dict.fromkeys(named)) == [("1", "alice"), ("1", "bob")]
