"""Conversations that are imported again: the same is kept once, what differs takes the place of what was known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ..errors import Conflict, InvalidInput, LeaseLost, NotFound
from ..protocols import Store
from ..types import Appended, Change, Episode, Message, Outcome, OutcomeStatus, Part, SkillOps, TaskOps
from .factories import a_session, a_space, a_task, an_edit, an_outcome, claimed, done, learned, observed, said, texts


def conversation(*words: str) -> list[Message]:
    """Messages of one import: ids by their place, one run."""
    return [said(text, id=f"i{at}").model_copy(update={"run_id": "case"}) for at, text in enumerate(words)]


def imported(status: OutcomeStatus = "success") -> list[Outcome]:
    return [Outcome(id=f"of-{status}", status=status, source="import", run_id="case")]


def take(
    store: Store, messages: Sequence[Message], outcomes: Sequence[Outcome] = (), *, space_id: str, **session: Any
) -> Appended:
    return done(store.replace(a_session(space_id=space_id, **session), messages, outcomes))


class ReplaceContract:
    """A conversation that is imported again replaces the one before, where it differs."""

    @pytest.fixture
    def taught(self, store: Store) -> str:
        """A space that has learned from a conversation of two messages."""
        space_id = a_space(store)
        take(store, conversation("book", "done"), imported(), space_id=space_id, principal="ann")
        observed(store, [a_task("s1-t")])
        episode = Episode(task_id="s1-t", session_id="s1", space_id=space_id, body={})
        learned(store, space_id, an_edit(), episodes=(episode,), digested=("s1-t",))
        assert done(store.lanes(dead=False)) == []
        return space_id

    def test_the_same_again_changes_nothing(self, store: Store, taught: str) -> None:
        before = done(store.session("s1")), done(store.messages("s1")), done(store.tasks("s1"))
        again = take(store, conversation("book", "done"), imported(), space_id=taught, principal="ann")
        assert (again.new, again.replaced, again.last_seq) == (0, (), 2)
        assert (done(store.session("s1")), done(store.messages("s1")), done(store.tasks("s1"))) == before
        assert done(store.lanes(dead=False)) == []

    @pytest.mark.parametrize("words", [("book", "cancelled"), ("book",), ("book", "done", "thanks"), ("done", "book")])
    def test_other_messages_take_the_place_of_those_before(
        self, store: Store, taught: str, words: tuple[str, ...]
    ) -> None:
        taken = take(store, conversation(*words), imported(), space_id=taught, principal="ann")
        assert (taken.new, taken.replaced, taken.last_seq) == (len(words), ("messages",), len(words))
        assert texts(store, "s1") == list(words)
        assert [outcome.after_seq for outcome in done(store.outcomes("s1"))] == [len(words)]
        self.is_as_new(store, taught)

    def is_as_new(self, store: Store, taught: str) -> None:
        """Nothing is left of what was made of it, and it is observed and learned anew."""
        kept = done(store.messages("s1")).items
        assert [message.seq for message in kept] == list(range(1, len(kept) + 1))
        assert {(message.task_id, message.session_task_process_status) for message in kept} == {(None, "pending")}
        assert done(store.tasks("s1")).items == []
        assert done(store.episodes(taught)) == []
        assert done(store.read_snapshot(lambda moment: moment.learned_from(["s1-t"]))) == set()
        assert done(store.resume_seq("s1")) == 1
        assert done(store.observing_status("s1")).pending == len(kept)
        assert sorted(lane.kind for lane in done(store.lanes(dead=False))) == ["learn", "observe"]

    @pytest.mark.parametrize("outcomes", [imported("failed"), []])
    def test_another_outcome_alone_counts_too(self, store: Store, taught: str, outcomes: list[Outcome]) -> None:
        done(store.update_message("s1", "i0", meta={"starred": True}))
        reported = an_outcome("cancelled", id="of-a-person")
        done(store.append("s1", [], [reported]))
        taken = take(store, conversation("book", "done"), outcomes, space_id=taught, principal="ann")
        assert (taken.new, taken.replaced) == (0, ("outcome",))
        assert texts(store, "s1") == ["book", "done"]
        assert done(store.message("s1", "i0")).meta == {"starred": True}
        assert {outcome.id for outcome in done(store.outcomes("s1"))} == {"of-a-person", *(one.id for one in outcomes)}
        self.is_as_new(store, taught)

    @pytest.mark.parametrize(
        ("changed", "differs"), [({"text": "no"}, ()), ({"meta": {"n": 1}}, ("messages",)), ({"type": "data"}, None)]
    )
    def test_any_part_of_a_message_may_differ(
        self, store: Store, taught: str, changed: dict[str, Any], differs: tuple[Change, ...] | None
    ) -> None:
        first, second = conversation("book", "no" if differs == () else "done")
        take(store, [first, second], imported(), space_id=taught, principal="ann")
        part = Part(**{"type": "text", "text": second.text, **changed})
        taken = take(
            store, [first, second.model_copy(update={"parts": (part,)})], imported(), space_id=taught, principal="ann"
        )
        assert taken.replaced == (("messages",) if differs is None else differs)

    def test_another_principal_counts(self, store: Store, taught: str) -> None:
        taken = take(store, conversation("book", "done"), imported(), space_id=taught, principal="bob")
        assert taken.replaced == ("principal",)
        assert done(store.session("s1")).principal == "bob"
        self.is_as_new(store, taught)

    def test_one_whose_space_was_deleted_is_taken_into_another(self, store: Store, taught: str) -> None:
        done(store.delete_space(taught))
        other = a_space(store)
        taken = take(store, conversation("book", "done"), imported(), space_id=other, principal="ann")
        assert taken.replaced == ("space",)
        assert done(store.session("s1")).space_id == other
        assert [lane.kind for lane in done(store.lanes(dead=False))] == ["observe"]

    def test_the_evidence_waits_for_the_learner(self, store: Store, taught: str) -> None:
        take(store, conversation("another"), space_id=taught, principal="ann")
        assert [one.task_id for one in done(store.skill("k1")).evidence] == ["s1-t"]
        learned(store, taught, gone=("s1-t",))
        assert (done(store.skill("k1")).status, done(store.skill("k1")).evidence) == ("active", ())
        (version,) = done(store.skill_versions("k1"))
        assert [one.task_id for one in version.evidence] == ["s1-t"]

    def test_the_evidence_of_a_skill_that_a_person_changed_goes_too(self, store: Store, taught: str) -> None:
        done(store.update_block(taught, "k1", title="booking"))
        take(store, conversation("another"), space_id=taught, principal="ann")
        learned(store, taught, an_edit("k2", sessions=("s1",)), gone=("s1-t",))
        assert done(store.skill("k1")).evidence == ()
        assert [one.task_id for one in done(store.skill("k2")).evidence] == ["s1-t"]

    def test_what_is_retired_keeps_no_evidence_that_does_not_hold(self, store: Store, taught: str) -> None:
        observed(store, [a_task("s1-t", status="failed")])
        learned(store, taught, retired=("k1",))
        assert done(store.skill("k1")).evidence == ()

    def test_what_is_retired_keeps_the_evidence_that_holds(self, store: Store, taught: str) -> None:
        learned(store, taught, retired=("k1",))
        assert [one.task_id for one in done(store.skill("k1")).evidence] == ["s1-t"]

    def test_who_works_on_the_old_one_is_too_late(self, store: Store, taught: str) -> None:
        done(store.schedule_now("observe", "s1"))
        claim = claimed(store, "observe", "s1")
        take(store, conversation("another"), space_id=taught, principal="ann")
        with pytest.raises(LeaseLost):
            done(store.apply_tasks(claim, TaskOps(session_id="s1", tasks=(a_task("s1-t"),), observed_seq=2)))
        observed(store, [a_task("s1-t", last_seq=1)], observed_seq=1)
        assert done(store.observing_status("s1")).pending == 0

    def test_an_episode_of_the_old_one_is_not_the_new_ones(self, store: Store, taught: str) -> None:
        done(store.schedule_now("learn", taught))
        claim = claimed(store, "learn", taught)
        take(store, conversation("another"), space_id=taught, principal="ann")
        episode = Episode(task_id="s1-t", session_id="s1", space_id=taught, body={"of": "the old one"})
        done(store.apply_skills(claim, SkillOps(space_id=taught, episodes=(episode,), digested=("s1-t",))))
        assert done(store.episodes(taught)) == []
        assert [lane.kind for lane in done(store.lanes(dead=False)) if lane.kind == "learn"] == ["learn"]

    def test_the_conversation_of_another_space_stays_there(self, store: Store, taught: str) -> None:
        with pytest.raises(Conflict, match="belongs to the space"):
            take(store, conversation("another"), space_id=a_space(store))
        assert texts(store, "s1") == ["book", "done"]
        assert done(store.lanes(dead=False)) == []

    def test_what_an_agent_said_is_never_replaced(self, store: Store, taught: str) -> None:
        done(store.append("s1", [said("live")]))
        with pytest.raises(Conflict, match="not imported"):
            take(store, conversation("another"), space_id=taught)
        assert texts(store, "s1") == ["book", "done", "live"]

    def test_a_session_that_is_empty_is_filled(self, store: Store) -> None:
        space_id = a_space(store)
        done(store.create_session(a_session()))
        taken = take(store, conversation("book"), imported(), space_id=space_id)
        assert (taken.new, taken.replaced) == (1, ())
        assert done(store.session("s1")).space_id == space_id

    def test_it_is_replaced_whole_or_not_at_all(self, store: Store, taught: str) -> None:
        before = done(store.messages("s1")), done(store.outcomes("s1")), done(store.tasks("s1"))
        bad = conversation("another")[0].model_copy(update={"native": {"it": object()}})
        with pytest.raises(InvalidInput):
            take(store, [bad], imported("failed"), space_id=taught)
        with pytest.raises(NotFound):
            done(store.replace(a_session("s2", space_id="nowhere"), conversation("book")))
        with pytest.raises(InvalidInput):
            take(store, conversation("another"), space_id=taught, project_id="other")
        assert (done(store.messages("s1")), done(store.outcomes("s1")), done(store.tasks("s1"))) == before

    def test_it_goes_on_like_any_other(self, store: Store, taught: str) -> None:
        take(store, conversation("a", "b", "c"), space_id=taught, principal="ann")
        assert done(store.append("s1", [said("more")])).last_seq == 4
        assert done(store.messages("s1")).items[-1].parent_id == "i2"

    def test_bytes_that_nothing_names_any_more_are_noted(self, store: Store) -> None:
        space_id = a_space(store)
        first, second = "1a" * 32, "2b" * 32
        for sha256 in (first, second, second):
            part = Part(type="file", asset=sha256)
            message = Message(id="i0", run_id="case", role="user", parts=(part,))
            take(store, [message], space_id=space_id)
        assert done(store.unused_blobs()) == [first]
        assert done(store.used_blobs([first, second])) == {second}
