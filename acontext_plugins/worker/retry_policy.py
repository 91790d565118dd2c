"""Retry policy: when a failed job is tried again, and when a service that does not answer is not called any more.

A job that fails is tried again a few times, then it waits for a person. A job that could not be tried, because a model
or another service did not answer, has not failed: it waits until the service answers again.
"""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from acontext_store.backoff import Backoff, as_asked
from acontext_store.errors import (
    AcontextError,
    BudgetSpent,
    InvalidAnswer,
    LearningUnavailable,
    PromptTooLong,
    Refused,
    StoreUnavailable,
)
from acontext_store.types import Claim, Lane, LaneKind

from ..settings import WorkerSettings

log = logging.getLogger("acontext")

#: Errors in which the service answered, and would give the same answer again: the job itself fails.
_ANSWERS = (InvalidAnswer, PromptTooLong, Refused)
_AWAY = (LearningUnavailable, StoreUnavailable, TimeoutError, ConnectionError)
_LONGEST_WAIT = 86_400.0
#: A flush waits through a short outage: at most so many calls in a row without an answer, and so many seconds to the
#: next try.
BLIPS, SOON = 2, 5.0
_LONGEST_REASON = 300
_DOING: dict[LaneKind, str] = {"observe": "observing", "learn": "learning", "embed": "embedding"}


def is_outage(error: BaseException) -> bool:
    """Whether the error means that a service which the job needs did not answer."""
    return isinstance(error, _AWAY) and not isinstance(error, _ANSWERS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """When a job that was not done is tried again, in seconds, or that it is not (`dead`)."""

    error: str
    retry_in: float
    dead: bool
    outage: bool


def judge(claim: Claim, error: Exception, settings: WorkerSettings) -> Verdict:
    """Failures are tried again `max_attempts` times in all; outages are waited for, but not for ever."""
    wait = _wait(error)
    if isinstance(error, BudgetSpent):
        return Verdict(reason_of(error), wait or settings.longest_backoff, dead=False, outage=True)
    if is_outage(error):
        since = time.time() if claim.failing_since is None else claim.failing_since
        backoff = Backoff(settings.backoff, settings.longest_probe).pause(claim.outages)
        dead = time.time() - since >= settings.longest_outage
        return Verdict(reason_of(error), max(backoff, wait), dead=dead, outage=True)
    backoff = Backoff(settings.backoff, settings.longest_backoff).pause(claim.attempts)
    text = "".join(traceback.format_exception(error))[-4000:]
    return Verdict(text, max(backoff, wait), dead=claim.attempts + 1 >= settings.max_attempts, outage=False)


def reason_of(error: BaseException) -> str:
    """The error in one line without any text of a conversation: of a foreign error only its class and its place."""
    if isinstance(error, AcontextError):
        return " ".join(str(error).split())[:_LONGEST_REASON]
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{where}"


def _wait(error: BaseException) -> float:
    """The seconds that the service asked us to wait (`retry_after`), and a little more; 0 where it gave no time."""
    asked = getattr(error, "retry_after", None)
    if not isinstance(asked, (int, float)) or not math.isfinite(asked) or asked <= 0:
        return 0.0
    return as_asked(min(asked, _LONGEST_WAIT))


class CircuitBreaker:
    """Stops the claiming of one kind of job while the service that it needs does not answer (an open breaker).

    One job at a time probes the service meanwhile. The beginning and the end of an outage are logged once each. An
    outage that begins within `longest` seconds of the end of another is the same outage.
    """

    def __init__(
        self, kind: LaneKind, *, first: float, longest: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._doing = _DOING[kind]
        self._backoff = Backoff(first, longest)
        self._clock = clock
        self._since: float | None = None
        self._ended = -math.inf
        #: Pauses of this outage, and of the earlier one that it continues.
        self._pauses = 0
        self._again_at = 0.0
        #: The earliest time of the next probe, even where a caller waits for it.
        self._not_before = 0.0
        self._probe: int | None = None
        #: Calls in a row without an answer, since the breaker opened.
        self._failed = 0
        #: Why no job is claimed; "" while jobs are.
        self.reason = ""

    @property
    def is_open(self) -> bool:
        return self._since is not None

    @property
    def wait(self) -> float:
        """Seconds until a job may probe the service again."""
        if self._since is None:
            return 0.0
        return math.inf if self._probe is not None else max(0.0, self._again_at - self._clock())

    @property
    def failed(self) -> int:
        """The number of calls in a row without an answer; 0 while jobs are claimed."""
        return 0 if self._since is None else self._failed

    def is_lasting(self, known: int) -> bool:
        """Whether the outage is long enough to stop waiting for its end.

        `known` is the number of failed calls when the caller began to wait: it has to see one more call fail.
        """
        if 0 < self.wait < math.inf and self._not_before - self._clock() > SOON:
            return True
        return self.failed > BLIPS and self.failed != known

    def probes_with(self, claim: Claim) -> None:
        """Let this job probe the service."""
        self._probe = claim.token

    def lets(self, claim: Claim) -> bool:
        """Whether a claimed job may be tried: the breaker is closed, or the job is the probe."""
        return self._since is None or self._probe == claim.token

    def on_outage(self, claim: Claim, error: Exception) -> None:
        """A job got no answer: open the breaker, or keep it open for longer."""
        moment = self._clock()
        if self._since is None:
            known = moment - self._ended < self._backoff.longest
            self._since, self._failed = moment, 1
            self._pauses = self._pauses + 1 if known else 0
            self._put_off(moment, self._backoff.ceiling(self._pauses), error)
            if not known:
                log.warning(
                    "acontext: %s waits: %s; it goes on by itself when the outage is over (see `acontext doctor`)",
                    self._doing,
                    reason_of(error),
                )
        elif self._probe == claim.token:
            self._failed += 1
            self._pauses += 1
            self._put_off(moment, self._backoff.pause(self._pauses), error)
        self.reason = reason_of(error)
        self.probe_finished(claim)

    def _put_off(self, moment: float, pause: float, error: Exception) -> None:
        asked = _wait(error)
        self._not_before = moment + max(self._backoff.first, asked)
        self._again_at = moment + max(pause, asked)

    def on_success(self, claim: Claim) -> None:
        """A job got its answer. The answer to a probe closes the breaker; one to an earlier call makes a probe due."""
        if self._since is not None and self._probe == claim.token:
            moment = self._clock()
            log.info("acontext: %s goes on, after %.0f seconds", self._doing, moment - self._since)
            self._since, self._ended, self.reason = None, moment, ""
        elif self._since is not None:
            self.probe_soon()
        self.probe_finished(claim)

    def probe_finished(self, claim: Claim) -> None:
        """The probe ended without an answer or an outage: the next job may probe."""
        if self._probe == claim.token:
            self._probe = None

    def probe_now(self) -> None:
        """Make a probe due now: a person says that the outage is over."""
        self._again_at = self._clock()

    def probe_soon(self) -> None:
        """Make a probe due as early as the service allows: a caller waits for it."""
        self._again_at = min(self._again_at, self._not_before)


class WaitPolicy:
    """Decides for a flush which jobs it waits for: through short outages, not through long ones or failures."""

    def __init__(self, breakers: Mapping[LaneKind, CircuitBreaker]) -> None:
        self._breakers = breakers
        self._known = {kind: breaker.failed for kind, breaker in breakers.items()}
        #: Failures and outages of each job when the flush saw it first.
        self._before: dict[tuple[LaneKind, str], tuple[int, int]] = {}

    def should_wait(self, lane: Lane) -> bool:
        """Whether to wait for the job of this lane, and to have it tried at once."""
        attempts, outages = self._before.setdefault((lane.kind, lane.key), (lane.attempts, lane.outages))
        if lane.owner is not None:
            return True  # it is being done; where that worker has died, the next one gets it soon, as another attempt
        if lane.attempts > attempts or self._breakers[lane.kind].is_lasting(self._known[lane.kind]):
            return False
        return lane.due_at <= time.time() or (not lane.attempts and lane.outages - outages <= BLIPS)
