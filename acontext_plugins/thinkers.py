"""Who observes and learns: a model where there is one, rules where not."""

from __future__ import annotations

from .engine.protocols import Learner, Observer
from .engine.rules.learner import RulesLearner
from .engine.rules.observer import RulesObserver
from .llm import LLM
from .settings import Settings


def thinkers_of(settings: Settings, llm: LLM | None) -> tuple[Observer, Learner]:
    """The observer and the learner that an engine works with. Raises InvalidInput for a prompt that is none."""
    if llm is None:
        return RulesObserver(), RulesLearner()

    from .engine.models.learner import ModelLearner
    from .engine.models.observer import ModelObserver

    observer = ModelObserver(llm, settings=settings.observe, prompts=settings.prompts)
    return observer, ModelLearner(llm, RulesLearner(), settings.learn, prompts=settings.prompts)


def with_lanes_for(llm: LLM | None, settings: Settings) -> Settings:
    """With as many pieces of work at a time as calls: one that waits for a model costs nothing."""
    if llm is None or settings.worker.concurrency >= settings.llm.concurrency:
        return settings
    worker = settings.worker.model_copy(update={"concurrency": settings.llm.concurrency})
    return settings.model_copy(update={"worker": worker})
