"""A source of outcomes that turns out wrong: what rested on it alone goes, and the rest stays."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins import Acontext, learning, report
from acontext_plugins.engine.embedded import open_engine
from acontext_plugins.service import SessionRef
from acontext_plugins.settings import Settings, WorkerSettings
from acontext_plugins.testing import ScriptedLLM
from acontext_store.errors import InvalidInput
from acontext_store.outcome_sources import Revocation
from acontext_store.types import Json, OutcomeStatus

from ..models.school import School, school
from ..models.test_learner_merging import rules_learn
from .talk import Memory, Talk


def archive(name: str, by: str, status: OutcomeStatus = "success", *, how: str = "archive_project") -> Talk:
    """A run of an agent of which somebody says how it ended."""
    talk = Talk(name, principal=name).run(f"run-{name}").user("Please archive the project apollo.")
    talk.does("close_board", {"status": "closed"}, name="apollo")
    talk.does(how, {"status": "archived"}, name="apollo")
    return talk.agent("It is archived.").ends(status, run_id=f"run-{name}", by=by)


async def take(at: School, *talks: Talk) -> None:
    for talk in talks:
        ref = SessionRef(key=str(talk.session.key), space=at.space.id, principal=talk.session.principal)
        await at.engine.recorder.append(ref, talk.messages, talk.outcomes)
    await at.engine.flush(60)


def fates(found: Revocation) -> list[tuple[str, str]]:
    return [(one.fate, one.use_when.split(":")[0]) for one in found.skills]


ARCHIVING, DELETING = "close board, archive project", "close board, delete project"


@pytest.mark.parametrize(
    ("strength", "gate"), [(1.0, "active"), (0.8, "active"), (0.5, "candidate"), (0.1, "candidate")]
)
def test_a_report_of_a_weak_source_is_not_enough_for_a_skill(strength: float, gate: str) -> None:
    talk = archive("a", "")
    talk.outcomes.clear()
    memory = Memory().learn(talk.ends("success", run_id="run-a", by="ci", strength=strength))
    assert [skill.status for skill in memory.skills.values()] == [gate]


def test_the_word_of_a_source_without_strength_is_not_heard() -> None:
    talk = archive("a", "")
    talk.outcomes.clear()
    assert talk.ends("failed", run_id="run-a", by="ci", strength=0.0).task().status == "running"
    assert talk.ends("success", "framework", run_id="run-a").task().status == "success"


async def test_a_skill_that_rested_on_it_alone_is_retired(tmp_path: Path) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        await take(at, archive("a", "ci"), archive("b", "ann", how="delete_project"))
        found = await at.engine.revoke_outcome_source("ci")
        assert [(one.session_key, one.before, one.after) for one in found.tasks] == [("key-a", "success", "running")]
        assert fates(found) == [("retired", ARCHIVING)]
        assert found.settled
        statuses = {skill.body.use_when.split(":")[0]: skill.status for skill in await at.engine.skills(at.space.id)}
        assert statuses == {ARCHIVING: "retired", DELETING: "active"}


async def test_a_skill_that_two_taught_is_kept_by_the_other(tmp_path: Path) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        await take(at, archive("a", "ci"), archive("b", "ann"))
        before = await at.skill()
        found = await at.engine.revoke_outcome_source("ci")
        assert fates(found) == [("kept", ARCHIVING)]
        after = await at.skill()
        assert (after.status, after.version, after.source_ids) == ("active", before.version, ("key-b",))
        assert fates(await at.engine.revoke_outcome_source("ann")) == [("retired", ARCHIVING)]


async def test_a_warning_that_a_wrong_failure_gave_goes(tmp_path: Path) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        wrong = [archive(f"w{n}", "ci", "failed", how="delete_project") for n in range(3)]
        await take(at, *wrong, *(archive(f"b{n}", "ann") for n in range(3)))
        await at.engine.revoke_outcome_source("ci")
        for skill in await at.skills():
            assert {one.outcome for one in skill.evidence} == {"success"}
            assert not any("delete_project" in line for line in skill.body.pitfalls)


async def test_a_success_that_the_framework_tells_too_is_one_still(tmp_path: Path) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        talk = archive("a", "ci").ends("success", "framework", run_id="run-a", by="agno")
        await take(at, talk)
        found = await at.engine.revoke_outcome_source("ci")
        assert [(one.before, one.after, one.now_by) for one in found.tasks] == [("success", "success", "agno")]
        assert [(one.fate, one.after) for one in found.skills] == [("changed", "candidate")]


async def test_a_framework_can_be_revoked_like_any_other(tmp_path: Path) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        talks = [archive(name, "ann") for name in "abc"]
        for talk in talks:
            talk.outcomes.clear()
            talk.ends("success", "framework", run_id=f"run-{talk.session.id}", by="agno")
        await take(at, *talks)
        assert fates(await at.engine.revoke_outcome_source("agno")) == [("retired", ARCHIVING)]


async def test_the_skill_of_a_person_stays_and_is_told(tmp_path: Path) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        await take(at, archive("a", "ci"))
        skill = await at.skill()
        await at.engine.update_block(at.space.id, skill.id, title="archiving")
        found = await at.engine.revoke_outcome_source("ci")
        assert fates(found) == [("a person's", "archiving")]
        assert (await at.skill()).status == "active"
        assert found.settled


async def test_a_proposal_that_waits_for_a_person_goes(tmp_path: Path) -> None:
    async with school(tmp_path, [], configs={"confirm": True}) as at:
        await rules_learn(at)
        await take(at, archive("a", "ci"))
        assert len(await at.engine.store.proposals(at.space.id)) == 1
        found = await at.engine.revoke_outcome_source("ci")
        assert [(one.before, one.after) for one in found.skills] == [("pending_confirmation", "retired")]
        assert await at.engine.store.proposals(at.space.id) == []


async def test_a_name_is_kept_without_a_secret_and_found_with_it(tmp_path: Path) -> None:
    secret = "sk-proj-" + "Ab3dEf6hIj9kLm2nOp5q" * 2
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        await take(at, archive("a", secret))
        (source,) = await at.engine.outcome_sources()
        assert secret not in source.name
        assert (await at.engine.revoke_outcome_source(secret)).source.name == source.name


async def test_what_is_revoked_has_no_more_time_than_it_is_given(tmp_path: Path) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        await take(at, archive("a", "ci"))
        found = await at.engine.revoke_outcome_source("ci", timeout=-1)
        assert found.waits_for in ("time", None)
        assert (await at.engine.revoke_outcome_source("ci")).settled


KILLED = """
import asyncio, os, signal, sys
from acontext_plugins.engine.embedded import open_engine
from acontext_plugins.settings import LearnSettings, ObserveSettings, Settings, WorkerSettings

url, steps = sys.argv[1], sys.argv[2].split(",")
settings = Settings(url=url, project="p", observe=ObserveSettings(quiet=0.0, max_wait=0.0),
                    learn=LearnSettings(quiet=0.0), worker=WorkerSettings(enabled=False, lease=0.05))
embedded = open_engine(settings)

async def work():
    store, worker = embedded.engine.store, embedded.engine.worker
    for step in steps:
        if step == "revoke":
            await store.revoke_source("ci", limit=1)
        elif step == "claim":
            await store.claim("dying", kinds=["observe"], lease=0.05, limit=1)
        else:
            while await worker.work_once(kinds=[step]):
                pass

embedded.loop.run(work())
os.kill(os.getpid(), signal.SIGKILL)
"""


async def _again(path: Path) -> tuple[Json, dict[str, Any]]:
    """Revoke it; what is told of that, and the skills."""
    async with school(path, []) as at:
        await rules_learn(at)
        found = (await at.engine.revoke_outcome_source("ci")).model_dump(
            exclude={"source": {"registered_at", "revoked_at"}}
        )
        return found, {skill.id: (skill.status, skill.body) for skill in await at.engine.skills(at.space.id)}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Json, dict[str, Any]]]:
    """A database before a source is revoked, and what comes of that where nobody is killed."""
    folder = tmp_path_factory.mktemp("begun")

    async def begin() -> tuple[Json, dict[str, Any]]:
        async with school(folder, []) as at:
            await rules_learn(at)
            talks = [archive("a", "ci"), archive("b", "ci", how="delete_project"), archive("c", "ann")]
            await take(at, *talks, archive("d", "ci"))
        return await _again(Path(shutil.copytree(folder, folder.with_name("unbroken"))))

    return folder, asyncio.run(begin())


@pytest.mark.parametrize("steps", ["revoke,revoke,revoke,claim", "revoke,observe,learn"])
def test_killed_at_any_point_and_done_again_it_is_the_same(
    begun: tuple[Path, tuple[Json, dict[str, Any]]], tmp_path: Path, steps: str
) -> None:
    before, expected = begun
    assert {one["fate"] for one in expected[0]["skills"]} == {"retired", "kept"}
    path = Path(shutil.copytree(before, tmp_path / "copy"))
    child = [sys.executable, "-c", KILLED, f"sqlite:///{path / 'acontext.db'}", steps]
    killed = subprocess.run(child, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert asyncio.run(_again(path)) == expected


async def test_where_models_observe_it_is_left_to_them_and_said_so(tmp_path: Path) -> None:
    settings = Settings(url=f"sqlite:///{tmp_path}/a.db", worker=WorkerSettings(enabled=False))
    embedded = await asyncio.to_thread(open_engine, settings, llm=ScriptedLLM([]))
    engine = embedded.engine
    session = await engine.create_session()
    talk = archive("a", "ci")
    await engine.append(session.id, talk.messages, talk.outcomes)
    found = await engine.revoke_outcome_source("ci")
    assert (found.waits_for, found.waiting_sessions, found.settled) == ("model", (session.id,), False)
    await asyncio.to_thread(embedded.close)


def test_a_run_reports_in_the_name_of_a_source(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Acontext(f"sqlite:///{tmp_path}/a.db") as client:

        @learning(space="shop", client=client)
        def answer(question: str) -> str:
            report("success", by="unit-tests")
            report("failed", by="x" * 65)
            return "It arrives on Monday."

        assert answer("Where is my order?") == "It arrives on Monday."
        assert client.flush(60)
        (session,) = client.sessions.list().items
        client.sessions.report(session.id, status="success", by="ann")
        with pytest.raises(InvalidInput, match="at most 64 characters"):
            client.sessions.report(session.id, status="failed", by="x" * 65)
        assert [(one.name, one.outcomes) for one in client.outcome_sources.list()] == [("ann", 1), ("unit-tests", 1)]
    assert "at most 64 characters" in caplog.text
