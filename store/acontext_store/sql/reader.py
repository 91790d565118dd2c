"""Who reads: a few connections that cannot write, each in a thread of its own, and one for what is read at once."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any

from ..errors import Closed
from ..protocols import Pending
from . import conversations
from .connect import Link, is_busy, reading, translate
from .tx import Tx, Work
from .writer import Job

_THREADS = 2
#: Reads of a few rows by their key. They are done on the thread that asks: to wake another takes longer.
_ONE_ROW = (conversations.session, conversations.message)
_FEW = 50


def _is_short(work: Work, options: dict[str, Any]) -> bool:
    if work is conversations.list_messages:
        return options["limit"] is not None and options["limit"] <= _FEW
    return work in _ONE_ROW


class Readers:
    """Each read sees one moment of the database, at least as new as every write that was done when it was asked."""

    def __init__(self, path: Path, project_id: str, *, busy_timeout: float) -> None:
        self._path = path
        self._project_id = project_id
        self._busy_timeout = busy_timeout
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._closing = False
        self._threads: list[threading.Thread] = []
        self._here: Link | None = None
        #: One lock a connection, held while it reads; see `Writer.quiet`. The first is that of `_here`.
        self.quiet: list[threading.Lock] = [threading.Lock()]

    def submit(self, work: Work, arguments: tuple[Any, ...], options: dict[str, Any]) -> Pending[Any]:
        pending: Pending[Any] = Pending()
        if _is_short(work, options) and self._done_here(Job(pending, work, arguments, options)):
            return pending
        with self._door:
            if self._closing:
                raise Closed("the store is closed: open it again")
            if len(self._threads) < _THREADS and (not self._threads or self._queue.qsize() > 0):
                self._start()
            self._queue.put(Job(pending, work, arguments, options))
        return pending

    def close(self, *, wait: bool = True) -> None:
        """Read what is asked for, then close the connections."""
        with self._door:
            if not self._closing:
                self._closing = True
                for _ in self._threads:
                    self._queue.put(None)
        with self.quiet[0]:
            if self._here is not None:
                self._here.close()
                self._here = None
        for thread in self._threads if wait else ():
            thread.join()

    def _done_here(self, job: Job) -> bool:
        """Read it now, unless somebody else does so at the moment or the database is locked."""
        quiet = self.quiet[0]
        if not quiet.acquire(blocking=False):
            return False
        try:
            if self._closing:
                return False
            if self._here is None:
                self._here = reading(self._path, busy_timeout=0.0)
            value = self._read(self._here, job)
        except Exception as error:
            if self._here is None or is_busy(error):
                return False
            job.pending.set_exception(translate(error, self._path))
        else:
            job.pending.set_result(value)
        finally:
            quiet.release()
        return True

    def _start(self) -> None:
        quiet = threading.Lock()
        thread = threading.Thread(
            target=self._work, args=(quiet,), name=f"acontext-store-reader-{len(self._threads)}", daemon=True
        )
        self.quiet.append(quiet)
        self._threads.append(thread)
        thread.start()

    # -- a thread
    def _work(self, quiet: threading.Lock) -> None:
        link: Link | None = None
        try:
            while True:
                job = self._queue.get()
                if job is None:
                    return
                if not job.pending.set_running_or_notify_cancel():
                    continue
                with quiet:
                    try:
                        if link is None:
                            link = reading(self._path, busy_timeout=self._busy_timeout)
                        value = self._read(link, job)
                    except Exception as error:
                        job.pending.set_exception(translate(error, self._path))
                        continue
                job.pending.set_result(value)
        finally:
            if link is not None:
                link.close()

    def _read(self, link: Link, job: Job) -> Any:
        link.raw.execute("BEGIN")
        try:
            return job.work(Tx.on(link, self._project_id), *job.arguments, **job.options)
        finally:
            link.raw.execute("ROLLBACK")
