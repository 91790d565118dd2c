"""Fusion: one ranking out of several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

#: How slowly a rank loses weight (Cormack, Clarke and Buettcher 2009).
CONSTANT = 60


def fused(*rankings: Sequence[str]) -> list[tuple[str, float]]:
    """Reciprocal rank fusion: best first, with scores up to 1 for what is first everywhere.

    After Cormack, Clarke and Buettcher, Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank Learning
    Methods (SIGIR 2009): ranks can be added where scores of different kinds cannot.
    """
    scores: dict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, id in enumerate(dict.fromkeys(ranking), 1):
            scores[id] += (CONSTANT + 1) / (CONSTANT + rank) / len(rankings)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
