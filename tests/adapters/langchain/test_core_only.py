"""langchain-core is enough for chat models, chains and the handler: langgraph is imported where a graph has been."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool

from acontext_adapters.langchain import AcontextCallbackHandler
from acontext_adapters.testing import MemoryClient
from acontext_plugins import Acontext
from acontext_plugins.learning import learning

from .scripted import model

SKILLS = "<acontext-skills>\n## Use when: asked\n</acontext-skills>"


def learned(target: Any, memory: Any) -> Any:
    return learning(target, space="s", client=memory, strict=True, deadline=30)


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"21C in {city}"


async def test_a_chat_model_has_skills_and_is_recorded() -> None:
    memory, base = MemoryClient(SKILLS), model("one", "two three")
    chat = learned(base, memory)
    assert chat.invoke([SystemMessage("Base."), HumanMessage("hi")]).content == "one"
    assert "".join([str(chunk.content) async for chunk in chat.astream("again")]) == "two three"
    assert [prompt[0].content for prompt in base.prompts] == [f"Base.\n\n{SKILLS}", SKILLS]
    assert [line for session in memory.sessions.values() for line in session.lines] == [
        "user: hi",
        "assistant: one",
        "user: again",
        "assistant: two three",
    ]


def test_a_loop_with_tools_is_one_run() -> None:
    memory, base = MemoryClient(SKILLS), model(("weather", "c1"), "21C")
    chat = learned(base, memory).bind_tools([weather])
    said: list[Any] = [HumanMessage("How warm?")]
    said.append(chat.invoke(said))
    said += [weather.invoke(one) for one in said[-1].tool_calls]
    assert chat.invoke(said).content == "21C"
    assert memory.lines == [
        "user: How warm?",
        'call: weather {"city": "Oslo"}',
        "result: 21C in Oslo",
        "assistant: 21C",
    ]


@pytest.mark.parametrize("by", ["learning", "handler"])
def test_a_chain_is_recorded(by: str) -> None:
    memory = MemoryClient()
    chain: Any = ChatPromptTemplate.from_messages([("human", "{words}")]) | model("one") | StrOutputParser()
    if by == "learning":
        assert learned(chain, memory).invoke({"words": "hi"}) == "one"
    else:
        handler = AcontextCallbackHandler(space="s", client=memory)
        assert chain.invoke({"words": "hi"}, {"callbacks": [handler]}) == "one"
    assert memory.lines == ["user: hi", "assistant: one"]
    assert memory.outcome == ("success", "")


def test_a_chain_that_raises_has_failed() -> None:
    memory = MemoryClient()
    with pytest.raises(ValueError, match="down"):
        learned(model(ValueError("down")) | StrOutputParser(), memory).invoke("hi")
    assert memory.outcome == ("failed", "ValueError: down")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_is_learned(copied: Any, tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path / 'memory.db'}") as client:
        chain = copied(learned(learned(model("one"), client) | StrOutputParser(), client))
        assert chain.invoke("hi") == "one"
        client.flush()
        [session] = client.sessions.list().items
        assert len(client.sessions.get_messages(session.id).items) == 2


def test_langgraph_is_not_imported_where_there_is_no_graph() -> None:
    code = """
import sys
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from acontext_adapters.langchain import AcontextCallbackHandler
from acontext_adapters.testing import MemoryClient
from acontext_plugins import learning
memory = MemoryClient()
chat = learning(FakeListChatModel(responses=["one", "two"]), space="s", client=memory)
handler = AcontextCallbackHandler(space="s", client=memory)
chain = learning(chat | StrOutputParser(), space="s", client=memory)
assert chain.invoke("hi", {"callbacks": [handler]}) == "one"
assert memory.lines == ["user: hi", "assistant: one"]
assert [name for name in sys.modules if name.partition(".")[0] in ("langgraph", "langchain")] == []
"""
    subprocess.run([sys.executable, "-c", code], check=True)
