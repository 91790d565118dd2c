"""Agno's guardrails and hooks: of what they refuse no word is kept, and what they mask is kept masked."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.exceptions import CheckTrigger, OutputCheckError
from agno.guardrails import PIIDetectionGuardrail

from acontext_adapters.testing import MemoryClient
from acontext_plugins.learning import learning

from .scripted import scripted

streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def refuse(run_output: Any) -> None:
    raise OutputCheckError("no", check_trigger=CheckTrigger.OUTPUT_NOT_ALLOWED)


def look(run_output: Any) -> None:
    pass


def play(memory: MemoryClient, *steps: Any, says: str, stream: bool, **more: Any) -> None:
    def weather(city: str) -> str:
        return f"21C in {city}"

    agent: Any = Agent(model=scripted(*steps), tools=[weather], telemetry=False, **more)
    result = learning(agent, space="s", client=memory).run(says, stream=stream)
    if stream:
        list(result)


@streams
def test_of_an_input_that_is_refused_nothing_is_kept(stream: bool) -> None:
    memory = MemoryClient()
    play(memory, "never", says="mail ada@example.com", stream=stream, pre_hooks=[PIIDetectionGuardrail()])
    assert memory.recordings == []


@streams
def test_an_input_that_is_masked_is_kept_masked(stream: bool) -> None:
    memory, mask = MemoryClient(), PIIDetectionGuardrail(mask_pii=True)
    play(memory, "sent", says="mail ada@example.com", stream=stream, pre_hooks=[mask])
    assert memory.lines == ["user: mail ***************", "assistant: sent"]
    assert "ada@" not in repr(memory.session.messages)


@streams
def test_an_answer_that_is_refused_is_not_kept(stream: bool) -> None:
    memory = MemoryClient()
    play(memory, ("weather", "c1"), "bad words", says="weather?", stream=stream, post_hooks=[refuse])
    assert memory.lines == ["user: weather?", 'call: weather {"city": "Oslo"}', "result: 21C in Oslo"]
    assert memory.outcome is not None
    assert memory.outcome[0] == "failed"


@streams
def test_an_answer_that_hooks_let_pass_is_kept_once(stream: bool) -> None:
    memory = MemoryClient()
    play(memory, ("weather", "c1"), "ok", says="weather?", stream=stream, post_hooks=[look])
    assert memory.lines == ["user: weather?", 'call: weather {"city": "Oslo"}', "result: 21C in Oslo", "assistant: ok"]
    assert memory.outcome == ("success", "")
