"""Promotion: when a group of runs has taught something worth showing to an agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .templates import EpisodeRun

ENOUGH = 2.0
_TEACHERS = frozenset(["import", "report", "verifier"])


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
        fixed[run.session_id] = max(fixed.get(run.session_id, 0), len(run.body.pitfalls))
    fixes = sum(fixed.values())
    if fixes:
        points.append((float(min(fixes, 3)), "errors that were put right"))
    if any(run.body.abandoned for run in successes):
        points.append((1.0, "a way that was given up"))
    corrected = any(run.body.corrections for run in successes)
    if corrected:
        points.append((2.0, "corrected by the user"))
    told = any(run.body.teachings for run in successes)
    if told:
        points.append((2.0, "the user said always, never or remember"))
    labelled = any(run.body.source in _TEACHERS for run in successes)
    if labelled:
        points.append((2.0, "its success was reported"))
    if any(len(set(run.tools)) >= 4 or len(run.writes) >= 2 for run in successes):
        points.append((1.0, "four or more tools, or two or more changes"))
    sessions = len({run.session_id for run in successes})
    if sessions >= 3:
        points.append((1.0, "seen in three or more conversations"))
    score = sum(worth for worth, _ in points)
    taught = corrected or told or labelled
    return Judgement(score, tuple(reason for _, reason in points), score >= ENOUGH and (sessions >= 2 or taught))
