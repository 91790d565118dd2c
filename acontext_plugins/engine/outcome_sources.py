"""Sources of outcomes, for people: who is known, what each may claim, and what goes with one that turns out wrong."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection

from acontext_store.outcome_sources import NamedSource, Revocation, check_source_name
from acontext_store.protocols import Store
from acontext_store.types import SOURCE_NAME_CHARS, LaneKind

from ..record.redaction.redactor import Scrubber
from ..settings import DebounceWindow

#: Does the due work of that kind on these keys, until a moment of `time.monotonic` (None = for as long as it takes).
Settle = Callable[[LaneKind, Collection[str], float | None], Awaitable[object]]


class OutcomeSourceAdmin:
    """Registers, lists and revokes the sources of outcomes of one project."""

    def __init__(
        self, store: Store, *, scrubber: Scrubber, patience: DebounceWindow, settle: Settle, asks_model: bool
    ) -> None:
        """`asks_model`: what is observed or learned anew costs a model's calls, and is left to the background."""
        self.store = store
        self._scrubber = scrubber
        self._patience = patience
        self._settle = settle
        self._asks_model = asks_model

    async def outcome_sources(self) -> list[NamedSource]:
        return await self.store.named_sources()

    async def register_outcome_source(
        self, name: str, *, strength: float = 1.0, note: str | None = None
    ) -> NamedSource:
        note = note and self._scrubber.redact_text("outcome sources", note)
        return await self.store.register_source(self._clean(name), strength=strength, note=note)

    async def revoke_outcome_source(self, name: str, *, timeout: float | None = None) -> Revocation:
        deadline = None if timeout is None else time.monotonic() + timeout
        name = self._clean(name)
        while await self.store.revoke_source(name, quiet=self._patience.quiet, max_wait=self._patience.max_wait):
            if deadline is not None and time.monotonic() > deadline:
                break
        if not self._asks_model:
            await self._settle("observe", (await self.store.revocation(name)).waiting_sessions, deadline)
            await self._settle("learn", (await self.store.revocation(name)).waiting_spaces, deadline)
        found = await self.store.revocation(name)
        if found.settled:
            return found
        late = deadline is not None and time.monotonic() > deadline
        return found.model_copy(update={"waits_for": "model" if self._asks_model else "time" if late else "failure"})

    def _clean(self, name: str) -> str:
        """The name as outcomes have it: with a secret in it, it is kept without."""
        return self._scrubber.redact_text("outcome sources", check_source_name(name))[:SOURCE_NAME_CHARS]
