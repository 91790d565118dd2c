"""Templates: which episodes are runs of the same procedure.

The key of a run is the set of tools with which it changed something, or, where it changed nothing, the look-ups it
made. Runs with the same set of writes are one procedure even where they did them in another order or with another
look-up on the way: the body keeps the order of the run it is taken from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from acontext_store.types import Episode, Json

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """An episode as the learner reads it."""

    task_id: str
    session_id: str
    created_at: str
    body: Json

    @property
    def success(self) -> bool:
        return bool(self.body.get("status") == "success")

    @property
    def weight(self) -> float:
        return float(self.body.get("weight") or 0.0)

    @property
    def session_key(self) -> str | None:
        key = self.body.get("key")
        return key if isinstance(key, str) else None

    @property
    def principal(self) -> str:
        """Who speaks; a conversation of nobody known speaks for itself."""
        return str(self.body.get("principal") or self.session_id)

    @property
    def steps(self) -> Sequence[Json]:
        steps: Sequence[Json] = self.body.get("steps") or ()
        return steps

    @property
    def tools(self) -> Sequence[str]:
        tools: Sequence[str] = self.body.get("tools") or ()
        return tools

    @property
    def writes(self) -> tuple[str, ...]:
        """The tools that changed something, in order of first use."""
        return tuple(dict.fromkeys(step["tool"] for step in self.steps if step["write"]))

    @property
    def key(self) -> Key:
        writes = self.writes
        if writes:
            return ("writes", *sorted(writes))
        return ("reads", *sorted({step["tool"] for step in self.steps}))

    def words(self, field: str) -> list[str]:
        value: Any = self.body.get(field)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def runs_of(episodes: Iterable[Episode]) -> list[Run]:
    """One run a task, in an order of their own; of runs over the same messages the longest counts."""
    newest: dict[str, Run] = {}
    for episode in sorted(episodes, key=lambda e: (e.created_at, e.task_id)):
        newest[episode.task_id] = Run(episode.task_id, episode.session_id, episode.created_at, episode.body)
    by_session: dict[str, list[Run]] = defaultdict(list)
    for run in newest.values():
        by_session[run.session_id].append(run)
    found: list[Run] = []
    for runs in by_session.values():
        if len(runs) > 1:
            runs = _outermost(runs)
        found.extend(runs)
    return sorted(found, key=lambda run: (run.created_at, run.task_id))


def _outermost(runs: list[Run]) -> list[Run]:
    """Without those whose messages lie inside a longer one's: tasks that later became part of a bigger task."""
    kept: list[Run] = []
    reach = -1
    for run in sorted(runs, key=lambda r: (_span(r)[0], -_span(r)[1], r.task_id)):
        first, last = _span(run)
        if last and last <= reach and first:
            continue
        kept.append(run)
        reach = max(reach, last)
    return kept


def _span(run: Run) -> tuple[int, int]:
    span = run.body.get("span") or (0, 0)
    return int(span[0]), int(span[1])


def groups_of(runs: Iterable[Run]) -> dict[Key, list[Run]]:
    """Runs by template; runs that called nothing belong to none."""
    found: dict[Key, list[Run]] = defaultdict(list)
    for run in runs:
        if run.steps:
            found[run.key].append(run)
    return dict(sorted(found.items()))


def body_of(successes: Sequence[Run]) -> Run:
    """The run to show: the best believed, of these the shortest, of these the newest."""
    best = max(run.weight for run in successes)
    trusted = [run for run in successes if run.weight >= best]
    shortest = min(len(run.steps) for run in trusted)
    return max((run for run in trusted if len(run.steps) == shortest), key=lambda run: (run.created_at, run.task_id))
