"""Requests to a model, its replies, and their cost.

Messages, tools and tool calls have the shapes of OpenAI's chat completions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from acontext_store.ledger import ModelJob
from acontext_store.types import Json, Record

#: What a model is called for.
Job = ModelJob


class Purpose(Record):
    """The job, space and session that a model is called for: ledger and budgets count by them."""

    job: Job
    space_id: str | None = None
    session_id: str | None = None
    #: Name and version of the prompt, `task_agent@1`.
    prompt: str = ""


class ToolCall(Record):
    """A tool that the model calls; `arguments` is the JSON text as it was written."""

    id: str
    name: str
    arguments: str


class Usage(Record):
    """Tokens, and US dollars where the price of the model is known."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    #: Those of the prompt's tokens that the provider had cached.
    cached_tokens: int = 0
    cost: float | None = None

    def __add__(self, other: Usage) -> Usage:
        known = [usage.cost for usage in (self, other) if usage.cost is not None]
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cost=sum(known) if known else None,
        )


class Request(Record):
    """One call. With `answer`, a JSON schema, the reply's text is a JSON object that should follow it."""

    messages: tuple[Json, ...]
    purpose: Purpose
    answer: Json | None = None
    answer_name: str = "answer"
    #: Tools that the model may call, `{"type": "function", "function": {name, description, parameters}}` each.
    tools: tuple[Json, ...] = ()


class Reply(Record):
    """The answer of a model: text, tool calls, or both; and its usage."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    #: "stop", "length" (cut off), "tool_calls", "content_filter", or the provider's own word.
    finish: str = "stop"
    model: str = ""
    usage: Usage = Usage()

    @property
    def message(self) -> dict[str, Any]:
        """The reply as the next message of the conversation."""
        said: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.tool_calls:
            said["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.tool_calls
            ]
        return said


class LLM(Protocol):
    """A model. Safe to call from many tasks at once."""

    @property
    def model(self) -> str:
        """The name of the model, as the versions of skills keep it."""

    async def complete(self, request: Request) -> Reply:
        """The model's reply. Raises LearningUnavailable where there is none: an outage, limits, a wrong key.

        Where the reason is known, it is one of its subclasses: PromptTooLong, Refused, BudgetSpent.
        """


class Embedder(Protocol):
    """A model that makes vectors of texts, unit length, all of the same size."""

    @property
    def model(self) -> str:
        """The name of the model, by which its vectors are told from those of others."""

    async def embed(self, texts: Sequence[str], *, purpose: Purpose) -> list[list[float]]:
        """One vector for each text, in their order. Raises LearningUnavailable where the model does not answer."""
