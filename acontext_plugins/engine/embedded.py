"""An embedded engine: one over a local database, on a loop of its own."""

from __future__ import annotations

from acontext_store.open import open_blobs, open_store

from ..concurrency.background import BackgroundEventLoop
from ..learn.rules import RulesLearner
from ..llm import LLM, Embedder
from ..llm.factory import OpenedModels, open_models
from ..observe.rules import RulesObserver
from ..protocols import Learner, Observer
from ..record.redaction import Redactor
from ..settings import Settings
from .engine import Engine


class EmbeddedEngine:
    """An engine, the models it asks, and the loop they live on; of one process."""

    def __init__(self, engine: Engine, loop: BackgroundEventLoop, models: OpenedModels) -> None:
        self.engine = engine
        self.loop = loop
        self.models = models

    def work(self) -> None:
        """Work in the background, where that has not begun: a client came that does not leave it to others."""
        if not self.engine.working:
            self.loop.run(self.engine.work())

    def write(self) -> None:
        """Write what is recorded, for as long as closing would wait, and go on."""
        self.engine.recorder.flush(self.engine.settings.recorder.close_timeout)

    def close(self) -> None:
        """Write what is recorded, stop the worker, close the database. Nothing happens in a forked child."""
        if not self.loop.alive:
            return
        try:
            self.loop.run(self._stop(), timeout=10)
        finally:
            self.engine.close()
            self.loop.close()

    async def _stop(self) -> None:
        await self.engine.stop()
        await self.loop.cancel_others()  # while there is a database to give their leases back to
        await self.models.aclose()


def open_engine(
    settings: Settings, *, patience: float = 5.0, llm: LLM | None = None, embedder: Embedder | None = None
) -> EmbeddedEngine:
    """Open the database (made where there is none) and start the engine. Raises StoreUnavailable, InvalidInput.

    `patience` = seconds for which another process may keep the database locked before a write is given up. `llm` and
    `embedder` come in the places of those that the settings name.
    """
    url = settings.store_url
    store = open_store(url, project_id=settings.project, durability=settings.durability, busy_timeout=patience)
    try:
        blobs = open_blobs(url, project_id=settings.project)
        models = open_models(settings, store, llm=llm, embedder=embedder)
        observer, learner = thinkers_of(settings, models.llm)
        engine = Engine(
            store,
            blobs,
            scrubber=Redactor(enabled=settings.redaction.enabled, pii=settings.redaction.pii),
            observer=observer,
            learner=learner,
            settings=with_lanes_for(models.llm, settings),
            llm=models.llm,
            embedder=models.embedder,
        )
        loop = BackgroundEventLoop()
        loop.run(engine.start())
    except BaseException:
        store.close()
        raise
    return EmbeddedEngine(engine, loop, models)


def thinkers_of(settings: Settings, llm: LLM | None) -> tuple[Observer, Learner]:
    """The observer and the learner that an engine works with. Raises InvalidInput for a prompt that is none."""
    if llm is None:
        return RulesObserver(), RulesLearner()

    from ..learn.model import ModelLearner
    from ..observe.model import ModelObserver

    observer = ModelObserver(llm, settings=settings.observe, prompts=settings.prompts)
    return observer, ModelLearner(llm, RulesLearner(), settings.learn, prompts=settings.prompts)


def with_lanes_for(llm: LLM | None, settings: Settings) -> Settings:
    """With as many pieces of work at a time as calls: one that waits for a model costs nothing."""
    if llm is None or settings.worker.concurrency >= settings.llm.concurrency:
        return settings
    worker = settings.worker.model_copy(update={"concurrency": settings.llm.concurrency})
    return settings.model_copy(update={"worker": worker})
