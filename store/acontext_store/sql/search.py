"""The search index of a space: which texts have a word, how often, and BM25 over exactly that space."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from ..tokenizer import words
from ..types import SearchHit, SearchText, SkillStatus
from . import vectors
from .database import Tx, clean
from .tables import search_frequencies, search_texts, search_words, spaces

_K1, _B = 1.2, 0.75
_ACTIVE: tuple[SkillStatus, ...] = ("active",)
#: Words of one query; more would not make it more precise.
_MOST_WORDS = 100

_TEXTS = "SELECT number, kind, text, words FROM search_texts WHERE project_id = ? AND skill_id = ? ORDER BY number"
_ADD_TEXT = (
    "INSERT INTO search_texts (project_id, space_number, number, skill_id, kind, text, words) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_ADD_WORD = (
    "INSERT INTO search_words (project_id, space_number, word, text_number, occurrences, text_length) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
_DROP_WORD = "DELETE FROM search_words WHERE project_id = ? AND space_number = ? AND word = ? AND text_number = ?"
_COUNT_WORD = """
INSERT INTO search_frequencies (project_id, space_number, word, texts) VALUES (?, ?, ?, ?)
ON CONFLICT (project_id, space_number, word) DO UPDATE SET texts = texts + excluded.texts
"""
_FORGET_WORDS = "DELETE FROM search_frequencies WHERE project_id = ? AND space_number = ? AND word = ? AND texts <= 0"
_COUNT_TEXTS = """
UPDATE spaces SET text_count = text_count + ?, word_count = word_count + ?, last_text = ?
WHERE project_id = ? AND id = ?
"""
_POINTS = """
SELECT text_number, ? * occurrences / (occurrences + ? + ? * text_length) AS points FROM search_words
WHERE project_id = ? AND space_number = ? AND word = ?
"""


_FREQUENCIES = "SELECT word, texts FROM search_frequencies WHERE project_id = ? AND space_number = ? AND word IN "
_FOUND = """
SELECT t.number, t.skill_id, t.kind, t.text FROM search_texts t
JOIN skills s ON s.project_id = t.project_id AND s.id = t.skill_id
WHERE t.project_id = ? AND t.space_number = ? AND t.number IN """


class Index:
    """Changes of one space's texts; the counts of words are written at the end, by `done`."""

    def __init__(self, tx: Tx, space_id: str) -> None:
        self._tx = tx
        self._space_id = space_id
        space = tx.get(spaces, "space", space_id)
        self._number: int = space.number
        self._last: int = space.last_text
        self._texts = 0
        self._words = 0
        self._frequencies: Counter[str] = Counter()

    def put(self, skill_id: str, texts: Iterable[SearchText]) -> None:
        """These are the texts of the skill now."""
        wanted = {(text.kind, clean(text.text)): None for text in texts}
        changed = False
        for number, kind, text, found in self._tx.raw.execute(_TEXTS, (self._tx.project_id, skill_id)).fetchall():
            if (kind, text) in wanted:
                del wanted[kind, text]
            else:
                self._drop(number, found.split())
                changed = True
        for kind, text in wanted:
            self._add(skill_id, kind, text)
        if changed or wanted:
            vectors.changed(self._tx, self._space_id, skill_id)

    def requests(self, skill_id: str) -> list[SearchText]:
        """The requests by which the skill is found now."""
        query = search_texts.select().where(self._tx.mine(search_texts, skill_id=skill_id, kind="request"))
        return [SearchText(kind="request", text=row.text) for row in self._tx.all(query)]

    def _add(self, skill_id: str, kind: str, text: str) -> None:
        found = words(text)
        self._last += 1
        execute, project_id = self._tx.raw.execute, self._tx.project_id
        execute(_ADD_TEXT, (project_id, self._number, self._last, skill_id, kind, text, " ".join(found)))
        occurrences = Counter(found)
        self._tx.raw.executemany(
            _ADD_WORD,
            [(project_id, self._number, word, self._last, times, len(found)) for word, times in occurrences.items()],
        )
        self._frequencies.update(occurrences.keys())
        self._texts += 1
        self._words += len(found)

    def _drop(self, number: int, found: Sequence[str]) -> None:
        project_id = self._tx.project_id
        self._tx.drop(search_texts, space_number=self._number, number=number)
        distinct = set(found)
        self._tx.raw.executemany(_DROP_WORD, [(project_id, self._number, word, number) for word in distinct])
        self._frequencies.subtract(distinct)
        self._texts -= 1
        self._words -= len(found)

    def done(self) -> None:
        project_id = self._tx.project_id
        changes = {word: change for word, change in self._frequencies.items() if change}
        self._tx.raw.executemany(
            _COUNT_WORD, [(project_id, self._number, word, change) for word, change in changes.items()]
        )
        self._tx.raw.executemany(
            _FORGET_WORDS, [(project_id, self._number, word) for word, change in changes.items() if change < 0]
        )
        self._tx.raw.execute(_COUNT_TEXTS, (self._texts, self._words, self._last, project_id, self._space_id))


def forget_space(tx: Tx, number: int) -> None:
    for table in (search_texts, search_words, search_frequencies):
        tx.drop(table, space_number=number)


def frequencies(tx: Tx, space_id: str, terms: Iterable[str], *, space: Any | None = None) -> tuple[int, dict[str, int]]:
    """`space` = its row, where it has been read in this transaction already."""
    space = space or tx.get(spaces, "space", space_id)
    wanted = {term: clean(term) for term in terms}
    found: dict[str, int] = {}
    distinct = list(set(wanted.values()))
    for start in range(0, len(distinct), 500):
        some = distinct[start : start + 500]
        found.update(tx.raw.execute(_FREQUENCIES + _marks(some), (tx.project_id, space.number, *some)))
    return space.text_count, {term: found.get(word, 0) for term, word in wanted.items()}


def search(
    tx: Tx,
    space_id: str,
    terms: Sequence[str],
    *,
    statuses: Collection[SkillStatus] | None,
    limit: int,
    space: Any | None = None,
    counts: Mapping[str, int] | None = None,
) -> list[SearchHit]:
    """`space` and `counts` = its row and its frequencies, where they have been read in this transaction already."""
    wanted = _ACTIVE if statuses is None else statuses
    space = space or tx.get(spaces, "space", space_id)
    total = space.text_count
    if counts is None:
        _, counts = frequencies(tx, space_id, dict.fromkeys(terms), space=space)
    rare = sorted((counts[term], term) for term in dict.fromkeys(terms) if counts[term])[:_MOST_WORDS]
    if not rare or limit < 1 or not wanted:
        return []
    average = max(space.word_count / max(space.text_count, 1), 1.0)
    parts, values = [], list[object]()
    for count, term in rare:
        weight = math.log(1 + (total - count + 0.5) / (count + 0.5)) * (_K1 + 1)
        values += [weight, _K1 * (1 - _B), _K1 * _B / average, tx.project_id, space.number, clean(term)]
        parts.append(_POINTS)
    ranked = tx.raw.execute(
        "SELECT text_number, sum(points) FROM (" + " UNION ALL ".join(parts) + ") "
        "GROUP BY text_number ORDER BY 2 DESC, 1",
        values,
    )
    hits: list[SearchHit] = []
    try:
        # what has another status is passed over, so take from the ranking until there are enough
        while len(hits) < limit and (chunk := list(islice(ranked, max(limit, 50)))):
            hits += islice(_hits(tx, space.number, chunk, wanted), limit - len(hits))
    finally:
        ranked.close()
    return hits


def _hits(
    tx: Tx, space_number: int, ranked: list[tuple[int, float]], statuses: Collection[SkillStatus]
) -> Iterator[SearchHit]:
    numbers = [number for number, _ in ranked]
    query = _FOUND + _marks(numbers) + " AND s.status IN " + _marks(statuses)
    rows = {row[0]: row for row in tx.raw.execute(query, (tx.project_id, space_number, *numbers, *statuses))}
    for number, score in ranked:
        if number in rows:
            _, skill_id, kind, text = rows[number]
            yield SearchHit.model_construct(skill_id=skill_id, kind=kind, text=text, score=score)


def _marks(values: Collection[object]) -> str:
    return f"({','.join('?' * len(values))})"
