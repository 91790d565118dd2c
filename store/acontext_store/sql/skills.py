"""Skills and their versions: reading them, and what people do to them. What a learner does stands in `learned`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Row, select

from ..errors import InvalidInput
from ..types import (
    ACTIVE,
    Block,
    Evidence,
    Json,
    MadeBy,
    Origin,
    SearchText,
    Skill,
    SkillBody,
    SkillStatus,
    SkillVersion,
    now,
)
from . import search
from .database import Tx, dump, load
from .search import Index
from .tables import evidence, proposals, skill_versions, skills, spaces, tasks, tombstones

#: The version under which the evidence of a proposal stands.
PROPOSED = -1

_MANY = 500
#: Skills that nobody meets who looks through the tree.
_UNLISTED: tuple[SkillStatus, ...] = ("pending_confirmation", "retired")
_KNOWN_PROPS = ("use_when", "preferences", "tool_sops", "variables", "pitfalls", "trace")


# ------------------------------------------------------------------------------------------------ reading


def list_skills(tx: Tx, space_id: str, *, statuses: Collection[SkillStatus] | None) -> list[Skill]:
    tx.get(spaces, "space", space_id)
    query = skills.select().where(tx.mine(skills, space_id=space_id))
    if statuses is not None:
        query = query.where(skills.c.status.in_(list(statuses)))
    rows = tx.all(query.order_by(skills.c.created_at, skills.c.id))
    found = _evidence_of(tx, [row.id for row in rows])
    return [_skill(row, found.get(row.id, ())) for row in rows]


def skill(tx: Tx, skill_id: str) -> Skill:
    row = tx.get(skills, "skill", skill_id)
    return _skill(row, _evidence_of(tx, [skill_id]).get(skill_id, ()))


def skills_by_id(tx: Tx, skill_ids: Sequence[str], *, evidence: bool) -> list[Skill]:
    rows = [row for id in dict.fromkeys(skill_ids) if (row := tx.find(skills, id=id)) is not None]
    found = _evidence_of(tx, [row.id for row in rows]) if evidence else {}
    by_id = {row.id: _skill(row, found.get(row.id, ())) for row in rows}
    return [by_id[id] for id in skill_ids if id in by_id]


def skill_versions_of(tx: Tx, skill_id: str) -> list[SkillVersion]:
    tx.get(skills, "skill", skill_id)
    rows = tx.all(
        skill_versions.select().where(tx.mine(skill_versions, skill_id=skill_id)).order_by(skill_versions.c.version)
    )
    behind: dict[int, list[Evidence]] = {}
    for row in tx.all(
        evidence.select()
        .where(tx.mine(evidence, skill_id=skill_id), evidence.c.version > 0)
        .order_by(evidence.c.version, evidence.c.number)
    ):
        behind.setdefault(row.version, []).append(_evidence(row.body))
    return [_version(row, tuple(behind.get(row.version, ()))) for row in rows]


def bodies(tx: Tx, skill_ids: Sequence[str], *, listed: bool = False) -> dict[str, Json]:
    """What the blocks of these skills have as `props`; `listed` = only of those that the tree shows."""
    found: dict[str, Json] = {}
    for start in range(0, len(skill_ids), _MANY):
        query = select(skills.c.id, skills.c.body).where(
            tx.mine(skills), skills.c.id.in_(skill_ids[start : start + _MANY])
        )
        if listed:
            query = query.where(skills.c.status.not_in(_UNLISTED))
        found.update({row.id: props_of(SkillBody.model_validate(load(row.body))) for row in tx.all(query)})
    return found


def props_of(body: SkillBody) -> Json:
    """A skill as the wire has it; what only we know is added where there is any."""
    props: Json = {
        "use_when": body.use_when,
        "preferences": body.preferences,
        "tool_sops": [
            {"order": order, "tool_name": step.tool_name, "action": step.action}
            for order, step in enumerate(body.tool_sops)
        ],
    }
    if body.variables:
        props["variables"] = dict(body.variables)
    if body.pitfalls:
        props["pitfalls"] = list(body.pitfalls)
    if body.trace:
        props["trace"] = list(body.trace)
    return props


def _evidence_of(tx: Tx, skill_ids: Sequence[str]) -> dict[str, tuple[Evidence, ...]]:
    found: dict[str, list[Evidence]] = {}
    for start in range(0, len(skill_ids), _MANY):
        query = (
            select(evidence.c.skill_id, evidence.c.body)
            .where(tx.mine(evidence, version=0), evidence.c.skill_id.in_(skill_ids[start : start + _MANY]))
            .order_by(evidence.c.skill_id, evidence.c.number)
        )
        for row in tx.all(query):
            found.setdefault(row.skill_id, []).append(_evidence(row.body))
    return {skill_id: tuple(items) for skill_id, items in found.items()}


def _evidence(body: str) -> Evidence:
    return Evidence.model_validate(load(body))


def _skill(row: Any, behind: Sequence[Evidence]) -> Skill:
    return Skill.model_construct(
        id=row.id,
        project_id=row.project_id,
        space_id=row.space_id,
        block_id=row.id,
        status=row.status,
        origin=row.origin,
        version=row.version,
        body=SkillBody.model_validate(load(row.body)),
        evidence=tuple(behind),
        score=row.score,
        score_reasons=tuple(load(row.score_reasons)),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _version(row: Row[Any], behind: tuple[Evidence, ...]) -> SkillVersion:
    return SkillVersion.model_construct(
        skill_id=row.skill_id,
        version=row.version,
        hash=row.hash,
        parents=tuple(load(row.parents)),
        status=row.status,
        origin=row.origin,
        body=SkillBody.model_validate(load(row.body)),
        evidence=behind,
        score=row.score,
        score_reasons=tuple(load(row.score_reasons)),
        reason=load(row.reason),
        made_by=_made_by(row),
        created_at=row.created_at,
    )


def _made_by(row: Any | None) -> MadeBy | None:
    return None if row is None or row.made_by is None else MadeBy.model_validate(load(row.made_by))


# ------------------------------------------------------------------------------------------------ writing


def write(
    tx: Tx,
    before: Any | None,
    *,
    skill_id: str,
    space_id: str,
    status: SkillStatus,
    origin: Origin,
    body: SkillBody,
    evidence: Sequence[Evidence],
    score: float,
    score_reasons: Sequence[str],
    reason: str,
    by_person: bool,
    made_by: MadeBy | None = None,
) -> None:
    """A new version, and the head at it. Versions are only ever added.

    What says the same as before was worded by whom it was worded before.
    """
    version = 1 if before is None else before.version + 1
    moment = now()
    if made_by is None and before is not None and before.hash == body.hash:
        made_by = _made_by(tx.find(skill_versions, skill_id=skill_id, version=before.version))
    content = {"body": dump(body.model_dump()), "hash": body.hash}
    judged = {"score": score, "score_reasons": dump(list(score_reasons))}
    head = {"status": status, "version": version, "updated_at": moment, **content, **judged}
    if before is None:
        made = {"id": skill_id, "space_id": space_id, "origin": origin, "human": by_person, "created_at": moment}
        tx.add(skills, [made | head])
    else:
        tx.change(skills, {"origin": origin, "human": bool(before.human) or by_person, **head}, id=skill_id)
    tx.add(
        skill_versions,
        [
            {
                "skill_id": skill_id,
                "version": version,
                "parents": dump([] if before is None else [before.version]),
                "status": status,
                "origin": "human" if by_person else origin,
                "reason": dump(reason),
                "made_by": None if made_by is None else dump(made_by.model_dump()),
                "created_at": moment,
                **content,
                **judged,
            }
        ],
    )
    put_evidence(tx, skill_id, evidence, version=version)
    put_evidence(tx, skill_id, evidence)
    if by_person:
        withdraw(tx, skill_id)
    if status in ACTIVE:
        search.mark_unembedded(tx, space_id, skill_id)
    else:
        search.forget_vectors(tx, space_id, [skill_id])


def withdraw(tx: Tx, skill_id: str) -> None:
    """Nothing waits for a person there any more."""
    if tx.drop(proposals, skill_id=skill_id):
        tx.drop(evidence, skill_id=skill_id, version=PROPOSED)
    tx.change(skills, {"superseded_by": None}, superseded_by=skill_id)


def retire(tx: Tx, before: Any, *, reason: str) -> None:
    """A new version that nothing uses, with the same content, and with the evidence that still holds."""
    current = skill(tx, before.id)
    write(
        tx,
        before,
        skill_id=before.id,
        space_id=before.space_id,
        status="retired",
        origin=current.origin,
        body=current.body,
        evidence=[one for one in current.evidence if tx.find(tasks, id=one.task_id, status=one.outcome) is not None],
        score=current.score,
        score_reasons=current.score_reasons,
        reason=reason,
        by_person=False,
    )
    withdraw(tx, before.id)


_EVIDENCE_NOW = "SELECT number, session_id, body FROM evidence WHERE project_id = ? AND skill_id = ? AND version = 0"


def put_evidence(tx: Tx, skill_id: str, items: Iterable[Evidence], *, version: int = 0) -> None:
    """This is what stands behind the skill (`version` 0 = now, `PROPOSED` = behind what waits there, else when that
    version was written)."""
    wanted = {number: (item.session_id, dump(item.model_dump())) for number, item in enumerate(items)}
    if version == 0:
        for number, session_id, text in tx.raw.execute(_EVIDENCE_NOW, (tx.project_id, skill_id)).fetchall():
            if wanted.get(number) == (session_id, text):
                del wanted[number]
            else:
                tx.drop(evidence, skill_id=skill_id, version=0, number=number)
    tx.add(
        evidence,
        [
            {"skill_id": skill_id, "version": version, "number": number, "session_id": session_id, "body": body}
            for number, (session_id, body) in wanted.items()
        ],
    )


def take_back(tx: Tx, space_id: str, task_ids: Collection[str]) -> None:
    """Nothing of these tasks stands behind a skill, or what waits there, any more. Older versions keep their word."""
    if not task_ids:
        return
    mine = (skills.c.project_id == evidence.c.project_id) & (skills.c.id == evidence.c.skill_id)
    now_behind = tx.mine(evidence) & (skills.c.space_id == space_id) & evidence.c.version.in_((0, PROPOSED))
    for row in tx.all(select(evidence).join(skills, mine).where(now_behind)):
        if _evidence(row.body).task_id in task_ids:
            tx.drop(evidence, skill_id=row.skill_id, version=row.version, number=row.number)


# ------------------------------------------------------------------------------------------------ by hand


def set_status(tx: Tx, skill_id: str, status: SkillStatus, *, reason: str) -> Skill:
    before = tx.get(skills, "skill", skill_id)
    current = skill(tx, skill_id)
    write(
        tx,
        before,
        skill_id=skill_id,
        space_id=before.space_id,
        status=status,
        origin=current.origin,
        body=current.body,
        evidence=current.evidence,
        score=current.score,
        score_reasons=current.score_reasons,
        reason=reason,
        by_person=True,
    )
    return skill(tx, skill_id)


def create_by_hand(tx: Tx, block: Block) -> None:
    body = changed_body(SkillBody(use_when=block.title), block.title or None, block.props)
    write(
        tx,
        None,
        skill_id=block.id,
        space_id=block.space_id,
        status="active",
        origin="human",
        body=body,
        evidence=(),
        score=0.0,
        score_reasons=(),
        reason="written by a person",
        by_person=True,
    )
    _index(tx, block.space_id, block.id, body)


def change_by_hand(tx: Tx, skill_id: str, *, title: str | None, props: Json | None) -> SkillBody:
    before = tx.get(skills, "skill", skill_id)
    current = skill(tx, skill_id)
    body = changed_body(current.body, title, props or {})
    if not before.human or body.hash != before.hash:
        write(
            tx,
            before,
            skill_id=skill_id,
            space_id=before.space_id,
            status=current.status,
            origin="human",
            body=body,
            evidence=current.evidence,
            score=current.score,
            score_reasons=current.score_reasons,
            reason="edited by a person",
            by_person=True,
        )
        _index(tx, before.space_id, skill_id, body)
    return body


def delete_by_hand(tx: Tx, space_id: str, block_ids: Sequence[str]) -> None:
    """Remove those of the blocks that are skills, for good: automation will not bring them back."""
    index = Index(tx, space_id)
    search.forget_vectors(tx, space_id, block_ids)
    for id in block_ids:
        if tx.drop(skills, id=id, space_id=space_id):
            index.put(id, ())
            tx.add(tombstones, [{"skill_id": id, "space_id": space_id, "created_at": now()}])
    index.done()


def own_text(body: SkillBody) -> SearchText:
    return SearchText(kind="skill", text=body.use_when)


def _index(tx: Tx, space_id: str, skill_id: str, body: SkillBody) -> None:
    """Find it by its own words; the requests it was learned from stay."""
    index = Index(tx, space_id)
    index.put(skill_id, [own_text(body), *index.requests(skill_id)])
    index.done()


def changed_body(before: SkillBody, title: str | None, props: Json) -> SkillBody:
    """The body after a person's change; what `props` does not mention, or has as null, stays."""
    given = {name: props[name] for name in _KNOWN_PROPS if props.get(name) is not None}
    if title is not None:
        given["use_when"] = title
    try:
        if "tool_sops" in given:
            given["tool_sops"] = [
                {name: step[name] for name in ("tool_name", "action", "support") if step.get(name) is not None}
                | ({} if step.get("action") is not None else {"action": ""})
                for step in given["tool_sops"]
            ]
        return SkillBody.model_validate(before.model_dump() | given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"props.{where} cannot be taken: {first['msg']}") from error
    except (AttributeError, TypeError) as error:
        raise InvalidInput('props.tool_sops must be a list of {"tool_name": ..., "action": ...}') from error


def extra_props(props: Json) -> Json:
    """What a person put beside what a skill says."""
    return {name: value for name, value in props.items() if name not in _KNOWN_PROPS}
