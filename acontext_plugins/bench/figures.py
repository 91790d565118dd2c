"""Figures, and what they are measured with: clocks, sample messages, an engine for the time of a measurement."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from acontext_plugins.engine.embedded import EmbeddedEngine, open_engine
from acontext_plugins.settings import ObserveSettings, RecorderSettings, Settings, WorkerSettings
from acontext_store.open import database_url
from acontext_store.types import Message, Part


@dataclass(frozen=True)
class Figure:
    """One measurement, and what it is held against."""

    name: str
    value: float
    unit: str
    #: The raw limit, measured in the same run; None where the budget is absolute.
    raw: float | None = None
    raw_name: str = ""
    #: The budget, as text, and whether it is met; None = told, not judged.
    budget: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """Value over raw limit."""
        return None if not self.raw else self.value / self.raw


# ------------------------------------------------------------------------------------------- instruments


@contextlib.contextmanager
def opened(path: Path, **changes: object) -> Iterator[EmbeddedEngine]:
    settings = Settings(
        url=database_url(path),
        worker=WorkerSettings(enabled=False),
        observe=ObserveSettings(quiet=60, max_wait=60),
        recorder=RecorderSettings(max_pending=2_000_000, max_bytes=2_000_000_000),
        **changes,  # type: ignore[arg-type]
    )
    embedded = open_engine(settings)
    try:
        yield embedded
    finally:
        embedded.close()


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="acontext-bench-") as folder:
        yield Path(folder)


def percentile(times: Sequence[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def time_each(work: Callable[[], object], count: int) -> list[float]:
    """Microseconds of each of `count` calls, garbage collection off."""
    times: list[float] = []
    clock = time.perf_counter
    gc.collect()
    gc.disable()
    try:
        for _ in range(count):
            begin = clock()
            work()
            times.append((clock() - begin) * 1e6)
    finally:
        gc.enable()
    return times


def sample_text(number: int) -> str:
    """About 500 bytes, the size that the raw limits are measured with."""
    return f"message {number}: " + "the quick brown fox jumps over the lazy dog " * 11


def sample_message(number: int) -> Message:
    return Message(role="user", parts=(Part(type="text", text=sample_text(number)),))


def time_paced(work: Callable[[], object], count: int) -> list[float]:
    """As an agent does: a burst of calls, then a pause in which other threads may run."""
    times: list[float] = []
    for _ in range(0, count, 20):
        times += time_each_kept(work, 20)
        time.sleep(0.0005)
    return times


def time_each_kept(work: Callable[[], object], count: int) -> list[float]:
    clock = time.perf_counter
    times = []
    for _ in range(count):
        begin = clock()
        work()
        times.append((clock() - begin) * 1e6)
    return times


def while_locked(path: Path, work: Callable[[], list[float]], *, seconds: float) -> list[float]:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(seconds, lambda: connection.execute("ROLLBACK"))
    timer.start()
    try:
        return work()
    finally:
        timer.join()
        connection.close()


def judged(name: str, value: float, limit: float, *, raw: float | None = None) -> Figure:
    return Figure(name, value, "us", raw, "SimpleQueue.put" if raw else "", f"<= {limit:g} us", value <= limit)
