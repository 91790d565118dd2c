"""Vectors of skills: which are to be made, and those that were.

The need is a row for each skill, written in the transaction of its cause, and the space's `embed` lane wakes who
answers it. A project that has no embedder has no such rows. Each skill that is written gets the space's next stamp,
so a reader who holds all vectors in memory asks only for what is newer.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select

from ..embedding import SkillVectors, TextVector, Unembedded, VectorChanges, VectorOps
from ..errors import InvalidInput
from ..types import ACTIVE, Claim, SkillBody, now
from . import jobs
from .database import Tx, check_limit, clean, load
from .tables import embedders, search_texts, skills, spaces, unembedded, vector_stamps
from .tables import vectors as vectors_table

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


# --------------------------------------------------------------------------------------------- the need


def changed(tx: Tx, space_id: str, skill_id: str) -> None:
    """The skill's words have changed, or it became active: its vectors are to be made anew."""
    values = {"project_id": tx.project_id, "space_id": space_id, "skill_id": skill_id}
    if tx.raw.execute(_MARK, values).rowcount > 0:
        jobs.at_the_latest(tx, "embed", space_id, time.time())


def forget(tx: Tx, space_id: str, skill_ids: Collection[str]) -> None:
    """They are not to be found by vectors any more."""
    for skill_id in skill_ids:
        tx.drop(unembedded, space_id=space_id, skill_id=skill_id)
        if tx.drop(vectors_table, space_id=space_id, skill_id=skill_id):
            _next_stamp(tx, space_id)


def embed_with(tx: Tx, model: str, dimensions: int | None) -> bool:
    if not model:
        raise InvalidInput("an embedder needs a name: vectors of different models cannot be compared")
    model = clean(model)
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
            requests=_requests(tx, row.id),
            vectors=() if current is None else _vectors_of(tx, space_id, row.id, *current),
        )
        for row in tx.all(query)
    ]


def _requests(tx: Tx, skill_id: str) -> tuple[str, ...]:
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


# ------------------------------------------------------------------------------------------ the vectors


def apply(tx: Tx, claim: Claim, ops: VectorOps) -> None:
    """What an embedder made of a space's skills, and the release of its lane."""
    if claim.kind != "embed" or claim.key != ops.space_id:
        raise InvalidInput(f"a claim on {claim.kind} {claim.key!r} cannot change vectors of space {ops.space_id!r}")
    size = ops.dimensions * _FLOAT
    for skill in ops.skills:
        if any(len(one.vector) != size for one in skill.vectors):
            raise InvalidInput(f"a vector of skill {skill.skill_id!r} has not {ops.dimensions} dimensions")
    jobs.fence(tx, claim)
    current = embedder(tx)
    if current is not None and current[0] == clean(ops.model):
        for skill in ops.skills:
            _put(tx, ops, skill)
        if any(skill.vectors for skill in ops.skills):
            embed_with(tx, ops.model, ops.dimensions)
    jobs.finish(tx, claim)


def _put(tx: Tx, ops: VectorOps, skill: SkillVectors) -> None:
    head = tx.find(skills, id=skill.skill_id, space_id=ops.space_id)
    if head is None or head.status not in ACTIVE:
        forget(tx, ops.space_id, [skill.skill_id])
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
                    "model": clean(ops.model),
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


def changes(tx: Tx, space_id: str, *, model: str, dimensions: int, after: int, limit: int) -> VectorChanges:
    tx.get(spaces, "space", space_id)
    row = tx.find(vector_stamps, space_id=space_id)
    newest = 0 if row is None else int(row.stamp)
    if newest == after:
        return VectorChanges(after, None, [], False)
    model = clean(model)
    read = tx.raw.execute(_CHANGED, (tx.project_id, space_id, after, model, dimensions, limit + 1)).fetchall()
    more = len(read) > limit
    if more:  # all of a skill come together: what may be cut off is left for the next question
        whole = [one for one in read if one[1] != read[-1][1]]
        if not whole:  # one skill alone has more
            return changes(tx, space_id, model=model, dimensions=dimensions, after=after, limit=2 * limit)
        read = whole
    stamp = int(read[-1][1]) if more else newest
    return VectorChanges(
        stamp, _total(tx, space_id, model, dimensions), [(skill_id, vector) for skill_id, _, vector in read], more
    )


def _total(tx: Tx, space_id: str, model: str, dimensions: int) -> int:
    mine = tx.mine(vectors_table, space_id=space_id, model=model, dimensions=dimensions)
    return int(tx.sql.execute(select(func.count()).select_from(vectors_table).where(mine)).scalar_one())


def embedded_skills(tx: Tx, space_id: str, *, model: str, dimensions: int) -> set[str]:
    mine = tx.mine(vectors_table, space_id=space_id, model=clean(model), dimensions=dimensions)
    return {row.skill_id for row in tx.all(select(vectors_table.c.skill_id).where(mine).distinct())}


def forget_space(tx: Tx, space_id: str) -> None:
    tables: tuple[Any, ...] = (vectors_table, vector_stamps, unembedded)
    for table in tables:
        tx.drop(table, space_id=space_id)
