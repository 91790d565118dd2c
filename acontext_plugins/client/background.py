"""The connection of agents that were given no client: it opens in the background.

Light on purpose: an agent's first run imports this, on its event loop. The engine is imported by the opening thread.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from acontext_store.errors import AcontextError, Closed
from acontext_store.forks import CLIENTS, at_fork, renewed_in_child

from ..concurrency.futures import copy_result
from ..concurrency.limited_log import LimitedLog
from ..service import Recall, RecallQuery, Recording

if TYPE_CHECKING:
    from ..settings import Settings
    from .connection import Connection

log = logging.getLogger("acontext")

#: Seconds for which a flush, the end of the program, or a fork waits for a database that is being opened.
_OPENING = 10.0


class BackgroundConnection:
    """A connection that opens itself in the background, so that an agent never waits for a database to open.

    Recordings that come before it is open wait in memory, at most `waiting` of these items. A database that cannot be
    opened is tried again every `retry` seconds, and logged once a minute; the agent runs on without memory.
    """

    def __init__(
        self, *, settings: Settings | Callable[[], Settings] | None = None, waiting: int = 10_000, retry: float = 5.0
    ) -> None:
        self._settings = settings
        self._connection: Connection | None = None
        self._waiting: deque[Recording] = deque()
        self._limit = waiting
        self._retry = retry
        self._lock = renewed_in_child(self, "_lock", threading.RLock)
        self._opening: threading.Thread | None = None
        self._tried = 0.0
        self._log = LimitedLog(log)
        self._calls: list[tuple[RecallQuery, Future[Recall]]] = []
        self.dropped = 0
        #: Why it could not be opened, the last time it was tried.
        self.error: Exception | None = None
        _all.add(self)
        at_fork(CLIENTS, before=self._before_fork, after_in_child=self._after_fork)

    @property
    def opening(self) -> bool:
        """Whether the database is still being opened: a first run may wait longer for its skills."""
        return self._connection is None and self.error is None

    def open(self) -> None:
        """Begin to open, if that has not begun; returns at once."""
        with self._lock:
            if self._connection is not None or self._opening is not None:
                return
            if self.error is not None and time.monotonic() - self._tried < self._retry:
                return
            self._tried = time.monotonic()
            opening = self._opening = threading.Thread(target=self._open, name="acontext-open", daemon=True)
        # without the lock: a thread that begins may meet a finalizer that records something
        opening.start()
        # Python waits for threads like this one when it ends, and with them for what was recorded by a short program
        threading.Thread(target=opening.join, args=(_OPENING,), name="acontext-opening").start()

    def _open(self) -> None:
        connection: Connection | None = None
        try:
            from ..settings import load_settings
            from .connection import Connection  # hundreds of modules: on this thread, not on the agent's

            given = self._settings
            settings = given() if callable(given) else given or load_settings()
            connection = Connection(settings, as_it_is=True)
            connection.opened()
            self.error = None
        except Exception as error:
            self.error = error
            self._log.warning("open", "acontext: agents run without memory: %s", error)
        with self._lock:
            self._opening = None
            calls, self._calls = self._calls, []
            if self.error is None and connection is not None:
                while self._waiting:
                    connection.record(self._waiting.popleft())
                self._connection = connection
        for query, future in calls:
            self._answer(query, future)

    def _answer(self, query: RecallQuery, future: Future[Recall]) -> None:
        connection = self._connection
        if connection is None:
            future.set_result(Recall())
            return

        try:
            copy_result(connection.recall(query), future)
        except AcontextError:
            future.set_result(Recall())

    def record(self, recording: Recording) -> None:
        """Enqueue a recording; while the database is not open, it waits in memory. Never raises."""
        connection = self._connection
        if connection is not None:
            connection.record(recording)
            return
        with self._lock:
            if self._connection is None:
                if len(self._waiting) >= self._limit:
                    self.dropped += 1
                else:
                    self._waiting.append(recording)
                connection = None
            else:
                connection = self._connection
        if connection is not None:
            connection.record(recording)
        else:
            self.open()

    def recall(self, query: RecallQuery) -> Future[Recall]:
        """Search skills for a run; the answer is empty where the database cannot be opened."""
        connection = self._connection
        if connection is not None:
            return connection.recall(query)
        future: Future[Recall] = Future()
        self.open()
        with self._lock:
            if self._connection is None and self._opening is not None:
                self._calls.append((query, future))
                return future
        self._answer(query, future)
        return future

    def connection(self, timeout: float | None = None) -> Connection:
        """The open connection, for callers that can wait `timeout` seconds (None = as long as it takes).

        Raises what opening raised, and Closed where the time ran out.
        """
        while self._connection is None:
            self._tried = 0.0
            self.error = None
            self.open()
            self._wait(_OPENING if timeout is None else timeout)
            if self.error is not None:
                raise self.error
            if timeout is not None and self._connection is None:
                raise Closed("the database is not open yet")
        return self._connection

    def _wait(self, timeout: float | None) -> None:
        """Until the try to open that is going on has ended, or for `timeout` seconds."""
        thread = self._opening
        for _ in range(1000):
            if thread is None or thread.ident is not None or self._opening is not thread:
                break
            time.sleep(0.001)  # somebody else is about to start it
        if thread is not None and thread.ident is not None:
            thread.join(timeout)

    def hand_over(self, timeout: float | None = None) -> None:
        """Wait until what was recorded before the database was open is in the engine's hands, or cannot get there."""
        for _ in range(2):  # the try that is going on may fail, then there is another one
            if not self._waiting and self._opening is None:
                return
            self._tried = 0.0
            self.open()
            self._wait(_OPENING if timeout is None else timeout)

    def _before_fork(self) -> None:
        """A child that is forked while a thread imports would wait for ever for the same import.

        This comes before the turn of the stores: opening needs the locks that they take.
        """
        if self._opening is not threading.current_thread():
            self._wait(_OPENING)

    def _after_fork(self) -> None:
        """Nothing is open or opening here, and what waited belongs to the parent."""
        self._connection = None
        self.error = None
        self._tried = 0.0
        self._log = LimitedLog(log)
        self._opening = None
        self._calls = []
        self._waiting.clear()


#: Those of this process, for clients that wait for what agents recorded.
_all: weakref.WeakSet[BackgroundConnection] = weakref.WeakSet()
_default: BackgroundConnection | None = None
_default_lock = renewed_in_child(sys.modules[__name__], "_default_lock", threading.RLock)


def default_connection() -> BackgroundConnection:
    """The connection of this process for agents that were given no client: settings from the environment."""
    global _default
    if _default is None:
        with _default_lock:
            if _default is None:
                _default = BackgroundConnection()
    return _default


def hand_over_all(timeout: float | None = None) -> None:
    """Wait for what agents recorded while their databases were being opened, `timeout` seconds at most for each."""
    for connection in list(_all):
        connection.hand_over(timeout)
