"""The provider's prompt cache of a long conversation is as good with skills as without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver

from acontext_adapters.langchain import AcontextMiddleware
from acontext_adapters.testing import ForwardingClient
from acontext_plugins.learning import learning

from ..prompt_cache import ANSWER, INSTRUCTIONS, TURNS, keeps_the_cache
from .scripted import ScriptedModel


def read(prompts: Sequence[Sequence[BaseMessage]]) -> list[str]:
    return ["".join(f"{message.type}: {message.content}\n" for message in prompt)[:-1] for prompt in prompts]


@pytest.mark.parametrize("way", ["graph", "middleware", "both"])
@pytest.mark.parametrize("where", ["system", "user"])
async def test_twenty_turns_of_an_agent_in_one_thread(tmp_path: Path, way: str, where: Any) -> None:
    async def play(client: ForwardingClient | None) -> list[str]:
        model = ScriptedModel(steps=[ANSWER for _ in TURNS])
        options: Any = {"space": "support", "client": client, "inject_as": where}
        middleware = [AcontextMiddleware(**options)] if client is not None and way != "graph" else []
        agent: Any = create_agent(
            model, [], system_prompt=INSTRUCTIONS, middleware=middleware, checkpointer=InMemorySaver()
        )
        if client is not None and way != "middleware":
            agent = learning(agent, **options)
        for turn in TURNS:
            await agent.ainvoke({"messages": [("user", turn)]}, {"configurable": {"thread_id": "talk"}})
        return read(model.prompts)

    await keeps_the_cache(tmp_path, play)


@pytest.mark.parametrize("where", ["system", "user"])
async def test_twenty_turns_with_a_chat_model(tmp_path: Path, where: Any) -> None:
    async def play(client: ForwardingClient | None) -> list[str]:
        base = ScriptedModel(steps=[ANSWER for _ in TURNS])
        model: Any = base
        if client is not None:
            model = learning(base, space="support", client=client, inject_as=where)
        history: list[BaseMessage] = [SystemMessage(INSTRUCTIONS)]
        for turn in TURNS:
            history.append(HumanMessage(turn))
            answer = await model.ainvoke(history)
            history.append(AIMessage(answer.content))
        return read(base.prompts)

    await keeps_the_cache(tmp_path, play)
