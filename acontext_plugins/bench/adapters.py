"""`acontext bench --adapters`: what an adapter costs its host, against the bare framework.

Each measurement is a process of its own, bare and wrapped by turns (bare, wrapped, wrapped, bare), so that nothing of
ours is near a bare one and a machine that changes its pace changes it for both. A wrapped one records, learns beside
its runs and injects what it learned, into a database on disk.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acontext_store.open import database_url

from .players import CALLS, FRAMEWORKS, Player

#: Seconds that the model of a usual run takes to answer, and runs side by side while the loop is watched.
LATENCY, SIDE_BY_SIDE = 0.03, 8
_TICK = 0.001
_LATE = 0.010


@dataclass(frozen=True)
class Load:
    """How runs follow each other."""

    name: str
    latency: float
    #: Runs side by side while the loop is watched; walls are measured one run at a time.
    beside: int


LOADS = (Load(f"{LATENCY * 1000:.0f} ms model", LATENCY, SIDE_BY_SIDE), Load("back to back", 0.0, 1))


# ------------------------------------------------------------------------------------------ in the child


class _Ticker:
    """A task that wants to be woken every millisecond, and notes by how much it was too late."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._task = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        clock = time.perf_counter
        while True:
            begin = clock()
            await asyncio.sleep(_TICK)
            self.late.append(clock() - begin - _TICK)

    def stop(self) -> list[float]:
        self._task.cancel()
        return self.late


async def _play(player: Player, target: Any, numbers: Iterator[int], seconds: float, beside: int) -> list[float]:
    """Runs until the time is up; how long each took."""
    clock = time.perf_counter
    end = clock() + seconds
    times: list[float] = []

    async def one_after_another() -> None:
        while (begin := clock()) < end:
            await player.run(target, next(numbers))
            times.append(clock() - begin)
            await asyncio.sleep(0)  # a client whose answers are there at once never lets the loop run

    await asyncio.gather(*[one_after_another() for _ in range(beside)])
    return times


async def _measure(name: str, wrapped: bool, seconds: float) -> dict[str, Any]:
    pause = 0.0
    player = FRAMEWORKS[name].player(lambda: pause)
    target = player.target()
    for _ in range(3):
        await player.run(target, 0)  # the framework's own first time
    if wrapped:
        from acontext_plugins.learning import learning

        target = learning(target, space="bench")
    numbers = itertools.count(1)
    report: dict[str, Any] = {}
    ticker = _Ticker()
    await asyncio.sleep(0.05)
    begin = time.perf_counter()
    await player.run(target, next(numbers))
    report["first run"] = time.perf_counter() - begin
    await asyncio.sleep(0.3)
    report["first run, late"] = ticker.stop()
    for _ in range(5):
        await player.run(target, next(numbers))
    if wrapped:
        await _settle()
    before, count = player.injected, 0
    for load in LOADS:
        pause = load.latency
        walls = await _play(player, target, numbers, seconds, 1)
        ticker = _Ticker()
        busy = await _play(player, target, numbers, seconds * 1.5, load.beside)
        report[load.name] = {"walls": walls, "late": ticker.stop()}
        count += len(walls) + len(busy)
    report["injected"] = (player.injected - before) / count
    if wrapped:
        report["lost"] = await _settle()
    return report


async def _settle() -> int:
    """Wait until all is recorded and learned; how many recordings were lost."""
    from acontext_plugins.client.background import default_connection

    background = default_connection()
    opened = (await asyncio.to_thread(background.connection, 30)).opened()
    await asyncio.wrap_future(opened.loop.submit(opened.engine.flush(120)))
    stats = opened.engine.recorder.stats
    return background.dropped + stats.dropped + stats.failed


def child(arguments: Sequence[str]) -> None:
    """One measurement, as JSON on stdout."""
    name, how, seconds = arguments
    json.dump(asyncio.run(_measure(name, how == "wrapped", float(seconds))), sys.stdout)


# ----------------------------------------------------------------------------------------- in the parent


def _spawn(name: str, how: str, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="acontext-bench-") as folder:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ACONTEXT_")}
        url = database_url(Path(folder) / "bench.db")
        environment |= {"ACONTEXT_URL": url, "OPENAI_API_KEY": "unused", "PYTHONDONTWRITEBYTECODE": ""}
        environment.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # LiteLLM itself would ask the network
        done = subprocess.run(
            [sys.executable, "-m", __name__, name, how, str(seconds)],
            env=environment, cwd=folder, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@dataclass(frozen=True)
class Comparison:
    """One framework under one load, bare and wrapped."""

    framework: str
    load: str
    #: Median milliseconds of a run.
    bare: float
    wrapped: float
    #: Median of the differences between neighbours, a model call.
    added: float
    #: How late a loop was that wanted to be woken every millisecond: p99, p99.9, the latest (ms), share beyond 10 ms.
    bare_late: tuple[float, float, float, float]
    wrapped_late: tuple[float, float, float, float]
    injected: float
    lost: int

    @property
    def ratio(self) -> float:
        return self.wrapped / self.bare

    @property
    def met(self) -> bool:
        """Within the budget: of time with a usual model, of late ticks always, and nothing lost."""
        usual = self.load == LOADS[0].name
        return (
            (self.added <= ADDED or not usual)
            and self.wrapped_late[3] <= self.bare_late[3] + MORE_LATE
            and not self.lost
        )


@dataclass(frozen=True)
class First:
    """The first run of a process: milliseconds, and how late the loop was at the most."""

    framework: str
    bare: float
    wrapped: float
    bare_late: float
    wrapped_late: float


def _lateness(late: Sequence[float]) -> tuple[float, float, float, float]:
    ordered = sorted(value * 1000 for value in late)
    last = len(ordered) - 1
    share = sum(value > _LATE * 1000 for value in ordered) / len(ordered)
    return ordered[int(0.99 * last)], ordered[int(0.999 * last)], ordered[last], share


def compare(name: str, *, seconds: float, rounds: int) -> tuple[First, list[Comparison]]:
    """Measure one framework: bare, wrapped, wrapped, bare, `rounds` times."""
    bare: list[dict[str, Any]] = []
    wrapped: list[dict[str, Any]] = []
    for number in range(rounds * 4):
        how = "wrapped" if number % 4 in (1, 2) else "bare"
        (wrapped if how == "wrapped" else bare).append(_spawn(name, how, seconds))
    found = []
    for load in LOADS:
        walls = [[statistics.median(one[load.name]["walls"]) * 1000 for one in side] for side in (bare, wrapped)]
        late = [[value for one in side for value in one[load.name]["late"]] for side in (bare, wrapped)]
        differences = [ours - theirs for theirs, ours in zip(*walls, strict=True)]
        found.append(
            Comparison(
                framework=name,
                load=load.name,
                bare=statistics.median(walls[0]),
                wrapped=statistics.median(walls[1]),
                added=statistics.median(differences) / CALLS,
                bare_late=_lateness(late[0]),
                wrapped_late=_lateness(late[1]),
                injected=min(one["injected"] for one in wrapped),
                lost=sum(one["lost"] for one in wrapped),
            )
        )
    first = First(
        name,
        *(statistics.median(one["first run"] for one in side) * 1000 for side in (bare, wrapped)),
        *(statistics.median(max(one["first run, late"]) for one in side) * 1000 for side in (bare, wrapped)),
    )
    return first, found


#: Milliseconds that a model call may take longer, and how much more of a loop's ticks may come too late.
ADDED, MORE_LATE = 1.0, 0.001


if __name__ == "__main__":
    child(sys.argv[1:])
