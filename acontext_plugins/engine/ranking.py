"""Ranking: which skills answer a query. Pure; the store's index gives the hits, this decides what they mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from acontext_store.types import SearchHit
from acontext_store.words import words

HITS = 100


def query_terms(query: str) -> list[str]:
    """The distinct search terms of a query, in order."""
    return list(dict.fromkeys(words(query)))[:256]


def rank(
    query: str,
    hits: Sequence[SearchHit],
    texts: int = 0,
    frequencies: Mapping[str, int] | None = None,
    *,
    limit: int = 5,
) -> list[tuple[str, float]]:
    scores: dict[str, float] = defaultdict(float)
    for hit in hits[:10]:
        scores[hit.skill_id] += hit.score
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]
