"""Worker: claims due work, lets an observer or a learner decide, and has the store apply what they decided.

A job that fails is tried again a few times, then it waits for a person. A job that could not be tried, because a model
or another service did not answer, has not failed: it waits until the service answers again (retry policy). A flush
waits for what there was when it began, and not for what others bring meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from acontext_store.backoff import Backoff, as_asked
from acontext_store.errors import (
    AcontextError,
    BudgetSpent,
    Closed,
    InvalidAnswer,
    LearningUnavailable,
    LeaseLost,
    NotFound,
    PromptTooLong,
    Refused,
    StoreReplaced,
    StoreUnavailable,
)
from acontext_store.protocols import ReadSnapshot, Store
from acontext_store.types import Claim, Lane, LaneKind, TaskOps, new_id

from ..concurrency.background import in_background
from ..concurrency.limited_log import LimitedLog
from ..learn.rules import finished, pages_of
from ..observe.batches import batch
from ..observe.rules import ObserverOfMany, decide, whole
from ..protocols import (
    BatchObserver,
    FinishedTask,
    Learner,
    LearningInput,
    Observation,
    Observer,
)
from ..settings import LearnSettings, WorkerSettings

log = logging.getLogger("acontext")

_KINDS: tuple[LaneKind, ...] = ("observe", "learn")
#: Only of those who have an embedder.
_EMBED: LaneKind = "embed"
#: Seconds in which work becomes due that is done together.
_GATHER = 0.1
#: Tasks that are read in one go: recalls stand in the same line.
_TOGETHER = 8


class Worker:
    """Does the due work of one project, a few lanes at a time. Any number of workers may share a database.

    Killed at any point it leaves nothing half done: what it decided is written in one transaction with the release
    of its lease, or not at all, and the next worker starts over when the lease runs out.
    """

    def __init__(
        self,
        store: Store,
        observer: Observer,
        learner: Learner,
        *,
        settings: WorkerSettings | None = None,
        learn: LearnSettings | None = None,
        embed: Callable[[Claim], Awaitable[bool]] | None = None,
    ) -> None:
        """`embed` does a piece of a space's embed work; False = that is for another model's worker to do."""
        self._store = store
        self._observer = observer
        self._learner = learner
        self._settings = settings or WorkerSettings()
        self._learn = learn or LearnSettings()
        self._embed = embed
        #: The kinds of work that it does.
        self.kinds: tuple[LaneKind, ...] = _KINDS if embed is None else (*_KINDS, _EMBED)
        self.owner = f"{os.getpid()}-{new_id()}"
        self._wakeup = asyncio.Event()
        self._log = LimitedLog(log)
        self._leaving = False
        self._looks_soon = False
        self._running: set[asyncio.Task[None]] = set()
        self._breakers = {
            kind: CircuitBreaker(kind, first=self._settings.backoff, longest=self._settings.longest_probe)
            for kind in (*_KINDS, _EMBED)
        }
        self.done = 0
        self.failed = 0

    def wake(self) -> None:
        """There may be work now. Only from the worker's own loop."""
        self._wakeup.set()

    def held_up(self, kind: LaneKind) -> str:
        """Why no work of that kind is done now; "" where it is."""
        return self._breakers[kind].reason

    def patience(self) -> WaitPolicy:
        """For somebody who begins to wait for work."""
        return WaitPolicy(self._breakers)

    def probe_soon(self) -> None:
        """Somebody waits for the work: find out soon whether what was away is back. Only from the worker's own loop."""
        for breaker in self._breakers.values():
            breaker.probe_soon()
        self._wakeup.set()

    def probe_now(self) -> None:
        """A person thinks that what was away is back: find out now. Only from the worker's own loop."""
        for breaker in self._breakers.values():
            breaker.probe_now()
        self._wakeup.set()

    def stop_claiming(self) -> None:
        """Claim nothing more. Only from the worker's own loop."""
        self._leaving = True
        self._wakeup.set()

    async def run(self) -> None:
        """Work until cancelled, in the background."""
        in_background.set(True)
        said = ""
        try:
            while not self._leaving:
                self._wakeup.clear()
                try:
                    more = await self._claim()
                    said = ""
                except StoreUnavailable as error:
                    if said != str(error) and not isinstance(error, StoreReplaced):  # that is said by the store
                        self._log.warning("database", "acontext: the worker waits for the database: %s", error)
                    more, said = False, str(error)
                if not more:
                    await self._sleep()
        except Closed:
            return
        finally:
            await self._drop(self._running)

    async def work_once(self, *, kinds: Collection[LaneKind] | None = None) -> int:
        """Claim what is due now, do it, and tell how much it was."""
        claims = await self._take(kinds or self.kinds, self._settings.concurrency)
        try:
            for claim in claims:
                await self._handle(claim)
        except BaseException:
            for claim in claims:
                self._hand_back(claim)
            raise
        return len(claims)

    async def work_through(self, kind: LaneKind, done: Callable[[int], None]) -> None:
        """Do the due work of that kind until there is none; `done` is told how many pieces have ended."""
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                if free := self._settings.concurrency - len(running):
                    running |= {asyncio.create_task(self._handle(claim)) for claim in await self._take([kind], free)}
                if not running:
                    return
                ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    task.result()
                done(len(ended))
        finally:
            await self._drop(running)

    @staticmethod
    async def _drop(work: Collection[asyncio.Task[None]]) -> None:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    async def _claim(self) -> bool:
        """Begin what is due, as much as there is room for. False where there is no more, or no room for it."""
        free = self._settings.concurrency - len(self._running)
        if free <= 0:
            return False
        claims = await self._take(self.kinds, free)
        together: list[Claim] = []
        work: list[Coroutine[Any, Any, None]] = []
        if isinstance(self._observer, ObserverOfMany):
            together = [claim for claim in claims if claim.kind == "observe"]
            work += [self._handle_together(self._observer, together)] if together else []
        for one in (*work, *(self._handle(claim) for claim in claims if claim not in together)):
            task = asyncio.create_task(one)
            self._running.add(task)
            task.add_done_callback(self._finished)
        return len(claims) >= free

    async def _take(self, kinds: Collection[LaneKind], free: int) -> list[Claim]:
        """Claim what is due; of work that waits for something, at most one piece, to find out if that is back."""
        well = [kind for kind in kinds if not self._breakers[kind].is_open]
        claims = await self._store.claim(self.owner, kinds=well, lease=self._settings.lease, limit=free)
        for kind in kinds:
            breaker = self._breakers[kind]
            if kind not in well and breaker.wait == 0 and len(claims) < free:
                for probe in await self._store.claim(self.owner, kinds=[kind], lease=self._settings.lease, limit=1):
                    breaker.probes_with(probe)
                    claims.append(probe)
        return claims

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and isinstance(task.exception(), Closed):
            self._leaving = True
        if len(self._running) + 1 >= self._settings.concurrency or self._leaving:
            self._wakeup.set()  # there was no room for more
        elif not self._looks_soon:
            self._looks_soon = True
            asyncio.get_running_loop().call_later(_GATHER, self._look_again)

    def _look_again(self) -> None:
        self._looks_soon = False
        self._wakeup.set()

    async def _sleep(self) -> None:
        pause = self._settings.idle
        with contextlib.suppress(StoreUnavailable):
            if len(self._running) < self._settings.concurrency:
                well = [kind for kind in self.kinds if not self._breakers[kind].is_open]
                for kinds in (well, *([kind] for kind in self.kinds if kind not in well)):
                    due = await self._store.next_due(kinds=kinds) if kinds else None
                    if due is not None:
                        wait = max(self._breakers[kind].wait for kind in kinds)
                        pause = min(pause, max(_GATHER, due - time.time(), wait))
        # not wait_for: where the event comes together with a cancellation, it forgets the cancellation
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._wakeup.wait()

    async def _handle_together(self, observer: ObserverOfMany, claims: Sequence[Claim]) -> None:
        """Observe these sessions; each comes out as if it had been alone."""
        async with self._lease(*claims):
            try:
                decided: Sequence[TaskOps | Exception] = await decide(self._store, observer, claims)
            except asyncio.CancelledError:
                for claim in claims:
                    self._hand_back(claim)
                raise
            except Exception as error:
                decided = [error] * len(claims)
            done = await asyncio.gather(*map(self._handle, claims, decided), return_exceptions=True)
        for failed in done:
            if failed is not None:
                raise failed

    async def _handle(self, claim: Claim, decided: TaskOps | Exception | None = None) -> None:
        """Do this piece of work; `decided` = what it comes to, where that is known and its lease is kept already."""
        breaker = self._breakers[claim.kind]
        if not breaker.lets(claim):
            self._hand_back(claim)
            return
        try:
            async with self._lease(*([] if decided is not None else [claim])):
                if isinstance(decided, Exception):
                    raise decided
                if decided is not None:
                    await self._store.apply_tasks(claim, decided, learn_after=self._learn.quiet)
                elif claim.kind == "observe":
                    await self._observe(claim)
                elif claim.kind == "learn":
                    await self._learn_space(claim)
                else:
                    await self._embed_space(claim)
            self.done += 1
            breaker.on_success(claim)
        except LeaseLost:
            log.info("acontext: another worker took over %s %s", claim.kind, claim.key)
        except NotFound:
            with contextlib.suppress(LeaseLost):
                await self._store.release(claim)  # its session or space was deleted meanwhile
        except (Closed, asyncio.CancelledError):
            self._hand_back(claim)
            raise
        except Exception as error:
            self.failed += 1
            await self._give_back(claim, error)
        finally:
            breaker.probe_finished(claim)

    def _hand_back(self, claim: Claim) -> None:
        """We are leaving: another worker need not wait for the lease to run out. Nothing is waited for."""
        with contextlib.suppress(AcontextError):
            self._store.release(claim)

    async def _give_back(self, claim: Claim, error: Exception) -> None:
        verdict = judge(claim, error, self._settings)
        if is_outage(error) and not isinstance(error, BudgetSpent):
            self._breakers[claim.kind].on_outage(claim, error)
        elif not verdict.outage:
            self._breakers[claim.kind].on_success(claim)
            self._tell(claim, error, dead=verdict.dead)
        with contextlib.suppress(LeaseLost, StoreUnavailable):
            await self._store.release(
                claim, error=verdict.error, retry_in=verdict.retry_in, dead=verdict.dead, outage=verdict.outage
            )

    @staticmethod
    def _tell(claim: Claim, error: Exception, *, dead: bool) -> None:
        """The first failure of a piece of work, and the last."""
        if dead or claim.attempts == 0:
            log.warning(
                "acontext: %s of %s failed (attempt %d): %s%s",
                claim.kind,
                claim.key,
                claim.attempts + 1,
                reason_of(error),
                "; it waits for `acontext retry` now" if dead else "",
            )

    @contextlib.asynccontextmanager
    async def _lease(self, *claims: Claim) -> AsyncIterator[None]:
        """Keep the leases while the block runs."""
        if not claims:
            yield
            return

        async def beat() -> None:
            while True:
                await asyncio.sleep(self._settings.lease / 3)
                for claim in claims:
                    with contextlib.suppress(StoreUnavailable, LeaseLost):
                        await self._store.heartbeat(claim, lease=self._settings.lease)

        heart = asyncio.create_task(beat())
        try:
            yield
        finally:
            heart.cancel()
            with contextlib.suppress(asyncio.CancelledError, LeaseLost):
                await heart

    async def _observe(self, claim: Claim) -> None:
        read: Callable[[ReadSnapshot], Observation] = partial(whole, claim.key)
        buffer = 0
        if isinstance(self._observer, BatchObserver):
            window = self._observer.window
            read, buffer = partial(batch, claim.key, window, claim.attempts), window.buffer
        ops = await self._observer.observe(await self._store.read_snapshot(read))
        await self._store.apply_tasks(claim, ops, learn_after=self._learn.quiet, buffer=buffer)

    async def _embed_space(self, claim: Claim) -> None:
        if self._embed is None or not await self._embed(claim):
            log.warning(
                "acontext: another process embeds this project's skills with another model: here, search goes by words"
            )
            self.kinds = _KINDS
            await self._store.release(claim)

    async def _learn_space(self, claim: Claim) -> None:
        space = await self._store.space(claim.key)
        tasks = await self._store.undigested(claim.key, limit=self._learner.batch)
        lately: list[FinishedTask] = []
        for start in range(0, len(tasks), _TOGETHER):
            lately += await self._store.read_snapshot(partial(finished, tasks[start : start + _TOGETHER]))
        episodes = await self._store.episodes(claim.key)
        skills = await self._store.proposed_skills(claim.key)
        behind = {one.task_id for skill in skills for one in skill.evidence}.difference(one.task_id for one in episodes)
        ops = await self._learner.learn(
            LearningInput(
                space=space,
                finished=lately,
                episodes=episodes,
                skills=skills,
                pages=await pages_of(self._store, claim.key),
                gone=behind - await self._store.read_snapshot(lambda moment: moment.learned_from(behind)),
            )
        )
        await self._store.apply_skills(claim, ops, confirm=self._learn.confirm)


# ---------------------------------------------------------------------- retry policy


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


# ---------------------------------------------------------------------- who waits for work


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


class FlushTargets:
    """Lanes of one kind, each until all that it held at the beginning is done.

    A claim takes all that a lane holds; so that is done where the lane was claimed since then, was released, and is
    not due now: what is left of a batch would be, and what failed is counted on it.
    """

    def __init__(self, lanes: Iterable[Lane]) -> None:
        self._tokens = {lane.key: lane.token for lane in lanes}

    def of(self, lanes: Iterable[Lane]) -> list[Lane]:
        """Those of the lanes that are still wanted. One that is not is never wanted again."""
        wanted = [lane for lane in lanes if lane.key in self._tokens and not self._is_done(lane)]
        self._tokens = {lane.key: self._tokens[lane.key] for lane in wanted}
        return wanted

    def _is_done(self, lane: Lane) -> bool:
        claimed_since = lane.token > self._tokens[lane.key]
        failed = lane.attempts or lane.outages
        return claimed_since and lane.owner is None and not failed and lane.due_at > time.time()
