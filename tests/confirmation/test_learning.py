"""Learning where a person has a say: through the worker, by the rules, lesson after lesson."""

from __future__ import annotations

from pathlib import Path

import pytest

from acontext_plugins import Acontext
from acontext_plugins.engine.embedded import Home
from acontext_plugins.learn.rules import RulesLearner
from acontext_plugins.protocols import Lesson
from acontext_plugins.service import Recording, SessionRef
from acontext_plugins.settings import LearnSettings, ObserveSettings, Settings, WorkerSettings
from acontext_store.types import Outcome, Proposal, Skill, SkillOps
from tests.engine.test_worker import called, refund, said


def longer(order: str, key: str) -> Recording:
    """The same task, done with one step more."""
    run = f"run-{key}"
    messages = [
        said(f"I am {key}@example.com, please refund my broken cups of order {order}", run),
        *called("find_order", f'{{"email": "{key}@example.com"}}', f'{{"order_id": "{order}"}}', run),
        *called("issue_refund", f'{{"order_id": "{order}", "amount": "24.50"}}', '{"error": "no"}', run),
        *called("issue_refund", f'{{"order_id": "{order}", "amount": 2450}}', '{"status": "ok"}', run),
        said("No, that is wrong: always tell the warehouse, too.", run),
        *called("get_warehouse", f'{{"order_id": "{order}"}}', '{"warehouse": "W-1"}', run),
    ]
    return Recording(SessionRef(key, space="shop"), messages, [Outcome(status="success", source="report", run_id=run)])


def learn(home: Home, *recordings: Recording) -> None:
    for recording in recordings:
        home.engine.record(recording)
    assert home.loop.run(home.engine.flush(30))


def proposals(home: Home) -> list[Proposal]:
    space = home.engine.store.space_by_name("shop").result()
    return home.engine.store.proposals(space.id).result()


def active(home: Home) -> list[Skill]:
    space = home.engine.store.space_by_name("shop").result()
    return home.engine.store.skills(space.id, statuses=["active"]).result()


@pytest.mark.parametrize("asks", [True, False])
def test_spaces_that_say_nothing_do_as_the_settings_say(tmp_path: Path, asks: bool) -> None:
    settings = Settings(
        url=f"sqlite:///{tmp_path}/a.db",
        observe=ObserveSettings(quiet=0.0, max_wait=0.0),
        learn=LearnSettings(quiet=0.0, confirm=asks),
        worker=WorkerSettings(idle=0.02),
    )
    with Acontext(settings=settings) as client:
        home = client.door.home()
        learn(home, refund("ada@example.com", "A-1", "one"), refund("joan@example.com", "A-2", "two"))
        assert (len(proposals(home)), len(active(home))) == ((1, 0) if asks else (0, 1))


class Listening:
    """The rules' learner, which notes what it was told of the space."""

    batch = 1000

    def __init__(self) -> None:
        self.told: list[list[Skill]] = []

    async def learn(self, lesson: Lesson) -> SkillOps:
        self.told.append(list(lesson.skills))
        return await RulesLearner().learn(lesson)


def test_a_lesson_builds_on_what_waits_and_the_one_in_use_stays(home: Home) -> None:
    listening = home.engine.worker._learner = Listening()
    space = home.loop.run(home.engine.create_space(name="shop", configs={"confirm": True}))
    learn(home, refund("ada@example.com", "A-1", "one"))
    (first,) = proposals(home)
    home.loop.run(home.engine.confirm(space.id, first.id, save=True))
    (used,) = active(home)
    learn(home, *(longer(f"B-{n}", f"long-{n}") for n in range(4)))
    (waiting,) = proposals(home)
    assert waiting.current == used
    assert waiting.skill.body != used.body
    learn(home, longer("C-1", "more"))
    assert [skill.body for skill in listening.told[-1]] == [waiting.skill.body]
    assert active(home) == [used]
    assert len(proposals(home)) == 1


def test_a_version_that_was_rejected_is_not_proposed_with_every_conversation(home: Home) -> None:
    space = home.loop.run(home.engine.create_space(name="shop", configs={"confirm": True}))
    learn(home, refund("ada@example.com", "A-1", "one"))
    home.loop.run(home.engine.confirm(space.id, proposals(home)[0].id, save=True))
    (used,) = active(home)
    learn(home, *(longer(f"B-{n}", f"long-{n}") for n in range(4)))
    home.loop.run(home.engine.confirm(space.id, proposals(home)[0].id, save=False))
    for number in range(5):
        learn(home, longer(f"C-{number}", f"again-{number}"))
        assert proposals(home) == []
    (still,) = active(home)
    assert still.body == used.body
