"""An agent of the OpenAI Agents SDK that remembers: `python examples/openai_agents.py`.

With OPENAI_API_KEY set it talks to a real model; without, to the SDK's scripted one, offline. It keeps its memory in
./example.db: run it several times and look at it with `acontext tasks --url sqlite:///example.db`.
"""

from __future__ import annotations

import os
from typing import Any

from agents import Agent, Runner, SQLiteSession, function_tool, set_tracing_disabled

from acontext_plugins import Acontext, learning


@function_tool
def find_order(email: str) -> str:
    """Find a customer's last order."""
    return '{"order_id": "A-1001", "item": "espresso cups", "price": "24.50 EUR"}'


@function_tool
def issue_refund(order_id: str, amount_in_cents: int) -> str:
    """Refund an order."""
    return '{"status": "refunded"}'


def scripted() -> Any:
    """What a model could answer, for a machine without a key."""
    from agents.testing import ScriptedModel, assistant_message, function_call

    return ScriptedModel(
        [
            [function_call("find_order", {"email": "ada@example.com"}, call_id="c1")],
            [function_call("issue_refund", {"order_id": "A-1001", "amount_in_cents": 2450}, call_id="c2")],
            [assistant_message("I have refunded 24.50 EUR.")],
        ]
    )


def main() -> None:
    """One run, and what was kept of it."""
    online = bool(os.environ.get("OPENAI_API_KEY"))
    if not online:
        os.environ["OPENAI_API_KEY"] = "sk-not-used"
        set_tracing_disabled(True)
    with Acontext("sqlite:///example.db") as client:
        agent = Agent(
            name="support",
            instructions="You help the customers of a small shop.",
            tools=[find_order, issue_refund],
            model=None if online else scripted(),
        )
        agent = learning(agent, space="support", client=client)
        session = SQLiteSession("ada")
        result = Runner.run_sync(
            agent, "I am ada@example.com. My cups arrived broken, please refund them.", session=session
        )
        session.close()
        print(result.final_output)
        client.flush(30)
        for kept in client.sessions.list().items:
            for task in client.sessions.get_tasks(kept.id).items:
                print(f"task #{task.order}, {task.status}: {task.data['task_description']}")


if __name__ == "__main__":
    main()
