"""The embedded home: an engine over a local database, on a loop of its own."""

from __future__ import annotations

import os
from pathlib import Path

from acontext_store.open import open_blobs, open_store

from .engine.engine import Engine
from .engine.redaction import Redactor
from .engine.rules.learner import RulesLearner
from .engine.rules.observer import RulesObserver
from .llm import LLM, Embedder
from .loop import HomeLoop
from .settings import Settings


class Home:
    """An engine and the loop it lives on; of one process."""

    def __init__(self, engine: Engine, loop: HomeLoop) -> None:
        self.engine = engine
        self.loop = loop
        self.pid = os.getpid()

    def close(self) -> None:
        """Write what is recorded, stop the worker, close the database. Nothing happens in a forked child."""
        if self.pid != os.getpid() or not self.loop.alive:
            return
        try:
            self.loop.run(self.engine.stop(), timeout=10)
        finally:
            self.engine.close()
            self.loop.close()


def open_home(
    settings: Settings, *, patience: float = 5.0, llm: LLM | None = None, embedder: Embedder | None = None
) -> Home:
    """Open the database (made where there is none) and start the engine. Raises StoreUnavailable, InvalidInput.

    `patience` = seconds for which another process may keep the database locked before a write is given up.
    """
    url = settings.store_url
    store = open_store(url, project_id=settings.project, durability=settings.durability, busy_timeout=patience)
    try:
        blobs = open_blobs(url, project_id=settings.project)
        engine = Engine(
            store,
            blobs,
            scrubber=Redactor(enabled=settings.redaction.enabled, pii=settings.redaction.pii),
            observer=RulesObserver(),
            learner=RulesLearner(),
            settings=settings,
            llm=llm,
            embedder=embedder,
        )
        loop = HomeLoop()
        loop.run(engine.start())
    except BaseException:
        store.close()
        raise
    return Home(engine, loop)


def database_path(url: str) -> Path | None:
    """The file behind a `sqlite:///` URL."""
    return Path(url.removeprefix("sqlite:///")).expanduser() if url.startswith("sqlite:///") else None
