"""What a store promises about due work: when it is due, who may do it, and that nobody does it twice."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ..errors import InvalidInput, LeaseLost, NotFound
from ..protocols import Store
from ..types import Claim, Lane, LaneKind, SkillOps, TaskOps
from .factories import a_session, a_space, a_task, an_outcome, claimed, done, each, observed, said, talk, until

_BOTH: tuple[LaneKind, ...] = ("observe", "learn")


def _lane(store: Store, kind: LaneKind = "observe", key: str = "s1") -> Lane | None:
    return next((lane for lane in done(store.lanes()) if (lane.kind, lane.key) == (kind, key)), None)


def _due_in(store: Store) -> float:
    lane = _lane(store)
    assert lane is not None
    return lane.due_at - time.time()


class DueContract:
    """An append makes the work of its session due, at the time that its options say."""

    def test_an_append_makes_its_session_due(self, store: Store) -> None:
        assert done(store.next_due(kinds=_BOTH)) is None
        talk(store)
        due = done(store.next_due(kinds=["observe"]))
        assert due is not None
        assert due <= time.time()
        assert done(store.next_due(kinds=["learn"])) is None

    def test_an_outcome_makes_its_session_due(self, store: Store) -> None:
        done(store.append("s1", [], [an_outcome()], ensure=a_session()))
        claimed(store, "observe", "s1")

    def test_nothing_new_makes_nothing_due(self, store: Store) -> None:
        done(store.append("s1", ensure=a_session()))
        assert done(store.lanes()) == []
        turn, outcome = said("hello"), an_outcome()
        done(store.append("s1", [turn], [outcome]))
        done(store.apply_tasks(claimed(store, "observe", "s1"), TaskOps(session_id="s1", observed_seq=1)))
        done(store.append("s1", [turn], [outcome]))
        assert done(store.lanes()) == []

    def test_a_session_that_is_not_tracked_is_never_due(self, store: Store) -> None:
        session = a_session(disable_task_tracking=True)
        done(store.append("s1", [said("hello")], [an_outcome()], ensure=session))
        done(store.append("s1", [said("hello")]))
        assert done(store.lanes()) == []

    def test_each_append_puts_the_work_off_but_not_for_ever(self, store: Store) -> None:
        done(store.create_session(a_session()))
        done(store.append("s1", [said("a")], quiet=100, max_wait=1000))
        assert 99 < _due_in(store) <= 105  # a twentieth late at most, and never early
        done(store.append("s1", [said("b")], quiet=500, max_wait=1000))
        assert 499 < _due_in(store) <= 525
        done(store.append("s1", [said("c")], quiet=5000, max_wait=1000))
        assert 990 < _due_in(store) <= 1000
        done(store.append("s1", [said("d")], quiet=5000, max_wait=5000))
        assert 990 < _due_in(store) <= 1000
        assert done(store.claim("w1", kinds=_BOTH, lease=60)) == []

    def test_what_was_made_due_is_not_put_off(self, store: Store) -> None:
        done(store.append("s1", [said("a")], ensure=a_session(), quiet=100, max_wait=1000))
        done(store.schedule_now("observe", "s1"))
        done(store.append("s1", [said("b")], quiet=100, max_wait=1000))
        assert _due_in(store) <= 0
        claimed(store, "observe", "s1")

    def test_work_can_be_made_due_at_a_time(self, store: Store) -> None:
        space_id = a_space(store)
        at = time.time() + 1000
        done(store.schedule_now("learn", space_id, at=at))
        assert done(store.next_due(kinds=_BOTH)) == pytest.approx(at)
        done(store.schedule_now("learn", space_id, at=at + 50))
        assert done(store.next_due(kinds=_BOTH)) == pytest.approx(at)
        done(store.schedule_now("learn", space_id, at=at - 50))
        assert done(store.next_due(kinds=_BOTH)) == pytest.approx(at - 50)

    def test_only_what_exists_can_be_made_due(self, store: Store) -> None:
        for kind in _BOTH:
            with pytest.raises(NotFound):
                done(store.schedule_now(kind, "nobody"))


class ClaimContract:
    """A lane of due work has one owner at a time, for as long as the lease lasts."""

    def test_due_work_has_one_owner(self, store: Store, open_store_again: Callable[[str], Store]) -> None:
        talk(store)
        claim = claimed(store, "observe", "s1", owner="ann")
        assert (claim.kind, claim.key, claim.owner, claim.attempts) == ("observe", "s1", "ann", 0)
        assert done(store.claim("bob", kinds=_BOTH, lease=60)) == []
        assert done(open_store_again("p1").claim("bob", kinds=_BOTH, lease=60)) == []

    def test_claims_go_by_kind_by_age_and_up_to_a_limit(self, store: Store) -> None:
        for n in range(4):
            talk(store, f"s{n}")
            done(store.schedule_now("observe", f"s{n}", at=time.time() - 100 + n))
        space_id = a_space(store)
        done(store.schedule_now("learn", space_id, at=time.time() - 1000))
        first = done(store.claim("w1", kinds=["observe"], lease=60, limit=2))
        assert sorted(claim.key for claim in first) == ["s0", "s1"]
        assert [claim.key for claim in done(store.claim("w1", kinds=["learn"], lease=60, limit=9))] == [space_id]
        rest = done(store.claim("w1", kinds=_BOTH, lease=60, limit=9))
        assert sorted(claim.key for claim in rest) == ["s2", "s3"]
        assert done(store.claim("w1", kinds=[], lease=60)) == []

    def test_a_lease_that_ran_out_goes_to_another_and_fences_the_first(self, store: Store) -> None:
        talk(store)
        late = claimed(store, "observe", "s1", owner="late", lease=0.01)
        (taken,) = until(lambda: done(store.claim("other", kinds=_BOTH, lease=600)))
        assert taken.token > late.token
        assert taken.attempts == 1
        self._is_refused(store, late)
        done(store.apply_tasks(taken, TaskOps(session_id="s1", tasks=(a_task(),), observed_seq=2)))
        assert [task.id for task in done(store.tasks("s1")).items] == ["t1"]

    def _is_refused(self, store: Store, claim: Claim) -> None:
        stale = a_task("stale", session_id=claim.key)
        for pending in each(
            store.heartbeat(claim, lease=60),
            store.release(claim),
            store.release(claim, error="x", dead=True),
            store.apply_tasks(claim, TaskOps(session_id=claim.key, tasks=(stale,), observed_seq=2)),
        ):
            with pytest.raises(LeaseLost):
                done(pending)
        with pytest.raises(NotFound):
            done(store.task("stale"))

    def test_a_claim_ends_with_its_work(self, store: Store) -> None:
        talk(store)
        claim = claimed(store, "observe", "s1")
        done(store.apply_tasks(claim, TaskOps(session_id="s1", observed_seq=2)))
        self._is_refused(store, claim)
        assert done(store.lanes()) == []

    def test_a_learner_that_lost_its_lease_writes_nothing(self, store: Store) -> None:
        space_id = a_space(store)
        done(store.schedule_now("learn", space_id))
        claim = claimed(store, "learn", space_id)
        done(store.release(claim))
        with pytest.raises(LeaseLost):
            done(store.apply_skills(claim, SkillOps(space_id=space_id)))

    def test_a_claim_is_for_its_own_work_only(self, store: Store) -> None:
        space_id = a_space(store)
        talk(store, "s1")
        talk(store, "s2")
        claim = claimed(store, "observe", "s1")
        with pytest.raises(InvalidInput):
            done(store.apply_tasks(claim, TaskOps(session_id="s2")))
        with pytest.raises(InvalidInput):
            done(store.apply_tasks(claim, TaskOps(session_id="s1", tasks=(a_task(session_id="s2"),))))
        with pytest.raises(InvalidInput):
            done(store.apply_skills(claim, SkillOps(space_id=space_id)))
        done(store.heartbeat(claim, lease=60))

    def test_a_heartbeat_prolongs_the_lease(self, store: Store) -> None:
        talk(store)
        claim = claimed(store, "observe", "s1", lease=5)
        done(store.heartbeat(claim, lease=1000))
        due = done(store.next_due(kinds=_BOTH))
        assert due is not None
        assert due > time.time() + 900

    def test_a_lease_that_ran_out_still_holds_while_nobody_took_it(self, store: Store) -> None:
        talk(store)
        claim = claimed(store, "observe", "s1", lease=0.001)
        until(lambda: (done(store.next_due(kinds=_BOTH)) or 0) < time.time())
        done(store.apply_tasks(claim, TaskOps(session_id="s1", observed_seq=2)))

    def test_tokens_grow_even_over_a_deleted_session(self, store: Store) -> None:
        talk(store)
        old = claimed(store, "observe", "s1", owner="w1")
        done(store.delete_session("s1"))
        self._is_refused(store, old)
        talk(store)
        new = claimed(store, "observe", "s1", owner="w1")
        assert new.token > old.token
        self._is_refused(store, old)

    @pytest.mark.parametrize(("owner", "lease"), [("", 60.0), ("w1", 0.0), ("w1", -1.0)])
    def test_a_claim_needs_an_owner_and_a_lease(self, store: Store, owner: str, lease: float) -> None:
        with pytest.raises(InvalidInput):
            done(store.claim(owner, kinds=_BOTH, lease=lease))


class ReleaseContract:
    """A lane that is given back is due again, waits after an error, or is dead."""

    def test_work_given_back_undone_is_due_again(self, store: Store) -> None:
        talk(store)
        done(store.release(claimed(store, "observe", "s1")))
        assert claimed(store, "observe", "s1").attempts == 0

    def test_work_given_back_with_nothing_to_do_is_done(self, store: Store) -> None:
        talk(store)
        observed(store, [])
        done(store.schedule_now("observe", "s1"))
        done(store.release(claimed(store, "observe", "s1")))
        space_id = a_space(store)
        done(store.schedule_now("learn", space_id))
        done(store.release(claimed(store, "learn", space_id)))
        assert done(store.lanes()) == []

    def test_a_message_that_arrives_meanwhile_leaves_the_work_due(self, store: Store) -> None:
        talk(store)
        claim = claimed(store, "observe", "s1")
        done(store.append("s1", [said("wait")], quiet=100, max_wait=1000))
        done(store.apply_tasks(claim, TaskOps(session_id="s1", observed_seq=2)))
        claim = claimed(store, "observe", "s1")
        done(store.apply_tasks(claim, TaskOps(session_id="s1", observed_seq=3)))
        assert done(store.lanes()) == []

    def test_an_outcome_that_arrives_meanwhile_leaves_the_work_due(self, store: Store) -> None:
        talk(store)
        claim = claimed(store, "observe", "s1")
        done(store.append("s1", [], [an_outcome("failed")]))
        done(store.apply_tasks(claim, TaskOps(session_id="s1", observed_seq=2)))
        claim = claimed(store, "observe", "s1")
        done(store.release(claim))
        claim = claimed(store, "observe", "s1")
        done(store.apply_tasks(claim, TaskOps(session_id="s1", observed_seq=2)))
        assert done(store.lanes()) == []

    def test_what_was_not_observed_stays_due(self, store: Store) -> None:
        talk(store, count=5)
        claim = claimed(store, "observe", "s1")
        done(store.apply_tasks(claim, TaskOps(session_id="s1", observed_seq=3)))
        claimed(store, "observe", "s1")

    def test_failed_work_waits_before_it_is_tried_again(self, store: Store) -> None:
        talk(store)
        done(store.release(claimed(store, "observe", "s1"), error="the model is down", retry_in=1000))
        lane = _lane(store)
        assert lane is not None
        assert (lane.attempts, lane.last_error, lane.owner) == (1, "the model is down", None)
        assert 990 < _due_in(store) <= 1000
        done(store.append("s1", [said("impatient")]))
        assert 990 < _due_in(store) <= 1000
        assert done(store.claim("w1", kinds=_BOTH, lease=60)) == []
        done(store.schedule_now("observe", "s1"))
        assert claimed(store, "observe", "s1").attempts == 1

    def test_success_forgets_the_failures(self, store: Store) -> None:
        talk(store)
        done(store.release(claimed(store, "observe", "s1"), error="once", retry_in=0))
        done(store.apply_tasks(claimed(store, "observe", "s1"), TaskOps(session_id="s1", observed_seq=2)))
        done(store.append("s1", [said("more")]))
        lane = _lane(store)
        assert lane is not None
        assert (lane.attempts, lane.last_error) == (0, None)

    def test_work_may_be_put_off_without_blame(self, store: Store) -> None:
        talk(store)
        done(store.release(claimed(store, "observe", "s1"), retry_in=1000))
        lane = _lane(store)
        assert lane is not None
        assert (lane.attempts, lane.last_error) == (0, None)
        assert 990 < _due_in(store) <= 1000

    def test_dead_work_is_kept_until_it_is_made_due(self, store: Store) -> None:
        talk(store)
        done(store.release(claimed(store, "observe", "s1"), error="poison", dead=True))
        done(store.append("s1", [said("more")]))
        assert done(store.next_due(kinds=_BOTH)) is None
        assert done(store.claim("w1", kinds=_BOTH, lease=60)) == []
        assert done(store.lanes(dead=False)) == []
        (lane,) = done(store.lanes(dead=True))
        assert (lane.key, lane.last_error, lane.attempts) == ("s1", "poison", 1)
        assert lane.dead_at is not None
        assert done(store.lanes()) == [lane]
        assert done(store.stats()).lanes_dead == 1
        done(store.schedule_now("observe", "s1"))
        assert done(store.lanes(dead=True)) == []
        assert claimed(store, "observe", "s1").attempts == 0

    def test_messages_that_could_not_be_observed_say_so(self, store: Store) -> None:
        def statuses() -> list[str]:
            return [message.session_task_process_status for message in done(store.messages("s1")).items]

        talk(store)
        observed(store, [])
        done(store.append("s1", [said("poison")]))
        assert statuses() == ["success", "success", "pending"]
        done(store.release(claimed(store, "observe", "s1"), error="poison", dead=True))
        assert statuses() == ["success", "success", "failed"]
        done(store.schedule_now("observe", "s1"))
        assert statuses() == ["success", "success", "pending"]

    def test_held_work_is_seen_with_its_owner(self, store: Store) -> None:
        talk(store)
        claim = claimed(store, "observe", "s1", owner="ann", lease=1000)
        (lane,) = done(store.lanes(dead=False))
        assert (lane.owner, lane.token) == ("ann", claim.token)
        assert lane.lease_until > time.time() + 900
        assert lane.due_at <= time.time()
