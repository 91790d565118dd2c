"""`acontext bench --embeddings`: what search by meaning costs beside search by words, the model's own time left out."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from acontext_plugins.engine.embedded import EmbeddedEngine, open_engine
from acontext_plugins.llm import Purpose
from acontext_plugins.service import RecallQuery
from acontext_plugins.settings import Settings, WorkerSettings
from acontext_store.errors import InvalidInput
from acontext_store.open import database_url

from .core import requests, taught
from .figures import Figure, percentile

DIMENSIONS = 1536


class _Instant:
    """Vectors at once, of each text in a direction of its own."""

    model = "instant"

    def __init__(self) -> None:
        self.hangs = False

    async def embed(self, texts: Sequence[str], *, purpose: Purpose) -> list[list[float]]:
        if self.hangs:
            await asyncio.Event().wait()
        return [_vector(text) for text in texts]


def _vector(text: str) -> list[float]:
    import numpy as np

    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    found: list[float] = np.random.default_rng(seed).standard_normal(DIMENSIONS).tolist()
    return found


def figures(quick: bool) -> Iterator[Figure]:
    try:
        import numpy as np
    except ImportError:
        raise InvalidInput("embeddings need numpy: pip install 'acontext-plugins[embeddings]'") from None
    count = 2_000 if quick else 10_000
    texts = list(requests(count))
    asked = random.Random(11).sample(texts, 200)
    embedder = _Instant()
    with tempfile.TemporaryDirectory(prefix="acontext-bench-") as folder:
        path = Path(folder) / "bench.db"
        with _embedded(path) as embedded:
            space_id = embedded.loop.run(taught(embedded, texts))
            words = embedded.loop.run(_searches(embedded, space_id, asked))
        with _embedded(path, embedder) as embedded:
            begin = time.perf_counter()
            embedded.loop.run(embedded.engine.flush())
            yield Figure(f"embedding {count:,} skills", count / (time.perf_counter() - begin), "/s")
        with _embedded(path, embedder) as embedded:
            assert embedded.engine.vectors is not None
            begin = time.perf_counter()
            embedded.loop.run(embedded.engine.vectors.nearest(space_id, asked[0], limit=5, patience=600))
            milliseconds = (time.perf_counter() - begin) * 1000
            rows, size = embedded.engine.vectors.loaded(space_id)
            yield Figure(f"reading {rows:,} vectors, once", milliseconds, "ms")
            yield Figure("the same in memory", size / 1e6, "MB", rows * DIMENSIONS * 4 / 1e6, "rows x dimensions x 4")
            both = embedded.loop.run(_searches(embedded, space_id, asked))
            name, beside = f"search by words and meaning, {count:,} skills", "words alone"
            yield Figure(f"{name}, p50", percentile(both, 0.5), "ms", percentile(words, 0.5), beside)
            yield Figure(f"{name}, p99", percentile(both, 0.99), "ms", percentile(words, 0.99), beside)
            matrix = np.ones((rows, DIMENSIONS), dtype=np.float32)
            products = [_milliseconds(lambda: matrix @ matrix[0]) for _ in range(50)]
            yield Figure("of that, the matrix times a vector, p50", percentile(products, 0.5), "ms")
            embedder.hangs = True
            waits = embedded.loop.run(_recalls(embedded, [f"{text} please" for text in asked[:10]]))
            deadline = RecallQuery("bench", "").deadline * 1000
            budget = f"<= {deadline:g} ms: words answer"
            slowest = max(waits)
            yield Figure("recall, the embedder hangs, slowest", slowest, "ms", budget=budget, met=slowest <= deadline)


@contextmanager
def _embedded(path: Path, embedder: _Instant | None = None) -> Iterator[EmbeddedEngine]:
    settings = Settings(url=database_url(path), worker=WorkerSettings(enabled=False))
    embedded = open_engine(settings, embedder=embedder)
    try:
        yield embedded
    finally:
        embedded.close()


async def _searches(embedded: EmbeddedEngine, space_id: str, queries: Sequence[str]) -> list[float]:
    """Milliseconds of each; the first round makes the vectors of the queries known."""
    times: list[float] = []
    for _ in range(2):
        times.clear()
        gc.collect()
        for query in queries:
            begin = time.perf_counter()
            await embedded.engine.find_skills(space_id, query, limit=5)
            times.append((time.perf_counter() - begin) * 1000)
    return times


async def _recalls(embedded: EmbeddedEngine, queries: Sequence[str]) -> list[float]:
    times = []
    for query in queries:
        begin = time.perf_counter()
        await embedded.engine.recall(RecallQuery("bench", query, log=False))
        times.append((time.perf_counter() - begin) * 1000)
    return times


def _milliseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000
