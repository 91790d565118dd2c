"""What an agent's own middleware masks is recorded masked, and what it refuses is not recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, PIIMiddleware
from langchain_core.messages import RemoveMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from acontext_adapters.langchain import AcontextCallbackHandler
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning

from .scripted import asks, call, model

ADDRESS = "ada@example.com"


@tool
def find_user(city: str) -> str:
    """Find a user."""
    return f"she is {ADDRESS}"


def pii(strategy: str, **where: bool) -> Any:
    given: Any = where or {"apply_to_input": True, "apply_to_output": True, "apply_to_tool_results": True}
    make: Any = PIIMiddleware
    return make("email", strategy=strategy, **given)


def play(memory: MemoryClient, way: str, middleware: Sequence[Any], *steps: Any, says: str) -> Any:
    agent = create_agent(model(*steps), [find_user], middleware=list(middleware))
    config: Any = {}
    if way == "handler":
        config = {"callbacks": [AcontextCallbackHandler(space="s", client=memory)]}
    else:
        agent = learning(agent, space="s", client=memory)
    return agent.invoke({"messages": [("user", says)]}, config)


def kept(memory: MemoryClient) -> str:
    return repr([message for session in memory.sessions.values() for message in session.messages])


ways = pytest.mark.parametrize("way", ["learned", "handler"])


@ways
@pytest.mark.parametrize("strategy", ["redact", "mask", "hash"])
def test_inputs_answers_and_results_are_recorded_as_they_are_masked(way: str, strategy: str) -> None:
    memory = MemoryClient()
    steps = (("find_user", "c1"), f"it is {ADDRESS}")
    state = play(memory, way, [pii(strategy)], *steps, says=f"who is {ADDRESS}?")
    assert ADDRESS not in repr(state)
    assert ADDRESS not in kept(memory)
    user, call, result, answer = memory.lines
    told = [message.content for message in state["messages"]]
    assert (user, result, answer) == (f"user: {told[0]}", f"result: {told[2]}", f"assistant: {told[3]}")
    assert call.startswith("call: find_user")
    assert memory.outcome == ("success", "")


@ways
def test_of_an_input_that_is_refused_nothing_is_recorded(way: str) -> None:
    memory = MemoryClient()
    with pytest.raises(Exception, match="email"):
        play(memory, way, [pii("block")], "never", says=f"who is {ADDRESS}?")
    assert memory.recordings == []


@ways
@pytest.mark.parametrize("where", ["apply_to_output", "apply_to_tool_results"])
def test_an_answer_or_a_result_that_is_refused_is_not_recorded(way: str, where: str) -> None:
    memory = MemoryClient()
    steps = (f"it is {ADDRESS}",) if where == "apply_to_output" else (("find_user", "c1"), "never")
    with pytest.raises(Exception, match="email"):
        play(memory, way, [pii("block", apply_to_input=False, **{where: True})], *steps, says="who is she?")
    assert ADDRESS not in kept(memory)
    assert memory.lines[0] == "user: who is she?"
    assert memory.outcome is not None
    assert memory.outcome[0] == "failed"


@ways
def test_what_middleware_leaves_as_it_is_is_recorded_once(way: str) -> None:
    class Looks(AgentMiddleware[Any, Any, Any]):
        def after_model(self, state: Any, runtime: Any) -> None:
            pass

    memory = MemoryClient()
    play(memory, way, [Looks()], ("find_user", "c1"), "done", says="who is she?")
    assert memory.lines == [
        "user: who is she?",
        'call: find_user {"city": "Oslo"}',
        f"result: she is {ADDRESS}",
        "assistant: done",
    ]


def test_a_conversation_that_is_sent_again_masked_goes_on() -> None:
    memory, mask = MemoryClient(), pii("redact")
    agent = learning(create_agent(model(f"it is {ADDRESS}", "bye"), [], middleware=[mask]), space="s", client=memory)
    state = agent.invoke({"messages": [("user", "who is she?")]})
    agent.invoke({"messages": [*state["messages"], ("user", "thanks")]})
    assert memory.lines == ["user: who is she?", "assistant: it is [REDACTED_EMAIL]", "user: thanks", "assistant: bye"]


@tool
def greet(whom: str) -> str:
    """Greet somebody, once somebody says so."""
    return f"hello {interrupt(whom)}"


@ways
@pytest.mark.parametrize("masked", [0, 1])
@pytest.mark.parametrize("anew", [False, True], ids=["in its place", "as another message"])
def test_of_two_results_with_one_id_the_masked_one_is_recorded_masked(way: str, masked: int, anew: bool) -> None:
    class Masks(AgentMiddleware[Any, Any, Any]):
        def before_model(self, state: Any, runtime: Any) -> Any:
            results = [one for one in state["messages"] if isinstance(one, ToolMessage)]
            if not results:
                return None
            result = results[masked]
            if not anew:
                return {"messages": [result.model_copy(update={"content": "hidden"})]}
            return {"messages": [RemoveMessage(result.id), ToolMessage("hidden", tool_call_id="c1")]}

    @tool
    def weather(city: str) -> str:
        """The weather."""
        return f"rain in {city}"

    memory = MemoryClient()
    first = asks(call("weather", "c1", city="Oslo"), call("weather", "c1", city="Rome"))
    agent: Any = create_agent(model(first, "done"), [weather], middleware=[Masks()])
    config: Any = {}
    if way == "handler":
        config = {"callbacks": [AcontextCallbackHandler(space="s", client=memory, strict=True)]}
    else:
        agent = learning(agent, space="s", client=memory, strict=True)
    agent.invoke({"messages": [("user", "is it raining?")]}, config)
    results = ["result: rain in Oslo", "result: rain in Rome"]
    results[masked] = "result: hidden"
    assert sorted(memory.lines[3:-1]) == sorted(results)


@ways
def test_what_a_run_that_goes_on_masks_is_recorded_masked(way: str) -> None:
    memory = MemoryClient()
    mask, saver = pii("redact"), InMemorySaver()
    first = asks(call("greet", "c1", whom="Ada"))
    agent: Any = create_agent(model(first, "done"), [greet], middleware=[mask], checkpointer=saver, name="A")
    config: Any = {"configurable": {"thread_id": f"masks by {way}"}}
    if way == "handler":
        config["callbacks"] = [AcontextCallbackHandler(space="s", client=memory, strict=True)]
    else:
        agent = learning(agent, space="s", client=memory, strict=True)
    agent.invoke({"messages": [("user", "greet her")]}, config)
    agent.invoke(Command(resume=ADDRESS), config)
    assert ADDRESS not in kept(memory)
    assert memory.lines[-2:] == ["result: hello [REDACTED_EMAIL]", "assistant: done"]
