"""The adapter itself: what it takes, what it gives back, and what threads, processes and middlewares come to."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from acontext_adapters.langchain import AcontextCallbackHandler, AcontextMiddleware
from acontext_adapters.langchain import run_tracker as watching
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning
from acontext_plugins.runs import current_run, report

from .host import SKILLS, TOOLS, Errors
from .scripted import asks, model


def learned(target: Any, recorded: MemoryClient, **options: Any) -> Any:
    return learning(target, space="s", client=recorded, strict=True, **options)


def given(words: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": words}]}


def test_importing_the_adapter_loads_nothing_of_the_framework() -> None:
    words = (
        "import sys, acontext_adapters.langchain as a, acontext_plugins; a.adapter().matches(object())\n"
        "assert not {'langchain', 'langchain_core', 'langgraph'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", words], check=True)


def test_a_learned_graph_is_of_its_class_and_learned_once() -> None:
    recorded, agent = MemoryClient(), create_agent(model("one"), TOOLS, name="A")
    ours = learned(agent, recorded)
    assert isinstance(ours, CompiledStateGraph)
    assert type(ours).__name__ == "CompiledStateGraph"
    assert (ours.get_name(), list(ours.nodes), ours.builder) == (agent.get_name(), list(agent.nodes), agent.builder)
    assert ours.get_graph().draw_mermaid() == agent.get_graph().draw_mermaid()
    assert learned(ours, recorded) is ours
    again = learned(ours, recorded, inject=False)
    assert again is not ours
    assert again.nodes["model"].bound.func is agent.nodes["model"].bound.func


async def test_a_copy_of_a_learned_graph_is_learned() -> None:
    recorded = MemoryClient()
    copy = learned(create_agent(model("one"), TOOLS), recorded).with_config(tags=["x"])
    await copy.ainvoke(given("hi"))
    assert recorded.lines == ["user: hi", "assistant: one"]


def test_tools_are_no_agents() -> None:
    with pytest.raises(TypeError, match="a tool is part of an agent"):
        learned(TOOLS[0], MemoryClient())


async def test_a_workflow_of_the_functional_api_is_recorded() -> None:
    recorded, base = MemoryClient(SKILLS), model("one")
    chat = learned(base, recorded)

    @entrypoint()
    async def workflow(words: str) -> str:
        return str((await chat.ainvoke(words)).content)

    assert await learned(workflow, recorded).ainvoke("hi") == "one"
    assert (recorded.lines, recorded.outcome) == (["user: hi", "assistant: one"], ("success", ""))
    assert base.prompts[0][0].content == SKILLS


async def test_tools_can_report_on_their_run() -> None:
    recorded = MemoryClient()

    @tool
    async def check(total: int) -> str:
        """Checks the total."""
        report("failed", "wrong total")
        run = current_run()
        assert run is not None
        run.record_tool("audit", {"total": total}, "wrong")
        return "wrong"

    first = asks({"name": "check", "args": {"total": 3}, "id": "c1", "type": "tool_call"})
    await learned(create_agent(model(first, "done"), [check]), recorded).ainvoke(given("check"))
    sources = [(outcome.source, outcome.status) for outcome in recorded.session.outcomes]
    assert sources == [("report", "failed"), ("framework", "success")]
    assert 'call: audit {"total": 3}' in recorded.lines


async def test_a_decorated_function_around_an_agent_is_one_task() -> None:
    recorded = MemoryClient()
    agent = learned(create_agent(model("one"), TOOLS), recorded)

    @learning(space="s", client=recorded, strict=True)
    async def answer(words: str) -> str:
        return str((await agent.ainvoke(given(words)))["messages"][-1].content)

    assert await answer("hi") == "one"
    assert recorded.lines == ["user: hi", "assistant: one"]
    assert [outcome.status for outcome in recorded.session.outcomes] == ["success"]


async def test_threads_are_sessions_and_users_are_told_apart() -> None:
    recorded = MemoryClient()
    agent = learned(create_agent(model("a", "b"), TOOLS, checkpointer=InMemorySaver()), recorded, principal="ada")
    for thread in ("t1", "t2"):
        await agent.ainvoke(given("hi"), {"configurable": {"thread_id": thread}})
    assert [(key, session.ref.principal) for key, session in recorded.sessions.items()] == [
        ("t1", "ada"),
        ("t2", "ada"),
    ]


async def test_a_run_that_goes_on_is_the_same_run() -> None:
    recorded = MemoryClient(SKILLS)
    agent = learned(create_agent(model(("asking", "c1"), "ok"), TOOLS, checkpointer=InMemorySaver()), recorded)
    config: Any = {"configurable": {"thread_id": "goes-on"}}
    await agent.ainvoke(given("hi"), config)
    assert recorded.outcome == ("interrupted", "asking")
    await agent.ainvoke(Command(resume="yes"), config)
    assert len({message.run_id for message in recorded.session.messages}) == 1
    assert [outcome.status for outcome in recorded.session.outcomes] == ["interrupted", "success"]


async def test_another_process_records_nothing_again() -> None:
    saver, recorded = InMemorySaver(), MemoryClient()
    config: Any = {"configurable": {"thread_id": "processes"}}
    first = create_agent(model(("weather", "c1"), "warm", ("asking", "c2")), TOOLS, checkpointer=saver)
    await learned(first, recorded).ainvoke(given("weather?"), config)
    await learned(first, recorded).ainvoke(given("may I?"), config)
    before = {message.id for message in recorded.session.messages}
    watching.unfinished.clear()  # what a new process would know
    second = create_agent(model("done", "bye"), TOOLS, checkpointer=saver)
    await learned(second, recorded).ainvoke(Command(resume="yes"), config)
    await learned(second, recorded).ainvoke(given("thanks"), config)
    assert recorded.lines == [
        "user: weather?",
        'call: weather {"city": "Oslo"}',
        "result: 21C in Oslo",
        "assistant: warm",
        "user: may I?",
        'call: asking {"city": "Oslo"}',
        "result: done: yes",
        "assistant: done",
        "user: thanks",
        "assistant: bye",
    ]
    assert before <= {message.id for message in recorded.session.messages}


async def test_a_middleware_alone_records_and_injects() -> None:
    recorded, base = MemoryClient(SKILLS), model(("broken", "c1"), "sorry", "again")
    ours = AcontextMiddleware(space="s", client=recorded, strict=True)
    agent = create_agent(base, TOOLS, middleware=[ours, Errors()], system_prompt="Base.")
    result = await agent.ainvoke(given("weather?"))
    await agent.ainvoke({"messages": [*result["messages"], ("user", "and now?")]})
    assert recorded.lines == [
        "user: weather?",
        'call: broken {"city": "Oslo"}',
        "error: no such city",
        "assistant: sorry",
        "user: and now?",
        "assistant: again",
    ]
    assert [outcome.status for outcome in recorded.session.outcomes] == ["success", "success"]
    assert [prompt[0].content for prompt in base.prompts] == [f"Base.\n\n{SKILLS}"] * 3
    assert list(agent.nodes) == list(create_agent(base, TOOLS, middleware=[Errors()]).nodes)


async def test_a_middleware_alone_knows_the_models_failures() -> None:
    recorded = MemoryClient(SKILLS)
    ours = AcontextMiddleware(space="s", client=recorded, strict=True)
    agent = create_agent(model(RuntimeError("503")), TOOLS, middleware=[ours])
    with pytest.raises(RuntimeError, match="503"):
        await agent.ainvoke(given("hi"))
    assert (recorded.lines, recorded.outcome) == (["user: hi"], ("failed", "RuntimeError: 503"))


async def test_one_handler_serves_many_runs_and_keeps_none() -> None:
    recorded = MemoryClient()
    handler = AcontextCallbackHandler(space="s", client=recorded, strict=True)
    agent = create_agent(model(*["one"] * 8), TOOLS)
    await agent.abatch([given(str(number)) for number in range(8)], {"callbacks": [handler]})
    assert sorted(session.lines for session in recorded.sessions.values()) == [
        [f"user: {number}", "assistant: one"] for number in range(8)
    ]
    assert len(handler) == 0


async def test_a_handler_beside_a_learned_graph_is_silent() -> None:
    recorded, other = MemoryClient(), MemoryClient()
    handler = AcontextCallbackHandler(space="s", client=other, strict=True)
    await learned(create_agent(model("one"), TOOLS), recorded).ainvoke(given("hi"), {"callbacks": [handler]})
    assert (recorded.lines, other.sessions, len(handler)) == (["user: hi", "assistant: one"], {}, 0)


def test_the_original_is_left_as_it_is() -> None:
    agent = create_agent(model("one"), TOOLS)
    before = {name: node.bound for name, node in agent.nodes.items()}
    learned(agent, MemoryClient())
    assert {name: node.bound for name, node in agent.nodes.items()} == before
    assert not hasattr(agent, "_acontext")


@pytest.mark.parametrize("wrapped", [True, False], ids=["learned", "handler and middleware"])
async def test_a_run_that_goes_on_keeps_its_skills_whatever_has_been_learned_meanwhile(wrapped: bool) -> None:
    texts = iter(["skills of before", "skills of after", "and others"])
    recorded = MemoryClient(lambda query: next(texts))
    chat = model(("weather", "c1"), "ok", "ok again")
    options: dict[str, Any] = {"space": "s", "client": recorded, "strict": True}
    middleware = [] if wrapped else [AcontextMiddleware(**options)]
    approval: Any = HumanInTheLoopMiddleware(interrupt_on={"weather": True})
    agent: Any = create_agent(chat, TOOLS, middleware=[*middleware, approval], checkpointer=InMemorySaver())
    agent = learning(agent, **options) if wrapped else agent.with_config(callbacks=[AcontextCallbackHandler(**options)])
    config = {"configurable": {"thread_id": "t"}}
    await agent.ainvoke(given("weather in Oslo?"), config)
    await agent.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
    await agent.ainvoke(given("and now?"), config)
    prompts = ["\n".join(str(message.content) for message in prompt) for prompt in chat.prompts]
    assert ["skills of before" in prompt for prompt in prompts] == [True, True, True]  # what was sent stays
    assert ["skills of after" in prompt for prompt in prompts] == [False, False, True]
