"""A space with skills in it, for searches with models; and models that misbehave on request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acontext_plugins.engine.embedded import EmbeddedEngine, open_engine
from acontext_plugins.llm import LLM, Embedder, Purpose, Request
from acontext_plugins.service import SpaceSearchResult
from acontext_plugins.settings import (
    EmbeddingSettings,
    LearnSettings,
    ObserveSettings,
    SearchSettings,
    Settings,
    WorkerSettings,
)
from acontext_plugins.testing import ScriptedEmbedder
from acontext_store.types import Claim, SearchText, SkillBody, SkillEdit, SkillOps, SkillStatus, Step, stable_id

#: A user who says "reimbursement" means a refund.
SAME = [("refund", "reimbursement"), ("deliv", "shipment"), ("gift", "present")]


class Library:
    """An engine over a database of its own, with one space."""

    def __init__(self, embedded: EmbeddedEngine, space: str = "shop") -> None:
        self.home = embedded
        self.engine = embedded.engine
        self.store = embedded.engine.store
        self.space_id = self.store.space_by_name(space, create=True).result(20).id

    def teach(
        self,
        use_when: str,
        *steps: str,
        page: Sequence[str] = ("orders",),
        preferences: str = "",
        requests: Sequence[str] = (),
        status: SkillStatus = "active",
    ) -> str:
        """A skill that says this; the same words, the same skill. Its id."""
        skill_id = stable_id(ascii(use_when))
        body = SkillBody(
            use_when=use_when,
            preferences=preferences,
            tool_sops=tuple(Step(tool_name=step, action=f"call {step}") for step in steps),
        )
        edit = SkillEdit(
            skill_id=skill_id,
            title=use_when,
            page=tuple(page),
            status=status,
            origin="rules",
            body=body,
            texts=tuple(SearchText(kind="request", text=text) for text in requests),
        )
        claims: list[Claim] = []
        while not claims:  # the library's own worker may be quicker, and finds nothing to learn
            self.store.schedule_now("learn", self.space_id).result(20)
            claims = self.store.claim("teacher", kinds=("learn",), lease=60).result(20)
        (claim,) = claims
        self.store.apply_skills(claim, SkillOps(space_id=self.space_id, edits=(edit,))).result(20)
        return skill_id

    def flush(self) -> bool:
        return self.run(self.engine.flush(30))

    def find(self, query: str, **options: Any) -> list[str]:
        """Ids of the skills that fit."""
        found = self.run(self.engine.find_skills(self.space_id, query, limit=5, **options))
        return [skill.id for skill, _ in found]

    def search(self, query: str, **options: Any) -> SpaceSearchResult:
        return self.run(self.engine.experience_search(self.space_id, query=query, **options))

    def run(self, work: Any) -> Any:
        return self.home.loop.run(work, timeout=60)


@contextmanager
def a_library(
    database: Path,
    *,
    embedder: Embedder | None = None,
    llm: LLM | None = None,
    worker: bool = False,
    **changes: Any,
) -> Iterator[Library]:
    given: dict[str, Any] = {
        "worker": WorkerSettings(enabled=worker, backoff=0.001, idle=0.01),
        "observe": ObserveSettings(quiet=0.0, max_wait=0.0),
        "learn": LearnSettings(quiet=0.0),
        "embedding": EmbeddingSettings(),
        "search": SearchSettings(),
    }
    embedded = open_engine(Settings(url=f"sqlite:///{database}", **(given | changes)), llm=llm, embedder=embedder)
    try:
        yield Library(embedded)
    finally:
        embedded.close()


class Fickle:
    """The scripted embedder, but for what `trouble` does before it answers: raise, wait, or answer something else."""

    def __init__(self, **options: Any) -> None:
        self.inner = ScriptedEmbedder(same=SAME, **options)
        self.model = self.inner.model
        self.trouble: Callable[[Sequence[str]], Any] = lambda texts: None
        self.asked: list[list[str]] = []

    async def embed(self, texts: Sequence[str], *, purpose: Purpose) -> list[list[float]]:
        assert purpose.job == "embed"
        assert purpose.space_id
        self.asked.append(list(texts))
        result = self.trouble(texts)
        if asyncio.iscoroutine(result):
            result = await result
        return result if result is not None else await self.inner.embed(texts, purpose=purpose)


async def never() -> None:
    await asyncio.Event().wait()


def told(request: Request) -> str:
    """All that a model was told, and what it said."""
    return "\n".join(json.dumps(message, ensure_ascii=False) for message in request.messages)
