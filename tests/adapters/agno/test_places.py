"""Where runs go, which code is inside of them, and what is none of them."""

from __future__ import annotations

import asyncio
import gc
import threading
from importlib.metadata import version
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.exceptions import ModelProviderError
from agno.learn import LearningMachine
from agno.session import SessionSummaryManager
from agno.team import Team

from acontext_adapters.agno import AcontextStore
from acontext_adapters.testing import MemoryClient
from acontext_plugins import report
from acontext_plugins.learning import learning
from acontext_plugins.runs import current_run

from .host import SKILLS, Host, weather
from .scripted import call, scripted

VERSION = tuple(int(number) for number in version("agno").split(".")[:2])


def agent(*steps: Any, name: str = "A", **changes: Any) -> Agent:
    return Agent(name=name, model=scripted(*steps), instructions="Base.", telemetry=False, **changes)


def of(memory: MemoryClient, target: Any, **options: Any) -> Any:
    return learning(target, space="s", client=memory, strict=True, deadline=30, **options)


# -- which session, whose
def test_the_session_is_agnos_own_and_the_user_its_principal() -> None:
    memory = MemoryClient()
    wrapped = of(memory, agent("one", "two", "three", user_id="ada"))
    wrapped.run("hi", session_id="thread-1")
    wrapped.run("hi", session_id="thread-2", user_id="bob")
    assert {key: session.ref.principal for key, session in memory.sessions.items()} == {
        "thread-1": "ada",
        "thread-2": "bob",
    }


def test_what_the_wrapping_says_of_the_user_counts() -> None:
    memory = MemoryClient()
    of(memory, agent("one"), principal="tenant").run("hi", user_id="ada")
    assert memory.session.ref.principal == "tenant"


def test_a_session_that_nobody_has_chosen_has_the_name_that_the_wrapping_gives() -> None:
    memory = MemoryClient()
    wrapped = of(memory, agent("one", "two", "three"), session="mine")
    wrapped.run("a")
    wrapped.run("b")
    wrapped.run("c", session_id="thread-1")
    assert {key: session.lines[::2] for key, session in memory.sessions.items()} == {
        "mine": ["user: a", "user: b"],
        "thread-1": ["user: c"],
    }


def test_the_session_of_the_agent_counts() -> None:
    memory = MemoryClient()
    of(memory, agent("one", session_id="thread-9"), session="mine").run("hi")
    assert list(memory.sessions) == ["thread-9"]


def test_runs_have_agnos_own_ids() -> None:
    memory = MemoryClient()
    output = of(memory, agent("one")).run("hi")
    assert [message.run_id for message in memory.session.messages] == [output.run_id] * 2
    assert memory.session.outcomes[0].run_id == output.run_id


async def test_another_process_goes_on_with_the_same_run() -> None:
    here, there = MemoryClient(), MemoryClient()
    host = Host(lambda target: of(here, target))
    db = InMemoryDb()
    output = await host.wrap(host.agent(("risky", "c1"), db=db)).arun("do it", session_id="thread-1")
    for requirement in output.active_requirements:
        requirement.confirm()
    elsewhere = of(there, host.agent("ok", db=db))
    await elsewhere.acontinue_run(
        run_id=output.run_id, session_id="thread-1", requirements=output.requirements, stream=False
    )
    before, after = here.session, there.session
    assert before.ref.key == after.ref.key
    assert [message.id for message in after.messages[:2]] == [message.id for message in before.messages]
    assert after.lines[2:] == ["result: done Oslo", "assistant: ok"]
    assert {message.run_id for message in (*before.messages, *after.messages)} == {output.run_id}


# -- which code is inside
async def test_tools_are_inside_of_the_run_and_so_are_their_threads() -> None:
    memory = MemoryClient()
    host = Host(lambda target: of(memory, target))
    calls = [call("where", "c1"), call("awhere", "c2")]
    wrapped = host.wrap(host.agent(calls, "ok", tools=[host.where, host.awhere]))
    output = await wrapped.arun("hi")
    assert [run.id if run else None for run in host.runs] == [output.run_id] * 2
    assert current_run() is None


def test_a_tool_reports_on_its_run() -> None:
    def check(city: str) -> str:
        """Checks the total."""
        report("failed", "wrong total")
        return "checked"

    memory = MemoryClient()
    of(memory, agent(("check", "c1"), "ok", tools=[check])).run("hi")
    told = [(one.source, one.status, one.reason) for one in memory.session.outcomes]
    assert told == [("report", "failed", "wrong total"), ("framework", "success", "")]


async def test_runs_at_the_same_time_stay_apart() -> None:
    memory = MemoryClient(lambda query: f"<acontext-skills>\n{query.text}\n</acontext-skills>")
    wrapped = [of(memory, agent(("weather", "c1"), f"answer {number}", tools=[weather])) for number in range(8)]
    await asyncio.gather(*(one.arun(f"ask {number}") for number, one in enumerate(wrapped)))
    for number, session in enumerate(sorted(memory.sessions.values(), key=lambda one: one.lines)):
        assert [session.lines[0], session.lines[-1]] == [f"user: ask {number}", f"assistant: answer {number}"]
    for number, one in enumerate(wrapped):
        assert all(f"\nask {number}\n" in request[0][1] for request in one.model.calls)


async def test_one_agent_serves_many_at_the_same_time() -> None:
    memory = MemoryClient(lambda query: f"<acontext-skills>\n{query.text}\n</acontext-skills>")
    wrapped = of(memory, agent(*["ok"] * 8))
    await asyncio.gather(*(wrapped.arun(f"ask {n}", session_id=f"thread-{n}") for n in range(8)))
    assert {key: session.lines for key, session in memory.sessions.items()} == {
        f"thread-{n}": [f"user: ask {n}", "assistant: ok"] for n in range(8)
    }
    for request in wrapped.model.calls:
        assert f"\n{request[-1][1]}\n" in request[0][1]


async def test_inside_of_a_function_an_agent_is_part_of_its_run() -> None:
    memory = MemoryClient()
    inner = of(memory, agent(("weather", "c1"), "warm", tools=[weather]))

    @learning(space="s", client=memory, strict=True, deadline=30)
    async def forecast(city: str) -> str:
        return str((await inner.arun(f"how warm is {city}?")).content)

    assert await forecast("Oslo") == "warm"
    assert memory.lines[0] == "user: how warm is Oslo?"
    assert memory.outcome == ("success", "")
    assert len({message.run_id for message in memory.session.messages}) == 1


async def test_a_stream_that_is_dropped_leaves_no_run_behind() -> None:
    memory = MemoryClient()
    stream = of(memory, agent("it is warm")).arun("hi", stream=True)
    async for _ in stream:
        assert current_run() is None
        break
    del stream
    for _ in range(5):
        gc.collect()
        await asyncio.sleep(0)
    assert memory.session.lines[0] == "user: hi"
    assert memory.outcome == ("cancelled", "")


def test_a_stream_that_nobody_reads_is_no_run() -> None:
    memory = MemoryClient()
    of(memory, agent("never")).run("hi", stream=True)
    gc.collect()
    assert memory.sessions == {}


def test_printing_is_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    memory = MemoryClient(SKILLS)
    wrapped = of(memory, agent("it is warm", "it is cold"))
    wrapped.print_response("hi", stream=False)
    wrapped.print_response("hi again", stream=True)
    assert "it is warm" in capsys.readouterr().out
    assert memory.lines == ["user: hi", "assistant: it is warm", "user: hi again", "assistant: it is cold"]


@pytest.mark.skipif(VERSION < (2, 5), reason="came with agno 2.5")
async def test_a_run_in_the_background_is_recorded_when_it_is_done() -> None:
    done = threading.Event()

    class Slow(MemoryClient):
        def record(self, recording: Any) -> None:
            super().record(recording)
            if recording.outcomes:
                done.set()

    memory = Slow(SKILLS)
    wrapped = of(memory, agent(("weather", "c1"), "warm", tools=[weather], db=InMemoryDb()))
    output = await wrapped.arun("hi", background=True, session_id="thread-1")
    assert output.status.value in ("PENDING", "RUNNING")
    await asyncio.to_thread(done.wait, 20)
    assert memory.lines == ["user: hi", 'call: weather {"city": "Oslo"}', "result: 21C in Oslo", "assistant: warm"]
    assert memory.outcome == ("success", "")


# -- what is none of the run
@pytest.mark.skipif(VERSION < (2, 6), reason="came with agno 2.6")
def test_models_that_stand_in_are_given_skills_too() -> None:
    memory = MemoryClient(SKILLS)
    second = scripted("one")
    wrapped = of(memory, agent(ModelProviderError("503", status_code=503), fallback_models=[second]))
    assert wrapped.run("hi").content == "one"
    held = wrapped.fallback_config.on_error[0]
    assert SKILLS in held.calls[0][0][1]
    assert memory.lines == ["user: hi", "assistant: one"]
    assert memory.outcome == ("success", "")


def test_other_calls_of_the_same_model_are_not_the_runs() -> None:
    memory = MemoryClient(SKILLS)
    model = scripted("one", "a summary")
    summaries = SessionSummaryManager(model=model)
    wrapped = of(memory, Agent(model=model, session_summary_manager=summaries, db=InMemoryDb(), telemetry=False))
    wrapped.session_summary_manager.model = wrapped.model
    wrapped.run("hi", session_id="thread-1")
    assert [SKILLS in str(request) or "5c1115" in str(request) for request in model.calls] == [True, False]
    assert memory.lines == ["user: hi", "assistant: one"]


def test_a_tool_may_ask_the_model_for_itself() -> None:
    def rephrase(agent: Agent, city: str) -> str:
        """Asks the agent's own model."""
        from agno.models.message import Message

        assert agent.model is not None
        return str(agent.model.response(messages=[Message(role="user", content="say it nicely")]).content)

    memory = MemoryClient(SKILLS)
    wrapped = of(memory, agent(("rephrase", "c1"), "nicely", "ok", tools=[rephrase]))
    wrapped.run("hi")
    assert ["5c1115" in str(request) for request in wrapped.model.calls] == [True, False, True]
    assert memory.lines[2:] == ["result: nicely", "assistant: ok"]


def test_nothing_of_ours_is_in_agnos_database() -> None:
    db = InMemoryDb()
    wrapped = of(MemoryClient(SKILLS), agent(("weather", "c1"), "one", tools=[weather], db=db))
    wrapped.run("hi", session_id="thread-1")
    session = wrapped.get_session(session_id="thread-1")
    assert session is not None
    assert "acontext" not in str(session.to_dict())


def test_without_injection_the_prompt_is_the_hosts() -> None:
    memory = MemoryClient(SKILLS)
    wrapped = of(memory, agent("one"), inject=False)
    wrapped.run("hi")
    assert wrapped.model.calls == [[("system", "Base."), ("user", "hi")]]
    assert memory.queries == []


# -- workflows
def workflow(*agents: Agent) -> Any:
    found = pytest.importorskip("agno.workflow", exc_type=ImportError)  # it needed fastapi once
    steps = [found.Step(name=str(one.name), agent=one) for one in agents]
    return found.Workflow(name="W", steps=steps, telemetry=False)


def test_agents_of_a_workflow_are_runs_in_its_session() -> None:
    memory = MemoryClient(SKILLS)
    first = of(memory, agent(("weather", "c1"), "it is warm", name="Forecaster", tools=[weather]))
    second = of(memory, agent("warm, in verse", name="Poet"))
    assert workflow(first, second).run("weather in Oslo?", session_id="thread-1").content == "warm, in verse"
    assert memory.lines[0] == "user: weather in Oslo?"
    assert memory.lines[-1] == "assistant: warm, in verse"
    assert [one.status for one in memory.session.outcomes] == ["success", "success"]


async def test_a_workflow_in_a_function_is_one_task() -> None:
    memory = MemoryClient(SKILLS)
    inner = workflow(of(memory, agent("a", name="A")), of(memory, agent("b", name="B")))

    @learning(space="s", client=memory, strict=True, deadline=30)
    async def work(question: str) -> Any:
        return (await inner.arun(question, session_id="thread-1")).content

    assert await work("go") == "b"
    assert [one.status for one in memory.session.outcomes] == ["success"]


# -- a wrapped member of a team that is not
def test_a_wrapped_member_of_a_bare_team_is_a_run_in_the_teams_session() -> None:
    memory = MemoryClient(SKILLS)
    member = of(memory, agent("warm", name="M1"))
    asked = [call("delegate_task_to_member", "d1", member_id="m1", task="how warm?")]
    team = Team(name="T", members=[member], model=scripted(asked, "so"), telemetry=False)
    team.run("weather?", session_id="thread-1")
    assert list(memory.sessions) == ["thread-1"]
    assert memory.lines == ["user: how warm?", "assistant: warm"]


# -- the native slot
@pytest.mark.skipif(VERSION < (2, 9), reason="before 2.8.4, agno did not hand stores the message")
async def test_the_store_gives_skills_and_records_nothing() -> None:
    memory = MemoryClient(SKILLS)
    model = scripted("one", "two")
    machine = LearningMachine(custom_stores={"acontext": AcontextStore(space="s", client=memory)})
    bare = Agent(model=model, instructions="Base.", learning=machine, db=InMemoryDb(), telemetry=False)
    bare.run("hi")
    await bare.arun("again")
    assert [request[0][1].count(SKILLS) for request in model.calls] == [1, 1]
    assert {query.text for query in memory.queries} <= {"hi", "again", ""}
    assert memory.sessions == {}


def test_a_wrapped_agent_that_has_the_store_is_given_skills_once() -> None:
    memory = MemoryClient(SKILLS)
    machine = LearningMachine(custom_stores={"acontext": AcontextStore(space="s", client=memory)})
    wrapped = of(memory, agent("one", learning=machine, db=InMemoryDb()))
    wrapped.run("hi")
    assert wrapped.model.calls[0][0][1].count(SKILLS) == 1


async def test_a_store_in_trouble_gives_nothing() -> None:
    store = AcontextStore(space="s", client=MemoryClient(hang=True), deadline=0.01)
    assert await store.arecall(message="hi") is None
    assert store.recall(message="hi") is None
    assert store.build_context(None) == ""
    assert current_run() is None
