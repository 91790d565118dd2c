"""Backoff: pauses grow, differ, and are never longer than told."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from acontext_store.backoff import Backoff, as_asked

_SECONDS = st.floats(0.001, 1e6)


@given(_SECONDS, _SECONDS, st.floats(1.0, 10.0), st.integers(0, 10**9))
def test_a_pause_is_at_least_half_of_its_ceiling_and_never_longer_than_told(
    first: float, longest: float, factor: float, tries: int
) -> None:
    backoff = Backoff(first, longest, factor)
    assert backoff.ceiling(tries) / 2 <= backoff.pause(tries) <= backoff.ceiling(tries) <= longest
    assert backoff.ceiling(tries) <= backoff.ceiling(tries + 1)


def test_pauses_double_until_they_are_long_enough() -> None:
    backoff = Backoff(1.0, 60.0)
    assert [backoff.ceiling(tries) for tries in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_those_who_failed_together_do_not_come_back_together() -> None:
    assert len({Backoff(1.0).pause(3) for _ in range(100)}) > 90
    assert len({as_asked(10.0) for _ in range(100)}) > 90


@given(_SECONDS)
def test_who_asks_for_a_time_gets_it_and_little_more(seconds: float) -> None:
    assert seconds <= as_asked(seconds) <= 1.1 * seconds * (1 + 1e-9)
    assert as_asked(0.0) == 0.0


def test_the_hosts_random_numbers_stay_as_it_has_seeded_them() -> None:
    random.seed(7)
    before = random.getstate()
    Backoff(1.0).pause(3)
    as_asked(1.0)
    assert random.getstate() == before
