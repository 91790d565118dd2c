"""RulesLearner: episodes of a space -> the wanted state of its skills, without a model.

Deterministic and independent of the order of what it is given: everything is sorted by content before it counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set

from acontext_store.protocols import ReadSnapshot, Store
from acontext_store.tokenizer import searchable
from acontext_store.types import (
    Evidence,
    SearchText,
    Skill,
    SkillBody,
    SkillEdit,
    SkillOps,
    SkillStatus,
    Space,
    Task,
    stable_id,
)

from ..concurrency.background import run_in_thread, yield_gil
from ..protocols import MOST_EARLIER, FinishedTask, LearningInput
from .distil import distil
from .episode_body import EpisodePitfall
from .procedures import (
    EpisodeRun,
    Judgement,
    Key,
    body_of,
    contrast,
    groups_of,
    judge,
    order_rules,
    runs_of,
    shorten,
    steps_of,
    tidy,
    title_of,
    trace_of,
    use_when_of,
    variables_of,
)

MOST_EVIDENCE = 100
MOST_TEXTS = 60
MOST_PITFALLS = 6
MOST_PREFERENCES = 4
PREFERENCE_CHARS = 160
ALL_PREFERENCES_CHARS = 320


class RulesLearner:
    """Groups runs by what they changed, shows the shortest success, and warns of what went wrong."""

    batch = 1000

    async def learn(self, lesson: LearningInput) -> SkillOps:
        return await run_in_thread(learn, lesson)


def learn(lesson: LearningInput) -> SkillOps:
    """The wanted state after these tasks, as edits of what is there. Pure."""
    space = lesson.space
    fresh = {finished.task.id: distil(finished, space_id=space.id) for finished in lesson.finished}
    known = {episode.task_id: episode for episode in lesson.episodes}
    runs = runs_of({**known, **fresh}.values())
    wanted = _wanted(runs)
    lost = {*lesson.gone, *(run.task_id for run in runs if not run.success)}
    own = _own(wanted, lesson.skills, lost)
    edits = _edits(space, own, lesson.skills, lost)
    return SkillOps(
        space_id=space.id,
        episodes=tuple(fresh.values()),
        edits=tuple(edits),
        retired=_retired({task for item in wanted for task in item.tasks}, own, edits, lesson.skills, lost),
        digested=tuple(fresh),
        gone=tuple(sorted(lesson.gone)),
    )


class _SkillDraft:
    """A skill as it should be, before it is known which id it has."""

    __slots__ = ("body", "evidence", "judgement", "key", "tasks", "texts", "title")

    def __init__(
        self, key: Key, successes: Sequence[EpisodeRun], failures: Sequence[EpisodeRun], persons: _PersonLessons
    ) -> None:
        yield_gil()
        chosen = body_of(successes)
        literals = corroborated(successes)
        pitfalls, warned = _pitfalls(successes, failures, persons)
        preferences, wished = _preferences(successes)
        self.key = key
        self.title = title_of(chosen)
        self.judgement: Judgement = judge(successes)
        self.body = SkillBody(
            use_when=use_when_of(chosen, successes),
            preferences=preferences,
            tool_sops=steps_of(chosen, successes, literals),
            variables=variables_of(chosen, literals),
            pitfalls=pitfalls,
            trace=trace_of(chosen, literals),
        )
        self.evidence = _evidence(chosen, successes, [*failures, *persons.others], warned, wished)
        self.texts = texts_of(chosen, successes, self.body)
        self.tasks = frozenset(run.task_id for run in successes)


def _wanted(runs: Sequence[EpisodeRun]) -> list[_SkillDraft]:
    successes = groups_of(run for run in runs if run.success and run.weight > 0)
    failures = groups_of(run for run in runs if not run.success)
    lessons = _lessons_by_tool(runs)
    drafts = []
    for key, group in successes.items():
        failed = failures.get(key, ())
        drafts.append(_SkillDraft(key, group, failed, _PersonLessons(lessons, group, failed)))
    return drafts


def corroborated(runs: Sequence[EpisodeRun]) -> dict[tuple[str, str], str]:
    """Constants: the one value that at least two sessions of two principals used, and none contradicts (T2)."""
    values: dict[tuple[str, str], dict[str, tuple[set[str], set[str]]]] = defaultdict(dict)
    varying: set[tuple[str, str]] = set()
    for run in runs:
        yield_gil()
        for step in run.steps:
            for parameter, sources in step.args.items():
                place = (step.tool, parameter)
                if place in varying:
                    continue
                for source in sources:
                    if not source.startswith("="):
                        varying.add(place)
                        break
                    sessions, principals = values[place].setdefault(source[1:], (set(), set()))
                    sessions.add(run.session_id)
                    principals.add(run.principal)
    return _agreed({place: seen for place, seen in values.items() if place not in varying})


def _agreed(values: Mapping[tuple[str, str], Mapping[str, tuple[set[str], set[str]]]]) -> dict[tuple[str, str], str]:
    """The places at which one value stands, in at least two sessions of two principals, and no other."""
    found = {}
    for place, seen in values.items():
        if len(seen) != 1:
            continue
        ((value, (sessions, principals)),) = seen.items()
        if len(sessions) >= 2 and len(principals) >= 2:
            found[place] = value
    return found


_Lesson = tuple[EpisodeRun, EpisodePitfall]


def _lessons_by_tool(runs: Iterable[EpisodeRun]) -> dict[str, list[_Lesson]]:
    """What persons changed and refused, in whatever run, by the tool that was asked for."""
    found: dict[str, list[_Lesson]] = defaultdict(list)
    for run in runs:
        for pitfall in run.body.pitfalls:
            if pitfall.by:
                found[pitfall.tool].append((run, pitfall))
    return found


class _PersonLessons:
    """What persons changed and refused in the runs of one procedure, and elsewhere in calls of its tools."""

    def __init__(
        self,
        by_tool: Mapping[str, Sequence[_Lesson]],
        successes: Sequence[EpisodeRun],
        failures: Sequence[EpisodeRun],
    ) -> None:
        own = {run.task_id for run in (*successes, *failures)}
        tools = {step.tool for run in successes for step in run.steps}
        self.lessons = [
            (run, pitfall)
            for tool, lessons in sorted(by_tool.items())
            for run, pitfall in lessons
            if tool in tools or run.task_id in own
        ]
        #: Runs of other procedures that gave one.
        self.others = list({run.task_id: run for run, _ in self.lessons if run.task_id not in own}.values())
        values: dict[tuple[str, str], dict[str, tuple[set[str], set[str]]]] = defaultdict(dict)
        words: dict[tuple[str, str], dict[str, tuple[set[str], set[str]]]] = defaultdict(dict)
        for run, pitfall in self.lessons:
            told = [(values[pitfall.tool, name], value) for name, value in pitfall.given.items()]
            if pitfall.said:
                told.append((words[pitfall.tool, pitfall.said], pitfall.said))
            for place, text in told:
                sessions, principals = place.setdefault(text, (set(), set()))
                sessions.add(run.session_id)
                principals.add(run.principal)
        #: The values that persons have set, where two of them set the same one and nobody another.
        self.given = _agreed(values)
        #: Their words, where two of them have said the same: others read them.
        self.said = set(_agreed(words).values())

    def lines(self) -> Iterable[tuple[EpisodeRun, str]]:
        """Each lesson as a warning, with the run that gave it."""
        for run, pitfall in self.lessons:
            yield run, person_line(pitfall, self.given, pitfall.said if pitfall.said in self.said else "")


def person_line(pitfall: EpisodePitfall, given: Mapping[tuple[str, str], str] | None = None, said: str = "") -> str:
    """What a person changed or refused, as what to avoid.

    `given` = values that may be told, by tool and parameter; `said` = the person's words, where they may be told.
    """
    tool = pitfall.tool
    if pitfall.refused:
        return f"{tool} without asking first: a person refused it" + (f": {shorten(tidy(said), 100)}" if said else "")
    if pitfall.instead:
        return f"{tool}: a person chose {pitfall.instead} instead"
    told = given or {}
    did = [
        f"set {name} to {told[tool, name]}" if (tool, name) in told else f"{verb} {name}"
        for verb, names in (("changed", pitfall.changed), ("added", pitfall.added), ("left out", pitfall.removed))
        for name in names
    ]
    own = f"with {', '.join(pitfall.changed)} of your own" if pitfall.changed else "as you would"
    return f"{tool} {own}: a person {', '.join(did)}" if did else ""


def _pitfalls(
    successes: Sequence[EpisodeRun], failures: Sequence[EpisodeRun], persons: _PersonLessons
) -> tuple[tuple[str, ...], dict[str, set[str]]]:
    """Warnings, the most frequent first, and which tasks gave them what."""
    lines: Counter[str] = Counter()
    gave: dict[str, set[str]] = defaultdict(set)
    for run in (*successes, *failures):
        yield_gil()
        for pitfall in run.body.pitfalls:
            if not pitfall.by and (line := pitfall_line(pitfall)):
                lines[line] += 1
                gave[run.task_id].add("pitfall")
    of_persons: Counter[str] = Counter()
    for run, line in persons.lines():
        if line:
            of_persons[line] += 1
            gave[run.task_id].add("pitfall")
    findings = []
    for finding in contrast(successes, failures):
        share = "failed runs called it" if finding.verdict == "avoid" else "failed runs left it out"
        verb = "do not call" if finding.verdict == "avoid" else "do call"
        findings.append(f"{verb} {finding.feature}: {share}")
    for first, then in order_rules(successes, failures)[:2]:
        findings.append(f"{first} comes before {then}: runs without it failed")
    if findings:
        for run in failures[:20]:
            gave[run.task_id].add("contrast")
    for line in [line for line in of_persons if any(other.startswith(f"{line}: ") for other in of_persons)]:
        del of_persons[line]  # said with their reason
    strongest = _most_frequent_first(of_persons)[: MOST_PITFALLS // 2]
    return tuple((strongest + findings[:3] + _most_frequent_first(lines))[:MOST_PITFALLS]), gave


def _most_frequent_first(lines: Counter[str]) -> list[str]:
    return [line for line, _ in sorted(lines.items(), key=lambda item: (-item[1], item[0]))]


def pitfall_line(pitfall: EpisodePitfall) -> str:
    if pitfall.by:
        return person_line(pitfall)
    if pitfall.instead:
        return f"{pitfall.tool} can fail: {pitfall.instead} then worked"
    if pitfall.how:
        kinds = "; ".join(f"{name} {words}" for name, words in sorted(pitfall.how.items())[:3])
        return f"{pitfall.tool}: {kinds}"
    changes = [
        f"{verb} {', '.join(names)}"
        for verb, names in (("other", pitfall.changed), ("adding", pitfall.added), ("without", pitfall.removed))
        if names
    ]
    return f"{pitfall.tool} can fail: worked with {'; '.join(changes)}" if changes else ""


def _preferences(successes: Sequence[EpisodeRun]) -> tuple[str, dict[str, set[str]]]:
    """Standing wishes: taught ones at once, others where two sessions voiced them."""
    sessions: dict[str, set[str]] = defaultdict(set)
    worth: dict[str, int] = {}
    order: dict[str, str] = {}
    gave: dict[str, set[str]] = defaultdict(set)
    for run in successes:
        yield_gil()
        for texts, needed in ((run.body.teachings, 1), (run.body.corrections, 1), (run.body.wishes, 2)):
            for text in texts:
                line = shorten(tidy(text), PREFERENCE_CHARS)
                name = line.casefold()
                sessions[name].add(run.session_id)
                order.setdefault(name, line)
                worth[name] = min(worth.get(name, 9), needed)
                gave[run.task_id].add(name)
    lines = sorted(
        (name for name in order if len(sessions[name]) >= worth[name]),
        key=lambda name: (worth[name], -len(sessions[name]), name),
    )
    chosen: dict[str, None] = {}
    for name in lines:
        if len(chosen) < MOST_PREFERENCES and sum(map(len, chosen)) + len(name) <= ALL_PREFERENCES_CHARS:
            chosen[name] = None
    givers = {task: {"preference"} for task, names in gave.items() if names & chosen.keys()}
    return "\n".join(order[name] for name in chosen), givers


def _evidence(
    chosen: EpisodeRun, successes: Sequence[EpisodeRun], failures: Sequence[EpisodeRun],
    warned: Mapping[str, set[str]], wished: Mapping[str, set[str]],
) -> tuple[Evidence, ...]:  # fmt: skip
    found = []
    newest = sorted(successes, key=lambda run: (run.task_id != chosen.task_id, run.task_id))
    blamed = [run for run in failures if run.task_id in warned]
    for run in (*newest[:MOST_EVIDENCE], *blamed[: MOST_EVIDENCE // 4]):
        yield_gil()
        gave = {"body"} if run.task_id == chosen.task_id else {"support"} if run.success else set()
        gave |= warned.get(run.task_id, set()) | wished.get(run.task_id, set())
        heard = run.body.heard
        messages = [*heard.request, *(m for step in run.steps for m in step.messages)]
        if "preference" in gave:
            messages += [*heard.correction, *heard.preference]
        calls = [call for step in run.steps for call in step.calls]
        if "pitfall" in gave:
            messages += [m for pitfall in run.body.pitfalls for m in pitfall.messages]
            calls = [*(call for pitfall in run.body.pitfalls for call in pitfall.calls), *calls]
        found.append(
            Evidence(
                session_id=run.session_id,
                task_id=run.task_id,
                session_key=run.session_key,
                outcome="success" if run.success else "failed",
                message_ids=tuple(dict.fromkeys(messages))[:40],
                call_ids=tuple(dict.fromkeys(calls))[:40],
                gave=tuple(sorted(gave)),
            )
        )
    return tuple(found)


def texts_of(chosen: EpisodeRun, successes: Sequence[EpisodeRun], body: SkillBody) -> tuple[SearchText, ...]:
    """The requests behind the skill, each with the tools that make it what it is."""
    # Look-ups alone are one procedure, not several changes: they count as one tool.
    tools = chosen.writes or ("+".join(dict.fromkeys(step.tool_name for step in body.tool_sops)),)
    found: dict[str, None] = {}
    for run in sorted(successes, key=lambda run: (run.task_id != chosen.task_id, run.task_id)):
        if said := run.body.said.strip():
            found.setdefault(said)
            if len(found) >= MOST_TEXTS:
                break
    return tuple(SearchText(kind="request", text=searchable(text, tools)) for text in found)


# ------------------------------------------------------------------------------------------------- edits


def _edits(space: Space, wanted: Sequence[_SkillDraft], skills: Sequence[Skill], lost: Set[str]) -> list[SkillEdit]:
    """Edits for what differs. A skill keeps its id as long as most of its evidence stays with it."""
    ids = _ids(space, wanted, skills, lost)
    known = {skill.id: skill for skill in skills}
    edits = []
    for item, skill_id in zip(wanted, ids, strict=True):
        yield_gil()
        old = known.get(skill_id)
        if old is not None and old.origin == "human":
            continue
        edit = SkillEdit(
            skill_id=skill_id,
            title=item.title,
            status=_status(item.judgement, None if old is not None and _is_unfounded(old, lost) else old),
            origin="rules",
            body=item.body,
            evidence=item.evidence,
            score=item.judgement.score,
            score_reasons=item.judgement.reasons,
            texts=item.texts,
            reason=f"learned from {len(item.tasks)} successful run{'s' if len(item.tasks) != 1 else ''}",
        )
        if old is None or _changes(old, edit):
            edits.append(edit)
    return edits


def _changes(old: Skill, edit: SkillEdit) -> bool:
    return (
        old.body.hash != edit.body.hash
        or old.status != edit.status
        or old.evidence != edit.evidence
        or old.score != edit.score
        or old.score_reasons != edit.score_reasons
    )


def _status(judgement: Judgement, old: Skill | None) -> SkillStatus:
    """Active once the gate is passed, and from then on; what a person has decided stays decided."""
    if old is not None and old.status != "candidate":
        return old.status
    return "active" if judgement.passed else "candidate"


def _behind(skill: Skill, lost: Set[str]) -> frozenset[str]:
    """The successes that a skill stands on."""
    return frozenset(e.task_id for e in skill.evidence if e.outcome == "success" and e.task_id not in lost)


def _is_unfounded(skill: Skill, lost: Set[str]) -> bool:
    """Whether nothing stands behind it any more. (One whose conversations were deleted stays: nobody took it back.)"""
    return not _behind(skill, lost) and (skill.status == "retired" or bool(_behind(skill, frozenset())))


def _ids(space: Space, wanted: Sequence[_SkillDraft], skills: Sequence[Skill], lost: Set[str]) -> list[str]:
    """The existing skill that shares most evidence, each given once; else an id of the template's own."""
    owners: dict[str, list[str]] = defaultdict(list)
    taken = {skill.id for skill in skills if skill.origin == "model"}
    for skill in skills:
        if skill.id in taken:
            continue
        for task in _behind(skill, lost):
            owners[task].append(skill.id)
    claims: list[tuple[int, str, int]] = []
    for place, item in enumerate(wanted):
        shared = Counter(skill_id for task in item.tasks for skill_id in owners.get(task, ()))
        claims.extend((-count, skill_id, place) for skill_id, count in shared.items())
    ids: dict[int, str] = {}
    for _, skill_id, place in sorted(claims):
        if place not in ids and skill_id not in taken:
            ids[place] = skill_id
            taken.add(skill_id)
    for place, item in enumerate(wanted):
        if place not in ids:
            fresh = stable_id("skill", space.id, *item.key)
            while fresh in taken:
                fresh = stable_id("skill", fresh)
            ids[place] = fresh
            taken.add(fresh)
    return [ids[place] for place in range(len(wanted))]


def _own(wanted: Sequence[_SkillDraft], skills: Sequence[Skill], lost: Set[str]) -> list[_SkillDraft]:
    """Without those that a model's skill says already: rules leave such skills alone, and make none beside them.

    It does where most runs behind the one stand behind the other.
    """
    behind: dict[str, frozenset[str]] = {}
    by_task: dict[str, list[Skill]] = defaultdict(list)
    for skill in skills:
        if skill.origin == "model":
            behind[skill.id] = _behind(skill, lost)
            for task in behind[skill.id]:
                by_task[task].append(skill)
    found = []
    for item in wanted:
        shared: Counter[str] = Counter()
        fewest: dict[str, int] = {}
        for skill in (skill for task in item.tasks for skill in by_task.get(task, ())):
            shared[skill.id] += 1
            # One without steps covers a procedure only where it knows most of its runs.
            theirs = len(behind[skill.id]) if skill.body.tool_sops else len(item.tasks)
            fewest[skill.id] = min(len(item.tasks), theirs)
        if not any(2 * count >= fewest[id] for id, count in shared.items()):
            found.append(item)
    return found


def _retired(
    told: Set[str], own: Sequence[_SkillDraft], edits: Iterable[SkillEdit], skills: Sequence[Skill], lost: Set[str]
) -> tuple[str, ...]:
    """Learned skills that nothing stands behind any more, or of which all evidence now stands behind others."""
    kept = {edit.skill_id for edit in edits}
    still = {e.task_id: None for item in own for e in item.evidence}
    gone = []
    by_tasks = {item.tasks: None for item in own}
    for skill in skills:
        if skill.origin != "rules" or skill.status == "retired" or skill.id in kept:
            continue
        tasks = _behind(skill, lost)
        if _is_unfounded(skill, lost):
            gone.append(skill.id)
        elif tasks and tasks <= told and not any(tasks & item for item in by_tasks) and tasks.isdisjoint(still):
            gone.append(skill.id)
    return tuple(gone)


# -- what is read for a learner


def finished(tasks: Sequence[Task], moment: ReadSnapshot) -> list[FinishedTask]:
    """What a learner may read of these tasks."""
    return [
        FinishedTask(
            task=task,
            session=moment.session(task.session_id),
            messages=moment.task_messages(task),
            earlier=[str(before.data["task_description"]) for before in moment.tasks_before(task, limit=MOST_EARLIER)],
        )
        for task in tasks
    ]


async def pages_of(store: Store, space_id: str) -> list[tuple[str, ...]]:
    """Paths of the space's pages, those at the root first."""
    found: list[tuple[str, ...]] = []
    folders: list[tuple[str | None, tuple[str, ...]]] = [(None, ())]
    for folder_id, path in folders:  # grows while it is walked
        pages = await store.blocks(space_id, parent_id=folder_id, type="page")
        found += [(*path, page.title) for page in pages]
        folders += [
            (folder.id, (*path, folder.title))
            for folder in await store.blocks(space_id, parent_id=folder_id, type="folder")
        ]
    return found
