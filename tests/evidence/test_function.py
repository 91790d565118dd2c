"""What a hand-written loop records: a decorated function that says itself what became of its calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from acontext_plugins.formats import to_message
from acontext_plugins.learning import learning
from acontext_plugins.runs import current_run
from acontext_store.types import CallFate

from .harness import SPACE, Missing, Row, Stage, Way, cells, check

FRAMEWORK = "a decorated function"


def asked(stage: Stage, call_id: str, tool: str, arguments: str) -> None:
    """The model asks for a call, and the loop promises to tell what becomes of it."""
    call = {"id": call_id, "type": "function", "function": {"name": tool, "arguments": arguments}}
    run: Any = current_run()
    run.record(to_message({"role": "assistant", "tool_calls": [call]}), told=True)


def pay(stage: Stage, amount: int) -> str:
    with stage.log.running("pay", amount=amount):
        return f"paid {amount}"


async def loop(stage: Stage, body: Any) -> None:
    @learning(space=SPACE, client=stage.client)
    def answer(question: str) -> str:
        run: Any = current_run()
        run.record(to_message({"role": "user", "content": question}))
        body(stage)
        run.record(to_message({"role": "assistant", "content": "done"}))
        return "done"

    await asyncio.to_thread(answer, f"Always pay invoice {stage.number} at once.")


async def executed(stage: Stage) -> None:
    def body(stage: Stage) -> None:
        run: Any = current_run()
        run.record_tool("pay", {"amount": 100}, pay(stage, 100))

    await loop(stage, body)


async def refused(stage: Stage) -> None:
    def body(stage: Stage) -> None:
        asked(stage, "c1", "pay", '{"amount": 3000}')
        run: Any = current_run()
        run.tell(CallFate(call_id="c1", status="refused", by="person", reason="never more than we have"))

    await loop(stage, body)


async def edited(stage: Stage) -> None:
    def body(stage: Stage) -> None:
        asked(stage, "c1", "pay", '{"amount": 3000}')
        result = to_message({"role": "tool", "tool_call_id": "c1", "content": pay(stage, 30)})
        fate = CallFate(call_id="c1", status="executed", edited_by="person", arguments={"amount": 30})
        run: Any = current_run()
        run.record(result, fates=(fate,))

    await loop(stage, body)


async def pending(stage: Stage) -> None:
    await loop(stage, lambda stage: asked(stage, "c1", "pay", '{"amount": 3000}'))


ROWS = [
    Row("executed", executed, ['pay {"amount": 100}: executed'], ["success"], ["pay amount=100"], ways=("sync",)),
    Row("rejected-with-words", refused, ['pay {"amount": 3000}: refused by person'], ["failed"], ways=("sync",)),
    Row(
        "edited",
        edited,
        ['pay {"amount": 3000}: executed as pay {"amount": 30}, edited by person'],
        ["success"],
        ["pay amount=30"],
        ["pay with amount of your own: a person set amount to 30"],
        ways=("sync",),
    ),
    Row("pending", pending, ['pay {"amount": 3000}: requested'], ["pending"], ways=("sync",)),
]
MISSING: list[Missing] = []


@pytest.mark.parametrize(("row", "way"), cells(ROWS))
async def test_what_happened_is_what_is_recorded_and_learned(row: Row, way: Way) -> None:
    await check(row, way)
