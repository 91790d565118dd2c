"""A hand-written agent on a plain OpenAI client that remembers: `python examples/openai_client.py`.

With OPENAI_API_KEY set it talks to a real model; without, to a scripted one, offline. It keeps its memory in
./example.db: run it several times and look at it with `acontext tasks --url sqlite:///example.db`.
"""

from __future__ import annotations

import json
import os
from typing import Any

from openai import OpenAI

from acontext_plugins import Acontext, learning

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": words,
            "parameters": {"type": "object", "properties": arguments, "required": list(arguments)},
        },
    }
    for name, words, arguments in (
        ("find_order", "Find a customer's last order.", {"email": {"type": "string"}}),
        (
            "issue_refund",
            "Refund an order.",
            {"order_id": {"type": "string"}, "amount_in_cents": {"type": "integer"}},
        ),
    )
]


def find_order(email: str) -> str:
    """Find a customer's last order."""
    return '{"order_id": "A-1001", "item": "espresso cups", "price": "24.50 EUR"}'


def issue_refund(order_id: str, amount_in_cents: int) -> str:
    """Refund an order."""
    return '{"status": "refunded"}'


def answer(client: OpenAI, messages: list[Any]) -> str:
    """The loop of an agent: call the model, run its tools, until it has an answer."""
    while True:
        completion = client.chat.completions.create(model="gpt-4.1-mini", messages=messages, tools=TOOLS)
        said = completion.choices[0].message
        messages.append(said.model_dump(exclude_none=True))
        if not said.tool_calls:
            return said.content or ""
        for call in said.tool_calls:
            if call.type == "function":
                tool = {"find_order": find_order, "issue_refund": issue_refund}[call.function.name]
                result = tool(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def scripted() -> OpenAI:
    """A client whose model says what is written here, for a machine without a key."""
    try:
        import httpx2 as httpx
    except ImportError:  # openai before 3
        import httpx  # type: ignore[no-redef]

    steps = iter(
        [
            ("find_order", {"email": "ada@example.com"}),
            ("issue_refund", {"order_id": "A-1001", "amount_in_cents": 2450}),
            "I have refunded 24.50 EUR.",
        ]
    )

    def reply(request: httpx.Request) -> httpx.Response:
        step = next(steps)
        message: dict[str, Any] = {"role": "assistant", "content": step}
        if not isinstance(step, str):
            function = {"name": step[0], "arguments": json.dumps(step[1])}
            call = {"id": f"call_{step[0]}", "type": "function", "function": function}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        finish = "stop" if isinstance(step, str) else "tool_calls"
        choice = {"index": 0, "message": message, "finish_reason": finish}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": "scripted", "choices": [choice]}
        return httpx.Response(200, json=body)

    return OpenAI(api_key="sk-not-used", http_client=httpx.Client(transport=httpx.MockTransport(reply)))


def main() -> None:
    """One run, and what was kept of it."""
    online = bool(os.environ.get("OPENAI_API_KEY"))
    with Acontext("sqlite:///example.db") as memory:
        client = learning(OpenAI() if online else scripted(), space="support", client=memory)
        messages = [
            {"role": "system", "content": "You help the customers of a small shop."},
            {"role": "user", "content": "I am ada@example.com. My cups arrived broken, please refund them."},
        ]
        print(answer(client, messages))
        client.close()
        memory.flush(30)
        for kept in memory.sessions.list().items:
            for task in memory.sessions.get_tasks(kept.id).items:
                print(f"task #{task.order}, {task.status}: {task.data['task_description']}")


if __name__ == "__main__":
    main()
