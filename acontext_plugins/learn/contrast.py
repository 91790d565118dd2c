"""Contrast: what failures did that successes of the same procedure did not, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .statistics import benjamini_hochberg, fisher_exact, log_odds
from .templates import EpisodeRun

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
