"""Sessions that are due at once are observed together, where that is quickly done: one look at the database for all
of them, one computation, and one commit."""

from __future__ import annotations

from collections.abc import Sequence

from acontext_store.errors import NotFound
from acontext_store.protocols import ReadSnapshot, Store
from acontext_store.types import Claim, TaskOps

from ..observe.rules import whole
from ..protocols import Observation, ObserverOfMany


async def decide(store: Store, observer: ObserverOfMany, claims: Sequence[Claim]) -> list[TaskOps | Exception]:
    """What the observer decides of each claimed session, or why it could not. Raises what the database raises."""
    keys = [claim.key for claim in claims]
    read = await store.read_snapshot(lambda moment: [_read(key, moment) for key in keys])
    known = [one for one in read if isinstance(one, Observation)]
    decided = iter(await observer.observe_each(known))
    return [next(decided) if isinstance(one, Observation) else one for one in read]


def _read(session_id: str, moment: ReadSnapshot) -> Observation | Exception:
    try:
        return whole(session_id, moment)
    except NotFound as error:
        return error
