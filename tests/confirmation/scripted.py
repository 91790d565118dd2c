"""An observer and a learner that ask a scripted model, and what a model can do wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.learn.rules import RulesLearner
from acontext_plugins.llm import Purpose, Reply, Request, ask_for
from acontext_plugins.observe.rules import RulesObserver
from acontext_plugins.protocols import LearningInput, Observation
from acontext_plugins.settings import LearnSettings, WorkerSettings
from acontext_plugins.testing import ScriptedLLM
from acontext_plugins.worker.worker import Worker
from acontext_store.errors import LearningUnavailable
from acontext_store.types import SkillOps, TaskOps


class Fine(BaseModel):
    """What the model is asked for: that all is well."""

    fine: bool


class Asking:
    """The rules, once a model has agreed: whatever a model does wrong happens before anything is decided."""

    batch = 1000

    def __init__(self, llm: ScriptedLLM) -> None:
        self._llm = llm
        self._observer, self._learner = RulesObserver(), RulesLearner()

    async def observe(self, observation: Observation) -> TaskOps:
        await self._ask(Purpose(job="observe", session_id=observation.session.id))
        return await self._observer.observe(observation)

    async def learn(self, lesson: LearningInput) -> SkillOps:
        await self._ask(Purpose(job="learn", space_id=lesson.space.id))
        return await self._learner.learn(lesson)

    async def _ask(self, purpose: Purpose) -> None:
        await ask_for(self._llm, Request(messages=({"role": "user", "content": "?"},), purpose=purpose), Fine)


class Model:
    """A model that is away until somebody brings it back; it counts who asked."""

    def __init__(self, *, trouble: Any = None) -> None:
        self.trouble: Any = trouble
        self.llm = ScriptedLLM(self._answer)

    def _answer(self, request: Request) -> Any:
        if self.trouble is None:
            return {"fine": True}
        return self.trouble(request) if callable(self.trouble) else self.trouble

    @property
    def asked(self) -> int:
        return len(self.llm.requests)


#: What a model that does not answer looks like from here, by name.
OUTAGES: dict[str, Any] = {
    "down": LearningUnavailable("the model cannot be reached"),
    "limit": LearningUnavailable("too many requests", retry_after=0.02),
    "timeout": TimeoutError("60 s"),
    "refused connection": ConnectionRefusedError(111, "refused"),
}
#: What a model that answers nonsense looks like.
NONSENSE: dict[str, Any] = {
    "cut off": Reply(text='{"fine": tr', finish="length"),
    "no JSON": "I would rather not.",
    "another shape": {"wrong": 1},
    "refusal": Reply(text="", finish="content_filter"),
    "nothing": "",
}


def worker(embedded: EmbeddedEngine, model: Model, **settings: Any) -> Worker:
    """The engine's worker, with a mind that asks the model."""
    chosen = WorkerSettings(**{"backoff": 0.001, "longest_probe": 0.01, "idle": 0.01, **settings})
    mind = Asking(model.llm)
    embedded.engine.worker = Worker(embedded.engine.store, mind, mind, settings=chosen, learn=LearnSettings(quiet=0.0))
    return embedded.engine.worker


def until(state: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a state."""
    end = time.monotonic() + seconds
    while not state():
        assert time.monotonic() < end, "the state did not come"
        time.sleep(0.005)
