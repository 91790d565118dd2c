"""Models whose calls are written to the ledger, and kept within the budget of their space."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from acontext_store.errors import AcontextError, Closed
from acontext_store.ledger import ModelCall
from acontext_store.protocols import Pending, Store

from ..concurrency.limited_log import LimitedLog
from .base import LLM, Embedder, Purpose, Reply, Request, Usage
from .budget import Budget, Budgets, Reservation, today

log = logging.getLogger("acontext")

_CHARACTERS_PER_TOKEN = 4
#: Tokens that an answer is thought to take before there has been one.
_ANSWER = 1_000


@runtime_checkable
class CountingEmbedder(Protocol):
    """An embedder that knows what it took."""

    async def embed_with_usage(self, texts: Sequence[str], *, purpose: Purpose) -> tuple[list[list[float]], Usage]: ...


class UsageLedger:
    """Where calls of one project are written, and what they may take. Belongs to one event loop."""

    def __init__(self, store: Store, budget: Budget | None = None) -> None:
        self._store = store
        self._budgets = Budgets(store, budget or Budget())
        self._log = LimitedLog(log)

    async def open(self, purpose: Purpose, tokens: int, cost: float) -> Reservation:
        """Before a call. Raises BudgetSpent."""
        return await self._budgets.reserve(purpose.space_id, tokens, cost)

    async def close(self, reservation: Reservation, call: ModelCall) -> None:
        """After it, answered or not: it is in the ledger when this returns, also where nobody waits for that."""
        try:
            writing = self._store.log_call(call)
        except Closed:
            return
        await asyncio.shield(asyncio.ensure_future(self._written(writing, reservation, call)))

    async def _written(self, writing: Pending[None], reservation: Reservation, call: ModelCall) -> None:
        try:
            await writing
        except AcontextError as error:  # what was answered is worth more than its row
            self._log.warning(call.model, "acontext: a call of %s is missing in the ledger: %s", call.model, error)
            reservation.tokens, reservation.cost = call.prompt_tokens + call.completion_tokens, call.cost or 0.0
            reservation.day = today()
            return
        self._budgets.release(reservation)


class Metered:
    """A model, with a row in the ledger for each call, and within the budget."""

    def __init__(self, llm: LLM, ledger: UsageLedger) -> None:
        self._llm = llm
        self._ledger = ledger
        self._guess = _Guess()

    @property
    def model(self) -> str:
        return self._llm.model

    async def complete(self, request: Request) -> Reply:
        """Raises BudgetSpent before a call that would be too much, and what the model raises."""
        size = sum(len(str(part)) for part in (*request.messages, *request.tools, request.answer or ""))
        guess = self._guess.of(size // _CHARACTERS_PER_TOKEN)
        reservation = await self._ledger.open(request.purpose, *guess)
        begun = time.monotonic()
        usage, error = Usage(), "cancelled"
        try:
            reply = await self._llm.complete(request)
            usage, error = reply.usage, ""
            self._guess.learn(usage)
            return reply
        except Exception as raised:
            usage, error = getattr(raised, "usage", usage), _code(raised)
            raise
        finally:
            await self._ledger.close(reservation, _call(request.purpose, self.model, usage, begun, error))


class MeteredEmbedder:
    """The same for vectors."""

    def __init__(self, embedder: Embedder, ledger: UsageLedger) -> None:
        self._embedder = embedder
        self._ledger = ledger

    @property
    def model(self) -> str:
        return self._embedder.model

    async def embed(self, texts: Sequence[str], *, purpose: Purpose) -> list[list[float]]:
        if not texts:
            return []
        size = sum(len(text) for text in texts) // _CHARACTERS_PER_TOKEN
        reservation = await self._ledger.open(purpose, size, 0.0)
        begun = time.monotonic()
        usage, error = Usage(), "cancelled"
        try:
            if isinstance(self._embedder, CountingEmbedder):
                vectors, usage = await self._embedder.embed_with_usage(texts, purpose=purpose)
            else:
                vectors = await self._embedder.embed(texts, purpose=purpose)
                usage = Usage(prompt_tokens=size)
            error = ""
            return vectors
        except Exception as raised:
            error = _code(raised)
            raise
        finally:
            await self._ledger.close(reservation, _call(purpose, self.model, usage, begun, error))


class _Guess:
    """What a call will take, after what those before it took."""

    def __init__(self) -> None:
        self._answer = float(_ANSWER)
        self._price = 0.0

    def of(self, prompt_tokens: int) -> tuple[int, float]:
        tokens = prompt_tokens + int(self._answer)
        return tokens, tokens * self._price

    def learn(self, usage: Usage) -> None:
        """Quick to expect more, slow to expect less."""
        self._answer = max(float(usage.completion_tokens), 0.9 * self._answer + 0.1 * usage.completion_tokens)
        tokens = usage.prompt_tokens + usage.completion_tokens
        if usage.cost and tokens:
            price = usage.cost / tokens
            self._price = max(price, 0.9 * self._price + 0.1 * price)


def _code(error: Exception) -> str:
    return error.code if isinstance(error, AcontextError) else type(error).__name__


def _call(purpose: Purpose, model: str, usage: Usage, begun: float, error: str) -> ModelCall:
    return ModelCall(
        job=purpose.job,
        space_id=purpose.space_id,
        session_id=purpose.session_id,
        prompt=purpose.prompt,
        model=model,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        cost=usage.cost,
        duration=time.monotonic() - begun,
        error=error,
    )
