"""Difficulty: what makes a task worth learning. The four of code, and the rules that a project adds.

The code's signals come from executed calls and from what users said; a model has no say in them. A project's own
rules are judged by the model, which must quote the words that show it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from acontext_plugins.settings import ScoringRule
from acontext_plugins.transcript.user_turns import TurnReader, own_words
from acontext_store.types import Message, Space

from .procedures import ENOUGH, EpisodeRun

log = logging.getLogger("acontext")

MOST_RULES = 20


@dataclass(frozen=True, slots=True)
class Signal:
    """Points, and why they are given."""

    points: float
    reason: str


WRONG_ARGUMENTS = Signal(1.0, "wrong arguments that were put right")
WRONG_WAY = Signal(1.0, "a way that was given up")
CORRECTED = Signal(2.0, "corrected by the user")
TOLD = Signal(2.0, "the user said what to remember or to prefer")


def signals_of(run: EpisodeRun, messages: Sequence[Message]) -> tuple[Signal, ...]:
    """What this run shows by itself."""
    pitfalls = run.body.pitfalls
    found = []
    if any(not pitfall.instead for pitfall in pitfalls):
        found.append(WRONG_ARGUMENTS)
    if run.body.abandoned or any(pitfall.instead for pitfall in pitfalls):
        found.append(WRONG_WAY)
    if run.body.corrections or was_corrected(messages):
        found.append(CORRECTED)
    if run.body.teachings or run.body.wishes:
        found.append(TOLD)
    return tuple(found)


def was_corrected(messages: Sequence[Message]) -> bool:
    """Whether a user objected to what the agent had done."""
    reader = TurnReader()
    for message in messages:
        if message.role == "assistant":
            reader.agent(message)
        text = own_words(message.text) if message.role == "user" else ""
        if text and reader.user(text) == "correction" and reader.acted:
            return True
    return False


def score_of(signals: Iterable[Signal]) -> tuple[float, tuple[str, ...]]:
    """Points and reasons; each signal counts once, however many runs show it."""
    counted = dict.fromkeys(signals)
    return sum(signal.points for signal in counted), tuple(signal.reason for signal in counted)


def is_hard(signals: Iterable[Signal]) -> bool:
    return score_of(signals)[0] >= ENOUGH


def rules_of(space: Space, rules: Sequence[ScoringRule]) -> list[ScoringRule]:
    """The project's own scoring rules: those of the settings, then those of the space (`configs["scoring_rules"]`)."""
    found = list(rules)
    own = (space.configs or {}).get("scoring_rules")
    for item in own if isinstance(own, list) else ():
        try:
            found.append(ScoringRule.model_validate(item))
        except ValidationError:
            log.warning("acontext: space %s has an invalid scoring rule, which is ignored", space.id)
    return found[:MOST_RULES]


def signal_of(rule: ScoringRule) -> Signal:
    return Signal(float(rule.points), rule.description)
