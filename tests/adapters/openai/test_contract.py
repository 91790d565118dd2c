"""Plain clients keep the contract of all adapters: chat completions and responses, with either client."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from openai import AsyncOpenAI, OpenAI

from acontext_adapters.model_calls import Calls, Events, chat, responses
from acontext_adapters.model_calls import turns as model_calls
from acontext_adapters.openai import exchange
from acontext_adapters.shared import resent_history
from acontext_adapters.testing import (
    CANCELLED_LINES,
    AdapterContract,
    Played,
    RealEngine,
    RecordingDoor,
    ToldTask,
    Tools,
    Turn,
)
from acontext_plugins import runs
from acontext_plugins.learning import learning

from . import loop
from .scripted import Json, Provider, Tool

STEPS: list[tuple[Any, str]] = [
    (exchange.Exchange, "of"),
    (exchange.Exchange, "_with"),
    (exchange.Exchange, "_failed"),
    (exchange._Watch, "whole"),
    (exchange._Watch, "_read"),
    (model_calls.Calls, "_begin"),
    (model_calls.Calls, "_going_on"),
    (model_calls.Calls, "_answered"),
    (model_calls.Calls, "_ended"),
    (model_calls.Calls, "_wait"),
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
CHAT += [(chat._Assembler, "feed"), (chat, "from_openai")]
RESPONSES: list[tuple[Any, str]] = [
    (responses.Responses, name) for name in ("pieces", "query", "tools", "with_skills", "answer", "messages")
]
RESPONSES += [(responses._Assembler, "feed"), (responses, "from_responses"), (responses, "from_response_output")]


@pytest.fixture(autouse=True)
def _a_small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of conversations is bounded; here so closely that the leak test meets the bound."""
    monkeypatch.setattr(exchange, "calls", Calls(turns=4, sessions=8))


class TestAsyncChat(AdapterContract):
    kind: Any = AsyncOpenAI
    turn: Any = staticmethod(loop.chat)
    inject_as: Any = "system"
    steps: ClassVar[Any] = [*STEPS, *CHAT, (runs.Run, "arecall")]
    tools_run_inside = False

    async def play(
        self, turns: Sequence[Turn], tools: Tools, door: RecordingDoor | None, *, streamed: bool = False
    ) -> Played:
        provider = Provider(*(step_of(step) for turn in turns for step in turn.steps))
        client = loop.client(provider, self.kind)
        if door is not None:
            client = learning(client, space="s", client=door, deadline=0.01, inject_as=self.inject_as)
        played = Played()
        history: list[Json] = []
        for turn in turns:
            history.append({"role": "user", "content": turn.says})
            played.see(await self.turn(client, history, tools, streamed=streamed, see=played.see))
        played.prompts = provider.prompts
        return played

    def words_of(self, line: str) -> str:
        return "error" if line.startswith("result: Error: ") else super().words_of(line)

    async def test_a_cancelled_run_is_cancelled(self) -> None:
        """The host is at work in its own tool then: nobody tells a client that it will not be called again."""
        door = RecordingDoor()
        await self.cancelled(door)
        assert self.lines(door) == list(CANCELLED_LINES)
        assert door.outcome is None

    def told(self, engine: RealEngine) -> tuple[tuple[ToldTask, ...], ...]:
        """For the same reason the engine takes that run to be going on; for the rest its tasks are those of all."""
        *others, (cancelled,) = super().told(engine)
        assert cancelled.status == "running"
        return (*others, (dataclasses.replace(cancelled, status="pending"),))


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

    tools_run_inside = True
    runs = 120

    async def play(
        self, turns: Sequence[Turn], tools: Tools, door: RecordingDoor | None, *, streamed: bool = False
    ) -> Played:
        provider = Provider(*(step_of(step) for turn in turns for step in turn.steps))
        client = loop.client(provider, self.kind)
        answer = self.turn
        if door is not None:
            client = learning(client, space="s", client=door, deadline=0.01)
            answer = learning(answer, space="s", client=door, session=f"talk {id(door)} {turns[0].says}", deadline=0.01)
        played = Played()
        history: list[Json] = []
        for turn in turns:
            history.append({"role": "user", "content": turn.says})
            played.see(await answer(client, history, tools, streamed=streamed, see=played.seen.append))
        played.prompts = provider.prompts
        return played

    async def test_a_cancelled_run_is_cancelled(self) -> None:
        await AdapterContract.test_a_cancelled_run_is_cancelled(self)

    def told(self, engine: RealEngine) -> tuple[tuple[ToldTask, ...], ...]:
        return AdapterContract.told(self, engine)


def step_of(step: Any) -> Any:
    if isinstance(step, str | Exception):
        return step
    return [Tool(use.tool, use.call_id, f'{{"city":"{use.city}"}}') for use in step]
