"""What is told of calls: by the tool's own function where it ran, and by who kept it from running."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from functools import wraps
from importlib.metadata import version
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.exceptions import RunCancelledException
from agno.models.message import Message
from agno.team import Team
from agno.tools import tool

from acontext_adapters.agno import run_tracker
from acontext_adapters.agno.wrap import wrapped_of
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning
from acontext_store.types import CallFate

from .scripted import ScriptedModel, call, scripted

VERSION = tuple(int(number) for number in version("agno").split(".")[:2])


def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def wrapped(memory: MemoryClient, *steps: Any, model: Any = None, **options: Any) -> Any:
    agent = Agent(model=model or scripted(*steps), telemetry=False, db=InMemoryDb(), **{"tools": [pay], **options})
    return learning(agent, space="s", client=memory, strict=True, deadline=30)


def told(memory: MemoryClient) -> list[CallFate]:
    """Everything that was told, in order."""
    return [fate for recording in memory.recordings for fate in recording.fates]


def short(memory: MemoryClient) -> list[tuple[str, int, str, str]]:
    return [(fate.call_id, fate.occurrence, fate.status, fate.by) for fate in told(memory)]


def pays(amount: Any, call_id: str = "c1") -> Any:
    return call("pay", call_id, amount=amount)


async def test_a_fate_says_who_tells_it_and_of_which_run() -> None:
    memory = MemoryClient()
    output = await wrapped(memory, [pays(1)], "done").arun("Pay.")
    (fate,) = told(memory)
    assert (fate.status, fate.told_by, fate.run_id) == ("executed", f"agno {version('agno')}", output.run_id)


async def test_each_message_bears_its_own_run_where_two_runs_of_a_session_go_on_at_once() -> None:
    memory = MemoryClient()
    both = asyncio.Event()

    async def meet(amount: int) -> str:
        """Both runs are in their tools now."""
        waiting.append(amount)
        if len(waiting) == 2:
            both.set()
        await both.wait()
        return f"paid {amount}"

    waiting: list[int] = []
    one = wrapped(memory, [call("meet", "a", amount=1)], "one", tools=[meet])
    two = wrapped(memory, [call("meet", "b", amount=2)], "two", tools=[meet])
    outputs = await asyncio.gather(one.arun("Pay 1.", session_id="t"), two.arun("Pay 2.", session_id="t"))
    runs = {
        run_id: [m.text for m in memory.session.messages if m.run_id == run_id]
        for run_id in (o.run_id for o in outputs)
    }
    assert [words[0] for words in runs.values()] == ["Pay 1.", "Pay 2."]
    assert [words[-1] for words in runs.values()] == ["one", "two"]
    assert {(fate.call_id, fate.run_id) for fate in told(memory)} == {
        ("a", outputs[0].run_id),
        ("b", outputs[1].run_id),
    }


# -- what ran
def steps(amount: int) -> Iterator[str]:
    """Pays bit by bit."""
    yield "paid "
    yield str(amount)


async def asteps(amount: int) -> AsyncIterator[str]:
    """Pays bit by bit, awaited."""
    yield "paid "
    yield str(amount)


def breaks_off(amount: int) -> Iterator[str]:
    """Fails in the middle."""
    yield "paid "
    raise ValueError("no line")


async def abreaks_off(amount: int) -> AsyncIterator[str]:
    """Fails in the middle, awaited."""
    yield "paid "
    raise ValueError("no line")


def makes_steps(amount: int) -> Any:
    """Is no generator, but gives one."""
    return breaks_off(amount)


@pytest.mark.parametrize(
    ("function", "status"),
    [
        (steps, "executed"),
        (asteps, "executed"),
        (breaks_off, "failed"),
        (abreaks_off, "failed"),
        (makes_steps, "failed"),
    ],
)
async def test_a_tool_that_gives_its_result_bit_by_bit_is_followed_to_its_end(function: Any, status: str) -> None:
    memory = MemoryClient()
    await wrapped(memory, [call(function.__name__, "c1", amount=1)], "done", tools=[function]).arun("Pay.")
    assert short(memory) == [("c1", 0, status, "")]


def checks(amount: int) -> str:
    """Raises what arguments that do not fit would raise."""
    return "paid" + amount  # type: ignore[operator]


def logged(function: Any) -> Any:
    @wraps(function)
    def around(**arguments: Any) -> Any:
        return function(**arguments)

    return around


@pytest.mark.parametrize("function", [checks, logged(checks)], ids=["plain", "decorated"])
async def test_a_type_error_of_the_tool_itself_is_a_failure(function: Any) -> None:
    memory = MemoryClient()
    await wrapped(memory, [call("checks", "c1", amount=1)], "done", tools=[function]).arun("Pay.")
    assert short(memory) == [("c1", 0, "failed", "")]


@pytest.mark.parametrize("arguments", [{"amount": "much"}, {"amount": 1, "to": "Ada"}, {"sum": 1}])
async def test_arguments_that_do_not_fit_never_reach_the_tool(arguments: dict[str, Any]) -> None:
    memory = MemoryClient()
    await wrapped(memory, [call("pay", "c1", **arguments)], "done").arun("Pay.")
    assert short(memory) == [("c1", 0, "answered", "framework")]


@pytest.mark.parametrize(("written", "ran"), [('{"amount": "3"}', None), ("{'amount': 3}", {"amount": 3})])
async def test_arguments_that_agno_reads_in_its_own_way_were_edited_by_nobody(written: str, ran: Any) -> None:
    memory = MemoryClient()
    asked = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": written}}
    await wrapped(memory, [asked], "done").arun("Pay.")
    (fate,) = told(memory)
    assert (fate.status, fate.arguments, fate.edited_by) == ("executed", ran, "")


async def test_what_agno_hands_to_a_tool_besides_is_no_argument_of_the_call() -> None:
    def where(amount: int, run_context: Any, agent: Any) -> str:
        """Is given more than it was asked with."""
        return "here"

    memory = MemoryClient()
    await wrapped(memory, [call("where", "c1", amount=1)], "done", tools=[where]).arun("Pay.")
    (fate,) = told(memory)
    assert (fate.status, fate.arguments) == ("executed", None)


async def test_a_tool_that_changes_what_it_was_given_changes_nothing_that_is_told() -> None:
    def sort(names: list[str]) -> str:
        """Works in place."""
        names.clear()
        return "sorted"

    memory = MemoryClient()
    await wrapped(memory, [call("sort", "c1", names=["b", "a"])], "done", tools=[sort]).arun("Sort.")
    (fate,) = told(memory)
    assert (fate.status, fate.arguments) == ("executed", None)


async def test_two_calls_with_one_id_have_fates_of_their_own() -> None:
    memory = MemoryClient()
    broken = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": '{"amount": '}}
    await wrapped(memory, [broken, pays(2)], "done", tool_call_limit=1).arun("Pay.")
    assert sorted(short(memory)) == [("c1", 0, "answered", "framework"), ("c1", 1, "executed", "")]
    memory = MemoryClient()
    await wrapped(memory, [pays(1), pays(2)], "done", tool_call_limit=1).arun("Pay.")
    assert sorted(short(memory)) == [("c1", 0, "executed", ""), ("c1", 1, "answered", "limit")]


async def test_a_hook_that_hides_a_failure_does_not_make_it_a_success() -> None:
    def soothes(function_name: str, function_call: Any, arguments: Any) -> Any:
        try:
            return function_call(**arguments)
        except ValueError:
            return "all is well"

    def broken(amount: int) -> str:
        """Fails."""
        raise ValueError("no line")

    memory = MemoryClient()
    agent = wrapped(memory, [call("broken", "c1", amount=1)], "done", tools=[broken], tool_hooks=[soothes])
    await agent.arun("Pay.")
    assert short(memory) == [("c1", 0, "failed", "")]


async def test_results_that_a_model_takes_in_one_message_are_told_one_by_one() -> None:
    class Gathering(ScriptedModel):
        def format_function_call_results(self, messages: Any, function_call_results: Any, **more: Any) -> None:
            words = [message.content for message in function_call_results]
            messages.append(Message(role="tool", content=words))

    def dry(function_name: str, function_call: Any, arguments: Any) -> Any:
        return function_call(**arguments) if arguments["amount"] < 3 else "dry"

    memory = MemoryClient()
    model = Gathering(script=[[pays(1), pays(2), pays(3, "c2")], "done"])
    await wrapped(memory, model=model, tool_hooks=[dry]).arun("Pay.")
    assert sorted(short(memory)) == [
        ("c1", 0, "executed", ""),
        ("c1", 1, "executed", ""),
        ("c2", 0, "answered", "middleware"),
    ]
    results = [part.text for m in memory.session.messages for part in m.tool_results]
    assert results == ["paid 1", "paid 2", "dry"]


# -- what does not come to its end
async def test_a_tool_that_ends_after_its_run_is_told_again() -> None:
    started, may_end, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    class Client(MemoryClient):
        def record(self, recording: Any) -> None:
            super().record(recording)
            if any(fate.status == "executed" for fate in recording.fates):
                ended.set()

    def slow(amount: int) -> str:
        """Runs in a thread, which nobody can cancel."""
        loop.call_soon_threadsafe(started.set)
        may_end.wait(30)
        return "late"

    memory = Client()
    task = asyncio.create_task(wrapped(memory, [call("slow", "c1", amount=1)], "done", tools=[slow]).arun("Pay."))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert short(memory) == [("c1", 0, "unfinished", "")]
    may_end.set()
    assert await asyncio.to_thread(ended.wait, 30)
    assert short(memory) == [("c1", 0, "unfinished", ""), ("c1", 0, "executed", "")]
    assert memory.outcome == ("cancelled", "")


@pytest.mark.skipif(VERSION < (3, 0), reason="came with agno 3")
async def test_calls_beside_the_one_that_cancels_the_run_keep_their_fates() -> None:
    def cancel(amount: int) -> str:
        """Cancels the run."""
        raise RunCancelledException("enough")

    memory = MemoryClient()
    calls = [pays(1), call("cancel", "c2", amount=1)]
    await wrapped(memory, calls, "never", tools=[pay, cancel]).arun("Pay.")
    assert short(memory) == [("c1", 0, "executed", ""), ("c2", 0, "unfinished", "")]
    assert memory.outcome == ("cancelled", "")


async def test_a_cancelled_stream_is_cancelled_though_agno_says_completed_after_it() -> None:
    memory = MemoryClient()

    async def cancels(amount: int) -> str:
        """The run is cancelled meanwhile."""
        agent.cancel_run("run-1")
        return "paid"

    agent = wrapped(memory, [call("cancels", "c1", amount=1)], "never", tools=[cancels])
    events = [event.event async for event in agent.arun("Pay.", run_id="run-1", stream=True, stream_events=True)]
    assert "RunCancelled" in events
    assert memory.outcome == ("cancelled", "")
    assert short(memory) == [("c1", 0, "executed", "")]


# -- people
@tool(requires_confirmation=True)
def guarded(amount: int) -> str:
    """Asks first."""
    return f"paid {amount}"


async def test_a_run_that_waits_for_ever_has_only_asked() -> None:
    memory = MemoryClient()
    await wrapped(memory, [call("guarded", "c1", amount=1), pays(2, "c2")], "done", tools=[guarded, pay]).arun("Pay.")
    assert short(memory) == [("c2", 0, "executed", "")]
    assert memory.session.fates == ['guarded {"amount": 1}: requested', 'pay {"amount": 2}: executed']


@pytest.mark.parametrize("confirmed", [True, False])
async def test_what_another_process_has_told_of_a_run_stays_as_it_was_told(confirmed: bool) -> None:
    memory = MemoryClient()
    steps = [pays(1, "c0")], [pays(2), call("guarded", "c2", amount=3)], "done"
    agent: Any = wrapped(memory, *steps, tools=[guarded, pay])
    output = await agent.arun("Pay.", session_id="t")
    before = short(memory)
    known: Any = wrapped_of(agent)
    assert run_tracker.paused_runs.take(output.run_id, known.runtime) is not None
    for requirement in output.requirements:
        requirement.tool_execution.confirmed = confirmed
    await agent.acontinue_run(run_response=output, session_id="t")
    assert before == [("c0", 0, "executed", ""), ("c1", 0, "executed", "")]
    now = ("c2", 0, "executed", "") if confirmed else ("c2", 0, "refused", "person")
    assert short(memory) == [*before, now]
    assert all(message.fates_told for message in memory.session.messages if message.tool_calls)


async def test_calls_that_nobody_saw_run_are_assumed() -> None:
    """The first half of the run was not wrapped."""
    memory, db = MemoryClient(), InMemoryDb()
    model = scripted([pays(1, "c0")], [call("guarded", "c1", amount=3)], "done")
    agent = Agent(model=model, tools=[guarded, pay], telemetry=False, db=db)
    output: Any = await agent.arun("Pay.", session_id="t")
    for requirement in output.requirements:
        requirement.tool_execution.confirmed = True
    mine = learning(agent, space="s", client=memory, strict=True, deadline=30)
    await mine.acontinue_run(run_response=output, session_id="t")
    assert memory.session.fates == ['pay {"amount": 1}: assumed', 'guarded {"amount": 3}: executed']


async def test_the_host_runs_a_tool_itself_and_says_that_it_failed() -> None:
    memory = MemoryClient()
    agent = wrapped(memory, [pays(1)], "done", tools=[tool(external_execution=True)(pay)])
    output = await agent.arun("Pay.", session_id="t")
    for requirement in output.requirements:
        requirement.tool_execution.result = "no line"
        requirement.tool_execution.tool_call_error = True
    await agent.acontinue_run(run_response=output, session_id="t")
    assert short(memory) == [("c1", 0, "failed", "")]


@pytest.mark.skipif(VERSION < (3, 0), reason="came with agno 3")
@pytest.mark.parametrize("keep", [None, False])
async def test_an_answer_that_was_generated_anew_is_no_success(keep: Any) -> None:
    memory = MemoryClient()
    agent = wrapped(memory, "first", "second")
    first = await agent.arun("Pay.", session_id="t")
    second = await agent.acontinue_run(run_id=first.run_id, session_id="t", regenerate=True, replace_original=keep)
    outcomes = [(outcome.run_id, outcome.status) for outcome in memory.session.outcomes]
    replaced = [(first.run_id, "unknown")] if keep is None else []
    assert outcomes == [(first.run_id, "success"), *replaced, (second.run_id, "success")]


# -- members
@pytest.mark.parametrize(("second", "status"), [("two", "executed"), (RuntimeError("504"), "failed")])
async def test_a_call_of_all_members_has_failed_where_all_of_them_have(second: Any, status: str) -> None:
    memory = MemoryClient()
    members: list[Any] = [
        Agent(name="M1", model=scripted(RuntimeError("503")), telemetry=False),
        Agent(name="M2", model=scripted(second), telemetry=False),
    ]
    asked = [call("delegate_task_to_members", "d1", task="say")]
    team = Team(model=scripted(asked, "done"), members=members, delegate_to_all_members=True, telemetry=False)
    await learning(team, space="s", client=memory, strict=True, deadline=30).arun("Ask them.")
    assert [(fate.call_id, fate.status) for fate in told(memory)] == [("d1", status)]


async def test_an_agent_in_a_tool_belongs_to_the_call_that_runs_it() -> None:
    memory = MemoryClient()
    inner = learning(Agent(name="I", model=scripted("hm"), telemetry=False), space="s", client=memory, strict=True)

    async def asks(amount: int) -> str:
        """Asks another agent."""
        return str((await inner.arun("And you?")).content)

    await wrapped(memory, [pays(1), call("asks", "c2", amount=1)], "done", tools=[pay, asks]).arun("Pay.")
    main, child = memory.sessions.values()
    assert child.ref.configs is not None
    assert child.ref.configs["parent_call"] == "c2"
    assert main.fates == ['pay {"amount": 1}: executed', 'asks {"amount": 1}: executed']
