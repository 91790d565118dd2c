"""The OpenAI Agents SDK: one conversation is one session, and every run has its outcome, however they end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import agents
import pytest
from agents import Agent, RunConfig
from agents.tracing import set_trace_provider
from agents.tracing.provider import DefaultTraceProvider
from agents.tracing.setup import get_trace_provider
from pydantic import BaseModel

from acontext_adapters.openai_agents import Runner, wrap
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning

from .host import TOOLS, calls
from .scripted import ScriptedModel, assistant_message, function_call

WAYS = {"plain runner": agents.Runner, "our runner": Runner}
ways = pytest.mark.parametrize("runner", WAYS.values(), ids=WAYS)
WEATHER = ['call: weather {"city":"Oslo"}', "result: 21C in Oslo"]


async def talk(memory: MemoryClient, runner: Any, agent: Agent[Any], turns: int, **options: Any) -> None:
    """So many turns with the history sent again each time."""
    wrapped = learning(agent, space="s", client=memory, strict=True)
    history: list[Any] = []
    mode = options.pop("mode", None)
    for number in range(turns):
        result = await runner.run(wrapped, [*history, {"role": "user", "content": f"turn {number}"}], **options)
        history = result.to_input_list() if mode is None else result.to_input_list(mode=mode)


def agent(model: ScriptedModel, name: str = "A", **changes: Any) -> Agent[Any]:
    return Agent(name=name, model=model, **{"tools": TOOLS, **changes})


# -- answers without words
EMPTY: dict[str, list[Any]] = {"no items": [], "an empty text": [assistant_message("")]}


@ways
@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("group", [None, "g1"])
async def test_an_answer_without_words_does_not_tear_a_conversation(
    runner: Any, empty: Any, where: int, group: str | None
) -> None:
    memory = MemoryClient()
    answers = [empty if number == where else [assistant_message(f"answer {number}")] for number in range(4)]
    await talk(memory, runner, agent(ScriptedModel(answers)), 4, run_config=RunConfig(group_id=group))
    said = [line for line in memory.lines if line != "assistant: "]
    rest = [number for number in range(4) if number != where]
    assert [line for line in said if line.startswith("user")] == [f"user: turn {number}" for number in range(4)]
    assert [line for line in said if line.startswith("assistant")] == [f"assistant: answer {n}" for n in rest]


@ways
async def test_conversations_that_begin_alike_and_get_no_words_are_not_mixed(runner: Any) -> None:
    memory = MemoryClient()
    wrapped = learning(agent(ScriptedModel([[], [], []])), space="s", client=memory, strict=True)
    for _ in range(2):
        await runner.run(wrapped, [{"role": "user", "content": "hi"}])
    await runner.run(wrapped, [{"role": "user", "content": "hi"}, {"role": "user", "content": "are you there?"}])
    assert len(memory.sessions) == 3


@ways
async def test_a_tool_whose_result_is_the_answer_does_not_tear_a_conversation(runner: Any) -> None:
    memory = MemoryClient()
    model = calls(("weather", "c1"), ("weather", "c2"), ("weather", "c3"))
    await talk(memory, runner, agent(model, tool_use_behavior="stop_on_first_tool"), 3)
    assert memory.lines == [line for number in range(3) for line in (f"user: turn {number}", *WEATHER)]


# -- handoffs
@ways
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("asked", [1, 2])
@pytest.mark.parametrize("mode", [None, "normalized"])
async def test_a_handoff_does_not_cut_a_conversation(runner: Any, nested: bool, asked: int, mode: str | None) -> None:
    memory = MemoryClient()
    b = agent(calls("from B"), "B")
    handoffs = [function_call("transfer_to_b", {}, call_id=f"h{number}") for number in range(asked)]
    a = agent(calls(("weather", "c1"), handoffs, "second", "third"), handoffs=[b])
    await talk(memory, runner, a, 3, mode=mode, run_config=RunConfig(nest_handoff_history=nested))
    turns = [line for line in memory.lines if line.startswith(("user", "assistant"))]
    assert turns == [
        "user: turn 0",
        "assistant: from B",
        "user: turn 1",
        "assistant: second",
        "user: turn 2",
        "assistant: third",
    ]
    assert len([line for line in memory.lines if line.startswith("call")]) == 1 + asked


# -- error handlers
class Verdict(BaseModel):
    paid: bool


@ways
@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize(
    ("output", "recorded"),
    [("gave up", "gave up"), ({"a": [1]}, '{"a":[1]}'), (Verdict(paid=False), '{"paid":false}'), (None, "null")],
)
async def test_the_output_of_an_error_handler_is_recorded_as_json_and_is_no_success(
    runner: Any, traced: bool, output: Any, recorded: str
) -> None:
    memory = MemoryClient()
    wrapped = learning(agent(calls(("weather", "c1"), "never")), space="s", client=memory, strict=True)
    handlers: Any = {"max_turns": lambda given: {"final_output": output}}
    config = RunConfig(tracing_disabled=not traced)
    result = await runner.run(wrapped, "go", max_turns=1, error_handlers=handlers, run_config=config)
    assert result.final_output == output
    assert memory.lines == ["user: go", *WEATHER, f"assistant: {recorded}"]
    assert memory.outcome is not None
    status, reason = memory.outcome
    assert status == "failed"
    assert "MaxTurnsExceeded" in reason
    assert "an error handler gave the final output" in reason


@ways
@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("text", ["no JSON at all", '{"paid": "maybe"}', '{"paid": true}'])
async def test_an_output_that_does_not_fit_is_no_success_when_a_handler_answers(
    runner: Any, traced: bool, text: str
) -> None:
    memory = MemoryClient()
    wrapped = learning(agent(calls(text), output_type=Verdict), space="s", client=memory, strict=True)
    handlers: Any = {"invalid_final_output": lambda given: {"final_output": Verdict(paid=False)}}
    config = RunConfig(tracing_disabled=not traced)
    result = await runner.run(wrapped, "go", error_handlers=handlers, run_config=config)
    assert memory.outcome is not None
    if text == '{"paid": true}':
        assert (result.final_output, memory.outcome) == (Verdict(paid=True), ("success", ""))
    else:
        assert memory.lines == ["user: go", f"assistant: {text}", 'assistant: {"paid":false}']
        assert memory.outcome[0] == "failed"
        assert memory.outcome[1].endswith("an error handler gave the final output")


@ways
async def test_the_output_of_an_error_handler_does_not_tear_a_conversation(runner: Any) -> None:
    memory = MemoryClient()
    handlers: Any = {"max_turns": lambda given: {"final_output": "gave up"}}
    model = calls(("weather", "c1"), ("weather", "c2"), "well")
    await talk(memory, runner, agent(model), 3, max_turns=1, error_handlers=handlers)
    lines = [line for number in range(2) for line in (f"user: turn {number}", *WEATHER, "assistant: gave up")]
    assert memory.lines == [*lines, "user: turn 2", "assistant: well"]


# -- a host that sets its own tracing after its agents were wrapped
@pytest.fixture(params=["processors", "provider"])
def replaced(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Replaces what `learning` has put into the SDK's tracing, as a host does in its `main()`."""
    provider = get_trace_provider()

    def replace() -> None:
        if request.param == "processors":
            agents.set_trace_processors([])
        else:
            set_trace_provider(DefaultTraceProvider())

    yield replace
    set_trace_provider(provider)
    assert wrap.witness.relay is not None
    agents.set_trace_processors([wrap.witness.relay])


RUNS: dict[str, tuple[list[Any], Any, tuple[str, str]]] = {
    "model raises": ([RuntimeError("503")], {}, ("failed", "RuntimeError: 503")),
    "model raises later": ([("weather", "c1"), RuntimeError("503")], {}, ("failed", "RuntimeError: 503")),
    "tool raises": ([("fatal", "c1")], {}, ("failed", "UserError: Error running tool fatal: fatal tool")),
    "turns are over": ([("weather", "c1")], {"max_turns": 1}, ("failed", "MaxTurnsExceeded: Max turns (1) exceeded")),
    "a handler answers": (
        [("weather", "c1")],
        {"max_turns": 1, "error_handlers": {"max_turns": lambda given: "gave up"}},
        ("failed", "MaxTurnsExceeded: Max turns (1) exceeded; an error handler gave the final output"),
    ),
    "a person is asked": ([("risky", "late-1")], {}, ("interrupted", "risky")),
    "it works": (["fine"], {}, ("success", "")),
}


def _kept() -> tuple[int, int, int]:
    """How many spans are known: other tests of this process may have left some."""
    return len(wrap.witness._owners), len(wrap.witness._tokens), len(wrap.witness._between)


@ways
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", RUNS)
async def test_the_first_run_after_the_host_set_its_tracing_has_its_outcome(
    runner: Any, streamed: bool, name: str, replaced: Any
) -> None:
    steps, options, outcome = RUNS[name]
    memory, before = MemoryClient(), _kept()
    wrapped = learning(agent(calls(*steps)), space="s", client=memory, strict=True)
    replaced()
    try:
        if streamed:
            result = runner.run_streamed(wrapped, "go", **options)
            async for _ in result.stream_events():
                pass
            await result.run_loop_task
        else:
            await runner.run(wrapped, "go", **options)
    except Exception:
        assert outcome[0] == "failed"
    assert memory.outcome == outcome
    assert _kept() == before


@ways
async def test_that_run_has_its_outcome_behind_a_handoff_too(runner: Any, replaced: Any) -> None:
    memory = MemoryClient()
    b = agent(calls(("weather", "c1"), RuntimeError("503")), "B")
    a = agent(calls([function_call("transfer_to_b", {}, call_id="h1")]), handoffs=[b])
    wrapped = learning(a, space="s", client=memory, strict=True)
    replaced()
    with pytest.raises(RuntimeError):
        await runner.run(wrapped, "go")
    assert memory.outcome == ("failed", "RuntimeError: 503")
