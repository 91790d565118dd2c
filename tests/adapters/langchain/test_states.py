"""Messages are read in every form in which a graph takes them, and what a graph refuses is left to the graph."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest

pytest.importorskip("langgraph")

from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Overwrite

from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning

from .scripted import ScriptedModel

FORMS: dict[str, Callable[[list[Any]], Any]] = {
    "list": lambda messages: messages,
    "one": lambda messages: messages[-1],
    "overwrite": Overwrite,
    "overwrite-as-a-dict": lambda messages: {"__overwrite__": messages},
}


class Plain(TypedDict):
    """A state whose messages are not LangChain's."""

    messages: Annotated[list[Any], operator.add]


def asking(form: Callable[[list[Any]], Any] = list, *, history: bool = False) -> Any:
    """A graph that asks a model, and gives the answer in a form, behind the whole conversation where that is asked."""
    model = ScriptedModel(steps=["on Monday"])

    def ask(state: MessagesState) -> Any:
        answer = model.invoke(state["messages"])
        return {"messages": form([*state["messages"], answer] if history else [answer])}

    return StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").compile()


def answering(answer: Any, state: type = MessagesState) -> Any:
    return StateGraph(state).add_node("answer", lambda _: {"messages": answer}).add_edge(START, "answer").compile()


@pytest.mark.parametrize("form", FORMS)
def test_what_is_asked_is_recorded_in_every_form_of_a_state(form: str) -> None:
    memory = MemoryClient()
    graph = learning(asking(), space="s", client=memory, strict=True)
    graph.invoke({"messages": FORMS[form]([("user", "when does it come?")])})
    assert memory.lines == ["user: when does it come?", "assistant: on Monday"]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_answered_is_recorded_once_in_every_form_of_an_update(form: str) -> None:
    memory = MemoryClient()
    graph = learning(
        asking(FORMS[form], history=form in ("overwrite", "overwrite-as-a-dict")), space="s", client=memory, strict=True
    )
    graph.invoke({"messages": "when does it come?"})
    assert memory.lines == ["user: when does it come?", "assistant: on Monday"]


@pytest.mark.parametrize("broken", [{"role": "tool", "content": "4"}, {"kind": "note"}, 7], ids=str)
def test_a_message_that_the_graph_refuses_is_refused_in_its_own_words_alone(
    broken: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bare, graph = answering([broken]), learning(answering([broken]), space="s", client=MemoryClient())
    with pytest.raises(Exception) as without:
        bare.invoke({"messages": "hi"})
    with pytest.raises(type(without.value)) as learned:
        graph.invoke({"messages": "hi"})
    assert str(learned.value) == str(without.value)
    assert [record.getMessage() for record in caplog.records if record.name == "acontext"] == []


def test_a_state_of_something_else_under_that_name_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    graph = learning(answering([{"b": 1}], Plain), space="s", client=MemoryClient(), strict=True)
    assert graph.invoke({"messages": [{"a": 1}]}) == {"messages": [{"a": 1}, {"b": 1}]}
    assert caplog.records == []
