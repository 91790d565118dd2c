"""Evidence: what happened to a call, played with the framework itself, and what we record and learn of it.

A `Row` is one thing that can happen. It is played twice, as two conversations of one space, with a real engine. The
tools of the play write into a `ToolLog` what is really done; that log, and not what the adapter says, is the truth that
fates are held against. `python -m tests.evidence` writes the table of all rows to docs/evidence.md.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from acontext_adapters.testing.engine import real_engine
from acontext_adapters.testing.memory_clients import ForwardingClient, RecordedSession

Way = Literal["sync", "async", "streamed"]
ALL: tuple[Way, ...] = ("sync", "async", "streamed")
SPACE = "evidence"

#: What can happen to a call, in the order of the table: the name of a row, and its words.
WHAT = {
    "executed": "the tool runs and returns",
    "failed": "the tool raises, and the model is told",
    "raised": "the tool raises, and the run ends with it",
    "timeout": "the tool takes too long",
    "approved": "a person approves",
    "pending": "a person is asked and never answers",
    "expired": "the approval expires",
    "rejected": "a person refuses",
    "rejected-with-words": "a person refuses, and says why",
    "edited": "a person changes the arguments",
    "renamed": "a person, or a middleware, has another tool called",
    "responded": "a person answers in the tool's place",
    "resumed": "a person approves later, in another process or from a saved state",
    "middleware-answers": "a hook or middleware answers in the tool's place (dry run, cache, emulator)",
    "middleware-changes": "a hook or middleware changes the arguments",
    "middleware-retries": "a hook or middleware calls the tool again",
    "input-guardrail": "a guardrail refuses the call",
    "output-guardrail": "a guardrail refuses the result",
    "limit-ends": "a limit of calls ends the run",
    "limit-continues": "a limit of calls lets some run, and the run go on",
    "not-selected": "the tool was not offered to the model",
    "unknown-tool": "there is no such tool",
    "invalid-arguments": "the tool does not take these arguments",
    "broken-json": "the arguments are no JSON",
    "parallel-ok-error": "two calls at once: one works, the other fails",
    "parallel-error-ok": "two calls at once: one fails, the other works",
    "parallel-refused": "two calls at once: one is refused, the other runs",
    "sibling-cancelled": "two calls at once: one raises, the other is cancelled",
    "cancelled": "the run is cancelled while the tool runs",
    "same-id-again": "a call id comes again in a later answer",
    "same-id-twice": "two calls of one answer have one id",
    "hosted": "the provider runs the tool",
    "mcp": "an MCP server runs the tool",
    "mcp-failed": "an MCP server says that the tool failed",
    "mcp-refused": "a call of an MCP server is refused",
    "external": "the host runs the tool itself, and gives its result",
    "sub-agent": "the tool is another agent",
    "handoff": "the call hands over to another agent",
    "ends-the-run": "the tool's result is the answer of the run",
    "structured-output": "the call is the answer itself",
}


class ToolLog:
    """What tools really did. Their bodies write it: `with log.running("pay", amount=3): ...`."""

    def __init__(self) -> None:
        #: `pay {"amount": 3}`, in the order in which they ended, by returning or by raising an `Exception`.
        self.ended: list[str] = []
        self.begun: list[str] = []

    @contextlib.contextmanager
    def running(self, tool: str, /, **arguments: object) -> Iterator[None]:
        line = f"{tool} {json.dumps(arguments, sort_keys=True)}"
        self.begun.append(line)
        try:
            yield
        except Exception:
            self.ended.append(line)
            raise
        else:
            self.ended.append(line)


@dataclass
class Stage:
    """What a play is given."""

    #: For `learning(..., space=SPACE, client=stage.client)`.
    client: ForwardingClient
    log: ToolLog
    way: Way
    #: 1 in the first conversation, 2 in the second: for ids and values that must not be the same.
    number: int


Play = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Row:
    """One thing that happens, and what must come of it. Sessions without calls are left out."""

    what: str
    play: Play
    #: As `RecordedSession.fates` says it (ids and times are not in it); of the first conversation, sub-agents' as well.
    fates: Sequence[str]
    #: The statuses of the first conversation's tasks.
    tasks: Sequence[str]
    #: The tools of the steps of all skills, candidates as well, each as `pay` or, with constants, `pay amount=30`.
    learned: Sequence[str] = ()
    #: Parts of warnings that must stand in the skills.
    warned: Sequence[str] = ()
    ways: Sequence[Way] = ALL
    #: Why a fate is assumed and not told.
    assumed: str = ""
    #: What else a reader of the table must know.
    note: str = ""
    #: Why the truth cannot be held against the tools' own log: the tool runs elsewhere.
    elsewhere: str = ""
    #: Versions with which it cannot be played, for `pytest.skip`; "" = it can.
    impossible: str = ""

    def __post_init__(self) -> None:
        assert self.what in WHAT, f"{self.what!r} is no name in WHAT"


@dataclass(frozen=True)
class Missing:
    """A row that a framework does not have, with the reason."""

    what: str
    why: str


@dataclass
class Found:
    """What came of a row."""

    fates: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    learned: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)


def cells(rows: Iterable[Row]) -> list[Any]:
    """The parameters `row, way` of a test that checks them all. Fast tests play each row in one way, by turns."""
    found = []
    for number, row in enumerate(rows):
        quick = row.ways[number % len(row.ways)]
        for way in row.ways:
            found.append(pytest.param(row, way, id=f"{row.what}-{way}", marks=[] if way == quick else pytest.mark.slow))
    return found


async def check(row: Row, way: Way) -> None:
    """Play the row and compare. Raises AssertionError."""
    if row.impossible:
        pytest.skip(row.impossible)
    found = await played(row, way)
    if not row.elsewhere:
        assert sorted(found.executed) == sorted(found.ended), "fates say otherwise than the tools themselves"
    assert found.fates == list(row.fates)
    assert found.tasks == list(row.tasks)
    assert found.learned == sorted(row.learned)
    for words in row.warned:
        assert any(words in warning for warning in found.warnings), f"{words!r} is not in {found.warnings}"
    assumed = [fate for fate in found.fates if fate.endswith(": assumed")]
    assert not assumed or row.assumed, f"nobody tells {assumed}, and the row does not say why"


async def played(row: Row, way: Way) -> Found:
    """Two conversations of one space, and what is known and learned of them."""
    found = Found()
    async with real_engine() as engine:
        for number in (1, 2):
            client, log = ForwardingClient(engine.client), ToolLog()
            await row.play(Stage(client, log, way, number))
            sessions = list(client.sessions.values())
            if number == 1:
                found.fates = [line for session in sessions for line in session.fates]
                found.ended = log.ended
                found.executed = [line for session in sessions for line in executed_calls_of(session)]
        await engine.flush()
        first = next(iter(engine.sessions()), None)
        found.tasks = [task.status for task in engine.tasks(first)] if first is not None else []
        spaces = [space for space in engine.client.spaces.list(limit=200).items if space.name == SPACE]
        skills = [s for space in spaces for s in engine.client.spaces.skills(space.id, candidates=True)]
        steps = [step for skill in skills for step in skill.body.tool_sops]
        found.learned = sorted({_step(step.tool_name, step.action) for step in steps})
        found.warnings = [warning for skill in skills for warning in skill.body.pitfalls]
    return found


def executed_calls_of(session: RecordedSession) -> list[str]:
    """The calls that ran, as told (or assumed of a result), with what ran: as a `ToolLog` has it."""
    answered = {(part.meta or {}).get("tool_call_id") for m in session.messages for part in m.tool_results}
    found = []
    for message, part, fate in session.calls:
        meta = part.meta or {}
        if fate is None and (message.fates_told or meta.get("id") not in answered):
            continue
        if fate is not None and not fate.ran:
            continue
        name, arguments = meta.get("name"), meta.get("arguments")
        if fate is not None and fate.name is not None:
            name = fate.name
        values = json.loads(arguments or "{}") if fate is None or fate.arguments is None else fate.arguments
        found.append(f"{name} {json.dumps(values, sort_keys=True)}")
    return found


def _step(tool: str, action: str) -> str:
    constants = [piece.strip() for piece in action.split(";") if "=" in piece]
    return " ".join([tool, *constants])
