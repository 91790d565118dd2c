"""A hand-written agent on LiteLLM that remembers: `python examples/litellm_sdk.py`.

With OPENAI_API_KEY set it talks to a real model; without, LiteLLM itself plays one, offline. It keeps its memory in
./example.db: run it several times and look at it with `acontext tasks --url sqlite:///example.db`.
"""

from __future__ import annotations

import json
import os
import warnings
from typing import Any

from acontext_plugins import Acontext, learning

MODEL = "gpt-4.1-mini"
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": {field: {"type": "string"}}, "required": [field]},
        },
    }
    for name, description, field in (
        ("find_order", "Find a customer's last order.", "email"),
        ("issue_refund", "Refund an order.", "order_id"),
    )
]
RESULTS = {
    "find_order": '{"order_id": "A-1001", "item": "espresso cups", "price": "24.50 EUR"}',
    "issue_refund": '{"status": "refunded"}',
}


def scripted() -> list[dict[str, Any]]:
    """What a model could answer, for a machine without a key."""
    steps: list[dict[str, Any]] = []
    for id, name, given in (
        ("c1", "find_order", {"email": "ada@example.com"}),
        ("c2", "issue_refund", {"order_id": "A-1001"}),
    ):
        function = {"name": name, "arguments": json.dumps(given)}
        steps.append({"mock_tool_calls": [{"id": id, "type": "function", "function": function}]})
    return [*steps, {"mock_response": "I have refunded 24.50 EUR."}]


def main() -> None:
    """One turn of an agent, and what was kept of it."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no download at the start
    warnings.filterwarnings("ignore", module="pydantic")  # LiteLLM's own types
    import litellm

    script = [] if os.environ.get("OPENAI_API_KEY") else scripted()
    with Acontext("sqlite:///example.db") as client:
        completion = learning(litellm.completion, space="support", client=client)
        history: list[Any] = [
            {"role": "system", "content": "You help the customers of a small shop."},
            {"role": "user", "content": "I am ada@example.com. My cups arrived broken, please refund them."},
        ]
        while True:
            mocked = script.pop(0) if script else {}
            result = completion(model=MODEL, messages=history, tools=TOOLS, metadata={"session_id": "ada"}, **mocked)
            message = result.choices[0].message
            history.append(message)
            if not message.tool_calls:
                break
            for call in message.tool_calls:
                history.append({"role": "tool", "tool_call_id": call.id, "content": RESULTS[call.function.name]})
        print(message.content)
        client.flush(30)
        for kept in client.sessions.list().items:
            for task in client.sessions.get_tasks(kept.id).items:
                print(f"task #{task.order}, {task.status}: {task.data['task_description']}")


if __name__ == "__main__":
    main()
