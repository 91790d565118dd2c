"""Retriever: which skills fit what is about to be done. `ranking` judges words, `embedding_index` meaning."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from acontext_store.protocols import ReadSnapshot
from acontext_store.types import ACTIVE, Skill

from . import ranking
from .fusion import fused

#: Skills that each of words and vectors names at least, before their rankings are fused.
DEPTH = 50


def find(
    moment: ReadSnapshot,
    space_id: str,
    query: str,
    *,
    limit: int,
    tools: Collection[str] | None = None,
    near: Sequence[tuple[str, float]] | None = None,
) -> list[tuple[Skill, float]]:
    """Active skills, best first, with their scores and without their evidence; empty where nothing is relevant.

    With `tools`, only skills all of whose tools are among them. `near` = what vectors say, best first; None = words
    alone decide.
    """
    if near is None:
        ranked = by_words(moment, space_id, query, limit=limit if tools is None else limit * 4)
    else:
        words = by_words(moment, space_id, query, limit=max(DEPTH, limit * 4))
        ranked = fused([id for id, _ in words], [id for id, _ in near])
    if not ranked:
        return []
    best = moment.skills_by_id([id for id, _ in ranked], evidence=False)
    skills = {skill.id: skill for skill in best if skill.status in ACTIVE and skill.space_id == space_id}
    found = [(skills[id], score) for id, score in ranked if id in skills and can_run(skills[id], tools)]
    return found[:limit]


def by_words(moment: ReadSnapshot, space_id: str, query: str, *, limit: int) -> list[tuple[str, float]]:
    """Skills whose texts share words with the query, best first, as far as that tells anything."""
    asked = ranking.query_terms(query)
    if not asked:
        return []
    texts, frequencies = moment.frequencies(space_id, asked)
    terms = ranking.choose_terms(asked, frequencies)
    if not terms:
        return []
    hits = moment.search(space_id, terms, limit=ranking.hits_wanted(terms, texts))
    return ranking.rank(query, hits, texts, frequencies, limit=limit)


def can_run(skill: Skill, tools: Collection[str] | None) -> bool:
    """Whether all tools that the skill needs are among these; None = nobody knows which there are."""
    return tools is None or all(step.tool_name in tools for step in skill.body.tool_sops)
