"""`acontext bench`: what memory costs, each figure beside its raw limit from the same run.

Absolute times belong to the machine; the ratios and the flatness are what the budgets are about.
"""

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
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from acontext_plugins.embedded import Home, open_home
from acontext_plugins.service import Recording, SessionRef
from acontext_plugins.settings import ObserveSettings, RecorderSettings, Settings, WorkerSettings
from acontext_store.open import database_url
from acontext_store.types import (
    LaneKind,
    Message,
    Part,
    SearchText,
    Session,
    SkillBody,
    SkillEdit,
    SkillOps,
    Step,
    new_id,
)

from .common import emit, json_option


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


_PARTS = ("record", "append", "growth", "search", "import")


@click.command()
@click.option("--only", multiple=True, type=click.Choice(_PARTS), help="One part; repeat for more. [default: all]")
@click.option("--adapters", is_flag=True, help="Instead: what each installed framework's adapter costs its host.")
@click.option("--http", is_flag=True, help="Instead: `acontext serve` under load, beside a bare FastAPI route.")
@click.option("--learning", is_flag=True, help="Instead: calls and tokens of learning with a model, and its speed.")
@click.option("--data", metavar="FILE", help="With --learning: conversations too, as `acontext learn` takes them.")
@click.option("--outcome-field", default="outcome", show_default=True, metavar="FIELD", help="With --data.")
@click.option("--embeddings", is_flag=True, help="Instead: search by meaning, the embedding model's time left out.")
@click.option("--quick", is_flag=True, help="Smaller counts: seconds instead of minutes, coarser figures.")
@json_option
@click.pass_context
def bench(
    ctx: click.Context,
    only: tuple[str, ...],
    adapters: bool,
    http: bool,
    learning: bool,
    data: str | None,
    outcome_field: str,
    embeddings: bool,
    quick: bool,
    as_json: bool,
) -> None:
    """Measure recording, appending, growth, search and import, each against its raw limit."""
    if adapters:
        from .bench_adapters import show

        ctx.exit(0 if show(quick=quick, as_json=as_json) else 1)
    if data is not None and not learning:
        raise click.UsageError("--data goes with --learning")
    figures: list[Figure] = []
    runners: list[Callable[[bool], Iterator[Figure]]] = []
    if http:
        from .bench_http import figures as http_figures

        runners.append(http_figures)
    if learning:
        from .bench_learning import figures as learning_figures

        runners.append(lambda quick: learning_figures(quick, data, outcome_field))
    if embeddings:
        from .bench_embeddings import figures as embedding_figures

        runners.append(embedding_figures)
    if not runners:
        usual = {"record": _record, "append": _append, "growth": _growth, "search": _search, "import": _import}
        runners = [usual[part] for part in only or _PARTS]
    for runner in runners:
        for figure in runner(quick):
            figures.append(figure)
            if as_json:
                emit({**asdict(figure), "ratio": figure.ratio})
            else:
                _row(figure, header=len(figures) == 1)
    missed = [figure for figure in figures if figure.met is False]
    if missed and not as_json:
        click.echo(f"\n{len(missed)} over budget: {', '.join(figure.name for figure in missed)}")
    ctx.exit(1 if missed else 0)


def _row(figure: Figure, *, header: bool) -> None:
    if header:
        click.echo(f"{'what':<46} {'ours':>12} {'raw':>12} {'ratio':>8}  budget")
    raw = f"{figure.raw:,.1f}" if figure.raw else ""
    ratio = f"{figure.ratio:.2f}" if figure.ratio else ""
    verdict = {True: "ok   ", False: "OVER ", None: "     "}[figure.met]
    against = f" (raw: {figure.raw_name})" if figure.raw_name else ""
    value = f"{figure.value:,.1f} {figure.unit}"
    click.echo(f"{figure.name:<46} {value:>12} {raw:>12} {ratio:>8}  {verdict}{figure.budget}{against}")


# ------------------------------------------------------------------------------------------- instruments


@contextlib.contextmanager
def _home(path: Path, **changes: object) -> Iterator[Home]:
    settings = Settings(
        url=database_url(path),
        worker=WorkerSettings(enabled=False),
        observe=ObserveSettings(quiet=60, max_wait=60),
        recorder=RecorderSettings(max_pending=2_000_000, max_bytes=2_000_000_000),
        **changes,  # type: ignore[arg-type]
    )
    home = open_home(settings)
    try:
        yield home
    finally:
        home.close()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="acontext-bench-") as folder:
        yield Path(folder)


def percentile(times: Sequence[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _each(work: Callable[[], object], count: int) -> list[float]:
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


def _text(number: int) -> str:
    """About 500 bytes, the size that the raw limits are measured with."""
    return f"message {number}: " + "the quick brown fox jumps over the lazy dog " * 11


def _message(number: int) -> Message:
    return Message(role="user", parts=(Part(type="text", text=_text(number)),))


# ------------------------------------------------------------------------------------------------ record


def _record(quick: bool) -> Iterator[Figure]:
    count = 2_000 if quick else 20_000
    raw_queue: queue.SimpleQueue[object] = queue.SimpleQueue()
    raw = _each(lambda: raw_queue.put(object()), count)
    with _folder() as folder, _home(folder / "bench.db") as home:
        recorder = home.engine.recorder
        reference = SessionRef(key="bench")
        numbers = itertools.count()

        def record() -> None:
            number = next(numbers)
            recorder.record(Recording(reference, lambda: [_message(number)]))

        record()
        recorder.flush()
        times = _paced(record, count)
        recorder.flush()
        yield _judged("record, idle database, p50", percentile(times, 0.5), 20, raw=percentile(raw, 0.5))
        yield _judged("record, idle database, p99", percentile(times, 0.99), 200, raw=percentile(raw, 0.99))
        locked = _while_locked(folder / "bench.db", lambda: _paced(record, count), seconds=2.0 if quick else 5.0)
        done = recorder.flush(60)
        yield _judged("record, database locked 5 s, p50", percentile(locked, 0.5), 20)
        yield _judged("record, database locked 5 s, p99", percentile(locked, 0.99), 200)
        lost = recorder.stats.dropped + recorder.stats.failed + (0 if done else 1)
        yield Figure("recordings lost while locked", lost, "", budget="0", met=lost == 0)


def _paced(work: Callable[[], object], count: int) -> list[float]:
    """As an agent does: a burst of calls, then a pause in which other threads may run."""
    times: list[float] = []
    for _ in range(0, count, 20):
        times += _each_kept(work, 20)
        time.sleep(0.0005)
    return times


def _each_kept(work: Callable[[], object], count: int) -> list[float]:
    clock = time.perf_counter
    times = []
    for _ in range(count):
        begin = clock()
        work()
        times.append((clock() - begin) * 1e6)
    return times


def _while_locked(path: Path, work: Callable[[], list[float]], *, seconds: float) -> list[float]:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(seconds, lambda: connection.execute("ROLLBACK"))
    timer.start()
    try:
        return work()
    finally:
        timer.join()
        connection.close()


def _judged(name: str, value: float, limit: float, *, raw: float | None = None) -> Figure:
    return Figure(name, value, "us", raw, "SimpleQueue.put" if raw else "", f"<= {limit:g} us", value <= limit)


# ------------------------------------------------------------------------------------------------ append


def _append(quick: bool) -> Iterator[Figure]:
    count = 1_000 if quick else 5_000
    row = "sqlite3 WAL commit of the row"
    with _folder() as folder:
        raw = _raw_commits(folder / "raw.db", count)
        with _home(folder / "bench.db") as home:
            store, engine = home.engine.store, home.engine
            single = asyncio.run(_awaited(home, count, store.append))
            through = asyncio.run(_awaited(home, count, engine.append))
            rate = asyncio.run(_sustained(home, count * 8, store.append))
            whole = asyncio.run(_sustained(home, count * 8, engine.append))
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
            ("default", "bench", number, f"id-{number}", "user", json.dumps({"text": _text(number)}), "now"),
        )
        connection.execute("COMMIT")

    times = _each(commit, count)
    connection.close()
    return times


_Append = Callable[[str, list[Message]], Awaitable[object]]


async def _awaited(home: Home, count: int, append: _Append) -> list[float]:
    session = await home.engine.create_session()
    clock = time.perf_counter
    times = []
    for number in range(count):
        message = [_message(number)]
        begin = clock()
        await append(session.id, message)
        times.append((clock() - begin) * 1e6)
    return times


async def _sustained(home: Home, count: int, append: _Append) -> float:
    callers = 32
    sessions = [await home.engine.create_session() for _ in range(callers)]
    messages = [[[_message(number)] for number in range(count // callers)] for _ in range(callers)]

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
        await session.add_items([{"role": "user", "content": _text(number)}])
        times.append((clock() - begin) * 1e6)
    session.close()
    return times


# ------------------------------------------------------------------------------------------------ growth


def _growth(quick: bool) -> Iterator[Figure]:
    sizes = (10, 100, 1_000, 10_000) if quick else (10, 100, 1_000, 10_000, 100_000)
    with _folder() as folder, _home(folder / "bench.db") as home:
        appends, reads = asyncio.run(_grown_session(home, sizes))
        yield from _flat("append at {} messages, p50", appends, sizes)
        yield from _flat("read a page of 20 at {} messages, p50", reads, sizes)
    counts = (10, 100, 1_000) if quick else (10, 100, 1_000, 10_000)
    with _folder() as folder, _home(folder / "bench.db") as home:
        appends, reads = asyncio.run(_grown_project(home, counts))
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


async def _probe(home: Home, session_id: str) -> tuple[float, float]:
    clock = time.perf_counter
    appends, reads = [], []
    for number in range(200):
        begin = clock()
        await home.engine.append(session_id, [_message(number)])
        appends.append((clock() - begin) * 1e6)
    for _ in range(200):
        begin = clock()
        await home.engine.messages(session_id, limit=20, time_desc=True)
        reads.append((clock() - begin) * 1e6)
    return percentile(appends, 0.5), percentile(reads, 0.5)


async def _grown_session(home: Home, sizes: Sequence[int]) -> tuple[list[float], list[float]]:
    session = await home.engine.create_session()
    await _probe(home, (await home.engine.create_session()).id)  # warm up
    appends, reads, there = [], [], 0
    for size in sizes:
        while there < size:
            batch = min(500, size - there)
            await home.engine.append(session.id, [_message(number) for number in range(batch)])
            there += batch
        append, read = await _probe(home, session.id)
        there += 200
        appends.append(append)
        reads.append(read)
    return appends, reads


async def _grown_project(home: Home, sizes: Sequence[int]) -> tuple[list[float], list[float]]:
    await _probe(home, (await home.engine.create_session()).id)  # warm up
    appends, reads, there = [], [], 1
    clock = time.perf_counter
    for size in sizes:
        while there < size:
            session = await home.engine.create_session()
            await home.engine.append(session.id, [_message(there)])
            there += 1
        last = await home.engine.create_session()
        there += 1
        append, _ = await _probe(home, last.id)
        appends.append(append)
        listing = []
        for _ in range(100):
            begin = clock()
            await home.engine.sessions(limit=20, time_desc=True)
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
        with _folder() as folder, _home(folder / "bench.db") as home:
            times = asyncio.run(_searched(home, texts))
            raw = _raw_search(folder / "raw.db", texts)
        p50, raw_p50 = percentile(times, 0.5) / 1000, percentile(raw, 0.5) / 1000
        name, raw_name = f"skill search at {count:,} skills", "FTS5, AND of three words"
        budget = f"<= {limit:g} ms, or {share}x raw"
        yield Figure(f"{name}, p50", p50, "ms", raw_p50, raw_name, budget, p50 <= max(limit, share * raw_p50))
        p99, raw_p99 = percentile(times, 0.99) / 1000, percentile(raw, 0.99) / 1000
        yield Figure(f"{name}, p99", p99, "ms", raw_p99, raw_name)


async def taught(home: Home, texts: Sequence[str]) -> str:
    """A space with a skill for each text; its id."""
    engine = home.engine
    space = await engine.create_space(name="bench")
    for start in range(0, len(texts), 2_000):
        await engine.store.make_due("learn", space.id)
        (claim,) = await engine.store.claim("bench", kinds=_LEARN, lease=600)
        edits = tuple(_edit(text) for text in texts[start : start + 2_000])
        await engine.store.apply_skills(claim, SkillOps(space_id=space.id, edits=edits))
    return space.id


async def _searched(home: Home, texts: Sequence[str]) -> list[float]:
    space_id = await taught(home, texts)
    clock = time.perf_counter
    times = []
    gc.collect()
    gc.disable()
    try:
        for text in random.Random(11).sample(list(texts), 300):
            begin = clock()
            await home.engine.find_skills(space_id, text, limit=5)
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
    times = _each(lambda: connection.execute(find, (next(asked),)).fetchall(), len(queries))
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
