"""Models for tests and demonstrations: they say what a script says, and remember what they were asked."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from acontext_store.tokenizer import words
from acontext_store.types import Json

from ..llm.base import Purpose, Reply, Request, ToolCall, Usage

#: A text, an object (answered as its JSON), `Reply`, tool calls as [(name, arguments), ...], or what is raised.
Scripted = str | dict[str, Any] | list[tuple[str, dict[str, Any]]] | Reply | BaseException
Script = Callable[[Request], Scripted | Awaitable[Scripted]]


class ScriptedLLM:
    """A model that answers by a function of the request, or with one line of a list after the other.

    `requests` holds all requests. Usage is one token for each four characters, and costs nothing, unless the script
    says a `Reply` with another.

    >>> llm = ScriptedLLM(["It arrives on Monday."])
    >>> question = {"role": "user", "content": "Where is my order?"}
    >>> reply = await llm.complete(Request(messages=(question,), purpose=Purpose(job="observe")))
    >>> reply.text
    'It arrives on Monday.'
    """

    def __init__(self, script: Script | Iterable[Scripted], *, model: str = "scripted") -> None:
        self.model = model
        self.requests: list[Request] = []
        self._script: Script = script if callable(script) else _one_after_the_other(script)

    async def complete(self, request: Request) -> Reply:
        """The next line of the script as a reply; an exception in the script is raised.

        Raises AssertionError where a list has no line left.
        """
        self.requests.append(request)
        said = self._script(request)
        if inspect.isawaitable(said):
            said = await said
        if isinstance(said, BaseException):
            raise said
        reply = reply_of(said)
        return reply.model_copy(update={"model": self.model, "usage": usage_of(request.messages, reply)})


def _one_after_the_other(lines: Iterable[Scripted]) -> Script:
    left = iter(list(lines))

    def say(request: Request) -> Scripted:
        try:
            return next(left)
        except StopIteration:
            raise AssertionError(f"the script has no line for this request: {request.messages[-1]}") from None

    return say


def usage_of(messages: Iterable[Json], reply: Reply) -> Usage:
    """One token for each four characters, and no cost; what the script itself says of it, where it does."""
    if reply.usage != Usage():
        return reply.usage
    asked = sum(len(json.dumps(message)) for message in messages)
    answered = len(reply.text) + sum(len(call.arguments) for call in reply.tool_calls)
    return Usage(prompt_tokens=asked // 4, completion_tokens=answered // 4, cost=0.0)


def reply_of(said: Scripted) -> Reply:
    """A line of a script as what a model answers."""
    if isinstance(said, Reply):
        return said
    if isinstance(said, str):
        return Reply(text=said)
    if isinstance(said, dict):
        return Reply(text=json.dumps(said, ensure_ascii=False))
    assert isinstance(said, list)
    calls = tuple(
        ToolCall(id=f"call_{number}", name=name, arguments=json.dumps(arguments))
        for number, (name, arguments) in enumerate(said)
    )
    return Reply(tool_calls=calls, finish="tool_calls")


class ScriptedEmbedder:
    """Vectors of words: each word has a direction of its own, given ones the same. Texts that share words are close.

    `same` = groups of words that mean the same: `[("buy", "purchase")]`. `dimensions` is the number of items of a
    vector; `asked` holds the texts of each call.
    """

    def __init__(
        self, *, same: Iterable[Sequence[str]] = (), dimensions: int = 256, model: str = "scripted-embedder"
    ) -> None:
        self.model = model
        self.dimensions = dimensions
        self.asked: list[list[str]] = []
        self._first = {word: group[0] for group in same for word in group}

    async def embed(self, texts: Sequence[str], *, purpose: Purpose) -> list[list[float]]:
        """A vector of unit length for each text; all zeros for a text without words."""
        self.asked.append(list(texts))
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dimensions
        for word in words(text):
            digest = hashlib.sha256(self._first.get(word, word).encode()).digest()
            vector[int.from_bytes(digest[:4], "big") % self.dimensions] += 1.0 if digest[4] % 2 else -1.0
        length = math.sqrt(sum(value * value for value in vector)) or 1.0
        return [value / length for value in vector]
