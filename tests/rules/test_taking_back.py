"""What was learned from a conversation goes with it: a success that failed, a conversation that is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from acontext_plugins.service import SessionRef
from acontext_store.types import OutcomeStatus

from ..models.school import Read, School, learned, says, school
from ..models.test_learner import refunds
from ..models.test_learner_merging import rules_learn
from .talk import Talk


def archive(name: str, project: str = "apollo", *, how: str = "archive_project", status: str = "success") -> Talk:
    talk = Talk(name, principal=name).user(f"Please archive the project {project}.")
    talk.does("close_board", {"status": "closed"}, name=project)
    talk.does(how, {"status": "archived"}, name=project)
    return talk.agent("It is archived.").ends(status, "import")  # type: ignore[arg-type]


async def take(at: School, *talks: Talk) -> None:
    """Import them, in place of what was imported under their names, and learn."""
    for talk in talks:
        ref = SessionRef(key=str(talk.session.key), space=at.space.id, principal=talk.session.principal)
        await at.engine.recorder.append(ref, talk.messages, talk.outcomes, whole=True)
    await at.learn()


async def statuses(at: School) -> dict[str, str]:
    """The last tool of each skill, and its status."""
    skills = await at.engine.store.skills(at.space.id)
    return {skill.body.tool_sops[-1].tool_name: skill.status for skill in skills if skill.body.tool_sops}


@pytest.mark.parametrize("later", ["failed", "cancelled"])
async def test_a_success_that_turns_out_to_be_none_takes_its_skill_with_it(
    tmp_path: Path, later: OutcomeStatus
) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        await take(at, archive("a"))
        assert await statuses(at) == {"archive_project": "active"}
        await take(at, archive("a", status=later))
        assert await statuses(at) == {"archive_project": "retired"}


async def test_what_an_agent_reports_later_counts_as_much(tmp_path: Path) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        talk = archive("a")
        await at.learn(talk)
        skill = await at.skill()
        for status, seen in (("failed", "retired"), ("success", "active")):
            talk.ends(status, "verifier")  # type: ignore[arg-type]
            await at.engine.append(skill.evidence[0].session_id, [], talk.outcomes[-1:])
            await at.tell()
            await at.learn()
            assert await statuses(at) == {"archive_project": seen}
        assert (await at.skill()).id == skill.id


async def test_it_comes_back_with_the_success(tmp_path: Path) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        for status in ("success", "failed", "success"):
            await take(at, archive("a", status=status))
        skill = await at.skill()
        assert (skill.status, skill.source_ids) == ("active", ("key-a",))
        assert [v.status for v in await at.engine.store.skill_versions(skill.id)] == ["active", "retired", "active"]


async def test_what_a_person_has_retired_does_not_come_back(tmp_path: Path) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        await take(at, archive("a"))
        await at.engine.store.set_skill_status((await at.skill()).id, "retired")
        for status in ("failed", "success"):
            await take(at, archive("a", status=status))
        assert await at.skills() == []


async def test_other_successes_hold_a_skill(tmp_path: Path) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        await take(at, archive("a"), archive("b", "gemini"))
        before = await at.skill()
        await take(at, archive("a", status="failed"))
        after = await at.skill()
        assert (after.id, after.status) == (before.id, "active")
        assert [one.session_key for one in after.evidence if one.outcome == "success"] == ["key-b"]


@pytest.mark.parametrize("by_model", [False, True])
async def test_what_a_replaced_conversation_taught_goes_and_the_new_one_teaches(tmp_path: Path, by_model: bool) -> None:
    def answer(read: Read) -> dict[str, object]:
        return learned(refunds(read, use_when=f"{read.last_call[2]} a project"))

    async with school(tmp_path, says(answer), tasks="all") as at:
        if not by_model:
            await rules_learn(at)
        await take(at, archive("a", how="delete_project"))
        assert await statuses(at) == {"delete_project": "active"}
        await take(at, archive("a"))
        found = await statuses(at)
        assert (found.pop("archive_project"), set(found.values()) - {"retired"}) == ("active", set())
        (skill,) = await at.skills()
        session_id = skill.evidence[0].session_id
        kept = {m.id for m in (await at.engine.store.messages(session_id)).items}
        assert {id for one in skill.evidence for id in one.message_ids} <= kept


@pytest.mark.parametrize("by_model", [False, True])
async def test_a_conversation_that_teaches_nothing_any_more_takes_its_skill_with_it(
    tmp_path: Path, by_model: bool
) -> None:
    async with school(tmp_path, says(lambda read: learned(refunds(read))), tasks="all") as at:
        if not by_model:
            await rules_learn(at)
        await take(at, archive("a"), archive("b", "gemini"))
        before = await at.skill()
        nothing = Talk("a", principal="a").user("Hello").agent("Hello!")
        await take(at, nothing)
        after = await at.skill()
        assert (after.id, after.status, after.source_ids) == (before.id, "active", ("key-b",))
        nothing = Talk("b", principal="b").user("Hello").agent("Hello!")
        await take(at, nothing)
        assert await statuses(at) == {"archive_project": "retired"}


async def test_the_skills_of_a_deleted_conversation_stay(tmp_path: Path) -> None:
    async with school(tmp_path, []) as at:
        await rules_learn(at)
        await take(at, archive("a"))
        await at.engine.delete_session((await at.skill()).evidence[0].session_id)
        await take(at, archive("b", how="delete_project"))
        assert await statuses(at) == {"archive_project": "active", "delete_project": "active"}
