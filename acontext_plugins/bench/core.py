"""The usual measurements of `acontext bench`: recording, appending, growth, search, import."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import os
import queue
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.service import Recording, SessionRef
from acontext_store.types import LaneKind, Message, SearchText, Session, SkillBody, SkillEdit, SkillOps, Step, new_id

from .figures import (
    Figure,
    judged,
    opened,
    percentile,
    sample_message,
    sample_text,
    temporary_folder,
    time_each,
    time_paced,
    while_locked,
)

# ------------------------------------------------------------------------------------------------ record


def _record(quick: bool) -> Iterator[Figure]:
    count = 2_000 if quick else 20_000
    raw_queue: queue.SimpleQueue[object] = queue.SimpleQueue()
    raw = time_each(lambda: raw_queue.put(object()), count)
    with temporary_folder() as folder, opened(folder / "bench.db") as embedded:
        recorder = embedded.engine.recorder
        reference = SessionRef(key="bench")
        numbers = itertools.count()

        def record() -> None:
            number = next(numbers)
            recorder.record(Recording(reference, lambda: [sample_message(number)]))

        record()
        recorder.flush()
        times = time_paced(record, count)
        recorder.flush()
        yield judged("record, idle database, p50", percentile(times, 0.5), 20, raw=percentile(raw, 0.5))
        yield judged("record, idle database, p99", percentile(times, 0.99), 200, raw=percentile(raw, 0.99))
        locked = while_locked(folder / "bench.db", lambda: time_paced(record, count), seconds=2.0 if quick else 5.0)
        done = recorder.flush(60)
        yield judged("record, database locked 5 s, p50", percentile(locked, 0.5), 20)
        yield judged("record, database locked 5 s, p99", percentile(locked, 0.99), 200)
        lost = recorder.stats.dropped + recorder.stats.failed + (0 if done else 1)
        yield Figure("recordings lost while locked", lost, "", budget="0", met=lost == 0)


# ------------------------------------------------------------------------------------------------ append


def _append(quick: bool) -> Iterator[Figure]:
    count = 1_000 if quick else 5_000
    row = "sqlite3 WAL commit of the row"
    with temporary_folder() as folder:
        raw = _raw_commits(folder / "raw.db", count)
        with opened(folder / "bench.db") as embedded:
            store, engine = embedded.engine.store, embedded.engine
            single = asyncio.run(_awaited(embedded, count, store.append))
            through = asyncio.run(_awaited(embedded, count, engine.append))
            rate = asyncio.run(_sustained(embedded, count * 8, store.append))
            whole = asyncio.run(_sustained(embedded, count * 8, engine.append))
        raw += _raw_commits(folder / "raw-again.db", count)  # before and after: machines change their pace
        raw_p50, raw_p99, raw_rate = percentile(raw, 0.5), percentile(raw, 0.99), 1e6 / statistics.fmean(raw)
        for name, times in (("store", single), ("engine, with redaction", through)):
            p50 = percentile(times, 0.5)
            met = p50 <= 12 * raw_p50
            yield Figure(f"append awaited, {name}, p50", p50, "us", raw_p50, row, "<= 12x raw", met)
            yield Figure(f"append awaited, {name}, p99", percentile(times, 0.99), "us", raw_p99, row)
        # the budget was set where raw commits ran at 60,000/s; a slower machine is asked for the same share
        met = rate >= 20_000 or rate >= raw_rate / 3
        budget = ">= 20,000/s, or 1/3 of raw"
        yield Figure("append, 32 callers, store", rate, "/s", raw_rate, "sqlite3 commits, 1 caller", budget, met)
        yield Figure("append, 32 callers, engine", whole, "/s", raw_rate, "sqlite3 commits, 1 caller")
        with contextlib.suppress(ImportError):
            peer = percentile(asyncio.run(_agents_session(folder / "peer.db", count // 5)), 0.5)
            ours = percentile(through, 0.5)
            name = "openai-agents SQLiteSession.add_items, p50"
            yield Figure(name, peer, "us", ours, "our append, engine", "slower than ours", peer > ours)


def _raw_commits(path: Path, count: int) -> list[float]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(
        "CREATE TABLE m (project TEXT, session TEXT, seq INTEGER, id TEXT, role TEXT, body TEXT, at TEXT)"
    )
    connection.execute("CREATE UNIQUE INDEX i ON m (session, seq)")
    numbers = itertools.count()

    def commit() -> None:
        number = next(numbers)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO m VALUES (?,?,?,?,?,?,?)",
            ("default", "bench", number, f"id-{number}", "user", json.dumps({"text": sample_text(number)}), "now"),
        )
        connection.execute("COMMIT")

    times = time_each(commit, count)
    connection.close()
    return times


_Append = Callable[[str, list[Message]], Awaitable[object]]


async def _awaited(embedded: EmbeddedEngine, count: int, append: _Append) -> list[float]:
    session = await embedded.engine.create_session()
    clock = time.perf_counter
    times = []
    for number in range(count):
        message = [sample_message(number)]
        begin = clock()
        await append(session.id, message)
        times.append((clock() - begin) * 1e6)
    return times


async def _sustained(embedded: EmbeddedEngine, count: int, append: _Append) -> float:
    callers = 32
    sessions = [await embedded.engine.create_session() for _ in range(callers)]
    messages = [[[sample_message(number)] for number in range(count // callers)] for _ in range(callers)]

    async def call(session: Session, mine: list[list[Message]]) -> None:
        for message in mine:
            await append(session.id, message)

    begin = time.perf_counter()
    await asyncio.gather(*[call(session, mine) for session, mine in zip(sessions, messages, strict=True)])
    return count // callers * callers / (time.perf_counter() - begin)


async def _agents_session(path: Path, count: int) -> list[float]:
    from agents import SQLiteSession

    session = SQLiteSession("bench", str(path))
    clock = time.perf_counter
    times = []
    for number in range(count):
        begin = clock()
        await session.add_items([{"role": "user", "content": sample_text(number)}])
        times.append((clock() - begin) * 1e6)
    session.close()
    return times


# ------------------------------------------------------------------------------------------------ growth


def _growth(quick: bool) -> Iterator[Figure]:
    sizes = (10, 100, 1_000, 10_000) if quick else (10, 100, 1_000, 10_000, 100_000)
    with temporary_folder() as folder, opened(folder / "bench.db") as embedded:
        appends, reads = asyncio.run(_grown_session(embedded, sizes))
        yield from _flat("append at {} messages, p50", appends, sizes)
        yield from _flat("read a page of 20 at {} messages, p50", reads, sizes)
    counts = (10, 100, 1_000) if quick else (10, 100, 1_000, 10_000)
    with temporary_folder() as folder, opened(folder / "bench.db") as embedded:
        appends, reads = asyncio.run(_grown_project(embedded, counts))
        yield from _flat("append at {} sessions, p50", appends, counts)
        yield from _flat("list 20 sessions of {}, p50", reads, counts)


def _flat(name: str, times: Sequence[float], sizes: Sequence[int]) -> Iterator[Figure]:
    for size, value in zip(sizes, times, strict=True):
        first = size == sizes[0]
        yield Figure(
            name.format(f"{size:,}"),
            value,
            "us",
            None if first else times[0],
            "" if first else f"at {sizes[0]}",
            "" if first else "flat (<= 2x)",
            None if first else value <= 2 * times[0],
        )


async def _probe(embedded: EmbeddedEngine, session_id: str) -> tuple[float, float]:
    clock = time.perf_counter
    appends, reads = [], []
    for number in range(200):
        begin = clock()
        await embedded.engine.append(session_id, [sample_message(number)])
        appends.append((clock() - begin) * 1e6)
    for _ in range(200):
        begin = clock()
        await embedded.engine.messages(session_id, limit=20, time_desc=True)
        reads.append((clock() - begin) * 1e6)
    return percentile(appends, 0.5), percentile(reads, 0.5)


async def _grown_session(embedded: EmbeddedEngine, sizes: Sequence[int]) -> tuple[list[float], list[float]]:
    session = await embedded.engine.create_session()
    await _probe(embedded, (await embedded.engine.create_session()).id)  # warm up
    appends, reads, there = [], [], 0
    for size in sizes:
        while there < size:
            batch = min(500, size - there)
            await embedded.engine.append(session.id, [sample_message(number) for number in range(batch)])
            there += batch
        append, read = await _probe(embedded, session.id)
        there += 200
        appends.append(append)
        reads.append(read)
    return appends, reads


async def _grown_project(embedded: EmbeddedEngine, sizes: Sequence[int]) -> tuple[list[float], list[float]]:
    await _probe(embedded, (await embedded.engine.create_session()).id)  # warm up
    appends, reads, there = [], [], 1
    clock = time.perf_counter
    for size in sizes:
        while there < size:
            session = await embedded.engine.create_session()
            await embedded.engine.append(session.id, [sample_message(there)])
            there += 1
        last = await embedded.engine.create_session()
        there += 1
        append, _ = await _probe(embedded, last.id)
        appends.append(append)
        listing = []
        for _ in range(100):
            begin = clock()
            await embedded.engine.sessions(limit=20, time_desc=True)
            listing.append((clock() - begin) * 1e6)
        reads.append(percentile(listing, 0.5))
    return appends, reads


# ------------------------------------------------------------------------------------------------ search

_LEARN: tuple[LaneKind, ...] = ("learn",)
_VERBS = "cancel refund return exchange update book reserve change open close order check verify send move copy".split()
_THINGS = "order flight ticket invoice account address password subscription booking parcel payment folder".split()
_MANNERS = "urgent partial delayed broken duplicate missing expired corporate international digital monthly".split()


def requests(count: int) -> Iterator[str]:
    """Synthetic requests: a few common words, some rarer ones, like a space with many kinds of tasks has."""
    draw = random.Random(7)
    syllables = [consonant + vowel for consonant in "bdfgklmnprtvz" for vowel in "aiou"]
    rare = ["".join(draw.choices(syllables, k=3)) for _ in range(20_000)]
    for _ in range(count):
        yield " ".join(
            [
                draw.choice(_VERBS),
                draw.choice(_MANNERS),
                draw.choice(_THINGS),
                "for",
                draw.choice(rare),
                "with",
                draw.choice(rare),
                *draw.sample(_MANNERS, 3),
                draw.choice(rare),
            ]
        )


def _search(quick: bool) -> Iterator[Figure]:
    # the budgets were set where the raw query took 0.14 ms and 1.2 ms; a slower machine is asked for the same ratio
    for count, limit, share in ((2_000, 5.0, 35),) if quick else ((10_000, 5.0, 35), (100_000, 25.0, 20)):
        texts = list(requests(count))
        with temporary_folder() as folder, opened(folder / "bench.db") as embedded:
            times = asyncio.run(_searched(embedded, texts))
            raw = _raw_search(folder / "raw.db", texts)
        p50, raw_p50 = percentile(times, 0.5) / 1000, percentile(raw, 0.5) / 1000
        name, raw_name = f"skill search at {count:,} skills", "FTS5, AND of three words"
        budget = f"<= {limit:g} ms, or {share}x raw"
        yield Figure(f"{name}, p50", p50, "ms", raw_p50, raw_name, budget, p50 <= max(limit, share * raw_p50))
        p99, raw_p99 = percentile(times, 0.99) / 1000, percentile(raw, 0.99) / 1000
        yield Figure(f"{name}, p99", p99, "ms", raw_p99, raw_name)


async def taught(embedded: EmbeddedEngine, texts: Sequence[str]) -> str:
    """A space with a skill for each text; its id."""
    engine = embedded.engine
    space = await engine.create_space(name="bench")
    for start in range(0, len(texts), 2_000):
        await engine.store.schedule_now("learn", space.id)
        (claim,) = await engine.store.claim("bench", kinds=_LEARN, lease=600)
        edits = tuple(_edit(text) for text in texts[start : start + 2_000])
        await engine.store.apply_skills(claim, SkillOps(space_id=space.id, edits=edits))
    return space.id


async def _searched(embedded: EmbeddedEngine, texts: Sequence[str]) -> list[float]:
    space_id = await taught(embedded, texts)
    clock = time.perf_counter
    times = []
    gc.collect()
    gc.disable()
    try:
        for text in random.Random(11).sample(list(texts), 300):
            begin = clock()
            await embedded.engine.find_skills(space_id, text, limit=5)
            times.append((clock() - begin) * 1e6)
    finally:
        gc.enable()
    return times


def _edit(text: str) -> SkillEdit:
    return SkillEdit(
        skill_id=new_id(),
        title=text[:80],
        status="active",
        origin="rules",
        body=SkillBody(use_when=text, tool_sops=(Step(tool_name="do", action="call with id"),)),
        texts=(SearchText(kind="skill", text=text),),
    )


def _raw_search(path: Path, texts: Sequence[str]) -> list[float]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(text)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t VALUES (?)", [(text,) for text in texts])
    connection.execute("COMMIT")
    queries = [
        " AND ".join(f'"{word}"' for word in text.split()[:3]) for text in random.Random(11).sample(list(texts), 300)
    ]
    asked = iter(queries)
    find = "SELECT rowid FROM t WHERE t MATCH ? ORDER BY bm25(t) LIMIT 10"
    times = time_each(lambda: connection.execute(find, (next(asked),)).fetchall(), len(queries))
    connection.close()
    return times


# ------------------------------------------------------------------------------------------------ import


def _import(quick: bool) -> Iterator[Figure]:
    rounds = 3 if quick else 9
    raw = [_python("pass") for _ in range(rounds)]
    ours = [_python("import acontext_plugins") for _ in range(rounds)]
    cost = (statistics.median(ours) - statistics.median(raw)) / 1000
    yield Figure("import acontext_plugins", cost, "ms", budget="< 100 ms", met=cost < 100)
    code = "import acontext_plugins; from acontext_plugins import learning"
    wrapped = [_python(code) for _ in range(rounds)]
    yield Figure("import of learning()", (statistics.median(wrapped) - statistics.median(raw)) / 1000, "ms")


def _python(code: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})
    return (time.perf_counter() - begin) * 1e6


#: The parts by their names, in the order in which they are measured.
PARTS: dict[str, Callable[[bool], Iterator[Figure]]] = {
    "record": _record,
    "append": _append,
    "growth": _growth,
    "search": _search,
    "import": _import,
}
