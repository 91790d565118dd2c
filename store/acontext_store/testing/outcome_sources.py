"""Sources of outcomes: what each may claim, and what a revoked one takes with it."""

from __future__ import annotations

from typing import Any

import pytest

from ..errors import InvalidInput, LeaseLost, NotFound
from ..outcome_sources import Revocation
from ..protocols import Store
from ..types import Episode, Outcome, TaskOps, TaskStatus
from .factories import a_session, a_space, a_task, an_edit, an_outcome, claimed, done, learned, observed, talk


def weights(store: Store, session_id: str = "s1") -> list[float]:
    return [outcome.weight for outcome in done(store.outcomes(session_id))]


def judged(store: Store, session_id: str, outcome: Outcome | None, status: TaskStatus = "success") -> None:
    """An observer found one task in the session, with this outcome."""
    observed(store, [a_task(f"{session_id}-t", session_id=session_id, status=status, outcome=outcome)],
             session_id=session_id)  # fmt: skip


def taught_by(store: Store, space_id: str, names: dict[str, str], **edit: Any) -> None:
    """Each of these sessions has an outcome of that name, and all of them taught the skill "k1"."""
    for session_id, name in names.items():
        talk(store, session_id, space_id=space_id)
        done(store.append(session_id, [], [an_outcome(id=f"of-{session_id}", by=name)]))
        judged(store, session_id, done(store.outcomes(session_id))[0])
    learns(store, space_id, *names, **edit)


def learns(store: Store, space_id: str, *session_ids: str, gone: tuple[str, ...] = (), **edit: Any) -> None:
    """A learner looked at these sessions' tasks, and the skill "k1" is what they say."""
    episodes = tuple(Episode(task_id=f"{id}-t", session_id=id, space_id=space_id, body={}) for id in session_ids)
    digested = tuple(one.task_id for one in episodes)
    edits = (an_edit(sessions=session_ids, **edit),) if session_ids else ()
    retired = () if session_ids else ("k1",)
    learned(store, space_id, *edits, episodes=episodes, digested=digested, gone=gone, retired=retired)


def revoked(store: Store, name: str = "ci") -> Revocation:
    while done(store.revoke_source(name, limit=1)):
        pass
    return done(store.revocation(name))


def fates(found: Revocation) -> dict[str, str]:
    return {skill.skill_id: skill.fate for skill in found.skills}


class OutcomeSourceContract:
    """An outcome weighs no more than its source may claim; what a revoked source stood behind is done anew."""

    def test_an_outcome_keeps_the_name_of_its_source(self, store: Store) -> None:
        done(store.append("s1", [], [an_outcome(by="unit-tests"), an_outcome()], ensure=a_session()))
        assert [(one.by, one.strength) for one in done(store.outcomes("s1"))] == [("unit-tests", None), ("", None)]
        assert weights(store) == [1.0, 1.0]

    def test_a_registered_source_claims_no_more_than_its_strength(self, store: Store) -> None:
        done(store.register_source("ci", strength=0.6))
        claims = [
            an_outcome(by="ci"),
            an_outcome(by="ci", strength=1.0),  # what a caller says of its own strength is nothing
            Outcome(status="success", source="framework", by="ci"),
            an_outcome(by="other", strength=0.1),
        ]
        done(store.append("s1", [], claims, ensure=a_session()))
        assert weights(store) == [0.6, 0.6, 0.5, 1.0]

    def test_another_strength_counts_from_then_on(self, store: Store) -> None:
        done(store.create_session(a_session()))
        done(store.register_source("ci", strength=0.9, note="every night"))
        done(store.append("s1", [], [an_outcome(by="ci")]))
        assert done(store.register_source("ci", strength=0.2)).note == "every night"
        done(store.append("s1", [], [an_outcome(by="ci")]))
        assert weights(store) == [0.9, 0.2]

    def test_sources_are_listed_by_name(self, store: Store) -> None:
        done(store.append("s1", [], [an_outcome(by="lint"), an_outcome(by="lint"), an_outcome()], ensure=a_session()))
        made = done(store.register_source("ci", strength=0.6, note="every night"))
        assert (made.name, made.strength, made.note, made.outcomes, made.revoked_at) == (
            "ci",
            0.6,
            "every night",
            0,
            None,
        )
        found = done(store.named_sources())
        assert found[0] == made
        assert [(one.name, one.strength, one.outcomes) for one in found] == [("ci", 0.6, 0), ("lint", None, 2)]

    @pytest.mark.parametrize("name", ["", " ", " ci", "ci\n", "a\nb", "a\0b", "x" * 65])
    def test_a_name_that_cannot_be_one_is_refused(self, store: Store, name: str) -> None:
        done(store.create_session(a_session()))
        for wrong in (
            lambda: done(store.register_source(name, strength=1)),
            lambda: done(store.revoke_source(name)),
            lambda: done(store.revocation(name)),
        ):
            with pytest.raises(InvalidInput, match="source of outcomes"):
                wrong()
        if name:
            outcome = an_outcome().model_copy(update={"by": name})
            with pytest.raises(InvalidInput, match="source of outcomes"):
                done(store.append("s1", [], [outcome]))
        assert done(store.outcomes("s1")) == []

    @pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), "much"])
    def test_a_strength_is_between_nothing_and_all(self, store: Store, strength: Any) -> None:
        with pytest.raises(InvalidInput, match="strength"):
            done(store.register_source("ci", strength=strength))

    def test_only_what_is_known_can_be_revoked(self, store: Store) -> None:
        with pytest.raises(NotFound):
            done(store.revoke_source("nobody"))
        done(store.register_source("ci", strength=1))
        with pytest.raises(NotFound):
            done(store.revocation("ci"))
        assert done(store.revoke_source("ci")) == 0

    def test_a_revoked_source_says_nothing_any_more(self, store: Store) -> None:
        done(store.append("s1", [], [an_outcome(by="ci"), an_outcome(by="lint")], ensure=a_session()))
        assert revoked(store).source.revoked_at is not None
        done(store.append("s1", [], [an_outcome(by="ci")]))
        assert weights(store) == [0.0, 1.0, 0.0]
        done(store.register_source("ci", strength=0.8))
        done(store.append("s1", [], [an_outcome(by="ci")]))
        assert weights(store) == [0.0, 1.0, 0.0, 0.8]
        assert next(one for one in done(store.named_sources()) if one.name == "ci").revoked_at is None

    def test_its_sessions_are_as_if_nobody_had_observed_them(self, store: Store) -> None:
        space_id = a_space(store)
        taught_by(store, space_id, {"s1": "ci", "s2": "lint"})
        assert done(store.lanes(dead=False)) == []
        revoked(store)
        assert done(store.tasks("s1")).items == []
        assert len(done(store.tasks("s2")).items) == 1
        assert [one.task_id for one in done(store.episodes(space_id))] == ["s2-t"]
        assert {(one.task_id, one.session_task_process_status) for one in done(store.messages("s1")).items} == {
            (None, "pending")
        }
        assert done(store.resume_seq("s1")) == 1
        due = {(lane.kind, lane.key) for lane in done(store.lanes(dead=False))}
        assert due == {("observe", "s1"), ("learn", space_id)}

    def test_what_rested_on_it_is_told_as_it_is_done_anew(self, store: Store) -> None:
        space_id = a_space(store)
        taught_by(store, space_id, {"s1": "ci"})
        found = revoked(store)
        assert [(one.task_id, one.before, one.after) for one in found.tasks] == [("s1-t", "success", None)]
        assert (found.waiting_sessions, found.waiting_spaces, fates(found)) == (("s1",), (space_id,), {"k1": "waiting"})
        judged(store, "s1", done(store.outcomes("s1"))[0], "pending")
        found = done(store.revocation("ci"))
        assert [(one.before, one.after, one.description, one.now_by) for one in found.tasks] == [
            ("success", "pending", "book a table", "")
        ]
        assert (found.waiting_sessions, found.settled) == ((), False)
        learns(store, space_id, gone=("s1-t",))
        found = done(store.revocation("ci"))
        (skill,) = found.skills
        assert (skill.fate, skill.before, skill.after, skill.support) == ("retired", "active", "retired", 0)
        assert found.settled

    def test_what_a_session_taught_stands_until_it_is_observed_anew(self, store: Store) -> None:
        taught_by(store, a_space(store), {"s1": "ci"})
        revoked(store)
        assert done(store.read_snapshot(lambda moment: moment.learned_from(["s1-t"]))) == {"s1-t"}
        judged(store, "s1", None, "pending")
        assert done(store.read_snapshot(lambda moment: moment.learned_from(["s1-t"]))) == set()

    def test_what_others_taught_too_is_kept(self, store: Store) -> None:
        space_id = a_space(store)
        taught_by(store, space_id, {"s1": "ci", "s2": "lint"})
        revoked(store)
        judged(store, "s1", None, "pending")
        learns(store, space_id, "s2", gone=("s1-t",))
        (skill,) = done(store.revocation("ci")).skills
        assert (skill.fate, skill.before, skill.after, skill.support) == ("kept", "active", "active", 1)

    def test_a_task_that_somebody_else_judges_the_same_is_told(self, store: Store) -> None:
        space_id = a_space(store)
        taught_by(store, space_id, {"s1": "ci"})
        revoked(store)
        judged(store, "s1", Outcome(status="success", source="framework", by="agno"))
        found = done(store.revocation("ci"))
        assert [(one.before, one.after, one.now_by) for one in found.tasks] == [("success", "success", "agno")]
        assert (found.waiting_spaces, fates(found)) == ((space_id,), {"k1": "waiting"})
        learns(store, space_id, "s1", gone=("s1-t",))
        assert fates(done(store.revocation("ci"))) == {"k1": "kept"}

    def test_a_task_that_is_judged_as_before_is_not(self, store: Store) -> None:
        space_id = a_space(store)
        taught_by(store, space_id, {"s1": "lint"})
        done(store.append("s1", [], [an_outcome("failed", by="ci")]))
        revoked(store)
        judged(store, "s1", done(store.outcomes("s1"))[0])
        found = done(store.revocation("ci"))
        assert (found.tasks, found.skills, found.waiting_spaces) == ((), (), (space_id,))
        learns(store, space_id, "s1")
        found = done(store.revocation("ci"))
        assert (found.tasks, found.skills, found.settled) == ((), (), True)

    def test_a_persons_skill_stays_as_it_is(self, store: Store) -> None:
        space_id = a_space(store)
        taught_by(store, space_id, {"s1": "ci"})
        done(store.update_block(space_id, "k1", title="booking"))
        revoked(store)
        judged(store, "s1", None, "pending")
        learns(store, space_id, gone=("s1-t",))
        found = done(store.revocation("ci"))
        assert fates(found) == {"k1": "a person's"}
        assert done(store.skill("k1")).status == "active"

    def test_a_second_time_changes_nothing(self, store: Store) -> None:
        space_id = a_space(store)
        taught_by(store, space_id, {"s1": "ci"})
        revoked(store)
        judged(store, "s1", None, "pending")
        learns(store, space_id, gone=("s1-t",))
        before = done(store.revocation("ci")), done(store.skill_versions("k1")), done(store.lanes(dead=False))
        assert done(store.revoke_source("ci")) == 0
        assert (done(store.revocation("ci")), done(store.skill_versions("k1")), done(store.lanes(dead=False))) == before

    def test_half_of_it_is_gone_on_with(self, store: Store) -> None:
        space_id = a_space(store)
        taught_by(store, space_id, {"s1": "ci", "s2": "ci", "s3": "ci"})
        assert done(store.revoke_source("ci", limit=2)) == 2
        done(store.append("s3", [], [an_outcome(by="ci")]))
        assert weights(store, "s3") == [1.0, 0.0]
        assert done(store.revocation("ci")).waiting_sessions == ("s1", "s2", "s3")
        found = revoked(store)
        assert [one.session_id for one in found.tasks] == ["s1", "s2", "s3"]
        assert found.waiting_sessions == ("s1", "s2", "s3")

    def test_who_observes_such_a_session_is_too_late(self, store: Store) -> None:
        taught_by(store, a_space(store), {"s1": "ci"})
        done(store.schedule_now("observe", "s1"))
        claim = claimed(store, "observe", "s1")
        revoked(store)
        with pytest.raises(LeaseLost):
            done(store.apply_tasks(claim, TaskOps(session_id="s1", tasks=(a_task("s1-t"),), observed_seq=2)))

    def test_nothing_is_observed_where_tasks_are_not_tracked(self, store: Store) -> None:
        done(store.append("s1", [], [an_outcome(by="ci")], ensure=a_session(disable_task_tracking=True)))
        found = revoked(store)
        assert (weights(store), found.settled, done(store.lanes(dead=False))) == ([0.0], True, [])

    def test_nothing_is_told_of_a_session_that_was_deleted(self, store: Store) -> None:
        space_id = a_space(store)
        taught_by(store, space_id, {"s1": "ci"})
        revoked(store)
        done(store.delete_session("s1"))
        found = done(store.revocation("ci"))
        assert (found.tasks, found.skills, found.settled) == ((), (), True)
        assert done(store.skill("k1")).status == "active"

    def test_a_source_that_is_registered_anew_and_revoked_again_is_told_of_anew(self, store: Store) -> None:
        space_id = a_space(store)
        taught_by(store, space_id, {"s1": "ci"})
        revoked(store)
        judged(store, "s1", None, "pending")
        done(store.register_source("ci", strength=1))
        taught_by(store, space_id, {"s2": "ci"})
        assert [one.session_id for one in revoked(store).tasks] == ["s2"]

    def test_a_conversation_that_is_imported_again_is_labelled_as_its_source_counts_now(self, store: Store) -> None:
        space_id = a_space(store)
        label = Outcome(id="label", status="success", source="import", by="ci", run_id="case")
        for by, replaced in (("", ("",)), ("ci", ("outcome",)), ("ci", ())):
            said = label.model_copy(update={"by": by})
            taken = done(store.replace(a_session(space_id=space_id), [], [said]))
            assert by == "" or taken.replaced in (replaced, ())
        revoked(store)
        done(store.replace(a_session(space_id=space_id), [], [label]))
        assert weights(store) == [0.0]
        done(store.register_source("ci", strength=0.9))
        done(store.replace(a_session(space_id=space_id), [], [label]))
        assert weights(store) == [0.9]
