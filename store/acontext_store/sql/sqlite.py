"""The store in one SQLite file: nothing to install, nothing to run, safe for many threads and processes at once."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..backend import Durability
from ..embedding import Unembedded, VectorOps
from ..ending import at_end
from ..errors import Closed
from ..forks import STORES, at_fork, renewed_in_child
from ..injections import Injection
from ..ledger import Cost, CostBy, ModelCall
from ..outcome_sources import NamedSource, Revocation
from ..project import check_project_id
from ..protocols import Pending, ReadSnapshot
from ..records import valid
from ..sql import (
    blob_references,
    calls,
    conversations,
    disks,
    injections,
    jobs,
    learned,
    outcome_sources,
    progress,
    replacing,
    schema,
    search,
    sessions,
    skills,
    spaces,
    stats,
    tasks,
    tool_names,
)
from ..types import (
    Appended,
    Artifact,
    ArtifactListing,
    Block,
    BlockType,
    CallFate,
    Claim,
    Disk,
    Episode,
    Json,
    Lane,
    LaneKind,
    LearningStatus,
    Message,
    ObservingStatus,
    Outcome,
    Page,
    Proposal,
    SearchHit,
    Session,
    Skill,
    SkillOps,
    SkillStatus,
    SkillVersion,
    Space,
    StoredMessage,
    StoreStats,
    Task,
    TaskOps,
    ToolName,
)
from .connect import BUSY_TIMEOUT, writing
from .database import SqliteConnection
from .reader import Readers, ask_snapshot
from .writer import Writer, nothing

T = TypeVar("T")


class SqliteStore:
    """`Store` on a SQLite file in write-ahead mode.

    One thread writes and commits many writes at once; two threads read. A commit is on the operating system's side
    when its Pending resolves: it outlives the process, killed or not; with `durability="full"` it also outlives the
    machine's power. A file that is deleted or replaced while it is open is noticed then (StoreReplaced).
    After `os.fork` the child opens the file anew by itself; what was queued in the parent stays the parent's.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        project_id: str,
        durability: Durability = "normal",
        busy_timeout: float = BUSY_TIMEOUT,
    ) -> None:
        """Open the file, or make it. Raises InvalidInput for the project, StoreUnavailable or IncompatibleStore."""
        self.project_id = check_project_id(project_id)
        self.path = Path(path).absolute()
        self._durability: Durability = durability
        self._busy_timeout = busy_timeout
        self._closed = False
        self._door = renewed_in_child(self, "_door", threading.Lock)
        self._held: list[threading.Lock] = []
        self._writer: Writer | None = None
        self._readers: Readers | None = None
        self._open()
        at_fork(
            STORES,
            before=self._before_fork,
            after_in_parent=self._after_fork_in_parent,
            after_in_child=self._after_fork_in_child,
        )

    def _open(self) -> None:
        open_link = partial(_open_link, self.path, durability=self._durability, busy_timeout=self._busy_timeout)
        self._writer = Writer(open_link, self.project_id, busy_timeout=self._busy_timeout)
        self._readers = Readers(self._writer, self.project_id, busy_timeout=self._busy_timeout)
        _writers.add(self._writer)
        self._finalizer = weakref.finalize(self, _let_go, self._writer, self._readers)
        self._finalizer.atexit = False

    def _write(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Pending[Any]:
        writer = self._writer
        if writer is None:
            self._reopen()
            assert self._writer is not None
            writer = self._writer
        return writer.submit(work, valid(arguments), valid(options))

    def _read(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Pending[Any]:
        readers = self._readers
        if readers is None:
            self._reopen()
            assert self._readers is not None
            readers = self._readers
        return readers.submit(work, valid(arguments), valid(options))

    def _reopen(self) -> None:
        """The first call in a forked child."""
        with self._door:
            if self._closed:
                raise Closed("the store is closed: open it again")
            if self._writer is None or self._readers is None:
                self._open()

    # -- sessions
    def create_session(self, session: Session) -> Pending[Session]:
        return self._write(conversations.create_session, session)

    def session(self, session_id: str) -> Pending[Session]:
        return self._read(conversations.session, session_id)

    def sessions(
        self,
        *,
        space_id: str | None = None,
        not_connected: bool = False,
        key: str | None = None,
        principal: str | None = None,
        filter_by_configs: Json | None = None,
        limit: int = 20,
        cursor: str | None = None,
        time_desc: bool = False,
    ) -> Pending[Page[Session]]:
        return self._read(
            sessions.list_sessions,
            space_id=space_id,
            not_connected=not_connected,
            key=key,
            principal=principal,
            filter_by_configs=filter_by_configs,
            limit=limit,
            cursor=cursor,
            time_desc=time_desc,
        )

    def update_session(
        self, session_id: str, *, configs: Json | None = None, space_id: str | None = None
    ) -> Pending[Session]:
        return self._write(conversations.update_session, session_id, configs=configs, space_id=space_id)

    def delete_session(self, session_id: str) -> Pending[None]:
        return self._write(sessions.delete_session, session_id)

    # -- messages
    def append(
        self,
        session_id: str,
        messages: Sequence[Message] = (),
        outcomes: Sequence[Outcome] = (),
        fates: Sequence[CallFate] = (),
        *,
        ensure: Session | None = None,
        quiet: float = 0.0,
        max_wait: float = 0.0,
        buffer: int = 0,
    ) -> Pending[Appended]:
        return self._write(
            conversations.append,
            session_id,
            tuple(messages),
            tuple(outcomes),
            tuple(fates),
            ensure,
            quiet,
            max_wait,
            buffer,
        )

    def replace(
        self,
        session: Session,
        messages: Sequence[Message],
        outcomes: Sequence[Outcome] = (),
        fates: Sequence[CallFate] = (),
        *,
        quiet: float = 0.0,
        max_wait: float = 0.0,
        buffer: int = 0,
    ) -> Pending[Appended]:
        return self._write(
            replacing.replace, session, tuple(messages), tuple(outcomes), tuple(fates), quiet, max_wait, buffer
        )

    def messages(
        self,
        session_id: str,
        *,
        after_seq: int = 0,
        limit: int | None = None,
        cursor: str | None = None,
        time_desc: bool = False,
    ) -> Pending[Page[StoredMessage]]:
        return self._read(
            conversations.list_messages,
            session_id,
            after_seq=after_seq,
            limit=limit,
            cursor=cursor,
            time_desc=time_desc,
        )

    def message(self, session_id: str, message_id: str) -> Pending[StoredMessage]:
        return self._read(conversations.message, session_id, message_id)

    def update_message(self, session_id: str, message_id: str, *, meta: Json) -> Pending[StoredMessage]:
        return self._write(conversations.update_message, session_id, message_id, meta=meta)

    def observing_status(self, session_id: str) -> Pending[ObservingStatus]:
        return self._read(jobs.observing_status, session_id)

    def outcomes(self, session_id: str, *, after_seq: int = 0) -> Pending[list[Outcome]]:
        return self._read(conversations.list_outcomes, session_id, after_seq=after_seq)

    # -- sources of outcomes
    def register_source(self, name: str, *, strength: float, note: str | None = None) -> Pending[NamedSource]:
        return self._write(outcome_sources.register, name, strength=strength, note=note)

    def named_sources(self) -> Pending[list[NamedSource]]:
        return self._read(outcome_sources.list_sources)

    def revoke_source(self, name: str, *, limit: int = 100, quiet: float = 0.0, max_wait: float = 0.0) -> Pending[int]:
        return self._write(outcome_sources.revoke, name, limit=limit, quiet=quiet, max_wait=max_wait)

    def revocation(self, name: str) -> Pending[Revocation]:
        return self._read(outcome_sources.revocation, name)

    # -- tasks
    def tasks(
        self, session_id: str, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False
    ) -> Pending[Page[Task]]:
        return self._read(tasks.list_tasks, session_id, limit=limit, cursor=cursor, time_desc=time_desc)

    def task(self, task_id: str) -> Pending[Task]:
        return self._read(tasks.task, task_id)

    def resume_seq(self, session_id: str) -> Pending[int]:
        return self._read(tasks.resume_seq, session_id)

    def apply_tasks(self, claim: Claim, ops: TaskOps, *, learn_after: float = 0.0, buffer: int = 0) -> Pending[None]:
        return self._write(tasks.apply, claim, ops, learn_after=learn_after, buffer=buffer)

    def undigested(self, space_id: str, *, limit: int = 1000) -> Pending[list[Task]]:
        return self._read(tasks.undigested, space_id, limit=limit)

    def learning_status(self, session_id: str) -> Pending[LearningStatus]:
        return self._read(progress.learning_status, session_id)

    # -- spaces and blocks
    def create_space(self, space: Space) -> Pending[Space]:
        return self._write(spaces.create_space, space)

    def space(self, space_id: str) -> Pending[Space]:
        return self._read(spaces.space, space_id)

    def space_by_name(self, name: str, *, create: bool = False) -> Pending[Space]:
        submit = self._write if create else self._read
        return submit(spaces.space_by_name, name, create=create)

    def spaces(self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False) -> Pending[Page[Space]]:
        return self._read(spaces.list_spaces, limit=limit, cursor=cursor, time_desc=time_desc)

    def update_space(self, space_id: str, *, configs: Json) -> Pending[Space]:
        return self._write(spaces.update_space, space_id, configs=configs)

    def delete_space(self, space_id: str) -> Pending[None]:
        return self._write(spaces.delete_space, space_id)

    def blocks(
        self, space_id: str, *, parent_id: str | None = None, type: BlockType | None = None, tree: bool = False
    ) -> Pending[list[Block]]:
        return self._read(spaces.list_blocks, space_id, parent_id=parent_id, type=type, tree=tree)

    def block(self, space_id: str, block_id: str) -> Pending[Block]:
        return self._read(spaces.block, space_id, block_id)

    def create_block(self, block: Block) -> Pending[Block]:
        return self._write(spaces.create_block, block)

    def update_block(
        self, space_id: str, block_id: str, *, title: str | None = None, props: Json | None = None
    ) -> Pending[Block]:
        return self._write(spaces.update_block, space_id, block_id, title=title, props=props)

    def move_block(
        self, space_id: str, block_id: str, *, parent_id: str | None = None, sort: int | None = None
    ) -> Pending[Block]:
        return self._write(spaces.move_block, space_id, block_id, parent_id=parent_id, sort=sort)

    def sort_block(self, space_id: str, block_id: str, sort: int) -> Pending[Block]:
        return self._write(spaces.sort_block, space_id, block_id, sort)

    def delete_block(self, space_id: str, block_id: str) -> Pending[None]:
        return self._write(spaces.delete_block, space_id, block_id)

    # -- skills
    def skills(self, space_id: str, *, statuses: Collection[SkillStatus] | None = None) -> Pending[list[Skill]]:
        return self._read(skills.list_skills, space_id, statuses=statuses)

    def proposals(self, space_id: str) -> Pending[list[Proposal]]:
        return self._read(learned.list_proposals, space_id)

    def proposed_skills(self, space_id: str) -> Pending[list[Skill]]:
        return self._read(learned.proposed, space_id)

    def confirm(self, space_id: str, proposal_id: str, *, data: Json | None = None) -> Pending[Skill]:
        return self._write(learned.confirm, space_id, proposal_id, data=data)

    def reject(self, space_id: str, proposal_id: str) -> Pending[Skill]:
        return self._write(learned.reject, space_id, proposal_id)

    def skill(self, skill_id: str) -> Pending[Skill]:
        return self._read(skills.skill, skill_id)

    def skills_by_id(self, skill_ids: Sequence[str], *, evidence: bool = True) -> Pending[list[Skill]]:
        return self._read(skills.skills_by_id, tuple(skill_ids), evidence=evidence)

    def skill_versions(self, skill_id: str) -> Pending[list[SkillVersion]]:
        return self._read(skills.skill_versions_of, skill_id)

    def set_skill_status(self, skill_id: str, status: SkillStatus, *, reason: str = "") -> Pending[Skill]:
        return self._write(skills.set_status, skill_id, status, reason=reason)

    def tool_names(self) -> Pending[list[ToolName]]:
        return self._read(tool_names.list_names)

    def rename_tools(
        self, names: Mapping[str, str], *, episode: Callable[[Json], Json], text: Callable[[str], str]
    ) -> Pending[int]:
        return self._write(tool_names.rename, dict(names), episode=episode, text=text)

    def episodes(self, space_id: str) -> Pending[list[Episode]]:
        return self._read(learned.list_episodes, space_id)

    def apply_skills(self, claim: Claim, ops: SkillOps, *, confirm: bool = False) -> Pending[int]:
        return self._write(learned.apply, claim, ops, confirm=confirm)

    def frequencies(self, space_id: str, terms: Iterable[str]) -> Pending[tuple[int, dict[str, int]]]:
        return self._read(search.frequencies, space_id, tuple(terms))

    def search(
        self,
        space_id: str,
        terms: Sequence[str],
        *,
        statuses: Collection[SkillStatus] | None = None,
        limit: int = 50,
    ) -> Pending[list[SearchHit]]:
        return self._read(search.search, space_id, tuple(terms), statuses=statuses, limit=limit)

    def read_snapshot(self, question: Callable[[ReadSnapshot], T]) -> Pending[T]:
        return self._read(ask_snapshot, question)

    # -- vectors
    def embed_with(self, model: str, dimensions: int | None = None) -> Pending[bool]:
        said = self._write(search.embed_with, model, dimensions)
        if self._writer is not None:
            self._writer.greeting = search.embed_with, (model, dimensions)
        return said

    def embedder(self) -> Pending[tuple[str, int | None] | None]:
        return self._read(search.embedder)

    def unembedded(self, space_id: str, *, limit: int = 64) -> Pending[list[Unembedded]]:
        return self._read(search.list_unembedded, space_id, limit=limit)

    def apply_vectors(self, claim: Claim, ops: VectorOps) -> Pending[None]:
        return self._write(search.apply_vectors, claim, ops)

    def log_injection(self, injection: Injection) -> Pending[None]:
        return self._write(injections.log_injection, injection)

    def injections(self, space_id: str, *, limit: int = 100) -> Pending[list[Injection]]:
        return self._read(injections.list_injections, space_id, limit=limit)

    def placements(
        self, space_id: str, session_id: str, anchors: Collection[str] | None = None
    ) -> Pending[list[Injection]]:
        return self._read(injections.placements, space_id, session_id, anchors)

    # -- the ledger
    def log_call(self, call: ModelCall) -> Pending[None]:
        return self._write(calls.log, call)

    def calls(self, *, space_id: str | None = None, limit: int = 100) -> Pending[list[ModelCall]]:
        return self._read(calls.list_calls, space_id=space_id, limit=limit)

    def costs(
        self,
        *,
        by: Collection[CostBy] = (),
        space_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Pending[list[Cost]]:
        return self._read(calls.sums, by=tuple(by), space_id=space_id, since=since, until=until)

    # -- disks
    def create_disk(self, disk: Disk) -> Pending[Disk]:
        return self._write(disks.create_disk, disk)

    def disk(self, disk_id: str) -> Pending[Disk]:
        return self._read(disks.disk, disk_id)

    def disk_of_session(self, session_id: str) -> Pending[Disk]:
        return self._write(disks.disk_of_session, session_id)

    def disks(self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False) -> Pending[Page[Disk]]:
        return self._read(disks.list_disks, limit=limit, cursor=cursor, time_desc=time_desc)

    def delete_disk(self, disk_id: str) -> Pending[None]:
        return self._write(disks.delete_disk, disk_id)

    def put_artifact(self, artifact: Artifact, *, if_sha256: str | None = None) -> Pending[Artifact]:
        return self._write(disks.put, artifact, if_sha256=if_sha256)

    def artifact(self, disk_id: str, path: str, filename: str) -> Pending[Artifact]:
        return self._read(disks.artifact, disk_id, path, filename)

    def update_artifact(self, disk_id: str, path: str, filename: str, *, meta: Json) -> Pending[Artifact]:
        return self._write(disks.update, disk_id, path, filename, meta=meta)

    def delete_artifact(self, disk_id: str, path: str, filename: str) -> Pending[None]:
        return self._write(disks.delete, disk_id, path, filename)

    def list_artifacts(self, disk_id: str, path: str = "/") -> Pending[ArtifactListing]:
        return self._read(disks.list_folder, disk_id, path)

    def artifacts(
        self, disk_id: str, *, under: str = "/", limit: int = 200, cursor: str | None = None
    ) -> Pending[Page[Artifact]]:
        return self._read(disks.list_below, disk_id, under=under, limit=limit, cursor=cursor)

    def unused_blobs(self, *, limit: int = 1000) -> Pending[list[str]]:
        return self._read(blob_references.list_unused, limit=limit)

    def forget_blobs(self, hashes: Collection[str]) -> Pending[None]:
        return self._write(blob_references.forget, tuple(hashes))

    def used_blobs(self, hashes: Collection[str]) -> Pending[set[str]]:
        return self._read(blob_references.used, tuple(hashes))

    # -- work
    def schedule_now(self, kind: LaneKind, key: str, *, at: float | None = None) -> Pending[None]:
        return self._write(jobs.schedule_now, kind, key, at=at)

    def claim(self, owner: str, *, kinds: Collection[LaneKind], lease: float, limit: int = 1) -> Pending[list[Claim]]:
        return self._write(jobs.claim, owner, kinds=tuple(kinds), lease=lease, limit=limit)

    def heartbeat(self, claim: Claim, *, lease: float) -> Pending[None]:
        return self._write(jobs.heartbeat, claim, lease=lease)

    def release(
        self,
        claim: Claim,
        *,
        error: str | None = None,
        retry_in: float | None = None,
        dead: bool = False,
        outage: bool = False,
    ) -> Pending[None]:
        return self._write(jobs.release, claim, error=error, retry_in=retry_in, dead=dead, outage=outage)

    def retry(self, *, space_id: str | None = None, session_id: str | None = None) -> Pending[int]:
        return self._write(jobs.retry, space_id=space_id, session_id=session_id)

    def next_due(self, *, kinds: Collection[LaneKind]) -> Pending[float | None]:
        return self._read(jobs.next_due, kinds=tuple(kinds))

    def lanes(
        self,
        *,
        dead: bool | None = None,
        space_id: str | None = None,
        session_id: str | None = None,
        limit: int | None = None,
    ) -> Pending[list[Lane]]:
        return self._read(jobs.list_lanes, dead=dead, space_id=space_id, session_id=session_id, limit=limit)

    def stats(self) -> Pending[StoreStats]:
        return self._read(stats.count)

    def flush(self) -> Pending[None]:
        return self._write(nothing)

    def close(self) -> None:
        with self._door:
            self._closed = True
            readers, writer = self._readers, self._writer
        self._finalizer.detach()
        if readers is not None:
            readers.close()
        if writer is not None:
            writer.close()

    # -- forks
    def _before_fork(self) -> None:
        """Wait until no thread is inside SQLite: a child would inherit its locks, held for ever."""
        if self._writer is not None and self._readers is not None:
            for lock in [self._writer.quiet, *(seat.quiet for seat in self._readers.seats)]:
                if lock.acquire(timeout=1.0):
                    self._held.append(lock)

    def _after_fork_in_parent(self) -> None:
        while self._held:
            self._held.pop().release()

    def _after_fork_in_child(self) -> None:
        """Leave the parent's connections alone (closing them would harm the parent), and open our own when needed."""
        self._finalizer.detach()
        _inherited.append((self._writer, self._readers))
        self._writer = self._readers = None
        self._held.clear()


def _open_link(path: Path, *, durability: Durability, busy_timeout: float) -> SqliteConnection:
    link = writing(path, durability=durability, busy_timeout=busy_timeout)
    try:
        schema.ensure(link, busy_timeout=busy_timeout)
    except BaseException:
        link.close()
        raise
    return link


# ---------------------------------------------------------------------------------- the end, and children

_writers: weakref.WeakSet[Writer] = weakref.WeakSet()
_inherited: list[object] = []


def _let_go(writer: Writer, readers: Readers) -> None:
    """A store that nobody closed and nobody has any more: its threads write what is queued, and end."""
    readers.close(wait=False)
    writer.close(wait=False)


def _at_end(*, last: bool) -> None:
    """Write what is queued. Nothing is closed: somebody may still have something to write."""
    for writer in list(_writers):
        writer.drain(leaving=last)


at_end(STORES, _at_end)
at_fork(STORES, after_in_child=_writers.clear)
