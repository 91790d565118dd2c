"""Runs made at random: what the model asks for, and what is to become of each call. Each framework plays them.

The tools of a play write into a `ToolLog`, and that log is the truth: a play only says what the host, its people and
its hooks do, and never what became of a call.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from acontext_adapters.testing.memory_clients import MemoryClient

from .harness import ToolLog, Way, executed_calls_of

#: What happens to a call: its tool works, or raises; a person approves, refuses, or changes its arguments; something of
#: the host's answers in the tool's place; there is no such tool, or it does not take the arguments.
Kind = Literal["works", "raises", "approved", "refused", "edited", "answered", "unknown", "invalid"]


@dataclass(frozen=True)
class PlannedCall:
    """A call that the model asks for; `number` is its argument, and tells it from all others of the run."""

    number: int
    kind: Kind

    @property
    def tool(self) -> str:
        if self.kind == "unknown":
            return "nothing"
        return "review" if self.needs_a_person else "pay"

    @property
    def needs_a_person(self) -> bool:
        return self.kind in ("approved", "refused", "edited")

    @property
    def arguments(self) -> dict[str, Any]:
        return {"sum": "much"} if self.kind == "invalid" else {"number": self.number}

    @property
    def edited(self) -> dict[str, Any]:
        """What a person makes of its arguments."""
        return {"number": self.number + 1000}


@dataclass
class Plan:
    """The calls of a run, those of one answer of the model together; then the model answers, or fails."""

    seed: int
    batches: list[list[PlannedCall]]
    ends: Literal["answer", "failure"]
    log: ToolLog = field(default_factory=ToolLog)

    def kind_of(self, number: int) -> Kind:
        """What is to happen to the call of that number."""
        known = {call.number: call.kind for batch in self.batches for call in batch}
        return known.get(number, "works")

    def does(self, tool: str, number: int) -> str:
        """The body of the tools."""
        with self.log.running(tool, number=number):
            if self.kind_of(number) == "raises":
                raise ValueError("broken")
            return f"done {number}"


Player = Callable[[Plan, MemoryClient, Way], Awaitable[None]]


def plans(count: int, kinds: Collection[Kind], *, first: int = 0) -> Iterator[Plan]:
    """The first `count` plans with calls of these kinds, the same each time."""
    for seed in range(first, first + count):
        chance = random.Random(seed)
        number, batches = 0, []
        for _ in range(chance.randint(1, 4)):
            batch = []
            for _ in range(chance.choice((1, 1, 2, 3))):
                number += 1
                batch.append(PlannedCall(number, chance.choice(sorted(kinds))))
            batches.append(batch)
        yield Plan(seed, batches, chance.choice(("answer", "answer", "answer", "failure")))


async def holds(plan: Plan, play: Player, way: Way) -> None:
    """Play it, and hold what was told against what the tools did. Raises AssertionError."""
    memory = MemoryClient()
    await play(plan, memory, way)
    sessions = list(memory.sessions.values())
    told = [line for session in sessions for line in session.fates]
    executed = [line for session in sessions for line in executed_calls_of(session)]
    shown = f"seed {plan.seed}, {way}: {[[(c.number, c.kind) for c in batch] for batch in plan.batches]}\n{told}"
    assert sorted(executed) == sorted(plan.log.ended), shown
    assert not [line for line in told if line.endswith(": assumed")], shown
    asked = [json.dumps(call.arguments) for batch in plan.batches for call in batch]
    assert len(told) == len(asked), shown
