"""Embedding index: makes the vectors of skills in the background, and asks for those of queries while an agent waits.

Everything here runs on one event loop, the engine's. Whatever goes wrong with a query's vector, words answer:
nobody who searches is told, nobody waits longer than they said.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from cachetools import LRUCache

from acontext_store.embedding import SkillVectors, TextVector, Unembedded, VectorChanges, VectorOps
from acontext_store.errors import AcontextError, InvalidAnswer, LearningUnavailable, NotFound
from acontext_store.protocols import Pending, ReadSnapshot, Store
from acontext_store.types import Claim

from ..concurrency.background import run_in_thread
from ..concurrency.limited_log import LimitedLog
from ..llm import Embedder, Purpose
from ..settings import EmbeddingSettings
from .matrix import BYTES, LONGEST, Floats, Matrix, floats_of, hash_of, packed, texts_of

log = logging.getLogger("acontext")

T = TypeVar("T")

#: Queries whose vectors are remembered, and how many may be asked for at a time: more go without.
REMEMBERED, ASKED = 512, 16
#: Seconds without asking after the model failed, where it does not say how long.
PAUSE = 5.0
#: Times that an embedder may try, each for as long as the settings give it.
TRIES = 4
#: Vectors that are read in one go: other questions stand in the same line.
PAGE = 500
#: Skills and texts of one piece of background work.
SKILLS, TEXTS = 256, 256
#: Bytes of all matrices together: those of spaces that nobody asks about go first.
MOST_BYTES = 2 * 1024**3
#: Multiplications that are not worth a thread of their own.
_SMALL = 500_000


class _Space:
    """A space's matrix, and how far it has been read."""

    def __init__(self, dimensions: int) -> None:
        self.matrix = Matrix(dimensions)
        self.stamp = 0
        self.ready = False
        self.reading = asyncio.Lock()


class EmbeddingIndex:
    """The vectors of one project, by one embedder."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        *,
        settings: EmbeddingSettings,
        clean: Callable[[str, str], str] = lambda space_id, text: text,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._settings = settings
        self._clean = clean
        self._wake = wake
        self._spaces: LRUCache[str, _Space] = LRUCache(math.inf)
        self._known: LRUCache[str, Floats] = LRUCache(REMEMBERED)
        self._asked: dict[str, asyncio.Task[Floats | None]] = {}
        self._tasks: set[asyncio.Task[bool]] = set()
        self._paused_until = 0.0
        self._log = LimitedLog(log)
        self._registering: Pending[bool] | None = None

    @property
    def model(self) -> str:
        return self._embedder.model

    def register(self) -> None:
        """Say that this project's skills are embedded by this model from now on. Waits for nothing."""

        def said(done: Pending[bool]) -> None:
            if done.cancelled():
                self._registering = None
            elif (error := done.exception()) is not None:
                self._registering = None
                self._log.warning("embed", "acontext: skills are not embedded yet: %s", error)
            elif done.result():
                self._wake()

        self._registering = self._store.embed_with(self.model, self._settings.dimensions)
        self._registering.add_done_callback(said)

    async def registered(self) -> None:
        """Return when that is written, so that what is to be embedded is known. Raises StoreUnavailable."""
        if self._registering is None:
            self.register()
        if self._registering is not None:
            await self._registering

    async def stop(self) -> None:
        """Let go of what is still asked for."""
        rest: list[asyncio.Task[Floats | None] | asyncio.Task[bool]] = [*self._asked.values(), *self._tasks]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def loaded(self, space_id: str) -> tuple[int, int]:
        """How many vectors of the space are in memory, and the bytes that they take."""
        space = self._spaces.get(space_id)
        return (0, 0) if space is None else (len(space.matrix), space.matrix.size)

    # -- while somebody waits
    async def nearest(
        self, space_id: str, query: str, *, limit: int, patience: float, threshold: float | None = None
    ) -> list[tuple[str, float]] | None:
        """Skills whose texts mean something like the query, best first; None where words must do, for now.

        Waits for at most `patience` seconds.
        """
        deadline = time.monotonic() + patience
        if self._registering is None:
            self.register()
        try:
            asked = await self._vector_of(space_id, query, patience)
            if asked is None:
                return None
            space = self._space(space_id, len(asked))
            fresh = await _within(self._spawn(self._refresh(space_id, space)), deadline - time.monotonic())
            if not space.ready:
                return None
            if fresh and not len(space.matrix) and space.stamp:
                await self._check_dimensions(len(asked))
            wanted = self._settings.threshold if threshold is None else threshold
            search = partial(space.matrix.nearest, limit=limit, threshold=wanted)
            if len(space.matrix) * len(asked) < _SMALL:
                return search(asked)
            return await run_in_thread(search, asked)
        except Exception as error:
            known = isinstance(error, AcontextError)  # their own words are enough
            if known:
                log.debug("acontext: the search goes by words alone: %r", error)
            else:
                self._log.warning(type(error).__name__, "acontext: the search goes by words alone: %r", error)
            return None

    async def _vector_of(self, space_id: str, query: str, patience: float) -> Floats | None:
        text = self._clean(space_id, query.strip()[:LONGEST])
        if (known := self._known.get(text)) is not None:
            return known
        asked = self._asked.get(text)
        if asked is None:
            if len(self._asked) >= ASKED or time.monotonic() < self._paused_until:
                return None
            asked = self._asked[text] = asyncio.create_task(self._ask_for_query(space_id, text))
            asked.add_done_callback(lambda _: self._asked.pop(text, None))
        return await _within(asked, patience)

    async def _ask_for_query(self, space_id: str, text: str) -> Floats | None:
        """Also when nobody waits any more: the next one with this query finds it remembered."""
        try:
            found = await self._embed([text], space_id)
        except Exception as error:
            pause = getattr(error, "retry_after", None) or PAUSE
            self._paused_until = time.monotonic() + pause
            self._log.warning("paused", "acontext: searches go by words alone for %.0f seconds: %s", pause, error)
            return None
        vector: Floats = found[0]
        self._known[text] = vector
        return vector

    async def _check_dimensions(self, dimensions: int) -> None:
        """The model makes vectors of another size than it did: all skills are to be embedded anew."""
        current = await self._store.embedder()
        if current is not None and current[0] == self.model and current[1] not in (None, dimensions):
            log.warning("acontext: %s makes vectors of another size now: skills are embedded anew", self.model)
            await self._store.embed_with(self.model, dimensions)
            self._wake()

    # -- the matrices
    def _space(self, space_id: str, dimensions: int) -> _Space:
        space = self._spaces.get(space_id)
        if space is None or space.matrix.dimensions != dimensions:
            space = self._spaces[space_id] = _Space(dimensions)
        while len(self._spaces) > 1 and sum(one.matrix.size for one in self._spaces.values()) > MOST_BYTES:
            self._spaces.popitem()
        return space

    def _spawn(self, work: Awaitable[bool]) -> asyncio.Task[bool]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

        def done(task: asyncio.Task[bool]) -> None:
            self._tasks.discard(task)
            if not task.cancelled():
                task.exception()  # who still waited was told

        task.add_done_callback(done)
        return task

    async def _refresh(self, space_id: str, space: _Space) -> bool:
        """Read what has changed since the last time: nothing, as a rule."""
        try:
            async with space.reading:
                more = True
                while more:
                    change = await self._store.read_snapshot(partial(_changes, space_id, self.model, space))
                    if change.stamp < space.stamp:  # an older database has come in the place of the one that was read
                        space.matrix, space.stamp = Matrix(space.matrix.dimensions), 0
                        continue
                    await self._take_in(space_id, space, change)
                    more = change.more
                space.ready = True
        except NotFound:
            self._spaces.pop(space_id, None)
            raise
        return True

    async def _take_in(self, space_id: str, space: _Space, change: VectorChanges) -> None:
        matrix = space.matrix
        if change.rows:
            await run_in_thread(partial(matrix.put, room=change.total or 0), change.rows)
        space.stamp = change.stamp
        if change.more or change.total is None or change.total == len(matrix):
            return
        ask = partial(_embedded, space_id, self.model, matrix.dimensions)
        await run_in_thread(matrix.keep, await self._store.read_snapshot(ask))

    # -- in the background
    async def embed(self, claim: Claim) -> bool:
        """A piece of a space's embed work. False where another model embeds this project now."""
        current = await self._store.embedder()
        if current is None or current[0] != self.model:
            return False
        waiting = await self._store.unembedded(claim.key, limit=SKILLS)
        chosen = _some(waiting)
        had = [one for skill in chosen for one in skill.vectors]
        dimensions = current[1] or (len(had[0].vector) // BYTES if had else 0)
        kept = {one.hash: one.vector for one in had if len(one.vector) == dimensions * BYTES}
        texts = {skill.skill_id: texts_of(skill) for skill in chosen}
        wanted = dict.fromkeys(text for skill in chosen for text in texts[skill.skill_id])
        made: dict[str, bytes] = {}
        missing = [text for text in wanted if hash_of(text) not in kept]
        while missing:
            found = await self._embed(missing, claim.key)
            if found.shape[1] != dimensions:  # the first there are, or of another size: all are of this one then
                if made:
                    raise InvalidAnswer(f"{self.model} answers vectors of different sizes")
                kept, dimensions = {}, int(found.shape[1])
            vectors = (packed(text, vector) for text, vector in zip(missing, found, strict=True))
            made.update((one.hash, one.vector) for one in vectors)
            missing = [text for text in wanted if hash_of(text) not in kept | made]
        kept |= made
        skills = tuple(_vectors(skill, texts[skill.skill_id], kept) for skill in chosen)
        ops = VectorOps(space_id=claim.key, model=self.model, dimensions=dimensions, skills=skills)
        await self._store.apply_vectors(claim, ops)
        return True

    async def _embed(self, texts: Sequence[str], space_id: str) -> Floats:
        """Raises LearningUnavailable."""
        purpose = Purpose(job="embed", space_id=space_id)
        vectors: list[list[float]] = []
        for start in range(0, len(texts), self._settings.batch):
            some = texts[start : start + self._settings.batch]
            try:
                async with asyncio.timeout(self._settings.timeout * TRIES):
                    found = await self._embedder.embed(some, purpose=purpose)
            except TimeoutError:
                raise LearningUnavailable(
                    f"{self.model} made no vectors within {self._settings.timeout * TRIES:g} seconds"
                ) from None
            if len(found) != len(some):
                raise InvalidAnswer(f"{self.model} answered {len(found)} vectors for {len(some)} texts")
            vectors += found
        return floats_of(vectors, len(texts), self.model)


async def _within(task: asyncio.Task[T], seconds: float) -> T | None:
    """What it returns, if it does so in time; it goes on in any case. Raises what it raised."""
    done, _ = await asyncio.wait([task], timeout=max(0.0, seconds))
    return task.result() if done and not task.cancelled() else None


def _changes(space_id: str, model: str, space: _Space, moment: ReadSnapshot) -> VectorChanges:
    dimensions = space.matrix.dimensions
    return moment.vectors(space_id, model=model, dimensions=dimensions, after=space.stamp, limit=PAGE)


def _embedded(space_id: str, model: str, dimensions: int, moment: ReadSnapshot) -> set[str]:
    return moment.embedded_skills(space_id, model=model, dimensions=dimensions)


def _some(waiting: Sequence[Unembedded]) -> list[Unembedded]:
    """As many as have about `TEXTS` texts that are new."""
    chosen: list[Unembedded] = []
    texts = 0
    for skill in waiting:
        had = {one.hash for one in skill.vectors}
        texts += sum(hash_of(text) not in had for text in texts_of(skill))
        if chosen and texts > TEXTS:
            break
        chosen.append(skill)
    return chosen


def _vectors(skill: Unembedded, texts: Sequence[str], vectors: dict[str, bytes]) -> SkillVectors:
    found = tuple(TextVector(hash=(hash := hash_of(text)), vector=vectors[hash]) for text in texts)
    return SkillVectors(skill_id=skill.skill_id, mark=skill.mark, vectors=found)
