"""When runs are over, nothing of them stays."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Sequence
from typing import Any

from acontext_plugins.runs import Run
from acontext_plugins.service import Recording

from .leaks import alive, census
from .memory_clients import MemoryClient
from .playing import Playing, slow
from .script import FAILURE, SKILLS, TALK, HostTools, Turn, Use, failing_talk

#: Runs in a round of the leak test: a talk of two turns, called and streamed, one that fails, one that is cancelled.
RUNS_A_ROUND = 6


class _Forgetful(MemoryClient):
    """What it is given is over at once, as with a recorder that has nothing else to do."""

    def record(self, recording: Recording) -> None:
        pass


class LeakContract(Playing):
    """Nothing stays."""

    async def test_in_a_long_conversation_only_the_run_that_goes_on_is_kept(self) -> None:
        """Counted inside of a tool, of which every turn of one agent calls one."""
        days, counts = 20, {}
        tools = HostTools(lambda: counts.update({len(tools.runs): alive(Run)} if len(tools.runs) in (3, days) else {}))
        turns = [Turn(f"and on day {day}?", ((Use("weather", f"c{day}"),), "21C")) for day in range(days)]
        await self.play(turns, tools, _Forgetful(SKILLS))
        assert counts[days] - counts[3] <= 2, f"runs that are kept, by turn: {counts}"

    @slow
    async def test_many_runs_leave_no_object_thread_or_task_behind(self) -> None:
        """`runs` runs; what grows by less than one in a hundred runs is not of the runs.

        The host's own objects are counted against those of a bare host, since a framework may keep some, too.
        """
        rounds = max(1, self.runs // RUNS_A_ROUND)
        allowed = max(2, self.runs // 100)
        packages = {"acontext_plugins", "acontext_adapters", "acontext_store"}
        packages |= {getattr(owner, "__module__", owner.__name__).partition(".")[0] for owner, _ in self.steps}
        alive_bare = _alive([await self._round(wrapped=False) for _ in range(min(rounds, 50))])
        for _ in range(3):
            await self._round(wrapped=True)
        before = await census(packages)
        refs = [await self._round(wrapped=True) for _ in range(rounds)]
        after = await census(packages)
        assert after.grown_since(before, allowed=allowed) == {}
        assert _alive(refs) <= alive_bare + allowed, "tools of the host, or clients, are kept"

    async def _round(self, *, wrapped: bool) -> list[weakref.ref[Any]]:
        """A talk, called and streamed, one that fails and one that is cancelled; their tools and clients."""
        refs: list[weakref.ref[Any]] = []
        talks = [(TALK, streamed) for streamed in self.ways]
        for turns, streamed in (*talks, (failing_talk(RuntimeError(FAILURE)), False)):
            tools, memory = HostTools(), MemoryClient(SKILLS) if wrapped else None
            with contextlib.suppress(RuntimeError):
                await self.play(turns, tools, memory, streamed=streamed)
            refs += [weakref.ref(one) for one in (tools, memory) if one is not None]
        await self.cancelled(MemoryClient(SKILLS) if wrapped else None)
        return refs


def _alive(rounds: Sequence[Sequence[weakref.ref[Any]]]) -> int:
    gc.collect()
    return sum(ref() is not None for refs in rounds for ref in refs)
