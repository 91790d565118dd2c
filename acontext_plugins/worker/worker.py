"""Worker: claims due work, lets an observer or a learner decide, and has the store apply what they decided."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from functools import partial

from acontext_store.errors import (
    AcontextError,
    BudgetSpent,
    Closed,
    LeaseLost,
    NotFound,
    StoreReplaced,
    StoreUnavailable,
)
from acontext_store.protocols import ReadSnapshot, Store
from acontext_store.types import Claim, LaneKind, Task, new_id

from ..concurrency.cooperative import PausedGarbageCollector, in_background
from ..concurrency.limited_log import LimitedLog
from ..observe.batches import batch
from ..observe.rules import whole
from ..protocols import MOST_EARLIER, BatchObserver, FinishedTask, Learner, LearningInput, Observation, Observer
from ..settings import LearnSettings, WorkerSettings
from .retry_policy import CircuitBreaker, WaitPolicy, is_outage, judge, reason_of

log = logging.getLogger("acontext")

_KINDS: tuple[LaneKind, ...] = ("observe", "learn")
#: Only of those who have an embedder.
_EMBED: LaneKind = "embed"
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
        self._running: set[asyncio.Task[None]] = set()
        self._rest = PausedGarbageCollector()
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
                    claimed = await self._claim()
                    said = ""
                except StoreUnavailable as error:
                    if said != str(error) and not isinstance(error, StoreReplaced):  # that is said by the store
                        self._log.warning("database", "acontext: the worker waits for the database: %s", error)
                    claimed, said = 0, str(error)
                if not claimed:
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

    async def _claim(self) -> int:
        free = self._settings.concurrency - len(self._running)
        if free <= 0:
            return 0
        claims = await self._take(self.kinds, free)
        for claim in claims:
            task = asyncio.create_task(self._handle(claim))
            self._running.add(task)
            task.add_done_callback(self._finished)
        return len(claims)

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
        self._wakeup.set()

    async def _sleep(self) -> None:
        pause = self._settings.idle
        with contextlib.suppress(StoreUnavailable):
            if len(self._running) < self._settings.concurrency:
                for kind in self.kinds:
                    due = await self._store.next_due(kinds=[kind])
                    if due is not None:
                        pause = min(pause, max(0.005, due - time.time(), self._breakers[kind].wait))
        # not wait_for: where the event comes together with a cancellation, it forgets the cancellation
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._wakeup.wait()

    async def _handle(self, claim: Claim) -> None:
        breaker = self._breakers[claim.kind]
        if not breaker.lets(claim):
            self._hand_back(claim)
            return
        try:
            async with self._lease(claim):
                with self._rest:
                    if claim.kind == "observe":
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
    async def _lease(self, claim: Claim) -> AsyncIterator[None]:
        """Keep the lease while the block runs."""

        async def beat() -> None:
            while True:
                await asyncio.sleep(self._settings.lease / 3)
                with contextlib.suppress(StoreUnavailable):
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
        finished: list[FinishedTask] = []
        for start in range(0, len(tasks), _TOGETHER):
            finished += await self._store.read_snapshot(partial(_finished, tasks[start : start + _TOGETHER]))
        episodes = await self._store.episodes(claim.key)
        skills = await self._store.proposed_skills(claim.key)
        behind = {one.task_id for skill in skills for one in skill.evidence}.difference(one.task_id for one in episodes)
        ops = await self._learner.learn(
            LearningInput(
                space=space,
                finished=finished,
                episodes=episodes,
                skills=skills,
                pages=await _pages(self._store, claim.key),
                gone=behind - await self._store.read_snapshot(lambda moment: moment.learned_from(behind)),
            )
        )
        await self._store.apply_skills(claim, ops, confirm=self._learn.confirm)


def _finished(tasks: Sequence[Task], moment: ReadSnapshot) -> list[FinishedTask]:
    return [
        FinishedTask(
            task=task,
            session=moment.session(task.session_id),
            messages=moment.task_messages(task),
            earlier=[str(before.data["task_description"]) for before in moment.tasks_before(task, limit=MOST_EARLIER)],
        )
        for task in tasks
    ]


async def _pages(store: Store, space_id: str) -> list[tuple[str, ...]]:
    """Paths of the space's pages, those at the root first."""
    found: list[tuple[str, ...]] = []
    folders: list[tuple[str | None, tuple[str, ...]]] = [(None, ())]
    for folder_id, path in folders:  # grows while it is walked
        pages = await store.blocks(space_id, parent_id=folder_id, type="page")
        found += [(*path, page.title) for page in pages]
        folders += [
            (folder.id, (*path, folder.title))
            for folder in await store.blocks(space_id, parent_id=folder_id, type="folder")
        ]
    return found
