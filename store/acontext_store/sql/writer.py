"""The one thread that writes: it takes what is queued, and commits it together."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import Closed
from ..protocols import Pending
from . import conversations
from .connect import Link, is_busy, translate
from .tx import Memory, Tx, Work

_BATCH = 256
_REMEMBERED = 10_000


def nothing(tx: Tx) -> None:
    """A write that is only waited for."""


class Job(NamedTuple):
    """Something to write, and who waits for it."""

    pending: Pending[Any]
    work: Work
    arguments: tuple[Any, ...]
    options: dict[str, Any]


class Writer:
    """Group commit: up to 256 writes share a transaction, each in a savepoint of its own.

    A write that fails takes nothing with it. Where the commit itself fails, or the database stays locked for
    `busy_timeout` seconds, every write of the batch fails with StoreUnavailable, and none of it is kept.
    """

    def __init__(self, link: Link, project_id: str, *, busy_timeout: float) -> None:
        self._link = link
        self._project_id = project_id
        self._busy_timeout = busy_timeout
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._closing = False
        self._leaving = False
        #: Held while a transaction is open, so that a fork never copies one (or a lock inside SQLite) half way.
        self.quiet = threading.Lock()
        link.raw.execute("PRAGMA busy_timeout=0")  # waiting is done here, with `quiet` let go
        self._memory = Memory()
        self._thread = threading.Thread(target=self._work, name="acontext-store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work, arguments: tuple[Any, ...], options: dict[str, Any]) -> Pending[Any]:
        pending: Pending[Any] = Pending()
        with self._door:
            if self._closing:
                raise Closed("the store is closed: open it again")
            self._queue.put(Job(pending, work, arguments, options))
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

    # -- the thread
    def _work(self) -> None:
        try:
            while batch := self._next():
                self._run(batch)
        finally:
            with self.quiet:
                self._link.close()

    def _next(self) -> list[Job]:
        """Wait for a job, and take with it those that are queued behind it; nothing = the end."""
        batch: list[Job] = []
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

    def _run(self, batch: list[Job]) -> None:
        jobs = [job for job in batch if job.pending.set_running_or_notify_cancel()]
        tx = Tx(self._link.sql, self._link.raw, self._project_id, self._memory)
        try:
            done = self._transact(tx, jobs)
        except Exception as error:
            self._memory.forget()
            trouble = translate(error, self._link.path)
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
            self._empty_log()

    def _transact(self, tx: Tx, jobs: list[Job]) -> list[tuple[Any, BaseException | None]]:
        self._begin()
        try:
            self._check_memory()
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

    def _check_memory(self) -> None:
        """Forget what is remembered of sessions when another connection has written to the database."""
        (seen,) = self._link.raw.execute("PRAGMA data_version").fetchone()
        if seen != self._memory.data_version or len(self._memory.tails) > _REMEMBERED:
            self._memory.forget()
            self._memory.data_version = seen

    def _perform(self, tx: Tx, job: Job) -> tuple[Any, BaseException | None]:
        raw = tx.raw
        if job.work is not conversations.append:
            conversations.settle(tx)
        elif conversations.is_one_insert(tx, job.arguments):
            try:
                return job.work(tx, *job.arguments), None
            except Exception as error:
                if not raw.in_transaction:
                    raise
                return None, translate(error, self._link.path)
        raw.execute("SAVEPOINT job")
        try:
            value = job.work(tx, *job.arguments, **job.options)
        except Exception as error:
            if not raw.in_transaction:
                raise  # SQLite gave up the whole transaction (disk full, I/O error)
            raw.execute("ROLLBACK TO job")
            raw.execute("RELEASE job")
            return None, translate(error, self._link.path)
        raw.execute("RELEASE job")
        return value, None

    def _begin(self) -> None:
        """Open a transaction, with `quiet` held."""

        def begin() -> None:
            self.quiet.acquire()
            try:
                self._link.raw.execute("BEGIN IMMEDIATE")
            except BaseException:
                self.quiet.release()
                raise

        self._patiently(begin)

    def _patiently(self, attempt: Callable[[], object]) -> None:
        """Try again while another process holds the database, for `busy_timeout` seconds."""
        deadline = time.monotonic() + self._busy_timeout
        pause = 0.0005
        while True:
            try:
                attempt()
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 1.5, 0.01)

    def _empty_log(self) -> None:
        """Move the write-ahead log into the database and cut it; where a reader is in the way, the next commit will."""
        with self.quiet:
            try:
                self._link.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
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
