"""How a framework plays a script: what an adapter's author says, and what the contract asks of every playback."""

from __future__ import annotations

import abc
import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

from acontext_store.types import Message

from .capabilities import check_unsupported
from .memory_clients import MemoryClient, lines_of
from .script import CANCELLED_TALK, SKILL_WORDS, HostTools, Played, Turn
from .wrapping import watched_learning


def slow(test: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """Marks a test as slow, for `pytest -m "not slow"`."""
    try:
        import pytest
    except ImportError:  # somebody else runs it
        return test
    marked: Callable[[Any], Awaitable[None]] = pytest.mark.slow(test)
    return marked


class Playing(abc.ABC):
    """What an adapter's author says, and short ways to ask for it."""

    #: Functions of the adapter that are called while a run goes on, as (class or module, name): each is made to raise.
    #: Those that only run while an object is being wrapped are none.
    steps: ClassVar[Sequence[tuple[Any, str]]] = ()
    #: How many runs the leak test makes; fewer where one takes long.
    runs: ClassVar[int] = 1000
    #: What the adapter does not do, by its name in `CAPABILITIES`, with the reason.
    unsupported: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_unsupported(cls.__qualname__, cls.unsupported)

    @abc.abstractmethod
    async def play(
        self,
        turns: Sequence[Turn],
        tools: HostTools,
        memory: MemoryClient | None,
        *,
        streamed: bool = False,
        **options: Any,
    ) -> Played:
        """One agent, one conversation, turn by turn. With a client the agent is wrapped, else it is bare.

        The agent is wrapped by `learning(agent, **{"space": "s", "client": client, "deadline": 0.01} | options)`: what
        is in `options` goes before what `play` says itself. A conversation's own id (a thread, a session) is left to
        `learning` where `options` hold a `session`. `played.history` is JSON of all that the host keeps afterwards.
        Where a run waits for a person (`HostTools.guarded`), the host approves and lets it go on; a call of a `Use`
        that is `refused` it refuses, by the framework's own means, and lets the run go on as well. Exceptions of the
        run are raised, once they are in `seen` or not.
        """

    async def played(
        self,
        turns: Sequence[Turn],
        memory: MemoryClient | None = None,
        *,
        tools: HostTools | None = None,
        streamed: bool = False,
        **options: Any,
    ) -> Played:
        """`play`, with new tools where none are given; what it passes on and what it gives is looked at."""
        with watched_learning() as wrapped:
            played = await self.play(turns, tools or HostTools(), memory, streamed=streamed, **options)
        for call in wrapped:
            given = {name: getattr(call.options, name) for name in options}
            assert given == options, f"`play` must pass its options on to learning(): it was given {given}"
        kept = _history(played, turns)
        found = [words for words in SKILL_WORDS if words in kept]
        assert not found, f"the host keeps skills: {found} in its history, {kept}"
        return played

    @property
    def ways(self) -> tuple[bool, ...]:
        """How runs are made, as `streamed`: called, and streamed where the framework can."""
        return (False,) if "streaming" in self.unsupported else (False, True)

    def words_of(self, line: str) -> str:
        """A line of a session in the contract's words; for frameworks that put theirs around the text of errors."""
        return "error" if line.startswith("error: ") else line

    def lines(self, memory: MemoryClient) -> list[str]:
        """What the only session of a client holds, in the contract's words."""
        return self.canonical(memory.session.messages)

    def expected(self, lines: Sequence[str]) -> list[str]:
        """Lines of the contract as this adapter records them: calls first, or a call when it has its result."""
        if "calls_before_results" not in self.unsupported:
            return list(lines)
        results = {line.split()[1]: line for line in lines if line.startswith("tool ")}
        found: list[str] = []
        for line in lines:
            if line.startswith("assistant c"):
                result = results.get(line.split()[1])
                found += [line, result] if result is not None else []
            elif not line.startswith("tool "):
                found.append(line)
        return found

    def fates(self, memory: MemoryClient) -> list[str]:
        """What became of each call of the only session, in order: `weather Oslo: executed`, `guarded Vault: refused`.

        A call whose fate nobody tells is "assumed".
        """
        found = []
        for message, part, told in memory.session.calls:
            meta = part.meta or {}
            arguments = json.loads(meta["arguments"])
            name = meta.get("name")
            status = "requested" if message.fates_told else "assumed"
            if told is not None:
                status, name = told.status, told.name or name
                arguments = arguments if told.arguments is None else told.arguments
            found.append(f"{name} {arguments.get('city')}: {status}")
        return found

    def canonical(self, messages: Sequence[Message]) -> list[str]:
        """Messages in the contract's words, a line for each part (see `TALK_LINES`).

        Calls are numbered in order. Results of parallel calls come in the order of their calls.
        """
        numbers: dict[Any, int] = {}
        lines: list[tuple[int, int, str]] = []
        block = 0
        for message in messages:
            for part, line in zip(message.parts, lines_of(message), strict=True):
                words = self.words_of(line)
                meta = part.meta or {}
                if part.type == "tool-call":
                    number = numbers.setdefault(meta.get("id"), len(numbers) + 1)
                    arguments = json.dumps(json.loads(meta["arguments"]), sort_keys=True, separators=(",", ":"))
                    block += 1
                    lines.append((block, 0, f"{message.role} c{number} call: {meta.get('name')} {arguments}"))
                elif part.type == "tool-result":
                    number = numbers.get(meta.get("tool_call_id"), 0)
                    lines.append((block, number, f"{message.role} c{number} {words}"))
                else:
                    block += 1
                    lines.append((block, 0, words))
        return [line for _, _, line in sorted(lines, key=lambda item: item[:2])]

    async def cancelled(self, memory: MemoryClient | None) -> None:
        """Play a run and cancel it while its tool is at work."""
        tools = HostTools()
        playing = asyncio.create_task(self.play(CANCELLED_TALK, tools, memory))
        started = asyncio.create_task(tools.started.wait())
        await asyncio.wait((playing, started), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        playing.cancel()
        try:
            await playing
        except asyncio.CancelledError:
            return
        raise AssertionError("the host did not see its cancellation")


def _history(played: Played, turns: Sequence[Turn]) -> str:
    """All text that the host keeps."""
    assert played.history is not None, (
        "`play` must set `Played.history`: JSON of all that the host keeps when the talk is over (its messages, its "
        "state, what it has stored). The contract searches it for skills"
    )
    try:
        history = played.history
        kept = json.dumps(json.loads(history) if isinstance(history, str | bytes) else history, ensure_ascii=False)
    except (ValueError, TypeError) as error:
        raise AssertionError(f"`Played.history` is no JSON: {error}") from error
    missing = [turn.says for turn in turns if turn.says not in kept]
    assert not missing, f"`Played.history` is not what the host keeps: {missing} was said, and is not in {kept}"
    return kept
