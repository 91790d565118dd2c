"""Agents as a host writes them with a plain client: a loop that calls the model, and its tools."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

from openai import APIConnectionError, AsyncOpenAI

from .scripted import Json, Provider, httpx

See = Callable[[Any], object]
NAMES = ("weather", "broken", "slow")
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def client(provider: Provider, kind: Any = AsyncOpenAI, **options: Any) -> Any:
    """A client of this kind that talks to the provider."""
    is_async = issubclass(kind, AsyncOpenAI)
    http = (httpx.AsyncClient if is_async else httpx.Client)(transport=httpx.MockTransport(provider))
    return kind(api_key="sk-a-secret", http_client=http, **{"max_retries": 0, **options})


async def done(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def asked(create: Callable[..., Any], **options: Any) -> Any:
    """A call of the model. What the provider raised is the host's, also where the SDK has put its own around it."""
    try:
        return await done(create(**options))
    except APIConnectionError as error:
        if isinstance(error.__cause__, RuntimeError):
            raise error.__cause__ from error
        raise


async def steps(stream: Any) -> Any:
    """What a stream of either kind gives."""
    if hasattr(stream, "__aiter__"):
        async for one in stream:
            yield one
    else:
        for one in stream:
            yield one


async def use(tools: Any, name: str, arguments: str) -> str:
    """A tool's result as the host tells the model."""
    try:
        return str(await done(getattr(tools, name)(**json.loads(arguments))))
    except Exception as error:
        return f"Error: {error}"


async def chat(client: Any, history: list[Json], tools: Any, *, streamed: bool = False, see: See = print) -> str:
    """One turn, with chat completions. What was said is added to the history."""
    system = {"role": "system", "content": "Base."}
    functions = [{"type": "function", "function": {"name": name, "parameters": CITY}} for name in NAMES]
    while True:
        request = {"model": "m", "messages": [system, *history], "tools": functions}
        if streamed:
            said = await streamed_chat(await asked(client.chat.completions.create, **request, stream=True), see)
        else:
            answer = await asked(client.chat.completions.create, **request)
            said = answer.choices[0].message.model_dump(exclude_none=True)
        see(said)
        history.append(said)
        if not said.get("tool_calls"):
            return str(said["content"])
        for call in said["tool_calls"]:
            result = await use(tools, call["function"]["name"], call["function"]["arguments"])
            history.append({"role": "tool", "tool_call_id": call["id"], "content": result})


async def streamed_chat(stream: Any, see: See) -> Json:
    said: Json = {"role": "assistant", "content": ""}
    calls: dict[int, Json] = {}
    async for chunk in steps(stream):
        see(chunk.model_dump(exclude_unset=True))
        for choice in chunk.choices:
            said["content"] += choice.delta.content or ""
            for part in choice.delta.tool_calls or ():
                function = {"name": part.function.name, "arguments": ""}
                call = calls.setdefault(part.index, {"id": part.id, "type": "function", "function": function})
                call["function"]["arguments"] += part.function.arguments or ""
    return {**said, "tool_calls": list(calls.values())} if calls else said


async def responses(client: Any, history: list[Json], tools: Any, *, streamed: bool = False, see: See = print) -> str:
    """The same with the Responses API."""
    functions = [{"type": "function", "name": name, "parameters": CITY, "strict": False} for name in NAMES]
    while True:
        request = {"model": "m", "instructions": "Base.", "input": history, "tools": functions}
        if streamed:
            async for event in steps(await asked(client.responses.create, **request, stream=True)):
                see(event.type)
                if event.type == "response.completed":
                    answer = event.response
        else:
            answer = await asked(client.responses.create, **request)
        items = [item.model_dump(exclude_none=True) for item in answer.output]
        see(items)
        history.extend(items)
        calls = [item for item in items if item["type"] == "function_call"]
        if not calls:
            return str(answer.output_text)
        for call in calls:
            result = await use(tools, call["name"], call["arguments"])
            history.append({"type": "function_call_output", "call_id": call["call_id"], "output": result})
