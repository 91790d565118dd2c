"""Injections: which skills a run was shown, where they stand in its conversation, and the interface to keep that."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from pydantic import Field

from .future import Pending
from .types import Record, new_id, now


class Injection(Record):
    """The skills that a run was shown, or that were withheld from it."""

    id: str = Field(default_factory=new_id)
    space_id: str
    session_id: str | None = None
    run_id: str | None = None
    skill_ids: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()
    shown: bool = True
    propensity: float = 1.0
    #: SHA-256 of the text that entered the prompt.
    text_hash: str = ""
    tokens: int = 0
    #: Where the skills stand that this run was the first of its session to be shown; None = there were none. "" is
    #: behind the agent's instructions; else the name of a turn of the user.
    anchor: str | None = None
    #: Those skills, each with the fingerprint of its text.
    placed: tuple[tuple[str, str], ...] = ()
    #: The newest turn when they were placed.
    turn: str = ""
    created_at: str = Field(default_factory=now)


class InjectionStore(Protocol):
    """The part of a `Store` that keeps what was injected."""

    def log_injection(self, injection: Injection) -> Pending[None]:
        """Keep which skills a run was shown, or would have been shown."""

    def injections(self, space_id: str, *, limit: int = 100) -> Pending[list[Injection]]:
        """Injections of the space, newest first: `limit` items at most."""

    def placements(
        self, space_id: str, session_id: str, anchors: Collection[str] | None = None
    ) -> Pending[list[Injection]]:
        """Injections of the session that placed skills of the space at these anchors (None = any), oldest first.

        At most 256, and of more than 256 anchors the last: a conversation has room for few. A session or a space that
        is not there has none.
        """
