"""Retry policy: what becomes of work that could not be done, and when to stop asking somebody who does not answer.

Work that fails is tried again a few times, then it waits for a person. Work that could not even be tried, because a
model (or whatever it needs) was away, has not failed: it waits until that is back.
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

#: Somebody answered, and would answer so again: the work itself is the trouble.
_ANSWERS = (InvalidAnswer, PromptTooLong, Refused)
_AWAY = (LearningUnavailable, StoreUnavailable, TimeoutError, ConnectionError)
_LONGEST_WAIT = 86_400.0
#: An outage that somebody waits through: so many times in a row without an answer, and so many seconds to the next try.
BLIPS, SOON = 2, 5.0
_LONGEST_REASON = 300
_DOING: dict[LaneKind, str] = {"observe": "observing", "learn": "learning", "embed": "embedding"}


def is_outage(error: BaseException) -> bool:
    """Whether the work was not tried, because something that it needs was away."""
    return isinstance(error, _AWAY) and not isinstance(error, _ANSWERS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of work that was not done."""

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
    """One line that holds nothing of a conversation: the words of errors that are not ours are not passed on."""
    if isinstance(error, AcontextError):
        return " ".join(str(error).split())[:_LONGEST_REASON]
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{where}"


def _wait(error: BaseException) -> float:
    """The seconds that whoever did not answer asked for, and a little more; 0 where that is no time."""
    asked = getattr(error, "retry_after", None)
    if not isinstance(asked, (int, float)) or not math.isfinite(asked) or asked <= 0:
        return 0.0
    return as_asked(min(asked, _LONGEST_WAIT))


class CircuitBreaker:
    """Keeps one kind of work from being claimed while what it needs is away, but for one piece at a time to find out.

    An outage is told of once, and so is its end. One that comes back within `longest` seconds is the same outage.
    """

    def __init__(
        self, kind: LaneKind, *, first: float, longest: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._doing = _DOING[kind]
        self._backoff = Backoff(first, longest)
        self._clock = clock
        self._since: float | None = None
        self._ended = -math.inf
        #: Pauses of this outage, and of the one that it goes on with.
        self._pauses = 0
        self._again_at = 0.0
        #: Not before that, even where somebody would like to know.
        self._not_before = 0.0
        self._probe: int | None = None
        #: Times in a row that nobody answered, since it opened.
        self._failed = 0
        #: Why nothing is claimed; "" while it is.
        self.reason = ""

    @property
    def is_open(self) -> bool:
        return self._since is not None

    @property
    def wait(self) -> float:
        """Seconds until a piece of work may find out whether the outage is over."""
        if self._since is None:
            return 0.0
        return math.inf if self._probe is not None else max(0.0, self._again_at - self._clock())

    @property
    def failed(self) -> int:
        """Times in a row that nobody has answered; 0 while work is claimed."""
        return 0 if self._since is None else self._failed

    def is_lasting(self, known: int) -> bool:
        """Whether it is more than a blip, for somebody who came when it had failed `known` times: they saw one try."""
        if 0 < self.wait < math.inf and self._not_before - self._clock() > SOON:
            return True
        return self.failed > BLIPS and self.failed != known

    def probes_with(self, claim: Claim) -> None:
        """This is the piece of work that finds out."""
        self._probe = claim.token

    def lets(self, claim: Claim) -> bool:
        """Whether this work, which has been claimed, is to be tried."""
        return self._since is None or self._probe == claim.token

    def on_outage(self, claim: Claim, error: Exception) -> None:
        """Nobody answered."""
        moment = self._clock()
        if self._since is None:
            known = moment - self._ended < self._backoff.longest
            self._since, self._failed = moment, 1
            self._pauses = self._pauses + 1 if known else 0
            self._put_off(moment, self._backoff.ceiling(self._pauses), error)
            if not known:
                log.warning(
                    "acontext: %s waits: %s; it goes on by itself when this is over (`acontext doctor` tells)",
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
        """Somebody did: it is over. Who was asked before it began only gives hope."""
        if self._since is not None and self._probe == claim.token:
            moment = self._clock()
            log.info("acontext: %s goes on, after %.0f seconds", self._doing, moment - self._since)
            self._since, self._ended, self.reason = None, moment, ""
        elif self._since is not None:
            self.probe_soon()
        self.probe_finished(claim)

    def probe_finished(self, claim: Claim) -> None:
        """It ended without telling."""
        if self._probe == claim.token:
            self._probe = None

    def probe_now(self) -> None:
        """A person thinks that it is over: find out now."""
        self._again_at = self._clock()

    def probe_soon(self) -> None:
        """Somebody waits for it: find out as soon as that is polite."""
        self._again_at = min(self._again_at, self._not_before)


class WaitPolicy:
    """Of somebody who waits for work: through blips, not through outages, and not for what fails by itself."""

    def __init__(self, breakers: Mapping[LaneKind, CircuitBreaker]) -> None:
        self._breakers = breakers
        self._known = {kind: breaker.failed for kind, breaker in breakers.items()}
        #: Failures and outages of each piece of work when it was first looked at.
        self._before: dict[tuple[LaneKind, str], tuple[int, int]] = {}

    def should_wait(self, lane: Lane) -> bool:
        """Whether to wait for this, and to have it tried at once."""
        attempts, outages = self._before.setdefault((lane.kind, lane.key), (lane.attempts, lane.outages))
        if lane.owner is not None:
            return True  # it is being done; where that worker has died, the next one gets it soon, as another attempt
        if lane.attempts > attempts or self._breakers[lane.kind].is_lasting(self._known[lane.kind]):
            return False
        return lane.due_at <= time.time() or (not lane.attempts and lane.outages - outages <= BLIPS)
