"""The one thread that writes: it takes what is queued, and commits it together."""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ..backoff import Backoff
from ..errors import Closed, StoreReplaced, StoreUnavailable
from ..protocols import Pending
from . import conversations
from . import jobs as lanes
from .connect import is_busy, translate, use_wal
from .database import Memory, SqliteConnection, Tx, Work, replaced
from .names import Names, file_id

log = logging.getLogger("acontext")

_BATCH = 256
_REMEMBERED = 10_000
#: Between looks whether another process still holds the database.
_BUSY = Backoff(0.0005, 0.01, factor=1.5)


def nothing(tx: Tx) -> None:
    """A write that is only waited for."""


class WriteJob(NamedTuple):
    """Something to write, and who waits for it."""

    pending: Pending[Any]
    work: Work
    arguments: tuple[Any, ...]
    options: dict[str, Any]


#: They are about what a database holds: for them, one that was deleted is not made anew.
_KEEP_NOTHING = frozenset((nothing, lanes.claim, lanes.heartbeat, lanes.release))


class Writer:
    """Group commit: up to 256 writes share a transaction, each in a savepoint of its own.

    A write that fails takes nothing with it. Where the commit itself fails, or the database stays locked for
    `busy_timeout` seconds, every write of the batch fails with StoreUnavailable, and none of it is kept. The same where
    the file that it was written to has no name any more (StoreReplaced): it is let go of, and the next batch goes into
    the file that has the name then, or into a new one.
    """

    def __init__(self, open_link: Callable[[], SqliteConnection], project_id: str, *, busy_timeout: float) -> None:
        """`open_link` opens the database, or makes it. Raises what it raises."""
        self._open_link = open_link
        self._link: SqliteConnection | None = None
        self._project_id = project_id
        self._busy_timeout = busy_timeout
        self._queue: queue.SimpleQueue[WriteJob | None] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._closing = False
        self._leaving = False
        #: Held while a transaction is open, so that a fork never copies one (or a lock inside SQLite) half way.
        self.quiet = threading.Lock()
        #: Has those who read the database let go of it, so that its log can be begun anew.
        self.have_readers_leave: Callable[[], None] = lambda: None
        #: What is written first into a database that has come in the place of another.
        self.greeting: tuple[Work, tuple[Any, ...]] | None = None
        self._is_new_here = False
        #: That a file was lost, where only those have heard of it who keep nothing.
        self._untold: StoreReplaced | None = None
        self._memory = Memory()
        #: Whether what is written goes through a log that nobody else can open: who reads has to ask here.
        self.has_hidden_log = False
        self._said_log = False
        link = self._open()
        self.path = link.path
        self._thread = threading.Thread(target=self._work, name="acontext-store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work, arguments: tuple[Any, ...], options: dict[str, Any]) -> Pending[Any]:
        pending: Pending[Any] = Pending()
        with self._door:
            if self._closing:
                raise Closed("the store is closed: open it again")
            self._queue.put(WriteJob(pending, work, arguments, options))
        return pending

    def drain(self, *, leaving: bool) -> None:
        """Wait until what is queued is written, or has failed; `leaving` = for no longer than one busy timeout."""
        self._leaving = self._leaving or leaving
        with contextlib.suppress(Exception):
            self.submit(nothing, (), {}).result()

    def close(self, *, wait: bool = True) -> None:
        """Write what is queued, then close the connection."""
        self._leaving = True
        with self._door:
            if not self._closing:
                self._closing = True
                self._queue.put(None)
        if wait:
            self._thread.join()

    @property
    def names(self) -> Names | None:
        """Those of the file that is written to; None = it was lost, and no other is open yet."""
        link = self._link
        return None if link is None else link.names

    # -- the thread
    def _work(self) -> None:
        try:
            while batch := self._next():
                self._run(batch)
        finally:
            with self.quiet:
                if self._link is not None:
                    self._link.close()

    def _next(self) -> list[WriteJob]:
        """Wait for a job, and take with it those that are queued behind it; nothing = the end."""
        batch: list[WriteJob] = []
        job = self._queue.get()
        while job is not None:
            batch.append(job)
            if len(batch) == _BATCH:
                return batch
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            self._queue.put(None)  # the end comes after this batch
        return batch

    def _run(self, batch: list[WriteJob]) -> None:
        jobs = [job for job in batch if job.pending.set_running_or_notify_cancel()]
        try:
            tx = self._tx(jobs)
            done = self._commit(tx, jobs)
        except Exception as error:
            self._memory.forget()
            trouble = translate(error, self.path)
            for job in jobs:
                job.pending.set_exception(trouble)
            if self._leaving and is_busy(error):
                self._abandon(trouble)
            return
        for job, (value, failure) in zip(jobs, done, strict=True):
            if failure is None:
                job.pending.set_result(value)
            else:
                job.pending.set_exception(failure)
        if tx.purged:
            self._empty_log(tx)

    # -- the file
    def _open(self) -> SqliteConnection:
        with self.quiet:
            link = self._open_link()
            link.raw.execute("PRAGMA busy_timeout=0")  # waiting is done here, with `quiet` let go
            link.names.see_log()
            self._memory = Memory()
            self._link = link
        return link

    def _tx(self, jobs: list[WriteJob]) -> Tx:
        """To write with, into what has the database's name now. Raises StoreReplaced, StoreUnavailable."""
        link, trouble = self._link, self._untold
        if any(job.work not in _KEEP_NOTHING for job in jobs):
            self._untold = None
            if trouble is not None:
                raise trouble
        elif link is None and file_id(self.path) is None:
            raise replaced(self.path)
        if link is None:
            link = self._open()
            self._is_new_here = True
        if self._is_new_here and self.greeting is not None:
            work, arguments = self.greeting
            self._commit(Tx.on(link, self._project_id), [WriteJob(Pending(), work, arguments, {})])
        self._is_new_here = False
        return Tx(link.sql, link.raw, self._project_id, self._memory)

    def _commit(self, tx: Tx, jobs: list[WriteJob]) -> list[tuple[Any, BaseException | None]]:
        """Write them, and look whether that is to be found again."""
        link = self._link
        assert link is not None
        try:
            done = self._transact(tx, jobs)
        except Exception as error:
            if not link.names.lead_here:
                raise self._lose(link, jobs) from error
            raise
        if not link.names.lead_here:
            raise self._lose(link, jobs)
        if not link.names.lead_to_log:
            self._begin_log(link)
        return done

    def _lose(self, link: SqliteConnection, jobs: list[WriteJob]) -> StoreReplaced:
        """Let go of a file without a name; nothing of what was to be written is acknowledged."""
        trouble = replaced(self.path)
        if all(job.work in _KEEP_NOTHING for job in jobs):
            self._untold = trouble
        with self.quiet:
            self._link = None
            self.has_hidden_log = False
            with contextlib.suppress(sqlite3.Error):  # whoever renamed the file has all of it then
                link.raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            kept = link.names.clear_log()
            with contextlib.suppress(sqlite3.Error):
                link.close()
        log.warning("acontext: %s%s", trouble, f"; the log of the old one is kept in {kept}" if kept else "")
        return trouble

    def _begin_log(self, link: SqliteConnection) -> None:
        """What is in a log without a name is moved to the database, and another log is begun.

        Where other connections are in the way of that, the log is moved after each commit, until they are gone.
        Raises StoreUnavailable where it cannot be moved, so that nothing of it is acknowledged.
        """
        self.has_hidden_log = True
        self.have_readers_leave()
        raw = link.raw
        with self.quiet:
            try:
                raw.execute("PRAGMA journal_mode=DELETE").fetchone()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                if link.names.has_other_log:  # it is theirs that counts: ours would ruin what they read
                    self._link = None
                    self.has_hidden_log = moved = False
                    link.close()
                else:
                    busy, pages, done = raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    moved = not busy and pages == done
            else:
                use_wal(raw, self._busy_timeout)
                raw.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
                link.names.see_log()
                self.has_hidden_log, moved = False, True
            self._memory.forget()
        if not moved:
            raise StoreUnavailable(
                f"the write-ahead log of {self.path} was deleted while it was in use, and another program is in the "
                "way of a new one; it is not certain that this was kept: end the other programs that use it, look, "
                "and try again"
            )
        if not self._said_log:
            self._said_log = True
            log.warning(
                "acontext: the write-ahead log of %s was deleted while it was in use: its content was moved to the "
                "database",
                self.path,
            )

    # -- a transaction
    def _transact(self, tx: Tx, jobs: list[WriteJob]) -> list[tuple[Any, BaseException | None]]:
        self._begin(tx)
        try:
            self._check_memory(tx)
            done = [self._perform(tx, job) for job in jobs]
            conversations.settle(tx)
            self._patiently(lambda: tx.raw.execute("COMMIT"))
            return done
        finally:
            try:
                if tx.raw.in_transaction:
                    tx.raw.execute("ROLLBACK")
            finally:
                self.quiet.release()

    def _check_memory(self, tx: Tx) -> None:
        """Forget what is remembered of sessions when another connection has written to the database."""
        (seen,) = tx.raw.execute("PRAGMA data_version").fetchone()
        if seen != self._memory.data_version or len(self._memory.tails) > _REMEMBERED:
            self._memory.forget()
            self._memory.data_version = seen

    def _perform(self, tx: Tx, job: WriteJob) -> tuple[Any, BaseException | None]:
        raw = tx.raw
        if job.work is not conversations.append:
            conversations.settle(tx)
        elif conversations.is_one_insert(tx, job.arguments):
            try:
                return job.work(tx, *job.arguments), None
            except Exception as error:
                if not raw.in_transaction:
                    raise
                return None, translate(error, self.path)
        raw.execute("SAVEPOINT job")
        try:
            value = job.work(tx, *job.arguments, **job.options)
        except Exception as error:
            if not raw.in_transaction:
                raise  # SQLite gave up the whole transaction (disk full, I/O error)
            raw.execute("ROLLBACK TO job")
            raw.execute("RELEASE job")
            return None, translate(error, self.path)
        raw.execute("RELEASE job")
        return value, None

    def _begin(self, tx: Tx) -> None:
        """Open a transaction, with `quiet` held."""

        def begin() -> None:
            self.quiet.acquire()
            try:
                tx.raw.execute("BEGIN IMMEDIATE")
            except BaseException:
                self.quiet.release()
                raise

        self._patiently(begin)

    def _patiently(self, attempt: Callable[[], object]) -> None:
        """Try again while another process holds the database, for `busy_timeout` seconds."""
        deadline = time.monotonic() + self._busy_timeout
        tries = 0
        while True:
            try:
                attempt()
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_BUSY.pause(tries))
            tries += 1

    def _empty_log(self, tx: Tx) -> None:
        """Move the write-ahead log into the database and cut it; where a reader is in the way, the next commit will."""
        with self.quiet:
            try:
                tx.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.Error:
                return

    def _abandon(self, trouble: BaseException) -> None:
        """We are about to leave and the database stays locked: don't wait again for each batch."""
        for _ in range(self._queue.qsize()):
            job = self._queue.get()
            if job is None:
                self._queue.put(None)
            elif job.pending.set_running_or_notify_cancel():
                job.pending.set_exception(trouble)
