"""Connections: how clients and adapters reach an engine, also across a fork. Before it is open: `background`."""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from acontext_store.errors import Closed, InvalidInput
from acontext_store.forks import CLIENTS, at_fork, renewed_in_child

from ..concurrency.futures import copy_result
from ..llm import LLM, Embedder
from ..service import Recall, RecallQuery, Recording, Service
from ..settings import Settings, load_settings
from .engines import ClientModels, give_back, share_engine

if TYPE_CHECKING:
    from .engines import AnyEngine

T = TypeVar("T")


class Connection:
    """A client's hold on the engine of its database: taken when it is first needed, and anew in a forked child."""

    def __init__(
        self,
        settings: Settings,
        *,
        llm: LLM | None = None,
        embedder: Embedder | None = None,
        as_it_is: bool = False,
    ) -> None:
        self.settings = settings
        self._models = ClientModels(llm, embedder)
        self._as_it_is = as_it_is
        self._engine: AnyEngine | None = None
        self._lock = renewed_in_child(self, "_lock", threading.RLock)
        self._closed = False
        at_fork(CLIENTS, after_in_child=self._after_fork)

    def opened(self) -> AnyEngine:
        """The engine and its event loop, opened on first use. Raises what opening raised, Closed after `close`."""
        engine = self._engine
        if engine is not None:
            return engine
        with self._lock:
            if self._closed:
                raise Closed("this client is closed: open another")
            if self._engine is None:
                self._engine = share_engine(self.settings, self._models, as_it_is=self._as_it_is)
            return self._engine

    def _after_fork(self) -> None:
        self._engine = None  # the parent's

    def close(self) -> None:
        """Write what is recorded; close the engine, unless another client has it."""
        with self._lock:
            self._closed = True
            engine, self._engine = self._engine, None
        if engine is not None:
            give_back(engine)

    # -- for adapters
    def record(self, recording: Recording) -> None:
        """Enqueue a recording for the engine's recorder. Raises Closed, and what opening the engine raises."""
        self.opened().engine.record(recording)

    def recall(self, query: RecallQuery) -> Future[Recall]:
        """Search skills for a run, from any thread. Raises Closed, and what opening the engine raises."""
        future: Future[Recall] = Future()
        copy_result(self.opened().engine.recall_pending(query), future)
        return future


class BaseClient:
    """The settings of a client, and its connection to the engine: the base of both clients."""

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
        self.connection = Connection(settings, llm=llm, embedder=embedder)
        self.connection.opened()


class AsyncResource:
    """A part of `AsyncAcontext`: calls on the engine of its connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def _service(self) -> Service:
        return self._connection.opened().engine


class Resource:
    """A part of `Acontext`: it calls its asynchronous twin and waits for the result."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            loop = self._connection.opened().loop
        except BaseException:
            work.close()
            raise
        return loop.run(work)
