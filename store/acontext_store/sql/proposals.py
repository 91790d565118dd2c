"""Proposals: what was learned and waits for a person.

A new skill that waits is a skill with the status "pending_confirmation", which nothing finds. A new version of an
active skill waits in a row of its own, so that the skill goes on being used as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from ..errors import NotFound
from ..similarity import reads_the_same, teaches_the_same
from ..types import Evidence, Json, MadeBy, Proposal, SearchText, Skill, SkillBody, SkillEdit, now, stable_id
from . import skills
from .database import Tx, clean, dump, load
from .search import Index
from .tables import blocks, evidence, proposals, rejections
from .tables import skills as skills_table

_BEHIND = skills.PROPOSED


# ---------------------------------------------------------------------------------------------- reading


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


# ------------------------------------------------------------------------------------ what a learner does


def hold(tx: Tx, space_id: str, edit: SkillEdit) -> None:
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


def supersede(tx: Tx, skill_id: str, by: Mapping[str, SkillEdit]) -> bool:
    """Have it retired when the one of these that has most of its evidence is confirmed. False where none has any."""
    behind = _successes(skills.skill(tx, skill_id).evidence)
    shared = {id: len(behind & _successes(edit.evidence)) for id, edit in by.items()}
    best = max(sorted(shared), key=lambda id: shared[id], default=None)
    if best is None or not shared[best]:
        return False
    tx.change(skills_table, {"superseded_by": best}, id=skill_id)
    return True


def is_covered(tx: Tx, space_id: str, skill_id: str) -> bool:
    """Whether all that it was learned from stands behind other active skills."""
    left = _successes(skills.skill(tx, skill_id).evidence)
    for other in skills.list_skills(tx, space_id, statuses=["active"]):
        if other.id != skill_id:
            left -= _successes(other.evidence)
    return not left


def _successes(behind: Sequence[Evidence]) -> set[str]:
    return {one.task_id for one in behind if one.outcome == "success"}


class Rejected:
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
    tx.change(blocks, {"title": clean(title), "updated_at": now()}, space_id=space_id, id=skill.id)
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


def rename(
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
