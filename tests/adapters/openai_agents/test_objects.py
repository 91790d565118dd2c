"""What a learned agent is in the hands of its host: compared, cloned, copied, saved, and changed."""

from __future__ import annotations

import copy
import dataclasses
import gc
import inspect
import logging
import pickle
import weakref
from typing import Any

import agents
import pytest
from agents import Agent, AgentHooks, RunConfig, RunHooks, SQLiteSession, handoff

from acontext_adapters.openai_agents import Runner, hooks
from acontext_adapters.openai_agents.learned import runtime_of
from acontext_adapters.testing import MemoryClient
from acontext_plugins import Acontext
from acontext_plugins.learning import learning

from .host import calls, weather
from .scripted import function_call

WAYS = {"plain runner": agents.Runner, "our runner": Runner}
ways = pytest.mark.parametrize("runner", WAYS.values(), ids=WAYS)


class Counting(AgentHooks[Any]):
    """Hooks with a state of their own."""

    def __init__(self) -> None:
        self.starts = 0

    async def on_start(self, context: Any, agent: Any) -> None:
        self.starts += 1


def agent(*steps: Any, **fields: Any) -> Agent[Any]:
    return Agent(**{"name": "A", "instructions": "Base.", "model": calls(*steps), "tools": [weather], **fields})


def learned(target: Any, memory: Any, **options: Any) -> Any:
    return learning(target, **{"space": "weather", "client": memory, "strict": True, **options})


def to_b() -> list[Any]:
    return [function_call("transfer_to_b", {}, call_id="h1")]


def prompts(target: Any) -> list[str | None]:
    return [made.system_instructions for made in target.model.calls]


# -- what it looks like
@pytest.mark.parametrize("options", [{}, {"inject": False}, {"inject_as": "user"}, {"space": None}])
def test_the_fields_of_an_agent_read_as_ever(options: dict[str, Any]) -> None:
    def instructions(context: Any, agent: Any) -> str:
        return "Base."

    for given in ("Base {city}.", instructions, None):
        bare = agent("x", instructions=given)
        wrapped = learned(bare, MemoryClient(), **options)
        assert type(wrapped) is Agent
        assert repr(wrapped) == repr(bare)
        for field in dataclasses.fields(bare):
            assert getattr(wrapped, field.name) == getattr(bare, field.name), field.name
            if field.name not in ("hooks", "handoffs"):
                assert getattr(wrapped, field.name) is getattr(bare, field.name), field.name


def test_instructions_that_are_text_stay_text() -> None:
    text = learned(agent("x", instructions="Base {city}."), MemoryClient("S")).instructions
    assert isinstance(text, str)
    assert (text + " More.", f"{text}", len(text), "city" in text) == ("Base {city}. More.", "Base {city}.", 12, True)
    assert text.format(city="Oslo") == "Base Oslo."


def test_a_learned_agent_equals_the_one_it_was_made_from() -> None:
    """`if result.last_agent == billing` is how hosts ask who answered; agents may hand off in circles."""
    b = agent("x", name="B", hooks=Counting())
    a = agent("x", handoffs=[b, handoff(b)])
    b.handoffs.append(a)
    wrapped = learned(a, MemoryClient())
    assert wrapped == a
    assert a == wrapped
    assert b == wrapped.handoffs[0]
    assert wrapped != b
    assert wrapped != wrapped.clone(name="C")
    assert learned(a, MemoryClient()) == wrapped
    with pytest.raises(TypeError, match="unhashable"):
        hash(wrapped)


@ways
async def test_the_last_agent_can_be_compared_with_the_hosts_own(runner: Any) -> None:
    b, c = agent("from B", name="B"), agent("x", name="C")
    result = await runner.run(learned(agent(to_b(), handoffs=[c, handoff(b)]), MemoryClient()), "go")
    assert result.last_agent == b
    assert result.last_agent != c


async def test_hooks_are_read_and_written_as_the_hosts_own() -> None:
    own = Counting()
    wrapped = learned(agent("x", hooks=own), MemoryClient())
    await agents.Runner.run(wrapped, "go")
    assert (wrapped.hooks.starts, own.starts) == (1, 1)
    wrapped.hooks.starts = 7
    assert own.starts == 7
    assert wrapped.hooks == own
    assert wrapped.hooks.inner is own
    assert learned(agent("x"), MemoryClient()).hooks.inner is None


def test_one_agent_is_learned_once_whatever_leads_to_it() -> None:
    shared = agent("x", name="Shared")
    b, c = agent("x", name="B", handoffs=[shared]), agent("x", name="C", handoffs=[handoff(shared)])
    wrapped = learned(agent("x", handoffs=[b, handoff(c), shared]), MemoryClient())
    by_b, by_itself = wrapped.handoffs[0].handoffs[0], wrapped.handoffs[2]
    assert by_b is by_itself
    assert by_b is not shared
    chain = agent("x", name="end")
    for number in range(2000):  # no limit of ours
        chain = agent("x", name=f"n{number}", handoffs=[chain, shared])
    wrapped, names = learned(chain, MemoryClient()), []
    while wrapped.handoffs:
        names.append(wrapped.name)
        (wrapped, also) = wrapped.handoffs
        assert runtime_of(also) is runtime_of(wrapped) is not None
    assert len(names) == 2000


def test_what_is_changed_on_the_original_later_is_not_known_but_for_lists_that_both_hold() -> None:
    a = agent("x")
    wrapped = learned(a, MemoryClient())
    a.instructions = "Other."
    a.handoffs.append(agent("x", name="B"))
    a.tools.append(weather)
    assert (wrapped.instructions, wrapped.handoffs, len(wrapped.tools)) == ("Base.", [], 2)


def test_a_learned_agent_that_nobody_holds_is_gone() -> None:
    a = agent("x")
    gone = weakref.ref(learned(a, MemoryClient()))
    gc.collect()
    assert gone() is None


# -- clones
@ways
@pytest.mark.parametrize("make", ["clone", "replace", "copy", "set"])
async def test_a_clone_is_learned_with_its_new_fields(make: str, runner: Any) -> None:
    memory = MemoryClient("S")
    base = learned(agent("bare"), memory)
    model = calls("ok")
    fields: dict[str, Any] = {"name": "C", "instructions": "New.", "model": model}
    if make == "clone":
        made = base.clone(**fields)
    elif make == "replace":
        made = dataclasses.replace(base, **fields)
    else:
        made = copy.copy(base) if make == "copy" else base
        for name, value in fields.items():
            setattr(made, name, value)
    await runner.run(made, "hi")
    assert prompts(made) == ["New.\n\nS"]
    assert (memory.session.ref.agent, memory.lines) == ("C", ["user: hi", "assistant: ok"])
    assert learned(made, memory) is made
    if make != "set":
        assert (base.instructions, base.name) == ("Base.", "A")


@ways
@pytest.mark.parametrize("make", ["clone", "replace", "append", "set"])
@pytest.mark.parametrize("link", [lambda b: b, handoff], ids=["agent", "handoff"])
async def test_the_new_handoffs_of_a_clone_are_learned(link: Any, make: str, runner: Any) -> None:
    memory = MemoryClient("S")
    base = learned(agent(to_b()), memory)
    b = agent("from B", name="B", instructions="I am B.")
    given = [link(b)]
    if make == "clone":
        made = base.clone(handoffs=given)
    elif make == "replace":
        made = dataclasses.replace(base, handoffs=given)
    else:
        made = base
        if make == "append":
            base.handoffs.append(given[0])
        else:
            base.handoffs = given
    result = await runner.run(made, "go")
    assert result.last_agent is not b
    assert prompts(b) == ["I am B.\n\nS"]
    assert memory.lines[-1] == "assistant: from B"
    assert given[0] is b or given[0].on_invoke_handoff is not made.handoffs[0].on_invoke_handoff
    assert (b.hooks, b.instructions) == (None, "I am B.")


@ways
async def test_hooks_that_a_clone_is_given_are_called_and_it_is_recorded(runner: Any) -> None:
    own, memory = Counting(), MemoryClient("S")
    made = learned(agent("x"), memory).clone(hooks=own, model=calls("ok"))
    await runner.run(made, "hi")
    assert (own.starts, prompts(made)) == (1, ["Base.\n\nS"])
    assert memory.lines == ["user: hi", "assistant: ok"]
    with pytest.raises(TypeError, match="hooks must be"):
        made.clone(hooks="none")


async def test_hooks_that_were_replaced_behind_our_back_make_the_agent_bare_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory = MemoryClient("S")
    wrapped = learned(agent("ok"), memory)
    wrapped.hooks = None
    with caplog.at_level(logging.WARNING, "acontext"):
        await agents.Runner.run(wrapped, "hi")
    assert "lost its hooks" in caplog.text
    assert (prompts(wrapped), memory.recordings) == (["Base."], [])


@ways
async def test_a_clone_that_is_learned_with_other_options_records_and_injects_once_by_those(runner: Any) -> None:
    memory, other = MemoryClient("S"), MemoryClient("T")
    b = agent("from B", name="B", instructions="I am B.")
    base = learned(agent(to_b(), handoffs=[handoff(b)]), memory, limit=1)
    made = learned(base.clone(instructions="New."), other)
    result = await runner.run(made, "go")
    assert (prompts(made), prompts(b)) == (["New.\n\nT"], ["I am B.\n\nT"])
    assert (other.lines[0], other.lines[-1]) == ("user: go", "assistant: from B")
    assert memory.recordings == []
    assert result.last_agent == b
    assert result.last_agent is made.handoffs[0]._agent_ref()


async def test_an_agent_that_is_built_from_the_parts_of_a_learned_one_is_learned() -> None:
    memory = MemoryClient("S")
    wrapped = learned(agent("ok"), memory)
    parts = {field.name: getattr(wrapped, field.name) for field in dataclasses.fields(Agent) if field.init}
    made = Agent(**parts)
    await agents.Runner.run(made, "hi")
    assert prompts(made) == ["Base.\n\nS"]
    assert memory.lines == ["user: hi", "assistant: ok"]


async def test_a_learned_agent_among_the_handoffs_of_another_stays_as_the_user_wrapped_it() -> None:
    memory, others = MemoryClient("S"), MemoryClient("T")
    c = agent("from C", name="C", instructions="I am C.")
    b = learned(agent([function_call("transfer_to_c", {}, call_id="h2")], name="B", handoffs=[c]), others)
    to_c = b.handoffs[0]
    wrapped = learned(agent(to_b(), handoffs=[handoff(b), b]), memory)
    assert wrapped.handoffs[1] is b
    assert b.handoffs[0] is to_c
    await agents.Runner.run(wrapped, "go")
    assert (prompts(b), prompts(c)) == (["Base.\n\nS"], ["I am C.\n\nS"])  # one run, of the one that began it


# -- copies
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
async def test_copies_of_a_learned_agent_are_learned(copied: Any, tmp_path: Any) -> None:
    with Acontext(f"sqlite:///{tmp_path}/memory.db") as client:
        own = Counting()
        b = agent("from B", name="B")
        a = agent(to_b(), hooks=own, handoffs=[handoff(b), b])
        b.handoffs.append(a)
        wrapped = learned(a, client)
        made = copied(wrapped)
        assert made is not wrapped
        assert (type(made), made.name, made.instructions) == (Agent, "A", "Base.")
        assert (made.hooks.inner is own) == (copied is copy.copy)
        assert runtime_of(made) is runtime_of(wrapped)
        result = await agents.Runner.run(made, "hi")
        assert result.final_output == "from B"
        client.flush()
        (session,) = client.sessions.list().items
        assert client.sessions.get_messages(session.id).items[0]["content"] == "hi"


def test_asdict_gives_what_it_gives_of_the_bare_agent(tmp_path: Any) -> None:
    with Acontext(f"sqlite:///{tmp_path}/memory.db") as client:
        bare = agent("x", hooks=Counting(), handoffs=[agent("x", name="B")])
        given, expected = dataclasses.asdict(learned(bare, client)), dataclasses.asdict(bare)
        assert given.keys() == expected.keys()
        for name in ("name", "instructions", "model_settings"):
            assert given[name] == expected[name]
        assert [tool["name"] for tool in given["tools"]] == ["weather"]
        assert [one["instructions"] for one in given["handoffs"]] == ["Base."]
        assert given["hooks"].starts == 0


def test_run_hooks_are_copied_with_a_client_too(tmp_path: Any) -> None:
    class Own(RunHooks[Any]):
        def __init__(self) -> None:
            self.seen = 0

    with Acontext(f"sqlite:///{tmp_path}/memory.db") as client:
        made: Any = copy.deepcopy(hooks(Own(), space="weather", client=client))
        assert type(made.inner) is Own


# -- our runner
@pytest.mark.parametrize("method", ["run", "run_sync", "run_streamed"])
def test_our_runner_has_the_signatures_of_the_installed_sdk(method: str) -> None:
    ours, theirs = getattr(Runner, method), getattr(agents.Runner, method)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)
    assert (ours.__name__, ours.__doc__) == (theirs.__name__, theirs.__doc__)


async def test_our_runner_takes_arguments_by_position_where_the_sdk_does() -> None:
    names = [
        one.name
        for one in inspect.signature(agents.Runner.run_streamed).parameters.values()
        if one.kind is one.POSITIONAL_OR_KEYWORD
    ]
    session = SQLiteSession("chat")
    given = {
        "context": {"a": 1},
        "max_turns": 3,
        "hooks": RunHooks[Any](),
        "run_config": RunConfig(workflow_name="w"),
        "previous_response_id": None,
        "auto_previous_response_id": False,
        "conversation_id": None,
        "session": session,
    }
    for count in range(len(names) - 1):
        memory = MemoryClient("S")
        wrapped = learned(agent("ok"), memory)
        positional: list[Any] = [given[name] for name in names[2 : 2 + count]]
        result = Runner.run_streamed(wrapped, "hi", *positional)
        async for _ in result.stream_events():
            pass
        assert result.final_output == "ok"
        assert memory.lines == ["user: hi", "assistant: ok"]
        if "context" in names[2 : 2 + count]:
            assert result.context_wrapper.context == {"a": 1}
        if "session" in names[2 : 2 + count]:
            assert memory.session.ref.key == "chat"
    by_name = await Runner.run(input="hi", starting_agent=learned(agent("ok"), MemoryClient()))
    assert by_name.final_output == "ok"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), {}),
        (("agent",), {}),
        (("agent", "hi", 3), {}),
        (("agent", "hi"), {"input": "x"}),
        (("agent", "hi"), {"x": 1}),
    ],
)
async def test_arguments_that_do_not_fit_are_the_sdks_own_error(given: Any, named: dict[str, Any]) -> None:
    values = [learned(agent("ok"), MemoryClient()) if one == "agent" else one for one in given]
    errors = []
    for runner in (agents.Runner, Runner):
        with pytest.raises(TypeError) as raised:
            await runner.run(*values, **named)
        errors.append(str(raised.value))
    assert errors[0] == errors[1]


# -- pickles
class Kept(AgentHooks[Any]):
    """Hooks that can be pickled."""

    color = "green"


def said_by_a_function(context: Any, agent: Any) -> str:
    return "Said."


@pytest.mark.parametrize("instructions", ["Base.", said_by_a_function, None])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
async def test_a_learned_agent_is_pickled_where_the_bare_one_is_and_stays_learned(
    protocol: int, instructions: Any, tmp_path: Any
) -> None:
    with Acontext(f"sqlite:///{tmp_path}/memory.db") as client:
        b = Agent[Any](name="B", instructions="I am B.", model="gpt-5")
        bare = Agent[Any](name="A", instructions=instructions, hooks=Kept(), handoffs=[b], model="gpt-5")
        b.handoffs.append(bare)
        pickle.dumps(bare, protocol)
        wrapped = learning(bare, space="weather", client=client)
        made = pickle.loads(pickle.dumps(wrapped, protocol))
        assert (type(made), made.name, made.instructions) == (Agent, "A", instructions)
        assert made.hooks.color == "green"
        assert made.handoffs[0].handoffs[0] is made
        model = calls("ok")
        made.model = model
        await agents.Runner.run(made, "hi")
        client.flush()
        (session,) = client.sessions.list().items
        assert client.sessions.get_messages(session.id).items[0]["content"] == "hi"
        assert learning(made, space="weather", client=client) is made
        assert {**vars(wrapped)}.keys() - vars(bare).keys() == vars(made).keys() - vars(bare).keys()


def test_an_agent_that_cannot_be_pickled_bare_cannot_be_learned_either() -> None:
    bare = agent("x", handoffs=[handoff(agent("x", name="B"))])
    for target in (bare, learning(bare, space="weather")):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            pickle.dumps(target)
