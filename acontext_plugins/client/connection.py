"""Connections: how clients and adapters reach an engine, also across a fork. Before it is open: `background`."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from acontext_store.ending import CLIENTS, at_end
from acontext_store.errors import Closed, InvalidInput
from acontext_store.protocols import Pending

from ..engine.embedded import Home, open_home
from ..llm import LLM, Embedder
from ..record.redaction import Redactor
from ..service import Recall, RecallQuery, Recording, Service
from ..settings import Settings, load_settings

if TYPE_CHECKING:
    from ..remote.connection import RemoteHome

    AnyHome = Home | RemoteHome

log = logging.getLogger("acontext")

T = TypeVar("T")


def _open(settings: Settings, llm: LLM | None, embedder: Embedder | None) -> AnyHome:
    if not settings.is_remote:
        return open_home(settings, llm=llm, embedder=embedder)
    if llm is not None or embedder is not None:
        raise InvalidInput(f"llm and embedder are for an engine in this process: {settings.url} has models of its own")
    from ..remote import open_remote

    return open_remote(settings, Redactor(enabled=settings.redaction.enabled, pii=settings.redaction.pii))


class Connection:
    """A home that is opened when it is first needed, and opened anew in a forked child."""

    def __init__(self, settings: Settings, *, llm: LLM | None = None, embedder: Embedder | None = None) -> None:
        self.settings = settings
        self._llm = llm
        self._embedder = embedder
        self._home: AnyHome | None = None
        self._lock = threading.RLock()
        self._closed = False
        _connections.add(self)

    def home(self) -> AnyHome:
        """The engine and its loop. Raises StoreUnavailable where it cannot be opened, Closed after `close`."""
        home = self._home
        if home is not None and home.pid == os.getpid():
            return home
        with self._lock:
            if self._closed:
                raise Closed("this client is closed: open another")
            if self._home is None or self._home.pid != os.getpid():
                self._home = _open(self.settings, self._llm, self._embedder)
                _homes.add(self._home)
            return self._home

    def after_fork(self) -> None:
        """In a forked child: a lock that nobody holds, and none of the parent's handles."""
        self._lock = threading.RLock()
        self._home = None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            home, self._home = self._home, None
        if home is not None:
            _homes.discard(home)
            home.close()

    # -- the door that adapters use
    def record(self, recording: Recording) -> None:
        self.home().engine.record(recording)

    def recall(self, query: RecallQuery) -> Future[Recall]:
        future: Future[Recall] = Future()

        def settle(answer: Pending[Recall]) -> None:
            if not future.set_running_or_notify_cancel():
                return
            error = answer.exception()
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(answer.result())

        self.home().engine.ask(query).add_done_callback(settle)
        return future


_connections: weakref.WeakSet[Connection] = weakref.WeakSet()
#: Those that are open in this process, also when nobody has their client any more: they may still have to write.
_homes: set[AnyHome] = set()
#: Homes of the parent, kept so that a child never closes what it did not open.
_inherited: list[AnyHome] = []


def _after_fork() -> None:
    _inherited.extend(_homes)
    _homes.clear()
    for connection in list(_connections):
        connection.after_fork()


def _at_end(*, last: bool) -> None:
    for home in list(_homes):
        with contextlib.suppress(Exception):  # each for itself
            if last:
                home.close()
            else:
                home.write()


at_end(CLIENTS, _at_end)
os.register_at_fork(after_in_child=_after_fork)


class Client:
    """What both front doors share: settings, and the connection behind them (`door`)."""

    def __init__(
        self,
        url: str | None,
        project: str | None,
        settings: Settings | None,
        llm: LLM | None,
        embedder: Embedder | None,
    ) -> None:
        if settings is None:
            settings = load_settings(url=url, project=project)
        elif url is not None or project is not None:
            raise InvalidInput("give settings, or url and project, not both")
        self.settings = settings
        self.door = Connection(settings, llm=llm, embedder=embedder)
        self.door.home()


class AsyncResource:
    """Something that `AsyncAcontext` offers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def _service(self) -> Service:
        return self._connection.home().engine


class Resource:
    """Something that `Acontext` offers: its asynchronous twin, waited for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            loop = self._connection.home().loop
        except BaseException:
            work.close()
            raise
        return loop.run(work)
