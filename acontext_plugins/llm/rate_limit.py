"""Rate limits: how many calls at a time, and how many calls and tokens a minute."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

_MINUTE = 60.0


class Admission:
    """A call that was let in. `tokens` is an estimate until the answer says how many they were."""

    __slots__ = ("at", "tokens")

    def __init__(self, at: float, tokens: int) -> None:
        self.at = at
        self.tokens = tokens


class Limits:
    """For calls of one loop. Who waits is let in in the order of coming; 0 = no limit."""

    def __init__(
        self,
        *,
        concurrency: int,
        requests_per_minute: int = 0,
        tokens_per_minute: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._slots = asyncio.Semaphore(concurrency)
        self._door = asyncio.Lock()
        self._requests = requests_per_minute
        self._tokens = tokens_per_minute
        self._clock = clock
        self._sleep = sleep
        #: Those of the last minute, oldest first.
        self._admitted: deque[Admission] = deque()

    @contextlib.asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[Admission]:
        """Wait until another call may be made, of about so many tokens; it is made within."""
        async with self._slots:
            yield await self._admit(tokens)

    async def _admit(self, tokens: int) -> Admission:
        if not self._requests and not self._tokens:
            return Admission(0.0, tokens)
        async with self._door:
            while (wait := self._wait(tokens)) > 0:
                await self._sleep(wait)
            admission = Admission(self._clock(), tokens)
            self._admitted.append(admission)
            return admission

    def _wait(self, tokens: int) -> float:
        """Seconds until there may be room. A call that is larger than the limit goes alone in its minute."""
        moment = self._clock()
        while self._admitted and self._admitted[0].at <= moment - _MINUTE:
            self._admitted.popleft()
        count, taken, wait = len(self._admitted), sum(one.tokens for one in self._admitted), 0.0
        for one in self._admitted:
            few = not self._requests or count < self._requests
            small = not self._tokens or taken + tokens <= self._tokens
            if few and small:
                return wait
            count, taken, wait = count - 1, taken - one.tokens, one.at + _MINUTE - moment
        return wait
