"""Procedures: which episodes are runs of the same one, what they show, whether it is enough, and how it is put.

The key of a run is the set of tools with which it changed something, or, where it changed nothing, the look-ups it
made. Runs with the same set of writes are one procedure even where they did them in another order or with another
look-up on the way: the body keeps the order of the run it is taken from.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from acontext_store.tokenizer import words
from acontext_store.types import OUTCOME_WEIGHTS, Episode, Step

from ..concurrency.background import yield_gil
from ..concurrency.limited_log import LimitedLog
from ..transcript.tool_calls import phrase
from ..transcript.user_turns import sentences
from .episode_body import EpisodeBody, EpisodeStep
from .statistics import benjamini_hochberg, fisher_exact, log_odds

_log = LimitedLog(logging.getLogger("acontext"))

Key = tuple[str, ...]
#: How alike (Jaccard) the look-ups of two runs with the same writes must be for them to be one procedure.
SAME_READS = 0.25
#: A step that this share of successes took belongs to the procedure.
USUAL = 0.8


@dataclass(frozen=True, slots=True)
class EpisodeRun:
    """An episode as the learner reads it."""

    task_id: str
    session_id: str
    created_at: str
    body: EpisodeBody

    @property
    def success(self) -> bool:
        return self.body.status == "success"

    @property
    def weight(self) -> float:
        return self.body.weight

    @property
    def session_key(self) -> str | None:
        return self.body.key

    @property
    def principal(self) -> str:
        """Who speaks; a conversation of nobody known speaks for itself."""
        return self.body.principal or self.session_id

    @property
    def steps(self) -> Sequence[EpisodeStep]:
        return self.body.steps

    @property
    def tools(self) -> Sequence[str]:
        return self.body.tools

    @property
    def writes(self) -> tuple[str, ...]:
        """The tools that changed something, in order of first use."""
        return tuple(dict.fromkeys(step.tool for step in self.steps if step.write))

    @property
    def reads(self) -> frozenset[str]:
        return frozenset([step.tool for step in self.steps if not step.write])


def read_runs(episodes: Iterable[Episode]) -> Iterator[EpisodeRun]:
    """Each episode as a run. One of another shape is left out, with a warning; it stays in the store."""
    for episode in episodes:
        yield_gil()
        try:
            body = EpisodeBody.model_validate(episode.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            _log.warning(
                episode.space_id,
                "acontext: the episode of task %s in space %s cannot be read, and is left out of learning: %s: %s",
                episode.task_id,
                episode.space_id,
                ".".join(map(str, first["loc"])),
                first["msg"],
            )
        else:
            yield EpisodeRun(episode.task_id, episode.session_id, episode.created_at, body)


def runs_of(episodes: Iterable[Episode]) -> list[EpisodeRun]:
    """One run a task, in an order of their own; of runs over the same messages the longest counts."""
    newest: dict[str, EpisodeRun] = {}
    for run in read_runs(sorted(episodes, key=lambda e: (e.created_at, e.task_id))):
        newest[run.task_id] = run
    by_session: dict[str, list[EpisodeRun]] = defaultdict(list)
    for run in newest.values():
        by_session[run.session_id].append(run)
    found: list[EpisodeRun] = []
    for runs in by_session.values():
        yield_gil()
        if len(runs) > 1:
            runs = _outermost(runs)
        found.extend(runs)
    return sorted(found, key=lambda run: (run.created_at, run.task_id))


def _outermost(runs: list[EpisodeRun]) -> list[EpisodeRun]:
    """Without those whose messages lie inside a longer one's: tasks that later became part of a bigger task."""
    kept: list[EpisodeRun] = []
    reach = -1
    for run in sorted(runs, key=lambda r: (_pieces(r)[0][0], -_pieces(r)[-1][1], r.task_id)):
        first, last = _pieces(run)[0][0], _pieces(run)[-1][1]
        if last and last <= reach and first and any(_lies_in(run, other) for other in kept):
            continue
        kept.append(run)
        reach = max(reach, last)
    return kept


def _pieces(run: EpisodeRun) -> list[tuple[int, int]]:
    """Its messages, from which to which."""
    return run.body.pieces or [run.body.span]


def _lies_in(run: EpisodeRun, other: EpisodeRun) -> bool:
    around = _pieces(other)
    return all(any(start <= first and last <= end for start, end in around) for first, last in _pieces(run))


def groups_of(runs: Iterable[EpisodeRun]) -> dict[Key, list[EpisodeRun]]:
    """Runs by template; runs that called nothing belong to none.

    Within one set of writes, runs whose look-ups are too different are different procedures: each distinct set of
    look-ups, the most frequent first, joins the nearest procedure so far or begins a new one.
    """
    key: Key
    by_writes: dict[Key, dict[frozenset[str], list[EpisodeRun]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        yield_gil()
        if run.steps:
            writes, reads = run.writes, run.reads
            key = ("writes", *sorted(writes)) if writes else ("reads", *sorted(reads))
            by_writes[key][reads].append(run)
    found: dict[Key, list[EpisodeRun]] = {}
    for key, by_reads in sorted(by_writes.items()):
        leaders: list[frozenset[str]] = []
        for reads in sorted(by_reads, key=lambda reads: (-len(by_reads[reads]), sorted(reads))):
            near = max(leaders, key=lambda leader: _overlap(leader, reads), default=None)
            if near is None or _overlap(near, reads) < SAME_READS:
                near = reads
                leaders.append(reads)
            place = key if near == leaders[0] else (*key, "with", *sorted(near))
            found.setdefault(place, []).extend(by_reads[reads])
    return found


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard similarity; two runs without look-ups are alike."""
    return len(one & other) / len(one | other) if one or other else 1.0


def body_of(successes: Sequence[EpisodeRun]) -> EpisodeRun:
    """The run to show: the best believed, with the steps nearly all share, of these the shortest, then the newest.

    A run that got by without what the others did (a check, a login) is shorter, but no example.
    """
    best = max(run.weight for run in successes)
    trusted = [run for run in successes if run.weight >= best]
    users = Counter(tool for run in trusted for tool in {step.tool for step in run.steps})
    usual = {tool for tool, count in users.items() if count >= USUAL * len(trusted)}

    def missing(run: EpisodeRun) -> int:
        return len(usual - {step.tool for step in run.steps})

    complete = min(map(missing, trusted))
    shortest = min(len(run.steps) for run in trusted if missing(run) == complete)
    return max(
        (run for run in trusted if missing(run) == complete and len(run.steps) == shortest),
        key=lambda run: (run.created_at, run.task_id),
    )


# ------------------------------------------------------------------- contrast: what failures did that successes did not


#: Runs needed on each side, and the false discovery rate that is accepted.
SIDE, Q = 5, 0.1
#: Failures that must have broken an order that all successes kept.
BROKEN = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """A feature that goes with success ("do") or with failure ("avoid")."""

    feature: str
    verdict: str
    strength: float


def contrast(successes: Sequence[EpisodeRun], failures: Sequence[EpisodeRun]) -> list[Finding]:
    """Tools whose presence separates the two sides, strongest first."""
    if len(successes) < SIDE or len(failures) < SIDE:
        return []
    good = [set(run.tools) for run in successes]
    bad = [set(run.tools) for run in failures]
    tools = sorted(set().union(*good, *bad))
    tables = []
    for tool in tools:
        a, c = sum(tool in run for run in bad), sum(tool in run for run in good)
        tables.append((a, len(bad) - a, c, len(good) - c))
    q_values = benjamini_hochberg([fisher_exact(*table) for table in tables])
    found = []
    for tool, table, q in zip(tools, tables, q_values, strict=True):
        if q < Q:
            strength = log_odds(*table)
            found.append(Finding(tool, "avoid" if strength > 0 else "do", abs(strength)))
    return sorted(found, key=lambda finding: (-finding.strength, finding.feature))


def order_rules(successes: Sequence[EpisodeRun], failures: Sequence[EpisodeRun]) -> list[tuple[str, str]]:
    """Pairs (look-up, then change) that every success kept and several failures broke."""
    if len(successes) < SIDE or len(failures) < BROKEN:
        return []
    places = [_first_places(run.tools) for run in successes]
    common = sorted(set.intersection(*(set(place) for place in places)))[:12]
    writes = {tool for run in successes for tool in run.writes}
    wrong = [_first_places(run.tools) for run in failures]
    found = []
    for first in common:
        for then in common:
            if first == then or then not in writes or not all(place[first] < place[then] for place in places):
                continue
            broken = sum(then in place and place.get(first, len(place)) > place[then] for place in wrong)
            if broken >= BROKEN:
                found.append((first, then))
    return found


def _first_places(tools: Sequence[str]) -> dict[str, int]:
    places: dict[str, int] = {}
    for at, tool in enumerate(tools):
        places.setdefault(tool, at)
    return places


# ---------------------------------------------------------- promotion: whether runs have taught something worth showing


ENOUGH = 2.0
_TEACHERS = frozenset(["import", "report", "verifier"])
#: What a framework's bare "it ended" weighs: a report of a source that may claim no more is worth no more.
_TOLD_BY_ITSELF = OUTCOME_WEIGHTS["framework"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Points, why they were given, and whether they are enough."""

    score: float
    reasons: tuple[str, ...]
    passed: bool


def judge(successes: Sequence[EpisodeRun]) -> Judgement:
    """Points for what was hard to find out or was taught; below the gate a skill stays a candidate."""
    points: list[tuple[float, str]] = []
    fixed: dict[str, int] = {}  # by conversation: what one says twice it has said once
    for run in successes:
        own = sum(not pitfall.by for pitfall in run.body.pitfalls)
        fixed[run.session_id] = max(fixed.get(run.session_id, 0), own)
    fixes = sum(fixed.values())
    if fixes:
        points.append((float(min(fixes, 3)), "errors that were put right"))
    if any(run.body.abandoned for run in successes):
        points.append((1.0, "a way that was given up"))
    corrected = any(run.body.corrections for run in successes)
    if corrected:
        points.append((2.0, "corrected by the user"))
    reviewed = any(pitfall.by for run in successes for pitfall in run.body.pitfalls)
    if reviewed:
        points.append((2.0, "a call was changed or refused by a person"))
    told = any(run.body.teachings for run in successes)
    if told:
        points.append((2.0, "the user said always, never or remember"))
    labelled = any(run.body.source in _TEACHERS and run.weight > _TOLD_BY_ITSELF for run in successes)
    if labelled:
        points.append((2.0, "its success was reported"))
    if any(len(set(run.tools)) >= 4 or len(run.writes) >= 2 for run in successes):
        points.append((1.0, "four or more tools, or two or more changes"))
    sessions = len({run.session_id for run in successes})
    if sessions >= 3:
        points.append((1.0, "seen in three or more conversations"))
    score = sum(worth for worth, _ in points)
    taught = corrected or reviewed or told or labelled
    return Judgement(score, tuple(reason for _, reason in points), score >= ENOUGH and (sessions >= 2 or taught))


# ----------------------------------------------------- phrasing: every name was executed, every other word was a user's


USE_WHEN_CHARS = 125
ACTION_CHARS = 90
TRACE_CHARS = 240
MOST_STEPS = 40
MOST_VARIABLES = 60
REQUEST_CHARS = 70
#: Of how many runs the requests are read.
READ_RUNS = 40
_GREETING = re.compile(
    r"^(?:(?:hi|hello|hey|dear|good (?:morning|afternoon|evening)|context|question|please)\b[\s,.!:;]*(?:there"
    r"|team)?[\s,.!:;]*)+",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"\?\s*$|\b(?:i(?:['’]d| would| want| need| wish)|(?:can|could|would) you|please|help|need to|what|how|which)\b",
    re.IGNORECASE,
)
#: Data rather than speech.
_MARKUP = re.compile(r"[\[\]\"=<>/\\_*#]|(?<=\w)\(|\{\s|: \{")
_JUNK = re.compile(r"[<>`|\\]+")


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, cut between words."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    space = cut.rfind(" ")
    return (cut[:space] if space > limit // 2 else cut).rstrip(" ,.;:-{") + "…"


def tidy(text: str) -> str:
    """A user's words as one plain line: no greeting, nothing that could be taken for markup."""
    text = _JUNK.sub(" ", text)
    text = re.sub(r"\s+", " ", text).strip()
    return _GREETING.sub("", text).strip() or text


def title_of(run: EpisodeRun) -> str:
    names = run.writes or tuple(dict.fromkeys(step.tool for step in run.steps))
    return shorten(", ".join(phrase(name) for name in names), 80)


def use_when_of(body: EpisodeRun, runs: Sequence[EpisodeRun]) -> str:
    """What is done, as the tools name it, and how a user has asked for it."""
    names = body.writes or tuple(dict.fromkeys(step.tool for step in body.steps))
    done = shorten(", ".join(dict.fromkeys(phrase(name) for name in names)), USE_WHEN_CHARS - REQUEST_CHARS)
    asked = typical_request(body, runs)
    return f"{done}: {shorten(asked, USE_WHEN_CHARS - len(done) - 2)}" if asked else done


def typical_request(body: EpisodeRun, runs: Sequence[EpisodeRun]) -> str:
    """The sentence, of all that asked for this, that names the tools best and is most like what the others said."""
    asked = [body, *(run for run in runs if run.task_id != body.task_id)][:READ_RUNS]
    spoken_of = {word for name in (body.writes or body.tools) for word in words(phrase(name))}
    shared = Counter(word for run in asked for word in {*words(" ".join(run.body.request))})
    best, chosen = float("-inf"), ""
    for run in asked:
        heard = (s for part in run.body.request for s in sentences(tidy(part)))
        for place, sentence in enumerate(heard):
            if len(sentence) < 8 or len(_MARKUP.findall(sentence)) > 0.04 * len(sentence):
                continue
            worth = _plainness(sentence, spoken_of, shared, len(asked)) - 0.1 * min(place, 10)
            if worth > best:
                best, chosen = worth, sentence
    return chosen


def _plainness(sentence: str, spoken_of: set[str], shared: Mapping[str, int], runs: int) -> float:
    """How much a sentence sounds like the request for these tools."""
    said = set(words(sentence))
    overlap = len(spoken_of & said)
    typical = sum(shared.get(word, 0) for word in said) / (runs * (len(said) + 1))
    asked = 1.0 if _ASKING.search(sentence) else 0.0
    return overlap + 2 * typical + asked - 0.5 * min(2, sentence.count("{")) - (1.0 if len(sentence) < 20 else 0.0)


def steps_of(
    body: EpisodeRun, successes: Sequence[EpisodeRun], literals: Mapping[tuple[str, str], str]
) -> tuple[Step, ...]:
    """The body's steps, each with the share of successes that took it."""
    seen = Counter(tool for run in successes for tool in {step.tool for step in run.steps})
    total = len(successes)
    return tuple(
        Step(
            tool_name=step.tool,
            action=action_of(step, literals),
            support=round(seen[step.tool] / total, 3),
        )
        for step in body.steps[:MOST_STEPS]
    )


def action_of(step: EpisodeStep, literals: Mapping[tuple[str, str], str]) -> str:
    """Which arguments, and where each comes from."""
    by_source: dict[str, list[str]] = {}
    fixed: list[str] = []
    for parameter, sources in step.args.items():
        literal = literals.get((step.tool, parameter))
        if literal is not None:
            fixed.append(f"{parameter}={literal}")
            continue
        by_source.setdefault(origin_of(sources, step.tool), []).append(parameter)
    parts = []
    for origin, parameters in by_source.items():
        names = ", ".join(parameters)
        parts.append(f"{names} from {origin}" if origin else names)
    parts.extend(fixed)
    text = "; ".join(parts) or "call"
    if step.n > 1:
        text = f"each: {text}"
    return shorten(text, ACTION_CHARS)


def origin_of(sources: Sequence[str], tool: str) -> str:
    """In words where a value comes from: "" = nothing is known."""
    tools = [source[1:] for source in sources if source.startswith(">") and source[1:] != tool]
    if tools:
        return tools[0]
    if "user" in sources:
        return "user"
    return "config" if "config" in sources else ""


def trace_of(body: EpisodeRun, literals: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
    """The shortest success, values masked: one line a step."""
    lines = []
    for step in body.steps[:MOST_STEPS]:
        arguments = ", ".join(
            f"{parameter}={literals.get((step.tool, parameter)) or _slot(parameter, sources, step.tool)}"
            for parameter, sources in step.args.items()
        )
        lines.append(shorten(f"{step.tool}({arguments})", TRACE_CHARS))
    return tuple(lines)


def variables_of(body: EpisodeRun, literals: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """Each variable of the trace with where its value comes from."""
    found: dict[str, str] = {}
    for step in body.steps:
        for parameter, sources in step.args.items():
            if (step.tool, parameter) in literals:
                continue
            origin = origin_of(sources, step.tool)
            found.setdefault(
                _variable(parameter, sources, step.tool),
                {"user": "said by the user", "config": "the agent's own settings", "": "up to the agent"}.get(
                    origin, f"from the result of {origin}"
                ),
            )
    return dict(list(found.items())[:MOST_VARIABLES])


def _slot(parameter: str, sources: Sequence[str], tool: str) -> str:
    return "{" + _variable(parameter, sources, tool) + "}"


def _variable(parameter: str, sources: Sequence[str], tool: str) -> str:
    origin = origin_of(sources, tool)
    return f"{origin}.{parameter}" if origin else parameter
