"""Costs: what models have taken, for the people who pay."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, time

from acontext_store.errors import InvalidInput
from acontext_store.ledger import Cost, CostBy
from acontext_store.protocols import Store


class CostQueries:
    """What the models of one project have taken."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def costs(
        self,
        *,
        by: Collection[CostBy] = (),
        space_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> list[Cost]:
        return await self.store.costs(
            by=by, space_id=space_id, since=_moment("since", since), until=_moment("until", until)
        )


def _moment(name: str, text: str | None) -> str | None:
    """A day or a moment as the ledger has it. Raises InvalidInput."""
    if text is None:
        return None
    try:
        if "T" in text.upper() or " " in text.strip():
            found = datetime.fromisoformat(text.strip())
        else:
            found = datetime.combine(date.fromisoformat(text.strip()), time())
        known = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{name}: a day (2026-01-31) or a moment (2026-01-31T12:00:00Z) in UTC is wanted, found {text[:40]!r}"
        ) from None
    return known.isoformat(timespec="microseconds").replace("+00:00", "Z")
