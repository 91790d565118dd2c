"""What a learner decided about a space, and what of it waits for a person.

All of a learner's decision is written in one transaction with the release of its lane. A new skill that waits is a
skill with the status "pending_confirmation", which nothing finds. A new version of an active skill waits in a row of
its own (a proposal), so that the skill goes on being used as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from ..errors import Conflict, InvalidInput, NotFound
from ..similarity import reads_the_same, teaches_the_same
from ..types import (
    Block,
    Claim,
    Episode,
    Evidence,
    Json,
    MadeBy,
    Proposal,
    SearchText,
    Skill,
    SkillBody,
    SkillEdit,
    SkillOps,
    now,
    stable_id,
)
from . import jobs, skills, spaces, tasks
from .database import Tx, dump, load
from .search import Index
from .tables import blocks, episodes, evidence, proposals, rejections, tombstones
from .tables import skills as skills_table
from .tables import spaces as spaces_table
from .tables import tasks as tasks_table

log = logging.getLogger("acontext")

_BEHIND = skills.PROPOSED


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
        self._rejected = _Rejected(tx, ops.space_id)
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
            _hold(self._tx, self._ops.space_id, edit)
            self._waiting[edit.skill_id] = edit
            return 0
        if before is not None:
            skills.withdraw(self._tx, edit.skill_id)
        return _write(self._tx, self._index, self._ops.space_id, before, edit)

    def _keeps(self, before: Any) -> bool:
        """Whether an active skill stays until a person decides about the one that is to take its place."""
        if not self._asks or before.status != "active":
            return False
        if _supersede(self._tx, before.id, self._waiting):
            return True
        return not _is_covered(self._tx, self._ops.space_id, before.id)


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
        titled = {"title": edit.title, "updated_at": now()}
        tx.change(blocks, titled, space_id=space_id, id=edit.skill_id)


# ------------------------------------------------------------------------------------- what waits for a person


def list_proposals(tx: Tx, space_id: str) -> list[Proposal]:
    """Oldest first."""
    new = skills.list_skills(tx, space_id, statuses=["pending_confirmation"])
    found = [_of_new_skill(tx, skill) for skill in new] + _of_versions(tx, space_id)
    return sorted(found, key=lambda proposal: (proposal.created_at, proposal.id))


def proposed(tx: Tx, space_id: str) -> list[Skill]:
    """All skills of the space as they would be if all that waits was confirmed, but for their status."""
    waiting = {proposal.skill.id: proposal.skill for proposal in _of_versions(tx, space_id)}
    return [waiting.get(skill.id, skill) for skill in skills.list_skills(tx, space_id, statuses=None)]


def waiting_tasks(tx: Tx, session_id: str) -> set[str]:
    """Tasks of the session that stand behind something that waits, and behind nothing that is used."""
    query = (
        select(evidence.c.version, evidence.c.body, skills_table.c.status)
        .join(
            skills_table,
            (skills_table.c.project_id == evidence.c.project_id) & (skills_table.c.id == evidence.c.skill_id),
        )
        .where(tx.mine(evidence, session_id=session_id), evidence.c.version.in_((_BEHIND, 0)))
    )
    waiting, used = set(), set()
    for row in tx.all(query):
        task_id = load(row.body)["task_id"]
        if row.version == _BEHIND or row.status == "pending_confirmation":
            waiting.add(task_id)
        elif row.status == "active":
            used.add(task_id)
    return waiting - used


def _of_new_skill(tx: Tx, skill: Skill) -> Proposal:
    last = skills.skill_versions_of(tx, skill.id)[-1]
    return Proposal(
        id=_id(skill),
        skill=skill,
        reason=last.reason,
        supersedes=_superseded(tx, skill.id),
        created_at=skill.created_at,
        updated_at=skill.updated_at,
    )


def _of_versions(tx: Tx, space_id: str) -> list[Proposal]:
    rows = tx.all(proposals.select().where(tx.mine(proposals, space_id=space_id)))
    return [_of_version(tx, row) for row in rows]


def _of_version(tx: Tx, row: Any) -> Proposal:
    current, edit = skills.skill(tx, row.skill_id), _edit(row)
    skill = current.model_copy(
        update={
            "version": current.version + 1,
            "origin": edit.origin,
            "body": edit.body,
            "evidence": _evidence(tx, row.skill_id),
            "score": edit.score,
            "score_reasons": edit.score_reasons,
            "updated_at": row.updated_at,
        }
    )
    return Proposal(
        id=_id(skill),
        skill=skill,
        current=current,
        reason=edit.reason,
        supersedes=_superseded(tx, row.skill_id),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _id(skill: Skill) -> str:
    """It names the text that a person has seen: what has changed meanwhile cannot be confirmed by it."""
    body = skill.body
    said = body.model_copy(
        update={"tool_sops": tuple(step.model_copy(update={"support": 1.0}) for step in body.tool_sops)}
    )
    return stable_id("proposal", skill.id, said.hash)


def _evidence(tx: Tx, skill_id: str) -> tuple[Evidence, ...]:
    query = (
        select(evidence.c.body).where(tx.mine(evidence, skill_id=skill_id, version=_BEHIND)).order_by(evidence.c.number)
    )
    return tuple(Evidence.model_validate(load(row.body)) for row in tx.all(query))


def _superseded(tx: Tx, skill_id: str) -> tuple[str, ...]:
    query = (
        select(skills_table.c.id)
        .where(tx.mine(skills_table, superseded_by=skill_id, status="active"))
        .order_by(skills_table.c.id)
    )
    return tuple(row.id for row in tx.all(query))


def _made_by(tx: Tx, skill_id: str, row: Any | None) -> MadeBy | None:
    """Who worded what waits."""
    return skills.skill_versions_of(tx, skill_id)[-1].made_by if row is None else _edit(row).made_by


def _edit(row: Any) -> SkillEdit:
    return SkillEdit.model_validate(load(row.edit))


# ----------------------------------------------------------------------------- what a learner leaves to a person


def _hold(tx: Tx, space_id: str, edit: SkillEdit) -> None:
    """Keep it until a person decides, in place of what waited for that skill so far."""
    moment = now()
    before = tx.find(proposals, skill_id=edit.skill_id)
    text = dump(edit.model_copy(update={"evidence": ()}).model_dump())
    if before is None:
        row = {"skill_id": edit.skill_id, "space_id": space_id, "created_at": moment}
        tx.add(proposals, [{**row, "edit": text, "updated_at": moment}])
    else:
        same = reads_the_same(_edit(before).body, edit.body)
        updated = before.updated_at if same else moment
        tx.change(proposals, {"edit": text, "updated_at": updated}, skill_id=edit.skill_id)
    tx.drop(evidence, skill_id=edit.skill_id, version=_BEHIND)
    skills.put_evidence(tx, edit.skill_id, edit.evidence, version=_BEHIND)


def _supersede(tx: Tx, skill_id: str, by: Mapping[str, SkillEdit]) -> bool:
    """Have it retired when the one of these that has most of its evidence is confirmed. False where none has any."""
    behind = _successes(skills.skill(tx, skill_id).evidence)
    shared = {id: len(behind & _successes(edit.evidence)) for id, edit in by.items()}
    best = max(sorted(shared), key=lambda id: shared[id], default=None)
    if best is None or not shared[best]:
        return False
    tx.change(skills_table, {"superseded_by": best}, id=skill_id)
    return True


def _is_covered(tx: Tx, space_id: str, skill_id: str) -> bool:
    """Whether all that it was learned from stands behind other active skills."""
    left = _successes(skills.skill(tx, skill_id).evidence)
    for other in skills.list_skills(tx, space_id, statuses=["active"]):
        if other.id != skill_id:
            left -= _successes(other.evidence)
    return not left


def _successes(behind: Sequence[Evidence]) -> set[str]:
    return {one.task_id for one in behind if one.outcome == "success"}


class _Rejected:
    """What a person did not want in a space: it does not come back, whoever learns it again."""

    def __init__(self, tx: Tx, space_id: str) -> None:
        self._tx = tx
        self._space_id = space_id
        self._lessons: list[SkillBody] | None = None

    def has(self, before: Any | None, edit: SkillEdit) -> bool:
        if before is not None:
            rows = self._tx.all(rejections.select().where(self._tx.mine(rejections, skill_id=edit.skill_id)))
            return any(reads_the_same(SkillBody.model_validate(load(row.body)), edit.body) for row in rows)
        return any(teaches_the_same(lesson, edit.body) for lesson in self._all())

    def _all(self) -> list[SkillBody]:
        if self._lessons is None:
            gone = self._tx.mine(skills_table, space_id=self._space_id, status="retired", human=True)
            rows = self._tx.all(select(skills_table.c.body).where(gone))
            self._lessons = [SkillBody.model_validate(load(row.body)) for row in rows]
        return self._lessons


# ------------------------------------------------------------------------------------- what a person does


def confirm(tx: Tx, space_id: str, id: str, *, data: Json | None) -> Skill:
    """Use it from now on; with `data`, as a person has changed it."""
    proposal = _find(tx, space_id, id)
    skill = proposal.skill
    row = tx.find(proposals, skill_id=skill.id)
    body = skills.changed_body(skill.body, None, data or {})
    edited = not reads_the_same(body, skill.body)
    index = Index(tx, space_id)
    texts = index.requests(skill.id) if row is None else list(_edit(row).texts)
    said = "edited and confirmed by a person" if edited else "confirmed by a person"
    skills.write(
        tx,
        tx.get(skills_table, "skill", skill.id),
        skill_id=skill.id,
        space_id=space_id,
        status="active",
        origin="human" if edited else skill.origin,
        body=body if edited else skill.body,
        evidence=skill.evidence,
        score=skill.score,
        score_reasons=skill.score_reasons,
        reason=f"{proposal.reason}; {said}" if row is not None and proposal.reason else said,
        by_person=edited,
        made_by=None if edited or row is None else _edit(row).made_by,
    )
    index.put(skill.id, [skills.own_text(body), *texts])
    for replaced in proposal.supersedes:
        _retire(tx, replaced, skill.id)
    index.done()
    title = body.use_when if edited or row is None else _edit(row).title
    tx.change(blocks, {"title": title, "updated_at": now()}, space_id=space_id, id=skill.id)
    skills.withdraw(tx, skill.id)
    return skills.skill(tx, skill.id)


def reject(tx: Tx, space_id: str, id: str) -> Skill:
    """A new skill is retired for good; of a known one only these words are, and it is used as it is."""
    proposal = _find(tx, space_id, id)
    skill = proposal.skill
    if proposal.current is None:
        skills.set_status(tx, skill.id, "retired", reason="rejected by a person")
    elif tx.find(rejections, skill_id=skill.id, hash=skill.body.hash) is None:
        row = {"skill_id": skill.id, "hash": skill.body.hash, "body": dump(skill.body.model_dump())}
        tx.add(rejections, [{**row, "created_at": now()}])
    skills.withdraw(tx, skill.id)
    return skills.skill(tx, skill.id)


def _find(tx: Tx, space_id: str, id: str) -> Proposal:
    """By its own id, or by its skill's: whatever waits there now."""
    for proposal in list_proposals(tx, space_id):
        if id in (proposal.id, proposal.skill.id):
            return proposal
    raise NotFound("experience confirmation", id)


def _retire(tx: Tx, skill_id: str, by: str) -> None:
    row = tx.get(skills_table, "skill", skill_id)
    if not row.human:
        skills.retire(tx, row, reason=f"skill {by} took its place, confirmed by a person")


def rename_proposed(
    tx: Tx,
    renamed: Callable[[SkillBody], SkillBody],
    text: Callable[[str], str],
    skill_ids: Collection[str],
) -> None:
    """Tools have other names: also in what waits, and in what was rejected."""
    for skill_id in skill_ids:
        row = tx.find(proposals, skill_id=skill_id)
        if row is not None:
            edit = _edit(row)
            texts = tuple(SearchText(kind=one.kind, text=text(one.text)) for one in edit.texts)
            after = edit.model_copy(update={"body": renamed(edit.body), "texts": texts})
            if after != edit:
                tx.change(proposals, {"edit": dump(after.model_dump())}, skill_id=skill_id)
        for old in tx.all(rejections.select().where(tx.mine(rejections, skill_id=skill_id))):
            body = renamed(SkillBody.model_validate(load(old.body)))
            tx.drop(rejections, skill_id=skill_id, hash=old.hash)
            if tx.find(rejections, skill_id=skill_id, hash=body.hash) is None:
                kept = {"skill_id": skill_id, "hash": body.hash, "created_at": old.created_at}
                tx.add(rejections, [{**kept, "body": dump(body.model_dump())}])


# ---------------------------------------------------------------------------------------------- episodes


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


# what a session taught stands until it has been observed anew: else its skills would go, and come again
_WAITING = """
SELECT 1 FROM withdrawals w
JOIN sessions s ON s.project_id = w.project_id AND s.id = w.session_id
JOIN lanes l ON l.project_id = w.project_id AND l.kind = 'observe' AND l.key = w.session_id
WHERE w.project_id = ? AND w.task_id = ? AND s.observed_seq = 0
    AND (l.ready_at IS NOT NULL OR l.dead_at IS NOT NULL) LIMIT 1
"""


def with_episodes(tx: Tx, task_ids: Iterable[str]) -> set[str]:
    def one(query: str, task_id: str) -> bool:
        return tx.raw.execute(query, (tx.project_id, task_id)).fetchone() is not None

    return {id for id in task_ids if one(_EPISODE, id) or one(_WAITING, id)}
