"""Ranking: which skills answer a query. Pure: the store's index finds texts, this decides what they mean.

A text is what users said in a run (kind "request") or a skill's own words (kind "skill"); its last line may name the
tools with which that skill changes something (`searchable` writes it, `parts_of` reads it). From the texts nearest
to the query we estimate which *tools* the task will need, and rank skills by how well their tools fit that estimate
(expected F1), with a share for the votes that a skill's own runs gave it. Words are weighed by what they tell about
tools among the texts found (divergence from the average text, shrunk where a word is rare), not by rarity alone: in
a shop, "keyboard" is rare and tells nothing, "exchange" is common and tells all.

Nothing is better than something unfitting: below a relevance that does not depend on the size of the space, the
answer is empty. How each part moved the figures: docs/decisions/0010-learning-without-a-model.md.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

from acontext_store.tokenizer import parts_of, words
from acontext_store.types import SearchHit

#: How many postings a search may read; beyond it the commonest words of the query are left out.
POSTINGS = 2_000
#: The nearest texts that vote, and how much nearer ones count for more (votes are similarities to this power).
NEIGHBOURS, SHARPNESS = 30, 2
#: A word must occur in about this many texts before what it seems to tell is believed.
SHRINKAGE = 10.0
#: How much rarity counts beside what a word tells about tools.
RARITY = 0.02
#: How much a skill's own votes count beside the fit of its tools.
OWN_VOTES = 0.6
#: Relevance below which nothing is answered.
RELEVANT = 0.63
#: Rarity is measured as if a space had at least this many texts, so that a new space is not deaf.
BACKGROUND = 200
MOST_TERMS = 256
_LENGTH = 0.75
_K1, _B, _USUAL_LENGTH = 1.2, 0.75, 50


def query_terms(query: str) -> list[str]:
    """The distinct terms of a query, in order; marks with digits in them are somebody's values, not words."""
    found = dict.fromkeys(word for word in words(query[:20_000]) if not any(c.isdigit() for c in word))
    return list(found)[:MOST_TERMS]


def choose_terms(terms: Sequence[str], frequencies: Mapping[str, int], *, budget: int = POSTINGS) -> list[str]:
    """The terms worth searching for: those that occur, rarest first, as far as the budget of postings goes."""
    chosen: list[str] = []
    spent = 0
    for term in sorted(terms, key=lambda term: (frequencies.get(term, 0), term)):
        count = frequencies.get(term, 0)
        if count == 0:
            continue
        if chosen and spent + count > budget:
            break
        chosen.append(term)
        spent += count
    return chosen


def hits_wanted(terms: Sequence[str], texts: int) -> int:
    """How many texts to ask the index for.

    A few words say little each, so more texts must speak for them; in a big space the nearest are near enough.
    """
    return 150 if len(terms) <= 8 and texts <= 2_000 else 80


def rank(
    query: str,
    hits: Sequence[SearchHit],
    texts: int,
    frequencies: Mapping[str, int],
    *,
    limit: int = 5,
    relevant: float = RELEVANT,
) -> list[tuple[str, float]]:
    """Skills for the query, best first, with scores; empty where nothing is relevant.

    `hits` are what the index found for the query's terms, `texts` the number of texts in the space and
    `frequencies` in how many of them each term occurs.
    """
    terms = query_terms(query)
    documents = [(hit.skill_id, _counted(hit.text)) for hit in hits]
    if not terms or not documents:
        return []
    matches = [_matches(terms, document) for _, document in documents]
    total = max(texts, BACKGROUND)
    rarity = {term: _idf(total, frequencies.get(term, 0)) for term in terms}
    damped = {term: math.sqrt(rare) for term, rare in rarity.items()}
    nearness = sorted((sum(damped[t] * m for t, m in match.items()) for match in matches), reverse=True)
    if relevance(nearness, len(terms)) < relevant:
        return []
    labels = _labels(documents)
    weights = _weights(matches, [labels[skill_id] for skill_id, _ in documents], rarity)
    return _fit(documents, matches, weights, labels)[:limit]


def relevance(nearness: Sequence[float], terms: int) -> float:
    """How much of the query the nearest texts account for: their scores against the length of the query.

    The nearest text alone may be a chance hit, so the five nearest count more. Scores grow with the number of
    words in common, which grows slower than a query does: hence the power below 1.
    """
    if not nearness:
        return 0.0
    nearest = nearness[:5]
    return (nearest[0] + 3 * sum(nearest) / len(nearest)) / 4 / math.pow(max(3, terms), _LENGTH)


def _matches(terms: Sequence[str], document: _Counted) -> dict[str, float]:
    """How strongly each term occurs in the text: BM25's share of the occurrences."""
    counts = document.counts
    room = _K1 * (1 - _B + _B * document.length / _USUAL_LENGTH)
    return {term: counts[term] * (_K1 + 1) / (counts[term] + room) for term in terms if term in counts}


def _idf(total: int, frequency: int) -> float:
    return math.log(1 + (total - frequency + 0.5) / (frequency + 0.5)) if frequency <= total else 0.0


class _Counted:
    """The words of a text, and the tools it names."""

    __slots__ = ("counts", "length", "tools")

    def __init__(self, text: str) -> None:
        self.counts = Counter(words(text))
        self.length = sum(self.counts.values())
        self.tools = parts_of(text)[1]


@lru_cache(maxsize=16384)
def _counted(text: str) -> _Counted:
    return _Counted(text)


def _labels(documents: Sequence[tuple[str, _Counted]]) -> dict[str, tuple[str, ...]]:
    """The tools of each skill; one whose texts name none stands for itself."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for skill_id, document in documents:
        found[skill_id].update(dict.fromkeys(document.tools))
    return {skill_id: tuple(tools) or (f"skill {skill_id}",) for skill_id, tools in found.items()}


def _weights(
    matches: Sequence[Mapping[str, float]], labels: Sequence[Sequence[str]], rarity: Mapping[str, float]
) -> dict[str, float]:
    """What each term tells about tools: the sum over tools of the divergence of texts with it from all texts."""
    count = len(matches)
    base = Counter(tool for tools in labels for tool in tools)
    with_term: Counter[str] = Counter()
    together: dict[str, Counter[str]] = defaultdict(Counter)
    for match, tools in zip(matches, labels, strict=True):
        for term in match:
            with_term[term] += 1
            together[term].update(tools)
    known: dict[tuple[int, int, int], float] = {}
    weights = {}
    for term, seen in with_term.items():
        told = 0.0
        beside = together[term]
        for tool, everywhere in base.items():
            case = (beside.get(tool, 0), seen, everywhere)
            if case not in known:
                prior = everywhere / count
                known[case] = _divergence((case[0] + SHRINKAGE * prior) / (seen + SHRINKAGE), prior)
            told += known[case]
        weights[term] = told + RARITY * rarity[term]
    return weights


def _divergence(share: float, prior: float) -> float:
    """Kullback-Leibler divergence of two coins."""
    told = share * math.log(share / prior) if share > 0 else 0.0
    if share < 1 and prior < 1:
        told += (1 - share) * math.log((1 - share) / (1 - prior))
    return told


def _fit(
    documents: Sequence[tuple[str, _Counted]],
    matches: Sequence[Mapping[str, float]],
    weights: Mapping[str, float],
    labels: Mapping[str, Sequence[str]],
) -> list[tuple[str, float]]:
    """Expected F1 of each skill's tools with the tools of the nearest texts, and the votes for the skill itself."""
    scored = sorted(
        (
            (sum(weights[term] * strength for term, strength in match.items()), skill_id)
            for (skill_id, _), match in zip(documents, matches, strict=True)
        ),
        key=lambda item: (-item[0], item[1]),
    )[:NEIGHBOURS]
    total = sum(score**SHARPNESS for score, _ in scored) or 1.0
    own: dict[str, float] = defaultdict(float)
    needed: dict[str, float] = defaultdict(float)
    for score, skill_id in scored:
        share = score**SHARPNESS / total
        own[skill_id] += share
        for tool in labels[skill_id]:
            needed[tool] += share
    expected = sum(needed.values())
    ranked = []
    for skill_id, votes in own.items():
        tools = labels[skill_id]
        fit = 2 * sum(needed[tool] for tool in tools) / (len(tools) + expected)
        ranked.append((skill_id, fit + OWN_VOTES * votes))
    return sorted(ranked, key=lambda item: (-item[1], item[0]))
