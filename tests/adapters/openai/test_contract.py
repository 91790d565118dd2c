"""Plain clients keep the contract of all adapters: chat completions and responses, with either client."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from openai import AsyncOpenAI, OpenAI

from acontext_adapters.model_calls import CallRecorder, Events, chat, responses
from acontext_adapters.model_calls import turns as model_calls
from acontext_adapters.openai import exchange
from acontext_adapters.shared import resent_history
from acontext_adapters.testing import AdapterContract, HostTools, MemoryClient, Played, Turn
from acontext_plugins import runs
from acontext_plugins.learning import learning

from . import loop
from .scripted import Json, Provider, Tool

STEPS: list[tuple[Any, str]] = [
    (exchange.RecordedRequest, "of"),
    (exchange.RecordedRequest, "_with"),
    (exchange.RecordedRequest, "_failed"),
    (exchange._StreamWatch, "whole"),
    (exchange._StreamWatch, "_read"),
    (model_calls.CallRecorder, "_begin"),
    (model_calls.CallRecorder, "_going_on"),
    (model_calls.CallRecorder, "_answered"),
    (model_calls.CallRecorder, "_ended"),
    (model_calls.CallRecorder, "_wait"),
    (model_calls, "_record"),
    (model_calls, "_named"),
    (model_calls, "_size"),
    (resent_history.Conversations, "sent"),
    (resent_history.Conversations, "answered"),
    (resent_history, "_fresh"),
    (resent_history, "_ids"),
    (Events, "feed"),
    (runs.Runtime, "start"),
    (runs.Run, "record"),
    (runs.Run, "end"),
]
CHAT: list[tuple[Any, str]] = [
    (chat.Chat, name) for name in ("pieces", "query", "tools", "with_skills", "answer", "messages", "assembler")
]
CHAT += [(chat._ChatAssembler, "feed"), (chat, "from_openai")]
RESPONSES: list[tuple[Any, str]] = [
    (responses.Responses, name) for name in ("pieces", "query", "tools", "with_skills", "answer", "messages")
]
RESPONSES += [
    (responses._ResponsesAssembler, "feed"),
    (responses, "from_responses"),
    (responses, "from_response_output"),
]


@pytest.fixture(autouse=True)
def _a_small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of conversations is bounded; here so closely that the leak test meets the bound."""
    monkeypatch.setattr(exchange, "calls", CallRecorder(turns=4, sessions=8))


class TestAsyncChat(AdapterContract):
    kind: Any = AsyncOpenAI
    turn: Any = staticmethod(loop.chat)
    inject_as: Any = "system"
    steps: ClassVar[Any] = [*STEPS, *CHAT, (runs.Run, "arecall")]
    unsupported: ClassVar[Mapping[str, str]] = {
        "current_run_in_tools": "the host calls its tools itself, between two calls of the model",
        "cancellation": "nobody tells a client that it will not be called again",
        "resume": "a client never waits for a person: the host does",
        "fates": "the host runs its tools itself, between two calls of the model, and says only what came back",
        "refusal": "the host refuses a call in words of its own, as the result",
    }

    async def play(
        self,
        turns: Sequence[Turn],
        tools: HostTools,
        memory: MemoryClient | None,
        *,
        streamed: bool = False,
        **options: Any,
    ) -> Played:
        provider = Provider(*(step_of(step) for turn in turns for step in turn.steps))
        client = loop.client(provider, self.kind)
        if memory is not None:
            given = {"space": "s", "client": memory, "deadline": 0.01, "inject_as": self.inject_as} | options
            client = learning(client, **given)
        played = Played()
        history: list[Json] = []
        for turn in turns:
            history.append({"role": "user", "content": turn.says})
            played.see(await self.turn(client, history, tools, streamed=streamed, see=played.see))
        played.prompts = provider.prompts
        played.history = history
        return played

    def words_of(self, line: str) -> str:
        return "error" if line.startswith("result: Error: ") else super().words_of(line)


class TestAsyncResponses(TestAsyncChat):
    turn = staticmethod(loop.responses)
    steps: ClassVar[Any] = [*STEPS, *RESPONSES, (runs.Run, "arecall")]
    runs = 300


class TestChat(TestAsyncChat):
    kind = OpenAI
    steps: ClassVar[Any] = [*STEPS, *CHAT, (runs.Run, "recall")]
    runs = 300


class TestChatInTheUsersTurn(TestAsyncChat):
    inject_as = "user"
    runs = 120


class TestResponsesInTheUsersTurn(TestAsyncResponses):
    inject_as = "user"
    runs = 120


class TestChatInAFunction(TestAsyncChat):
    """A decorated function around each turn: its run is the run, and knows how it ends."""

    unsupported: ClassVar[Mapping[str, str]] = {
        name: why for name, why in TestAsyncChat.unsupported.items() if name in ("resume", "fates", "refusal")
    }
    runs = 120

    async def play(
        self,
        turns: Sequence[Turn],
        tools: HostTools,
        memory: MemoryClient | None,
        *,
        streamed: bool = False,
        **options: Any,
    ) -> Played:
        provider = Provider(*(step_of(step) for turn in turns for step in turn.steps))
        client = loop.client(provider, self.kind)
        answer = self.turn
        if memory is not None:
            given = {"space": "s", "client": memory, "deadline": 0.01} | options
            client = learning(client, **given)
            answer = learning(answer, **{"session": f"talk {id(client)} {turns[0].says}"} | given)
        played = Played()
        history: list[Json] = []
        for turn in turns:
            history.append({"role": "user", "content": turn.says})
            played.see(await answer(client, history, tools, streamed=streamed, see=played.seen.append))
        played.prompts = provider.prompts
        played.history = history
        return played


def step_of(step: Any) -> Any:
    if isinstance(step, str | Exception):
        return step
    return [Tool(use.tool, use.call_id, json.dumps(use.arguments, separators=(",", ":"))) for use in step]
