"""What a host does with an object that it holds, it does with a learned one: set it, copy it, ask it, compare it."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.callbacks import GraphCallbackHandler
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel import Pregel
from langgraph.types import Command, interrupt

from acontext_adapters.langchain import AcontextCallbackHandler, AcontextMiddleware
from acontext_adapters.langchain.mark import mark_of
from acontext_adapters.testing import MemoryClient
from acontext_plugins import Acontext
from acontext_plugins.inject.render import READ_SKILL
from acontext_plugins.learning import learning

from .host import SKILLS
from .scripted import ScriptedModel, model

ASK = {"messages": [HumanMessage("hi", id="h1")]}


def learned(target: Any, memory: Any, **options: Any) -> Any:
    return learning(target, space="s", client=memory, strict=True, deadline=30, **options)


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"21C in {city}"


def say(state: MessagesState) -> Any:
    return {"messages": [model("one").invoke(state["messages"])]}


def agent(**options: Any) -> Any:
    return create_agent(model(("weather", "c1"), "one"), [weather], name="A", **options)


def by_hand(**options: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("say", say)
    builder.add_edge(START, "say")
    return builder.compile(name="H", **options)


def chat() -> Any:
    return model("one")


def chain() -> Any:
    return model("one") | StrOutputParser()


def bound() -> Any:
    return model("one").bind_tools([weather])


def function() -> Any:
    return RunnableLambda(len)


GRAPHS: list[Callable[..., Any]] = [agent, by_hand]
OTHERS: list[Callable[[], Any]] = [chat, chain, bound, function]


def asked(one: Any) -> Any:
    if isinstance(one, Pregel):
        return one.invoke(ASK)["messages"][-1].content
    said = one.invoke("hi")
    return getattr(said, "content", said)


# -- what it is
@pytest.mark.parametrize("make", [*GRAPHS, *OTHERS])
def test_it_passes_for_the_bare_object(make: Any) -> None:
    bare = make()
    ours = learned(bare, MemoryClient())
    assert isinstance(ours, type(bare))
    assert ours.__class__ is type(bare)
    assert type(ours).__qualname__ == type(bare).__qualname__
    if not isinstance(bare, Pregel):  # a compiled graph equals itself alone
        assert ours == bare
        assert bare == ours
        assert repr(ours) == repr(bare)
    assert vars(ours).keys() == vars(bare).keys()


def test_a_dump_of_a_chat_model_is_that_of_the_bare_one() -> None:
    bare = model("one", "two")
    ours = learned(bare, MemoryClient())
    assert ours.model_dump() == bare.model_dump()
    assert ours.model_dump_json() == bare.model_dump_json()
    assert ours.model_fields_set == bare.model_fields_set
    assert ours.lc_id() == bare.lc_id()
    assert ours.get_name() == bare.get_name()


# -- copies
def deep(one: Any) -> Any:
    return copy.deepcopy(one)


def pickled(one: Any) -> Any:
    return pickle.loads(pickle.dumps(one))


def model_copied(one: Any) -> Any:
    return one.model_copy(update={"streaming": False})


def model_copied_deep(one: Any) -> Any:
    return one.model_copy(deep=True)


@pytest.mark.parametrize("copied", [copy.copy, deep, pickled, model_copied, model_copied_deep])
@pytest.mark.parametrize("make", [*GRAPHS, *OTHERS])
def test_a_copy_is_learned_wherever_the_bare_one_can_be_copied(make: Any, copied: Any, tmp_path: Path) -> None:
    try:
        expected = asked(copied(make()))
    except Exception as error:
        with pytest.raises(type(error)):
            asked(copied(learned(make(), MemoryClient())))
        return
    with Acontext(f"sqlite:///{tmp_path / 'memory.db'}") as client:
        bare = make()
        other = copied(learned(bare, client))
        assert other.__class__ is type(bare)
        assert asked(other) == expected
        client.flush()
        if make is not function:
            [session] = client.sessions.list().items
            assert len(client.sessions.get_messages(session.id).items) == (4 if make is agent else 2)


def test_a_deep_copy_of_a_graph_is_learned() -> None:
    """Deep copies of compiled graphs do not run (langgraph knows what is no value by its identity)."""
    ours = learned(agent(), MemoryClient(SKILLS))
    other = copy.deepcopy(ours)
    assert mark_of(other) is not None
    assert other.nodes["model"].bound is not ours.nodes["model"].bound


def test_a_deep_copy_is_another_object() -> None:
    memory = MemoryClient(SKILLS)
    ours = learned(model("one"), memory)
    other = copy.deepcopy(ours)
    other.steps.append("two")
    assert ours.steps == ["one"]
    assert learned(other, memory) is other


def test_handlers_and_middleware_are_copied_and_pickled_with_what_they_are_in(tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path / 'memory.db'}") as client:
        handler = AcontextCallbackHandler(space="s", client=client)
        base = ScriptedModel(steps=["one"], callbacks=[handler])
        for other in (copy.deepcopy(base), pickled(base)):
            assert other.invoke("hi").content == "one"
        middleware = AcontextMiddleware(space="s", client=client)
        for same in (copy.deepcopy(middleware), pickled(middleware)):
            assert same.runtime.same_as(middleware.runtime)
        client.flush()
        assert len(client.sessions.list().items) == 2


def test_a_copied_middleware_has_its_tools_once() -> None:
    ours = AcontextMiddleware(space="s", inject_as="catalog")
    for one in (ours, copy.copy(ours), copy.deepcopy(ours), pickled(pickled(ours))):
        assert [tool.name for tool in one.tools] == [READ_SKILL]
    ours.tools = [weather, *ours.tools]  # as a class of the host's may do
    assert [tool.name for tool in copy.deepcopy(ours).tools] == ["weather", READ_SKILL]


def test_a_handler_is_told_of_interruptions() -> None:
    handler = AcontextCallbackHandler(space="s", client=MemoryClient())
    assert isinstance(handler, GraphCallbackHandler)
    assert isinstance(pickled(AcontextCallbackHandler(space="s")), GraphCallbackHandler)


# -- what is set on it
def test_what_is_set_on_it_counts() -> None:
    memory = MemoryClient(SKILLS)
    ours = learned(model("one"), memory)
    ours.steps = ["late"]
    ours.name = "mine"
    assert ours.invoke("hi").content == "late"
    again = learned(ours, memory, inject_as="user")
    assert (again.steps, again.name) == (["late"], "mine")
    assert mark_of(again) is not mark_of(ours)


async def test_a_checkpointer_that_is_given_later_is_used() -> None:
    ours = learned(agent(), MemoryClient(SKILLS))
    ours.checkpointer = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}}
    await ours.ainvoke(ASK, config)
    assert [one.content for one in ours.get_state(config).values["messages"]] == ["hi", "", "21C in Oslo", "one"]


# -- graphs are asked the same, and answer the same
def asking(state: MessagesState) -> Any:
    return {"messages": [HumanMessage(interrupt("who?"))]}


def with_subgraph(checkpointer: Any = None) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("inner", agent())
    builder.add_node("asking", asking)
    builder.add_edge(START, "inner")
    builder.add_edge("inner", "asking")
    return builder.compile(checkpointer=checkpointer)


def looked_at(graph: Any) -> dict[str, Any]:
    config: Any = {"configurable": {"thread_id": "t"}}
    configured = graph.with_config({"tags": ["mine"], "metadata": {"shop": "cups"}})
    first = configured.invoke(ASK, config)
    waiting = configured.get_state(config, subgraphs=True)
    configured.invoke(Command(resume="me"), config)
    return {
        "first": [one.content for one in first["messages"]],
        "next": waiting.next,
        "interrupts": [one.value for one in waiting.interrupts],
        "history": [(one.next, len(one.values.get("messages", []))) for one in graph.get_state_history(config)],
        "state": [one.content for one in graph.get_state(config).values["messages"]],
        "subgraphs": [(name, type(one).__name__) for name, one in graph.get_subgraphs()],
        "nodes": [(name, type(node).__name__, type(node.bound).__name__) for name, node in graph.nodes.items()],
        "tags": configured.config["tags"],
        "drawn": graph.get_graph(xray=True).draw_mermaid(),
        "schemas": [graph.get_input_jsonschema(), graph.get_output_jsonschema(), graph.get_context_jsonschema()],
        "channels": list(graph.channels),
    }


def test_a_graph_with_a_subgraph_is_looked_at_as_the_bare_one() -> None:
    bare = with_subgraph(InMemorySaver())
    assert looked_at(learned(with_subgraph(InMemorySaver()), MemoryClient(SKILLS))) == looked_at(bare)


def test_an_agent_is_looked_at_as_the_bare_one() -> None:
    bare = agent()
    ours = learned(bare, MemoryClient(SKILLS))
    for name, node in bare.nodes.items():
        assert type(ours.nodes[name].bound).__name__ == type(node.bound).__name__
        assert isinstance(ours.nodes[name].bound, type(node.bound))
    assert ours.get_graph().draw_mermaid() == bare.get_graph().draw_mermaid()
    assert mark_of(ours.with_config({"tags": ["mine"]})) is mark_of(ours)
    assert ours.with_config({"recursion_limit": 7}).config["recursion_limit"] == 7


async def test_events_are_those_of_the_bare_agent() -> None:
    async def events(target: Any) -> list[Any]:
        found = [event async for event in target.astream_events(ASK, version="v2")]
        return [(one["event"], one["name"], one["tags"], one["metadata"].get("langgraph_node")) for one in found]

    assert await events(learned(agent(), MemoryClient(SKILLS))) == await events(agent())


# -- which graphs are agents
class Quiet(AgentMiddleware[Any, Any, Any]):
    def after_model(self, state: Any, runtime: Any) -> None:
        return None


@pytest.mark.parametrize("integration", ["deepagents", "mine", None])
@pytest.mark.parametrize("middleware", [[], [Quiet()]])
def test_an_agent_is_known_whatever_its_metadata_say(integration: Any, middleware: Any) -> None:
    memory, base = MemoryClient(SKILLS), model(("weather", "c1"), "one")
    bare = create_agent(base, [weather], middleware=middleware)
    bare = bare.copy({"config": {"metadata": {"ls_integration": integration}} if integration else None})
    learned(bare, memory).invoke(ASK)
    assert all(SKILLS in prompt[0].content for prompt in base.prompts)
    assert memory.session.fates == ['weather {"city": "Oslo"}: executed']


@pytest.mark.parametrize("space", ["s", None])
def test_a_graph_that_gets_no_skills_says_so_once(space: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "acontext")
    ours = learning(by_hand(), space=space, client=MemoryClient(SKILLS), strict=True)
    for _ in range(3):
        ours.invoke(ASK)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (1 if space else 0)
    assert all("'H'" in words and "learning(chat_model" in words for words in said)


def test_a_graph_whose_models_are_learned_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "acontext")
    memory = MemoryClient(SKILLS)
    base = learned(model("one", "two"), memory)
    builder = StateGraph(MessagesState)
    builder.add_node("say", lambda state: {"messages": [base.invoke(state["messages"])]})
    builder.add_edge(START, "say")
    learned(builder.compile(), memory).invoke(ASK)
    learned(builder.compile(), memory, inject=False).invoke(ASK)
    assert caplog.records == []
