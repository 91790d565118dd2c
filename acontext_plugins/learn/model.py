"""ModelLearner: finished tasks -> skills, worded by a model, of which code keeps what is proven.

One call for all runs of one procedure, and a second one only to repair its answer. Nothing is written before all
answers of a lesson are in, so a lesson that is interrupted leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from acontext_plugins.concurrency.background import run_in_thread
from acontext_plugins.llm import LLM, Purpose, Request, ask_for
from acontext_plugins.prompts import load_prompt
from acontext_plugins.protocols import LearningInput
from acontext_plugins.settings import LearnSettings
from acontext_store.errors import BudgetSpent, InvalidAnswer, LearningUnavailable, PromptTooLong, Refused
from acontext_store.types import SkillOps

from .answer import Learned
from .merging import SkillMerge
from .planning import LearningPlan, ProcedureRuns, plan, prepare
from .prompt_view import QUESTION_CHARS
from .rules import RulesLearner
from .validation import ValidatedExperience, complaints, prove

log = logging.getLogger("acontext")

PROMPT = "experience_agent"
#: Somebody answered: what was asked is the trouble.
_ANSWERS = (InvalidAnswer, PromptTooLong, Refused)
#: These say nothing of those who are still being asked: what they answer has been paid for.
_SAID = (*_ANSWERS, BudgetSpent)
#: A question of fewer characters is none.
_LEAST_CHARS = 4_000
#: So many calls in a row that nobody answered, and the rest of the lesson is not tried.
_ENOUGH_TROUBLE = 3


@dataclass(frozen=True, slots=True)
class _Answers:
    """What became of a lesson's questions."""

    answered: list[Sequence[ValidatedExperience]]
    #: Questions without an answer, and why.
    open: list[ProcedureRuns]
    trouble: LearningUnavailable | None


class ModelLearner:
    """Learns with a model; where its budget is spent, the rules learn the lesson instead."""

    def __init__(self, llm: LLM, rules: RulesLearner, settings: LearnSettings, prompts: str = "") -> None:
        self._llm = llm
        self._rules = rules
        self._settings = settings
        self._prompt = load_prompt(PROMPT, folder=prompts or None)

    @property
    def batch(self) -> int:
        return self._settings.batch

    async def learn(self, lesson: LearningInput) -> SkillOps:
        """Raises LearningUnavailable where nothing at all could be learned; else what could not be stays undigested."""
        sorted_out = await run_in_thread(lambda about: plan(about, self._settings), lesson)
        answers = await self._ask(sorted_out)
        settlement = await run_in_thread(lambda about: self._settle(about, answers), sorted_out)
        left = {id for question in answers.open for id in question.task_ids}
        if isinstance(answers.trouble, BudgetSpent):
            return await self._by_the_rules(sorted_out, settlement, left)
        if answers.trouble is not None:
            if len(left) == len(lesson.finished):
                raise answers.trouble
            log.warning("acontext: %d of %d tasks could not be learned yet", len(left), len(lesson.finished))
        return _ops(sorted_out, settlement, without=left)

    # -- asking

    async def _ask(self, sorted_out: LearningPlan) -> _Answers:
        """All questions at once, as many at a time as the model's client lets through."""
        questions = sorted_out.questions
        asked = {asyncio.create_task(self._answer(sorted_out, question)): question for question in questions}
        found: dict[int, Sequence[ValidatedExperience]] = {}
        trouble: LearningUnavailable | None = None
        in_a_row = 0
        try:
            waiting = set(asked)
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is None:
                        found[id(asked[task])] = task.result()
                        in_a_row = 0
                    elif isinstance(error, LearningUnavailable):
                        trouble = _graver(trouble, error)
                        in_a_row += not isinstance(error, _SAID)
                    else:
                        raise error
                if in_a_row >= _ENOUGH_TROUBLE:
                    break
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        answered = [found[id(question)] for question in questions if id(question) in found]
        return _Answers(answered, [question for question in questions if id(question) not in found], trouble)

    async def _answer(self, sorted_out: LearningPlan, question: ProcedureRuns) -> list[ValidatedExperience]:
        """One call, and what of its answer is proven.

        Where the question is more than the model can read, it is asked of less and less of it.
        """
        budget = QUESTION_CHARS
        while True:
            await run_in_thread(partial(prepare, sorted_out, question), budget)
            request = Request(
                messages=self._prompt.messages(question.inputs), purpose=self._purpose(sorted_out, question)
            )
            try:
                answer = await ask_for(self._llm, request, Learned, check=complaints(question))
                return await run_in_thread(partial(self._prove, sorted_out, question), answer)
            except PromptTooLong:
                budget //= 2
                if budget < _LEAST_CHARS:
                    raise

    def _purpose(self, sorted_out: LearningPlan, question: ProcedureRuns) -> Purpose:
        sessions = {done.session.id for done in question.tasks}
        return Purpose(
            job="learn",
            space_id=sorted_out.lesson.space.id,
            session_id=sessions.pop() if len(sessions) == 1 else None,
            prompt=self._prompt.id,
        )

    def _prove(self, sorted_out: LearningPlan, question: ProcedureRuns, answer: Learned) -> list[ValidatedExperience]:
        lesson = sorted_out.lesson
        proven = prove(
            question,
            answer,
            signals=sorted_out.signals,
            rules=sorted_out.rules,
            pages=lesson.pages,
            all_tasks=self._settings.tasks == "all",
            personal=(lesson.space.configs or {}).get("personal_data") is True,
        )
        for item in proven:
            if item.dropped:
                log.info(
                    "acontext: statements of %s without evidence were dropped: %s", self._llm.model, dict(item.dropped)
                )
        return proven

    # -- deciding

    def _settle(self, sorted_out: LearningPlan, answers: _Answers) -> SkillMerge:
        all_tasks = self._settings.tasks == "all"
        lesson = sorted_out.lesson
        settlement = SkillMerge(sorted_out, model=self._llm.model, prompt=self._prompt.id, all_tasks=all_tasks)
        left = {id for question in answers.open for id in question.task_ids}
        settlement.reverse(done.task.id for done in lesson.finished if done.task.id not in left)
        for task_id, skill_id in sorted_out.supports.items():
            settlement.support(task_id, skill_id)
        for answer in answers.answered:
            for proven in answer:
                settlement.take(proven)
        return settlement

    async def _by_the_rules(self, sorted_out: LearningPlan, settlement: SkillMerge, left: set[str]) -> SkillOps:
        """What the model has learned so far, and by the rules what it was not asked any more."""
        lesson = sorted_out.lesson
        ours = _ops(sorted_out, settlement, without=left)
        known = {episode.task_id: episode for episode in (*lesson.episodes, *ours.episodes)}
        rest = [done for done in lesson.finished if done.task.id in left]
        by_rules = await self._rules.learn(
            replace(lesson, finished=rest, episodes=list(known.values()), skills=settlement.skills())
        )
        note = f"the budget for models is spent: the rules learned {len(rest)} of {len(lesson.finished)} tasks"
        log.warning("acontext: space %s: %s", lesson.space.id, note)
        changed = {edit.skill_id for edit in ours.edits}
        return ours.model_copy(
            update={
                "episodes": (*ours.episodes, *by_rules.episodes),
                "edits": (*ours.edits, *(edit for edit in by_rules.edits if edit.skill_id not in changed)),
                "retired": (*ours.retired, *by_rules.retired),
                "digested": (*ours.digested, *by_rules.digested),
                "note": note,
            }
        )


def _graver(one: LearningUnavailable | None, other: LearningUnavailable) -> LearningUnavailable:
    """A spent budget ends a lesson; that nobody answers says more than that one answer was no good."""
    if one is None or isinstance(other, BudgetSpent):
        return other
    if isinstance(one, BudgetSpent) or not isinstance(one, _ANSWERS):
        return one
    return other


def _ops(sorted_out: LearningPlan, settlement: SkillMerge, *, without: set[str]) -> SkillOps:
    fresh = {id: episode for id, episode in sorted_out.fresh.items() if id not in without}
    return SkillOps(
        space_id=sorted_out.lesson.space.id,
        episodes=tuple(fresh.values()),
        edits=settlement.edits(),
        retired=settlement.retired(),
        digested=tuple(fresh),
        gone=tuple(sorted(sorted_out.lesson.gone)),
    )
