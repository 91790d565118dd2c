"""Search: the part of the engine that finds skills, for agents that wait and for people who look."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from acontext_plugins.concurrency.futures import copy_result
from acontext_plugins.inject.recall import Recall, RecallQuery
from acontext_plugins.inject.render import RenderedSkill, fitting, framed, tokens
from acontext_plugins.llm import LLM, Embedder
from acontext_plugins.record.session_ids import chosen_session_id
from acontext_plugins.service import SearchItem, SpaceSearchResult
from acontext_plugins.settings import EmbeddingSettings, Settings
from acontext_store.errors import Closed, InvalidInput, LearningUnavailable, NotFound
from acontext_store.injections import Injection
from acontext_store.protocols import Pending, ReadSnapshot, Store
from acontext_store.types import BlockType, Skill, is_uuid

from ..concurrency.limited_log import LimitedLog
from .agentic_rules import answer_of, walk
from .block_tree import BlockTree
from .conversation import NOTHING, InjectionLog, anchor_for, blocks_of, earlier_skills
from .results import by_words, cited
from .retriever import DEPTH, find

if TYPE_CHECKING:
    from .embedding_index import EmbeddingIndex

_limited = LimitedLog(logging.getLogger("acontext"))

T = TypeVar("T")
Mode = Literal["fast", "agentic"]
Near = Sequence[tuple[str, float]] | None
Placed = Sequence[tuple[str, Sequence[RenderedSkill]]]
Fresh = tuple[str | None, Sequence[RenderedSkill]]

#: The share of an agent's patience that the vector of its query may take: words need the rest.
SHARE = 2 / 3
#: Seconds that a person's search waits for the vector of its query.
PATIENCE = 2.0


def open_vectors(
    store: Store,
    embedder: Embedder | None,
    settings: EmbeddingSettings,
    *,
    clean: Callable[[str, str], str],
    wake: Callable[[], None],
) -> EmbeddingIndex | None:
    """The vectors of the store's project; None without an embedder. Raises InvalidInput where numpy is missing."""
    if embedder is None:
        return None
    try:
        from .embedding_index import EmbeddingIndex
    except ImportError as error:
        raise InvalidInput(f"embeddings need numpy: pip install 'acontext-plugins[embeddings]' ({error})") from None
    return EmbeddingIndex(store, embedder, settings=settings, clean=clean, wake=wake)


class SkillSearch:
    """Skills by words, and by vectors where there is an embedder; and searches in several steps."""

    def __init__(self, store: Store, settings: Settings, *, vectors: EmbeddingIndex | None, llm: LLM | None) -> None:
        """Without `vectors`, words alone decide; without `llm`, agentic searches walk by rules."""
        self.store = store
        self.settings = settings
        self.vectors = vectors
        self.llm = llm
        self._loop: asyncio.AbstractEventLoop | None = None
        self._injections = InjectionLog(store)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ask models on this loop from now on. Before that, on the loop of whoever searches."""
        self._loop = loop

    # -- for agents
    async def recall(self, query: RecallQuery) -> Recall:
        """The active skills that fit, rendered within the budget. An unknown space has none."""
        return await self.recall_pending(query)

    def recall_pending(self, query: RecallQuery) -> Pending[Recall]:
        """The same, from any thread. An agent waits: by words alone, it is one question on a thread of the store."""
        if self.vectors is None or self._loop is None or not query.text.strip():
            return self.store.read_snapshot(partial(self._answer, query))
        answer: Pending[Recall] = Pending()

        work = self._recall(query)
        try:
            copy_result(asyncio.run_coroutine_threadsafe(work, self._loop), answer)
        except RuntimeError:  # the loop is closed: whoever asks now finds the store closed, too
            work.close()
            return self.store.read_snapshot(partial(self._answer, query))
        return answer

    async def _recall(self, query: RecallQuery) -> Recall:
        try:
            space_id = query.space if is_uuid(query.space) else (await self.store.space_by_name(query.space)).id
        except NotFound:
            return Recall()
        near = await self._near(space_id, query.text, patience=query.deadline * SHARE)
        return await self.store.read_snapshot(partial(self._answer, query, near=near))

    def _answer(self, query: RecallQuery, moment: ReadSnapshot, *, near: Near = None) -> Recall:
        try:
            space_id = query.space if is_uuid(query.space) else moment.space_by_name(query.space).id
            key, principal = query.session_key, query.principal
            session_id = chosen_session_id(self.store.project_id, key, principal, moment.session) if key else None
            earlier = NOTHING
            if session_id is not None:
                rows = self._injections.of(moment, space_id, session_id, query)
                earlier = earlier_skills(moment, query, space_id, rows)
            anchor, found = anchor_for(query, earlier), []
            if anchor is not None:
                found = find(moment, space_id, query.text, limit=query.limit, tools=query.tools, near=near)
        except NotFound:
            return Recall()
        scores = {skill.id: score for skill, score in found}
        known = {skill.id for skill in earlier.skills}
        fresh = (skill for skill, _ in found if skill.id not in known)
        room = query.token_budget - earlier.tokens(catalog=query.catalog)
        chosen = fitting(fresh, token_budget=room, with_trace=query.with_trace, catalog=query.catalog)
        placed = [*earlier.placed, *([(anchor, chosen)] if anchor is not None and chosen else [])]
        blocks = blocks_of(query, placed)
        shown = tuple(one.skill for _, skills in placed for one in skills)
        if shown and query.log:
            self._log(query, space_id, session_id, placed, (anchor, chosen))
        return Recall(
            text="\n\n".join(block.text for block in blocks),
            skills=shown,
            scores=tuple(scores.get(skill.id, 0.0) for skill in shown),
            blocks=blocks,
        )

    def _log(self, query: RecallQuery, space_id: str, session_id: str | None, placed: Placed, fresh: Fresh) -> None:
        anchor, chosen = fresh
        texts = [framed(skills, catalog=query.catalog) for _, skills in placed]
        shown = [one.skill for _, skills in placed for one in skills]
        self._injections.keep(
            Injection(
                space_id=space_id,
                session_id=session_id,
                run_id=query.run_id,
                skill_ids=tuple(skill.id for skill in shown),
                versions=tuple(skill.version for skill in shown),
                text_hash=hashlib.sha256("\n\n".join(texts).encode("utf-8", "surrogatepass")).hexdigest(),
                tokens=sum(map(tokens, texts)),
                anchor=anchor if chosen else None,
                placed=tuple((one.skill.id, one.fingerprint) for one in chosen),
                turn=query.shown.names[-1] if chosen and query.shown is not None and query.shown.names else "",
            )
        )

    # -- for people, and for those who learn
    async def find_skills(
        self,
        space_id: str,
        query: str,
        *,
        limit: int,
        tools: Collection[str] | None = None,
        threshold: float | None = None,
    ) -> list[tuple[Skill, float]]:
        """Active skills that fit `query`, best first, with their scores; none where nothing is relevant.

        `threshold` = the cosine that vectors must reach, instead of the one in the settings.
        """
        near: Near = None
        if self.vectors is not None and query.strip():
            near = await self._on_loop(self._near(space_id, query, patience=PATIENCE, threshold=threshold))
        look = partial(find, space_id=space_id, query=query, limit=limit, tools=tools, near=near)
        return await self.store.read_snapshot(look)

    async def find_blocks(
        self, space_id: str, *, query: str, types: Collection[BlockType], limit: int = 10
    ) -> list[SearchItem]:
        _check(query, limit)
        roots = await self.store.blocks(space_id, tree=True)
        found = by_words(roots, query, set(types) - {"sop"})
        if "sop" in types:
            found += [cited(skill, score) for skill, score in await self.find_skills(space_id, query, limit=limit)]
        return sorted(found, key=lambda item: item.distance or 0.0)[:limit]

    async def experience_search(
        self,
        space_id: str,
        *,
        query: str,
        limit: int = 10,
        mode: Mode = "fast",
        semantic_threshold: float | None = None,
        max_iterations: int | None = None,
    ) -> SpaceSearchResult:
        _check(query, limit)
        if mode not in ("fast", "agentic"):
            raise InvalidInput(f"mode is {mode!r}: it must be 'fast' or 'agentic'")
        if semantic_threshold is not None and not 0 <= semantic_threshold <= 2:
            raise InvalidInput(f"semantic_threshold is {semantic_threshold}: it must be 0 to 2, a cosine distance")
        turns = self.settings.search.iterations if max_iterations is None else max_iterations
        if not 1 <= turns <= 100:
            raise InvalidInput(f"max_iterations is {turns}: it must be 1 to 100")
        await self.store.space(space_id)
        fallback: str | None = None
        if mode == "agentic" and self.llm is not None:
            try:
                return await self._on_loop(self._by_model(self.llm, space_id, query, limit, turns))
            except LearningUnavailable as error:
                fallback = str(error)
                _limited.warning("agentic", "acontext: a fast search answered instead of an agentic one: %s", error)
        threshold = None if semantic_threshold is None else 1.0 - semantic_threshold
        skills = await self.find_skills(space_id, query, limit=limit, threshold=threshold)
        items = [cited(skill, score) for skill, score in skills]
        if mode == "agentic" and fallback is None:
            items = await walk(BlockTree(self.store, space_id), query, items, limit=limit)
        final_answer = answer_of(items) if mode == "agentic" else None
        return SpaceSearchResult(cited_blocks=items, final_answer=final_answer, fallback=fallback)

    async def _by_model(self, llm: LLM, space_id: str, query: str, limit: int, turns: int) -> SpaceSearchResult:
        from acontext_plugins.prompts import load_prompt

        from .agentic_model import search_by_model

        async def look(words: str, most: int) -> list[str]:
            return [skill.id for skill, _ in await self.find_skills(space_id, words, limit=most)]

        prompt = load_prompt("search_agent", folder=self.settings.prompts or None)
        seconds = self.settings.search.timeout
        try:
            async with asyncio.timeout(seconds):
                found = await search_by_model(
                    llm,
                    BlockTree(self.store, space_id),
                    look,
                    query,
                    prompt=prompt,
                    space_id=space_id,
                    limit=limit,
                    turns=turns,
                )
        except TimeoutError:
            raise LearningUnavailable(f"{llm.model} did not come to an end within {seconds:g} seconds") from None
        return SpaceSearchResult(cited_blocks=found.items, final_answer=found.final_answer)

    async def _near(self, space_id: str, query: str, *, patience: float, threshold: float | None = None) -> Near:
        if self.vectors is None:
            return None
        return await self.vectors.nearest(space_id, query, limit=DEPTH, patience=patience, threshold=threshold)

    async def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """On the engine's own loop, where models are asked; here, where it has none."""
        if self._loop is None or self._loop is asyncio.get_running_loop():
            return await work
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise Closed("this client is closed: open another") from None
        return await asyncio.wrap_future(future)


def _check(query: str, limit: int) -> None:
    if not query.strip():
        raise InvalidInput("the query is empty: describe the task that skills are wanted for")
    if not 1 <= limit <= 50:
        raise InvalidInput(f"limit is {limit}: it must be 1 to 50")
