"""A model that is away, out of budget, or cut off in the middle: each task is learned once, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins.llm import Request
from acontext_store.errors import BudgetSpent, InvalidAnswer, LearningUnavailable, Refused
from acontext_store.types import Json

from ..rules.talk import Talk
from .school import Read, School, experience, learned, read, says, school
from .test_learner import order, refunds


def hard(name: str, tool: str) -> Talk:
    """A task of a procedure of its own that is worth learning."""
    talk = Talk(name, principal=name).user(f"Please do the {tool}. Always ask me first.")
    return talk.does(f"make_{tool}", "ok", size=2).agent("Done.").ends("success")


def answer(read: Read) -> Json:
    tool = read.last_call[2].removeprefix("make_")
    return learned(experience(read, use_when=f"make the {tool}"))


async def learn_once(at: School) -> None:
    await at.engine.worker.work_once(kinds=("learn",))


async def waiting(at: School) -> int:
    return len(await at.engine.store.undigested(at.space.id))


# ------------------------------------------------------------------------------------------------ budget


async def test_where_the_budget_is_spent_the_rules_learn_the_lesson_and_it_is_told(tmp_path: Path) -> None:
    async with school(tmp_path, says(lambda read: BudgetSpent("spent"))) as at:  # type: ignore[arg-type, return-value]
        await at.learn(order("a"))
        skill = await at.skill()
        assert skill.origin == "rules"
        assert [step.tool_name for step in skill.body.tool_sops] == ["get_order", "refund_order"]
        assert await waiting(at) == 0
        (lane,) = await at.engine.store.lanes()
        assert lane.note == "the budget for models is spent: the rules learned 1 of 1 tasks"
        assert (lane.attempts, lane.last_error) == (0, None)


async def test_what_the_model_learned_before_the_budget_was_spent_stays_its_own(tmp_path: Path) -> None:
    def script(request: Request) -> Any:
        seen = read(request)
        return answer(seen) if "cake" in seen.text else BudgetSpent("spent")

    async with school(tmp_path, script) as at:
        await at.learn(hard("a", "cake"), order("b"), order("c", "31"))
        assert sorted((skill.origin, len(skill.evidence)) for skill in await at.skills()) == [
            ("model", 1),
            ("rules", 2),
        ]
        assert await waiting(at) == 0


async def test_when_there_is_a_budget_again_the_note_goes(tmp_path: Path) -> None:
    spent = [True]

    def script(request: Request) -> Any:
        return BudgetSpent("spent") if spent[0] else answer(read(request))

    async with school(tmp_path, script) as at:
        await at.learn(hard("a", "cake"))
        spent[0] = False
        await at.learn(hard("b", "pie"))
        assert sorted(skill.origin for skill in await at.skills()) == ["model", "rules"]
        assert await at.engine.store.lanes() == []


# ----------------------------------------------------------------------------------------------- outages


async def test_a_model_that_is_away_leaves_the_tasks_for_later(tmp_path: Path) -> None:
    away = [True]

    def script(request: Request) -> Any:
        return LearningUnavailable("away", retry_after=7.0) if away[0] else answer(read(request))

    async with school(tmp_path, script) as at:
        await at.tell(hard("a", "cake"))
        await learn_once(at)
        assert (await waiting(at), await at.skills()) == (1, [])
        assert await at.engine.store.episodes(at.space.id) == []
        away[0] = False
        await at.engine.store.schedule_now("learn", at.space.id)
        at.engine.worker.probe_now()
        await learn_once(at)
        assert (await at.skill()).origin == "model"


@pytest.mark.parametrize("error", [InvalidAnswer("no JSON"), Refused("no"), LearningUnavailable("away")])
async def test_what_was_answered_is_kept_where_another_question_was_not(tmp_path: Path, error: Exception) -> None:
    def script(request: Request) -> Any:
        seen = read(request)
        return error if "cake" in seen.text else answer(seen)

    async with school(tmp_path, script) as at:
        await at.tell(hard("a", "cake"), hard("b", "pie"), hard("c", "tart"))
        await learn_once(at)
        assert sorted(skill.body.use_when for skill in await at.skills()) == ["make the pie", "make the tart"]
        assert await waiting(at) == 1
        await learn_once(at)
        (lane,) = await at.engine.store.lanes()
        assert lane.failing
        assert len(at.llm.requests) == 4


async def test_a_lesson_does_not_go_on_asking_somebody_who_is_away(tmp_path: Path) -> None:
    asked = 0

    async def script(request: Request) -> Any:
        nonlocal asked
        asked += 1
        if asked > 3:
            await asyncio.sleep(60)
        return LearningUnavailable("away")

    async with school(tmp_path, script) as at:
        await at.tell(*(hard(f"s{n}", f"cake{'abcdefgh'[n]}") for n in range(8)))
        async with asyncio.timeout(20):
            await learn_once(at)
        assert await waiting(at) == 8


# ------------------------------------------------------------------------------------------ interruptions


class Interrupted:
    """A coroutine that is cancelled where it waits for the `at`th time; `waits` = how often it has waited."""

    def __init__(self, work: Awaitable[Any], at: int) -> None:
        self._work = work
        self._at = at
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        send: Any = None
        error: BaseException | None = None
        while True:
            try:
                waited_for = steps.send(send) if error is None else steps.throw(error)  # type: ignore[attr-defined]
            except StopIteration as done:
                return done.value
            error = None
            self.waits += 1
            try:
                if self.waits == self._at:
                    raise asyncio.CancelledError
                send = yield waited_for
            except BaseException as thrown:
                error = thrown


async def interrupt(work: Awaitable[Any], at: int) -> bool:
    """Whether the work was interrupted, before it was done."""
    try:
        await Interrupted(work, at)
    except asyncio.CancelledError:
        return True
    return False


async def lesson_is_learned_once(at: School, talks: int) -> None:
    """However it came about: each task once, each skill at its first version."""
    assert await waiting(at) == 0
    skills = await at.skills()
    assert len(skills) == talks
    for skill in skills:
        assert len(await at.engine.store.skill_versions(skill.id)) == 1
        assert len(skill.evidence) == 1
    assert len(await at.engine.store.episodes(at.space.id)) == talks
    assert await at.engine.store.lanes() == []


async def test_a_lesson_that_is_cancelled_at_any_point_is_learned_once(tmp_path: Path) -> None:
    names = ["cake", "pie", "tart"]
    for number in range(1, 200):
        async with school(tmp_path / str(number), says(answer)) as at:
            await at.tell(*(hard(name, name) for name in names))
            stopped = await interrupt(at.engine.worker.work_once(kinds=("learn",)), number)
            async with asyncio.timeout(20):
                while await waiting(at):
                    await at.engine.worker.work_once(kinds=("learn",))
            await lesson_is_learned_once(at, len(names))
        if not stopped:
            break
    assert 5 < number < 199


@pytest.mark.parametrize("answered", range(4))
async def test_a_worker_that_dies_while_it_asks_leaves_the_lesson_to_the_next(tmp_path: Path, answered: int) -> None:
    """It is gone without a word: its lease runs out."""
    count = 0
    stuck = asyncio.Event()

    async def script(request: Request) -> Any:
        nonlocal count
        count += 1
        if count > answered and not stuck.is_set():
            stuck.set()
            await asyncio.Event().wait()
        return answer(read(request))

    names = ["cake", "pie", "tart"]
    async with school(tmp_path, script) as at:
        await at.tell(*(hard(name, name) for name in names))
        (claim,) = await at.engine.store.claim("the dead", kinds=["learn"], lease=0.05, limit=1)
        dying = asyncio.create_task(at.engine.worker._learn_space(claim))
        if answered < 3:
            await stuck.wait()
        else:
            await dying
        assert await waiting(at) == (3 if answered < 3 else 0)
        async with asyncio.timeout(20):
            while await waiting(at):
                await at.engine.worker.work_once(kinds=("learn",))
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        await lesson_is_learned_once(at, len(names))


async def test_what_a_slow_worker_decided_is_not_written_when_another_was_faster(tmp_path: Path) -> None:
    async with school(tmp_path, says(answer)) as at:
        await at.tell(hard("a", "cake"))
        go_on = asyncio.Event()
        quick = at.llm.complete

        async def slowly(request: Request) -> Any:
            await go_on.wait()
            return await quick(request)

        at.llm.complete = slowly  # type: ignore[method-assign]
        (claim,) = await at.engine.store.claim("slow", kinds=["learn"], lease=0.01, limit=1)
        slow = asyncio.create_task(at.engine.worker._learn_space(claim))
        await asyncio.sleep(0.02)
        at.llm.complete = quick  # type: ignore[method-assign]
        async with asyncio.timeout(20):
            while await waiting(at):
                await at.engine.worker.work_once(kinds=("learn",))
        go_on.set()
        (lost,) = await asyncio.gather(slow, return_exceptions=True)
        assert type(lost).__name__ == "LeaseLost"
        await lesson_is_learned_once(at, 1)


async def test_a_repaired_answer_is_two_calls_and_a_good_one_is_one(tmp_path: Path) -> None:
    def first_bad(request: Request) -> Any:
        return "not json" if len(request.messages) == 2 else refunds_of(request)

    def refunds_of(request: Request) -> Json:
        return learned(refunds(read(request)))

    async with school(tmp_path, first_bad) as at:
        await at.learn(order("a"))
        assert len(at.llm.requests) == 2
        assert (await at.skill()).body.tool_sops
