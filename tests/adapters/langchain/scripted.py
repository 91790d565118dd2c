"""A chat model that says what it is told to, called or streamed, and keeps every prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field, PrivateAttr


class ScriptedModel(BaseChatModel):
    """Steps are words, exceptions or answers. Tools that are bound are named in `bound`."""

    steps: list[Any] = Field(default_factory=list)
    prompts: list[list[BaseMessage]] = Field(default_factory=list)
    bound: list[list[str]] = Field(default_factory=list)
    streaming: bool = False
    _taken: list[int] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        named = [{"name": getattr(tool, "name", None) or getattr(tool, "__name__", str(tool))} for tool in tools]
        return self.bind(tools=named, **{key: value for key, value in kwargs.items() if value is not None})

    def _next(self, messages: list[BaseMessage], tools: Any) -> AIMessage:
        self.prompts.append([message.model_copy() for message in messages])
        self.bound.append([tool["name"] for tool in tools or ()])
        step = self.steps[len(self._taken)]
        self._taken.append(1)
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, str):
            return AIMessage(step)
        return step.model_copy()

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages, kwargs.get("tools")))])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._next(messages, kwargs.get("tools"))
        for word in re.findall(r"\S+\s*", str(answer.content)):
            yield self._chunk(AIMessageChunk(content=word), run_manager)
        if answer.tool_calls:
            calls = [
                {"type": "tool_call_chunk", "name": c["name"], "args": json.dumps(c["args"]), "id": c["id"], "index": n}
                for n, c in enumerate(answer.tool_calls)
            ]
            yield self._chunk(AIMessageChunk(content="", tool_call_chunks=calls), run_manager)
        for bad in answer.invalid_tool_calls:
            raw = {"type": "tool_call_chunk", "name": bad["name"], "args": bad["args"], "id": bad["id"], "index": 0}
            yield self._chunk(AIMessageChunk(content="", tool_call_chunks=[raw]), run_manager)

    def _chunk(self, message: AIMessageChunk, run_manager: Any) -> ChatGenerationChunk:
        chunk = ChatGenerationChunk(message=message)
        if run_manager is not None:
            run_manager.on_llm_new_token(str(message.content), chunk=chunk)
        return chunk


def call(name: str, call_id: str, **arguments: Any) -> Any:
    return {"name": name, "args": arguments or {"city": "Oslo"}, "id": call_id, "type": "tool_call"}


def asks(*calls: Any, says: str = "") -> AIMessage:
    return AIMessage(content=says, tool_calls=list(calls))


def model(*steps: Any) -> ScriptedModel:
    """Takes these steps: ("tool", "call id") pairs, words, exceptions or answers."""
    script = [asks(call(*step)) if isinstance(step, tuple) else step for step in steps]
    return ScriptedModel(steps=script)
