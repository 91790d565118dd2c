"""Engine: the embedded Service, over any Store and BlobStore.

Its methods may be awaited on any event loop. The worker lives on the engine's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import BinaryIO

from acontext_plugins.learn.approval import SkillApproval
from acontext_plugins.llm import LLM, Embedder
from acontext_plugins.llm.budget import check_configs
from acontext_plugins.protocols import BatchObserver, Learner, Observer
from acontext_plugins.record.recorder import Recorder, Scrubber
from acontext_plugins.retrieve.search import SkillSearch, open_vectors
from acontext_plugins.service import FlushResult, Recording, chosen_id
from acontext_plugins.settings import Settings
from acontext_plugins.worker.costs import CostQueries
from acontext_plugins.worker.jobs import JobsAdmin
from acontext_plugins.worker.worker import FlushTargets, WaitPolicy, Worker
from acontext_store.errors import Conflict, InvalidInput, NotFound
from acontext_store.open import open_secret
from acontext_store.protocols import BlobStore, Store
from acontext_store.records import session_id_of
from acontext_store.types import (
    Appended,
    Blob,
    Block,
    BlockType,
    CallFate,
    Json,
    Lane,
    LaneKind,
    LearningStatus,
    Message,
    Outcome,
    Page,
    Session,
    Skill,
    SkillStatus,
    SkillVersion,
    Space,
    Task,
    is_uuid,
    new_id,
)

from .files import FileOperations
from .outcome_sources import OutcomeSourceAdmin
from .reading import ConversationQueries, all_tasks
from .uploads import check_assets, keep_bytes

log = logging.getLogger("acontext")

#: A look at what waits is followed by a pause of so many times as long: others read, too.
_BETWEEN_LOOKS = 10


class Engine:
    """Records, observes, learns, retrieves and injects, for one project. Its parts do what it is asked."""

    def __init__(
        self,
        store: Store,
        blobs: BlobStore,
        *,
        scrubber: Scrubber,
        observer: Observer,
        learner: Learner,
        settings: Settings,
        llm: LLM | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self.store = store
        self.blobs = blobs
        self.settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._patience = settings.observe.patience(model=isinstance(observer, BatchObserver))
        self.vectors = open_vectors(store, embedder, settings.embedding, clean=scrubber.redact_text, wake=self._wake)
        embed = None if self.vectors is None else self.vectors.embed
        self.worker = Worker(store, observer, learner, settings=settings.worker, learn=settings.learn, embed=embed)
        self.recorder = Recorder(
            store,
            blobs,
            scrubber,
            settings=settings.recorder,
            observe=self._patience,
        )
        self._wake_at = 0.0
        self._said_elsewhere = False
        self.record = self.recorder.record
        self._answer_for_search(SkillSearch(store, settings, vectors=self.vectors, llm=llm))
        self._answer_for_files(
            FileOperations(
                store,
                blobs,
                scrubber=scrubber,
                public_url=settings.public_url,
                secret=lambda: open_secret(settings.store_url),
            )
        )
        self._answer_for_conversations(ConversationQueries(store, blobs, scrubber=scrubber, files=self.files))
        self._answer_for_people(
            SkillApproval(store),
            JobsAdmin(store, hurry=lambda: self._tell_worker(self.worker.probe_now)),
            CostQueries(store),
        )
        self._answer_for_sources(
            OutcomeSourceAdmin(
                store,
                scrubber=scrubber,
                patience=self._patience,
                settle=self._settle_some,
                asks_model=llm is not None or isinstance(observer, BatchObserver),
            )
        )

    # -- what the parts answer for the engine: see `Service` for each
    def _answer_for_search(self, search: SkillSearch) -> None:
        self.search = search
        self.recall, self.recall_pending = search.recall, search.recall_pending
        self.find_skills, self.find_blocks = search.find_skills, search.find_blocks
        self.experience_search = search.experience_search

    def _answer_for_files(self, files: FileOperations) -> None:
        self.files = files
        self.create_disk, self.delete_disk = files.create_disk, files.delete_disk
        self.disk, self.disks, self.disk_of_session = files.disk, files.disks, files.disk_of_session
        self.artifact, self.list_artifacts = files.artifact, files.list_artifacts
        self.upsert_artifact, self.update_artifact = files.upsert_artifact, files.update_artifact
        self.delete_artifact, self.download_artifact = files.delete_artifact, files.download_artifact
        self.grep_artifacts, self.glob_artifacts = files.grep_artifacts, files.glob_artifacts
        self.open_link, self.asset_urls, self.sweep = files.open_link, files.asset_urls, files.sweep

    def _answer_for_conversations(self, conversations: ConversationQueries) -> None:
        self.messages, self.message = conversations.messages, conversations.message
        self.update_message = conversations.update_message
        self.conversation, self.token_counts = conversations.conversation, conversations.token_counts
        self.observing_status, self.calls = conversations.observing_status, conversations.calls

    def _answer_for_people(self, approval: SkillApproval, jobs: JobsAdmin, costs: CostQueries) -> None:
        self.confirmations, self.confirm = approval.confirmations, approval.confirm
        self.tool_names, self.rename_tools = approval.tool_names, approval.rename_tools
        self.jobs, self.retry_jobs = jobs.jobs, jobs.retry_jobs
        self.costs = costs.costs

    def _answer_for_sources(self, sources: OutcomeSourceAdmin) -> None:
        self.outcome_sources = sources.outcome_sources
        self.register_outcome_source = sources.register_outcome_source
        self.revoke_outcome_source = sources.revoke_outcome_source

    @property
    def project_id(self) -> str:
        return self.store.project_id

    async def start(self) -> None:
        """Live on the loop that runs this; the worker, too, unless the settings leave the work to others."""
        self.search.start(asyncio.get_running_loop())
        if self.vectors is not None:
            self.vectors.register()
        if self.settings.worker.enabled:
            await self.work()

    @property
    def working(self) -> bool:
        """Whether a worker runs in the background."""
        return self._work is not None

    async def work(self) -> None:
        """Work in the background from now on. On the loop that `start` ran on."""
        if self._work is None:
            self._loop = asyncio.get_running_loop()
            self.recorder.wake = self._wake_later
            self._work = asyncio.create_task(self.worker.run())
            self._sweeping = asyncio.create_task(self.files.sweep_always())

    def _wake(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.worker.wake)

    def _tell_worker(self, what: Callable[[], None]) -> None:
        if self._loop is None or self._loop.is_closed():
            what()  # nobody works in the background
        else:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(what)

    def _wake_later(self) -> None:
        """Something was recorded: it is due when its conversation has been quiet for a while, and not earlier."""
        quiet, moment = self._patience.quiet, time.monotonic()
        if moment < self._wake_at:
            return
        if quiet == 0:
            self._wake()
        elif self._loop is not None and not self._loop.is_closed():
            self._wake_at = moment + quiet
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._loop.call_later, quiet, self.worker.wake)

    # -- for agents
    async def record_durably(self, recording: Recording) -> Appended:
        messages = recording.messages() if callable(recording.messages) else recording.messages
        check_assets(self.blobs, messages)
        return await self.recorder.append(recording.session, messages, recording.outcomes, recording.fates)

    async def find_space(self, name_or_id: str, *, create: bool = False) -> Space:
        """A space by its name or its id. Raises NotFound."""
        if is_uuid(name_or_id):
            return await self.store.space(name_or_id)
        return await self.store.space_by_name(name_or_id, create=create)

    async def find_session(self, key_or_id: str) -> Session:
        """A session by its id or by the host's own key. Raises NotFound, and Conflict for a key of several users."""
        with contextlib.suppress(NotFound):
            return await self.store.session(session_id_of(self.store.project_id, key_or_id))
        of_users = (await self.store.sessions(key=key_or_id, limit=2)).items
        if len(of_users) > 1:
            raise Conflict(f"several users have a session with the key {key_or_id!r}: give the id of the one you mean")
        if not of_users:
            raise NotFound("session", key_or_id)
        return of_users[0]

    async def all_tasks(self, session_id: str) -> list[Task]:
        """All pages of `tasks`."""
        return await all_tasks(self.store, session_id)

    async def drain(self, step: Callable[[LaneKind, int, int], None] = lambda kind, done, total: None) -> None:
        """Do the work that there is, here: first every observation, then every lesson, so that each is done once.

        What is recorded meanwhile keeps its own time. `step` is told the kind of work, how many lanes of it are done,
        and how many there are. Work that fails stays for a later worker.
        """
        if self.vectors is not None:
            await self.vectors.registered()
        for kind in self.worker.kinds:
            await self._drain(kind, partial(step, kind))

    async def _drain(self, kind: LaneKind, step: Callable[[int, int], None]) -> None:
        done, total, pause = 0, 0, 0.01
        patience = self.worker.patience()

        def ended(count: int) -> None:
            nonlocal done
            done += count
            step(done, max(done, total))

        wanted = FlushTargets(await self._waiting(kind))
        while ready := [lane for lane in wanted.of(await self._waiting(kind)) if patience.should_wait(lane)]:
            for lane in ready:
                if lane.due_at > time.time():
                    await self.store.schedule_now(lane.kind, lane.key)
            before, total = done, done + len(ready)
            step(done, total)
            await self.worker.work_through(kind, ended)
            if done == before:  # all that is left is in other hands, or what it needs is away
                if self.worker.held_up(kind):
                    self.worker.probe_soon()
                elif pause > 0.2:
                    self._say_elsewhere(ready)
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 0.25)

    def _say_elsewhere(self, lanes: Sequence[Lane]) -> None:
        """Once: that others are waited for, and for how long where they are gone."""
        if not self._said_elsewhere:
            self._said_elsewhere = True
            left = max(0.0, max(lane.lease_until for lane in lanes) - time.time())
            text = "acontext: waiting for the work of another process (if it was killed, for %.0f seconds)"
            log.warning(text, left)

    async def _waiting(self, kind: LaneKind) -> list[Lane]:
        return [lane for lane in await self.store.lanes(dead=False) if lane.kind == kind]

    async def flush(self, timeout: float | None = None) -> bool:
        """Make all that was recorded durable, and do all the work of it, also what would be due later."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if not await asyncio.to_thread(self.recorder.flush, timeout):
            return False
        if self.vectors is not None:
            await self.vectors.registered()
        return await self._settle(deadline)

    async def _settle(self, deadline: float | None) -> bool:
        """Do the work that there is now, and wait until it is done or dead.

        First every observation, then every lesson that comes of them. What is recorded meanwhile keeps its own time.
        """
        patience = self.worker.patience()
        settled = [await self._settle_kind(kind, None, patience, deadline) for kind in self.worker.kinds]
        return all(settled)

    async def _settle_some(self, kind: LaneKind, keys: Collection[str], deadline: float | None = None) -> bool:
        """The same for some sessions (observe), or some spaces (learn)."""
        return not keys or await self._settle_kind(kind, frozenset(keys), self.worker.patience(), deadline)

    async def _settle_kind(
        self, kind: LaneKind, keys: Collection[str] | None, patience: WaitPolicy, deadline: float | None
    ) -> bool:
        wanted = FlushTargets(lane for lane in await self._waiting(kind) if keys is None or lane.key in keys)
        hurried: set[str] = set()
        pause = 0.002
        while True:
            looked = time.monotonic()
            waiting = wanted.of(await self._waiting(kind)) if kind in self.worker.kinds else []
            looked = time.monotonic() - looked
            if not waiting:
                return True
            ready = [lane for lane in waiting if patience.should_wait(lane)]
            if not ready:
                return False
            for lane in ready:
                if lane.due_at > time.time() and lane.key not in hurried:
                    await self.store.schedule_now(kind, lane.key)
                    hurried.add(lane.key)
            self._tell_worker(self.worker.probe_soon)
            if self._work is None:
                await self.worker.work_once(kinds=[kind])
            if deadline is not None and time.monotonic() > deadline:
                return False
            await asyncio.sleep(max(pause, _BETWEEN_LOOKS * looked))
            pause = min(pause * 1.5, 0.05)
            if pause >= 0.05:
                hurried.clear()

    async def ping(self) -> str:
        await self.store.spaces(limit=1)
        return "pong"

    # -- sessions
    async def create_session(
        self,
        *,
        space_id: str | None = None,
        key: str | None = None,
        principal: str | None = None,
        disable_task_tracking: bool = False,
        configs: Json | None = None,
        use_uuid: str | None = None,
    ) -> Session:
        id = chosen_id(use_uuid, key) or (await self._id_for(key, principal) if key else new_id())
        return await self.store.create_session(
            Session(
                id=id,
                project_id=self.store.project_id,
                space_id=space_id,
                key=key,
                principal=principal,
                disable_task_tracking=disable_task_tracking,
                configs=configs,
            )
        )

    async def _id_for(self, key: str, principal: str | None) -> str:
        """The id of a session that is to be made: the one that the key has alone, unless another user's has it."""
        under_key = session_id_of(self.store.project_id, key)
        with contextlib.suppress(NotFound):
            if principal not in (None, (await self.store.session(under_key)).principal):
                return session_id_of(self.store.project_id, key, principal)
        return under_key

    async def session(self, session_id: str) -> Session:
        return await self.store.session(session_id)

    async def sessions(
        self,
        *,
        space_id: str | None = None,
        not_connected: bool = False,
        principal: str | None = None,
        filter_by_configs: Json | None = None,
        limit: int = 20,
        cursor: str | None = None,
        time_desc: bool = False,
    ) -> Page[Session]:
        return await self.store.sessions(
            space_id=space_id,
            not_connected=not_connected,
            principal=principal,
            filter_by_configs=filter_by_configs,
            limit=limit,
            cursor=cursor,
            time_desc=time_desc,
        )

    async def update_session(
        self, session_id: str, *, configs: Json | None = None, space_id: str | None = None
    ) -> Session:
        return await self.store.update_session(session_id, configs=configs, space_id=space_id)

    async def delete_session(self, session_id: str) -> None:
        await self.store.delete_session(session_id)
        await self.files.sweep()

    async def append(
        self,
        session_id: str,
        messages: Sequence[Message],
        outcomes: Sequence[Outcome] = (),
        fates: Sequence[CallFate] = (),
    ) -> Appended:
        check_assets(self.blobs, messages)
        return await self.recorder.append(session_id, messages, outcomes, fates)

    async def upload(self, source: BinaryIO) -> Blob:
        return await asyncio.to_thread(keep_bytes, self.blobs, source)

    async def tasks(
        self, session_id: str, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False
    ) -> Page[Task]:
        return await self.store.tasks(session_id, limit=limit, cursor=cursor, time_desc=time_desc)

    async def flush_session(self, session_id: str) -> FlushResult:
        """Observe all of the session that is recorded so far; learning goes on in the background."""
        await asyncio.to_thread(self.recorder.flush)
        await self.store.session(session_id)
        await self._settle_some("observe", [session_id])
        for lane in await self.store.lanes(session_id=session_id):
            if not lane.idle and (lane.last_error or self.worker.held_up(lane.kind)):
                why = lane.reason if lane.last_error else self.worker.held_up(lane.kind)
                return FlushResult(status=500, errmsg=why)
        return FlushResult()

    async def learning_status(self, session_id: str) -> LearningStatus:
        return await self.store.learning_status(session_id)

    # -- spaces
    async def create_space(self, *, name: str | None = None, configs: Json | None = None) -> Space:
        check_configs(configs)
        return await self.store.create_space(
            Space(id=new_id(), project_id=self.store.project_id, name=name, configs=configs)
        )

    async def space(self, space_id: str) -> Space:
        return await self.store.space(space_id)

    async def space_by_name(self, name: str, *, create: bool = False) -> Space:
        return await self.store.space_by_name(name, create=create)

    async def spaces(self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False) -> Page[Space]:
        return await self.store.spaces(limit=limit, cursor=cursor, time_desc=time_desc)

    async def update_space(self, space_id: str, *, configs: Json) -> Space:
        check_configs(configs)
        return await self.store.update_space(space_id, configs=configs)

    async def delete_space(self, space_id: str) -> None:
        await self.store.delete_space(space_id)

    async def skills(self, space_id: str, *, statuses: Collection[SkillStatus] | None = None) -> list[Skill]:
        return await self.store.skills(space_id, statuses=statuses)

    async def skill_versions(self, skill_id: str) -> list[SkillVersion]:
        return await self.store.skill_versions(skill_id)

    # -- blocks
    async def blocks(
        self,
        space_id: str,
        *,
        parent_id: str | None = None,
        block_type: BlockType | None = None,
        tree: bool = False,
    ) -> list[Block]:
        return await self.store.blocks(space_id, parent_id=parent_id, type=block_type, tree=tree)

    async def block(self, space_id: str, block_id: str) -> Block:
        return await self.store.block(space_id, block_id)

    async def create_block(
        self,
        space_id: str,
        *,
        block_type: BlockType,
        parent_id: str | None = None,
        title: str | None = None,
        props: Json | None = None,
    ) -> Block:
        return await self.store.create_block(
            Block(
                id=new_id(),
                space_id=space_id,
                type=block_type,
                title=title or "",
                parent_id=parent_id,
                props=props or {},
            )
        )

    async def update_block(
        self, space_id: str, block_id: str, *, title: str | None = None, props: Json | None = None
    ) -> Block:
        if title is None and props is None:
            raise InvalidInput("nothing to update: give a title, props, or both")
        return await self.store.update_block(space_id, block_id, title=title, props=props)

    async def move_block(
        self, space_id: str, block_id: str, *, parent_id: str | None = None, sort: int | None = None
    ) -> Block:
        return await self.store.move_block(space_id, block_id, parent_id=parent_id, sort=sort)

    async def sort_block(self, space_id: str, block_id: str, sort: int) -> Block:
        return await self.store.sort_block(space_id, block_id, sort)

    async def delete_block(self, space_id: str, block_id: str) -> None:
        await self.store.delete_block(space_id, block_id)

    # -- the end
    async def stop(self) -> None:
        """Stop the worker; what it had claimed is claimed again later. On the loop that `start` ran on."""
        if self.vectors is not None:
            await self.vectors.stop()
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping
            self._sweeping = None
        if self._work is not None:
            self.worker.stop_claiming()
            self._work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._work
            self._work = None

    def close(self) -> None:
        """Write what is recorded, then close the store. Uses no executor: it must work while Python exits."""
        self.files.links.close()
        self.recorder.close()
        self.store.close()

    async def aclose(self) -> None:
        """`stop`, then `close`."""
        await self.stop()
        await asyncio.to_thread(self.close)
