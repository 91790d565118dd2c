"""Planning: which of the finished tasks are worth asking a model about, and what it is asked.

Most tasks are not. One that was easy, and in which the user wished nothing for later, teaches nothing (W15); one that
repeats a procedure that a skill has already only adds to what stands behind that skill. Code sees both by itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from acontext_plugins.concurrency.background import yield_gil
from acontext_plugins.prompts import Delimiters
from acontext_plugins.protocols import FinishedTask, LearningInput
from acontext_plugins.settings import LearnSettings, ScoringRule
from acontext_store.tokenizer import words
from acontext_store.types import Episode, Skill

from .difficulty import Signal, is_hard, rules_of, signals_of
from .distil import distil
from .grounding import RunEvidence
from .placement import Nearest
from .procedures import EpisodeRun, body_of, groups_of, read_runs
from .prompt_view import CitableRun, Numbers, cut, show

#: Runs of one procedure that share one call.
MOST_RUNS = 8
MOST_PAGES = 200


@dataclass(slots=True)
class ProcedureRuns:
    """Runs of one procedure, and what a model is told of them: `prepare` fills in what is not known before."""

    tasks: list[FinishedTask]
    #: All runs of this procedure so far, these included.
    procedure: list[EpisodeRun]
    #: The skills that runs of it stand behind.
    behind: list[str]
    runs: list[CitableRun] = field(default_factory=list)
    #: `s1` -> an existing skill.
    nearest: dict[str, Skill] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    @property
    def task_ids(self) -> list[str]:
        return [done.task.id for done in self.tasks]

    def run_of_message(self, local: str) -> CitableRun | None:
        return next((shown for shown in self.runs if local in shown.messages), None)

    def run_of_call(self, local: str) -> CitableRun | None:
        return next((shown for shown in self.runs if local in shown.calls), None)


@dataclass(slots=True)
class LearningPlan:
    """A lesson, sorted out."""

    lesson: LearningInput
    #: The space's skills, with the evidence that is still there; without those that nothing stands behind any more.
    skills: list[Skill]
    fresh: dict[str, Episode]
    #: Every run of the space by its task.
    runs: dict[str, EpisodeRun]
    signals: dict[str, tuple[Signal, ...]]
    rules: list[ScoringRule]
    questions: list[ProcedureRuns]
    #: Task -> the skill that it only supports.
    supports: dict[str, str]
    #: Tasks that teach nothing.
    idle: list[str]
    #: The skills of the space, by their words.
    nearest: Nearest


def is_a_persons(skill: Skill) -> bool:
    """Whether a person wrote or changed it: automation leaves it alone."""
    return skill.origin == "human"


def plan(lesson: LearningInput, settings: LearnSettings) -> LearningPlan:
    """Pure, and the same for the same lesson."""
    fresh = {done.task.id: distil(done, space_id=lesson.space.id) for done in lesson.finished}
    runs = {run.task_id: run for run in read_runs((*lesson.episodes, *fresh.values()))}
    signals = {done.task.id: signals_of(runs[done.task.id], done.messages) for done in lesson.finished}
    rules = rules_of(lesson.space, settings.scoring_rules)
    skills = list(_standing(lesson))
    found = LearningPlan(lesson, skills, fresh, runs, signals, rules, [], {}, [], Nearest(()))
    procedures = groups_of(sorted(runs.values(), key=lambda run: (run.created_at, run.task_id)))
    procedure_of = {run.task_id: group for group in procedures.values() for run in group}
    owners = _owners(skills)
    asked: dict[int, list[FinishedTask]] = defaultdict(list)
    for done in sorted(lesson.finished, key=lambda done: (done.task.created_at, done.task.id)):
        yield_gil()
        run = runs[done.task.id]
        group = procedure_of.get(run.task_id, [run])
        supported = _supported(run, group, owners, signals[run.task_id], done)
        if not rules and supported is not None:
            found.supports[run.task_id] = supported.id
        elif _may_teach(done, run, signals[run.task_id], all_tasks=settings.tasks == "all" or bool(rules)):
            asked[id(group) if run.task_id in procedure_of else id(done)].append(done)
        else:
            found.idle.append(run.task_id)
    if asked:
        found.nearest = Nearest(skills)
    for tasks in asked.values():
        for start in range(0, len(tasks), MOST_RUNS):
            part = tasks[start : start + MOST_RUNS]
            group = procedure_of.get(part[0].task.id, [runs[done.task.id] for done in part])
            found.questions.append(ProcedureRuns(part, list(group), [skill.id for skill in _behind(group, owners)]))
    return found


def _standing(lesson: LearningInput) -> Iterator[Skill]:
    for skill in lesson.skills:
        kept = tuple(one for one in skill.evidence if one.task_id not in lesson.gone)
        lost = [one for one in skill.evidence if one.task_id in lesson.gone]
        if not lost or is_a_persons(skill) or skill.status == "retired":
            yield skill
        elif any(one.outcome == "success" for one in kept) or all(one.outcome != "success" for one in lost):
            yield skill.model_copy(update={"evidence": kept})


def _may_teach(done: FinishedTask, run: EpisodeRun, signals: Sequence[Signal], *, all_tasks: bool) -> bool:
    """Whether anything could come of asking a model about it."""
    said = run.body
    if done.task.data.get("user_preferences") or said.teachings or said.wishes or said.corrections or is_hard(signals):
        return True
    called = bool(run.tools or run.steps or run.body.pitfalls or run.body.abandoned)
    return called and (all_tasks or not run.success)


def _owners(skills: Sequence[Skill]) -> dict[str, list[Skill]]:
    """The skills that each task stands behind."""
    found: dict[str, list[Skill]] = defaultdict(list)
    for skill in skills:
        if skill.status != "retired":
            for evidence in skill.evidence:
                if evidence.outcome == "success":
                    found[evidence.task_id].append(skill)
    return found


def _behind(group: Sequence[EpisodeRun], owners: dict[str, list[Skill]]) -> list[Skill]:
    """The skills behind which most runs of this procedure stand, most first."""
    shared: Counter[str] = Counter()
    skills: dict[str, Skill] = {}
    for run in group:
        for skill in owners.get(run.task_id, ()):
            shared[skill.id] += 1
            skills[skill.id] = skill
    return [skills[id] for id, _ in sorted(shared.items(), key=lambda item: (-item[1], item[0]))]


def _supported(
    run: EpisodeRun,
    group: Sequence[EpisodeRun],
    owners: dict[str, list[Skill]],
    signals: Sequence[Signal],
    done: FinishedTask,
) -> Skill | None:
    """The model's skill that says all that this run could teach: same procedure, same occasion, and no trouble."""
    if not run.success or signals or done.task.data.get("user_preferences") or run.task_id in owners:
        return None
    said = set(words(f"{run.body.said} {done.task.data['task_description']} {' '.join(run.tools)}"))
    for skill in _behind(group, owners):
        tools = {step.tool_name for step in skill.body.tool_sops}
        occasion = set(words(skill.body.use_when))
        if (
            skill.origin == "model"
            and tools
            and tools <= set(run.tools)
            and len(occasion & said) >= 0.5 * len(occasion)
        ):
            return skill
    return None


def prepare(found: LearningPlan, question: ProcedureRuns, budget: int) -> None:
    """What the prompt says, with about `budget` characters of the runs."""
    if not question.runs:
        question.runs = [
            CitableRun(f"r{number}", done, found.runs[done.task.id], RunEvidence(done.messages))
            for number, done in enumerate(question.tasks, 1)
        ]
        skills = found.nearest.of([run.run for run in question.runs], first=question.behind)
        question.nearest = {f"s{n}": skill for n, skill in enumerate(skills, 1)}
    numbers = Numbers()
    texts = [show(run, numbers, budget // len(question.runs)) for run in question.runs]
    successes = [run.run for run in question.runs if run.run.success]
    if len(successes) > 1:
        example = next(run for run in question.runs if run.run is body_of(successes))
        texts.append(f"Take the steps from run {example.id}.")
    parts = {
        "runs": "\n\n".join(texts),
        "skills": "\n".join(_skill(local, skill) for local, skill in question.nearest.items()) or "(none)",
        "pages": "\n".join("/".join(page) for page in found.lesson.pages[:MOST_PAGES]) or "(none)",
    }
    fence = Delimiters(parts.values())
    question.inputs = {name: fence.around(text) for name, text in parts.items()} | {
        "fence": fence.rule,
        "rules": "\n".join(f"{n}. {rule.description}" for n, rule in enumerate(found.rules, 1)) or "(none)",
    }


def _skill(local: str, skill: Skill) -> str:
    lines = [f"{local}{' (a person wrote it: it stays as it is)' if is_a_persons(skill) else ''}:"]
    lines.append(f"  use when: {skill.body.use_when}")
    lines += [f"  {step.tool_name}: {step.action}" for step in skill.body.tool_sops[:20]]
    lines += [f"  prefers: {line}" for line in skill.body.preferences.splitlines()]
    lines += [f"  avoid: {pitfall}" for pitfall in skill.body.pitfalls]
    return "\n".join(cut(line, 400) for line in lines)
