"""What `learning(agent)` gives back, and what it leaves as it was."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
from agno.agent import Agent
from agno.team import Team

from acontext_adapters.agno import adapter
from acontext_adapters.agno.wrap import wrapped_of
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import Adapter, learning

from .host import SKILLS, weather
from .scripted import ScriptedModel, call, scripted


def bare(*steps: Any, **changes: Any) -> Agent:
    return Agent(name="A", model=scripted(*steps), tools=[weather], telemetry=False, **changes)


def of(memory: MemoryClient, target: Any, **options: Any) -> Any:
    return learning(target, space="s", client=memory, strict=True, deadline=30, **options)


def test_importing_the_adapter_loads_nothing_of_the_framework() -> None:
    code = "import sys, acontext_adapters.agno as a; a.adapter(); assert 'agno' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_knows_agents_and_teams_and_nothing_else() -> None:
    found = adapter()
    assert isinstance(found, Adapter)
    assert found.matches(bare())
    assert found.matches(Team(members=[], telemetry=False))
    assert not found.matches(scripted())
    assert not found.matches(Agent)


def test_the_same_class_comes_back_and_the_original_stays_as_it_is() -> None:
    original = bare("one", metadata={"shop": "cups"})
    before = dict(vars(original))
    wrapped = of(MemoryClient(SKILLS), original)
    assert wrapped.__class__ is Agent
    wrapped.add_tool(lambda: "new")
    wrapped.metadata["shop"] = "plates"
    wrapped.run("hi")
    assert {name: vars(original)[name] for name in before} == before
    assert set(vars(original)) == set(before)
    assert original.metadata == {"shop": "cups"}
    assert len(original.tools or []) == 1  # type: ignore[arg-type]
    assert original.session_id is None


def test_wrapped_again_it_is_the_same_and_with_other_options_another() -> None:
    memory = MemoryClient()
    wrapped = of(memory, bare())
    assert of(memory, wrapped) is wrapped
    other = of(memory, wrapped, limit=5)
    assert other is not wrapped
    other.model.script = ["one"]
    other.run("hi")
    assert memory.lines == ["user: hi", "assistant: one"]


@dataclass(init=False)
class Clerk(Agent):
    """A subclass that is made in its own way, with something of its own."""

    counter: int = field(default=0)

    def __init__(self, counter: int) -> None:
        super().__init__(name="Clerk", model=scripted("one"), telemetry=False)
        self.counter = counter


def test_a_subclass_keeps_what_is_its_own() -> None:
    memory = MemoryClient(SKILLS)
    clerk = of(memory, Clerk(7))
    assert clerk.__class__ is Clerk
    assert clerk.counter == 7
    clerk.run("hi")
    assert memory.lines == ["user: hi", "assistant: one"]


def test_a_subclass_that_runs_in_its_own_way_is_called_as_it_wants() -> None:
    class Loud(Agent):
        def run(self, input: str) -> Any:  # type: ignore[override]
            return super().run(input.upper())

    memory = MemoryClient()
    of(memory, Loud(model=scripted("one"), telemetry=False)).run("hi")
    assert memory.lines == ["user: HI", "assistant: one"]


def test_the_tools_and_the_model_are_the_hosts_own() -> None:
    class Desk:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def ask(self, city: str) -> str:
            """Remembers what it was asked."""
            self.asked.append(city)
            return "yes"

    registry, model = Desk(), scripted(("ask", "c1"), "one")
    wrapped = of(MemoryClient(SKILLS), Agent(model=model, tools=[registry.ask], telemetry=False))
    wrapped.run("hi")
    assert registry.asked == ["Oslo"]
    assert model.script == []
    assert len(model.calls) == 2
    assert isinstance(wrapped.model, ScriptedModel)
    assert type(wrapped.model).__qualname__ == "ScriptedModel"
    wrapped.model.provider = "Other"
    assert model.provider == "Other"
    assert [f.name for f in fields(wrapped.model)] == [f.name for f in fields(model)]


def test_methods_look_as_they_did() -> None:
    wrapped = of(MemoryClient(), bare())
    for name in ("run", "arun", "continue_run", "acontinue_run", "deep_copy"):
        assert inspect.signature(getattr(wrapped, name)) == inspect.signature(getattr(bare(), name))
        assert getattr(wrapped, name).__doc__ == getattr(bare(), name).__doc__


def test_calls_give_what_they_gave() -> None:
    wrapped = of(MemoryClient(), bare("a", "b", "c"))
    call_ = wrapped.arun("hi")
    assert inspect.iscoroutine(call_)
    stream, steps = wrapped.arun("hi", stream=True), wrapped.run("hi", stream=True)
    assert inspect.isasyncgen(stream)
    assert inspect.isgenerator(steps)
    with pytest.raises(StopIteration):
        call_.send(None)
    steps.close()


def test_a_deep_copy_is_wrapped_too() -> None:
    memory = MemoryClient(SKILLS)
    deep = of(memory, bare("one")).deep_copy(update={"name": "B"})
    assert deep.__class__ is Agent
    deep.run("first")
    assert [session.ref.agent for session in memory.sessions.values()] == ["B"]


def test_members_of_a_team_are_clones_too() -> None:
    member = bare("warm")
    original = Team(name="T", members=[member], model=scripted(), telemetry=False)
    memory = MemoryClient(SKILLS)
    wrapped = of(memory, original)
    assert wrapped.__class__ is Team
    assert original.members == [member]
    assert wrapped.members[0] is not member  # type: ignore[index]
    assert wrapped.members[0].__class__ is Agent  # type: ignore[index]
    assert wrapped_of(member) is None
    for copied in (wrapped.deep_copy(), copy.copy(wrapped), copy.deepcopy(wrapped)):
        assert wrapped_of(copied.members[0]) is not None


def test_a_member_that_was_wrapped_by_itself_stays_so() -> None:
    team_door, member_door = MemoryClient(SKILLS), MemoryClient(SKILLS)
    member = of(member_door, bare("warm"))
    asked = [call("delegate_task_to_member", "d1", member_id="a", task="how warm?")]
    team = of(team_door, Team(name="T", members=[member], model=scripted(asked, "so"), telemetry=False))
    assert team.members[0] is member
    team.run("weather?")
    assert member_door.lines == ["user: how warm?", "assistant: warm"]


def test_a_model_that_is_given_later_is_seen_into() -> None:
    memory = MemoryClient(SKILLS)
    wrapped = of(memory, bare())
    model = scripted("one")
    wrapped.model = model
    wrapped.run("hi")
    assert SKILLS in model.calls[0][0][1]
    assert memory.lines == ["user: hi", "assistant: one"]


def test_a_model_that_agno_chooses_is_seen_into() -> None:
    chosen = scripted("one")

    class Late(Agent):
        def initialize_agent(self, debug_mode: bool | None = None) -> None:
            self.model = self.model or chosen
            super().initialize_agent(debug_mode)

    memory = MemoryClient(SKILLS)
    of(memory, Late(telemetry=False)).run("hi")
    assert SKILLS in chosen.calls[0][0][1]
    assert memory.lines == ["user: hi", "assistant: one"]
