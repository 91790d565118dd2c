"""Templates: which episodes are runs of the same procedure.

The key of a run is the set of tools with which it changed something, or, where it changed nothing, the look-ups it
made. Runs with the same set of writes are one procedure even where they did them in another order or with another
look-up on the way: the body keeps the order of the run it is taken from.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from acontext_store.types import Episode

from ..concurrency.cooperative import yield_gil
from ..concurrency.limited_log import LimitedLog
from .episode_body import EpisodeBody, EpisodeStep

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
