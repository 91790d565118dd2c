"""ModelObserver: which tasks a conversation holds, told by a model, in one call a batch."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from functools import partial

from acontext_plugins.concurrency.background import run_in_thread
from acontext_plugins.llm import LLM, Purpose, Request, ask_for
from acontext_plugins.prompts import Delimiters, load_prompt
from acontext_plugins.protocols import Batch, BatchLimits, Observation
from acontext_plugins.settings import ObserveSettings
from acontext_store.errors import BudgetSpent, PromptTooLong, Refused
from acontext_store.types import TaskOps

from .answer import TaskAnswer
from .prompt_view import PromptView, view_of
from .reconcile import decide
from .rules import observe as observe_by_rules

log = logging.getLogger("acontext")

#: Earlier messages of each task that goes on.
EARLIER = 24
#: Characters of a prompt that is not made shorter any more.
SMALLEST = 2_000


class ModelObserver:
    """A model reads each message once and proposes; code decides what is written (see `reconcile`).

    `dropped` counts what was not taken of its answers, by reason.
    """

    def __init__(self, llm: LLM, *, settings: ObserveSettings | None = None, prompts: str = "") -> None:
        self._llm = llm
        self._settings = settings or ObserveSettings()
        self._prompt = load_prompt("task_agent", folder=prompts or None)
        self.dropped: Counter[str] = Counter()

    @property
    def window(self) -> BatchLimits:
        settings = self._settings
        return BatchLimits(buffer=settings.buffer, most=settings.buffer + settings.overflow, earlier=EARLIER)

    async def observe(self, observation: Observation) -> TaskOps:
        """What is asked becomes less until the model can take it: what was left is the next batch's.

        Raises LearningUnavailable, and then nothing of the batch is written. Where the budget of the space is spent,
        the rules observe in the model's place.
        """
        batch = observation if isinstance(observation, Batch) else _first_batch(observation)
        budget, bare, withheld = self._settings.shown, False, False
        while True:
            try:
                return await self._ask(batch, budget, bare=bare, withheld=withheld)
            except BudgetSpent:
                return await run_in_thread(_by_rules, batch)
            except PromptTooLong:
                if len(batch.messages) == 1 and budget == SMALLEST:
                    raise
                batch, budget = _first_half(batch), max(SMALLEST, budget // 2)
            except Refused:
                if withheld:
                    raise  # it is not this message: whatever it is shown, it refuses
                withheld = bare and len(batch.messages) == 1
                batch, bare = (_first_half(batch) if bare else batch), True

    async def _ask(self, batch: Batch, budget: int, *, bare: bool, withheld: bool) -> TaskOps:
        progresses = 0 if bare else self._settings.progresses
        view = await run_in_thread(
            partial(view_of, budget=budget, progresses=progresses, bare=bare, withheld=withheld), batch
        )
        answer = None
        if view.new:
            answer = await ask_for(self._llm, self._request(batch, view), TaskAnswer)
        ops, dropped = await run_in_thread(partial(decide, view=view, answer=answer), batch)
        if withheld:
            log.warning("acontext: %s refuses to read a message of %s", self._llm.model, batch.session.id)
            dropped["refused message"] += 1
        if dropped:
            self.dropped += dropped
            text = "acontext: not taken of what %s answered on %s: %s"
            log.info(text, self._llm.model, batch.session.id, dict(dropped))
        return ops

    def _request(self, batch: Batch, view: PromptView) -> Request:
        fence = Delimiters(view.texts)
        tasks, earlier, messages = (fence.around(text) for text in view.texts)
        inputs = {"rule": fence.rule, "tasks": tasks, "earlier": earlier, "messages": messages}
        session = batch.session
        return Request(
            messages=self._prompt.messages(inputs),
            purpose=Purpose(job="observe", space_id=session.space_id, session_id=session.id, prompt=self._prompt.id),
        )


def _first_batch(observation: Observation) -> Batch:
    """A session of which nothing has been observed."""
    return Batch(observation.session, observation.messages, observation.outcomes, observation.tasks)


def _first_half(batch: Batch) -> Batch:
    if len(batch.messages) == 1:
        return batch
    messages = batch.messages[: len(batch.messages) // 2]
    outcomes = [outcome for outcome in batch.outcomes if outcome.after_seq <= messages[-1].seq]
    return replace(batch, messages=messages, outcomes=outcomes, more=True)


def _by_rules(batch: Batch) -> TaskOps:
    heard = {task.outcome.id for task in batch.tasks if task.outcome is not None}
    outcomes = [
        outcome
        for outcome in batch.outcomes
        if batch.again or outcome.after_seq > batch.observed_seq or outcome.id not in heard
    ]
    observation = Observation(batch.session, [*batch.again, *batch.messages], outcomes, batch.tasks)
    return observe_by_rules(observation).model_copy(update={"more": batch.more})
