"""Sources of outcomes, for both clients: whose word counts how much, and what goes with one that turns out wrong."""

from __future__ import annotations

from collections.abc import Sequence

from acontext_store.outcome_sources import NamedSource, Revocation

from .connection import AsyncResource


class AsyncOutcomeSources(AsyncResource):
    """Those who say how runs went, by the name that `report(by=...)` gives: verifiers, persons, frameworks."""

    async def list(self) -> Sequence[NamedSource]:
        """The sources that are registered or have given an outcome, by name.

        >>> [source.name for source in await client.outcome_sources.list()]
        []
        """
        return await self._service.outcome_sources()

    async def register(self, name: str, *, strength: float = 1.0, note: str | None = None) -> NamedSource:
        """Set the most that outcomes of that name may claim from now on.

        `strength` goes from 0 (nothing) to 1 (as much as the host itself). A source that was revoked counts again; what
        it said before stays withdrawn. `note` is for people; None leaves it as it is. Raises InvalidInput.

        >>> source = await client.outcome_sources.register("unit-tests", strength=0.8)
        >>> source.strength
        0.8
        """
        return await self._service.register_outcome_source(name, strength=strength, note=note)

    async def revoke(self, name: str, *, timeout: float | None = None) -> Revocation:
        """Believe nothing of what that source said or will say, and withdraw what rested on it alone.

        Its conversations are observed anew, and spaces learn from what is left; the result lists the tasks and skills
        that this concerns. Where models observe and learn, that is left to the background, and `waits_for` says so.
        It is safe to call again: that goes on where it was stopped, after `timeout` seconds for instance (None = no
        limit), and lists what has become of it. Raises NotFound for a name that nobody has registered or used.

        >>> source = await client.outcome_sources.register("unit-tests", strength=0.8)
        >>> revocation = await client.outcome_sources.revoke("unit-tests")
        >>> revocation.source.strength, revocation.skills
        (0.0, ())
        """
        return await self._service.revoke_outcome_source(name, timeout=timeout)
