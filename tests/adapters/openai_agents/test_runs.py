"""The OpenAI Agents SDK: injection, conversations, sub-agents, containers, and the ways to attach."""

from __future__ import annotations

import asyncio
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import agents
import pytest
from agents import Agent, AgentHooks, RunConfig, SQLiteSession, function_tool, handoff
from agents.run_config import ModelInputData

from acontext_adapters.openai_agents import Runner, hooks
from acontext_adapters.openai_agents.run_registry import registry
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import current_run, learning, report

from .host import SKILLS, TOOLS, call, calls, weather
from .scripted import ScriptedModel, assistant_message, function_call

WAYS = {"plain runner": agents.Runner, "our runner": Runner}
ways = pytest.mark.parametrize("runner", WAYS.values(), ids=WAYS)


def agent(model: ScriptedModel, name: str = "A", **changes: Any) -> Agent[Any]:
    return Agent(name=name, model=model, **{"instructions": "Base.", "tools": [weather], **changes})


def learned(target: Any, memory: MemoryClient, **options: Any) -> Any:
    return learning(target, space="weather", client=memory, strict=True, **options)


# -- injection
@ways
async def test_skills_stand_after_the_instructions_the_same_bytes_in_every_turn(runner: Any) -> None:
    texts = iter(["first", "second"])
    memory = MemoryClient(lambda query: next(texts))
    model = calls(("weather", "c1"), ("weather", "c2"), "ok")
    await runner.run(learned(agent(model), memory), "weather in Oslo?")
    assert [made.system_instructions for made in model.calls] == ["Base.\n\nfirst"] * 3
    (query,) = memory.queries
    assert (query.space, query.text, query.tools) == ("weather", "weather in Oslo?", ["weather"])
    assert query.run_id == query.session_key == memory.session.ref.key


@ways
@pytest.mark.parametrize("base", [None, "Base.", "sync", "async"])
async def test_skills_follow_instructions_of_every_kind(base: str | None, runner: Any) -> None:
    def sync(context: Any, agent: Any) -> str:
        return f"I am {agent.name}."

    async def later(context: Any, agent: Any) -> str:
        return f"I am {agent.name}."

    instructions: Any = {"sync": sync, "async": later}.get(base or "", base)
    model = calls("ok")
    await runner.run(learned(agent(model, instructions=instructions), MemoryClient("S")), "hi")
    words = {None: "S", "Base.": "Base.\n\nS"}.get(base, "I am A.\n\nS")
    assert [made.system_instructions for made in model.calls] == [words]


async def test_the_tools_of_agents_that_are_handed_off_to_count_as_the_runs_own() -> None:
    memory = MemoryClient("S")
    b = agent(calls("from B"), "B", tools=[weather])
    a = agent(calls([function_call("transfer_to_b", {}, call_id="h1")]), tools=[], handoffs=[b])
    await agents.Runner.run(learned(a, memory), "hi")
    assert [query.tools for query in memory.queries] == [["transfer_to_b", "weather"]]


@ways
async def test_without_injection_instructions_stay_as_they_are(runner: Any) -> None:
    memory = MemoryClient("S")
    model = calls("ok")
    wrapped = learned(agent(model), memory, inject=False)
    assert wrapped.instructions == "Base."
    await runner.run(wrapped, "hi")
    assert (model.calls[0].system_instructions, memory.queries) == ("Base.", [])
    assert memory.lines == ["user: hi", "assistant: ok"]


@ways
async def test_skills_can_stand_in_the_users_turn_and_are_never_recorded(runner: Any) -> None:
    memory = MemoryClient(SKILLS)
    model = calls(("weather", "c1"), "ok")
    wrapped = learned(agent(model), memory, inject_as="user")
    result = await runner.run(wrapped, "weather in Oslo?")
    assert [made.system_instructions for made in model.calls] == ["Base.", "Base."]
    assert [made.input[0]["content"] for made in model.calls] == [f"weather in Oslo?\n\n{SKILLS}"] * 2
    assert result.to_input_list()[0]["content"] == "weather in Oslo?"
    assert memory.lines[0] == "user: weather in Oslo?"
    assert len(memory.queries) == 1


@ways
async def test_skills_in_the_users_turn_come_after_the_hosts_own_filter_and_into_lists_too(runner: Any) -> None:
    def own(data: Any) -> ModelInputData:
        return ModelInputData(input=data.model_data.input, instructions="Filtered.")

    model = calls("ok")
    wrapped = learned(agent(model), MemoryClient("S"), inject_as="user")
    given = [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]
    await runner.run(wrapped, given, run_config=RunConfig(call_model_input_filter=own))
    assert model.calls[0].system_instructions == "Filtered."
    assert [part["text"] for part in model.calls[0].input[0]["content"]] == ["hi", "S"]
    assert given == [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]


@ways
async def test_our_own_text_in_a_turn_is_taken_out_before_it_is_recorded(runner: Any) -> None:
    memory = MemoryClient()
    await runner.run(learned(agent(calls("ok")), memory), f"weather?\n\n{SKILLS}")
    assert memory.lines == ["user: weather?", "assistant: ok"]


# -- conversations
@ways
async def test_system_and_developer_messages_are_never_recorded(runner: Any) -> None:
    memory = MemoryClient()
    given = [{"role": "system", "content": "secret"}, {"role": "developer", "content": "secret"}]
    await runner.run(learned(agent(calls("ok")), memory), [*given, {"role": "user", "content": "hi"}])
    assert memory.lines == ["user: hi", "assistant: ok"]


@ways
async def test_a_history_that_nobody_saw_is_context_and_only_its_newest_turn_is_recorded(runner: Any) -> None:
    memory = MemoryClient()
    given = [
        {"role": "user", "content": "before"},
        {"role": "assistant", "content": "earlier"},
        {"role": "user", "content": "now"},
    ]
    await runner.run(learned(agent(calls("ok")), memory), given)
    assert memory.lines == ["user: now", "assistant: ok"]


@ways
@pytest.mark.parametrize("window", [1, 2, 3, 5])
async def test_a_host_that_sends_a_window_of_its_history_goes_on_in_one_session(runner: Any, window: int) -> None:
    """With tools, so that a window may begin anywhere; of one item, only a name tells which session it is."""
    memory = MemoryClient()
    said = ("one", "two", "three", "four")
    script = calls(*(step for n, word in enumerate(said) for step in (("weather", f"w{n}"), f"answer {word}")))
    wrapped = learned(agent(script), memory, **({"session": "s"} if window == 1 else {}))
    history: list[Any] = []
    for word in said:
        result = await runner.run(wrapped, [*history[-window:], {"role": "user", "content": word}])
        history = result.to_input_list()
    (session,) = memory.sessions.values()
    assert [line for line in session.lines if line.startswith(("user", "assistant"))] == [
        line for word in said for line in (f"user: {word}", f"assistant: answer {word}")
    ]
    assert len(session.lines) == 16


@ways
async def test_the_same_words_in_a_named_session_are_kept_each_time(runner: Any) -> None:
    memory = MemoryClient()
    wrapped = learned(agent(calls("ok", "ok", "ok")), memory, session="s")
    for _ in range(3):
        await runner.run(wrapped, "next")
    (session,) = memory.sessions.values()
    assert session.lines == ["user: next", "assistant: ok"] * 3


@ways
async def test_two_conversations_with_the_same_words_are_never_mixed_up(runner: Any) -> None:
    memory = MemoryClient()
    wrapped = learned(agent(calls("hello", "hello", "fine")), memory)
    first = await runner.run(wrapped, "hi")
    await runner.run(wrapped, "hi")
    await runner.run(wrapped, [*first.to_input_list(), {"role": "user", "content": "how are you?"}])
    lines = [session.lines for session in memory.sessions.values()]
    assert lines == [
        ["user: hi", "assistant: hello"],
        ["user: hi", "assistant: hello"],
        ["user: how are you?", "assistant: fine"],
    ]


@ways
async def test_a_trace_group_names_the_conversation(runner: Any) -> None:
    memory = MemoryClient()
    wrapped = learned(agent(calls("one", "two")), memory)
    config = RunConfig(group_id="thread-9")
    result = await runner.run(wrapped, "first", run_config=config)
    given = [*result.to_input_list(), {"role": "user", "content": "second"}]
    await runner.run(wrapped, given, run_config=config)
    assert memory.session.ref.key == "thread-9"
    assert memory.lines == ["user: first", "assistant: one", "user: second", "assistant: two"]


async def test_an_sdk_session_names_the_conversation_also_in_another_process() -> None:
    memory = MemoryClient()
    session = SQLiteSession("thread-7")
    before = [{"role": "user", "content": "long ago"}, {"role": "assistant", "content": "yes"}]
    await session.add_items(before)
    result = Runner.run_streamed(learned(agent(calls("one")), memory), "first", session=session)
    async for _ in result.stream_events():
        pass
    await asyncio.sleep(0)
    session.close()
    assert memory.session.ref.key == "thread-7"
    assert memory.lines == ["user: first", "assistant: one"]
    assert memory.outcome == ("success", "")


async def test_a_conversation_of_the_provider_names_the_session() -> None:
    memory = MemoryClient()
    wrapped = learned(agent(calls("one", "two")), memory)
    await Runner.run(wrapped, "first", conversation_id="conv_1")
    await Runner.run(wrapped, "second", conversation_id="conv_1")
    assert memory.session.ref.key == "conv_1"
    assert memory.lines == ["user: first", "assistant: one", "user: second", "assistant: two"]


@ways
async def test_a_session_that_was_given_to_learning_takes_all_runs(runner: Any) -> None:
    memory = MemoryClient()
    wrapped = learned(agent(calls("one", "two")), memory, session="all", principal="ann")
    await runner.run(wrapped, "first")
    await runner.run(wrapped, "second")
    assert (memory.session.ref.key, memory.session.ref.principal) == ("all", "ann")
    assert len({message.run_id for message in memory.session.messages}) == 2


def test_a_run_without_a_loop_is_recorded_like_any_other() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        for runner in WAYS.values():
            memory = MemoryClient("S")
            runner.run_sync(learned(agent(calls(("weather", "c1"), "ok")), memory), "hi")
            assert memory.lines[-1] == "assistant: ok"
            assert memory.outcome == ("success", "")
    finally:
        asyncio.set_event_loop(None)
        loop.close()


@ways
async def test_runs_of_one_agent_at_the_same_time_keep_apart(runner: Any) -> None:
    class Slow(ScriptedModel):
        async def get_response(self, *args: Any, **kwargs: Any) -> Any:
            given = kwargs.get("input", args[1] if len(args) > 1 else None)
            await asyncio.sleep(0)
            done = any(item.get("type") == "function_call_output" for item in given)
            self.enqueue([assistant_message("ok")] if done else [call("weather", f"c-{given[0]['content']}")])
            return await super().get_response(*args, **kwargs)

    memory = MemoryClient("S")
    wrapped = learned(agent(Slow([])), memory)
    await asyncio.gather(*(runner.run(wrapped, f"ask {number}") for number in range(20)))
    sessions = memory.sessions.values()
    assert len(sessions) == 20
    for session in sessions:
        assert [message.role for message in session.messages] == ["user", "assistant", "tool", "assistant"]
        asked = session.messages[0].text
        assert session.messages[1].tool_calls[0].meta == {
            **(session.messages[1].tool_calls[0].meta or {}),
            "id": f"c-{asked}",
        }
        assert session.outcome is not None
        assert session.outcome.status == "success"


@ways
def test_threads_keep_apart_too(runner: Any) -> None:
    memory = MemoryClient("S")
    wrapped = learned(agent(calls(*["ok"] * 16)), memory)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: asyncio.run(runner.run(wrapped, f"ask {number}")), range(16)))
    assert sorted(session.lines[0] for session in memory.sessions.values()) == sorted(
        f"user: ask {number}" for number in range(16)
    )


# -- runs in runs
@ways
async def test_sub_agents_at_the_same_time_are_children_of_their_calls(runner: Any) -> None:
    memory = MemoryClient("S")
    sub = learned(agent(calls(("weather", "s1"), ("weather", "s2"), "warm", "warm"), "SUB"), memory)
    model = calls(
        [function_call("ask", {"input": "a"}, call_id="t1"), function_call("ask", {"input": "b"}, call_id="t2")], "fin"
    )
    await runner.run(learned(agent(model, tools=[sub.as_tool("ask", "asks")]), memory), "both")
    sessions = list(memory.sessions.values())
    assert len(sessions) == 3
    (main,) = [session for session in sessions if session.ref.track_tasks]
    children = [session for session in sessions if not session.ref.track_tasks]
    assert {session.ref.key for session in children} == {f"{main.ref.key}/t1", f"{main.ref.key}/t2"}
    assert all(session.ref.configs["parent_session"] == main.ref.key for session in children if session.ref.configs)
    assert sorted(session.lines[0] for session in children) == ["user: a", "user: b"]
    assert all(len(session.lines) == 4 for session in children)


@ways
async def test_an_approval_inside_of_a_sub_agent_continues_both_runs(runner: Any) -> None:
    memory = MemoryClient("S")
    sub = learned(agent(calls(("risky", "nested-1"), "warm"), "SUB", tools=TOOLS), memory)
    model = calls([function_call("ask", {"input": "a"}, call_id="nested-t1")], "fin")
    result = await runner.run(learned(agent(model, tools=[sub.as_tool("ask", "asks")]), memory), "go")
    state = result.to_state()
    state.approve(result.interruptions[0])
    result = await runner.run(result.last_agent, state)
    assert result.final_output == "fin"
    sessions = {session.ref.agent: session for session in memory.sessions.values()}
    assert len(memory.sessions) == 2
    assert sessions["A"].lines == ["user: go", 'call: ask {"input":"a"}', "result: warm", "assistant: fin"]
    assert sessions["SUB"].lines == ["user: a", 'call: risky {"city":"Oslo"}', "result: done Oslo", "assistant: warm"]
    assert [session.outcome.status for session in sessions.values() if session.outcome] == ["success", "success"]


@ways
async def test_a_run_that_a_tool_starts_by_itself_is_a_child(runner: Any) -> None:
    memory = MemoryClient("S")
    inner = learned(agent(calls("inside"), "INNER"), memory)

    @function_tool
    async def ask() -> str:
        return str((await agents.Runner.run(inner, "deep")).final_output)

    await runner.run(learned(agent(calls([function_call("ask", {}, call_id="c1")], "ok"), tools=[ask]), memory), "go")
    sessions = {session.ref.agent: session for session in memory.sessions.values()}
    assert sessions["INNER"].ref.key.startswith(sessions["A"].ref.key + "/")
    assert not sessions["INNER"].ref.track_tasks


async def test_our_runner_inside_of_our_runner_is_a_child() -> None:
    memory = MemoryClient("S")
    inner = learned(agent(calls(("weather", "i1"), "inside"), "INNER"), memory)

    @function_tool
    async def ask() -> str:
        return str((await Runner.run(inner, "deep")).final_output)

    await Runner.run(learned(agent(calls([function_call("ask", {}, call_id="c1")], "ok"), tools=[ask]), memory), "go")
    sessions = {session.ref.agent: session for session in memory.sessions.values()}
    assert sessions["INNER"].ref.key.startswith(sessions["A"].ref.key + "/")
    assert sessions["A"].lines == ["user: go", "call: ask {}", "result: inside", "assistant: ok"]
    assert sessions["INNER"].lines[-1] == "assistant: inside"
    assert [session.outcome.status for session in sessions.values() if session.outcome] == ["success", "success"]


async def test_a_function_that_gives_a_streamed_run_ends_with_it() -> None:
    memory = MemoryClient("S")
    wrapped = learned(agent(calls(("weather", "c1"), "ok")), memory)

    @learning(space="weather", client=memory, strict=True)
    def ask(question: str) -> Any:
        return Runner.run_streamed(wrapped, question)

    result = ask("go")
    assert memory.recordings == []
    async for _ in result.stream_events():
        pass
    await asyncio.sleep(0)
    assert memory.lines == ["user: go", 'call: weather {"city":"Oslo"}', "result: 21C in Oslo", "assistant: ok"]
    assert [outcome.status for outcome in memory.session.outcomes] == ["success"]


async def test_a_run_that_another_process_interrupted_goes_on_in_its_sdk_session() -> None:
    memory = MemoryClient("S")
    session = SQLiteSession("thread-3")
    wrapped = learned(agent(calls(("risky", "far-1"), "ok"), tools=TOOLS), memory)
    result = await Runner.run(wrapped, "go", session=session)
    state = result.to_state()
    state.approve(result.interruptions[0])
    registry._interrupted.clear()  # as in a process that has not seen it
    await Runner.run(wrapped, state, session=session)
    session.close()
    assert memory.session.ref.key == "thread-3"
    assert memory.lines == ["user: go", 'call: risky {"city":"Oslo"}', "result: done Oslo", "assistant: ok"]
    assert [outcome.status for outcome in memory.session.outcomes] == ["interrupted", "success"]


@ways
async def test_a_tool_can_say_how_the_run_turned_out(runner: Any) -> None:
    memory = MemoryClient("S")
    seen: list[Any] = []

    @function_tool
    def check() -> str:
        seen.append(current_run())
        report("failed", "the total is wrong")
        return "checked"

    await runner.run(
        learned(agent(calls([function_call("check", {}, call_id="c1")], "ok"), tools=[check]), memory), "go"
    )
    reported = [outcome for outcome in memory.session.outcomes if outcome.source == "report"]
    assert [(outcome.status, outcome.reason) for outcome in reported] == [("failed", "the total is wrong")]
    assert seen[0].session.key == memory.session.ref.key
    assert seen[0].skills_text == "S"
    assert current_run() is None


@ways
async def test_a_function_around_agents_makes_one_task_of_them(runner: Any) -> None:
    memory = MemoryClient("S")
    first, second = learned(agent(calls("one"), "A"), memory), learned(agent(calls("two"), "B"), memory)

    @learning(space="weather", client=memory, strict=True)
    async def both(question: str) -> str:
        await runner.run(first, question)
        return str((await runner.run(second, "and again")).final_output)

    assert await both("go") == "two"
    assert memory.lines == ["user: go", "assistant: one", "user: and again", "assistant: two"]
    assert len({message.run_id for message in memory.session.messages}) == 1
    assert [outcome.status for outcome in memory.session.outcomes] == ["success"]


# -- ways to attach
async def test_hooks_record_an_agent_that_is_not_wrapped() -> None:
    memory = MemoryClient("S")
    b = agent(calls("from B"), "B")
    a = agent(calls(("weather", "c1"), [function_call("transfer_to_b", {}, call_id="h1")]), handoffs=[b])
    await agents.Runner.run(a, "go", hooks=hooks(space="weather", client=memory))
    assert memory.lines == [
        "user: go",
        'call: weather {"city":"Oslo"}',
        "result: 21C in Oslo",
        "call: transfer_to_b {}",
        'result: {"assistant": "B"}',
        "assistant: from B",
    ]
    assert memory.outcome == ("success", "")
    assert memory.queries == []


@ways
async def test_a_wrapped_agent_with_our_hooks_is_recorded_once(runner: Any) -> None:
    memory = MemoryClient("S")
    wrapped = learned(agent(calls(("weather", "c1"), "ok")), memory)
    await runner.run(wrapped, "go", hooks=hooks(space="weather", client=memory))
    assert memory.lines == ["user: go", 'call: weather {"city":"Oslo"}', "result: 21C in Oslo", "assistant: ok"]
    assert memory.outcome == ("success", "")


async def test_an_agent_that_is_not_wrapped_runs_with_our_runner_as_ever() -> None:
    result = await Runner.run(agent(calls("ok")), "go")
    assert result.final_output == "ok"


def test_the_agent_that_was_given_stays_as_it_was() -> None:
    b = agent(calls("x"), "B")
    own = AgentHooks[Any]()
    a = agent(calls("x"), handoffs=[b, handoff(b)], hooks=own)
    before = {name: getattr(a, name) for name in ("instructions", "hooks", "handoffs", "tools", "model")}
    wrapped = learned(a, MemoryClient())
    assert wrapped is not a
    assert type(wrapped) is type(a)
    assert all(getattr(a, name) is value for name, value in before.items())
    assert a.handoffs[0] is b
    assert wrapped.tools is a.tools


def test_a_cycle_of_handoffs_stays_a_cycle() -> None:
    a, b = agent(calls("x")), agent(calls("x"), "B")
    a.handoffs.append(b)
    b.handoffs.append(a)
    wrapped = learned(a, MemoryClient())
    assert wrapped.handoffs[0].handoffs[0] is wrapped


def test_wrapping_twice_gives_the_same_and_other_options_wrap_anew() -> None:
    memory = MemoryClient()
    a = agent(calls("x"))
    wrapped = learned(a, memory)
    assert learned(wrapped, memory) is wrapped
    other = learned(wrapped, memory, limit=1)
    assert other is not wrapped
    assert other.hooks.inner is None
    assert learned(other, memory, inject=False).instructions == "Base."


async def test_wrapped_twice_it_injects_and_records_once() -> None:
    memory = MemoryClient("S")
    model = calls("ok")
    await agents.Runner.run(learned(learned(agent(model), memory), memory, limit=1), "hi")
    assert model.calls[0].system_instructions == "Base.\n\nS"
    assert memory.lines == ["user: hi", "assistant: ok"]


async def test_a_clone_of_a_wrapped_agent_is_wrapped() -> None:
    memory = MemoryClient("S")
    wrapped = learned(agent(calls("ok")), memory).clone(name="C")
    await agents.Runner.run(wrapped, "hi")
    assert memory.session.ref.agent == "C"
    assert learned(wrapped, memory) is wrapped


async def test_subclasses_stay_what_they_are() -> None:
    @dataclasses.dataclass
    class Shop(Agent[Any]):
        city: str = "Oslo"

    class Own(Agent[Any]):
        def __init__(self, model: Any) -> None:
            super().__init__(name="Own", instructions="Base.", model=model)
            self.extra = 1

    memory = MemoryClient("S")
    shop = learned(Shop(name="A", model=calls("ok"), city="Bergen"), memory)
    assert (type(shop), shop.city) == (Shop, "Bergen")
    await agents.Runner.run(shop, "hi")
    assert memory.lines == ["user: hi", "assistant: ok"]
    model = calls("ok")
    mine = Own(model)
    own = learned(mine, memory)
    assert (type(own), own.extra, mine.hooks, mine.instructions) == (Own, 1, None, "Base.")
    await agents.Runner.run(own, "hi")
    assert model.calls[0].system_instructions == "Base.\n\nS"


async def test_own_hooks_are_called_first_to_last_and_keep_their_other_attributes() -> None:
    class Own(AgentHooks[Any]):
        color = "green"

        def __init__(self) -> None:
            self.called: list[str] = []

        async def on_start(self, context: Any, agent: Any) -> None:
            self.called.append("start")

        async def on_end(self, context: Any, agent: Any, output: Any) -> None:
            self.called.append("end")

    own = Own()
    wrapped = learned(agent(calls("ok"), hooks=own), MemoryClient())
    await agents.Runner.run(wrapped, "hi")
    assert own.called == ["start", "end"]
    assert wrapped.hooks.color == "green"
    with pytest.raises(AttributeError):
        _ = wrapped.hooks.taste


async def test_what_the_host_changes_afterwards_does_not_change_what_was_recorded() -> None:
    memory = MemoryClient()
    given: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]

    class Vandal(AgentHooks[Any]):
        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            given[0]["content"][0]["text"] = "changed"
            for item in response.output:
                for part in getattr(item, "content", ()):
                    part.text = "changed"
            response.output.clear()

    with_tools = agent(calls("ok"), hooks=Vandal())
    await agents.Runner.run(learned(with_tools, memory), given, max_turns=1)
    assert memory.lines[:2] == ["user: hi", "assistant: ok"]
