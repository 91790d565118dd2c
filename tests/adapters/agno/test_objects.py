"""What a host does with an object that it holds, it does with a wrapped one: patch it, set it, copy it, compare it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import pytest
from agno.agent import Agent
from agno.run.agent import RunOutput
from agno.team import Team
from agno.workflow import Step, Workflow

from acontext_adapters.agno.wrap import wrapped_of
from acontext_adapters.testing import MemoryClient
from acontext_plugins import Acontext
from acontext_plugins.learning import learning

from .host import SKILLS, weather
from .scripted import call, scripted


def agent(*steps: Any, **changes: Any) -> Agent:
    return Agent(name="A", model=scripted(*steps), tools=[weather], telemetry=False, **changes)


def team(*steps: Any) -> Team:
    return Team(name="T", members=[agent(*steps)], model=scripted(*steps), telemetry=False)


MAKERS: list[Callable[..., Any]] = [agent, team]


def of(memory: Any, target: Any) -> Any:
    return learning(target, space="s", client=memory, strict=True, deadline=30)


# -- what is put in the place of a method
@pytest.mark.parametrize("make", MAKERS)
def test_a_method_that_is_patched_on_the_class_later_is_called_and_recorded(make: Any) -> None:
    memory = MemoryClient()
    wrapped = of(memory, make("one", "two"))
    kind, seen = wrapped.__class__, []
    before = kind.run

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(self)
        return before(self, *args, **kwargs)

    with patch.object(kind, "run", run):
        assert wrapped.run("hi").content == "one"
    assert wrapped.run("again").content == "two"
    assert seen == [wrapped]
    assert memory.lines == ["user: hi", "assistant: one", "user: again", "assistant: two"]


def test_a_stand_in_is_what_the_host_sees() -> None:
    wrapped, output = of(MemoryClient(), agent()), RunOutput(content="stand-in")
    with patch.object(Agent, "run", MagicMock(return_value=output)) as run:
        assert wrapped.run("hi") is output
        run.assert_called_once_with("hi")
    with patch.object(wrapped, "arun", MagicMock(return_value=output)):
        assert wrapped.arun("hi") is output
        wrapped.arun.assert_called_once_with("hi")
    assert "arun" not in vars(wrapped)


def test_steps_of_a_workflow_call_what_is_patched() -> None:
    memory = MemoryClient()
    workflow = Workflow(name="W", steps=[Step(name="only", agent=of(memory, agent()))], telemetry=False)
    with patch.object(Agent, "run", autospec=True, return_value=RunOutput(content="patched")) as run:
        assert workflow.run("hi").content == "patched"
    assert run.call_count == 1


def test_a_method_that_is_set_on_the_object_is_called_and_recorded() -> None:
    memory = MemoryClient()
    original = agent("one", "two", "three")
    plain = Agent.run.__get__(original)
    original.run = lambda words: plain(words.upper())  # type: ignore[method-assign]
    wrapped = of(memory, original)
    wrapped.run("early")
    wrapped.run = lambda words: plain(words.title())
    wrapped.run("late")
    wrapped.run = wrapped.run
    del wrapped.run
    wrapped.run("bare")
    with pytest.raises(AttributeError):
        del wrapped.run
    assert memory.lines[::2] == ["user: EARLY", "user: Late", "user: bare"]
    assert [words for [*_, (_, words)] in original.model.calls] == ["EARLY", "Late", "bare"]  # type: ignore[union-attr]


def test_what_is_set_on_it_counts() -> None:
    memory = MemoryClient(SKILLS)
    wrapped = of(memory, agent())
    wrapped.name, wrapped.instructions, wrapped.model = "B", "Shout.", scripted("one")
    wrapped.note = "mine"
    assert wrapped.run("hi").agent_name == "B"
    assert "Shout." in wrapped.model.calls[0][0][1]
    assert learning(wrapped, space="other", client=memory).note == "mine"


# -- what it is
@pytest.mark.parametrize("make", MAKERS)
def test_it_passes_for_the_bare_object(make: Any) -> None:
    bare = make("one")
    wrapped = of(MemoryClient(), bare)
    assert isinstance(wrapped, type(bare))
    assert wrapped.__class__ is type(bare)
    assert type(wrapped).__qualname__ == type(bare).__qualname__
    assert wrapped == bare
    assert bare == wrapped
    assert repr(wrapped) == repr(bare)
    assert vars(wrapped).keys() == vars(bare).keys()
    assert wrapped.to_dict() == bare.to_dict()
    wrapped.run("hi")
    assert wrapped.model == bare.model


# -- copies
def deep(one: Any) -> Any:
    return copy.deepcopy(one)


def pickled(one: Any) -> Any:
    return pickle.loads(pickle.dumps(one))


@pytest.mark.parametrize("ran", [False, True], ids=["fresh", "that ran"])
@pytest.mark.parametrize("copied", [copy.copy, deep, pickled])
@pytest.mark.parametrize("make", MAKERS)
def test_a_copy_is_wrapped_in_the_same_way(make: Any, copied: Any, ran: bool, tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path / 'memory.db'}") as client:
        wrapped = of(client, make("before", "one", "two"))
        if ran:
            wrapped.run("first", session_id="early")
        other = copied(wrapped)
        assert other is not wrapped
        assert other.__class__ is wrapped.__class__
        if not ran:
            assert other == wrapped
        known: Any = wrapped_of(other)
        assert known.runtime.same_as(wrapped_of(wrapped).runtime)  # type: ignore[union-attr]
        other.name = "Copy"
        answer = other.run("hi", session_id="late").content
        client.flush()
        [session] = [one for one in client.sessions.list().items if one.key == "late"]
        assert session.agent == "Copy"
        said = client.sessions.get_messages(session.id, format="openai").items
        assert [message["content"] for message in said] == ["hi", answer]
        assert wrapped.name in ("A", "T")


@pytest.mark.parametrize("make", MAKERS)
def test_as_a_dict_it_is_the_bare_one(make: Any, tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path / 'memory.db'}") as client:
        bare = make(("weather", "c1"), "warm")
        wrapped = of(client, bare)
        assert dataclasses.asdict(wrapped) == dataclasses.asdict(bare)
        wrapped.run("hi")
        assert dataclasses.asdict(wrapped)["model"] == dataclasses.asdict(bare.model)


async def test_a_copy_of_a_run_that_waits_goes_on() -> None:
    memory = MemoryClient()
    steps = [call("weather", "c1")], "one"
    wrapped = of(memory, agent(*steps))
    other = copy.deepcopy(wrapped)
    assert (await other.arun("hi", session_id="t")).content == "one"
    assert memory.session.outcomes[-1].status == "success"
