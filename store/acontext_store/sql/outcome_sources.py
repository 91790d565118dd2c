"""Sources of outcomes: what each may claim, and the sessions that a revoked one was heard in."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import func, or_, select

from ..errors import InvalidInput, NotFound
from ..outcome_sources import NamedSource, Revocation, SkillFate, WithdrawnLesson, WithdrawnVerdict, check_source_name
from ..types import Outcome, SkillBody, now
from . import jobs
from .database import Tx, check_limit, load
from .reobserving import forget_tasks
from .tables import episodes, evidence, lanes, outcome_sources, outcomes, sessions, skills, tasks, withdrawals

#: The evidence of a skill as it is now, and of what waits for a person there.
_CURRENT = (0, -1)


def strength_of(tx: Tx, name: str) -> float | None:
    """What outcomes of that name may claim now; None = nobody has said so. Raises InvalidInput for what is no name."""
    row = tx.find(outcome_sources, name=check_source_name(name)) if name else None
    return None if row is None else row.strength


def register(tx: Tx, name: str, *, strength: float, note: str | None) -> NamedSource:
    check_source_name(name)
    if not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise InvalidInput(f"strength is {strength!r:.40}: it must be a number from 0 (not to be believed) to 1")
    values: dict[str, Any] = {"strength": float(strength), "revoked_at": None}
    if note is not None:
        values["note"] = note
    if not tx.change(outcome_sources, values, name=name):
        tx.add(outcome_sources, [{"name": name, "note": "", "created_at": now(), **values}])
    return _source(tx, name)


def list_sources(tx: Tx) -> list[NamedSource]:
    counts = _counts(tx)
    registered = {row.name: row for row in tx.all(outcome_sources.select().where(tx.mine(outcome_sources)))}
    return [_named(name, registered.get(name), counts.get(name, 0)) for name in sorted({*counts, *registered})]


def _counts(tx: Tx) -> dict[str, int]:
    query = select(outcomes.c.said_by, func.count().label("number")).where(tx.mine(outcomes), outcomes.c.said_by != "")
    return {row.said_by: row.number for row in tx.all(query.group_by(outcomes.c.said_by))}


def _source(tx: Tx, name: str) -> NamedSource:
    count = tx.one(select(func.count().label("number")).where(tx.mine(outcomes, said_by=name)))
    return _named(name, tx.find(outcome_sources, name=name), count.number if count is not None else 0)


def _named(name: str, row: Any | None, count: int) -> NamedSource:
    if row is None:
        return NamedSource(name=name, outcomes=count)
    return NamedSource(
        name=name,
        strength=row.strength,
        note=row.note,
        outcomes=count,
        registered_at=row.created_at,
        revoked_at=row.revoked_at,
    )


# ---------------------------------------------------------------------------------------------- revoking


def revoke(tx: Tx, name: str, *, limit: int, quiet: float, max_wait: float) -> int:
    check_source_name(name)
    check_limit(limit, most=None)
    row = tx.find(outcome_sources, name=name)
    if row is None and tx.find(outcomes, said_by=name) is None:
        raise NotFound("source of outcomes", name)
    if row is None or row.revoked_at is None:
        tx.drop(withdrawals, source=name)
        register(tx, name, strength=0.0, note=None)
        tx.change(outcome_sources, {"revoked_at": now()}, name=name)
    session_ids = _believing(tx, name, limit=limit)
    for session_id in session_ids:
        _remember(tx, name, session_id)
        tx.change(outcomes, {"strength": 0.0}, session_id=session_id, said_by=name)
        forget_tasks(tx, session_id, learn_in=max_wait)
        if not tx.get(sessions, "session", session_id).disable_task_tracking:
            jobs.at_the_latest(tx, "observe", session_id, time.time() + quiet)
    return len(session_ids)


def _believing(tx: Tx, name: str, *, limit: int | None) -> list[str]:
    """Sessions with an outcome of that name that counts."""
    believed = or_(outcomes.c.strength.is_(None), outcomes.c.strength > 0)
    query = select(outcomes.c.session_id).distinct().where(tx.mine(outcomes, said_by=name), believed)
    return [row.session_id for row in tx.all(query.order_by(outcomes.c.session_id).limit(limit))]


def _remember(tx: Tx, name: str, session_id: str) -> None:
    """The session's tasks, and the skills that they taught, as they are now."""
    rows = []
    for task in tx.all(tasks.select().where(tx.mine(tasks, session_id=session_id), tasks.c.is_planning.is_(False))):
        outcome = None if task.outcome is None else load(task.outcome)["id"]
        rows.append(_row(name, session_id, task.id, status=task.status, outcome_id=outcome))
    known = {row["task_id"] for row in rows}
    mine = (skills.c.project_id == evidence.c.project_id) & (skills.c.id == evidence.c.skill_id)
    query = (
        select(evidence.c.body, skills.c.id, skills.c.status, skills.c.version)
        .join(skills, mine)
        .where(tx.mine(evidence, session_id=session_id), evidence.c.version.in_(_CURRENT))
    )
    taught = {(load(row.body)["task_id"], row.id): row for row in tx.all(query)}
    for (task_id, skill_id), row in taught.items():
        if task_id in known:
            rows.append(_row(name, session_id, task_id, skill_id, status=row.status, version=row.version))
    tx.add(withdrawals, rows)


def _row(source: str, session_id: str, task_id: str, skill_id: str = "", **then: Any) -> dict[str, Any]:
    return {
        "source": source,
        "session_id": session_id,
        "task_id": task_id,
        "skill_id": skill_id,
        "outcome_id": None,
        "version": 0,
        **then,
    }


# ------------------------------------------------------------------------------------ what it took with it


def revocation(tx: Tx, name: str) -> Revocation:
    source = _source(tx, check_source_name(name))
    if source.revoked_at is None:
        raise NotFound("revoked source of outcomes", name)
    verdicts: list[WithdrawnVerdict] = []
    behind: dict[str, list[Any]] = defaultdict(list)
    query = withdrawals.select().where(tx.mine(withdrawals, source=name))
    waiting: set[str] = set()
    untaught: set[str] = set()
    for row in tx.all(query.order_by(withdrawals.c.session_id, withdrawals.c.task_id)):
        if row.skill_id:
            behind[row.skill_id].append(row)
            continue
        task = tx.find(tasks, id=row.task_id)
        if (verdict := _verdict(tx, row, task)) is not None:
            verdicts.append(verdict)
        if task is not None and task.space_id and task.status in ("success", "failed") and not task.space_digested:
            waiting.add(task.space_id)
            untaught.add(task.id)
    judged_otherwise = {verdict.task_id for verdict in verdicts}
    lessons: list[WithdrawnLesson] = []
    for skill_id, rows in behind.items():
        skill = tx.find(skills, id=skill_id)
        if skill is None:
            continue
        named = _evidence_of(tx, skill_id)
        behind_it = {row.task_id for row in rows}
        stale = bool(untaught & behind_it) or _is_stale(tx, named, behind_it)
        if stale:
            waiting.add(skill.space_id)
        if any(row.task_id in judged_otherwise for row in rows):
            lessons.append(_lesson(skill, rows[0], named, stale=stale))
    return Revocation(
        source=source,
        tasks=tuple(sorted(verdicts, key=lambda one: (one.session_key or "", one.session_id, one.task_id))),
        skills=tuple(sorted(lessons, key=lambda one: (one.space_id, one.use_when, one.skill_id))),
        waiting_sessions=_unobserved(tx, name),
        waiting_spaces=tuple(sorted(waiting)),
    )


def _verdict(tx: Tx, row: Any, task: Any | None) -> WithdrawnVerdict | None:
    """None where the task is judged as before."""
    outcome = None if task is None or task.outcome is None else Outcome(**load(task.outcome))
    if task is not None and (task.status, outcome and outcome.id) == (row.status, row.outcome_id):
        return None
    believed = outcome if outcome is not None and outcome.weight > 0 else None
    return WithdrawnVerdict(
        task_id=row.task_id,
        session_id=row.session_id,
        session_key=tx.get(sessions, "session", row.session_id).key,
        description="" if task is None else load(task.data)["task_description"],
        before=row.status,
        after=None if task is None else task.status,
        now_by="" if believed is None else believed.by or believed.source,
    )


def _evidence_of(tx: Tx, skill_id: str) -> list[tuple[int, Any]]:
    """What stands behind the skill (0), and behind what waits for a person there."""
    query = select(evidence.c.version, evidence.c.body).where(tx.mine(evidence, skill_id=skill_id))
    return [(row.version, load(row.body)) for row in tx.all(query.where(evidence.c.version.in_(_CURRENT)))]


def _is_stale(tx: Tx, named: Iterable[tuple[int, Any]], task_ids: Collection[str]) -> bool:
    """Whether it rests on one of these tasks still as it was before: no learner has looked since."""
    return any(one["task_id"] in task_ids and tx.find(episodes, task_id=one["task_id"]) is None for _, one in named)


def _lesson(skill: Any, before: Any, named: Iterable[tuple[int, Any]], *, stale: bool) -> WithdrawnLesson:
    fate: SkillFate
    if stale:
        fate = "waiting"
    elif skill.human:
        fate = "a person's"
    elif skill.status == "retired" and before.status != "retired":
        fate = "retired"
    else:
        fate = "kept" if (skill.status, skill.version) == (before.status, before.version) else "changed"
    return WithdrawnLesson(
        skill_id=skill.id,
        space_id=skill.space_id,
        use_when=SkillBody.model_validate(load(skill.body)).use_when,
        before=before.status,
        after=skill.status,
        before_version=before.version,
        after_version=skill.version,
        fate=fate,
        support=len({one["task_id"] for version, one in named if version == 0 and one["outcome"] == "success"}),
    )


def _unobserved(tx: Tx, name: str) -> tuple[str, ...]:
    """Sessions that it was heard in, and that are to be observed from their first message still."""
    lane = (lanes.c.project_id == sessions.c.project_id) & (lanes.c.kind == "observe") & (lanes.c.key == sessions.c.id)
    heard = select(outcomes.c.session_id).where(tx.mine(outcomes, said_by=name))
    query = (
        select(sessions.c.id)
        .join(lanes, lane)
        .where(tx.mine(sessions), sessions.c.id.in_(heard), sessions.c.observed_seq == 0)
        .where(or_(lanes.c.ready_at.is_not(None), lanes.c.dead_at.is_not(None)))
    )
    return tuple(sorted({*(row.id for row in tx.all(query)), *_believing(tx, name, limit=None)}))
