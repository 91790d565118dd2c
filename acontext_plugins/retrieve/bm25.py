"""A search index in memory, with the two methods of the store that retrieval needs."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from acontext_store.tokenizer import words
from acontext_store.types import SearchHit, SearchText

from .ranking import choose_terms, hits_wanted

_K1, _B = 1.2, 0.75


class MemoryIndex:
    """BM25 (Robertson and Zaragoza 2009, k1 1.2, b 0.75, as SQLite's FTS5 has it) over the texts of spaces."""

    def __init__(self) -> None:
        self._texts: dict[str, list[tuple[str, SearchText, int]]] = defaultdict(list)
        self._postings: dict[str, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))

    def add(self, space_id: str, skill_id: str, texts: Iterable[SearchText]) -> None:
        """Make a skill findable under `texts`."""
        for text in texts:
            counted = Counter(words(text.text))
            place = len(self._texts[space_id])
            self._texts[space_id].append((skill_id, text, sum(counted.values())))
            for word, count in counted.items():
                self._postings[space_id][word].append((place, count))

    def frequencies(self, space_id: str, terms: Iterable[str]) -> tuple[int, dict[str, int]]:
        """How many texts there are, and in how many of them each term occurs."""
        postings = self._postings[space_id]
        return len(self._texts[space_id]), {term: len(postings.get(term, ())) for term in terms}

    def search(self, space_id: str, terms: Sequence[str], *, limit: int = 50) -> list[SearchHit]:
        """Texts with any of the terms, best first."""
        texts = self._texts[space_id]
        total = len(texts)
        average = sum(length for _, _, length in texts) / max(1, total)
        scores: dict[int, float] = defaultdict(float)
        for term in dict.fromkeys(terms):
            postings = self._postings[space_id].get(term, ())
            idf = math.log(1 + (total - len(postings) + 0.5) / (len(postings) + 0.5))
            for place, count in postings:
                length = texts[place][2]
                scores[place] += idf * count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * length / average))
        best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]
        return [
            SearchHit(skill_id=texts[place][0], kind=texts[place][1].kind, text=texts[place][1].text, score=score)
            for place, score in best
        ]

    def gather(self, space_id: str, terms: Sequence[str]) -> tuple[list[SearchHit], int, dict[str, int]]:
        """What `rank` wants to know about a query of these terms."""
        total, frequencies = self.frequencies(space_id, terms)
        chosen = choose_terms(terms, frequencies)
        return self.search(space_id, chosen, limit=hits_wanted(chosen, total)), total, frequencies
