"""A model that says what a script tells it: `agents.testing` where the SDK has it, else the same in small."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

try:
    import agents.testing as _testing

    _sdk: ModuleType | None = _testing
except ImportError:  # openai-agents before 0.23
    _sdk = None

if TYPE_CHECKING or _sdk is not None:
    from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
else:
    from agents import Model, ModelResponse, Usage
    from openai.types.responses import (
        Response,
        ResponseCompletedEvent,
        ResponseFunctionToolCall,
        ResponseOutputItemDoneEvent,
        ResponseOutputMessage,
        ResponseOutputText,
    )

    def assistant_message(text: str, *, item_id: str = "scripted-message") -> Any:
        """What the model says."""
        content = ResponseOutputText(text=text, type="output_text", annotations=[], logprobs=[])
        return ResponseOutputMessage(
            id=item_id, type="message", role="assistant", status="completed", content=[content]
        )

    def function_call(name: str, arguments: Any = None, *, call_id: str = "call-1") -> Any:
        """A tool that the model calls."""
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, separators=(",", ":"))
        return ResponseFunctionToolCall(id=call_id, call_id=call_id, type="function_call", name=name, arguments=text)

    @dataclass
    class _Call:
        system_instructions: str | None
        input: Any
        tools: list[Any]
        handoffs: list[Any]

    class ModelStep:
        """A step that is computed from the call."""

        def __init__(self, responder: Any) -> None:
            self.responder = responder

        @classmethod
        def respond(cls, responder: Any) -> ModelStep:
            return cls(responder)

    class ScriptedModel(Model):
        """Each step is a list of output items, an exception to raise, or a `ModelStep`."""

        def __init__(self, steps: Iterable[Any] = ()) -> None:
            self._steps = list(steps)
            self.calls: list[_Call] = []

        def enqueue(self, step: Any) -> None:
            self._steps.append(step)

        def _next(self, system_instructions: Any, input: Any, tools: Any, handoffs: Any) -> list[Any]:
            given = list(input) if isinstance(input, list) else input
            self.calls.append(_Call(system_instructions, given, tools, handoffs))
            step = self._steps.pop(0)
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, ModelStep):
                step = step.responder(self.calls[-1])
            return [item.model_copy(deep=True) for item in step]

        async def get_response(
            self, system_instructions: Any, input: Any, model_settings: Any, tools: Any, *args: Any, **kwargs: Any
        ) -> Any:
            handoffs = args[1] if len(args) > 1 else kwargs.get("handoffs")
            output = self._next(system_instructions, input, tools, handoffs)
            return ModelResponse(output=output, usage=Usage(requests=1), response_id="scripted-response")

        async def stream_response(
            self, system_instructions: Any, input: Any, model_settings: Any, tools: Any, *args: Any, **kwargs: Any
        ) -> AsyncIterator[Any]:
            handoffs = args[1] if len(args) > 1 else kwargs.get("handoffs")
            output = self._next(system_instructions, input, tools, handoffs)
            for index, item in enumerate(output):
                yield ResponseOutputItemDoneEvent(
                    type="response.output_item.done", item=item, output_index=index, sequence_number=index
                )
            response = Response(
                id="scripted-response",
                created_at=0,
                model="scripted",
                object="response",
                output=output,
                tool_choice="none",
                tools=[],
                parallel_tool_calls=False,
            )
            yield ResponseCompletedEvent(type="response.completed", response=response, sequence_number=len(output))


__all__ = ["ModelStep", "ScriptedModel", "assistant_message", "function_call"]
