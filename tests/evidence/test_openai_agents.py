"""What the OpenAI Agents SDK makes of calls: its approvals, guardrails, limits, and tools of every kind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("agents")

from agents import (
    Agent,
    AgentsException,
    ApplyPatchTool,
    Computer,
    ComputerTool,
    RunConfig,
    Runner,
    RunState,
    ShellCallOutcome,
    ShellCommandOutput,
    ShellResult,
    ShellTool,
    ToolGuardrailFunctionOutput,
    ToolsToFinalOutputResult,
    function_tool,
    tool_input_guardrail,
    tool_output_guardrail,
)
from agents.mcp import MCPServer
from mcp.types import CallToolResult, TextContent
from mcp.types import Tool as MCPTool
from openai.types.responses import ResponseComputerToolCall, ResponseFunctionWebSearch
from openai.types.responses.response_apply_patch_tool_call import OperationDeleteFile, ResponseApplyPatchToolCall
from openai.types.responses.response_computer_tool_call import ActionScreenshot
from openai.types.responses.response_function_shell_tool_call import Action, ResponseFunctionShellToolCall
from openai.types.responses.response_function_web_search import ActionSearch

from acontext_adapters.openai_agents.run_registry import registry
from acontext_plugins.learning import learning
from acontext_store.types import new_id

from ..adapters.openai_agents.scripted import ScriptedModel, assistant_message, function_call
from .harness import SPACE, Missing, Row, Stage, Way, cells, check

FRAMEWORK = "OpenAI Agents SDK"
Decide = Callable[[Any, Sequence[Any]], None]
Use = Callable[[Stage], Sequence[Any]]


# -- tools, which write down what they do
def tool(stage: Stage, name: str, body: Callable[[int], Any] | None = None, **options: Any) -> Any:
    def run(amount: int) -> str:
        with stage.log.running(name, amount=amount):
            return f"{name} {amount}: ok" if body is None else body(amount)

    return function_tool(run, name_override=name, **options)


def raises(amount: int) -> Any:
    raise ValueError("the bank is closed")


def tools(stage: Stage) -> Sequence[Any]:
    return [
        tool(stage, "pay"),
        tool(stage, "find"),
        tool(stage, "broken", raises),
        tool(stage, "fatal", raises, failure_error_function=None),
    ]


def slow(stage: Stage, begun: asyncio.Event | None = None, **options: Any) -> Any:
    async def run(amount: int) -> str:
        with stage.log.running("slow", amount=amount):
            if begun is not None:
                begun.set()
            await asyncio.sleep(60)
            return "late"

    return function_tool(run, name_override="slow", **options)


def with_options(name: str = "pay", body: Callable[[int], Any] | None = None, **options: Any) -> Use:
    """One tool with options of the SDK's own, and `find`."""
    return lambda stage: [tool(stage, name, body, **options), tool(stage, "find")]


# -- runs
def asks(name: str, call_id: str = "c1", amount: Any = 100) -> Any:
    return function_call(name, {"amount": amount}, call_id=call_id)


def agent(stage: Stage, *steps: Any, name: str = "Cashier", **options: Any) -> Any:
    script = [[assistant_message(step)] if isinstance(step, str) else step for step in steps]
    made: Agent[Any] = Agent(name=name, model=ScriptedModel(script), **{"tools": list(tools(stage)), **options})
    return learning(made, space=SPACE, session=f"till-{stage.number}", client=stage.client, strict=True)


async def run(stage: Stage, target: Any, given: Any = None, **options: Any) -> Any:
    given = f"Pay invoice {stage.number}." if given is None else given
    if stage.way == "sync":
        return await asyncio.to_thread(_run_sync, target, given, **options)
    if stage.way == "async":
        return await Runner.run(target, given, **options)
    result = Runner.run_streamed(target, given, **options)
    async for _ in result.stream_events():
        pass
    await result.run_loop_task
    return result


def _run_sync(target: Any, given: Any, **options: Any) -> Any:
    loop = asyncio.new_event_loop()  # the SDK makes one for its thread, and leaves it open
    asyncio.set_event_loop(loop)
    try:
        return Runner.run_sync(target, given, **options)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def plays(*steps: Any, use: Use = tools, decide: Decide | None = None, config: Any = None, **options: Any) -> Any:
    """A play of an agent with these steps; `use` makes its tools, `decide` is a person, `options` are the agent's."""
    turns = {"max_turns": options.pop("max_turns")} if "max_turns" in options else {}

    async def play(stage: Stage) -> None:
        target = agent(stage, *steps, tools=list(use(stage)), **options)
        given = {**turns, **({"run_config": RunConfig(**config)} if config else {})}
        with contextlib.suppress(AgentsException):
            result = await run(stage, target, **given)
            if decide is not None:
                state = result.to_state()
                decide(state, result.interruptions)
                await run(stage, target, state, **given)

    return play


def approves(state: Any, waiting: Sequence[Any]) -> None:
    for one in waiting:
        state.approve(one)


def rejects(state: Any, waiting: Sequence[Any]) -> None:
    for one in waiting:
        state.reject(one)


def rejects_with_words(state: Any, waiting: Sequence[Any]) -> None:
    for one in waiting:
        state.reject(one, rejection_message="never on a Sunday")


# -- what happens
async def resumed(stage: Stage) -> None:
    target = agent(stage, [asks("pay")], tools=[tool(stage, "pay", needs_approval=True)])
    saved = (await run(stage, target)).to_state().to_json()
    registry._interrupted.clear()  # as in a process that has not seen it
    goes_on = agent(stage, "paid", tools=[tool(stage, "pay", needs_approval=True)])
    state: Any = await RunState.from_json(goes_on, saved)
    approves(state, state.get_interruptions())
    await run(stage, goes_on, state)


async def cancelled(stage: Stage) -> None:
    begun = asyncio.Event()
    target = agent(stage, [asks("slow")], "never", tools=[slow(stage, begun)])
    if stage.way == "streamed":
        result = Runner.run_streamed(target, f"Pay invoice {stage.number}.")
        await begun.wait()
        result.cancel()
        async for _ in result.stream_events():
            pass
        task: Any = result.run_loop_task
    else:
        task = asyncio.create_task(run(stage, target))
        await begun.wait()
        task.cancel()
    await asyncio.wait([task])


async def sibling_cancelled(stage: Stage) -> None:
    begun = asyncio.Event()

    @function_tool(name_override="fatal", failure_error_function=None)
    async def fatal(amount: int) -> str:
        with stage.log.running("fatal", amount=amount):
            await begun.wait()
            raise ValueError("the bank is closed")

    target = agent(stage, [asks("slow", "c1"), asks("fatal", "c2")], "never", tools=[slow(stage, begun), fatal])
    with contextlib.suppress(AgentsException):
        await run(stage, target)


@tool_input_guardrail
def never_given(data: Any) -> ToolGuardrailFunctionOutput:
    return ToolGuardrailFunctionOutput.reject_content("not on a Sunday")


@tool_input_guardrail
def stops(data: Any) -> ToolGuardrailFunctionOutput:
    return ToolGuardrailFunctionOutput.raise_exception()


@tool_output_guardrail
def hides(data: Any) -> ToolGuardrailFunctionOutput:
    return ToolGuardrailFunctionOutput.reject_content("hidden")


async def handed_off(stage: Stage) -> None:
    other: Agent[Any] = Agent(
        name="Banker", tools=list(tools(stage)), model=ScriptedModel([[asks("pay")], [assistant_message("paid")]])
    )
    both = [function_call("transfer_to_banker", {}, call_id=f"h{number}") for number in (1, 2)]
    await run(stage, agent(stage, both, tools=[], handoffs=[other]))


async def sub_agent(stage: Stage) -> None:
    sub = agent(stage, [asks("pay")], "paid", name="Banker")
    outer = [function_call("ask_banker", {"input": "pay"}, call_id=new_id())]
    await run(stage, agent(stage, outer, "done", tools=[_logged(stage, sub.as_tool("ask_banker", "asks"))]))


def _logged(stage: Stage, made: Any) -> Any:
    """The tool that is an agent, which writes down that it ran, too."""
    invoke = made.on_invoke_tool

    async def on_invoke_tool(context: Any, arguments: str) -> Any:
        with stage.log.running("ask_banker", input="pay"):
            return await invoke(context, arguments)

    made.on_invoke_tool = on_invoke_tool
    return made


async def hosted(stage: Stage) -> None:
    action = ActionSearch(type="search", query="the bank")
    search = ResponseFunctionWebSearch(id="w1", type="web_search_call", status="completed", action=action)
    await run(stage, agent(stage, [search, assistant_message("found")]))


# -- tools that are no functions
def shell(call_id: str, command: str) -> Any:
    action = Action(commands=[command])
    return ResponseFunctionShellToolCall(
        id=call_id, call_id=call_id, type="shell_call", status="completed", action=action
    )


def shell_tool(stage: Stage, **options: Any) -> Any:
    def execute(request: Any) -> Any:
        (command,) = request.data.action.commands
        with stage.log.running("shell", action={"commands": [command]}):
            ended = ShellCallOutcome(type="exit", exit_code=2 if command == "false" else 0)
            return ShellResult(output=[ShellCommandOutput(stdout="", stderr="", outcome=ended)])

    return ShellTool(executor=execute, **options)


def patch(call_id: str, path: str) -> Any:
    operation = OperationDeleteFile(type="delete_file", path=path)
    return ResponseApplyPatchToolCall(
        id=call_id, call_id=call_id, type="apply_patch_call", status="completed", operation=operation
    )


class Editor:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def create_file(self, operation: Any) -> Any:
        return None

    def update_file(self, operation: Any) -> Any:
        return None

    def delete_file(self, operation: Any) -> Any:
        given = {"path": operation.path, "type": operation.type}
        with self.stage.log.running("apply_patch", operation=given):
            return None


class Screen(Computer):
    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def screenshot(self) -> str:
        with self.stage.log.running("computer", action={"type": "screenshot"}):
            return "abcd"

    def _nothing(self, *given: Any, **named: Any) -> None:
        return None

    click = double_click = scroll = type = wait = move = keypress = drag = _nothing


def screenshot(call_id: str) -> Any:
    return ResponseComputerToolCall(
        id=call_id,
        call_id=call_id,
        type="computer_call",
        status="completed",
        pending_safety_checks=[],
        action=ActionScreenshot(type="screenshot"),
    )


class Till(MCPServer):
    """An MCP server without a wire."""

    def __init__(self, stage: Stage, *, fails: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.stage, self.fails = stage, fails

    @property
    def name(self) -> str:
        return "till"

    async def connect(self) -> None:
        return None

    async def cleanup(self) -> None:
        return None

    async def list_tools(self, *args: Any, **kwargs: Any) -> Any:
        number = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
        return [MCPTool.model_validate({"name": "pay", "inputSchema": number})]

    async def call_tool(self, tool_name: str, arguments: Any, *args: Any, **kwargs: Any) -> Any:
        with self.stage.log.running(tool_name, **arguments):
            words = "Error executing tool pay: the bank is closed" if self.fails else "paid"
        content = [TextContent(type="text", text=words)]
        return CallToolResult.model_validate({"content": content, "isError": self.fails})

    async def list_prompts(self) -> Any:
        raise NotImplementedError

    async def get_prompt(self, name: str, arguments: Any = None) -> Any:
        raise NotImplementedError


def mcp(*, decide: Decide | None = None, **options: Any) -> Any:
    async def play(stage: Stage) -> None:
        target = agent(stage, [asks("pay")], "done", tools=[], mcp_servers=[Till(stage, **options)])
        result = await run(stage, target)
        if decide is not None:
            state = result.to_state()
            decide(state, result.interruptions)
            await run(stage, target, state)

    return play


PAID = 'pay {"amount":100}: executed'
REFUSED = 'pay {"amount":100}: refused by person'
asked_first = with_options(needs_approval=True)


def or_credit(stage: Stage) -> Sequence[Any]:
    return [*asked_first(stage), tool(stage, "credit")]


#: The SDK's scripted model streams words and calls of functions alone.
UNSTREAMED: tuple[Way, ...] = ("sync", "async")

ROWS = [
    Row("executed", plays([asks("pay")], "paid"), [PAID], ["success"], ["pay amount=100"]),
    Row(
        "executed",
        plays([shell("s1", "ls")], "done", use=lambda stage: [shell_tool(stage)]),
        ['shell {"action": {"commands": ["ls"]}}: executed'],
        ["success"],
        ["shell"],
        ways=UNSTREAMED,
    ),
    Row(
        "executed",
        plays([patch("p1", "a")], "done", use=lambda stage: [ApplyPatchTool(editor=Editor(stage))]),
        ['apply_patch {"operation": {"path": "a", "type": "delete_file"}}: executed'],
        ["success"],
        ["apply_patch"],
        ways=UNSTREAMED,
    ),
    Row(
        "executed",
        plays([screenshot("q1")], "done", use=lambda stage: [ComputerTool(computer=Screen(stage))]),
        ['computer {"action": {"type": "screenshot"}}: executed'],
        ["success"],
        ["computer"],
        ways=UNSTREAMED,
    ),
    Row("failed", plays([asks("broken")], "sorry"), ['broken {"amount":100}: failed'], ["failed"]),
    Row(
        "failed",
        plays(
            [asks("pay")], "paid", use=with_options("pay", raises, failure_error_function=lambda c, e: "all is well")
        ),
        ['pay {"amount":100}: failed'],
        ["failed"],
    ),
    Row(
        "failed",
        plays([shell("s1", "false")], "done", use=lambda stage: [shell_tool(stage)]),
        ['shell {"action": {"commands": ["false"]}}: failed'],
        ["failed"],
        ways=UNSTREAMED,
    ),
    Row("raised", plays([asks("fatal")], "never"), ['fatal {"amount":100}: failed'], ["failed"]),
    Row(
        "timeout",
        plays([asks("slow")], "sorry", use=lambda stage: [slow(stage, timeout=0.01)]),
        ['slow {"amount":100}: failed'],
        ["failed"],
        elsewhere="the SDK cancels the tool, which neither returns nor raises",
    ),
    Row(
        "approved",
        plays([asks("pay")], "paid", use=asked_first, decide=approves),
        [PAID],
        ["success"],
        ["pay amount=100"],
    ),
    Row("pending", plays([asks("pay")], "never", use=asked_first), ['pay {"amount":100}: requested'], ["running"]),
    Row("rejected", plays([asks("pay")], "well", use=asked_first, decide=rejects), [REFUSED], ["failed"]),
    Row(
        "rejected-with-words",
        plays([asks("pay")], "well", use=asked_first, decide=rejects_with_words),
        [REFUSED],
        ["failed"],
    ),
    Row(
        "rejected-with-words",
        plays([asks("pay")], [asks("credit", "c2", 50)], "done", use=or_credit, decide=rejects_with_words),
        [REFUSED, 'credit {"amount":50}: executed'],
        ["success"],
        ["credit amount=50"],
        ["never on a Sunday"],
    ),
    Row(
        "rejected",
        plays([shell("s1", "rm")], "well", use=lambda s: [shell_tool(s, needs_approval=True)], decide=rejects),
        ['shell {"action": {"commands": ["rm"]}}: refused by person'],
        ["failed"],
        ways=UNSTREAMED,
    ),
    Row("resumed", resumed, [PAID], ["success"], ["pay amount=100"]),
    Row(
        "input-guardrail",
        plays([asks("pay")], "well", use=with_options(tool_input_guardrails=[never_given])),
        ['pay {"amount":100}: refused by guardrail'],
        ["pending"],
    ),
    Row(
        "input-guardrail",
        plays([asks("pay")], "never", use=with_options(tool_input_guardrails=[stops])),
        ['pay {"amount":100}: refused by guardrail'],
        ["failed"],
    ),
    Row(
        "output-guardrail",
        plays([asks("pay")], "well", use=with_options(tool_output_guardrails=[hides])),
        [PAID],
        ["success"],
        ["pay amount=100"],
        note="the tool ran; the model is shown other words",
    ),
    Row(
        "limit-ends",
        plays([asks("pay")], [asks("find", "c2")], "never", max_turns=1),
        [PAID],
        ["failed"],
        note="`max_turns` ends the run behind the calls of its last turn",
    ),
    Row("unknown-tool", plays([asks("fly")], "never"), ['fly {"amount":100}: requested'], ["failed"]),
    Row(
        "unknown-tool",
        plays([asks("fly")], "sorry", config={"tool_not_found_behavior": "return_error_to_model"}),
        ['fly {"amount":100}: answered by framework'],
        ["failed"],
    ),
    Row(
        "invalid-arguments",
        plays([asks("pay", amount="much")], "sorry"),
        ['pay {"amount":"much"}: answered by framework'],
        ["failed"],
    ),
    Row(
        "broken-json",
        plays([function_call("pay", '{"amount": ', call_id="c1")], "sorry"),
        ['pay {"amount": : answered by framework'],
        ["failed"],
    ),
    Row(
        "parallel-ok-error",
        plays([asks("pay", "c1"), asks("broken", "c2")], "partly"),
        [PAID, 'broken {"amount":100}: failed'],
        ["failed"],
    ),
    Row(
        "parallel-error-ok",
        plays([asks("broken", "c1"), asks("pay", "c2")], "partly"),
        ['broken {"amount":100}: failed', PAID],
        ["failed"],
    ),
    Row(
        "parallel-refused",
        plays([asks("pay", "c1"), asks("find", "c2")], "done", use=asked_first, decide=rejects),
        [REFUSED, 'find {"amount":100}: executed'],
        ["failed"],
    ),
    Row(
        "sibling-cancelled",
        sibling_cancelled,
        ['slow {"amount":100}: unfinished', 'fatal {"amount":100}: failed'],
        ["failed"],
    ),
    Row("cancelled", cancelled, ['slow {"amount":100}: unfinished'], ["pending"], ways=("async", "streamed")),
    Row(
        "same-id-again",
        plays([asks("pay")], [asks("pay")], "paid"),
        [PAID, 'pay {"amount":100}: answered by framework'],
        ["success"],
        ["pay amount=100"],
    ),
    Row(
        "same-id-twice",
        plays([asks("pay"), asks("pay")], "paid"),
        [PAID, 'pay {"amount":100}: answered by framework'],
        ["success"],
        ["pay amount=100"],
    ),
    Row(
        "hosted",
        hosted,
        ['web_search {"action": {"type": "search", "query": "the bank"}}: executed'],
        ["success"],
        ["web_search"],
        elsewhere="the provider says that it ran",
        ways=UNSTREAMED,
    ),
    Row("mcp", mcp(), [PAID], ["success"], ["pay amount=100"]),
    Row(
        "mcp-failed",
        mcp(fails=True),
        ['pay {"amount":100}: failed'],
        ["failed"],
        note="the SDK passes on a server's error as a result like any other: known are the words of the MCP SDKs",
    ),
    Row("mcp-refused", mcp(decide=rejects, require_approval="always"), [REFUSED], ["failed"]),
    Row("sub-agent", sub_agent, ['ask_banker {"input":"pay"}: executed', PAID], ["success"]),
    Row(
        "handoff",
        handed_off,
        ["transfer_to_banker {}: executed", "transfer_to_banker {}: answered by framework", PAID],
        ["success"],
        ["pay amount=100", "transfer_to_banker"],
        elsewhere="a handoff is no tool that could write down that it ran",
    ),
    Row(
        "ends-the-run",
        plays([asks("pay")], tool_use_behavior="stop_on_first_tool"),
        [PAID],
        ["success"],
        ["pay amount=100"],
    ),
    Row(
        "ends-the-run",
        plays(
            [asks("pay")],
            tool_use_behavior=lambda *_: ToolsToFinalOutputResult(is_final_output=True, final_output="paid"),
        ),
        [PAID],
        ["success"],
        ["pay amount=100"],
    ),
]
MISSING = [
    Missing("expired", "the SDK's approvals do not expire"),
    Missing("edited", "a person approves or rejects; other arguments under the same call id are refused by the SDK"),
    Missing("renamed", "no hook of the SDK puts another tool in a call's place"),
    Missing("responded", "a rejection's words go to the model as such: that is a refusal with words"),
    *(Missing(f"middleware-{what}", "the SDK's hooks only look on") for what in ("answers", "changes", "retries")),
    Missing("limit-continues", "the SDK has no limit of calls but that of turns"),
    Missing("not-selected", "a tool that was not offered, or is disabled, is an unknown one"),
    Missing("external", "all tools run in the process; hosts that run them themselves do so in the tool's function"),
    Missing("structured-output", "the SDK asks for a format and makes no call of it"),
]


@pytest.mark.parametrize(("row", "way"), cells(ROWS))
async def test_what_happened_is_what_is_recorded_and_learned(row: Row, way: Way) -> None:
    await check(row, way)
