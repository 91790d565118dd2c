"""What a learner decided about a space, written in one transaction with the release of its lane."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from ..errors import Conflict, InvalidInput
from ..similarity import reads_the_same
from ..types import Block, Claim, Episode, Injection, SkillBody, SkillEdit, SkillOps, now
from . import jobs, proposals, skills, spaces, tasks
from .database import Tx, check_limit, clean, dump, load
from .search import Index
from .tables import blocks, episodes, injections, tombstones
from .tables import skills as skills_table
from .tables import spaces as spaces_table
from .tables import tasks as tasks_table

log = logging.getLogger("acontext")


def apply(tx: Tx, claim: Claim, ops: SkillOps, *, confirm: bool) -> int:
    if claim.kind != "learn" or claim.key != ops.space_id:
        raise InvalidInput(f"a claim on {claim.kind} {claim.key!r} cannot change space {ops.space_id!r}")
    jobs.fence(tx, claim)
    for episode in ops.episodes:
        _keep(tx, ops.space_id, episode)
    skills.take_back(tx, ops.space_id, frozenset(ops.gone))
    written = _Curator(tx, ops, asks=spaces.asks(tx, ops.space_id, default=confirm)).apply()
    tasks.digest(tx, claim, ops.digested)
    jobs.finish(tx, claim, note=ops.note or None)
    return written


class _Curator:
    """Edits of a space's skills, as far as automation may make them. In a space that `asks`, a person has a say."""

    def __init__(self, tx: Tx, ops: SkillOps, *, asks: bool) -> None:
        self._tx = tx
        self._ops = ops
        self._asks = asks
        self._index = Index(tx, ops.space_id)
        self._rejected = proposals.Rejected(tx, ops.space_id)
        #: Edits of this lesson that wait for a person.
        self._waiting: dict[str, SkillEdit] = {}

    def apply(self) -> int:
        """The number of versions written."""
        refused = written = 0
        for edit in self._ops.edits:
            before = _head(self._tx, self._ops.space_id, edit.skill_id)
            if _is_a_persons(self._tx, before, edit.skill_id) or self._rejected.has(before, edit):
                refused += 1
            else:
                written += self._edit(before, edit)
        for skill_id in self._ops.retired:
            before = _head(self._tx, self._ops.space_id, skill_id)
            if _is_a_persons(self._tx, before, skill_id):
                refused += 1
            elif before is not None and before.status != "retired" and not self._keeps(before):
                skills.retire(self._tx, before, reason="merged, or nothing stands behind it any more")
                written += 1
        self._index.done()
        if refused:
            log.info("acontext: %d edits were left out: a person has decided otherwise about these skills", refused)
        return written

    def _edit(self, before: Any | None, edit: SkillEdit) -> int:
        """The number of versions written: 1, or 0 where it says what the newest version says, or waits."""
        if before is not None:
            self._tx.change(skills_table, {"superseded_by": None}, superseded_by=edit.skill_id)
        if edit.status == "active" and (before is None or before.status != "active"):
            if self._asks or (before is not None and before.status == "pending_confirmation"):
                edit = edit.model_copy(update={"status": "pending_confirmation"})
                self._waiting[edit.skill_id] = edit
        elif edit.status == "active" and self._asks and not reads_the_same(_body(before), edit.body):
            proposals.hold(self._tx, self._ops.space_id, edit)
            self._waiting[edit.skill_id] = edit
            return 0
        if before is not None:
            skills.withdraw(self._tx, edit.skill_id)
        return _write(self._tx, self._index, self._ops.space_id, before, edit)

    def _keeps(self, before: Any) -> bool:
        """Whether an active skill stays until a person decides about the one that is to take its place."""
        if not self._asks or before.status != "active":
            return False
        if proposals.supersede(self._tx, before.id, self._waiting):
            return True
        return not proposals.is_covered(self._tx, self._ops.space_id, before.id)


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


def _body(before: Any) -> SkillBody:
    return SkillBody.model_validate(load(before.body))


def _is_a_persons(tx: Tx, before: Any | None, skill_id: str) -> bool:
    """Whether a person wrote, changed, judged or deleted it."""
    if before is not None:
        return bool(before.human)
    return tx.find(tombstones, skill_id=skill_id) is not None


def _write(tx: Tx, index: Index, space_id: str, before: Any | None, edit: SkillEdit) -> int:
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


_EPISODE = "SELECT 1 FROM episodes WHERE project_id = ? AND task_id = ?"


def with_episodes(tx: Tx, task_ids: Iterable[str]) -> set[str]:
    return {id for id in task_ids if tx.raw.execute(_EPISODE, (tx.project_id, id)).fetchone() is not None}


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
