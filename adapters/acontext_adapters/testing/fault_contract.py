"""Whatever goes wrong on our side, the host sees the run that it would have seen without us."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .engine import real_engine
from .faults import broken_step, full_disk, locked
from .memory_clients import ForwardingClient, MemoryClient, UnopenedClient
from .playing import Playing, slow
from .script import FAILURE, SKILLS, TALK, TALK_LINES, HostTools, Turn, failing_talk

#: Made anew for each playback: an exception that is raised again grows by all that it has been through.
TALKS: dict[str, Callable[[], Sequence[Turn]]] = {
    "talk": lambda: TALK,
    "failing": lambda: failing_talk(RuntimeError(FAILURE)),
}


def clients_in_trouble() -> dict[str, MemoryClient]:
    """A memory that fails in each way in which it can, by what goes wrong."""
    return {
        "record raises": MemoryClient(record_error=RuntimeError("disk")),
        "recall raises": MemoryClient(recall_error=RuntimeError("index")),
        "recall hangs": MemoryClient(hang=True),
        "recall is late": MemoryClient(SKILLS, delay=0.5),
        "the client cannot be opened": UnopenedClient(),
    }


@dataclass(frozen=True)
class _Seen:
    """All that a host can tell of a playback."""

    seen: list[Any]
    raised: str
    prompts: list[str]


#: What a host sees by talk and way of playing: bare, and with skills.
_Expected = dict[tuple[str, bool], tuple[_Seen, _Seen]]


class FaultContract(Playing):
    """Whatever goes wrong on our side, the host sees the run that it would have seen without us."""

    _expected_here: ClassVar[_Expected]

    @slow
    async def test_a_step_of_ours_that_raises_changes_nothing_for_the_host(self) -> None:
        assert self.steps, "say in `steps` which functions of the adapter are called while a run goes on"
        expected = await self._expected()
        changed: dict[str, Any] = {}
        for owner, name in self.steps:
            with broken_step(owner, name) as reached:
                found = await self._differences(expected, SKILLS)
            if found or not reached:
                step = f"{getattr(owner, '__name__', owner)}.{name}"
                changed[step] = found or "was not reached: it is no step, or the script has no place for it"
        assert changed == {}

    async def test_a_memory_in_trouble_changes_nothing_for_the_host(self) -> None:
        expected = await self._expected()
        changed = {name: await self._differences(expected, memory) for name, memory in clients_in_trouble().items()}
        assert {name: found for name, found in changed.items() if found} == {}

    async def test_a_database_that_is_locked_changes_nothing_and_loses_nothing(self) -> None:
        expected = await self._expected()
        async with real_engine() as engine:
            with locked(engine.database):
                for streamed in self.ways:
                    memory = ForwardingClient(engine.client, patient=False)
                    assert await self._difference(expected, "talk", memory, streamed=streamed) == ""
            await engine.flush()
            kept = [self.canonical(engine.messages(session)) for session in engine.sessions()]
            assert kept == [self.expected(TALK_LINES)] * len(self.ways)

    async def test_a_disk_that_is_full_changes_nothing(self) -> None:
        expected = await self._expected()
        async with real_engine() as engine:
            for streamed in self.ways:
                with full_disk():
                    memory = ForwardingClient(engine.client, patient=False)
                    found = await self._difference(expected, "talk", memory, streamed=streamed)
                assert found == ""

    async def test_a_client_that_is_closed_while_a_run_goes_on_changes_nothing(self) -> None:
        expected = await self._expected()
        for streamed in self.ways:
            async with real_engine() as engine:
                memory, tools = ForwardingClient(engine.client, patient=False), HostTools(engine.client.close)
                assert await self._difference(expected, "talk", memory, streamed=streamed, tools=tools) == ""

    async def _expected(self) -> _Expected:
        """What the host sees of each talk, called and streamed: bare, and with skills in its prompts.

        It is played once for the tests of a class.
        """
        known: _Expected | None = vars(type(self)).get("_expected_here")
        if known is None:
            known = {}
            for streamed in self.ways:
                for name, make in TALKS.items():
                    bare = await self._seen(make(), None, streamed=streamed)
                    known[name, streamed] = bare, await self._seen(make(), MemoryClient(SKILLS), streamed=streamed)
            type(self)._expected_here = known
        return known

    async def _differences(self, expected: _Expected, memory: str | MemoryClient) -> list[str]:
        """What the host sees of all talks that is not as expected. Text stands for a client of its own each time."""
        found = []
        for name, streamed in expected:
            one = MemoryClient(memory) if isinstance(memory, str) else memory
            found.append(await self._difference(expected, name, one, streamed=streamed))
            with contextlib.suppress(Exception):
                assert one.sessions is not None  # makes the messages, as the recorder's thread does
        await self.cancelled(MemoryClient(memory) if isinstance(memory, str) else memory)
        return [words for words in found if words]

    async def _difference(
        self, expected: _Expected, name: str, memory: MemoryClient, *, streamed: bool, tools: HostTools | None = None
    ) -> str:
        """How a playback differs from what is expected of it; "" where it does not."""
        bare, skilled = expected[name, streamed]
        now = await self._seen(TALKS[name](), memory, streamed=streamed, tools=tools)
        how = f"{name}, {'streamed' if streamed else 'called'}"
        if now.seen != bare.seen:
            return f"{how}: the host sees {now.seen}, bare {bare.seen}"
        if now.raised != bare.raised:
            return f"{how}: raises {now.raised!r}, bare {bare.raised!r}"
        if len(now.prompts) != len(bare.prompts):
            return f"{how}: {len(now.prompts)} calls of the model, bare {len(bare.prompts)}"
        for prompt, *known in zip(now.prompts, bare.prompts, skilled.prompts, strict=True):
            # a conversation that is not known again after a fault of ours has its skills behind another turn
            if prompt not in known and prompt.replace(f"\n\n{SKILLS}", "", 1) != known[0]:
                return f"{how}: a prompt is {prompt!r}, bare {known[0]!r}"
        return ""

    async def _seen(
        self, turns: Sequence[Turn], memory: MemoryClient | None, *, streamed: bool, tools: HostTools | None = None
    ) -> _Seen:
        try:
            played = await self.played(turns, memory, tools=tools, streamed=streamed)
        except Exception as error:
            return _Seen([], f"{type(error).__qualname__}: {error}", [])
        return _Seen(played.seen, "", played.prompts)
