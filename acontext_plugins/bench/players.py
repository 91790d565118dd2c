"""What `acontext bench --adapters` plays in each framework: runs of a few model calls, on a model that is a script.

A player builds an agent that calls two tools and then answers. Its model answers at once, or after `latency` seconds,
and looks only at what it was sent, so that runs may go on side by side.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

#: What the user says. "Always" teaches, so that there is a skill to be injected after the first runs.
REQUEST = "Refund my order A-{number}, the keyboard is broken. Always use the original payment method."
INSTRUCTIONS = "You work at the counter of a shop. Look an order up before you change it. Answer in one sentence."
ANSWER = "The refund is on its way to the original payment method."
TOOLS = ("find_order", "issue_refund")
CALLS = len(TOOLS) + 1
_MARK = "acontext-skills"


def order(id: str) -> str:
    """What the tools give: as much text as an order has."""
    return json.dumps({"order_id": id, "status": "delivered", "items": [f"keyboard no. {n}" for n in range(20)]})


class Player(Protocol):
    """An agent of one framework, and how it is run."""

    #: Runs whose model was sent skills.
    injected: int

    def target(self) -> Any:
        """The object that a user gives to `learning`."""

    async def run(self, target: Any, number: int) -> None:
        """One run: `CALLS` calls of the model, `len(TOOLS)` of tools."""


class _OpenAIAgents:
    def __init__(self, latency: Callable[[], float]) -> None:
        import agents
        from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

        agents.set_trace_processors([])  # tracing stays on, and nothing is sent anywhere
        self.injected = 0
        numbers = itertools.count()
        player = self

        class Model(agents.Model):
            async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> Any:
                if latency():
                    await asyncio.sleep(latency())
                done = sum(item.get("type") == "function_call_output" for item in input)
                player.injected += done == 0 and _MARK in (system_instructions or "")
                item: Any
                if done < len(TOOLS):
                    arguments = json.dumps({"order_id": "A-1"})
                    item = ResponseFunctionToolCall(
                        call_id=f"call_{next(numbers)}", type="function_call", name=TOOLS[done], arguments=arguments
                    )
                else:
                    text = ResponseOutputText(text=ANSWER, type="output_text", annotations=[])
                    item = ResponseOutputMessage(
                        id=f"msg_{next(numbers)}", type="message", role="assistant", status="completed", content=[text]
                    )
                return agents.ModelResponse(output=[item], usage=agents.Usage(requests=1), response_id=None)

            def stream_response(self, *_: Any, **__: Any) -> Any:
                raise NotImplementedError("the bench does not stream")

        @agents.function_tool
        async def find_order(order_id: str) -> str:
            """Find an order."""
            return order(order_id)

        @agents.function_tool
        async def issue_refund(order_id: str) -> str:
            """Refund an order."""
            return order(order_id)

        tools: list[Any] = [find_order, issue_refund]
        self._agent: Any = agents.Agent(name="clerk", instructions=INSTRUCTIONS, model=Model(), tools=tools)

    def target(self) -> Any:
        return self._agent

    async def run(self, target: Any, number: int) -> None:
        import agents

        result = await agents.Runner.run(target, REQUEST.format(number=number))
        assert result.final_output == ANSWER


class _LangChain:
    def __init__(self, latency: Callable[[], float]) -> None:
        from langchain.agents import create_agent
        from langchain_core.language_models import BaseChatModel
        from langchain_core.messages import AIMessage
        from langchain_core.outputs import ChatGeneration, ChatResult
        from langchain_core.tools import tool

        self.injected = 0
        numbers = itertools.count()
        player = self

        class Model(BaseChatModel):
            @property
            def _llm_type(self) -> str:
                return "bench"

            def bind_tools(self, tools: Any, **options: Any) -> Any:
                return self.bind(tools=[{"name": tool.name} for tool in tools])

            def _generate(self, *_: Any, **__: Any) -> Any:
                raise NotImplementedError("the bench runs on an event loop")

            async def _agenerate(self, messages: Any, *_: Any, **__: Any) -> Any:
                if latency():
                    await asyncio.sleep(latency())
                done = sum(message.type == "tool" for message in messages)
                player.injected += done == 0 and _MARK in str(messages)
                answer = AIMessage(ANSWER)
                if done < len(TOOLS):
                    call = {"name": TOOLS[done], "args": {"order_id": "A-1"}, "id": f"call_{next(numbers)}"}
                    answer = AIMessage(content="", tool_calls=[call])
                return ChatResult(generations=[ChatGeneration(message=answer)])

        @tool
        async def find_order(order_id: str) -> str:
            """Find an order."""
            return order(order_id)

        @tool
        async def issue_refund(order_id: str) -> str:
            """Refund an order."""
            return order(order_id)

        self._agent = create_agent(Model(), [find_order, issue_refund], system_prompt=INSTRUCTIONS)

    def target(self) -> Any:
        return self._agent

    async def run(self, target: Any, number: int) -> None:
        turn = {"role": "user", "content": REQUEST.format(number=number)}
        result = await target.ainvoke({"messages": [turn]})
        assert result["messages"][-1].content == ANSWER


class _Agno:
    def __init__(self, latency: Callable[[], float]) -> None:
        from agno.agent import Agent
        from agno.models.base import Model
        from agno.models.response import ModelResponse

        self.injected = 0
        numbers = itertools.count()
        player = self

        @dataclass(eq=False)
        class Scripted(Model):
            id: str = "bench"

            async def ainvoke(self, messages: Any, **_: Any) -> Any:
                if latency():
                    await asyncio.sleep(latency())
                done = sum(message.role == "tool" for message in messages)
                player.injected += done == 0 and any(_MARK in str(message.content) for message in messages)
                if done == len(TOOLS):
                    return ModelResponse(role="assistant", content=ANSWER)
                function = {"name": TOOLS[done], "arguments": json.dumps({"order_id": "A-1"})}
                call = {"id": f"call_{next(numbers)}", "type": "function", "function": function}
                return ModelResponse(role="assistant", tool_calls=[call])

            def invoke(self, *_: Any, **__: Any) -> Any:
                raise NotImplementedError("the bench runs on an event loop")

            invoke_stream = ainvoke_stream = invoke

            def _parse_provider_response(self, response: Any, **_: Any) -> Any:
                return response

            def _parse_provider_response_delta(self, response: Any) -> Any:
                return response

        async def find_order(order_id: str) -> str:
            """Find an order."""
            return order(order_id)

        async def issue_refund(order_id: str) -> str:
            """Refund an order."""
            return order(order_id)

        model: Any = Scripted()
        tools = [find_order, issue_refund]
        self._agent = Agent(name="clerk", model=model, instructions=INSTRUCTIONS, tools=tools, telemetry=False)

    def target(self) -> Any:
        return self._agent

    async def run(self, target: Any, number: int) -> None:
        result = await target.arun(REQUEST.format(number=number))
        assert result.content == ANSWER


SCHEMAS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Of an order.",
            "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}},
        },
    }
    for name in TOOLS
]


def completion(messages: Sequence[Any], number: int) -> dict[str, Any]:
    """A chat completion's answer to these messages."""
    done = sum(message["role"] == "tool" for message in messages)
    message: dict[str, Any] = {"role": "assistant", "content": ANSWER}
    if done < len(TOOLS):
        function = {"name": TOOLS[done], "arguments": json.dumps({"order_id": "A-1"})}
        message = {"role": "assistant", "content": None}
        message["tool_calls"] = [{"id": f"call_{number}", "type": "function", "function": function}]
    choice = {"index": 0, "finish_reason": "tool_calls" if done < len(TOOLS) else "stop", "message": message}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": f"c{number}", "object": "chat.completion", "created": 0, "model": "bench", "choices": [choice],
            "usage": usage}  # fmt: skip


async def _by_hand(complete: Callable[..., Any], number: int) -> None:
    """The loop of one who has no framework."""
    messages: list[Any] = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": REQUEST.format(number=number)},
    ]
    while True:
        answer = (await complete(model="bench", messages=messages, tools=SCHEMAS)).choices[0].message
        messages.append(answer.model_dump(exclude_none=True))
        if not answer.tool_calls:
            assert answer.content == ANSWER
            return
        for call in answer.tool_calls:
            messages.append({"role": "tool", "tool_call_id": call.id, "content": order("A-1")})


class _OpenAI:
    def __init__(self, latency: Callable[[], float]) -> None:
        import openai

        library: Any = import_module("httpx2" if find_spec("httpx2") and openai.VERSION >= "3" else "httpx")
        self.injected = 0
        numbers = itertools.count()

        async def serve(request: Any) -> Any:
            if latency():
                await asyncio.sleep(latency())
            messages = json.loads(request.content)["messages"]
            self.injected += len(messages) == 2 and _MARK in str(messages)
            return library.Response(200, json=completion(messages, next(numbers)))

        http: Any = library.AsyncClient(transport=library.MockTransport(serve))
        self._client = openai.AsyncOpenAI(api_key="unused", base_url="http://127.0.0.1/v1", http_client=http)

    def target(self) -> Any:
        return self._client

    async def run(self, target: Any, number: int) -> None:
        await _by_hand(target.chat.completions.create, number)


class _LiteLLM:
    def __init__(self, latency: Callable[[], float]) -> None:
        import litellm

        litellm_: Any = litellm  # what it exports is not all typed
        self.injected = 0
        numbers = itertools.count()
        player = self

        class Provider(litellm_.CustomLLM):  # type: ignore[misc]
            async def acompletion(self, *_: Any, messages: Any, model_response: Any, **__: Any) -> Any:
                if latency():
                    await asyncio.sleep(latency())
                player.injected += len(messages) == 2 and _MARK in str(messages)
                return litellm_.ModelResponse(**completion(messages, next(numbers)))

        litellm_.custom_provider_map = [{"provider": "acontext-bench", "custom_handler": Provider()}]
        self._function = litellm_.acompletion

    def target(self) -> Any:
        return self._function

    async def run(self, target: Any, number: int) -> None:
        async def complete(model: str, **body: Any) -> Any:
            return await target(model=f"acontext-bench/{model}", **body)

        await _by_hand(complete, number)


class Framework(NamedTuple):
    """A framework that can be played, and the package that it needs."""

    package: str
    player: Callable[[Callable[[], float]], Player]

    @property
    def installed(self) -> bool:
        return find_spec(self.package) is not None


FRAMEWORKS: dict[str, Framework] = {
    "openai-agents": Framework("agents", _OpenAIAgents),
    "langchain": Framework("langchain", _LangChain),
    "agno": Framework("agno", _Agno),
    "litellm": Framework("litellm", _LiteLLM),
    "openai": Framework("openai", _OpenAI),
}
