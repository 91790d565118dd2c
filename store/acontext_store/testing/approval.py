"""What a store promises about what waits for a person, and about work that failed."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ..errors import InvalidInput, NotFound
from ..protocols import Store
from ..tokenizer import words
from ..types import LaneKind, LearningStatus, Proposal, SkillEdit, SkillOps, Space, TaskOps, new_id
from .factories import a_body, a_space, a_task, an_edit, claimed, done, each, observed, said, talk

_KINDS: tuple[LaneKind, ...] = ("observe", "learn")


def asking(store: Store, *, confirm: bool | None = True) -> str:
    """A space that asks a person before it uses what it has learned."""
    space = Space(id=new_id(), project_id=store.project_id, configs={"confirm": confirm})
    return done(store.create_space(space)).id


def taught(store: Store, space_id: str, *edits: SkillEdit, confirm: bool = False, **ops: Any) -> int:
    """A learner decided this."""
    done(store.schedule_now("learn", space_id))
    claim = claimed(store, "learn", space_id)
    return done(store.apply_skills(claim, SkillOps(space_id=space_id, edits=edits, **ops), confirm=confirm))


def waiting(store: Store, space_id: str) -> list[Proposal]:
    return done(store.proposals(space_id))


def found(store: Store, space_id: str, text: str = "table") -> list[str]:
    return [hit.skill_id for hit in done(store.search(space_id, words(text)))]


def in_use(store: Store, space_id: str) -> dict[str, str]:
    """What each active skill says when it applies."""
    return {skill.id: skill.body.use_when for skill in done(store.skills(space_id, statuses=["active"]))}


def in_the_tree(store: Store, space_id: str) -> list[str]:
    pages = done(store.blocks(space_id, tree=True))
    return [child.id for page in pages for child in page.children or ()]


class ApprovalContract:
    """What is learned in a space that asks waits for a person, who confirms or rejects it."""

    @pytest.fixture
    def asking_id(self, store: Store) -> str:
        """The id of a space that asks a person before a skill is used."""
        return asking(store)

    def test_a_new_skill_waits_and_nobody_meets_it(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit(requests=["dinner for two"]))
        (skill,) = done(store.skills(asking_id))
        assert skill.status == "pending_confirmation"
        assert in_use(store, asking_id) == {}
        assert found(store, asking_id, "table dinner") == []
        assert in_the_tree(store, asking_id) == []
        assert done(store.blocks(asking_id, parent_id=done(store.blocks(asking_id))[0].id)) == []
        assert done(store.tool_names()) == []
        (proposal,) = waiting(store, asking_id)
        assert (proposal.skill, proposal.current) == (skill, None)

    @pytest.mark.parametrize(
        ("configs", "default", "status"),
        [
            ({"confirm": True}, False, "pending_confirmation"),
            ({"confirm": False}, True, "active"),
            ({"confirm": None}, True, "pending_confirmation"),
            ({}, True, "pending_confirmation"),
            ({}, False, "active"),
            (None, True, "pending_confirmation"),
        ],
    )
    def test_the_space_decides_or_else_the_settings(
        self, store: Store, configs: dict[str, Any] | None, default: bool, status: str
    ) -> None:
        space = done(store.create_space(Space(id=new_id(), project_id=store.project_id, configs=configs)))
        taught(store, space.id, an_edit(), confirm=default)
        assert [skill.status for skill in done(store.skills(space.id))] == [status]

    @pytest.mark.parametrize("wrong", ["yes", 1, [], "false"])
    def test_the_switch_is_true_or_false(self, store: Store, asking_id: str, wrong: object) -> None:
        with pytest.raises(InvalidInput, match="confirm"):
            done(store.update_space(asking_id, configs={"confirm": wrong}))
        space = Space(id=new_id(), project_id=store.project_id, configs={"confirm": wrong})
        with pytest.raises(InvalidInput, match="confirm"):
            done(store.create_space(space))
        assert done(store.space(asking_id)).configs == {"confirm": True}

    @pytest.mark.parametrize("by_skill", [True, False])
    def test_what_is_confirmed_is_used(self, store: Store, asking_id: str, by_skill: bool) -> None:
        taught(store, asking_id, an_edit(requests=["dinner for two"]))
        (proposal,) = waiting(store, asking_id)
        skill = done(store.confirm(asking_id, "k1" if by_skill else proposal.id))
        assert (skill.status, skill.version, skill.origin, skill.body) == ("active", 2, "rules", a_body())
        assert skill.evidence == proposal.skill.evidence
        assert waiting(store, asking_id) == []
        assert found(store, asking_id, "dinner") == found(store, asking_id) == ["k1"]
        assert in_the_tree(store, asking_id) == ["k1"]
        assert "confirmed by a person" in done(store.skill_versions("k1"))[-1].reason

    def test_what_is_confirmed_is_confirmed_once(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit())
        done(store.confirm(asking_id, "k1"))
        for pending in each(
            store.confirm(asking_id, "k1"), store.reject(asking_id, "k1"), store.confirm(asking_id, new_id())
        ):
            with pytest.raises(NotFound):
                done(pending)
        assert done(store.skill("k1")).version == 2

    def test_what_is_changed_first_is_the_persons_from_then_on(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit())
        changed = {"use_when": "reserving a seat", "preferences": "by the window"}
        skill = done(store.confirm(asking_id, "k1", data=changed))
        assert skill.body == a_body("reserving a seat", preferences="by the window")
        assert (skill.status, skill.origin) == ("active", "human")
        assert done(store.block(asking_id, "k1")).title == "reserving a seat"
        assert found(store, asking_id, "seat") == ["k1"]
        assert found(store, asking_id) == []
        assert taught(store, asking_id, an_edit(body=a_body("changed by a machine"))) == 0
        assert waiting(store, asking_id) == []

    def test_a_change_that_cannot_be_taken_leaves_it_waiting(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit())
        before = waiting(store, asking_id)
        for data in ({"tool_sops": "all"}, {"use_when": 7}, {"tool_sops": [{"action": "x"}]}):
            with pytest.raises(InvalidInput):
                done(store.confirm(asking_id, "k1", data=data))
        assert waiting(store, asking_id) == before

    def test_a_change_that_changes_nothing_is_none(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit())
        same = {"use_when": a_body().use_when, "tool_sops": [s.model_dump() for s in a_body().tool_sops]}
        assert done(store.confirm(asking_id, "k1", data=same)).origin == "rules"

    def test_what_is_rejected_does_not_come_back(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit())
        skill = done(store.reject(asking_id, "k1"))
        assert skill.status == "retired"
        assert waiting(store, asking_id) == []
        assert in_the_tree(store, asking_id) == []
        again = [
            an_edit(),
            an_edit(body=a_body("another way to say it")),
            an_edit("other-id"),
            an_edit("other-id", body=a_body("booking a table for a family", preferences="near the door")),
            an_edit("other-id", status="candidate"),
        ]
        for edit in again:
            assert taught(store, asking_id, edit) == 0
        done(store.update_space(asking_id, configs={"confirm": False}))
        for edit in again:
            assert taught(store, asking_id, edit) == 0
        assert [skill.id for skill in done(store.skills(asking_id))] == ["k1"]
        another = an_edit("k2", body=a_body("cancelling an order", steps=("cancel",)))
        assert taught(store, asking_id, another) == 1

    def test_a_new_version_waits_beside_the_one_in_use(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit(requests=["dinner for two"]))
        done(store.confirm(asking_id, "k1"))
        newer = an_edit(body=a_body("reserving a seat"), requests=["a chair"], sessions=("s1", "s2"), score=7.0)
        assert taught(store, asking_id, newer) == 0
        assert in_use(store, asking_id) == {"k1": "booking a table"}
        assert found(store, asking_id, "dinner") == ["k1"]
        assert found(store, asking_id, "seat chair") == []
        assert done(store.block(asking_id, "k1")).title == "booking a table"
        (proposal,) = waiting(store, asking_id)
        assert proposal.current == done(store.skill("k1"))
        assert (proposal.skill.body, proposal.skill.score) == (newer.body, 7.0)
        assert [one.session_id for one in proposal.skill.evidence] == ["s1", "s2"]
        assert [skill.body for skill in done(store.proposed_skills(asking_id))] == [newer.body]
        skill = done(store.confirm(asking_id, proposal.id))
        assert (skill.version, skill.body, skill.score) == (3, newer.body, 7.0)
        assert [one.session_id for one in skill.evidence] == ["s1", "s2"]
        assert found(store, asking_id, "chair") == found(store, asking_id, "seat") == ["k1"]
        assert found(store, asking_id, "dinner") == []
        assert done(store.block(asking_id, "k1")).title == "reserving a seat"
        assert waiting(store, asking_id) == []

    def test_a_rejected_version_does_not_come_back_and_others_do(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit())
        done(store.confirm(asking_id, "k1"))
        taught(store, asking_id, an_edit(body=a_body("reserving a seat")))
        (proposal,) = waiting(store, asking_id)
        assert done(store.reject(asking_id, proposal.id)).body == a_body()
        support = a_body("reserving a seat")
        support = support.model_copy(
            update={"tool_sops": tuple(step.model_copy(update={"support": 0.5}) for step in support.tool_sops)}
        )
        for body in (a_body("reserving a seat"), support):
            taught(store, asking_id, an_edit(body=body, sessions=("s1", "s3")))
            assert waiting(store, asking_id) == []
        done(store.update_space(asking_id, configs={}))
        assert taught(store, asking_id, an_edit(body=support)) == 0
        assert in_use(store, asking_id) == {"k1": "booking a table"}
        taught(store, asking_id, an_edit(body=a_body("reserving a sofa")), confirm=True)
        assert [one.skill.body.use_when for one in waiting(store, asking_id)] == ["reserving a sofa"]

    def test_only_the_newest_version_waits_and_an_old_id_does_not_confirm_it(
        self, store: Store, asking_id: str
    ) -> None:
        taught(store, asking_id, an_edit())
        old_new = waiting(store, asking_id)[0].id
        taught(store, asking_id, an_edit(status="pending_confirmation", body=a_body("a better start")))
        with pytest.raises(NotFound):
            done(store.confirm(asking_id, old_new))
        done(store.confirm(asking_id, waiting(store, asking_id)[0].id))
        taught(store, asking_id, an_edit(body=a_body("first")))
        first = waiting(store, asking_id)[0]
        taught(store, asking_id, an_edit(body=a_body("second")))
        (second,) = waiting(store, asking_id)
        assert second.skill.body.use_when == "second"
        assert second.created_at == first.created_at
        for pending in each(store.confirm(asking_id, first.id), store.reject(asking_id, first.id)):
            with pytest.raises(NotFound):
                done(pending)
        assert in_use(store, asking_id) == {"k1": "a better start"}

    def test_support_alone_needs_nobody(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit())
        done(store.confirm(asking_id, "k1"))
        body = a_body()
        steps = tuple(step.model_copy(update={"support": 0.9}) for step in body.tool_sops)
        assert taught(store, asking_id, an_edit(body=body.model_copy(update={"tool_sops": steps}))) == 1
        assert waiting(store, asking_id) == []
        assert done(store.skill("k1")).body.tool_sops == steps

    def test_a_learner_that_returns_to_what_is_used_withdraws(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit())
        done(store.confirm(asking_id, "k1"))
        taught(store, asking_id, an_edit(body=a_body("reserving a seat")))
        taught(store, asking_id, an_edit(sessions=("s1", "s2")))
        assert waiting(store, asking_id) == []
        assert [one.session_id for one in done(store.skill("k1")).evidence] == ["s1", "s2"]

    def test_a_candidate_waits_when_it_is_good_enough(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit(status="candidate"))
        assert waiting(store, asking_id) == []
        taught(store, asking_id, an_edit())
        assert [one.skill.id for one in waiting(store, asking_id)] == ["k1"]
        assert in_use(store, asking_id) == {}

    def test_what_waits_goes_on_waiting_when_the_switch_is_turned_off(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit("k1"), an_edit("k2", body=a_body("cooking rice", steps=("cook",))))
        done(store.confirm(asking_id, "k2"))
        done(store.update_space(asking_id, configs={"confirm": False}))
        taught(store, asking_id, an_edit("k1"))
        assert [one.skill.id for one in waiting(store, asking_id)] == ["k1"]
        taught(store, asking_id, an_edit("k2", body=a_body("cooking pasta", steps=("cook",))))
        assert in_use(store, asking_id) == {"k2": "cooking pasta"}

    def test_a_skill_stays_until_the_one_that_takes_its_place_is_confirmed(self, store: Store, asking_id: str) -> None:
        one = an_edit("k1", sessions=("s1",))
        other = an_edit("k2", body=a_body("cooking rice", steps=("cook",)), sessions=("s2",))
        taught(store, asking_id, one, other)
        done(store.confirm(asking_id, "k1"))
        done(store.confirm(asking_id, "k2"))
        merged = an_edit("k1", body=a_body("both"), sessions=("s1", "s2"))
        assert taught(store, asking_id, merged, retired=("k2",)) == 0
        (proposal,) = waiting(store, asking_id)
        assert proposal.supersedes == ("k2",)
        assert in_use(store, asking_id) == {"k1": "booking a table", "k2": "cooking rice"}
        done(store.confirm(asking_id, proposal.id))
        assert in_use(store, asking_id) == {"k1": "both"}
        assert done(store.skill("k2")).status == "retired"

    def test_a_skill_whose_successor_is_rejected_stays(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit("k1"), an_edit("k2", body=a_body("rice", steps=("cook",)), sessions=("s2",)))
        done(store.confirm(asking_id, "k1"))
        done(store.confirm(asking_id, "k2"))
        taught(store, asking_id, an_edit("k1", body=a_body("both"), sessions=("s1", "s2")), retired=("k2",))
        done(store.reject(asking_id, "k1"))
        taught(store, asking_id, retired=("k2",))
        assert set(in_use(store, asking_id)) == {"k1", "k2"}
        done(store.update_space(asking_id, configs={"confirm": False}))
        assert taught(store, asking_id, retired=("k2",)) == 1

    def test_what_a_person_changes_by_hand_settles_what_waits_there(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit())
        done(store.confirm(asking_id, "k1"))
        taught(store, asking_id, an_edit(body=a_body("reserving a seat")))
        done(store.update_block(asking_id, "k1", title="mine"))
        assert waiting(store, asking_id) == []
        assert in_use(store, asking_id) == {"k1": "mine"}

    def test_what_waits_goes_with_its_skill_and_its_space(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit())
        done(store.confirm(asking_id, "k1"))
        taught(store, asking_id, an_edit(body=a_body("reserving a seat")))
        done(store.delete_block(asking_id, "k1"))
        assert waiting(store, asking_id) == []
        done(store.delete_space(asking_id))
        with pytest.raises(NotFound):
            waiting(store, asking_id)

    def test_what_waits_is_listed_oldest_first_and_only_of_its_space(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit("k1"))
        done(store.confirm(asking_id, "k1"))
        taught(store, asking_id, an_edit("k2", body=a_body("cooking rice", steps=("cook",))))
        taught(store, asking_id, an_edit("k1", body=a_body("reserving a seat")))
        taught(store, asking(store), an_edit("k3"))
        assert [one.skill.id for one in waiting(store, asking_id)] == ["k2", "k1"]
        with pytest.raises(NotFound):
            done(store.confirm(asking_id, "k3"))

    def test_tools_are_renamed_in_what_waits_and_in_what_was_rejected(self, store: Store, asking_id: str) -> None:
        taught(store, asking_id, an_edit())
        done(store.confirm(asking_id, "k1"))
        taught(store, asking_id, an_edit(body=a_body("no")))
        done(store.reject(asking_id, "k1"))
        taught(store, asking_id, an_edit(body=a_body("yes"), requests=["book it"]))
        done(store.rename_tools({"book": "reserve"}, episode=dict, text=lambda text: text.replace("book", "reserve")))
        (proposal,) = waiting(store, asking_id)
        assert [step.tool_name for step in proposal.skill.body.tool_sops] == ["search", "reserve"]
        steps = tuple(
            step.model_copy(update={"tool_name": "reserve"}) if step.tool_name == "book" else step
            for step in a_body().tool_sops
        )
        rejected = a_body("no").model_copy(update={"tool_sops": steps})
        taught(store, asking_id, an_edit(body=rejected))
        assert [one.skill.body.use_when for one in waiting(store, asking_id)] == ["yes"]
        done(store.confirm(asking_id, "k1"))
        assert found(store, asking_id, "reserve") == ["k1"]

    def test_evidence_of_a_deleted_session_goes_from_what_waits(self, store: Store, asking_id: str) -> None:
        for session_id in ("s1", "s2"):
            talk(store, session_id, space_id=asking_id)
        taught(store, asking_id, an_edit())
        done(store.confirm(asking_id, "k1"))
        taught(store, asking_id, an_edit(body=a_body("seat"), sessions=("s1", "s2")))
        done(store.delete_session("s2"))
        assert [one.session_id for one in waiting(store, asking_id)[0].skill.evidence] == ["s1"]


class ProgressContract:
    """How far a session has been learned from is told as it is."""

    @pytest.fixture
    def asking_id(self, store: Store) -> str:
        """The id of a space that asks a person before a skill is used."""
        return asking(store)

    @staticmethod
    def _status(store: Store, **counts: int) -> None:
        expected = {"digested": 0, "left": 0, "waiting": 0, "failed": 0, **counts}
        found = done(store.learning_status("s1"))
        assert (
            found.space_digested_count,
            found.not_space_digested_count,
            found.waiting_count,
            found.failed_count,
        ) == tuple(expected.values()), found

    def test_what_waits_for_a_person_is_not_learned(self, store: Store, asking_id: str) -> None:
        talk(store, space_id=asking_id)
        observed(store, [a_task("s1-t")])
        self._status(store, left=1)
        taught(store, asking_id, an_edit(), digested=("s1-t",))
        self._status(store, waiting=1)
        done(store.confirm(asking_id, "k1"))
        self._status(store, digested=1)

    @pytest.mark.parametrize("save", [True, False])
    def test_a_decision_ends_the_waiting_of_a_new_version(self, store: Store, asking_id: str, save: bool) -> None:
        talk(store, space_id=asking_id)
        observed(store, [a_task("s1-t"), a_task("s1-u", order=2)])
        taught(store, asking_id, an_edit(), digested=("s1-t",))
        done(store.confirm(asking_id, "k1"))
        newer = an_edit(body=a_body("seat"))
        second = newer.evidence[0].model_copy(update={"task_id": "s1-u"})
        newer = newer.model_copy(update={"evidence": (*newer.evidence, second)})
        taught(store, asking_id, newer, digested=("s1-u",))
        self._status(store, digested=1, waiting=1)
        done(store.confirm(asking_id, "k1") if save else store.reject(asking_id, "k1"))
        self._status(store, digested=2)

    def test_what_a_person_rejected_waits_no_more(self, store: Store, asking_id: str) -> None:
        talk(store, space_id=asking_id)
        observed(store, [a_task("s1-t")])
        taught(store, asking_id, an_edit(), digested=("s1-t",))
        done(store.reject(asking_id, "k1"))
        self._status(store, digested=1)

    def test_learning_that_fails_says_so(self, store: Store, asking_id: str) -> None:
        talk(store, space_id=asking_id)
        observed(store, [a_task("s1-t")])
        assert done(store.learning_status("s1")).errmsg == ""
        done(store.release(claimed(store, "learn", asking_id), error="trace\nthe model is odd", retry_in=0))
        assert "the model is odd" in done(store.learning_status("s1")).errmsg
        self._status(store, left=1)
        done(store.release(claimed(store, "learn", asking_id), error="the model is odd", dead=True))
        self._status(store, left=1, failed=1)
        done(store.retry())
        self._status(store, left=1)
        assert done(store.learning_status("s1")).errmsg == ""

    def test_observing_that_fails_says_so(self, store: Store) -> None:
        talk(store)
        done(store.release(claimed(store, "observe", "s1"), error="no answer", dead=True))
        status = done(store.observing_status("s1"))
        assert (status.pending, status.failed) == (2, 2)
        assert "no answer" in done(store.learning_status("s1")).errmsg
        assert done(store.learning_status("s1")) == LearningStatus(
            space_digested_count=0, not_space_digested_count=0, errmsg=done(store.learning_status("s1")).errmsg
        )


class OutageContract:
    """An outage of a model counts apart from failed attempts, and its work can be retried."""

    def test_an_outage_is_not_an_attempt(self, store: Store) -> None:
        talk(store)
        for n in range(3):
            claim = claimed(store, "observe", "s1")
            assert (claim.attempts, claim.outages) == (0, n)
            done(store.release(claim, error="nobody answers", retry_in=0, outage=True))
        (lane,) = done(store.lanes())
        assert (lane.attempts, lane.outages, lane.reason, lane.failing) == (0, 3, "nobody answers", True)
        assert lane.failing_since is not None
        assert lane.failing_since <= time.time()
        claim = claimed(store, "observe", "s1")
        assert claim.failing_since == lane.failing_since
        done(store.apply_tasks(claim, TaskOps(session_id="s1", observed_seq=2)))
        done(store.append("s1", [said("more")]))
        (lane,) = done(store.lanes())
        assert (lane.outages, lane.failing_since, lane.failing) == (0, None, False)

    def test_retrying_makes_all_that_failed_due_as_if_for_the_first_time(self, store: Store) -> None:
        space_id = a_space(store)
        for n in (1, 2, 3, 4):
            talk(store, f"s{n}", space_id=space_id if n < 3 else None)
        for claim in done(store.claim("w1", kinds=_KINDS, lease=60, limit=10)):
            if claim.key == "s1":
                done(store.release(claim, error="poison", dead=True))
            elif claim.key == "s2":
                done(store.release(claim, error="away", retry_in=1000, outage=True))
            elif claim.key == "s3":
                done(store.release(claim, error="odd", retry_in=1000))
            else:
                done(store.release(claim, retry_in=1000))
        assert done(store.claim("w1", kinds=_KINDS, lease=60, limit=10)) == []
        assert done(store.retry()) == 3
        claims = done(store.claim("w1", kinds=_KINDS, lease=60, limit=10))
        assert sorted(claim.key for claim in claims) == ["s1", "s2", "s3"]
        assert all((claim.attempts, claim.outages, claim.failing_since) == (0, 0, None) for claim in claims)
        assert [m.session_task_process_status for m in done(store.messages("s1")).items] == ["pending"] * 2
        assert done(store.retry()) == 0

    def test_retrying_goes_by_space_or_by_session(self, store: Store) -> None:
        here, there = a_space(store), a_space(store)
        for n, space_id in ((1, here), (2, here), (3, there)):
            talk(store, f"s{n}", space_id=space_id)
        for space_id in (here, there):
            done(store.schedule_now("learn", space_id))
        for claim in done(store.claim("w1", kinds=_KINDS, lease=60, limit=10)):
            done(store.release(claim, error="poison", dead=True))
        dead = done(store.lanes(dead=True, space_id=here))
        assert sorted((lane.kind, lane.key) for lane in dead) == [("learn", here), ("observe", "s1"), ("observe", "s2")]
        assert {lane.space_id for lane in dead} == {here}
        assert [lane.key for lane in done(store.lanes(dead=True, session_id="s2"))] == ["s2"]
        assert len(done(store.lanes(dead=True, limit=2))) == 2
        assert done(store.retry(session_id="s2")) == 1
        assert done(store.retry(space_id=here)) == 2
        assert len(done(store.lanes(dead=True))) == 2
        for pending in each(store.retry(space_id="nowhere"), store.retry(session_id="nobody")):
            with pytest.raises(NotFound):
                done(pending)

    def test_what_failed_for_good_does_not_keep_a_space_from_learning_something_else(self, store: Store) -> None:
        space_id = a_space(store)
        talk(store, space_id=space_id, count=4)
        observed(store, [a_task("t1")], observed_seq=2)
        done(store.release(claimed(store, "learn", space_id), error="poison", dead=True))
        observed(store, [a_task("t1")], observed_seq=2)
        assert [lane.key for lane in done(store.lanes(dead=True))] == [space_id]
        observed(store, [a_task("t1"), a_task("t2", order=2, first_seq=3, last_seq=4)], observed_seq=4)
        claim = claimed(store, "learn", space_id)
        assert claim.attempts == 1  # the next failure is another one, not the first
        assert [task.id for task in done(store.undigested(space_id))] == ["t1", "t2"]

    def test_what_somebody_works_on_is_not_retried(self, store: Store) -> None:
        talk(store)
        done(store.release(claimed(store, "observe", "s1"), error="once", retry_in=0))
        claim = claimed(store, "observe", "s1")
        assert done(store.retry()) == 0
        done(store.apply_tasks(claim, TaskOps(session_id="s1", observed_seq=2)))
