"""A model in this process that says what a script tells it, as a provider that LiteLLM is taught; and a host's loop."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import litellm
from litellm import CustomLLM, ModelResponse

from acontext_adapters.testing import HostTools, Turn

Json = dict[str, Any]
MODEL = "scripted/model"
NAMES = ("weather", "broken", "slow")
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTIONS = [{"type": "function", "function": {"name": name, "parameters": CITY}} for name in NAMES]


class Provider(CustomLLM):
    """Each step is words, calls of tools, or an exception."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Any] = []
        self.prompts: list[str] = []

    def script(self, turns: Sequence[Turn]) -> None:
        self.steps = [step for turn in turns for step in turn.steps]
        self.prompts = []

    def _step(self, messages: Any) -> Any:
        said = [message if isinstance(message, dict) else message.model_dump() for message in messages]
        self.prompts.append("\n".join(str(message.get("content")) for message in said))
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def _whole(self, model_response: ModelResponse, step: Any) -> ModelResponse:
        [choice] = model_response.choices
        if isinstance(step, str):
            message = litellm.Message(content=step, role="assistant")
        else:
            message = litellm.Message(content=None, role="assistant", tool_calls=_calls(step))
        choice.message = message  # type: ignore[union-attr]
        choice.finish_reason = "stop" if isinstance(step, str) else "tool_calls"
        return model_response

    def completion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._whole(kwargs["model_response"], self._step(kwargs["messages"]))

    async def acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._whole(kwargs["model_response"], self._step(kwargs["messages"]))

    def streaming(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from _chunks(self._step(kwargs["messages"]))

    async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        for chunk in _chunks(self._step(kwargs["messages"])):
            yield chunk


def _calls(step: Any) -> list[Json]:
    return [
        {
            "id": use.call_id,
            "type": "function",
            "function": {"name": use.tool, "arguments": json.dumps(use.arguments, separators=(",", ":"))},
        }
        for use in step
    ]


def _chunks(step: Any) -> Iterator[Json]:
    rest: Json = {"is_finished": False, "finish_reason": "", "usage": None, "index": 0, "tool_use": None}
    if isinstance(step, str):
        for at, word in enumerate(step.split(" ")):
            yield {**rest, "text": word if at == 0 else f" {word}"}
    else:
        for at, call in enumerate(_calls(step)):
            yield {**rest, "text": "", "tool_use": {**call, "index": at}}
    why = "stop" if isinstance(step, str) else "tool_calls"
    yield {**rest, "text": "", "is_finished": True, "finish_reason": why}


provider = Provider()


def teach() -> None:
    """Make LiteLLM know the provider."""
    litellm.custom_provider_map = [{"provider": "scripted", "custom_handler": provider}]
    litellm.utils.custom_llm_setup()


async def done(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def talk(
    complete: Callable[..., Any], history: list[Any], tools: HostTools, *, streamed: bool, see: Callable[[Any], object]
) -> str:
    """One turn of an agent as a host writes it: the model is called until it calls no more tools."""
    system = {"role": "system", "content": "Base."}
    while True:
        result = complete(model=MODEL, messages=[system, *history], tools=FUNCTIONS, stream=streamed)
        result = await done(result)
        if streamed:
            chunks = [chunk async for chunk in _read(result)]
            see([chunk.choices[0].delta.model_dump() for chunk in chunks])
            message = litellm.stream_chunk_builder(chunks).choices[0].message  # type: ignore[union-attr]
        else:
            message = result.choices[0].message
        see(message.model_dump())
        history.append(message)
        if not message.tool_calls:
            return str(message.content)
        for call in message.tool_calls:
            words = await use(tools, call.function.name, call.function.arguments)
            history.append({"role": "tool", "tool_call_id": call.id, "content": words})


async def _read(stream: Any) -> AsyncIterator[Any]:
    if isinstance(stream.completion_stream, AsyncIterator):
        async for chunk in stream:
            yield chunk
    else:
        for chunk in stream:
            yield chunk


async def use(tools: HostTools, name: str, arguments: str) -> str:
    """A tool's result as the host tells the model."""
    try:
        return str(await done(getattr(tools, name)(**json.loads(arguments))))
    except Exception as error:
        return f"Error: {error}"
