"""What a learner decided about a space, written in one transaction with the release of its lane."""

from __future__ import annotations

import logging
from typing import Any

from ..errors import Conflict, InvalidInput
from ..types import Block, Claim, Episode, Injection, SkillBody, SkillEdit, SkillOps, now
from . import lanes, skills, spaces, tasks
from .connect import clean, dump, load
from .paging import check_limit
from .search import Index
from .tables import blocks, episodes, injections, tombstones
from .tables import skills as skills_table
from .tables import spaces as spaces_table
from .tables import tasks as tasks_table
from .tx import Tx

log = logging.getLogger("acontext")


def apply(tx: Tx, claim: Claim, ops: SkillOps) -> int:
    if claim.kind != "learn" or claim.key != ops.space_id:
        raise InvalidInput(f"a claim on {claim.kind} {claim.key!r} cannot change space {ops.space_id!r}")
    lanes.fence(tx, claim)
    for episode in ops.episodes:
        _keep(tx, ops.space_id, episode)
    index = Index(tx, ops.space_id)
    refused = written = 0
    for edit in ops.edits:
        before = _head(tx, ops.space_id, edit.skill_id)
        if _is_a_persons(tx, before, edit.skill_id):
            refused += 1
        else:
            written += _edit(tx, index, ops.space_id, before, edit)
    for skill_id in ops.retired:
        before = _head(tx, ops.space_id, skill_id)
        if _is_a_persons(tx, before, skill_id):
            refused += 1
        elif before is not None and before.status != "retired":
            _retire(tx, before)
            written += 1
    index.done()
    if refused:
        log.info("acontext: %d edits of skills that belong to a person were left out", refused)
    tasks.digest(tx, claim, ops.digested)
    lanes.finish(tx, claim, note=ops.note or None)
    return written


def _keep(tx: Tx, space_id: str, episode: Episode) -> None:
    if episode.space_id != space_id:
        raise InvalidInput(f"episode {episode.task_id!r} is of space {episode.space_id!r}, not of {space_id!r}")
    if tx.find(tasks_table, id=episode.task_id, session_id=episode.session_id) is None:
        return  # deleted meanwhile, and what it taught with it
    tx.drop(episodes, task_id=episode.task_id)
    tx.add(
        episodes,
        [
            {
                "task_id": episode.task_id,
                "session_id": episode.session_id,
                "space_id": space_id,
                "body": dump(episode.body),
                "created_at": episode.created_at,
            }
        ],
    )


def _head(tx: Tx, space_id: str, skill_id: str) -> Any | None:
    before = tx.find(skills_table, id=skill_id)
    if before is not None and before.space_id != space_id:
        raise Conflict(f"skill {skill_id!r} belongs to space {before.space_id!r}, not to {space_id!r}")
    return before


def _is_a_persons(tx: Tx, before: Any | None, skill_id: str) -> bool:
    """Whether a person wrote, changed, judged or deleted it."""
    if before is not None:
        return bool(before.human)
    return tx.find(tombstones, skill_id=skill_id) is not None


def _edit(tx: Tx, index: Index, space_id: str, before: Any | None, edit: SkillEdit) -> int:
    """The number of versions written: 1, or 0 where it says what the newest version says."""
    same = before is not None and (before.hash, before.status) == (edit.body.hash, edit.status)
    if same:
        _judge(tx, edit)
    else:
        skills.write(
            tx,
            before,
            skill_id=edit.skill_id,
            space_id=space_id,
            status=edit.status,
            origin=edit.origin,
            body=edit.body,
            evidence=edit.evidence,
            score=edit.score,
            score_reasons=edit.score_reasons,
            reason=edit.reason,
            by_person=edit.origin == "human",
            made_by=edit.made_by,
        )
        _place(tx, space_id, before, edit)
    index.put(edit.skill_id, [skills.own_text(edit.body), *edit.texts])
    return 0 if same else 1


def _judge(tx: Tx, edit: SkillEdit) -> None:
    """The same skill, with what stands behind it now and the newest judgement of it."""
    skills.put_evidence(tx, edit.skill_id, edit.evidence)
    judged = {"score": edit.score, "score_reasons": dump(list(edit.score_reasons))}
    tx.change(skills_table, judged, id=edit.skill_id)


def _place(tx: Tx, space_id: str, before: Any | None, edit: SkillEdit) -> None:
    """A new skill gets a block at the end of its page; a known one stays where it is, with its new title."""
    if before is None:
        page_id = spaces.page_for(tx, space_id, edit.page)
        spaces.insert(tx, Block(id=edit.skill_id, space_id=space_id, type="sop", title=edit.title, parent_id=page_id))
    else:
        titled = {"title": clean(edit.title), "updated_at": now()}
        tx.change(blocks, titled, space_id=space_id, id=edit.skill_id)


def _retire(tx: Tx, before: Any) -> None:
    current = skills.skill(tx, before.id)
    skills.write(
        tx,
        before,
        skill_id=before.id,
        space_id=before.space_id,
        status="retired",
        origin=current.origin,
        body=SkillBody.model_validate(load(before.body)),
        evidence=current.evidence,
        score=current.score,
        score_reasons=current.score_reasons,
        reason="merged, or nothing stands behind it any more",
        by_person=False,
    )


# ------------------------------------------------------------------------------- episodes and injections


def list_episodes(tx: Tx, space_id: str) -> list[Episode]:
    tx.get(spaces_table, "space", space_id)
    query = (
        episodes.select()
        .where(tx.mine(episodes, space_id=space_id))
        .order_by(episodes.c.created_at, episodes.c.task_id)
    )
    return [
        Episode.model_construct(
            task_id=row.task_id,
            session_id=row.session_id,
            space_id=row.space_id,
            body=load(row.body),
            created_at=row.created_at,
        )
        for row in tx.all(query)
    ]


def log_injection(tx: Tx, injection: Injection) -> None:
    tx.get(spaces_table, "space", injection.space_id)
    body = injection.model_dump(exclude={"id", "space_id", "session_id", "run_id", "created_at"})
    if tx.find(injections, id=injection.id) is not None:
        return
    tx.add(
        injections,
        [
            {
                "id": injection.id,
                "space_id": injection.space_id,
                "session_id": injection.session_id,
                "run_id": None if injection.run_id is None else clean(injection.run_id),
                "body": dump(body),
                "created_at": injection.created_at,
            }
        ],
    )


def list_injections(tx: Tx, space_id: str, *, limit: int) -> list[Injection]:
    tx.get(spaces_table, "space", space_id)
    query = (
        injections.select()
        .where(tx.mine(injections, space_id=space_id))
        .order_by(injections.c.created_at.desc(), injections.c.id.desc())
        .limit(check_limit(limit, most=None))
    )
    return [
        Injection(
            id=row.id,
            space_id=row.space_id,
            session_id=row.session_id,
            run_id=row.run_id,
            created_at=row.created_at,
            **load(row.body),
        )
        for row in tx.all(query)
    ]
