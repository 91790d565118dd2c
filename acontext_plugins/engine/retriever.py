"""Retriever: which skills fit what is about to be done. Asks the store; `ranking` judges."""

from __future__ import annotations

from collections.abc import Collection

from acontext_store.base import Moment
from acontext_store.types import Skill

from . import ranking


def find(
    moment: Moment, space_id: str, query: str, *, limit: int, tools: Collection[str] | None = None
) -> list[tuple[Skill, float]]:
    """Active skills, best first, with their scores and without their evidence; empty where nothing is relevant.

    With `tools`, only skills all of whose tools are among them.
    """
    asked = ranking.query_terms(query)
    if not asked:
        return []
    texts, frequencies = moment.frequencies(space_id, asked)
    terms = ranking.choose_terms(asked, frequencies)
    if not terms:
        return []
    hits = moment.search(space_id, terms, limit=ranking.hits_wanted(terms, texts))
    wanted = limit if tools is None else limit * 4
    ranked = ranking.rank(query, hits, texts, frequencies, limit=wanted)
    if not ranked:
        return []
    best = moment.skills_by_id([id for id, _ in ranked], evidence=False)
    skills = {skill.id: skill for skill in best}
    found = [(skills[id], score) for id, score in ranked if id in skills and _can_run(skills[id], tools)]
    return found[:limit]


def _can_run(skill: Skill, tools: Collection[str] | None) -> bool:
    return tools is None or all(step.tool_name in tools for step in skill.body.tool_sops)
