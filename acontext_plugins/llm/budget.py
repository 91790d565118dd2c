"""What a space may spend on models in a day (UTC), and what it has spent."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from acontext_store.errors import BudgetSpent, InvalidInput, NotFound
from acontext_store.ledger import Cost
from acontext_store.protocols import Store
from acontext_store.types import Json

from ..concurrency.limited_log import LimitedLog

log = logging.getLogger("acontext")

#: The place in a space's configs.
CONFIG = "budget"
_NAMES = ("daily_tokens", "daily_cost")
#: How often the ledger is read again while calls are being written into it.
_READS = 5


@dataclass(frozen=True, slots=True)
class Budget:
    """Of a day (UTC). 0 = no limit."""

    daily_tokens: int = 0
    daily_cost: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.daily_tokens or self.daily_cost)


def budget_of(configs: Mapping[str, Any] | None, otherwise: Budget) -> Budget:
    """What a space's configs say, `{"budget": {"daily_tokens": 200000, "daily_cost": 1.5}}`. Raises InvalidInput."""
    given = (configs or {}).get(CONFIG)
    if given is None:
        return otherwise
    if not isinstance(given, Mapping) or given.keys() - set(_NAMES):
        raise InvalidInput(f"configs.{CONFIG}: an object with {' and '.join(_NAMES)} is wanted, 0 = no limit")
    for name, value in given.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or value < 0 or (name == "daily_tokens" and value != int(value)):
            raise InvalidInput(f"configs.{CONFIG}.{name}: a number of 0 or more is wanted, 0 = no limit")
    return Budget(
        daily_tokens=int(given.get("daily_tokens", otherwise.daily_tokens)),
        daily_cost=float(given.get("daily_cost", otherwise.daily_cost)),
    )


@dataclass(slots=True)
class Reservation:
    """What a call is about to take: an estimate that stands in for it until it is in the ledger."""

    space_id: str | None
    tokens: int
    cost: float
    #: The day on which it was taken, where the ledger could not be told; "" = it is under way.
    day: str = ""


class Budgets:
    """Lets calls in as long as the budget of their space lasts. Belongs to one event loop.

    What is under way counts by its estimate, so calls at the same time overspend by no more than the estimates were
    too low. Other processes are seen in the ledger, when their calls are done.
    """

    def __init__(self, store: Store, default: Budget) -> None:
        self._store = store
        self._default = default
        self._reserved: list[Reservation] = []
        self._released = 0
        self._one_at_a_time = asyncio.Lock()
        #: Of a space and a day: that its budget is spent, or that prices are unknown.
        self._log = LimitedLog(log, every=24 * 3600.0)

    async def reserve(self, space_id: str | None, tokens: int, cost: float) -> Reservation:
        """Raises BudgetSpent where that is more than what is left."""
        asked = Reservation(space_id, tokens, cost)
        async with self._one_at_a_time:
            self._reserved = [one for one in self._reserved if one.day in ("", today())]
            budget = await self._budget(space_id)
            if budget:
                self._check(budget, asked, *(await self._taken(space_id)))
            self._reserved.append(asked)
        return asked

    def release(self, reservation: Reservation) -> None:
        """It is in the ledger now, or was not made."""
        self._reserved = [one for one in self._reserved if one is not reservation]
        self._released += 1

    async def _taken(self, space_id: str | None) -> tuple[Cost, list[Reservation]]:
        """What is in the ledger, and what is under way."""
        for _ in range(_READS):
            before, released = [one for one in self._reserved if one.space_id == space_id], self._released
            spent = await spent_today(self._store, space_id)
            if released == self._released:
                break  # else some of it may stand in both
        return spent, before

    async def _budget(self, space_id: str | None) -> Budget:
        if space_id is None:
            return self._default
        try:
            return budget_of((await self._store.space(space_id)).configs, self._default)
        except NotFound:
            return self._default
        except InvalidInput as error:
            self._tell("wrong", space_id, f"acontext: space {space_id}: {error}; the general budget holds")
            return self._default

    def _check(self, budget: Budget, asked: Reservation, spent: Cost, before: Sequence[Reservation]) -> None:
        tokens = spent.tokens + sum(one.tokens for one in before)
        cost = spent.cost + sum(one.cost for one in before)
        said = []
        if budget.daily_tokens and tokens + asked.tokens > budget.daily_tokens:
            said.append(f"{tokens:,} of {budget.daily_tokens:,} tokens")
        if budget.daily_cost and cost + asked.cost > budget.daily_cost:
            said.append(f"{cost:.4f} of {budget.daily_cost:.4f} US dollars")
        if budget.daily_cost and spent.unpriced and not budget.daily_tokens:
            self._tell(
                "unpriced",
                asked.space_id,
                "acontext: the price of the model is not known, so llm.daily_cost cannot be kept: set "
                "llm.daily_tokens, or input_cost_per_token and output_cost_per_token in llm.options",
            )
        if not said:
            return
        whose = f"space {asked.space_id}" if asked.space_id else "sessions without a space"
        words = f"the model budget of {whose} is spent for today ({' and '.join(said)})"
        self._tell(
            "spent",
            asked.space_id,
            f"acontext: {words}: rules go on without a model until 00:00 UTC; raise llm.daily_tokens or "
            "llm.daily_cost, or the space's configs.budget",
        )
        raise BudgetSpent(f"{words}: raise llm.daily_tokens or llm.daily_cost", retry_after=_until_midnight())

    def _tell(self, what: str, space_id: str | None, words: str) -> None:
        """Once a day (UTC)."""
        self._log.warning((what, space_id, today()), "%s", words)


async def spent_today(store: Store, space_id: str | None) -> Cost:
    """What calls on behalf of a space have taken today; None = those on behalf of no space."""
    if space_id is not None:
        found = await store.costs(space_id=space_id, since=today())
    else:
        found = [cost for cost in await store.costs(by=["space"], since=today()) if cost.space_id is None]
    return found[0] if found else Cost()


def today() -> str:
    """The day in UTC, as times of the ledger begin."""
    return datetime.now(UTC).date().isoformat()


def check_configs(configs: Json | None) -> None:
    """Raises InvalidInput for a budget that is none."""
    budget_of(configs, Budget())


def _until_midnight() -> float:
    moment = datetime.now(UTC)
    following = (moment + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (following - moment).total_seconds() + 1.0
