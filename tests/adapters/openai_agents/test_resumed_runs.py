"""Runs that are saved as JSON and go on behind a handoff, here or in another process: in the learned agents."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import agents
import pytest
from agents import Agent, RunState, handoff
from pydantic import BaseModel

from acontext_adapters.openai_agents import Runner
from acontext_adapters.openai_agents.run_registry import registry
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning

from .host import call, calls, risky
from .scripted import ScriptedModel, function_call

WAYS = {"plain runner": agents.Runner, "our runner": Runner}
ways = pytest.mark.parametrize("runner", WAYS.values(), ids=WAYS)
streams = pytest.mark.parametrize("streamed", [False, True], ids=["run", "stream"])


def agent(name: str, *steps: Any, **fields: Any) -> Agent[Any]:
    return Agent(name=name, model=calls(*steps), **{"instructions": f"I am {name}.", "tools": [risky], **fields})


def to(name: str, call_id: str = "h1") -> list[Any]:
    return [function_call(f"transfer_to_{name.lower()}", {}, call_id=call_id)]


async def drive(runner: Any, streamed: bool, starting: Any, given: Any) -> Any:
    if not streamed:
        return await runner.run(starting, given)
    result = runner.run_streamed(starting, given)
    async for _ in result.stream_events():
        pass
    return result


async def approved(starting: Agent[Any], saved: str) -> RunState[Any]:
    state = await RunState.from_string(starting, saved)
    for interruption in state.get_interruptions():
        state.approve(interruption)
    return state


def plain(b: Agent[Any]) -> list[Any]:
    return [b]


def object_of(b: Agent[Any]) -> list[Any]:
    return [handoff(b)]


def with_options(b: Agent[Any]) -> list[Any]:
    return [handoff(b, tool_name_override="transfer_to_b", input_filter=lambda data: data, on_handoff=lambda _: None)]


def both(b: Agent[Any]) -> list[Any]:
    return [handoff(b), b]


Graph = Callable[[Callable[[Agent[Any]], list[Any]], bool], tuple[Agent[Any], Agent[Any]]]


def one_step(links: Callable[[Agent[Any]], list[Any]], resumed: bool) -> tuple[Agent[Any], Agent[Any]]:
    b = agent("B", *(["done"] if resumed else [("risky", "c1")]))
    return agent("A", to("B"), handoffs=links(b)), b


def circle(links: Callable[[Agent[Any]], list[Any]], resumed: bool) -> tuple[Agent[Any], Agent[Any]]:
    a, b = one_step(links, resumed)
    b.handoffs.extend(links(a))
    return a, b


def behind_another(links: Callable[[Agent[Any]], list[Any]], resumed: bool) -> tuple[Agent[Any], Agent[Any]]:
    a, b = one_step(links, resumed)
    between = agent("Between", to("B", "h2"), handoffs=a.handoffs)
    return agent("A", to("Between"), handoffs=[handoff(between)]), b


LINKS: list[Callable[[Agent[Any]], list[Any]]] = [plain, object_of, with_options, both]
GRAPHS: list[Graph] = [one_step, circle, behind_another]


@ways
@streams
@pytest.mark.parametrize("links", LINKS)
@pytest.mark.parametrize("graph", GRAPHS)
async def test_a_run_that_is_resumed_from_json_goes_on_in_the_learned_agent(
    graph: Graph, links: Callable[[Agent[Any]], list[Any]], streamed: bool, runner: Any
) -> None:
    here = MemoryClient("S")
    first, _ = graph(links, False)
    result = await drive(runner, streamed, learning(first, space="s", client=here, session="one", strict=True), "go")
    saved = result.to_state().to_string()
    assert here.session.outcome is not None
    assert here.session.outcome.status == "interrupted"

    registry._interrupted.clear()  # as in a process that has not seen it, and builds its agents anew
    registry._alone.clear()
    there = MemoryClient("S")
    again, b = graph(links, True)
    learned = learning(again, space="s", client=there, session="one", strict=True)
    result = await drive(runner, streamed, learned, await approved(learned, saved))
    assert (result.final_output, result.last_agent.name) == ("done", "B")
    assert result.last_agent is not b
    model: Any = b.model
    assert [made.system_instructions for made in model.calls] == ["I am B.\n\nS"]
    assert there.lines == ["result: done Oslo", "assistant: done"]
    assert there.outcome == ("success", "")


@ways
@streams
async def test_a_run_that_is_resumed_from_json_in_its_own_process_is_one_run(streamed: bool, runner: Any) -> None:
    memory = MemoryClient("S")
    b = agent("B", ("risky", "c1"), "done")
    learned = learning(agent("A", to("B"), handoffs=[handoff(b)]), space="s", client=memory, strict=True)
    result = await drive(runner, streamed, learned, "go")
    result = await drive(runner, streamed, learned, await approved(learned, result.to_state().to_string()))
    assert result.final_output == "done"
    assert memory.lines[-3:] == ['call: risky {"city":"Oslo"}', "result: done Oslo", "assistant: done"]
    assert memory.outcome == ("success", "")


SAME_NAME: dict[str, dict[str, Any]] = {
    "their instructions": {"X": {"instructions": "I am X."}, "Y": {"instructions": "I am Y."}},
    "functions of theirs": {"X": {"instructions": lambda c, a: "x"}, "Y": {"instructions": lambda c, a: "y"}},
    "nothing": {"X": {}, "Y": {}},
}


@ways
@pytest.mark.parametrize("links", [plain, object_of])
@pytest.mark.parametrize("target", ["X", "Y"])
@pytest.mark.parametrize("differ", SAME_NAME)
async def test_of_agents_with_one_name_the_same_one_goes_on_as_without_us(
    differ: str, target: str, links: Callable[[Agent[Any]], list[Any]], runner: Any
) -> None:
    """Told apart by anything or nothing: where the SDK goes on in one of them, it goes on in the learned one."""

    def build() -> Agent[Any]:
        handoffs: list[Any] = []
        for name, fields in SAME_NAME[differ].items():
            script = calls(("risky", "c1"), f"{name} done")
            b: Agent[Any] = Agent(name="B", model=script, tools=[risky], **fields)
            between = Agent(name=f"To{name}", model=calls(to("B", "h2")), handoffs=links(b))
            handoffs += links(between)
        return Agent(name="A", model=calls(to(f"To{target}".lower())), handoffs=handoffs)

    async def run(wrap: Callable[[Agent[Any]], Agent[Any]]) -> Any:
        starting = wrap(build())
        result = await runner.run(starting, "go")
        return await runner.run(starting, await approved(starting, result.to_state().to_string()))

    memory = MemoryClient()
    bare = await run(lambda given: given)
    learned = await run(lambda given: learning(given, space="s", client=memory, strict=True))
    assert learned.final_output == bare.final_output == f"{target} done"
    assert memory.lines[-1] == f"assistant: {target} done"


async def test_a_run_that_was_saved_by_bare_agents_goes_on_in_the_learned_ones() -> None:
    """A host that begins to learn has runs that wait."""

    def build(*steps: Any) -> Agent[Any]:
        b, other = agent("B", *steps), agent("B", "other", instructions="I am another.")
        return agent("A", to("B"), handoffs=[handoff(b), agent("C", handoffs=[other])])

    saved = (await agents.Runner.run(build(("risky", "c1")), "go")).to_state().to_string()
    memory = MemoryClient("S")
    learned = learning(build("done"), space="s", client=memory, strict=True)
    result = await agents.Runner.run(learned, await approved(learned, saved))
    assert result.final_output == "done"
    assert memory.lines[-2:] == ["result: done Oslo", "assistant: done"]


@ways
@streams
async def test_a_learned_agent_that_runs_as_a_tool_goes_on_from_json(streamed: bool, runner: Any) -> None:
    memory = MemoryClient("S")
    sub = learning(agent("Sub", ("risky", "c1"), "sub done"), space="s", client=memory, strict=True)
    main = agent("A", [function_call("ask", {"input": "x"}, call_id="t1")], "done", tools=[sub.as_tool("ask", "asks")])
    learned = learning(main, space="s", client=memory, strict=True)
    result = await drive(runner, streamed, learned, "go")
    result = await drive(runner, streamed, learned, await approved(learned, result.to_state().to_string()))
    assert result.final_output == "done"
    assert [session.lines[-1] for session in memory.sessions.values()] == ["assistant: done", "assistant: sub done"]


async def test_a_clone_with_other_handoffs_is_resumed_in_them() -> None:
    memory = MemoryClient("S")

    def build(*steps: Any) -> Agent[Any]:
        base = learning(agent("Base", to("B")), space="s", client=memory, session="one", strict=True)
        return base.clone(name="A", handoffs=[handoff(agent("B", *steps))])

    saved = (await agents.Runner.run(build(("risky", "c1")), "go")).to_state().to_string()
    clone = build("done")
    result = await agents.Runner.run(clone, await approved(clone, saved))
    assert result.final_output == "done"
    assert memory.lines[-1] == "assistant: done"
    assert memory.outcome == ("success", "")


# -- handoffs keep what they are
class Reason(BaseModel):
    why: str


async def test_handoffs_keep_their_properties_and_what_they_do() -> None:
    told: list[str] = []

    async def on_handoff(context: Any, given: Reason) -> None:
        told.append(given.why)

    def only_when_open(context: Any, asking: Agent[Any]) -> bool:
        told.append(f"asked by {asking.name}")
        return True

    def shorten(data: Any) -> Any:
        told.append("filtered")
        return data.clone(input_history="short")

    b = agent("B", "from B")
    own = handoff(
        b,
        tool_name_override="escalate",
        tool_description_override="To a human.",
        on_handoff=on_handoff,
        input_type=Reason,
        input_filter=shorten,
        nest_handoff_history=False,
        is_enabled=only_when_open,
    )
    before = copy.copy(own)
    model = ScriptedModel([[call("escalate", "h1", why="angry")]])
    a: Agent[Any] = Agent(name="A", model=model, handoffs=[own])
    memory = MemoryClient("S")
    learned: Any = learning(a, space="s", client=memory, strict=True)
    (wrapped,) = learned.handoffs
    changed = {"on_invoke_handoff"}
    assert {n: v for n, v in vars(wrapped).items() if n not in changed and not n.startswith("_")} == {
        n: v for n, v in vars(own).items() if n not in changed and not n.startswith("_")
    }
    assert (type(wrapped), wrapped is own, vars(own)) == (type(own), False, vars(before))
    result = await agents.Runner.run(learned, "a long story")
    assert result.final_output == "from B"
    assert {*told} == {"asked by A", "angry", "filtered"}
    script: Any = b.model
    assert [item.get("content") for item in script.calls[0].input][:1] == ["short"]
    assert memory.lines[-1] == "assistant: from B"
    assert json.loads(memory.lines[-2].removeprefix("result: ")) == {"assistant": "B"}
