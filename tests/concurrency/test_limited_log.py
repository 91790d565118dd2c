"""LimitedLog: what would be said at each try is said once a minute."""

from __future__ import annotations

import logging

import pytest

from acontext_plugins.concurrency.limited_log import LimitedLog


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock) -> LimitedLog:
    return LimitedLog(logging.getLogger("acontext"), clock=clock)


def test_a_kind_is_logged_once_a_minute_however_often_it_is_said(
    log: LimitedLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1_200):  # ten minutes, twice a second
        log.warning("open", "at %d s", clock.seconds)
        clock.seconds += 0.5
    assert caplog.messages == [f"at {minute * 60} s" for minute in range(10)]


def test_kinds_do_not_silence_each_other(log: LimitedLog, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        log.warning("a", "a")
        log.warning(("a", 1), "a of 1")
    assert caplog.messages == ["a", "a of 1"]


def test_a_line_names_its_caller_and_the_exception(log: LimitedLog, caplog: pytest.LogCaptureFixture) -> None:
    error = ValueError("why")
    log.warning("a", "a percent sign: %s", "100 %", exc_info=error)
    (record,) = caplog.records
    assert record.funcName == test_a_line_names_its_caller_and_the_exception.__name__
    assert record.getMessage() == "a percent sign: 100 %"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_kinds_without_end_take_no_memory_without_end(log: LimitedLog) -> None:
    for number in range(5_000):
        log.warning(number, "again")
    assert len(log._logged) <= 1024
