"""More than 500 runs with fates at random, played by the frameworks: executed calls are found, and no others are."""

from __future__ import annotations

import asyncio
import itertools
import json
from importlib.util import find_spec
from typing import Any, get_args

import pytest

from acontext_adapters.testing.memory_clients import MemoryClient
from acontext_plugins.learning import learning

from .generated import Kind, Plan, PlannedCall, Player, holds, plans
from .harness import Way

KINDS = frozenset(get_args(Kind))
_threads = itertools.count(1)


async def with_langchain(plan: Plan, memory: MemoryClient, way: Way) -> None:
    from langchain.agents import create_agent
    from langchain.agents.middleware import HumanInTheLoopMiddleware, wrap_tool_call
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import StructuredTool, ToolException
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command

    from tests.adapters.langchain.scripted import asks, call, model

    def tool(name: str) -> Any:
        def run(number: int) -> str:
            try:
                return plan.does(name, number)
            except ValueError as error:
                raise ToolException(str(error)) from error

        async def arun(number: int) -> str:
            return run(number)

        return StructuredTool.from_function(
            run, arun, name=name, description=f"{name} a sum.", handle_tool_error=True, handle_validation_error=True
        )

    def answered(request: Any) -> Any:
        number = request.tool_call["args"].get("number", 0)
        if plan.kind_of(number) != "answered":
            return None
        return ToolMessage("nothing was done", tool_call_id=request.tool_call["id"], name=request.tool_call["name"])

    @wrap_tool_call
    async def dry(request: Any, handler: Any) -> Any:
        return answered(request) or await handler(request)

    @wrap_tool_call
    def dry_sync(request: Any, handler: Any) -> Any:
        return answered(request) or handler(request)

    steps: list[Any] = [
        asks(*(call(one.tool, f"c{one.number}", **one.arguments) for one in batch)) for batch in plan.batches
    ]
    agent = learning(
        create_agent(
            model(*steps, ValueError("no model") if plan.ends == "failure" else "done"),
            [tool("pay"), tool("review")],
            middleware=[HumanInTheLoopMiddleware({"review": True}), dry_sync if way == "sync" else dry],
            checkpointer=InMemorySaver(),
        ),
        space="s",
        client=memory,
        strict=True,
    )
    config: Any = {"configurable": {"thread_id": f"generated {next(_threads)}"}}

    async def step(given: Any) -> Any:
        if way == "sync":
            return await asyncio.to_thread(agent.invoke, given, config)
        if way == "async":
            return await agent.ainvoke(given, config)
        async for _ in agent.astream(given, config):
            pass
        return None

    def decision(one: PlannedCall) -> Any:
        if one.kind == "refused":
            return {"type": "reject", "message": "not today"}
        if one.kind == "edited":
            return {"type": "edit", "edited_action": {"name": "review", "args": one.edited}}
        return {"type": "approve"}

    try:
        await step({"messages": [("user", "pay what is due")]})
        for batch in plan.batches:
            waiting = [decision(one) for one in batch if one.needs_a_person]
            if waiting:
                await step(Command(resume={"decisions": waiting}))
    except ValueError as error:
        if str(error) != "no model":
            raise


async def with_openai_agents(plan: Plan, memory: MemoryClient, way: Way) -> None:
    from agents import (
        Agent,
        Runner,
        ToolGuardrailFunctionOutput,
        function_tool,
        tool_input_guardrail,
    )

    from tests.adapters.openai_agents.scripted import ScriptedModel, assistant_message, function_call

    @tool_input_guardrail
    def guard(data: Any) -> ToolGuardrailFunctionOutput:
        if plan_of_arguments(plan, data.context.tool_arguments) == "answered":
            return ToolGuardrailFunctionOutput.reject_content("not allowed")
        return ToolGuardrailFunctionOutput.allow()

    def pay(number: int) -> str:
        """Pay a sum."""
        return plan.does("pay", number)

    def review(number: int) -> str:
        """Pay a sum, when a person agrees."""
        return plan.does("review", number)

    tools = [
        function_tool(pay, tool_input_guardrails=[guard]),
        function_tool(review, needs_approval=True),
    ]
    steps: list[Any] = [
        [function_call(one.tool, one.arguments, call_id=f"c{one.number}") for one in batch] for batch in plan.batches
    ]
    steps.append(ValueError("no model") if plan.ends == "failure" else [assistant_message("done")])
    agent = learning(
        Agent(name="clerk", tools=tools, model=ScriptedModel(steps)), space="s", client=memory, strict=True
    )

    def in_a_thread(given: Any) -> Any:
        loop = asyncio.new_event_loop()  # the SDK would make one, and leave it open
        asyncio.set_event_loop(loop)
        try:
            return Runner.run_sync(agent, given)
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    async def step(given: Any) -> Any:
        if way == "sync":
            return await asyncio.to_thread(in_a_thread, given)
        if way == "async":
            return await Runner.run(agent, given)
        streamed = Runner.run_streamed(agent, given)
        async for _ in streamed.stream_events():
            pass
        return streamed

    known = {f"c{one.number}": one for batch in plan.batches for one in batch}
    given: Any = "pay what is due"
    try:
        while True:
            result = await step(given)
            if not result.interruptions:
                return
            given = result.to_state()
            for one in result.interruptions:
                if known[one.raw_item.call_id].kind == "refused":
                    given.reject(one)
                else:
                    given.approve(one)
    except ValueError as error:
        if str(error) != "no model":
            raise


def plan_of_arguments(plan: Plan, arguments: str) -> Kind:
    return plan.kind_of(json.loads(arguments or "{}").get("number", 0))


async def with_agno(plan: Plan, memory: MemoryClient, way: Way) -> None:
    from agno.agent import Agent
    from agno.db.in_memory import InMemoryDb
    from agno.tools import tool

    from tests.adapters.agno.scripted import call, scripted

    def pay(number: int) -> str:
        """Pay a sum."""
        return plan.does("pay", number)

    def review(number: int) -> str:
        """Pay a sum, when a person agrees."""
        return plan.does("review", number)

    def dry(function_name: str, function_call: Any, arguments: dict[str, Any]) -> Any:
        if plan.kind_of(arguments.get("number", 0)) == "answered":
            return "nothing was done"
        return function_call(**arguments)

    steps: list[Any] = [[call(one.tool, f"c{one.number}", **one.arguments) for one in batch] for batch in plan.batches]
    steps.append(ValueError("no model") if plan.ends == "failure" else "done")
    agent: Any = learning(
        Agent(
            model=scripted(*steps),
            tools=[pay, tool(requires_confirmation=True)(review)],
            tool_hooks=[dry],
            db=InMemoryDb(),
            telemetry=False,
        ),
        space="s",
        client=memory,
        strict=True,
    )
    session = f"generated {next(_threads)}"
    known = {f"c{one.number}": one for batch in plan.batches for one in batch}

    async def begins() -> Any:
        if way == "sync":
            return await asyncio.to_thread(agent.run, "pay what is due", session_id=session)
        return await agent.arun("pay what is due", session_id=session)

    async def goes_on(output: Any) -> Any:
        if way == "sync":
            return await asyncio.to_thread(agent.continue_run, run_response=output, session_id=session)
        return await agent.acontinue_run(run_response=output, session_id=session)

    try:
        output = await begins()
        while output.is_paused:
            for requirement in output.requirements:
                execution = requirement.tool_execution
                kind = known[execution.tool_call_id].kind
                execution.confirmed = kind != "refused"
                if kind == "edited":
                    execution.tool_args = known[execution.tool_call_id].edited
            output = await goes_on(output)
    except ValueError as error:
        if str(error) != "no model":
            raise


PLAYERS: dict[str, tuple[str, Player, frozenset[Any], tuple[Way, ...]]] = {
    "langchain": ("langchain", with_langchain, KINDS, ("sync", "async", "streamed")),
    # an unknown tool ends a run of the SDK, and a person's other arguments are not its own
    "openai-agents": ("agents", with_openai_agents, KINDS - {"unknown", "edited"}, ("sync", "async", "streamed")),
    "agno": ("agno", with_agno, KINDS, ("sync", "async")),
}
#: Of the runs, those that the fast tests play; all of them are 510 for the three frameworks.
IN_BRIEF = 12


@pytest.mark.parametrize(
    "count", [pytest.param(IN_BRIEF, id="in-brief"), pytest.param(170, id="all", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    # the adapters of the others are tested elsewhere, and to import them takes seconds
    "framework",
    [name if name == "openai-agents" else pytest.param(name, marks=pytest.mark.slow) for name in PLAYERS],
)
async def test_calls_that_ran_are_told_and_no_others(framework: str, count: int) -> None:
    module, play, kinds, ways = PLAYERS[framework]
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed here")
    for plan, way in zip(plans(count, kinds), itertools.cycle(ways), strict=False):
        await holds(plan, play, way)
