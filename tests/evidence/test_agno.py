"""What agno makes of calls: agents and teams, their hooks, limits and approvals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

pytest.importorskip("agno")

from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.exceptions import RetryAgentRun, StopAgentRun
from agno.run.agent import RunOutput
from agno.team import Team
from agno.tools import tool
from agno.tools.user_control_flow import UserControlFlowTools

from acontext_adapters.agno import run_tracker
from acontext_adapters.agno.wrap import wrapped_of
from acontext_plugins.learning import learning

from ..adapters.agno.scripted import call, scripted
from .harness import SPACE, Missing, Row, Stage, Way, cells, check

FRAMEWORK = "Agno"
NO_MCP = "" if find_spec("mcp") else "agno 2.4 has no mcp 2"
Answers = Callable[[list[Any]], None]


# -- tools, which write down what they do
def tools(stage: Stage) -> dict[str, Callable[..., Any]]:
    """The tools of the plays, by name."""

    def pay(amount: int) -> str:
        """Pay an invoice."""
        with stage.log.running("pay", amount=amount):
            return f"paid {amount}"

    def find(invoice: str) -> str:
        """Find an invoice."""
        with stage.log.running("find", invoice=invoice):
            return "invoice 7"

    def broken(amount: int) -> str:
        """Always fails."""
        with stage.log.running("broken", amount=amount):
            raise ValueError("the bank is closed")

    def stopping(amount: int) -> str:
        """Ends the run."""
        with stage.log.running("stopping", amount=amount):
            raise StopAgentRun("no more of this")

    return {function.__name__: function for function in (pay, find, broken, stopping)}


def pay_tool(stage: Stage, **options: Any) -> Any:
    """`pay` with options of agno's own."""
    return tool(**options)(tools(stage)["pay"])


# -- runs
def agent(stage: Stage, *steps: Any, use: Any = None, **options: Any) -> Any:
    made = Agent(
        model=scripted(*steps),
        tools=list(tools(stage).values()) if use is None else use,
        db=InMemoryDb(),
        telemetry=False,
        **options,
    )
    return learned(stage, made)


def learned(stage: Stage, target: Any) -> Any:
    return learning(target, space=SPACE, client=stage.client, strict=True)


async def run(stage: Stage, target: Any, answers: Answers | None = None, *, elsewhere: bool = False) -> None:
    """One request, and what a person answers where the run waits for one."""
    ask, session = f"Pay invoice {stage.number}.", f"thread-{stage.number}"
    if answers is None:
        if stage.way == "sync":
            target.run(ask, session_id=session)
        elif stage.way == "async":
            await target.arun(ask, session_id=session)
        else:
            async for _ in target.arun(ask, session_id=session, stream=True):
                pass
        return
    output = target.run(ask, session_id=session) if stage.way == "sync" else await target.arun(ask, session_id=session)
    answers([requirement.tool_execution for requirement in output.requirements])
    if elsewhere:
        wrapped: Any = wrapped_of(target)
        run_tracker.paused_runs.take(output.run_id, wrapped.runtime)
        output = RunOutput.from_dict(output.to_dict())
    if stage.way == "sync":
        target.continue_run(run_response=output, session_id=session)
    elif stage.way == "async":
        await target.acontinue_run(run_response=output, session_id=session)
    else:
        async for _ in target.acontinue_run(run_response=output, session_id=session, stream=True):
            pass


def plays(*steps: Any, answers: Answers | None = None, use: Any = None, **options: Any) -> Any:
    """A play of an agent with these steps; `use` makes its tools, `options` are agno's."""

    async def play(stage: Stage) -> None:
        given = None if use is None else use(stage)
        await run(stage, agent(stage, *steps, use=given, **options), answers)

    return play


def confirms(waiting: list[Any]) -> None:
    for one in waiting:
        one.confirmed = True


def rejects(waiting: list[Any]) -> None:
    for one in waiting:
        one.confirmed = False


def rejects_with_words(waiting: list[Any]) -> None:
    for one in waiting:
        one.confirmed, one.confirmation_note = False, "never more than 100"


def lowers(waiting: list[Any]) -> None:
    for one in waiting:
        one.tool_args, one.confirmed = {"amount": 30}, True


def renames(waiting: list[Any]) -> None:
    for one in waiting:
        one.tool_name, one.tool_args, one.confirmed = "find", {"invoice": "7"}, True


def confirms_the_first(waiting: list[Any]) -> None:
    for number, one in enumerate(waiting):
        one.confirmed = number == 0


def fills_in(waiting: list[Any]) -> None:
    for one in waiting:
        for field in one.user_input_schema:
            field.value = "Ada" if field.name == "to" else field.value


def raw(name: str, call_id: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def pays(amount: int, call_id: str = "c1") -> Any:
    return call("pay", call_id, amount=amount)


FAILS = call("broken", "c1", amount=5)


# -- hooks
def dry_run(function_name: str, function_call: Any, arguments: Any) -> str:
    return "dry run: not paid"


def at_most_30(function_name: str, function_call: Any, arguments: Any) -> Any:
    arguments["amount"] = min(arguments["amount"], 30)
    return function_call(**arguments)


def tries_twice(function_name: str, function_call: Any, arguments: Any) -> Any:
    try:
        return function_call(**arguments)
    except ConnectionError:
        return function_call(**arguments)


def refuses(fc: Any) -> None:
    raise RetryAgentRun("the budget is spent")


def doubts(fc: Any) -> None:
    raise RetryAgentRun("that receipt is a forgery")


def flaky(stage: Stage) -> list[Any]:
    tries = []

    def pay(amount: int) -> str:
        """Works the second time."""
        tries.append(amount)
        if len(tries) == 1:
            raise ConnectionError("no line")
        with stage.log.running("pay", amount=amount):
            return f"paid {amount}"

    return [pay]


def with_confirmation(stage: Stage) -> list[Any]:
    return [pay_tool(stage, requires_confirmation=True), tools(stage)["find"]]


def with_user_input(stage: Stage) -> list[Any]:
    def send(amount: int, to: str) -> str:
        """Send money."""
        with stage.log.running("send", amount=amount, to=to):
            return f"sent {amount} to {to}"

    return [tool(requires_user_input=True, user_input_fields=["to"])(send)]


# -- plays of more than an agent with steps
async def resumed(stage: Stage) -> None:
    await run(stage, agent(stage, [pays(100)], "done", use=with_confirmation(stage)), confirms, elsewhere=True)


async def cached(stage: Stage) -> None:
    with tempfile.TemporaryDirectory() as folder:
        use = [pay_tool(stage, cache_results=True, cache_dir=folder)]
        await run(stage, agent(stage, [pays(5)], [pays(5, "c2")], "done", use=use))


async def external(stage: Stage) -> None:
    def given(waiting: list[Any]) -> None:
        for one in waiting:
            one.result = tools(stage)["pay"](**one.tool_args)

    await run(stage, agent(stage, [pays(100)], "done", use=[pay_tool(stage, external_execution=True)]), given)


async def cancelled(stage: Stage) -> None:
    started = asyncio.Event()

    async def pay(amount: int) -> str:
        """Never comes back by itself."""
        with stage.log.running("pay", amount=amount):
            started.set()
            await asyncio.sleep(60)
            return "late"

    task = asyncio.create_task(run(stage, agent(stage, [pays(100)], "done", use=[pay])))
    await started.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def mcp(stage: Stage) -> None:
    await run(stage, agent(stage, [pays(100)], "done", use=[mcp_tool(stage, fails=False)]))


async def mcp_fails(stage: Stage) -> None:
    await run(stage, agent(stage, [pays(100)], "done", use=[mcp_tool(stage, fails=True)]))


async def mcp_refused(stage: Stage) -> None:
    function = mcp_tool(stage, fails=False)
    function.requires_confirmation = True
    await run(stage, agent(stage, [pays(100)], "done", use=[function]), rejects_with_words)


def mcp_tool(stage: Stage, *, fails: bool) -> Any:
    """The tool of an MCP server, as agno makes it, with a session that answers at once."""
    from agno.tools.function import Function
    from agno.utils.mcp import get_entrypoint_for_tool
    from mcp.types import CallToolResult, TextContent, Tool

    class Session:
        async def call_tool(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
            with stage.log.running(name, **arguments):
                content = [TextContent(type="text", text="no line" if fails else "paid")]
                return CallToolResult(content=content, isError=fails)

        async def send_ping(self) -> None:
            """It is there."""

    schema = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
    described = Tool(name="pay", description="Pay an invoice.", inputSchema=schema)
    entrypoint: Any = get_entrypoint_for_tool(described, Session())  # type: ignore[arg-type]
    return Function(name="pay", parameters=schema, entrypoint=entrypoint, skip_entrypoint_processing=True)


def team(stage: Stage, *member_steps: Any, **options: Any) -> Any:
    """A team with one member, to which its leader gives the task."""
    use = list(tools(stage).values())

    def begins() -> None:
        """The member runs: agno's own tool has done its work."""
        with stage.log.running("delegate_task_to_member", member_id="clerk", task="pay it"):
            pass

    member = Agent(name="Clerk", model=scripted(*member_steps), tools=use, pre_hooks=[begins], telemetry=False)
    delegated = call("delegate_task_to_member", f"d{stage.number}", member_id="clerk", task="pay it")
    steps = [delegated], "done"
    made = Team(name="Desk", model=scripted(*steps), members=[member], telemetry=False, **options)
    return learned(stage, made)


async def member(stage: Stage) -> None:
    await run(stage, team(stage, [pays(100)], "paid"))


async def member_fails(stage: Stage) -> None:
    await run(stage, team(stage, RuntimeError("no line")))


async def member_answers(stage: Stage) -> None:
    await run(stage, team(stage, [pays(100)], "paid", respond_directly=True))


PAID = 'pay {"amount": 100}: executed'
DELEGATED = 'delegate_task_to_member {"member_id": "clerk", "task": "pay it"}'
FIELD = {"field_name": "to", "field_type": "str", "field_description": "who"}
ASKS = f"get_user_input {json.dumps({'user_input_fields': [FIELD]})}"
WHO = call("get_user_input", "c1", user_input_fields=[FIELD])

ROWS = [
    Row("executed", plays([pays(100)], "done"), [PAID], ["success"], ["pay amount=100"]),
    Row("failed", plays([FAILS], "it is closed"), ['broken {"amount": 5}: failed'], ["failed"]),
    Row(
        "raised",
        plays([call("stopping", "c1", amount=5)]),
        ['stopping {"amount": 5}: failed'],
        ["failed"],
        note="StopAgentRun: agno ends the run with it and calls it completed",
    ),
    Row(
        "approved",
        plays([pays(100)], "done", use=with_confirmation, answers=confirms),
        [PAID],
        ["success"],
        ["pay amount=100"],
    ),
    Row("pending", plays([pays(100)], "done", use=with_confirmation), ['pay {"amount": 100}: requested'], ["running"]),
    Row(
        "rejected",
        plays([pays(100)], "so not", use=with_confirmation, answers=rejects),
        ['pay {"amount": 100}: refused by person'],
        ["failed"],
    ),
    Row(
        "rejected-with-words",
        plays([pays(100)], "so not", use=with_confirmation, answers=rejects_with_words),
        ['pay {"amount": 100}: refused by person'],
        ["failed"],
    ),
    Row(
        "edited",
        plays([pays(3000)], "done", use=with_confirmation, answers=lowers),
        ['pay {"amount": 3000}: executed as pay {"amount": 30}, edited by person'],
        ["success"],
        ["pay amount=30"],
        ["pay with amount of your own: a person set amount to 30"],
    ),
    Row(
        "renamed",
        plays([pays(3000)], "done", use=with_confirmation, answers=renames),
        ['pay {"amount": 3000}: executed as find {"invoice": "7"}, edited by person'],
        ["success"],
    ),
    Row(
        "responded",
        plays([WHO], "done", use=lambda stage: [UserControlFlowTools()], answers=fills_in),
        [f"{ASKS}: answered by person"],
        ["success"],
        note="agno's tool that asks a person; the others can only be confirmed or refused",
    ),
    Row("resumed", resumed, [PAID], ["success"], ["pay amount=100"]),
    Row(
        "middleware-answers",
        plays([pays(100)], "done", tool_hooks=[dry_run]),
        ['pay {"amount": 100}: answered by middleware'],
        ["success"],
    ),
    Row(
        "middleware-answers",
        cached,
        ['pay {"amount": 5}: executed', 'pay {"amount": 5}: answered by framework'],
        ["success"],
        ["pay amount=5"],
        note="agno's own cache of results answers the second call",
    ),
    Row(
        "middleware-changes",
        plays([pays(3000)], "done", tool_hooks=[at_most_30]),
        ['pay {"amount": 3000}: executed as pay {"amount": 30}, edited by middleware'],
        ["success"],
        ["pay amount=30"],
    ),
    Row(
        "middleware-retries",
        plays([pays(100)], "done", use=flaky, tool_hooks=[tries_twice]),
        [PAID],
        ["success"],
        ["pay amount=100"],
    ),
    Row(
        "input-guardrail",
        plays([pays(100)], "so not", use=lambda stage: [pay_tool(stage, pre_hook=refuses)]),
        ['pay {"amount": 100}: refused by middleware'],
        ["pending"],
    ),
    Row(
        "output-guardrail",
        plays([pays(100)], "so not", use=lambda stage: [pay_tool(stage, post_hook=doubts)]),
        [PAID],
        ["failed"],
    ),
    Row(
        "limit-continues",
        plays([pays(1), pays(2, "c2"), pays(3, "c3")], "done", tool_call_limit=2),
        ['pay {"amount": 1}: executed', 'pay {"amount": 2}: executed', 'pay {"amount": 3}: answered by limit'],
        ["pending"],
    ),
    Row(
        "unknown-tool",
        plays([call("fly", "c1", amount=5)], "so not"),
        ['fly {"amount": 5}: answered by framework'],
        ["failed"],
    ),
    Row(
        "invalid-arguments",
        plays([call("pay", "c1", amount="much")], "so not"),
        ['pay {"amount": "much"}: answered by framework'],
        ["failed"],
    ),
    Row(
        "broken-json",
        plays([raw("pay", "c1", '{"amount": ')], "so not"),
        ['pay {"amount": : answered by framework'],
        ["failed"],
    ),
    Row(
        "parallel-ok-error",
        plays([pays(100), call("broken", "c2", amount=5)], "half"),
        [PAID, 'broken {"amount": 5}: failed'],
        ["failed"],
    ),
    Row(
        "parallel-error-ok", plays([FAILS, pays(100, "c2")], "half"), ['broken {"amount": 5}: failed', PAID], ["failed"]
    ),
    Row(
        "parallel-refused",
        plays([pays(100), call("find", "c2", invoice="7")], "half", use=with_confirmation, answers=rejects),
        ['pay {"amount": 100}: refused by person', 'find {"invoice": "7"}: executed'],
        ["failed"],
    ),
    Row(
        "parallel-refused",
        plays([pays(100), pays(200, "c2")], "half", use=with_confirmation, answers=confirms_the_first),
        [PAID, 'pay {"amount": 200}: refused by person'],
        ["failed"],
    ),
    Row("cancelled", cancelled, ['pay {"amount": 100}: unfinished'], ["pending"], ways=("async", "streamed")),
    Row("same-id-again", plays([pays(100)], [pays(100)], "done"), [PAID, PAID], ["success"], ["pay"]),
    Row(
        "same-id-twice",
        plays([pays(100), pays(200)], "done"),
        [PAID, 'pay {"amount": 200}: executed'],
        ["success"],
        ["pay"],
    ),
    Row("mcp", mcp, [PAID], ["success"], ["pay amount=100"], ways=("async", "streamed"), impossible=NO_MCP),
    Row(
        "mcp-failed",
        mcp_fails,
        ['pay {"amount": 100}: failed'],
        ["failed"],
        ways=("async", "streamed"),
        impossible=NO_MCP,
    ),
    Row(
        "mcp-refused",
        mcp_refused,
        ['pay {"amount": 100}: refused by person'],
        ["failed"],
        ways=("async", "streamed"),
        impossible=NO_MCP,
    ),
    Row("external", external, [PAID], ["success"], ["pay amount=100"]),
    Row(
        "external",
        plays([call("send", "c1", amount=5)], "done", use=with_user_input, answers=fills_in),
        ['send {"amount": 5}: executed as send {"amount": 5, "to": "Ada"}'],
        ["success"],
        ["send amount=5 to=Ada"],
    ),
    Row(
        "sub-agent", member, [f"{DELEGATED}: executed", PAID], ["success"], ["delegate_task_to_member member_id=clerk"]
    ),
    Row("sub-agent", member_fails, [f"{DELEGATED}: failed"], ["failed"]),
    Row(
        "ends-the-run",
        plays([pays(100)], use=lambda stage: [pay_tool(stage, stop_after_tool_call=True)]),
        [PAID],
        ["success"],
        ["pay amount=100"],
    ),
    Row(
        "ends-the-run",
        member_answers,
        [f"{DELEGATED}: executed", PAID],
        ["success"],
        ["delegate_task_to_member member_id=clerk"],
    ),
]
MISSING = [
    Missing("timeout", "agno sets no time for a tool; a host's own timeout cancels the run"),
    Missing("expired", "agno's approvals do not expire"),
    Missing("limit-ends", "agno's limit only answers the calls that are too many"),
    Missing("not-selected", "a tool that was not offered is an unknown one"),
    Missing("sibling-cancelled", "agno runs all calls of an answer to their ends, or cancels the whole run"),
    Missing("hosted", "agno keeps what a provider runs out of its messages' calls"),
    Missing("handoff", "agno has teams instead"),
    Missing("structured-output", "agno asks for a format and makes no call of it"),
]


@pytest.mark.parametrize(("row", "way"), cells(ROWS))
async def test_what_happened_is_what_is_recorded_and_learned(row: Row, way: Way) -> None:
    await check(row, way)
