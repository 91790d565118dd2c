"""The storage interface for sources of outcomes: whose word counts how much."""

from __future__ import annotations

from typing import Protocol

from .future import Pending
from .outcome_sources import NamedSource, Revocation


class SourceStore(Protocol):
    """The part of a `Store` that knows by name who gives outcomes.

    An outcome of a name that is not registered weighs what its way allows; of a registered one, no more than its
    strength at the time of the append; of a revoked one, nothing. A name that cannot be one raises InvalidInput.
    """

    def register_source(self, name: str, *, strength: float, note: str | None = None) -> Pending[NamedSource]:
        """Set what outcomes of that name may claim from now on, also where it was revoked.

        `strength` is the most that they weigh, from 0 to 1. What was said before keeps the strength that it had.
        `note` None = as it is. Raises InvalidInput.
        """

    def named_sources(self) -> Pending[list[NamedSource]]:
        """All names that are registered, or have given an outcome, in alphabetical order."""

    def revoke_source(self, name: str, *, limit: int = 100, quiet: float = 0.0, max_wait: float = 0.0) -> Pending[int]:
        """Believe nothing of what that name said or will say; call it until the result is 0.

        The outcomes of at most `limit` sessions get the strength 0, and these sessions are as if nobody had observed
        them: their tasks and episodes go, they are due to be observed after `quiet` seconds, and the spaces that
        learned from them are due to learn after `max_wait` seconds; until a session is observed, what it taught
        stands (`ReadSnapshot.learned_from`). The result is the number of these sessions. What stood there is
        remembered for `revocation`. Safe to repeat, and to leave half done. Raises NotFound for a name that nobody
        has registered or used.
        """

    def revocation(self, name: str) -> Pending[Revocation]:
        """What rested on that name, and what has become of it so far. Raises NotFound for one that is not revoked."""
