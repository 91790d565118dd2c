"""An agent of LangChain that remembers: `python examples/langchain_agent.py`.

With OPENAI_API_KEY set (and langchain-openai installed) it talks to a real model; without, to a scripted one, offline.
It keeps its memory in ./example.db: run it several times and look at it with `acontext tasks --url sqlite:///example.db`.
"""

from __future__ import annotations

import os
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from acontext_plugins import Acontext, learning


@tool
def find_order(email: str) -> str:
    """Find a customer's last order."""
    return '{"order_id": "A-1001", "item": "espresso cups", "price": "24.50 EUR"}'


@tool
def issue_refund(order_id: str, amount_in_cents: int) -> str:
    """Refund an order."""
    return '{"status": "refunded"}'


class Scripted(GenericFakeChatModel):
    """What a model could answer, for a machine without a key."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def scripted() -> Scripted:
    calls = [
        {"name": "find_order", "args": {"email": "ada@example.com"}, "id": "c1"},
        {"name": "issue_refund", "args": {"order_id": "A-1001", "amount_in_cents": 2450}, "id": "c2"},
    ]
    answers = [AIMessage("", tool_calls=[call]) for call in calls]
    return Scripted(messages=iter([*answers, AIMessage("I have refunded 24.50 EUR.")]))


def main() -> None:
    """One run, and what was kept of it."""
    online = bool(os.environ.get("OPENAI_API_KEY"))
    with Acontext("sqlite:///example.db") as client:
        agent = create_agent(
            "openai:gpt-5" if online else scripted(),
            [find_order, issue_refund],
            system_prompt="You help the customers of a small shop.",
            checkpointer=InMemorySaver(),
            name="support",
        )
        agent = learning(agent, space="support", client=client)
        result = agent.invoke(
            {"messages": [("user", "I am ada@example.com. My cups arrived broken, please refund them.")]},
            {"configurable": {"thread_id": "ada"}},
        )
        print(result["messages"][-1].content)
        client.flush(30)
        for kept in client.sessions.list().items:
            for task in client.sessions.get_tasks(kept.id).items:
                print(f"task #{task.order}, {task.status}: {task.data['task_description']}")


if __name__ == "__main__":
    main()
