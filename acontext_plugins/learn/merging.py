"""Merging: what a lesson's proven experiences make of the skills that there are.

Experiences are taken one after the other, each on top of what those before it made, so that two which say the same
become one skill, and two that merge into one skill make one new version of it. What a person owns stays as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from acontext_store.tokenizer import words
from acontext_store.types import (
    Evidence,
    MadeBy,
    SearchText,
    Skill,
    SkillBody,
    SkillEdit,
    SkillStatus,
    Step,
    now,
    stable_id,
)

from ..concurrency.background import yield_gil
from .grounding import placeholders
from .placement import DEFAULT_PAGE
from .planning import LearningPlan, is_a_persons
from .procedures import ENOUGH, EpisodeRun, body_of, shorten
from .prompt_view import CitableRun
from .rules import MOST_EVIDENCE, texts_of
from .validation import MOST_PITFALLS, MOST_PREFERENCES, Cited, ValidatedExperience, may_change

TITLE_CHARS, ALL_PREFERENCES_CHARS = 80, 800
#: The share of all their words that two occasions have in common to be one, and two preferences to be one.
ALIKE = 0.7
_MOST_CITED = 40


@dataclass(slots=True)
class _Draft:
    """A skill as it is going to be."""

    id: str
    before: Skill | None
    body: SkillBody
    status: SkillStatus
    evidence: dict[str, Evidence]
    points: dict[str, float] = field(default_factory=dict)
    score: float = 0.0
    page: tuple[str, ...] = DEFAULT_PAGE
    reasons: list[str] = field(default_factory=list)
    made_by: MadeBy | None = None
    gone: bool = False


class SkillMerge:
    """The skills of a space, as a lesson changes them."""

    def __init__(self, plan: LearningPlan, *, model: str, prompt: str, all_tasks: bool) -> None:
        self._plan = plan
        self._model, self._prompt = model, prompt
        self._all_tasks = all_tasks
        self._skills = {skill.id: skill for skill in plan.skills}
        #: As they are kept now, those too that nothing stands behind any more.
        self._before = {skill.id: skill for skill in plan.lesson.skills}
        self._drafts: dict[str, _Draft] = {}
        self._places = {id: place for place, id in enumerate(self._skills)}
        #: Skills in use by the tools of their steps, and by the tasks that they were learned from.
        self._with_tools: dict[frozenset[str], list[str]] = defaultdict(list)
        self._learned_from: dict[str, list[str]] = defaultdict(list)
        for skill in self._skills.values():
            if skill.status != "retired":
                self._with_tools[_tools_of(skill.body)].append(skill.id)
                for item in skill.evidence:
                    self._learned_from[item.task_id].append(skill.id)
            if skill is not self._before[skill.id]:
                self._draft(skill)

    # -- what the lesson says

    def reverse(self, task_ids: Iterable[str]) -> None:
        """Tasks that were taken for successes and are failures: no skill stands on them any more."""
        failed = {id for id in task_ids if not self._plan.runs[id].success}
        for skill in self._skills.values():
            behind = [e for e in skill.evidence if e.task_id in failed and e.outcome == "success"]
            if not behind or is_a_persons(skill) or skill.status == "retired":
                continue
            draft = self._draft(skill)
            for item in behind:
                gave = tuple(part for part in item.gave if part not in ("body", "support"))
                draft.evidence[item.task_id] = item.model_copy(update={"outcome": "failed", "gave": gave})
            if not any(e.outcome == "success" for e in draft.evidence.values()):
                draft.gone = True

    def support(self, task_id: str, skill_id: str) -> None:
        """One more run of what the skill says."""
        draft = self._draft(self._skills[skill_id])
        run = self._plan.runs[task_id]
        new = _evidence_of(run, Cited(gave={"support"}))
        draft.evidence[task_id] = _joined(draft.evidence.get(task_id), new)

    def take(self, proven: ValidatedExperience) -> None:
        """One experience."""
        if proven.relation == "nothing":
            if proven.skill is not None and may_change(self._current(proven.skill)):
                for shown in proven.successes:
                    self.support(shown.task_id, proven.skill.id)
            return
        if not proven.says_anything:
            return
        if proven.skill is not None and proven.relation in ("merge", "supersede"):
            if is_a_persons(proven.skill):
                return
            if may_change(self._current(proven.skill)) and self._related(proven, proven.skill):
                self._change(self._draft(proven.skill), proven, supersede=proven.relation == "supersede")
                return
        if (twin := self._twin(proven)) is None:
            self._create(proven)
        elif not twin.before or not is_a_persons(twin.before):
            self._change(twin, proven, supersede=False)

    def _current(self, skill: Skill) -> Skill | None:
        draft = self._drafts.get(skill.id)
        return None if draft is not None and draft.gone else skill

    def _related(self, proven: ValidatedExperience, skill: Skill) -> bool:
        """Whether it can be about the same: where both have steps, they have a tool in common."""
        tools = {step.tool_name for step in self._draft(skill).body.tool_sops}
        new = {step.tool_name for step in proven.steps}
        return proven.relation == "supersede" or not tools or not new or bool(tools & new)

    # -- drafts

    def _draft(self, skill: Skill) -> _Draft:
        draft = self._drafts.get(skill.id)
        if draft is None:
            evidence = {item.task_id: item for item in skill.evidence}
            before = self._before[skill.id]
            draft = _Draft(skill.id, before, skill.body, skill.status, evidence, score=skill.score)
            draft.points = dict.fromkeys(skill.score_reasons, 0.0)
            self._drafts[skill.id] = draft
        return draft

    def _twin(self, proven: ValidatedExperience) -> _Draft | None:
        """The skill that says the same already, or that was learned from the very same tasks."""
        tasks = {shown.task_id for shown in proven.runs}
        tools = frozenset(step.tool_name for step in proven.steps)
        like = [*self._with_tools.get(tools, ()), *(id for task in tasks for id in self._learned_from.get(task, ()))]
        for skill in (self._skills[id] for id in sorted(set(like), key=self._places.__getitem__)):
            yield_gil()
            own = {e.task_id for e in skill.evidence if e.outcome == "success"}
            same = skill.origin == "model" and bool(own) and own <= tasks
            if (same or _same(skill.body, proven.use_when, tools)) and self._current(skill):
                return self._draft(skill)
        for draft in self._drafts.values():
            if draft.before is None and _same(draft.body, proven.use_when, tools):
                return draft
        return None

    def _create(self, proven: ValidatedExperience) -> None:
        tasks = sorted(shown.task_id for shown in proven.runs)
        id = stable_id("skill", self._plan.lesson.space.id, "model", *tasks, str(proven.number))
        body = SkillBody(
            use_when=proven.use_when,
            preferences=_united((), proven.preferences),
            tool_sops=proven.steps,
            variables=dict(proven.variables),
            pitfalls=tuple(proven.pitfalls),
            trace=proven.trace,
        )
        draft = _Draft(id, self._before.get(id), body, "candidate", {}, page=proven.page or DEFAULT_PAGE)
        self._drafts[id] = draft
        draft.reasons.append(f"learned from {_runs(len(tasks))}")
        self._credit(draft, proven, took_steps=True)

    def _change(self, draft: _Draft, proven: ValidatedExperience, *, supersede: bool) -> None:
        """A new version, with what stands behind both."""
        old = draft.body
        steps = bool(proven.steps) and (supersede or not old.tool_sops or self._is_better(draft, proven))
        preferences = proven.preferences if supersede and proven.preferences else None
        pitfalls = proven.pitfalls if supersede and steps else None
        draft.body = SkillBody(
            use_when=proven.use_when if supersede or proven.relation == "merge" else old.use_when,
            preferences=_united(old.preferences.splitlines(), proven.preferences)
            if preferences is None
            else _united((), preferences),
            tool_sops=proven.steps if steps else old.tool_sops,
            variables={**old.variables, **proven.variables},
            pitfalls=tuple(_distinct([*old.pitfalls, *proven.pitfalls]) if pitfalls is None else pitfalls)[
                -MOST_PITFALLS:
            ],
            trace=proven.trace if steps else old.trace,
        )
        why = f"superseded: {proven.reason}" if supersede and proven.reason else "superseded" if supersede else "merged"
        draft.reasons.append(f"{why}, with {_runs(len(proven.runs))}")
        self._credit(draft, proven, took_steps=steps)

    def _is_better(self, draft: _Draft, proven: ValidatedExperience) -> bool:
        """Whether the run behind the new steps is the one that the rules would show."""
        known = self._plan.runs
        old = [known[e.task_id] for e in draft.evidence.values() if e.outcome == "success" and e.task_id in known]
        new = [shown.run for shown in proven.successes]
        fresh = {run.task_id for run in new}
        old = [run for run in old if run.task_id not in fresh]
        if not old or not new:
            return bool(new)
        return body_of([*old, *new]).task_id in fresh

    def _credit(self, draft: _Draft, proven: ValidatedExperience, *, took_steps: bool) -> None:
        """What stands behind it now, who made it, and how it is judged."""
        if took_steps and proven.source is not None:
            for task_id, item in draft.evidence.items():
                gave = {"support" if part == "body" else part for part in item.gave}
                draft.evidence[task_id] = item.model_copy(update={"gave": tuple(sorted(gave))})
        for shown in proven.runs:
            cited = proven.cited.get(shown.task_id) or Cited()
            gave = set(cited.gave)
            if shown.run.success and (shown is not proven.source or not took_steps):
                gave = (gave - {"body"}) | {"support"}
            if not gave:
                continue
            new = _evidence_of(shown.run, Cited(cited.messages, cited.calls, gave), shown)
            draft.evidence[shown.task_id] = _joined(draft.evidence.get(shown.task_id), new)
        for signal in proven.signals:
            if signal.reason not in draft.points:
                draft.points[signal.reason] = signal.points
                draft.score += signal.points
        dropped = dict(sorted(((draft.made_by.dropped if draft.made_by else {}) | proven.dropped).items()))
        draft.made_by = MadeBy(model=self._model, prompt=self._prompt, dropped=dropped)
        if draft.status in ("candidate", "stale") and self._passes(draft, proven):
            draft.status = "active"

    def _passes(self, draft: _Draft, proven: ValidatedExperience) -> bool:
        return draft.score >= ENOUGH or bool(proven.preferences) or (self._all_tasks and bool(proven.steps))

    # -- what comes of it

    def skills(self) -> list[Skill]:
        """The space's skills as they are going to be."""
        found = {**self._before, **self._skills}
        for edit in self.edits():
            before = found.get(edit.skill_id)
            found[edit.skill_id] = Skill(
                id=edit.skill_id,
                project_id=self._plan.lesson.space.project_id,
                space_id=self._plan.lesson.space.id,
                block_id=edit.skill_id,
                status=edit.status,
                origin=edit.origin,
                version=before.version + 1 if before else 1,
                body=edit.body,
                evidence=edit.evidence,
                score=edit.score,
                score_reasons=edit.score_reasons,
                created_at=before.created_at if before else now(),
            )
        for id in self.retired():
            found[id] = found[id].model_copy(update={"status": "retired"})
        return list(found.values())

    def retired(self) -> tuple[str, ...]:
        unfounded = [id for id in self._before if id not in self._skills and id not in self._drafts]
        return (*(draft.id for draft in self._drafts.values() if draft.gone), *unfounded)

    def edits(self) -> tuple[SkillEdit, ...]:
        return tuple(
            edit for draft in self._drafts.values() if not draft.gone and (edit := self._edit(draft)) is not None
        )

    def _edit(self, draft: _Draft) -> SkillEdit | None:
        before = draft.before
        evidence = _ordered(draft.evidence.values())
        if before is not None and draft.made_by is None and evidence == before.evidence:
            return None
        if draft.made_by is not None:
            steps, variables = self._supported(draft), _named(draft.body)
            draft.body = draft.body.model_copy(update={"tool_sops": steps, "variables": variables})
        return SkillEdit(
            skill_id=draft.id,
            page=draft.page,
            title=shorten(draft.body.use_when, TITLE_CHARS),
            status=draft.status,
            origin="model" if draft.made_by is not None or before is None else before.origin,
            body=draft.body,
            evidence=evidence,
            score=draft.score,
            score_reasons=tuple(draft.points),
            texts=self._texts(draft, evidence),
            reason="; ".join(draft.reasons)[:500],
            made_by=draft.made_by,
        )

    def _supported(self, draft: _Draft) -> tuple[Step, ...]:
        """The steps, each with the share of the successful runs that took it."""
        known = self._plan.runs
        runs = [known[e.task_id] for e in draft.evidence.values() if e.outcome == "success" and e.task_id in known]
        used = [set(run.tools) for run in runs]
        return tuple(
            step.model_copy(update={"support": round(sum(step.tool_name in tools for tools in used) / len(used), 3)})
            if used
            else step
            for step in draft.body.tool_sops
        )

    def _texts(self, draft: _Draft, evidence: Sequence[Evidence]) -> tuple[SearchText, ...]:
        """The requests of all runs behind it."""
        runs = [run for item in evidence if (run := self._plan.runs.get(item.task_id)) is not None]
        worked = [run for run in runs if run.success] or runs
        return texts_of(worked[0], worked, draft.body) if worked else ()


def _named(body: SkillBody) -> dict[str, str]:
    """The variables that its texts name."""
    texts = [body.use_when, body.preferences, *body.pitfalls, *(step.action for step in body.tool_sops), *body.trace]
    names = {name for text in texts for name in placeholders(text)}
    return {name: source for name, source in body.variables.items() if name in names}


def _tools_of(body: SkillBody) -> frozenset[str]:
    return frozenset(step.tool_name for step in body.tool_sops)


def _same(body: SkillBody, use_when: str, tools: frozenset[str]) -> bool:
    """Whether a skill has this occasion, and these tools."""
    return _tools_of(body) == tools and _alike(body.use_when, use_when)


def _alike(one: str, other: str) -> bool:
    some, others = _words(one), _words(other)
    if not some or not others:
        return one.casefold().split() == other.casefold().split()
    return len(some & others) >= ALIKE * len(some | others)


@lru_cache(maxsize=16384)
def _words(text: str) -> frozenset[str]:
    return frozenset(words(text))


def _distinct(lines: Iterable[str]) -> list[str]:
    """Without those that say what an earlier one says."""
    found: list[str] = []
    for line in lines:
        if not any(_alike(line, known) for known in found):
            found.append(line)
    return found


def _united(old: Sequence[str], new: Sequence[str]) -> str:
    """Both, the newest kept where there are too many."""
    kept: list[str] = []
    for line in reversed(_distinct([*old, *new])):
        if len(kept) < MOST_PREFERENCES and sum(map(len, kept)) + len(line) < ALL_PREFERENCES_CHARS:
            kept.append(line)
    return "\n".join(reversed(kept))


def _runs(count: int) -> str:
    return f"{count} run{'s' if count != 1 else ''}"


def _ordered(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """The run behind the body first, then successes, bounded."""
    ranked = sorted(evidence, key=lambda e: ("body" not in e.gave, e.outcome != "success"))
    return tuple(ranked[:MOST_EVIDENCE])


def _joined(old: Evidence | None, new: Evidence) -> Evidence:
    """What one task gave, at two times. Where it has turned out otherwise meanwhile, only the new counts."""
    if old is None or old.outcome != new.outcome:
        return new
    gave = {*old.gave, *new.gave}
    return new.model_copy(
        update={
            "message_ids": tuple(dict.fromkeys((*new.message_ids, *old.message_ids)))[:_MOST_CITED],
            "call_ids": tuple(dict.fromkeys((*new.call_ids, *old.call_ids)))[:_MOST_CITED],
            "gave": tuple(sorted(gave - {"support"} if "body" in gave else gave)),
        }
    )


def _evidence_of(run: EpisodeRun, cited: Cited, shown: CitableRun | None = None) -> Evidence:
    there = {message.id for message in shown.finished.messages} if shown else None
    messages = [id for id in (*run.body.heard.request, *cited.messages) if there is None or id in there]
    return Evidence(
        session_id=run.session_id,
        task_id=run.task_id,
        session_key=run.session_key,
        outcome="success" if run.success else "failed",
        message_ids=tuple(dict.fromkeys(messages))[:_MOST_CITED],
        call_ids=tuple(dict.fromkeys(cited.calls))[:_MOST_CITED],
        gave=tuple(sorted(cited.gave)),
    )
