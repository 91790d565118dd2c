"""Which session: the thread of a configuration, whatever was learned."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from acontext_adapters.langchain import AcontextCallbackHandler
from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning

from .scripted import model

PROMPT = ChatPromptTemplate.from_messages([("user", "{words}")])


def learned_chain(memory: MemoryClient) -> Any:
    return learning(PROMPT | model("one", "two", "three"), space="s", client=memory, strict=True)


def learned_model(memory: MemoryClient) -> Any:
    chat = learning(model("one", "two", "three"), space="s", client=memory, strict=True)
    return RunnableLambda(lambda given: given["words"]) | chat


def learned_function(memory: MemoryClient) -> Any:
    chat = model("one", "two", "three")
    return learning(RunnableLambda(lambda given: chat.invoke(given["words"])), space="s", client=memory, strict=True)


def handled_chain(memory: MemoryClient) -> Any:
    handler = AcontextCallbackHandler(space="s", client=memory, strict=True)
    return (PROMPT | model("one", "two", "three")).with_config(callbacks=[handler])


HOW = ("invoke", "ainvoke", "stream", "batch")
WAYS = [(way, how) for way in (learned_chain, learned_model, learned_function) for how in HOW]
#: In `batch`, steps of a chain have no configuration in their context: a handler is told of none.
WAYS += [(handled_chain, how) for how in HOW if how != "batch"]


def sessions(memory: MemoryClient) -> dict[tuple[str, str | None], int]:
    return {(session.ref.key, session.ref.principal): len(session.messages) for session in memory.sessions.values()}


@pytest.mark.parametrize(("way", "how"), WAYS)
def test_a_thread_is_a_session_of_the_user_whom_the_configuration_names(way: Any, how: str) -> None:
    memory = MemoryClient()
    target = way(memory)
    for words, thread in (("hi", "t1"), ("and now?", "t1"), ("hi", "t2")):
        config: Any = {"configurable": {"thread_id": thread, "user_id": "ada"}}
        given = {"words": words}
        if how == "ainvoke":
            asyncio.run(target.ainvoke(given, config))
        elif how == "stream":
            list(target.stream(given, config))
        else:
            target.invoke(given, config) if how == "invoke" else target.batch([given], config)
    assert sessions(memory) == {("t1", "ada"): 4, ("t2", "ada"): 2}


@pytest.mark.parametrize("how", HOW)
def test_the_thread_of_a_learned_model_that_is_called_itself_is_its_session(how: str) -> None:
    memory = MemoryClient()
    chat = learning(model("one", "two"), space="s", client=memory, strict=True)
    for words in ("hi", "and now?"):
        config: Any = {"configurable": {"thread_id": "t1"}}
        if how == "ainvoke":
            asyncio.run(chat.ainvoke(words, config))
        elif how == "stream":
            list(chat.stream(words, config))
        else:
            chat.invoke(words, config) if how == "invoke" else chat.batch([words], config)
    assert sessions(memory) == {("t1", None): 4}


def test_a_handler_alone_is_told_the_thread_in_metadata() -> None:
    memory = MemoryClient()
    config: Any = {"metadata": {"thread_id": "t1", "user_id": "ada"}}
    target = handled_chain(memory)
    target.batch([{"words": "hi"}], config)
    target.invoke({"words": "and now?"}, config)
    assert sessions(memory) == {("t1", "ada"): 4}


def test_two_inputs_of_one_batch_have_the_threads_of_their_configurations() -> None:
    memory = MemoryClient()
    configs: Any = [{"configurable": {"thread_id": thread}} for thread in ("t1", "t2")]
    learned_chain(memory).batch([{"words": "hi"}, {"words": "hello"}], configs)
    assert sessions(memory) == {("t1", None): 2, ("t2", None): 2}
