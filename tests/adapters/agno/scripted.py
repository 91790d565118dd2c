"""A model of agno's that takes steps from a list: words, calls of tools, exceptions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse


def call(name: str, call_id: str, **arguments: Any) -> dict[str, Any]:
    """One call of a tool; several of them in a list are one step."""
    given = json.dumps(arguments or {"city": "Oslo"})
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": given}}


@dataclass(eq=False)
class ScriptedModel(Model):
    """Each request takes the next step. What it was given is in `calls`, as (role, words) pairs."""

    id: str = "scripted"
    name: str = "Scripted"
    provider: str = "Scripted"
    script: list[Any] = field(default_factory=list)
    calls: list[list[tuple[str, str]]] = field(default_factory=list)

    def _next(self, messages: list[Message]) -> Any:
        self.calls.append([(message.role, message.get_content_string()) for message in messages])
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

    def _whole(self, messages: list[Message]) -> ModelResponse:
        step = self._next(messages)
        if isinstance(step, str):
            return ModelResponse(role="assistant", content=step)
        return ModelResponse(role="assistant", tool_calls=step)

    def _pieces(self, messages: list[Message]) -> Iterator[ModelResponse]:
        step = self._next(messages)
        if isinstance(step, str):
            words = step.split(" ")
            for number, word in enumerate(words):
                yield ModelResponse(role="assistant", content=word if number == 0 else f" {word}")
        else:
            yield ModelResponse(role="assistant", tool_calls=step)

    def invoke(self, messages: list[Message], **options: Any) -> ModelResponse:  # type: ignore[override]
        return self._whole(messages)

    async def ainvoke(self, messages: list[Message], **options: Any) -> ModelResponse:  # type: ignore[override]
        return self._whole(messages)

    def invoke_stream(self, messages: list[Message], **options: Any) -> Iterator[ModelResponse]:  # type: ignore[override]
        yield from self._pieces(messages)

    async def ainvoke_stream(  # type: ignore[override]
        self, messages: list[Message], **options: Any
    ) -> AsyncIterator[ModelResponse]:
        for piece in self._pieces(messages):
            yield piece

    def _parse_provider_response(self, response: Any, **options: Any) -> ModelResponse:
        return response  # type: ignore[no-any-return]

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return response  # type: ignore[no-any-return]


def scripted(*steps: Any) -> ScriptedModel:
    """A model that takes these steps: ("tool", "call id") pairs, lists of calls, words, exceptions."""
    return ScriptedModel(script=[[call(*step)] if isinstance(step, tuple) else step for step in steps])
