"""Outcomes: which of several is to be believed, and what that makes of a task."""

from __future__ import annotations

from acontext_store.types import Outcome, Task, TaskStatus

#: The weight of what a person or a program states on purpose: a report, a verifier, a labelled import.
EXPLICIT = 1.0
#: Up to this weight it only tells how a run ended, and what comes after it may show otherwise.
BARE = 0.5
_VERDICTS = ("success", "failed")


def is_verdict(outcome: Outcome | None) -> bool:
    """Whether it says success or failure, and may be believed."""
    return outcome is not None and outcome.weight > 0 and outcome.status in _VERDICTS


def weightier(current: Outcome | None, new: Outcome) -> Outcome:
    """The one to believe: the weightier; among equals the later."""
    return new if current is None or new.weight >= current.weight else current


def status_of(outcome: Outcome | None, *, closed: bool, replied: bool) -> TaskStatus:
    """What a task with this outcome is."""
    if outcome is not None and outcome.weight > 0:
        if outcome.status == "success":
            return "success"
        if outcome.status == "failed":
            return "failed"
        return "running" if outcome.status == "interrupted" else "pending"
    return "running" if replied and not closed else "pending"


def differs(old: Task | None, new: Task) -> bool:
    """Whether `new` says something else than the task that is kept."""
    if old is None:
        return True
    ignored = {"space_digested", "created_at", "updated_at"}
    return old.model_dump(exclude=ignored) != new.model_dump(exclude=ignored)
