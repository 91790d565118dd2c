"""What a store promises about tasks, and about what is learned from them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ..errors import Conflict, InvalidInput, NotFound
from ..injections import Injection
from ..protocols import ReadSnapshot, Store
from ..tokenizer import words
from ..types import (
    Block,
    Episode,
    LearningStatus,
    SearchHit,
    SkillEdit,
    SkillOps,
    SkillStatus,
    TaskOps,
    new_id,
)
from .factories import (
    PROJECT,
    a_body,
    a_session,
    a_space,
    a_task,
    an_edit,
    an_outcome,
    claimed,
    done,
    each,
    learned,
    observed,
    said,
    talk,
)


def _links(store: Store, session_id: str = "s1") -> list[str | None]:
    return [message.task_id for message in done(store.messages(session_id)).items]


def _waiting(store: Store, space_id: str) -> list[str]:
    return [task.id for task in done(store.undigested(space_id))]


class TaskContract:
    """The tasks that an observer found are written with their messages, or not at all."""

    def test_tasks_are_kept_with_their_messages(self, store: Store) -> None:
        talk(store, count=5)
        first = a_task("t1", first_seq=1, last_seq=2, outcome=an_outcome(after_seq=2))
        second = a_task("t2", order=2, status="running", first_seq=3, last_seq=4)
        observed(store, [second, first], observed_seq=4, resume_seq=3)
        assert done(store.tasks("s1")).items == [first, second]
        assert done(store.task("t2")) == second
        kept = done(store.messages("s1")).items
        assert [m.task_id for m in kept] == ["t1", "t1", "t2", "t2", None]
        assert [m.session_task_process_status for m in kept] == ["success"] * 4 + ["pending"]
        assert done(store.resume_seq("s1")) == 3

    def test_a_moment_answers_as_the_store_does(self, store: Store) -> None:
        talk(store, count=5)
        done(store.append("s1", [], [an_outcome(), an_outcome("failed")]))
        several = [a_task(f"t{n:03}", order=n, first_seq=0, last_seq=0) for n in range(1, 230)]
        observed(store, [a_task("t0", order=230, first_seq=1, last_seq=2), *several], observed_seq=4, resume_seq=3)

        def ask(moment: ReadSnapshot) -> tuple[object, ...]:
            messages = moment.messages("s1", after_seq=1, limit=3)
            rest = moment.session("s1"), moment.outcomes("s1", after_seq=2), moment.resume_seq("s1")
            return len(moment.tasks("s1")), moment.tasks("s1")[:200], messages, *rest

        assert done(store.read_snapshot(ask)) == (
            230,
            done(store.tasks("s1", limit=200)).items,
            done(store.messages("s1", after_seq=1, limit=3)).items,
            done(store.session("s1")),
            done(store.outcomes("s1", after_seq=2)),
            done(store.resume_seq("s1")),
        )

    def test_a_session_begins_at_its_first_message(self, store: Store) -> None:
        done(store.create_session(a_session()))
        assert done(store.resume_seq("s1")) == 1
        assert done(store.tasks("s1")).items == []

    @pytest.mark.parametrize("time_desc", [False, True])
    def test_tasks_are_listed_by_their_order_without_the_planning(self, store: Store, time_desc: bool) -> None:
        talk(store)
        plan = a_task("t0", order=0, is_planning=True)
        observed(store, [plan, *(a_task(f"t{n}", order=n, first_seq=0, last_seq=0) for n in (10, 2, 1, 9, 3))])
        seen: list[int] = []
        cursor: str | None = None
        while True:
            page = done(store.tasks("s1", limit=2, cursor=cursor, time_desc=time_desc))
            seen += [task.order for task in page.items]
            if not page.has_more:
                break
            cursor = page.next_cursor
        assert seen == ([10, 9, 3, 2, 1] if time_desc else [1, 2, 3, 9, 10])

    def test_a_task_is_replaced_by_its_id(self, store: Store) -> None:
        talk(store, count=4)
        first = a_task(status="running", first_seq=1, last_seq=4)
        observed(store, [first], observed_seq=4)
        observed(store, [first.model_copy(update={"status": "failed", "first_seq": 2, "last_seq": 3})])
        (task,) = done(store.tasks("s1")).items
        assert (task.status, task.first_seq, task.last_seq) == ("failed", 2, 3)
        assert task.created_at == first.created_at
        assert task.updated_at > first.updated_at
        assert _links(store) == [None, "t1", "t1", None]

    def test_messages_go_from_one_task_to_another(self, store: Store) -> None:
        talk(store, count=4)
        observed(store, [a_task("t1", first_seq=1, last_seq=4)], observed_seq=4)
        observed(
            store,
            [a_task("t1", first_seq=1, last_seq=2), a_task("t2", order=2, first_seq=3, last_seq=4)],
            observed_seq=4,
        )
        assert _links(store) == ["t1", "t1", "t2", "t2"]

    def test_a_removed_task_leaves_its_messages(self, store: Store) -> None:
        talk(store)
        observed(store, [a_task()])
        observed(store, [], removed=["t1", "never-was"])
        assert done(store.tasks("s1")).items == []
        assert _links(store) == [None, None]

    def test_observation_never_goes_backwards(self, store: Store) -> None:
        talk(store, count=4)
        observed(store, [], observed_seq=4)
        observed(store, [], observed_seq=2)
        assert done(store.lanes()) == []
        observed(store, [], observed_seq=1000)
        done(store.append("s1", [said("new")]))
        claimed(store, "observe", "s1")

    def test_a_task_id_belongs_to_one_session(self, store: Store) -> None:
        for session_id in ("s1", "s2"):
            talk(store, session_id)
        observed(store, [a_task()])
        done(store.schedule_now("observe", "s2"))
        claim = claimed(store, "observe", "s2")
        ops = TaskOps(session_id="s2", tasks=(a_task(session_id="s2"),), observed_seq=2)
        with pytest.raises(Conflict):
            done(store.apply_tasks(claim, ops))
        assert done(store.task("t1")).session_id == "s1"


class DigestContract:
    """Finished tasks make the learn work of their space due, and are learned from once."""

    @pytest.fixture
    def space_id(self, store: Store) -> str:
        """The id of a new space."""
        return a_space(store, "travel")

    def test_finished_tasks_make_their_space_due(self, store: Store, space_id: str) -> None:
        talk(store, space_id=space_id)
        observed(store, [a_task(status="running")], learn_after=50)
        assert done(store.lanes()) == []
        observed(store, [a_task(status="failed")], learn_after=50)
        (lane,) = done(store.lanes())
        assert (lane.kind, lane.key) == ("learn", space_id)
        assert 45 < lane.due_at - time.time() <= 50
        assert _waiting(store, space_id) == ["t1"]
        assert done(store.learning_status("s1")) == LearningStatus(space_digested_count=0, not_space_digested_count=1)

    def test_a_planning_task_teaches_nothing(self, store: Store, space_id: str) -> None:
        talk(store, space_id=space_id)
        observed(store, [a_task(is_planning=True)])
        assert done(store.lanes()) == []
        assert _waiting(store, space_id) == []

    def test_a_session_without_a_space_teaches_nothing(self, store: Store) -> None:
        talk(store)
        observed(store, [a_task()])
        assert done(store.lanes()) == []
        assert done(store.learning_status("s1")) == LearningStatus(space_digested_count=0, not_space_digested_count=0)

    def test_connecting_does_not_learn_what_is_past(self, store: Store, space_id: str) -> None:
        talk(store, count=4)
        going_on = a_task("t2", order=2, status="running", first_seq=3, last_seq=4)
        observed(store, [a_task("t1"), going_on], observed_seq=4)
        done(store.update_session("s1", space_id=space_id))
        observed(store, [a_task("t1"), going_on.model_copy(update={"status": "success"})], observed_seq=4)
        assert _waiting(store, space_id) == ["t2"]
        assert done(store.learning_status("s1")).not_space_digested_count == 1

    def test_what_waits_for_one_space_is_not_learned_in_another(self, store: Store, space_id: str) -> None:
        talk(store, space_id=space_id)
        observed(store, [a_task()])
        other = a_space(store)
        done(store.update_session("s1", space_id=other))
        assert _waiting(store, space_id) == _waiting(store, other) == []

    def test_digested_tasks_wait_no_more(self, store: Store, space_id: str) -> None:
        talk(store, space_id=space_id)
        observed(store, [a_task("t1"), a_task("t2", order=2)])
        learned(store, space_id, digested=("t1",))
        assert _waiting(store, space_id) == ["t2"]
        assert done(store.task("t1")).space_digested
        claim = claimed(store, "learn", space_id)
        done(store.apply_skills(claim, SkillOps(space_id=space_id, digested=("t2",))))
        assert done(store.lanes()) == []
        assert done(store.learning_status("s1")) == LearningStatus(space_digested_count=2, not_space_digested_count=0)

    def test_the_same_task_again_stays_digested(self, store: Store, space_id: str) -> None:
        talk(store, space_id=space_id)
        observed(store, [a_task()])
        learned(store, space_id, digested=("t1",))
        observed(store, [a_task(order=7)])
        assert _waiting(store, space_id) == []
        assert done(store.task("t1")).order == 7
        assert done(store.lanes()) == []

    @pytest.mark.parametrize(
        "change",
        [{"outcome": an_outcome("failed")}, {"status": "failed"}, {"last_seq": 3}, {"data": {"task_description": "x"}}],
        ids=["outcome", "status", "messages", "data"],
    )
    def test_a_task_that_changed_is_learned_again(self, store: Store, space_id: str, change: dict[str, Any]) -> None:
        talk(store, space_id=space_id, count=3)
        observed(store, [a_task()])
        learned(store, space_id, digested=("t1",))
        observed(store, [a_task().model_copy(update=change)])
        assert _waiting(store, space_id) == ["t1"]
        claimed(store, "learn", space_id)

    def test_a_change_while_a_learner_works_is_not_lost(self, store: Store, space_id: str) -> None:
        talk(store, space_id=space_id)
        observed(store, [a_task("t1"), a_task("t2", order=2)])
        claim = claimed(store, "learn", space_id)
        observed(store, [a_task("t1", status="failed")])
        done(store.apply_skills(claim, SkillOps(space_id=space_id, digested=("t1", "t2"))))
        assert _waiting(store, space_id) == ["t1"]
        learned(store, space_id, digested=("t1",))
        assert _waiting(store, space_id) == []

    def test_tasks_wait_oldest_first_up_to_a_limit(self, store: Store, space_id: str) -> None:
        for session_id in ("s2", "s1"):
            talk(store, session_id, space_id=space_id)
            observed(store, [a_task(f"{session_id}-t", session_id=session_id)], session_id=session_id)
        assert _waiting(store, space_id) == ["s2-t", "s1-t"]
        assert [task.id for task in done(store.undigested(space_id, limit=1))] == ["s2-t"]
        learned(store, space_id, digested=("s2-t",))
        assert done(store.next_due(kinds=["learn"])) is not None


class SkillContract:
    """Skills are written as versions, with their evidence and their search texts."""

    @pytest.fixture
    def space_id(self, store: Store) -> str:
        """The id of a new space."""
        return a_space(store, "travel")

    def test_a_skill_is_learned(self, store: Store, space_id: str) -> None:
        edit = an_edit(
            body=a_body(preferences="by the window", pitfalls=("ask first",), variables={"city": "from the request"}),
            score=3.5,
            score_reasons=("3 successes",),
            reason="first seen",
        )
        assert learned(store, space_id, edit) == 1
        (skill,) = done(store.skills(space_id))
        assert done(store.skill("k1")) == skill
        assert (skill.id, skill.block_id, skill.space_id, skill.project_id) == ("k1", "k1", space_id, PROJECT)
        assert (skill.status, skill.origin, skill.version) == ("active", "rules", 1)
        assert (skill.body, skill.evidence) == (edit.body, edit.evidence)
        assert (skill.score, skill.score_reasons) == (3.5, ("3 successes",))
        (version,) = done(store.skill_versions("k1"))
        assert (version.version, version.parents, version.hash) == (1, (), edit.body.hash)
        assert (version.body, version.evidence, version.reason) == (edit.body, edit.evidence, "first seen")

    def test_an_unknown_skill_is_not_found(self, store: Store) -> None:
        for pending in each(store.skill("k"), store.skill_versions("k"), store.set_skill_status("k", "active")):
            with pytest.raises(NotFound):
                done(pending)

    def test_versions_are_only_added(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit())
        (first,) = done(store.skill_versions("k1"))
        assert learned(store, space_id, an_edit(body=a_body(steps=["search", "ask", "book"]), sessions=("s2",))) == 1
        assert learned(store, space_id, an_edit(body=a_body(steps=["search", "ask", "book"]), status="stale")) == 1
        versions = done(store.skill_versions("k1"))
        assert versions[0] == first
        assert [(v.version, v.parents, v.status) for v in versions] == [
            (1, (), "active"),
            (2, (1,), "active"),
            (3, (2,), "stale"),
        ]
        assert [[e.session_id for e in v.evidence] for v in versions] == [["s1"], ["s2"], ["s1"]]
        assert done(store.skill("k1")).version == 3

    def test_the_same_again_writes_no_version(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit(requests=["a table for two"]))
        before = done(store.skill("k1"))
        again = an_edit(sessions=("s1", "s2"), requests=["dinner tonight"], score=9.0, score_reasons=("better",))
        assert learned(store, space_id, again) == 0
        after = done(store.skill("k1"))
        assert (after.version, after.updated_at) == (1, before.updated_at)
        assert [e.session_id for e in after.evidence] == ["s1", "s2"]
        assert (after.score, after.score_reasons) == (9.0, ("better",))
        assert done(store.skill_versions("k1"))[0].evidence == before.evidence
        assert done(store.search(space_id, words("dinner")))
        assert not done(store.search(space_id, words("two")))

    def test_merged_skills_are_retired(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit("k1"), an_edit("k2"))
        assert learned(store, space_id, retired=("k2", "never-was")) == 1
        assert [(v.status, v.origin) for v in done(store.skill_versions("k2"))] == [
            ("active", "rules"),
            ("retired", "rules"),
        ]
        assert learned(store, space_id, retired=("k2",)) == 0
        assert [skill.id for skill in done(store.skills(space_id, statuses=["active"]))] == ["k1"]

    def test_skills_are_listed_oldest_first_and_found_by_id(self, store: Store, space_id: str) -> None:
        for n in (3, 1, 2):
            learned(store, space_id, an_edit(f"k{n}", status="candidate" if n == 1 else "active"))
        assert [skill.id for skill in done(store.skills(space_id))] == ["k3", "k1", "k2"]
        assert [skill.id for skill in done(store.skills(space_id, statuses=["candidate", "stale"]))] == ["k1"]
        assert done(store.skills(space_id, statuses=[])) == []
        assert [skill.id for skill in done(store.skills_by_id(["k2", "no", "k3", "k2"]))] == ["k2", "k3", "k2"]
        with pytest.raises(NotFound):
            done(store.skills("nowhere"))

    def test_a_skill_stays_in_its_space(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit())
        other = a_space(store)
        with pytest.raises(Conflict):
            learned(store, other, an_edit(body=a_body("stolen")))
        assert done(store.skill("k1")).body == a_body()

    def test_an_edit_is_applied_whole_or_not_at_all(self, store: Store, space_id: str) -> None:
        elsewhere = Episode(task_id="t", session_id="s", space_id="elsewhere", body={})
        done(store.schedule_now("learn", space_id))
        claim = claimed(store, "learn", space_id)
        ops = SkillOps(space_id=space_id, edits=(an_edit(),), episodes=(elsewhere,))
        with pytest.raises(InvalidInput):
            done(store.apply_skills(claim, ops))
        assert done(store.skills(space_id)) == []
        assert done(store.blocks(space_id)) == []
        assert done(store.frequencies(space_id, words("table"))) == (0, dict.fromkeys(words("table"), 0))
        done(store.apply_skills(claim, SkillOps(space_id=space_id, edits=(an_edit(),))))

    def test_episodes_are_kept_and_replaced_by_task(self, store: Store, space_id: str) -> None:
        talk(store, space_id=space_id)
        observed(store, [a_task("t1"), a_task("t2", order=2)])
        episodes = [Episode(task_id=id, session_id="s1", space_id=space_id, body={"n": id}) for id in ("t1", "t2")]
        learned(store, space_id, episodes=tuple(episodes), digested=("t1", "t2"))
        assert done(store.episodes(space_id)) == episodes
        replaced = episodes[0].model_copy(update={"body": {"deep": ["x\0", {"y": 1}]}})
        learned(store, space_id, episodes=(replaced,))
        assert done(store.episodes(space_id)) == [replaced, episodes[1]]

    def test_an_episode_of_a_deleted_session_is_not_kept(self, store: Store, space_id: str) -> None:
        talk(store, space_id=space_id)
        observed(store, [a_task()])
        done(store.delete_session("s1"))
        learned(store, space_id, episodes=(Episode(task_id="t1", session_id="s1", space_id=space_id, body={}),))
        assert done(store.episodes(space_id)) == []

    def test_injections_are_logged_newest_first(self, store: Store, space_id: str) -> None:
        logged = [
            Injection(
                space_id=space_id,
                session_id="s9",
                run_id=f"r{n}",
                skill_ids=("k1", "k2"),
                versions=(1, 4),
                shown=n != 1,
            )
            for n in range(3)
        ]
        for injection in [*logged, logged[0]]:
            done(store.log_injection(injection))
        assert done(store.injections(space_id)) == logged[::-1]
        assert done(store.injections(space_id, limit=2)) == logged[:0:-1]
        with pytest.raises(NotFound):
            done(store.log_injection(Injection(space_id="nowhere")))

    def test_placements_are_found_by_session_space_and_anchor(self, store: Store, space_id: str) -> None:
        other = done(store.space_by_name("another", create=True)).id
        talk(store, space_id=space_id)

        def logged(id: str, anchor: str | None, session_id: str = "s1", space_id: str = space_id) -> Injection:
            placed = (("k1", "a1b2"),) if anchor is not None else ()
            row = Injection(id=id, space_id=space_id, session_id=session_id, anchor=anchor, placed=placed)
            done(store.log_injection(row))
            return row

        head, nothing_new, turn = logged("i1", ""), logged("i2", None), logged("i3", "t2")
        logged("i4", "", session_id="s2")
        elsewhere = logged("i5", "", space_id=other)
        assert done(store.placements(space_id, "s1")) == [head, turn]
        assert done(store.placements(space_id, "s1", ["", "t1"])) == [head]
        assert done(store.placements(space_id, "s1", ["t2", ""])) == [head, turn]
        assert done(store.placements(space_id, "s1", [])) == []
        assert done(store.read_snapshot(lambda moment: moment.placements(other, "s1", [""]))) == [elsewhere]
        assert nothing_new in done(store.injections(space_id))
        done(store.delete_session("s1"))
        assert done(store.placements(space_id, "s1")) == []


class HumanContract:
    """What a person decided stays."""

    @pytest.fixture
    def space_id(self, store: Store) -> str:
        """The id of a new space."""
        return a_space(store, "travel")

    def _is_left_alone(self, store: Store, space_id: str, skill_id: str) -> None:
        skill, versions = done(store.skill(skill_id)), done(store.skill_versions(skill_id))
        edits: list[SkillEdit] = [
            an_edit(skill_id, body=a_body("changed by a machine")),
            an_edit(skill_id, status="candidate"),
            an_edit(skill_id, body=skill.body, status=skill.status, requests=["machine"], sessions=("s7",)),
        ]
        for edit in edits:
            assert learned(store, space_id, edit) == 0
        assert learned(store, space_id, retired=(skill_id,)) == 0
        assert done(store.skill(skill_id)) == skill
        assert done(store.skill_versions(skill_id)) == versions
        assert done(store.search(space_id, words("machine"))) == []

    def test_a_skill_that_a_person_wrote_is_left_alone(self, store: Store, space_id: str) -> None:
        page = done(store.create_block(Block(id="page", space_id=space_id, type="page", title="mine")))
        props = {"preferences": "quick", "tool_sops": [{"tool_name": "stove", "action": "light it"}]}
        sop = Block(id=new_id(), space_id=space_id, type="sop", title="cooking rice", parent_id=page.id, props=props)
        done(store.create_block(sop))
        skill = done(store.skill(sop.id))
        assert (skill.origin, skill.status, skill.body.use_when) == ("human", "active", "cooking rice")
        assert [hit.skill_id for hit in done(store.search(space_id, words("cooking rice")))] == [sop.id]
        self._is_left_alone(store, space_id, sop.id)

    def test_a_skill_that_a_person_changed_is_left_alone(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit(requests=["dinner for two"]))
        done(store.update_block(space_id, "k1", props={"preferences": "no fish"}))
        skill = done(store.skill("k1"))
        assert (skill.version, skill.origin) == (2, "human")
        assert skill.body == a_body(preferences="no fish")
        assert [version.origin for version in done(store.skill_versions("k1"))] == ["rules", "human"]
        assert done(store.search(space_id, words("dinner")))
        self._is_left_alone(store, space_id, "k1")

    def test_what_a_person_renames_is_found_by_its_new_name(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit())
        block = done(store.update_block(space_id, "k1", title="reserving a seat"))
        assert (block.title, block.props["use_when"]) == ("reserving a seat", "reserving a seat")
        assert done(store.search(space_id, words("seat")))
        assert not done(store.search(space_id, words("table")))

    def test_an_edit_that_changes_nothing_is_still_a_persons(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit())
        done(store.update_block(space_id, "k1", title=a_body().use_when))
        done(store.update_block(space_id, "k1", title=a_body().use_when))
        assert [version.origin for version in done(store.skill_versions("k1"))] == ["rules", "human"]
        self._is_left_alone(store, space_id, "k1")

    @pytest.mark.parametrize("status", ["retired", "active"])
    def test_a_skill_that_a_person_judged_is_left_alone(self, store: Store, space_id: str, status: SkillStatus) -> None:
        learned(store, space_id, an_edit(status="pending_confirmation"))
        skill = done(store.set_skill_status("k1", status, reason="I looked at it"))
        assert (skill.status, skill.version, skill.body) == (status, 2, a_body())
        version = done(store.skill_versions("k1"))[-1]
        assert (version.origin, version.status, version.reason) == ("human", status, "I looked at it")
        self._is_left_alone(store, space_id, "k1")

    def test_a_skill_that_a_person_deleted_stays_deleted(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit("k1"), an_edit("k2"))
        done(store.delete_block(space_id, "k1"))
        assert learned(store, space_id, an_edit("k1"), an_edit("k2", body=a_body("other"))) == 1
        assert [skill.id for skill in done(store.skills(space_id))] == ["k2"]
        page = done(store.blocks(space_id))[0]
        done(store.delete_block(space_id, page.id))
        assert learned(store, space_id, an_edit("k1"), an_edit("k2")) == 0
        assert done(store.skills(space_id)) == []


class SearchContract:
    """A search finds the skills of one space by their words, best first."""

    @pytest.fixture
    def space_id(self, store: Store) -> str:
        """The id of a new space."""
        return a_space(store, "travel")

    def test_the_fitting_texts_are_found_best_first(self, store: Store, space_id: str) -> None:
        learned(
            store,
            space_id,
            an_edit("k1", body=a_body("cancel a hotel booking"), requests=["cancel my hotel, please"]),
            an_edit("k2", body=a_body("book a hotel")),
            an_edit("k3", body=a_body("book a flight")),
        )
        hits = done(store.search(space_id, words("cancel hotel")))
        assert [(hit.skill_id, hit.kind) for hit in hits][:1] == [("k1", "request")]
        assert {hit.skill_id for hit in hits} == {"k1", "k2"}
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        assert all(score > 0 for score in scores)
        assert [hit.text for hit in done(store.search(space_id, words("cancel hotel"), limit=1))] == [
            "cancel my hotel, please"
        ]

    def test_frequencies_count_the_texts_of_a_space(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit("k1", body=a_body("hotel hotel"), requests=["hotel", "flight"]))
        learned(store, a_space(store), an_edit("k2", body=a_body("hotel")))
        assert done(store.frequencies(space_id, ["hotel", "flight", "nothing"])) == (
            3,
            {"hotel": 2, "flight": 1, "nothing": 0},
        )
        assert done(store.frequencies(space_id, [])) == (3, {})
        learned(store, space_id, an_edit("k1", body=a_body("flight"), requests=[]))
        assert done(store.frequencies(space_id, ["hotel", "flight"])) == (1, {"hotel": 0, "flight": 1})
        done(store.delete_block(space_id, "k1"))
        assert done(store.frequencies(space_id, ["hotel", "flight"])) == (0, {"hotel": 0, "flight": 0})

    def test_what_is_asked_together_is_of_one_moment(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit("k1", body=a_body("hotel"), requests=["hotel"]))

        def ask(moment: ReadSnapshot) -> tuple[list[SearchHit], int, list[str]]:
            before = moment.search(space_id, ["hotel"])
            done(store.delete_block(space_id, "k1"))
            skills = [skill.id for skill in moment.skills_by_id(["k1"], evidence=False)]
            return before, moment.frequencies(space_id, ["hotel"])[0], skills

        hits, texts, skills = done(store.read_snapshot(ask))
        assert ([hit.skill_id for hit in hits], texts, skills) == (["k1", "k1"], 2, ["k1"])
        assert done(store.read_snapshot(lambda moment: moment.skills_by_id(["k1"]))) == []

    def test_what_a_question_raises_its_result_raises(self, store: Store) -> None:
        with pytest.raises(NotFound):
            done(store.read_snapshot(lambda moment: moment.space_by_name("nowhere")))
        with pytest.raises(ZeroDivisionError):
            done(store.read_snapshot(lambda moment: 1 // 0))

    def test_only_skills_with_the_wanted_status_are_found(self, store: Store, space_id: str) -> None:
        learned(store, space_id, *(an_edit(f"c{n:03}", status="candidate") for n in range(120)))
        learned(store, space_id, an_edit("k1", body=a_body("booking a table for a very large family")))
        assert [hit.skill_id for hit in done(store.search(space_id, words("table")))] == ["k1"]
        both = done(store.search(space_id, words("table"), statuses=["active", "candidate"], limit=200))
        assert len({hit.skill_id for hit in both}) == 121
        assert done(store.search(space_id, words("table"), statuses=[])) == []
        assert len(done(store.search(space_id, words("table"), statuses=["candidate"], limit=7))) == 7

    def test_a_query_of_any_words_is_harmless(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit())
        for terms in ([], [""], ['"'], ["a" * 10_000], ["*"], ["NEAR(", "AND"], ["\0"], ["\ud800"], ["it's"], ["%"]):
            assert done(store.search(space_id, terms)) == []
            done(store.frequencies(space_id, terms))
        assert done(store.search(space_id, words("table " * 2000) + [f"w{n}" for n in range(2000)]))

    def test_words_of_any_script_are_found(self, store: Store, space_id: str) -> None:
        for n, text in enumerate(["réserver une chambre", "预订酒店房间", "забронировать номер", "ホテルを予約"]):
            learned(store, space_id, an_edit(f"k{n}", body=a_body(text)))
            assert [hit.text for hit in done(store.search(space_id, words(text)))] == [text]

    def test_the_scores_of_a_space_are_its_own(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit("k1", body=a_body("book a hotel")), an_edit("k2", body=a_body("book a car")))
        before = done(store.search(space_id, words("book hotel")))
        other = a_space(store)
        learned(store, other, *(an_edit(f"o{n}", body=a_body("hotel " * (n + 1))) for n in range(20)))
        assert done(store.search(space_id, words("book hotel"))) == before

    def test_the_space_must_exist(self, store: Store) -> None:
        for pending in each(store.search("nowhere", ["a"]), store.frequencies("nowhere", ["a"])):
            with pytest.raises(NotFound):
                done(pending)
