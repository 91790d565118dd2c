"""What a store promises about the fates of calls."""

from __future__ import annotations

from ..protocols import Store
from ..types import CallFate, Message, Part, StoredMessage
from .factories import a_session, done


def a_call(*call_ids: str, id: str, fates_told: bool = True) -> Message:
    """A message of the assistant that calls the tool "pay" once for each id."""
    parts = [Part(type="tool-call", meta={"id": one, "name": "pay", "arguments": "{}"}) for one in call_ids]
    return Message(id=id, role="assistant", parts=tuple(parts), fates_told=fates_told)


def statuses(messages: list[StoredMessage]) -> list[list[str]]:
    """For each message, the fates of its calls in short: "c1 executed"."""
    return [[f"{fate.call_id} {fate.status}" for fate in message.fates] for message in messages]


class FateContract:
    """A fate stands beside the message that holds its call, and what is told last counts."""

    def test_a_fate_is_given_back_beside_the_message_of_its_call(self, store: Store) -> None:
        done(store.create_session(a_session()))
        fate = CallFate(
            call_id="c1",
            status="executed",
            by="person",
            edited_by="person",
            name="pay_little",
            arguments={"amount": 30, "note": "nul \x00"},
            reason="too much",
            told_by="langchain 1.5.2",
            run_id="r1",
        )
        done(store.append("s1", [a_call("c1", id="m1"), a_call("c2", id="m2")], fates=[fate]))
        found = done(store.messages("s1")).items
        assert [message.fates for message in found] == [(fate,), ()]
        assert [message.fates_told for message in found] == [True, True]
        assert done(store.message("s1", "m1")).fates == (fate,)

    def test_what_is_told_last_of_a_call_counts(self, store: Store) -> None:
        done(store.create_session(a_session()))
        done(store.append("s1", [a_call("c1", id="m1")], fates=[CallFate(call_id="c1", status="unfinished")]))
        done(store.append("s1", fates=[CallFate(call_id="c1", status="executed")]))
        assert statuses(done(store.messages("s1")).items) == [["c1 executed"]]

    def test_the_newest_call_of_an_id_is_meant(self, store: Store) -> None:
        done(store.create_session(a_session()))
        done(store.append("s1", [a_call("c1", id="m1")], fates=[CallFate(call_id="c1", status="executed")]))
        done(store.append("s1", [a_call("c1", id="m2")], fates=[CallFate(call_id="c1", status="refused")]))
        assert statuses(done(store.messages("s1")).items) == [["c1 executed"], ["c1 refused"]]
        assert statuses(done(store.messages("s1", after_seq=1)).items) == [["c1 refused"]]

    def test_calls_of_one_id_in_one_message_are_told_apart(self, store: Store) -> None:
        done(store.create_session(a_session()))
        fates = [CallFate(call_id="c1", status="executed"), CallFate(call_id="c1", occurrence=1, status="failed")]
        done(store.append("s1", [a_call("c1", "c1", id="m1")], fates=fates))
        assert done(store.message("s1", "m1")).fates == tuple(fates)

    def test_a_fate_that_comes_before_its_call_waits_for_it(self, store: Store) -> None:
        done(store.create_session(a_session()))
        done(store.append("s1", fates=[CallFate(call_id="c1", status="refused")]))
        done(store.append("s1", [a_call("c0", id="m1")]))
        done(store.append("s1", [a_call("c1", id="m2")]))
        done(store.append("s1", [a_call("c1", id="m3")]))
        assert statuses(done(store.messages("s1")).items) == [[], ["c1 refused"], []]

    def test_a_fate_is_of_its_own_session(self, store: Store) -> None:
        for session in ("s1", "s2"):
            done(store.create_session(a_session(session)))
            done(store.append(session, [a_call("c1", id="m1")]))
        done(store.append("s2", fates=[CallFate(call_id="c1", status="executed")]))
        assert statuses(done(store.messages("s1")).items) == [[]]
        done(store.delete_session("s2"))
        done(store.create_session(a_session("s2")))
        done(store.append("s2", [a_call("c1", id="m1")]))
        assert statuses(done(store.messages("s2")).items) == [[]]

    def test_an_old_call_whose_fates_nobody_told_can_get_one(self, store: Store) -> None:
        done(store.create_session(a_session()))
        done(store.append("s1", [a_call("c1", id="m1", fates_told=False)]))
        done(store.append("s1", fates=[CallFate(call_id="c1", status="refused", by="person")]))
        assert statuses(done(store.messages("s1")).items) == [["c1 refused"]]
