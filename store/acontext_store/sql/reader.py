"""The threads that read: the read methods of a SQLite store, on connections that cannot write.

There are a few, each with a thread of its own, and one for what is read at once. Questions that take several reads see
one moment of the database (a snapshot).
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from ..embedding import VectorChanges
from ..errors import Closed, NotFound, StoreReplaced
from ..injections import Injection
from ..protocols import Pending, ReadSnapshot
from ..types import Outcome, SearchHit, Session, Skill, SkillStatus, Space, StoredMessage, Task
from . import conversations, injections, learned, search, skills, spaces, tasks
from .connect import is_busy, reading, translate
from .database import SqliteConnection, Tx, Work, replaced
from .tables import sessions as sessions_table
from .tables import spaces as spaces_table
from .writer import WriteJob, Writer, nothing

T = TypeVar("T")

_THREADS = 2
#: How often the writer is asked to find out what has the database's name: it loses one, and opens another.
_LOOKS = 3
#: Reads of a few rows by their key. They are done on the thread that asks: to wake another takes longer.
_ONE_ROW = (conversations.session, conversations.message)
_FEW = 50


def _is_short(work: Work, options: dict[str, Any]) -> bool:
    if work is conversations.list_messages:
        return options["limit"] is not None and options["limit"] <= _FEW
    return work in _ONE_ROW


class _Seat:
    """A place for one connection, which is used by one at a time."""

    __slots__ = ("link", "quiet")

    def __init__(self) -> None:
        self.link: SqliteConnection | None = None
        #: Held while it reads; see `Writer.quiet`.
        self.quiet = threading.Lock()

    def leave(self) -> None:
        """With `quiet` held."""
        link, self.link = self.link, None
        if link is not None:
            link.close()


class Readers:
    """Each read sees one moment of the database, at least as new as every write that was done when it was asked.

    It is the database that the writer writes to, under its name: where the file was deleted or replaced, the writer is
    asked to find out first, and reads of a database that is gone raise StoreReplaced.
    """

    def __init__(self, writer: Writer, project_id: str, *, busy_timeout: float) -> None:
        self._writer = writer
        self._path = writer.path
        self._project_id = project_id
        self._busy_timeout = busy_timeout
        self._queue: queue.SimpleQueue[WriteJob | None] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._closing = False
        self._threads: list[threading.Thread] = []
        #: The first is for what is read on the thread that asks, the others have threads of their own.
        self.seats: list[_Seat] = [_Seat()]
        writer.have_readers_leave = self._leave

    def submit(self, work: Work, arguments: tuple[Any, ...], options: dict[str, Any]) -> Pending[Any]:
        pending: Pending[Any] = Pending()
        if _is_short(work, options) and self._done_here(WriteJob(pending, work, arguments, options)):
            return pending
        with self._door:
            if self._closing:
                raise Closed("the store is closed: open it again")
            if len(self._threads) < _THREADS and (not self._threads or self._queue.qsize() > 0):
                self._start()
            self._queue.put(WriteJob(pending, work, arguments, options))
        return pending

    def close(self, *, wait: bool = True) -> None:
        """Read what is asked for, then close the connections."""
        with self._door:
            if not self._closing:
                self._closing = True
                for _ in self._threads:
                    self._queue.put(None)
        with self.seats[0].quiet:
            self.seats[0].leave()
        for thread in self._threads if wait else ():
            thread.join()

    def _leave(self) -> None:
        for seat in list(self.seats):
            with seat.quiet:
                seat.leave()

    def _done_here(self, job: WriteJob) -> bool:
        """Read it now, unless somebody else does so at the moment or the database is locked or another one."""
        seat = self.seats[0]
        if not seat.quiet.acquire(blocking=False):
            return False
        link: SqliteConnection | None = None
        try:
            if self._closing:
                return False
            link = self._link(seat, busy_timeout=0.0)
            if link is None:
                return False
            value = self._read(link, job)
        except Exception as error:
            if link is None or is_busy(error):
                return False
            job.pending.set_exception(translate(error, self._path))
        else:
            job.pending.set_result(value)
        finally:
            seat.quiet.release()
        return True

    def _link(self, seat: _Seat, *, busy_timeout: float) -> SqliteConnection | None:
        """A connection to the file that has the database's name, if that is the writer's. With `quiet` held."""
        link = seat.link
        if link is not None and link.names.lead_here:
            return link
        seat.leave()
        names = self._writer.names
        if names is None or self._writer.has_hidden_log or not names.lead_here or not names.lead_to_log:
            return None
        link = reading(self._path, busy_timeout=busy_timeout)
        if link.names.database != names.database:
            link.close()
            return None
        seat.link = link
        return link

    def _start(self) -> None:
        seat = _Seat()
        thread = threading.Thread(
            target=self._work, args=(seat,), name=f"acontext-store-reader-{len(self._threads)}", daemon=True
        )
        self.seats.append(seat)
        self._threads.append(thread)
        thread.start()

    # -- a thread
    def _work(self, seat: _Seat) -> None:
        try:
            while (job := self._queue.get()) is not None:
                if not job.pending.set_running_or_notify_cancel():
                    continue
                try:
                    value = self._answer(seat, job)
                except Exception as error:
                    job.pending.set_exception(translate(error, self._path))
                else:
                    job.pending.set_result(value)
        finally:
            with seat.quiet:
                seat.leave()

    def _answer(self, seat: _Seat, job: WriteJob) -> Any:
        for _ in range(_LOOKS):
            with seat.quiet:
                link = self._link(seat, busy_timeout=self._busy_timeout)
                if link is not None:
                    return self._read(link, job)
            if self._writer.has_hidden_log:
                return self._writer.submit(job.work, job.arguments, job.options).result()
            with contextlib.suppress(StoreReplaced):  # that is how it finds out
                self._writer.submit(nothing, (), {}).result()
        raise replaced(self._path)

    def _read(self, link: SqliteConnection, job: WriteJob) -> Any:
        link.raw.execute("BEGIN")
        try:
            return job.work(Tx.on(link, self._project_id), *job.arguments, **job.options)
        finally:
            link.raw.execute("ROLLBACK")


# ------------------------------------------------------------------------------------------ snapshots


class SqliteSnapshot:
    """What a transaction that reads can be asked."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        # rows of sessions and spaces, and how often words occur in them: all of a moment sees the same
        self._sessions: dict[str, Any] = {}
        self._spaces: dict[str, Any] = {}
        self._frequencies: dict[str, dict[str, int]] = {}

    def session(self, session_id: str) -> Session:
        return conversations.session_of(self._session(session_id))

    def _session(self, session_id: str) -> Any:
        if session_id not in self._sessions:
            self._sessions[session_id] = self._tx.get(sessions_table, "session", session_id)
        return self._sessions[session_id]

    def messages(self, session_id: str, *, after_seq: int = 0, limit: int | None = None) -> list[StoredMessage]:
        return conversations.list_messages(
            self._tx, session_id, after_seq=after_seq, limit=limit, cursor=None, time_desc=False
        ).items

    def outcomes(self, session_id: str, *, after_seq: int = 0) -> list[Outcome]:
        self._session(session_id)
        return conversations.outcomes_of(self._tx, session_id, after_seq=after_seq)

    def tasks(self, session_id: str, *, planning: bool = False) -> list[Task]:
        found = tasks.of_session(self._tx, session_id, planning=True) if planning else []
        return found + tasks.of_session(self._tx, session_id, planning=False)

    def tasks_before(self, task: Task, *, limit: int) -> list[Task]:
        return tasks.before(self._tx, task, limit=limit)

    def task_messages(self, task: Task, *, last: int | None = None) -> list[StoredMessage]:
        return conversations.messages_of(self._tx, task, last=last)

    def tasks_of_run(self, session_id: str, run_id: str) -> list[str]:
        return tasks.of_run(self._tx, session_id, run_id)

    def learned_from(self, task_ids: Iterable[str]) -> set[str]:
        return learned.with_episodes(self._tx, task_ids)

    def resume_seq(self, session_id: str) -> int:
        return int(self._session(session_id).resume_seq)

    def observed_seq(self, session_id: str) -> int:
        return int(self._session(session_id).observed_seq)

    def space_by_name(self, name: str) -> Space:
        row = self._tx.find(spaces_table, name=name)
        if row is None:
            raise NotFound("space", name)
        self._spaces[row.id] = row
        return spaces.space_of(row)

    def frequencies(self, space_id: str, terms: Iterable[str]) -> tuple[int, dict[str, int]]:
        wanted = list(terms)
        total, counts = search.frequencies(self._tx, space_id, wanted, space=self._space(space_id))
        self._frequencies.setdefault(space_id, {}).update(counts)
        return total, counts

    def search(
        self,
        space_id: str,
        terms: Sequence[str],
        *,
        statuses: Collection[SkillStatus] | None = None,
        limit: int = 50,
    ) -> list[SearchHit]:
        counts = self._frequencies.get(space_id, {})
        known = counts if all(term in counts for term in terms) else None
        return search.search(
            self._tx,
            space_id,
            terms,
            statuses=statuses,
            limit=limit,
            space=self._space(space_id),
            counts=known,
        )

    def _space(self, space_id: str) -> Any:
        if space_id not in self._spaces:
            self._spaces[space_id] = self._tx.get(spaces_table, "space", space_id)
        return self._spaces[space_id]

    def skills_by_id(self, skill_ids: Sequence[str], *, evidence: bool = True) -> list[Skill]:
        return skills.skills_by_id(self._tx, skill_ids, evidence=evidence)

    def placements(self, space_id: str, session_id: str, anchors: Collection[str] | None = None) -> list[Injection]:
        return injections.placements(self._tx, space_id, session_id, anchors)

    def vectors(
        self, space_id: str, *, model: str, dimensions: int, after: int = 0, limit: int = 1000
    ) -> VectorChanges:
        return search.vector_changes(self._tx, space_id, model=model, dimensions=dimensions, after=after, limit=limit)

    def embedded_skills(self, space_id: str, *, model: str, dimensions: int) -> set[str]:
        return search.embedded_skills(self._tx, space_id, model=model, dimensions=dimensions)


def ask_snapshot(tx: Tx, question: Callable[[ReadSnapshot], T]) -> T:
    return question(SqliteSnapshot(tx))
