"""What LangChain's agents do with calls: `create_agent`, its own middleware, and the host's."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import pytest

pytest.importorskip("langchain")

from langchain.agents import create_agent
from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    LLMToolEmulator,
    ToolCallLimitMiddleware,
    ToolRetryMiddleware,
)
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import StructuredTool, ToolException
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from acontext_adapters.langchain import run_tracker
from acontext_plugins.learning import learning
from tests.adapters.langchain.scripted import asks, call, model

from .harness import SPACE, Missing, Row, Stage, Way, cells, check
from .langchain_host import Checks, Hook, Hurry, Selector, a_call, agent, once, raises, run, says, tool, waiting

FRAMEWORK = "LangChain, LangGraph"
THREADS = itertools.count()
RELEASE = tuple(map(int, version("langchain").split(".")[:2]))
ASYNC: tuple[Way, ...] = ("async", "streamed")
#: Where a stream has no code of its own: a graph that is called is a stream that is read to its end.
BOTH: tuple[Way, ...] = ("sync", "async")
#: Older versions leave the calls that were still allowed without any result.
ALL_ARE_LIMITED = "answered by limit" if RELEASE >= (1, 4) else "requested"
TOO_EARLY = f"langchain {version('langchain')}: people cannot answer in a tool's place"


# -- plays
async def raised(stage: Stage) -> None:
    await raises(stage, agent(stage, a_call(100)(stage), tools=[tool(stage, fails=ValueError)]))


async def timeout(stage: Stage) -> None:
    (slow, _), hurry = waiting(stage), Hurry()
    hurry.graph = agent(stage, a_call(100)(stage), tools=[slow], middleware=[hurry])
    with pytest.raises(TimeoutError):
        await run(stage, hurry.graph)


def approval(*tools: str) -> Any:
    return HumanInTheLoopMiddleware(interrupt_on=dict.fromkeys(tools or ["pay"], True))


def reviewed(
    *decisions: Mapping[str, Any],
    first: Callable[[Stage], Any] | None = None,
    elsewhere: bool = False,
    tools: Any = None,
) -> Callable[[Stage], Any]:
    """The run waits for a person, who decides."""

    async def play(stage: Stage) -> None:
        config, saved = {"configurable": {"thread_id": f"review {next(THREADS)}"}}, InMemorySaver()

        def made(*steps: Any) -> Any:
            given = tools(stage) if tools is not None else [tool(stage)]
            return agent(stage, *steps, tools=given, middleware=[approval()], checkpointer=saved)

        target = made((first or a_call(3000))(stage), "done")
        await run(stage, target, config=config)
        if elsewhere:
            run_tracker.unfinished.clear()
            target = made("done")
        if decisions:
            await run(stage, target, Command(resume={"decisions": list(decisions)}), config)

    return play


async def expired(stage: Stage) -> None:
    config = {"configurable": {"thread_id": f"review {next(THREADS)}"}}
    target = agent(stage, a_call(3000)(stage), "as you like", middleware=[approval()], checkpointer=InMemorySaver())
    await run(stage, target, config=config)
    await run(stage, target, "Forget it, thank you.", config)


def answers(status: Any = "success") -> Callable[[Stage], Any]:
    def around(request: Any, handler: Any) -> ToolMessage:
        return ToolMessage("nothing was paid", tool_call_id=request.tool_call["id"], name="pay", status=status)

    return lambda stage: [Hook(around)]


def changes(**arguments: Any) -> Callable[[Stage], Any]:
    def around(request: Any, handler: Any) -> Any:
        return handler(request.override(tool_call={**request.tool_call, "args": arguments}))

    return lambda stage: [Hook(around)]


async def retries(stage: Stage) -> None:
    failures = iter([True])

    def pay(amount: int) -> str:
        with stage.log.running("pay", amount=amount):
            if next(failures, False):
                raise ValueError("the bank is closed")
            return f"done: {amount}"

    async def apay(amount: int) -> str:
        return pay(amount)

    only: Any = {"func": pay} if stage.way == "sync" else {"coroutine": apay}
    again = StructuredTool.from_function(**only, name="pay", description="pay an amount.")
    retry = ToolRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)
    await run(stage, agent(stage, a_call(100)(stage), "done", tools=[again], middleware=[retry]))


def broken_json(stage: Stage) -> AIMessage:
    bad = {
        "name": "pay",
        "args": '{"amount": 3000}}',
        "id": f"c{stage.number}",
        "error": "Extra data",
        "type": "invalid_tool_call",
    }
    return AIMessage(content="", invalid_tool_calls=[bad])


async def sibling_cancelled(stage: Stage) -> None:
    slow, begun = waiting(stage)

    async def arun(amount: int) -> str:
        await begun.wait()
        with stage.log.running("refund", amount=amount):
            raise ValueError("the bank is closed")

    refund = StructuredTool.from_function(coroutine=arun, name="refund", description="Fails.")
    await raises(stage, agent(stage, a_call(1, 2, tools=("pay", "refund"))(stage), tools=[slow, refund]))


async def cancelled(stage: Stage) -> None:
    slow, begun = waiting(stage)
    running = asyncio.create_task(run(stage, agent(stage, a_call(100)(stage), tools=[slow])))
    await asyncio.wait([running, asyncio.ensure_future(begun.wait())], return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def same_id_again(stage: Stage) -> None:
    steps = [asks(call("pay", "c1", amount=amount)) for amount in (100, 200)]
    await run(stage, agent(stage, *steps, "done"))


async def same_id_twice(stage: Stage) -> None:
    await run(stage, agent(stage, asks(*(call("pay", "c1", amount=amount) for amount in (100, 200))), "done"))


async def external(stage: Stage) -> None:
    """A loop of the host's own around a learned chat model: nobody tells us what it does with calls."""
    pay = tool(stage)
    chat = learning(model(a_call(100)(stage), "done"), space=SPACE, client=stage.client, strict=True)
    history: list[Any] = [("user", f"Always pay invoice {stage.number} of the plumber at once.")]
    for _ in range(2):
        answer = chat.invoke(history) if stage.way == "sync" else await chat.ainvoke(history)
        history.append(answer)
        for one in answer.tool_calls:
            history.append(pay.invoke(one) if stage.way == "sync" else await pay.ainvoke(one))


async def sub_agent(stage: Stage) -> None:
    inner = agent(stage, a_call(100)(stage), "paid", name="BANK")
    asked = {"messages": [("user", "pay 100")]}

    def ask(question: str) -> str:
        with stage.log.running("ask", question=question):
            return str(inner.invoke(asked)["messages"][-1].content)

    async def aask(question: str) -> str:
        with stage.log.running("ask", question=question):
            return str((await inner.ainvoke(asked))["messages"][-1].content)

    only: Any = {"func": ask} if stage.way == "sync" else {"coroutine": aask}
    bank = StructuredTool.from_function(**only, name="ask", description="Asks the bank.")
    await run(stage, agent(stage, asks(call("ask", f"a{stage.number}", question="pay 100")), "done", tools=[bank]))


async def handoff(stage: Stage) -> None:
    def transfer(amount: int) -> Command[Any]:
        with stage.log.running("transfer", amount=amount):
            done = ToolMessage("the bank goes on", tool_call_id=f"t{stage.number}", name="transfer")
            asked = asks(call("transfer", f"t{stage.number}", amount=1))
            return Command(goto="bank", graph=Command.PARENT, update={"messages": [asked, done]})

    async def atransfer(amount: int) -> Command[Any]:
        return transfer(amount)

    only: Any = {"func": transfer} if stage.way == "sync" else {"coroutine": atransfer}
    over = StructuredTool.from_function(**only, name="transfer", description="Hands over.")
    desk = create_agent(model(asks(call("transfer", f"t{stage.number}", amount=1))), [over], name="desk")
    bank = create_agent(model(a_call(100)(stage), "done"), [tool(stage)], name="bank")
    builder = StateGraph(MessagesState).add_node("desk", desk).add_node("bank", bank).add_edge(START, "desk")
    await run(stage, learning(builder.compile(), space=SPACE, client=stage.client, strict=True))


class Receipt(BaseModel):
    """What was paid."""

    amount: int


ROWS = [
    Row(
        "executed", once(a_call(100), says("done")), ['pay {"amount": 100}: executed'], ["success"], ["pay amount=100"]
    ),
    Row(
        "failed",
        once(a_call(100), says("no luck"), tools=lambda s: [tool(s, fails=ToolException, handle_tool_error=True)]),
        ['pay {"amount": 100}: failed'],
        ["failed"],
    ),
    Row("raised", raised, ['pay {"amount": 100}: failed'], ["failed"]),
    Row("timeout", timeout, ['pay {"amount": 100}: unfinished'], ["failed"], ways=ASYNC),
    Row(
        "approved",
        reviewed({"type": "approve"}),
        ['pay {"amount": 3000}: executed'],
        ["success"],
        ["pay amount=3000"],
        ways=BOTH,
    ),
    Row("pending", reviewed(), ['pay {"amount": 3000}: requested'], ["running"]),
    Row("expired", expired, ['pay {"amount": 3000}: requested'], ["success"], ways=BOTH),
    Row("rejected", reviewed({"type": "reject"}), ['pay {"amount": 3000}: refused by person'], ["failed"], ways=BOTH),
    Row(
        "rejected-with-words",
        reviewed({"type": "reject", "message": "never more than we have"}),
        ['pay {"amount": 3000}: refused by person'],
        ["failed"],
    ),
    Row(
        "edited",
        reviewed({"type": "edit", "edited_action": {"name": "pay", "args": {"amount": 30}}}),
        ['pay {"amount": 3000}: executed as pay {"amount": 30}, edited by person'],
        ["success"],
        ["pay amount=30"],
        ["pay with amount of your own: a person set amount to 30"],
    ),
    Row(
        "renamed",
        reviewed(
            {"type": "edit", "edited_action": {"name": "refund", "args": {"amount": 30}}},
            tools=lambda stage: [tool(stage), tool(stage, "refund")],
        ),
        ['pay {"amount": 3000}: executed as refund {"amount": 30}, edited by person'],
        ["success"],
        ["refund amount=30"],
        ["pay: a person chose refund instead"],
        ways=BOTH,
    ),
    Row(
        "responded",
        reviewed({"type": "respond", "message": "paid by hand"}),
        ['pay {"amount": 3000}: answered by person'],
        ["success"],
        impossible="" if RELEASE >= (1, 3) else TOO_EARLY,
        ways=BOTH,
    ),
    Row(
        "resumed",
        reviewed({"type": "approve"}, elsewhere=True),
        ['pay {"amount": 3000}: executed as pay {"amount": 3000}'],
        ["success"],
        ["pay amount=3000"],
        ways=BOTH,
    ),
    Row(
        "middleware-answers",
        once(a_call(100), says("done"), middleware=answers()),
        ['pay {"amount": 100}: answered by middleware'],
        ["success"],
    ),
    Row(
        "middleware-answers",
        once(a_call(100), says("done"), middleware=lambda s: [LLMToolEmulator(model=model("paid"))]),
        ['pay {"amount": 100}: answered by middleware'],
        ["success"],
    ),
    Row(
        "middleware-changes",
        once(a_call(3000), says("done"), middleware=changes(amount=30)),
        ['pay {"amount": 3000}: executed as pay {"amount": 30}, edited by middleware'],
        ["success"],
        ["pay amount=30"],
        ways=BOTH,
    ),
    Row(
        "middleware-retries",
        retries,
        ['pay {"amount": 100}: executed'],
        ["success"],
        ["pay amount=100"],
        elsewhere="the tool runs twice for one call, whose fate is the last",
        ways=BOTH,
    ),
    Row(
        "input-guardrail",
        once(a_call(3000), says("sorry"), middleware=answers("error")),
        ['pay {"amount": 3000}: refused by middleware'],
        ["pending"],
        ways=BOTH,
    ),
    Row(
        "output-guardrail",
        once(a_call(100), says("sorry"), middleware=lambda s: [Checks()]),
        ['pay {"amount": 100}: executed'],
        ["failed"],
        ways=BOTH,
    ),
    Row(
        "limit-ends",
        once(a_call(1, 2), middleware=lambda s: [ToolCallLimitMiddleware(run_limit=1, exit_behavior="end")]),
        [f'pay {{"amount": 1}}: {ALL_ARE_LIMITED}', 'pay {"amount": 2}: answered by limit'],
        ["failed"],
        ways=BOTH,
    ),
    Row(
        "limit-continues",
        once(a_call(1, 2), says("done"), middleware=lambda s: [ToolCallLimitMiddleware(run_limit=1)]),
        ['pay {"amount": 1}: executed', 'pay {"amount": 2}: answered by limit'],
        ["pending"],
        ways=BOTH,
    ),
    Row(
        "not-selected",
        once(a_call(100), says("done"), middleware=lambda s: [Selector()]),
        ['pay {"amount": 100}: executed'],
        ["success"],
        ["pay amount=100"],
        ways=BOTH,
    ),
    Row(
        "unknown-tool",
        once(a_call(100, tools=("steal",)), says("sorry")),
        ['steal {"amount": 100}: answered by framework'],
        ["failed"],
        ways=BOTH,
    ),
    Row(
        "invalid-arguments",
        once(lambda s: asks(call("pay", f"c{s.number}", much="yes")), says("sorry")),
        ['pay {"much": "yes"}: answered by framework'],
        ["failed"],
        ways=BOTH,
    ),
    Row("broken-json", once(broken_json), ['pay {"amount": 3000}}: requested'], ["failed"]),
    Row(
        "parallel-ok-error",
        once(
            a_call(1, 2, tools=("pay", "refund")),
            says("so so"),
            tools=lambda s: [tool(s), tool(s, "refund", ToolException, handle_tool_error=True)],
        ),
        ['pay {"amount": 1}: executed', 'refund {"amount": 2}: failed'],
        ["failed"],
    ),
    Row(
        "parallel-error-ok",
        once(
            a_call(2, 1, tools=("refund", "pay")),
            says("so so"),
            tools=lambda s: [tool(s), tool(s, "refund", ToolException, handle_tool_error=True)],
        ),
        ['refund {"amount": 2}: failed', 'pay {"amount": 1}: executed'],
        ["failed"],
        ways=BOTH,
    ),
    Row(
        "parallel-refused",
        reviewed(
            {"type": "reject", "message": "not this one"},
            first=a_call(3000, 100, tools=("pay", "refund")),
            tools=lambda stage: [tool(stage), tool(stage, "refund")],
        ),
        ['pay {"amount": 3000}: refused by person', 'refund {"amount": 100}: executed'],
        ["failed"],
        ways=BOTH,
    ),
    Row(
        "sibling-cancelled",
        sibling_cancelled,
        ['pay {"amount": 1}: unfinished', 'refund {"amount": 2}: failed'],
        ["failed"],
        ways=ASYNC,
    ),
    Row("cancelled", cancelled, ['pay {"amount": 100}: unfinished'], ["pending"], ways=ASYNC),
    Row(
        "same-id-again",
        same_id_again,
        ['pay {"amount": 100}: executed', 'pay {"amount": 200}: executed'],
        ["success"],
        ["pay"],
        ways=BOTH,
    ),
    Row(
        "same-id-twice",
        same_id_twice,
        ['pay {"amount": 100}: executed', 'pay {"amount": 200}: executed'],
        ["success"],
        ["pay"],
    ),
    Row(
        "external",
        external,
        ['pay {"amount": 100}: assumed'],
        ["running"],
        ways=("sync", "async"),
        assumed="the host's own loop calls the tool",
    ),
    Row(
        "sub-agent",
        sub_agent,
        ['ask {"question": "pay 100"}: executed', 'pay {"amount": 100}: executed'],
        ["success"],
        ways=BOTH,
    ),
    Row(
        "handoff",
        handoff,
        ['transfer {"amount": 1}: executed', 'pay {"amount": 100}: executed'],
        ["success"],
        ["pay amount=100", "transfer"],
    ),
    Row(
        "ends-the-run",
        once(a_call(100), tools=lambda s: [tool(s, return_direct=True)]),
        ['pay {"amount": 100}: executed'],
        ["success"],
        ["pay amount=100"],
    ),
    Row(
        "structured-output",
        once(
            lambda s: asks(call("Receipt", f"r{s.number}", amount=100)),
            response_format=lambda s: ToolStrategy(Receipt),
        ),
        ['Receipt {"amount": 100}: answered by framework'],
        ["success"],
        ways=BOTH,
    ),
]
MISSING = [
    Missing("hosted", "what a provider runs stands in the answer's content, and is no call of the agent"),
    Missing("mcp", "tools of langchain-mcp-adapters are tools like others: the rows of tools hold for them"),
    Missing("mcp-failed", "as a tool that raises"),
    Missing("mcp-refused", "as a tool that raises"),
]


@pytest.mark.parametrize(("row", "way"), cells(ROWS))
async def test_what_happened_is_what_is_recorded_and_learned(row: Row, way: Way) -> None:
    await check(row, way)
