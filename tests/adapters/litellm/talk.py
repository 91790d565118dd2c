"""A plain client of the proxy: the requests that it makes, and the loop that calls tools for the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .proxy import Proxy

Json = dict[str, Any]

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("weather", "broken")
]


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def chat(*messages: Json, **more: Any) -> Json:
    return {"model": "fake", "messages": [{"role": "system", "content": "Base."}, *messages], **more}


def requests(says: str, **more: Any) -> dict[str, Json]:
    """The same words of a user in each format, by path."""
    return {
        "/v1/chat/completions": chat(user(says), **more),
        "/v1/responses": {"model": "fake", "instructions": "Base.", "input": says, **more},
        "/v1/messages": {"model": "fake", "system": "Base.", "max_tokens": 50, "messages": [user(says)], **more},
        "/v1/messages (native)": {
            "model": "claude",
            "system": [{"type": "text", "text": "Base."}],
            "max_tokens": 50,
            "messages": [user(says)],
            **more,
        },
    }


PATHS = list(requests(""))


def tools_for(path: str) -> list[Json]:
    """The tools as this format has them."""
    names = [tool["function"]["name"] for tool in TOOLS]
    schema = {"type": "object", "properties": {}}
    if "chat" in path:
        return TOOLS
    if "responses" in path:
        return [{"type": "function", "name": name, "parameters": schema} for name in names]
    return [{"name": name, "input_schema": schema} for name in names]


def post(proxy: Proxy, path: str, body: Json, session: str = "", *, key: str = "", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if session:
        named["x-litellm-session-id"] = session
    with proxy.client(**({"key": key} if key else {})) as client:
        return client.post(path.split(" ")[0], json=body, headers=named)


def said(answer: Any) -> Json:
    """The assistant's message, put together by hand as clients do."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        message: Json = answer.json()["choices"][0]["message"]
        return {name: value for name, value in message.items() if name in ("role", "content", "tool_calls")}
    text, calls = "", {}
    for line in answer.text.splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                text += choice["delta"].get("content") or ""
                for part in choice["delta"].get("tool_calls") or []:
                    call = calls.setdefault(part["index"], {"type": "function", "function": {"arguments": ""}})
                    call["id"] = part.get("id") or call["id"]
                    call["function"]["name"] = part["function"].get("name") or call["function"]["name"]
                    call["function"]["arguments"] += part["function"].get("arguments") or ""
    return {"role": "assistant", "content": text or None, **({"tool_calls": list(calls.values())} if calls else {})}


def turn(
    proxy: Proxy, history: list[Json], says: str, tool: Callable[[Json], str], session: str, **more: Any
) -> list[Any]:
    """One turn: calls of the model until it calls no more tools. All answers."""
    history.append(user(says))
    answers: list[Any] = []
    headers = more.pop("headers", {})
    while True:
        answer = post(proxy, "/v1/chat/completions", chat(*history, tools=TOOLS, **more), session, **headers)
        answers.append(answer)
        history.append(said(answer))
        calls = history[-1].get("tool_calls") or []
        if not calls:
            return answers
        history += [{"role": "tool", "tool_call_id": call["id"], "content": tool(call)} for call in calls]
