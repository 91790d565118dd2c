"""The OpenAI Agents SDK: what became of each call, from the SDK's own events and held against the tools' own log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import agents
import pytest
from agents import (
    Agent,
    ApplyPatchTool,
    CustomTool,
    RunConfig,
    RunState,
    ShellCallOutcome,
    ShellCommandOutput,
    ShellResult,
    ShellTool,
    ToolGuardrailFunctionOutput,
    function_tool,
    handoff,
    tool_input_guardrail,
    tool_output_guardrail,
)
from agents.run_context import RunContextWrapper
from openai.types.responses import ResponseCustomToolCall, ResponseFunctionWebSearch
from openai.types.responses.response_apply_patch_tool_call import OperationDeleteFile, ResponseApplyPatchToolCall
from openai.types.responses.response_function_shell_tool_call import Action, ResponseFunctionShellToolCall
from openai.types.responses.response_function_web_search import ActionSearch
from openai.types.responses.response_output_item import McpCall

from acontext_adapters.openai_agents import Runner, hooks
from acontext_adapters.openai_agents.run_registry import registry
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning
from acontext_store.types import new_id

from .scripted import ScriptedModel, assistant_message, function_call

WAYS = {"plain": agents.Runner, "plain, untraced": agents.Runner, "ours": Runner, "ours, untraced": Runner}
RAN: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_has_run() -> None:
    RAN.clear()


def tool(name: str, body: Callable[[int], Any] = str, **options: Any) -> Any:
    """A function tool that notes that it ran."""

    def run(x: int) -> Any:
        RAN.append(name)
        return body(x)

    return function_tool(run, name_override=name, **options)


def late(name: str, **options: Any) -> Any:
    async def run(x: int) -> str:
        RAN.append(name)
        await asyncio.sleep(60)
        return "late"

    return function_tool(run, name_override=name, **options)


def breaks(x: int) -> Any:
    raise ValueError("broken")


def call(name: str, call_id: str = "c1", **arguments: Any) -> Any:
    return function_call(name, arguments or {"x": 1}, call_id=call_id)


class Play:
    """One conversation with a scripted model, and what was told of it."""

    def __init__(self, way: str, *tools: Any, **agent: Any) -> None:
        self.memory = MemoryClient()
        self.runner = WAYS[way]
        self.config = {"tracing_disabled": True} if "untraced" in way else {}
        self.tools = tools
        self.given = agent

    async def __call__(self, *answers: Any, decide: Any = None, **options: Any) -> Play:
        script = [[assistant_message(answer)] if isinstance(answer, str) else answer for answer in answers]
        agent: Agent[Any] = Agent(name="A", tools=list(self.tools), model=ScriptedModel(script), **self.given)
        return await self.run(learning(agent, space="s", client=self.memory, strict=True), decide, **options)

    async def run(self, agent: Any, decide: Any = None, given: Any = "go", **options: Any) -> Play:
        config = {**self.config, **options.pop("config", {})}
        options |= {"run_config": RunConfig(**config)} if config else {}
        try:
            result = await self.runner.run(agent, given, **options)
            while decide is not None and result.interruptions:
                state = result.to_state()
                decide(state, result.interruptions)
                result = await self.runner.run(agent, state, **options)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.raised = error
        return self

    @property
    def fates(self) -> list[str]:
        return self.memory.session.fates

    def reason(self, call_id: str = "c1") -> str:
        return self.memory.session.told[call_id].reason


ways = pytest.mark.parametrize("way", WAYS)


# -- a tool runs, or fails
@ways
async def test_a_tool_that_returns_was_executed_whatever_it_says(way: str) -> None:
    play = await Play(way, tool("look", lambda x: "Tool execution was not approved."))([call("look")], "done")
    assert play.fates == ['look {"x":1}: executed']
    assert play.memory.session.told["c1"].told_by == f"openai-agents {agents.__version__}"


@ways
@pytest.mark.parametrize("answer", ["default", "own words", "words of success"])
async def test_a_tool_that_raises_has_failed_whatever_the_model_is_told(way: str, answer: str) -> None:
    texts = {"own words": "no luck", "words of success": "all is well"}
    options = {} if answer == "default" else {"failure_error_function": lambda context, error: texts[answer]}
    play = await Play(way, tool("pay", breaks, **options))([call("pay")], "done")
    assert play.fates == ['pay {"x":1}: failed']
    assert play.reason() == "ValueError: broken"
    assert RAN == ["pay"]


@ways
async def test_a_note_of_the_hosts_in_the_span_of_its_tool_is_no_failure(way: str) -> None:
    def notes(x: int) -> str:
        span = agents.get_current_span()
        assert span is not None
        try:
            breaks(x)
        except ValueError:
            span.set_error({"message": "Error running tool", "data": None})
        return "worked around"

    play = await Play(way, tool("pay", notes))([call("pay")], "done")
    assert play.fates == ['pay {"x":1}: executed']


@ways
@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_parallel_calls_have_each_their_own_fate(way: str, order: str) -> None:
    calls = {"a": call("look", "a"), "b": call("pay", "b")}
    play = await Play(way, tool("look"), tool("pay", breaks))([calls[one] for one in order], "done")
    assert sorted(play.fates) == ['look {"x":1}: executed', 'pay {"x":1}: failed']


@ways
async def test_a_call_that_was_cancelled_because_another_one_raised_never_finished(way: str) -> None:
    tools = [late("wait"), tool("pay", breaks, failure_error_function=None), tool("look")]
    play = await Play(way, *tools)([call("wait", "w"), call("pay", "p"), call("look", "l")], "done")
    assert play.fates[:2] == ['wait {"x":1}: unfinished', 'pay {"x":1}: failed']
    assert play.reason("p") == "ValueError: broken"


@ways
async def test_a_call_never_finished_when_the_run_is_cancelled(way: str) -> None:
    begun = asyncio.Event()

    @function_tool
    async def wait(x: int) -> str:
        begun.set()
        await asyncio.sleep(60)
        return "late"

    play = Play(way, wait)
    task = asyncio.create_task(play([call("wait")], "never"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert play.fates == ['wait {"x":1}: unfinished']


@ways
@pytest.mark.parametrize("what", ["default", "own words", "raised"])
async def test_a_tool_that_takes_too_long_has_failed(way: str, what: str) -> None:
    options: dict[str, Any] = {
        "own words": {"timeout_error_function": lambda context, error: "all is well"},
        "raised": {"timeout_behavior": "raise_exception"},
    }.get(what, {})
    play = await Play(way, late("pay", timeout=0.01, **options))([call("pay")], "done")
    assert play.fates == ['pay {"x":1}: failed']


@ways
@pytest.mark.parametrize("arguments", ['{"x":"many"}', "{}", '{"x": ', "[1]"])
@pytest.mark.parametrize("handled", [True, False])
async def test_a_tool_that_cannot_take_the_arguments_is_not_run(way: str, arguments: str, handled: bool) -> None:
    options: dict[str, Any] = {} if handled else {"failure_error_function": None}
    asked = function_call("pay", arguments, call_id="c1")
    play = await Play(way, tool("pay", **options))([asked], "done")
    assert play.fates == [f"pay {arguments}: answered by framework"]
    assert RAN == []


@ways
async def test_an_unknown_tool_is_asked_for_and_no_more_or_answered_by_the_framework(way: str) -> None:
    play = await Play(way)([call("nothing")], "never")
    assert play.fates == ['nothing {"x":1}: requested']
    play = await Play(way)([call("nothing")], "done", config={"tool_not_found_behavior": "return_error_to_model"})
    assert play.fates == ['nothing {"x":1}: answered by framework']


# -- ids that come again
@ways
async def test_of_two_calls_with_one_id_in_one_answer_the_first_is_executed(way: str) -> None:
    play = await Play(way, tool("look"))([call("look"), call("look"), call("look")], "done")
    assert play.fates == ['look {"x":1}: executed', *['look {"x":1}: answered by framework'] * 2]
    assert RAN == ["look"]


@ways
async def test_a_call_whose_id_comes_again_is_answered_from_the_first(way: str) -> None:
    play = await Play(way, tool("look"))([call("look")], [call("look")], [call("look")], "done")
    assert play.fates == ['look {"x":1}: executed', *['look {"x":1}: answered by framework'] * 2]
    assert RAN == ["look"]
    assert [line for line in play.memory.lines if line.startswith("error")] == []


# -- guardrails
@ways
async def test_a_guardrail_on_what_a_tool_is_given_refuses_the_call(way: str) -> None:
    @tool_input_guardrail
    def never(data: Any) -> ToolGuardrailFunctionOutput:
        return ToolGuardrailFunctionOutput.reject_content("not this way")

    play = await Play(way, tool("pay", tool_input_guardrails=[never]), tool("look"))(
        [call("pay", "p"), call("look", "l")], "done"
    )
    assert play.fates == ['pay {"x":1}: refused by guardrail', 'look {"x":1}: executed']
    assert (play.reason("p"), RAN) == ("not this way", ["look"])


@pytest.mark.parametrize("way", [way for way in WAYS if way != "plain, untraced"])
async def test_a_guardrail_that_ends_the_run_has_refused_the_call(way: str) -> None:
    @tool_input_guardrail
    def never(data: Any) -> ToolGuardrailFunctionOutput:
        return ToolGuardrailFunctionOutput.raise_exception()

    play = await Play(way, tool("pay", tool_input_guardrails=[never]))([call("pay")], "never")
    assert play.fates == ['pay {"x":1}: refused by guardrail']
    assert RAN == []


@ways
@pytest.mark.parametrize("raises", [False, True])
async def test_a_guardrail_on_what_a_tool_gives_does_not_undo_that_it_ran(way: str, raises: bool) -> None:
    @tool_output_guardrail
    def hide(data: Any) -> ToolGuardrailFunctionOutput:
        if raises:
            return ToolGuardrailFunctionOutput.raise_exception()
        return ToolGuardrailFunctionOutput.reject_content("hidden")

    play = await Play(way, tool("pay", tool_output_guardrails=[hide]))([call("pay")], "done")
    assert play.fates == ['pay {"x":1}: executed']
    assert RAN == ["pay"]


# -- people
def approve(state: Any, waiting: Any) -> None:
    for one in waiting:
        state.approve(one)


def refuse(state: Any, waiting: Any) -> None:
    for one in waiting:
        state.reject(one, rejection_message="too much")


@ways
async def test_a_call_that_waits_for_a_person_was_asked_for_and_no_more(way: str) -> None:
    tools = [tool("pay", needs_approval=True), tool("look")]
    play = await Play(way, *tools)([call("pay", "p"), call("look", "l")], "never")
    assert play.fates == ['pay {"x":1}: requested', 'look {"x":1}: executed']


@ways
@pytest.mark.parametrize("decide", [approve, refuse])
async def test_what_a_person_decides_becomes_the_fate_of_the_call(way: str, decide: Any) -> None:
    play = await Play(way, tool("pay", needs_approval=True))([call("pay")], "done", decide=decide)
    assert play.fates == [f'pay {{"x":1}}: {"executed" if decide is approve else "refused by person"}']
    assert (["pay"] if decide is approve else []) == RAN
    assert play.reason() == ("" if decide is approve else "too much")


@ways
async def test_a_person_who_always_refuses_need_not_be_asked_again(way: str) -> None:
    def never(state: Any, waiting: Any) -> None:
        state.reject(waiting[0], always_reject=True)

    play = await Play(way, tool("pay", needs_approval=True))(
        [call("pay", "c1")], [call("pay", "c2", x=2)], "done", decide=never
    )
    assert play.fates == ['pay {"x":1}: refused by person', 'pay {"x":2}: refused by person']
    assert play.reason() == ""


@pytest.mark.parametrize("way", [way for way in WAYS if way != "plain, untraced"])
async def test_a_refusal_is_told_where_the_run_ends_with_it(way: str) -> None:
    play = await Play(way, tool("pay", needs_approval=True), tool_use_behavior="stop_on_first_tool")(
        [call("pay")], "never", decide=refuse
    )
    assert play.fates == ['pay {"x":1}: refused by person']
    assert [outcome.status for outcome in play.memory.session.outcomes] == ["interrupted", "success"]


@pytest.mark.parametrize("way", [way for way in WAYS if way != "plain, untraced"])
async def test_a_refusal_is_told_where_the_run_has_no_turn_left_for_it(way: str) -> None:
    play = await Play(way, tool("pay", needs_approval=True))([call("pay")], "never", decide=refuse, max_turns=1)
    assert play.fates == ['pay {"x":1}: refused by person']
    assert play.memory.outcome == ("failed", "MaxTurnsExceeded: Max turns (1) exceeded")


@ways
@pytest.mark.parametrize("decide", [approve, refuse])
@pytest.mark.parametrize("named", [True, False])
async def test_a_run_goes_on_from_a_saved_state_in_another_process(way: str, decide: Any, named: bool) -> None:
    play = Play(way)

    def agent(*answers: Any) -> Any:
        asks: Agent[Any] = Agent(name="A", tools=[tool("pay", needs_approval=True)], model=ScriptedModel(list(answers)))
        return learning(asks, space="s", session="t1" if named else None, client=play.memory, strict=True)

    options: dict[str, Any] = {"run_config": RunConfig(**play.config)} if play.config else {}
    result = await play.runner.run(agent([call("pay")]), "go", **options)
    saved = result.to_state().to_json()
    registry._interrupted.clear()  # as in a process that has not seen it
    registry._alone.clear()
    goes_on = agent([assistant_message("done")])
    state: Any = await RunState.from_json(goes_on, saved)
    decide(state, state.get_interruptions())
    await play.runner.run(goes_on, state, **options)
    told = "executed" if decide is approve else "refused by person"
    fates = [fate for session in play.memory.sessions.values() for fate in session.fates]
    assert fates == [f'pay {{"x":1}}: {told}'] if named else ['pay {"x":1}: requested', f'pay {{"x":1}}: {told}']
    if named:
        answer = "result: 1" if decide is approve else "error: too much"
        assert play.memory.lines == ["user: go", 'call: pay {"x":1}', answer, "assistant: done"]


# -- tools without functions
def shell(call_id: str, command: str) -> Any:
    action = Action(commands=[command])
    return ResponseFunctionShellToolCall(
        id=f"i{call_id}", call_id=call_id, type="shell_call", status="completed", action=action
    )


def run_command(request: Any) -> Any:
    (command,) = request.data.action.commands
    RAN.append(command)
    if command == "missing":
        raise FileNotFoundError("no shell")
    code = int(command) if command.isdigit() else 0
    outcome = ShellCallOutcome(type="timeout" if command == "hang" else "exit", exit_code=code)
    return ShellResult(output=[ShellCommandOutput(stdout="", stderr="", outcome=outcome)])


@ways
async def test_a_command_that_did_not_end_well_has_failed(way: str) -> None:
    commands = ["ls", "2", "hang", "missing"]
    play = await Play(way, ShellTool(executor=run_command))([shell(one, one) for one in commands], "done")
    assert [fate.rpartition(": ")[2] for fate in play.fates] == ["executed", "failed", "failed", "failed"]
    reasons = [play.reason(command) for command in commands]
    raised = "exit code 1" if "untraced" in way else "FileNotFoundError: no shell"  # without a span, the item's words
    assert reasons == ["", "exit code 2", "timeout", raised]
    assert [line.partition(":")[0] for line in play.memory.lines[5:9]] == ["result", "error", "error", "error"]


class Editor:
    def create_file(self, operation: Any) -> Any:
        return None

    def update_file(self, operation: Any) -> Any:
        return None

    def delete_file(self, operation: Any) -> Any:
        RAN.append(operation.path)
        if operation.path == "locked":
            raise PermissionError("locked")
        return None


def patch(call_id: str, path: str) -> Any:
    operation = OperationDeleteFile(type="delete_file", path=path)
    return ResponseApplyPatchToolCall(
        id=f"i{call_id}", call_id=call_id, type="apply_patch_call", status="completed", operation=operation
    )


@ways
async def test_patches_and_commands_that_a_person_decides_about(way: str) -> None:
    def first_not(state: Any, waiting: Any) -> None:
        state.reject(waiting[0], rejection_message="not here")
        approve(state, waiting[1:])

    tools = [ShellTool(executor=run_command, needs_approval=True), ApplyPatchTool(editor=Editor(), needs_approval=True)]
    asked = [shell("s1", "rm"), shell("s2", "ls"), patch("p1", "a"), patch("p2", "locked")]
    play = await Play(way, *tools)(asked, "done", decide=first_not)
    told = [fate.rpartition(": ")[2] for fate in play.fates]
    assert told == ["refused by person", "executed", "executed", "failed"]
    assert (play.reason("s1"), RAN) == ("not here", ["ls", "a", "locked"])


@ways
async def test_a_custom_tool_that_raises_has_failed_where_the_sdk_notes_it(way: str) -> None:
    async def invoke(context: Any, given: str) -> str:
        RAN.append(given)
        return str(int(given))

    custom = CustomTool(name="raw", description="", on_invoke_tool=invoke)
    asked = [
        ResponseCustomToolCall(id=one, call_id=one, type="custom_tool_call", name="raw", input=one)
        for one in ("1", "one")
    ]
    play = await Play(way, custom)(asked, "done")
    told = [fate.rpartition(": ")[2] for fate in play.fates]
    if "untraced" in way:  # no span is around such a tool then, and nobody can tell
        assert set(told) <= {"requested", "unfinished"}
    else:
        assert told == ["executed", "failed"]
    assert RAN == ["1", "one"]


@ways
async def test_what_the_provider_runs_is_told_by_its_items(way: str) -> None:
    search = ResponseFunctionWebSearch(
        id="w", type="web_search_call", status="completed", action=ActionSearch(type="search", query="x")
    )
    server: dict[str, Any] = {"type": "mcp_call", "name": "find", "server_label": "s", "arguments": "{}"}
    found = McpCall(id="m1", output="found", **server)
    why: Any = {"type": "http_error", "code": 5, "message": "down"}
    if McpCall.model_fields["error"].annotation == str | None:  # openai 2
        why = "down"
    down = McpCall.model_validate({"id": "m2", "error": why, **server})
    play = await Play(way)([search, found, down, assistant_message("done")])
    assert [fate.rpartition(": ")[2] for fate in play.fates] == ["executed", "executed", "failed"]
    assert "down" in play.reason("m2")


# -- other agents
@ways
async def test_an_agent_as_a_tool_runs_its_own_tools(way: str) -> None:
    play = Play(way)
    answers = [[call("pay", "s1"), shell("s2", "ls")], [assistant_message("paid")]]
    sub: Agent[Any] = Agent(
        name="SUB",
        tools=[tool("pay", needs_approval=True), ShellTool(executor=run_command)],
        model=ScriptedModel(answers),
    )
    sub = learning(sub, space="s", client=play.memory, strict=True)
    play.tools = (sub.as_tool("ask_sub", "asks"),)
    await play([function_call("ask_sub", {"input": "pay"}, call_id=new_id())], "done")
    sessions = {session.ref.agent: session for session in play.memory.sessions.values()}
    assert sessions["A"].fates == ['ask_sub {"input":"pay"}: unfinished']
    assert [fate.rpartition(": ")[2] for fate in sessions["SUB"].fates] == ["requested", "executed"]


@ways
@pytest.mark.parametrize("decide", [approve, refuse])
async def test_a_person_decides_about_a_tool_of_an_agent_that_is_a_tool(way: str, decide: Any) -> None:
    play = Play(way)
    model = ScriptedModel([[call("pay", "s1")], [assistant_message("asked")]])
    sub: Agent[Any] = Agent(name="SUB", tools=[tool("pay", needs_approval=True)], model=model)
    sub = learning(sub, space="s", client=play.memory, strict=True)
    play.tools = (sub.as_tool("ask_sub", "asks"),)
    await play([function_call("ask_sub", {"input": "pay"}, call_id=new_id())], "done", decide=decide)
    sessions = {session.ref.agent: session for session in play.memory.sessions.values()}
    assert sessions["A"].fates == ['ask_sub {"input":"pay"}: executed']
    told = "executed" if decide is approve else "refused by person"
    assert sessions["SUB"].fates == [f'pay {{"x":1}}: {told}']


@ways
@pytest.mark.parametrize("nested", [False, True])
async def test_of_two_handoffs_in_one_answer_the_first_is_taken(way: str, nested: bool) -> None:
    b: Agent[Any] = Agent(name="B", model=ScriptedModel([[assistant_message("from B")]]))
    asked = [function_call("transfer_to_b", {}, call_id=one) for one in ("h1", "h2")]
    play = await Play(way, tool("look"), handoffs=[handoff(b)])(
        [asked[0], call("look"), asked[1]], config={"nest_handoff_history": nested}
    )
    taken, ignored = "transfer_to_b {}: executed", "transfer_to_b {}: answered by framework"
    assert play.fates == [taken, 'look {"x":1}: executed', ignored]


# -- ways to attach, and what the SDK does
async def test_run_hooks_tell_fates_of_agents_that_are_not_wrapped() -> None:
    memory = MemoryClient()
    model = ScriptedModel([[call("pay", "p"), call("look", "l")], [assistant_message("done")]])
    agent: Agent[Any] = Agent(name="A", tools=[tool("pay", breaks), tool("look")], model=model)
    await agents.Runner.run(agent, "go", hooks=hooks(space="s", client=memory))
    assert memory.session.fates == ['pay {"x":1}: failed', 'look {"x":1}: executed']


@pytest.mark.parametrize("traced", [True, False])
async def test_the_span_of_a_tool_can_be_listened_to(traced: bool) -> None:
    spans: list[Any] = []

    def look(x: int) -> str:
        spans.append(agents.get_current_span())
        return "seen"

    model = ScriptedModel([[call("look")], [assistant_message("done")]])
    agent: Agent[Any] = Agent(name="A", tools=[tool("look", look)], model=model)
    await agents.Runner.run(agent, "go", run_config=RunConfig(tracing_disabled=not traced))
    (span,) = spans
    assert span.span_data.type == "function"
    assert isinstance(vars(span), dict)


async def test_decisions_about_approvals_can_be_asked_for_by_name_and_id() -> None:
    seen: list[Any] = []

    class Asks(agents.RunHooks[Any]):
        async def on_llm_start(self, context: RunContextWrapper[Any], *args: Any) -> None:
            seen.append((context.is_tool_approved("pay", "c1"), context.get_rejection_message("pay", "c1")))

    model = ScriptedModel([[call("pay")], [assistant_message("done")]])
    agent: Agent[Any] = Agent(name="A", tools=[tool("pay", needs_approval=True)], model=model)
    result = await agents.Runner.run(agent, "go", hooks=Asks())
    state = result.to_state()
    refuse(state, result.interruptions)
    await agents.Runner.run(agent, state, hooks=Asks())
    assert seen == [(None, None), (False, "too much")]
