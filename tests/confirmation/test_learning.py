"""Learning where a person has a say: through the worker, by the rules, lesson after lesson."""

from __future__ import annotations

from pathlib import Path

import pytest

from acontext_plugins import Acontext
from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.learn.rules import RulesLearner
from acontext_plugins.protocols import LearningInput
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


def learn(embedded: EmbeddedEngine, *recordings: Recording) -> None:
    for recording in recordings:
        embedded.engine.record(recording)
    assert embedded.loop.run(embedded.engine.flush(30))


def proposals(embedded: EmbeddedEngine) -> list[Proposal]:
    space = embedded.engine.store.space_by_name("shop").result()
    return embedded.engine.store.proposals(space.id).result()


def active(embedded: EmbeddedEngine) -> list[Skill]:
    space = embedded.engine.store.space_by_name("shop").result()
    return embedded.engine.store.skills(space.id, statuses=["active"]).result()


@pytest.mark.parametrize("asks", [True, False])
def test_spaces_that_say_nothing_do_as_the_settings_say(tmp_path: Path, asks: bool) -> None:
    settings = Settings(
        url=f"sqlite:///{tmp_path}/a.db",
        observe=ObserveSettings(quiet=0.0, max_wait=0.0),
        learn=LearnSettings(quiet=0.0, confirm=asks),
        worker=WorkerSettings(idle=0.02),
    )
    with Acontext(settings=settings) as client:
        embedded = client.connection.opened()
        learn(embedded, refund("ada@example.com", "A-1", "one"), refund("joan@example.com", "A-2", "two"))
        assert (len(proposals(embedded)), len(active(embedded))) == ((1, 0) if asks else (0, 1))


class Listening:
    """The rules' learner, which notes what it was told of the space."""

    batch = 1000

    def __init__(self) -> None:
        self.told: list[list[Skill]] = []

    async def learn(self, lesson: LearningInput) -> SkillOps:
        self.told.append(list(lesson.skills))
        return await RulesLearner().learn(lesson)


def test_a_lesson_builds_on_what_waits_and_the_one_in_use_stays(embedded: EmbeddedEngine) -> None:
    listening = embedded.engine.worker._learner = Listening()
    space = embedded.loop.run(embedded.engine.create_space(name="shop", configs={"confirm": True}))
    learn(embedded, refund("ada@example.com", "A-1", "one"))
    (first,) = proposals(embedded)
    embedded.loop.run(embedded.engine.confirm(space.id, first.id, save=True))
    (used,) = active(embedded)
    learn(embedded, *(longer(f"B-{n}", f"long-{n}") for n in range(4)))
    (waiting,) = proposals(embedded)
    assert waiting.current == used
    assert waiting.skill.body != used.body
    learn(embedded, longer("C-1", "more"))
    assert [skill.body for skill in listening.told[-1]] == [waiting.skill.body]
    assert active(embedded) == [used]
    assert len(proposals(embedded)) == 1


def test_a_version_that_was_rejected_is_not_proposed_with_every_conversation(embedded: EmbeddedEngine) -> None:
    space = embedded.loop.run(embedded.engine.create_space(name="shop", configs={"confirm": True}))
    learn(embedded, refund("ada@example.com", "A-1", "one"))
    embedded.loop.run(embedded.engine.confirm(space.id, proposals(embedded)[0].id, save=True))
    (used,) = active(embedded)
    learn(embedded, *(longer(f"B-{n}", f"long-{n}") for n in range(4)))
    embedded.loop.run(embedded.engine.confirm(space.id, proposals(embedded)[0].id, save=False))
    for number in range(5):
        learn(embedded, longer(f"C-{number}", f"again-{number}"))
        assert proposals(embedded) == []
    (still,) = active(embedded)
    assert still.body == used.body
