"""An agent of agno that remembers: `python examples/agno_agent.py`.

With OPENAI_API_KEY set it talks to a real model; without, to a scripted one, offline. It keeps its memory in
./example.db: run it several times and look at it with `acontext tasks --url sqlite:///example.db`.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

from agno.agent import Agent
from agno.models.base import Model
from agno.models.response import ModelResponse

from acontext_plugins import Acontext, learning


def find_order(email: str) -> str:
    """Find a customer's last order."""
    return '{"order_id": "A-1001", "item": "espresso cups", "price": "24.50 EUR"}'


def issue_refund(order_id: str, amount_in_cents: int) -> str:
    """Refund an order."""
    return '{"status": "refunded"}'


class Scripted(Model):
    """What a model could answer, for a machine without a key."""

    def invoke(self, messages: list[Any], **options: Any) -> ModelResponse:
        results = sum(message.role == "tool" for message in messages)
        if results == 0:
            return _call("find_order", {"email": "ada@example.com"})
        if results == 1:
            return _call("issue_refund", {"order_id": "A-1001", "amount_in_cents": 2450})
        return ModelResponse(role="assistant", content="I have refunded 24.50 EUR.")

    async def ainvoke(self, messages: list[Any], **options: Any) -> ModelResponse:
        return self.invoke(messages)

    def invoke_stream(self, messages: list[Any], **options: Any) -> Iterator[ModelResponse]:
        yield self.invoke(messages)

    async def ainvoke_stream(self, messages: list[Any], **options: Any) -> AsyncIterator[ModelResponse]:
        yield self.invoke(messages)

    def _parse_provider_response(self, response: Any, **options: Any) -> ModelResponse:
        return response  # type: ignore[no-any-return]

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return response  # type: ignore[no-any-return]


def _call(name: str, arguments: dict[str, Any]) -> ModelResponse:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return ModelResponse(
        role="assistant", tool_calls=[{"id": f"call_{name}", "type": "function", "function": function}]
    )


def model() -> Model:
    """A real one where there is a key."""
    if not os.environ.get("OPENAI_API_KEY"):
        return Scripted(id="scripted")
    from agno.models.openai import OpenAIChat

    return OpenAIChat(id="gpt-4o-mini")


def main() -> None:
    """One run, and what was kept of it."""
    with Acontext("sqlite:///example.db") as client:
        agent = Agent(
            name="support",
            instructions="You help the customers of a small shop.",
            tools=[find_order, issue_refund],
            model=model(),
            telemetry=False,
        )
        agent = learning(agent, space="support", client=client)
        result = agent.run("I am ada@example.com. My cups arrived broken, please refund them.", session_id="ada")
        print(result.content)
        client.flush(30)
        for kept in client.sessions.list().items:
            for task in client.sessions.get_tasks(kept.id).items:
                print(f"task #{task.order}, {task.status}: {task.data['task_description']}")


if __name__ == "__main__":
    main()
