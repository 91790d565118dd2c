"""Limits of calls and tokens, on a clock of their own."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.llm.rate_limit import Limits


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def of(clock: Clock, *, requests: int = 0, tokens: int = 0, concurrency: int = 100) -> Limits:
    return Limits(
        concurrency=concurrency,
        requests_per_minute=requests,
        tokens_per_minute=tokens,
        clock=clock,
        sleep=clock.sleep,
    )


async def test_without_limits_nobody_waits() -> None:
    clock = Clock()
    for _ in range(1000):
        async with of(clock).slot(10**9):
            pass
    assert clock.now == 1000.0


@given(st.integers(1, 5), st.lists(st.floats(0, 30), min_size=1, max_size=30))
def test_no_minute_has_more_requests_than_allowed(limit: int, pauses: list[float]) -> None:
    async def play() -> list[float]:
        clock = Clock()
        limits, begun = of(clock, requests=limit), []
        for pause in pauses:
            clock.now += pause
            async with limits.slot(1):
                begun.append(clock.now)
        return begun

    begun = asyncio.run(play())
    for at in begun:
        assert len([other for other in begun if at <= other < at + 59.999]) <= limit


@given(st.integers(1, 100), st.lists(st.tuples(st.floats(0, 30), st.integers(0, 150)), min_size=1, max_size=30))
def test_no_minute_has_more_tokens_than_allowed(limit: int, calls: list[tuple[float, int]]) -> None:
    async def play() -> list[tuple[float, int]]:
        clock = Clock()
        limits, begun = of(clock, tokens=limit), []
        for pause, tokens in calls:
            clock.now += pause
            async with limits.slot(tokens):
                begun.append((clock.now, tokens))
        return begun

    begun = asyncio.run(play())
    for at, _ in begun:
        within = [tokens for other, tokens in begun if at <= other < at + 59.999]
        assert sum(within) <= limit or len([tokens for tokens in within if tokens]) == 1


async def test_what_an_answer_took_counts_from_then_on() -> None:
    clock = Clock()
    limits = of(clock, tokens=100)
    async with limits.slot(10) as admission:
        admission.tokens = 95
    async with limits.slot(10):
        assert clock.now == 1060.0


async def test_who_waits_is_let_in_in_the_order_of_coming() -> None:
    clock = Clock()
    limits, order = of(clock, requests=1), list[int]()

    async def come(number: int) -> None:
        async with limits.slot(1):
            order.append(number)

    await asyncio.gather(*(come(number) for number in range(5)))
    assert order == [0, 1, 2, 3, 4]
    assert clock.now == 1240.0


async def test_one_who_leaves_while_waiting_takes_no_place() -> None:
    limits = Limits(concurrency=1)
    async with limits.slot(1):
        waiting = asyncio.create_task(limits.slot(1).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with limits.slot(1):
        pass


async def test_a_call_that_fails_gives_its_place_back() -> None:
    limits = Limits(concurrency=1)
    for _ in range(3):
        with pytest.raises(ValueError):
            async with limits.slot(1):
                raise ValueError
