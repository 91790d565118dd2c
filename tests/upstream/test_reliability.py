"""W1 to W17: what was lost, and is not any more. docs/compared-with-acontext.md has the table."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from acontext_plugins import Acontext
from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.observe.rules import RulesObserver
from acontext_plugins.protocols import Observation
from acontext_plugins.service import Recording, SessionRef
from acontext_plugins.settings import LearnSettings, ObserveSettings, Settings, WorkerSettings
from acontext_plugins.worker.worker import Worker
from acontext_store.types import Message, Part, TaskOps
from tests.engine.conftest import OpenEngine
from tests.engine.test_worker import called, refund, said
from tests.server.conftest import Server, data

from .processes import dying, until


def client_of(database: Path) -> Acontext:
    settings = Settings(
        url=f"sqlite:///{database}",
        observe=ObserveSettings(quiet=0.0, max_wait=0.0),
        learn=LearnSettings(quiet=0.0),
        worker=WorkerSettings(lease=0.5, idle=0.02),
    )
    return Acontext(settings=settings)


def is_observed(client: Acontext, session_id: str) -> bool:
    statuses = {m.session_task_process_status for m in stored(client, session_id)}
    return statuses == {"success"} and len(client.sessions.get_tasks(session_id).items) == 1


def stored(client: Acontext, session_id: str) -> list[Any]:
    embedded = client.connection.opened()
    return list(embedded.loop.run(embedded.engine.messages(session_id)).items)


def test_w01_a_message_is_kept_together_with_the_work_that_it_causes(database: Path) -> None:
    (session_id,) = dying(database, "client = opened(worker=False)\ntell(say(client).id)\ndie()")
    with client_of(database) as client:
        until(lambda: is_observed(client, session_id))


def test_w02_a_conversation_that_waits_to_be_quiet_is_observed_although_who_waited_died(database: Path) -> None:
    (session_id,) = dying(database, "client = opened(quiet=0.3)\ntell(say(client).id)\ndie()")
    with client_of(database) as client:
        until(lambda: is_observed(client, session_id))


def test_w03_messages_that_a_worker_died_with_are_observed_by_the_next_one(database: Path) -> None:
    hang = """
class Hanging:
    async def observe(self, observation):
        tell("working")
        await asyncio.Event().wait()

client = opened()
client.connection.opened().engine.worker._observer = Hanging()
tell(say(client).id)
time.sleep(600)
"""
    (session_id,) = dying(database, hang)
    with client_of(database) as client:
        until(lambda: is_observed(client, session_id))


class Long:
    """An observer that thinks for longer than its lease was at first."""

    def __init__(self, embedded: EmbeddedEngine) -> None:
        self._embedded = embedded
        self.asked = 0

    async def observe(self, observation: Observation) -> TaskOps:
        self.asked += 1
        (first,) = await self._embedded.engine.store.lanes(dead=False)
        while True:
            (lane,) = await self._embedded.engine.store.lanes(dead=False)
            if lane.lease_until > first.lease_until and time.time() > first.lease_until:
                return await RulesObserver().observe(observation)
            await asyncio.sleep(0.01)


def test_w05_work_that_takes_longer_than_its_lease_stays_with_who_has_it(open_engine: OpenEngine) -> None:
    embedded, other = open_engine(), open_engine()
    minds = Long(embedded), Long(other)
    settings = WorkerSettings(lease=0.3, idle=0.01)
    learner = embedded.engine.worker._learner
    first, second = (
        Worker(h.engine.store, m, learner, settings=settings) for h, m in zip((embedded, other), minds, strict=True)
    )
    embedded.engine.record(refund("ada@example.com", "A-1", "one"))
    embedded.engine.recorder.flush()

    running = [embedded.loop.submit(worker.run()) for worker in (first, second)]
    until(lambda: first.done + second.done > 0)
    for one in running:
        one.cancel()
    assert minds[0].asked + minds[1].asked == 1
    assert first.failed + second.failed == 0


class Counting:
    """The rules' observer, which counts the sessions that it sees."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    async def observe(self, observation: Observation) -> TaskOps:
        self.seen[observation.session.id] += 1
        await asyncio.sleep(0)
        return await RulesObserver().observe(observation)


@pytest.mark.slow
def test_w06_under_load_each_message_is_handled_once_and_none_is_left_out(embedded: EmbeddedEngine) -> None:
    mind = Counting()
    doing = Worker(
        embedded.engine.store, mind, embedded.engine.worker._learner, settings=WorkerSettings(concurrency=16, idle=0.01)
    )
    for number in range(200):
        embedded.engine.record(refund(f"u{number}@example.com", f"A-{number}", f"key-{number}"))
    embedded.engine.recorder.flush()

    running = embedded.loop.submit(doing.run())
    until(lambda: len(mind.seen) == 200 and not embedded.engine.store.lanes(dead=False).result(), 60)
    running.cancel()
    assert len(mind.seen) == 200
    assert set(mind.seen.values()) == {1}


def test_w08_a_batch_that_ends_between_a_call_and_its_result_cuts_nothing(embedded: EmbeddedEngine) -> None:
    messages = refund("ada@example.com", "A-1", "one").messages
    assert not callable(messages)
    ref = SessionRef("one", space="shop")
    for message in messages:  # one batch each
        embedded.engine.record(Recording(ref, [message]))
        assert embedded.loop.run(embedded.engine.flush(30))
    session = embedded.loop.run(embedded.engine.find_session("one"))
    (task,) = embedded.loop.run(embedded.engine.all_tasks(session.id))
    assert (task.first_seq, task.last_seq) == (1, len(messages))
    embedded.loop.run(embedded.engine.append(session.id, (), [refund("", "", "one").outcomes[0]]))
    assert embedded.loop.run(embedded.engine.flush(30))
    space = embedded.engine.store.space_by_name("shop").result()
    (skill,) = embedded.engine.store.skills(space.id).result()
    assert [step.tool_name for step in skill.body.tool_sops] == ["find_order", "issue_refund"]
    assert skill.body.pitfalls


def test_w08_there_is_no_setting_that_nothing_reads() -> None:
    root = Path(__file__).parent.parent.parent
    source = "".join(
        file.read_text()
        for folder in ("acontext_plugins", "store", "adapters")
        for file in (root / folder).rglob("*.py")
        if file.name != "settings.py"
    )
    settings_file = (root / "acontext_plugins" / "settings.py").read_text()
    unread = []
    for name, field in Settings.model_fields.items():
        section = field.annotation
        names = list(getattr(section, "model_fields", {})) or [name]
        unread += [f"{name}.{one}" for one in names if f".{one}" not in source and f"self.{one}" not in settings_file]
    assert unread == []


def test_w11_an_outdated_skill_is_replaced_moved_and_deleted(embedded: EmbeddedEngine) -> None:
    engine, run = embedded.engine, embedded.loop.run
    space = run(engine.create_space(name="ops"))
    folder = run(engine.create_block(space.id, block_type="folder", title="old"))
    page = run(engine.create_block(space.id, block_type="page", parent_id=folder.id, title="ops"))
    props = {"tool_sops": [{"tool_name": "goto", "action": "go to example.com"}]}
    sop = run(engine.create_block(space.id, block_type="sop", parent_id=page.id, title="star a repo", props=props))
    newer = {"tool_sops": [{"tool_name": "click", "action": "the star"}]}
    run(engine.update_block(space.id, sop.id, props=newer))
    found = run(engine.experience_search(space.id, query="star a repo")).cited_blocks
    assert [step["tool_name"] for step in found[0].props["tool_sops"]] == ["click"]
    assert [version.version for version in run(engine.skill_versions(sop.id))] == [1, 2]
    run(engine.move_block(space.id, page.id))  # to the root
    assert {block.title for block in run(engine.blocks(space.id))} == {"old", "ops"}
    run(engine.delete_block(space.id, sop.id))
    assert run(engine.experience_search(space.id, query="star a repo")).cited_blocks == []


def test_w13_a_text_that_is_lost_does_not_take_the_batch_with_it(embedded: EmbeddedEngine) -> None:
    long = "x " * embedded.engine.settings.recorder.inline_bytes
    embedded.engine.record(
        Recording(
            SessionRef("one", space="shop"),
            [
                said("Please archive the project apollo.", "r1"),
                Message(role="assistant", parts=(Part(type="text", text=long),), run_id="r1"),
                said("Thanks, that works. Now please delete the project gemini.", "r1"),
                *called("delete_project", '{"name": "gemini"}', '{"status": "deleted"}', "r1"),
            ],
        )
    )
    embedded.engine.recorder.flush()
    session = embedded.loop.run(embedded.engine.find_session("one"))
    (sha256,) = [
        part.asset for m in embedded.engine.store.messages(session.id).result().items for part in m.parts if part.asset
    ]
    assert embedded.engine.blobs.delete(sha256)
    assert embedded.loop.run(embedded.engine.flush(30))
    tasks = embedded.loop.run(embedded.engine.all_tasks(session.id))
    assert ["apollo" in tasks[0].data["task_description"], "gemini" in tasks[1].data["task_description"]] == [
        True,
        True,
    ]


async def test_w14_a_flush_works_off_the_whole_backlog_and_returns_when_it_is_done(
    server: Server, ann: httpx.AsyncClient
) -> None:
    session = data(await ann.post("/session", json={}), 201)
    for number in range(120):
        blob = {"role": "user", "content": f"Please archive the project number {number}."}
        data(await ann.post(f"/session/{session['id']}/messages", json={"blob": blob}), 201)
    done = data(await ann.post(f"/session/{session['id']}/flush"))
    assert done["status"] == 200
    status = data(await ann.get(f"/session/{session['id']}/observing_status"))
    assert (status["observed"], status["pending"], status["in_process"]) == (120, 0, 0)


def test_w15_a_task_that_was_easy_is_done_with_at_once(embedded: EmbeddedEngine) -> None:
    embedded.engine.record(
        Recording(
            SessionRef("one", space="shop"),
            [
                said("Please archive the project apollo.", "r1"),
                *called("archive", '{"name": "apollo"}', '{"status": "archived"}', "r1"),
                said("Thanks, that works.", "r1"),
            ],
        )
    )
    assert embedded.loop.run(embedded.engine.flush(30))
    session = embedded.loop.run(embedded.engine.find_session("one"))
    status = embedded.loop.run(embedded.engine.learning_status(session.id))
    assert (status.space_digested_count, status.not_space_digested_count, status.failed_count) == (1, 0, 0)
    assert embedded.engine.worker.failed == 0
    space = embedded.engine.store.space_by_name("shop").result()
    assert [skill.status for skill in embedded.engine.store.skills(space.id).result()] == ["candidate"]


def test_w17_after_a_crash_nothing_stays_running(database: Path) -> None:
    hang = """
class Hanging:
    batch = 1000
    async def learn(self, lesson):
        tell("working")
        await asyncio.Event().wait()

client = opened()
client.connection.opened().engine.worker._learner = Hanging()
session = say(client)
client.sessions.report(session.id, status="success")
tell(session.id)
time.sleep(600)
"""
    (session_id,) = dying(database, hang)
    with client_of(database) as client:
        until(lambda: client.sessions.get_learning_status(session_id).space_digested_count == 1)
        assert client.jobs.list() == []
        assert is_observed(client, session_id)
