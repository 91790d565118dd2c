"""What a proxy, a process of its own, has written into its database."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from acontext_adapters.testing.memory_clients import lines_of
from acontext_store.open import open_store
from acontext_store.types import Outcome, Session, StoredMessage


@dataclass(frozen=True)
class Kept:
    """One conversation."""

    session: Session
    messages: tuple[StoredMessage, ...]
    outcomes: tuple[Outcome, ...]
    tasks: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        return [line for message in self.messages for line in lines_of(message)]

    @property
    def runs(self) -> list[str | None]:
        return list(dict.fromkeys(message.run_id for message in self.messages))

    @property
    def ends(self) -> list[tuple[str, str]]:
        """The newest outcome of each run: its status, and its reason."""
        newest = {outcome.run_id: (outcome.status, outcome.reason) for outcome in self.outcomes}
        return list(newest.values())


def all_in(database: Path) -> list[Kept]:
    """The newest two hundred conversations, oldest first."""
    with closing(open_store(f"sqlite:///{database}", project_id="default")) as store:
        found = []
        for session in store.sessions(limit=200, time_desc=True).result().items:
            # the other way round than they are written: what an outcome speaks of is there
            outcomes = tuple(store.outcomes(session.id).result())
            tasks = tuple(task.status for task in store.tasks(session.id).result().items)
            messages = tuple(store.messages(session.id).result().items)
            found.append(Kept(session, messages, outcomes, tasks))
    return found[::-1]


def kept_in(database: Path, key: str) -> Kept | None:
    """The conversation of this key under the scope of the virtual key; None while there is none."""
    found = [kept for kept in all_in(database) if (kept.session.key or "").endswith(f"/{key}")]
    assert len(found) < 2, f"{key} is more than one conversation"
    return found[0] if found else None


def having(database: Path, words: str) -> list[Kept]:
    """The conversations in which the user has said so."""
    return [kept for kept in all_in(database) if f"user: {words}" in kept.lines]


def skills_in(database: Path, space: str) -> list[str]:
    """The ids of the skills that may be injected."""
    with closing(open_store(f"sqlite:///{database}", project_id="default")) as store:
        found = [one for one in store.spaces(limit=200).result().items if one.name == space]
        return [skill.id for one in found for skill in store.skills(one.id, statuses=("active",)).result()]


def once(state: Callable[[], object], what: str) -> None:
    """Wait until `state` is true. Raises AssertionError after half a minute."""
    pause, end = threading.Event(), time.monotonic() + 30
    while time.monotonic() < end:
        if state():
            return
        pause.wait(0.05)
    raise AssertionError(f"this has not come about: {what}")


def when(database: Path, key: str, state: Callable[[Kept], bool]) -> Kept:
    """The conversation, once it is in this state. Raises AssertionError with what is there after half a minute."""
    found: list[Kept] = []

    def reached() -> bool:
        kept = kept_in(database, key)
        if kept is not None:
            found[:] = [kept]
        return kept is not None and state(kept)

    try:
        once(reached, key)
    except AssertionError as error:
        words = json.dumps([(kept.lines, kept.ends) for kept in found])
        raise AssertionError(f"{error}; the conversation {key!r} is {words}") from None
    return found[0]
