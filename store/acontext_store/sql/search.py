"""What skills are found by: the words of their texts, and their vectors.

Words: which texts have a word, how often, and BM25 over exactly one space.

Vectors: the need for them is a row for each skill, written in the transaction of its cause, and the space's `embed`
lane wakes who answers it. A project that has no embedder has no such rows. Each skill that is written gets the space's
next stamp, so a reader who holds all vectors in memory asks only for what is newer.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import func, select

from ..embedding import SkillVectors, TextVector, Unembedded, VectorChanges, VectorOps
from ..errors import InvalidInput
from ..records import valid
from ..tokenizer import words
from ..types import ACTIVE, Claim, SearchHit, SearchText, SkillBody, SkillStatus, now
from . import jobs
from .database import Tx, check_limit, load
from .tables import embedders, search_frequencies, search_texts, search_words, skills, spaces, unembedded, vector_stamps
from .tables import vectors as vectors_table

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
        wanted = {(text.kind, valid(text.text)): None for text in texts}
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
            mark_unembedded(self._tx, self._space_id, skill_id)

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


def forget_space(tx: Tx, space_id: str, number: int) -> None:
    for table in (search_texts, search_words, search_frequencies):
        tx.drop(table, space_number=number)
    for table in (vectors_table, vector_stamps, unembedded):
        tx.drop(table, space_id=space_id)


def frequencies(tx: Tx, space_id: str, terms: Iterable[str], *, space: Any | None = None) -> tuple[int, dict[str, int]]:
    """`space` = its row, where it has been read in this transaction already."""
    space = space or tx.get(spaces, "space", space_id)
    wanted = {term: valid(term) for term in terms}
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
        values += [weight, _K1 * (1 - _B), _K1 * _B / average, tx.project_id, space.number, valid(term)]
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


# ------------------------------------------------------------------------------------------ vectors


_FLOAT = 4

_MARK = """
INSERT INTO unembedded (project_id, space_id, skill_id, mark)
SELECT :project_id, :space_id, :skill_id, 1
WHERE EXISTS (SELECT 1 FROM embedders WHERE project_id = :project_id)
    AND EXISTS (SELECT 1 FROM skills WHERE project_id = :project_id AND id = :skill_id AND status = 'active')
ON CONFLICT (project_id, space_id, skill_id) DO UPDATE SET mark = mark + 1
"""
# active skills that have no vectors of the kind that the embedder makes now
_MARK_OTHERS = """
INSERT INTO unembedded (project_id, space_id, skill_id, mark)
SELECT s.project_id, s.space_id, s.id, 1 FROM skills s
WHERE s.project_id = :project_id AND s.status = 'active' AND NOT EXISTS (
    SELECT 1 FROM vectors v
    WHERE v.project_id = s.project_id AND v.space_id = s.space_id AND v.skill_id = s.id
        AND v.model = :model AND v.dimensions = coalesce(:dimensions, v.dimensions)
)
ON CONFLICT (project_id, space_id, skill_id) DO UPDATE SET mark = mark + 1
"""
_NEXT_STAMP = """
INSERT INTO vector_stamps (project_id, space_id, stamp) VALUES (?, ?, 1)
ON CONFLICT (project_id, space_id) DO UPDATE SET stamp = stamp + 1 RETURNING stamp
"""
_CHANGED = """
SELECT skill_id, stamp, vector FROM vectors
WHERE project_id = ? AND space_id = ? AND stamp > ? AND model = ? AND dimensions = ?
ORDER BY stamp, number LIMIT ?
"""


def mark_unembedded(tx: Tx, space_id: str, skill_id: str) -> None:
    """The skill's words have changed, or it became active: its vectors are to be made anew."""
    values = {"project_id": tx.project_id, "space_id": space_id, "skill_id": skill_id}
    if tx.raw.execute(_MARK, values).rowcount > 0:
        jobs.at_the_latest(tx, "embed", space_id, time.time())


def forget_vectors(tx: Tx, space_id: str, skill_ids: Collection[str]) -> None:
    """They are not to be found by vectors any more."""
    for skill_id in skill_ids:
        tx.drop(unembedded, space_id=space_id, skill_id=skill_id)
        if tx.drop(vectors_table, space_id=space_id, skill_id=skill_id):
            _next_stamp(tx, space_id)


def embed_with(tx: Tx, model: str, dimensions: int | None) -> bool:
    if not model:
        raise InvalidInput("an embedder needs a name: vectors of different models cannot be compared")
    model = valid(model)
    before = tx.find(embedders)
    if before is not None and before.model == model:
        if dimensions is None or before.dimensions == dimensions:
            return False
        tx.change(embedders, {"dimensions": dimensions, "updated_at": now()})
    else:
        tx.drop(embedders)
        tx.add(embedders, [{"model": model, "dimensions": dimensions, "updated_at": now()}])
    _mark_others(tx, model, dimensions)
    return True


def _mark_others(tx: Tx, model: str, dimensions: int | None) -> None:
    tx.raw.execute(_MARK_OTHERS, {"project_id": tx.project_id, "model": model, "dimensions": dimensions})
    for row in tx.all(select(unembedded.c.space_id).where(tx.mine(unembedded)).distinct()):
        jobs.at_the_latest(tx, "embed", row.space_id, time.time())


def embedder(tx: Tx) -> tuple[str, int | None] | None:
    row = tx.find(embedders)
    return None if row is None else (row.model, row.dimensions)


def list_unembedded(tx: Tx, space_id: str, *, limit: int) -> list[Unembedded]:
    tx.get(spaces, "space", space_id)
    current = embedder(tx)
    query = (
        select(unembedded.c.mark, skills.c.id, skills.c.body)
        .where(
            tx.mine(unembedded, space_id=space_id),
            skills.c.project_id == unembedded.c.project_id,
            skills.c.id == unembedded.c.skill_id,
            skills.c.status.in_(list(ACTIVE)),
        )
        .order_by(unembedded.c.skill_id)
        .limit(check_limit(limit, most=None))
    )
    return [
        Unembedded(
            skill_id=row.id,
            mark=row.mark,
            body=SkillBody.model_validate(load(row.body)),
            requests=_requests_of(tx, row.id),
            vectors=() if current is None else _vectors_of(tx, space_id, row.id, *current),
        )
        for row in tx.all(query)
    ]


def _requests_of(tx: Tx, skill_id: str) -> tuple[str, ...]:
    query = (
        select(search_texts.c.text)
        .where(tx.mine(search_texts, skill_id=skill_id, kind="request"))
        .order_by(search_texts.c.number)
    )
    return tuple(row.text for row in tx.all(query))


def _vectors_of(tx: Tx, space_id: str, skill_id: str, model: str, dimensions: int | None) -> tuple[TextVector, ...]:
    mine = tx.mine(vectors_table, space_id=space_id, skill_id=skill_id, model=model)
    if dimensions is not None:
        mine = mine & (vectors_table.c.dimensions == dimensions)
    rows = tx.all(vectors_table.select().where(mine).order_by(vectors_table.c.number))
    return tuple(TextVector(hash=row.hash, vector=row.vector) for row in rows)


def apply_vectors(tx: Tx, claim: Claim, ops: VectorOps) -> None:
    """What an embedder made of a space's skills, and the release of its lane."""
    if claim.kind != "embed" or claim.key != ops.space_id:
        raise InvalidInput(f"a claim on {claim.kind} {claim.key!r} cannot change vectors of space {ops.space_id!r}")
    size = ops.dimensions * _FLOAT
    for skill in ops.skills:
        if any(len(one.vector) != size for one in skill.vectors):
            raise InvalidInput(f"a vector of skill {skill.skill_id!r} has not {ops.dimensions} dimensions")
    jobs.fence(tx, claim)
    current = embedder(tx)
    if current is not None and current[0] == valid(ops.model):
        for skill in ops.skills:
            _put_vectors(tx, ops, skill)
        if any(skill.vectors for skill in ops.skills):
            embed_with(tx, ops.model, ops.dimensions)
    jobs.finish(tx, claim)


def _put_vectors(tx: Tx, ops: VectorOps, skill: SkillVectors) -> None:
    head = tx.find(skills, id=skill.skill_id, space_id=ops.space_id)
    if head is None or head.status not in ACTIVE:
        forget_vectors(tx, ops.space_id, [skill.skill_id])
        return
    had = tx.drop(vectors_table, space_id=ops.space_id, skill_id=skill.skill_id)
    if had or skill.vectors:
        stamp = _next_stamp(tx, ops.space_id)
        tx.add(
            vectors_table,
            [
                {
                    "space_id": ops.space_id,
                    "skill_id": skill.skill_id,
                    "number": number,
                    "model": valid(ops.model),
                    "dimensions": ops.dimensions,
                    "hash": one.hash,
                    "stamp": stamp,
                    "vector": one.vector,
                }
                for number, one in enumerate(skill.vectors)
            ],
        )
    tx.drop(unembedded, space_id=ops.space_id, skill_id=skill.skill_id, mark=skill.mark)


def _next_stamp(tx: Tx, space_id: str) -> int:
    (stamp,) = tx.raw.execute(_NEXT_STAMP, (tx.project_id, space_id)).fetchone()
    return int(stamp)


def vector_changes(tx: Tx, space_id: str, *, model: str, dimensions: int, after: int, limit: int) -> VectorChanges:
    tx.get(spaces, "space", space_id)
    row = tx.find(vector_stamps, space_id=space_id)
    newest = 0 if row is None else int(row.stamp)
    if newest == after:
        return VectorChanges(after, None, [], False)
    model = valid(model)
    read = tx.raw.execute(_CHANGED, (tx.project_id, space_id, after, model, dimensions, limit + 1)).fetchall()
    more = len(read) > limit
    if more:  # all of a skill come together: what may be cut off is left for the next question
        whole = [one for one in read if one[1] != read[-1][1]]
        if not whole:  # one skill alone has more
            return vector_changes(tx, space_id, model=model, dimensions=dimensions, after=after, limit=2 * limit)
        read = whole
    stamp = int(read[-1][1]) if more else newest
    return VectorChanges(
        stamp,
        _count_vectors(tx, space_id, model, dimensions),
        [(skill_id, vector) for skill_id, _, vector in read],
        more,
    )


def _count_vectors(tx: Tx, space_id: str, model: str, dimensions: int) -> int:
    mine = tx.mine(vectors_table, space_id=space_id, model=model, dimensions=dimensions)
    return int(tx.sql.execute(select(func.count()).select_from(vectors_table).where(mine)).scalar_one())


def embedded_skills(tx: Tx, space_id: str, *, model: str, dimensions: int) -> set[str]:
    mine = tx.mine(vectors_table, space_id=space_id, model=valid(model), dimensions=dimensions)
    return {row.skill_id for row in tx.all(select(vectors_table.c.skill_id).where(mine).distinct())}
