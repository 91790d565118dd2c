"""What became of calls decides what is learned: executed is not asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.transcript.tool_calls import executed_calls, tool_calls
from acontext_store.types import CallFate, SkillBody

from .talk import Memory, Talk, call, result


def told(talk: Talk, *fates: CallFate, message: int = -1) -> Talk:
    """The fates of the calls of a message are told, and these are they."""
    update = {"fates_told": True, "fates": fates}
    talk.messages[message] = talk.messages[message].model_copy(update=update)
    return talk


def paying(name: str, *fates: CallFate, amount: int = 3000, answer: Any = "ok", principal: str | None = None) -> Talk:
    """An invoice is looked up and to be paid; `fates` are of the payment, "c2"."""
    talk = Talk(name, principal=principal).user(f"Always pay invoice {name} of the plumber")
    talk.does("find_invoice", {"payee": f"payee-77{name}"}, number=name)
    told(talk, CallFate(call_id="call-1", status="executed"), message=-2)
    talk.add("assistant", call("pay", "c2", amount=amount))
    if fates:
        told(talk, *fates)
    if answer is not None:
        talk.add("tool", result(answer, "c2"))
    return talk.agent(f"It goes to payee-77{name}.").ends("success")


def learned(*talks: Talk) -> SkillBody:
    """The body of the only skill that these conversations teach."""
    (skill,) = Memory().learn(*talks).active
    return skill.body


def steps(talks: list[Talk]) -> list[str]:
    return [step.tool_name for step in learned(*talks).tool_sops]


def test_a_call_without_a_result_is_no_step() -> None:
    assert steps([paying(name, answer=None) for name in "ab"]) == ["find_invoice"]


@pytest.mark.parametrize("status", ["requested", "refused", "answered", "unfinished"])
def test_what_is_told_of_a_call_wins_over_its_result(status: Any) -> None:
    fate = CallFate(call_id="c2", status=status, by="middleware")
    assert steps([paying(name, fate, answer="paid, all is well") for name in "ab"]) == ["find_invoice"]


def test_a_told_execution_wins_over_a_text_that_refuses() -> None:
    fate = CallFate(call_id="c2", status="executed")
    talks = [paying(name, fate, answer="Tool execution was not approved.") for name in "ab"]
    assert steps(talks) == ["find_invoice", "pay"]


def test_calls_whose_fates_are_told_elsewhere_count_as_asked_for() -> None:
    talk = told(Talk().user("go").add("assistant", call("pay", "c1"))).add("tool", result("ok", "c1"))
    assert executed_calls(talk.messages) == []
    assert [(one.fate, one.told) for one in tool_calls(talk.messages)] == [("requested", True)]


def test_a_persons_value_is_learned_and_the_models_own_is_not() -> None:
    fate = CallFate(call_id="c2", status="executed", edited_by="person", arguments={"amount": 30})
    body = learned(paying("a", fate), paying("b", fate))
    assert [(step.tool_name, step.action) for step in body.tool_sops][1] == ("pay", "amount=30")
    assert body.pitfalls[0] == "pay with amount of your own: a person set amount to 30"
    assert "3000" not in body.model_dump_json()


def test_a_value_that_one_person_set_is_not_told_to_others() -> None:
    fates = [
        CallFate(call_id="c2", status="executed", edited_by="person", arguments={"amount": amount})
        for amount in (30, 40)
    ]
    body = learned(paying("a", fates[0]), paying("b", fates[1]))
    assert body.pitfalls[0] == "pay with amount of your own: a person changed amount"


def test_a_refusal_warns_wherever_the_tool_is_a_step() -> None:
    refused = CallFate(call_id="c2", status="refused", by="person", reason="the plumber was paid already")
    fine = CallFate(call_id="c2", status="executed")
    talk = paying("c", refused, answer="no")
    talk.outcomes.clear()
    body = learned(paying("a", fine), paying("b", fine), talk.ends("failed"))
    assert body.pitfalls[0] == "pay without asking first: a person refused it"


def test_a_persons_words_are_told_to_others_when_two_have_said_them() -> None:
    refused = CallFate(call_id="c2", status="refused", by="person", reason="the plumber was paid already")
    fine = CallFate(call_id="c2", status="executed")
    talks = [paying(name, refused, answer="no") for name in "cd"]
    for talk in talks:
        talk.outcomes.clear()
        talk.ends("failed")
    body = learned(paying("a", fine), paying("b", fine), *talks)
    assert body.pitfalls == ("pay without asking first: a person refused it: the plumber was paid already",)


def test_a_persons_refusal_as_the_last_act_is_no_success() -> None:
    talk = paying("a", CallFate(call_id="c2", status="refused", by="person"))
    talk.outcomes.clear()
    task = talk.run("r1").ends("success", "framework").task()
    assert (task.status, task.outcome.reason if task.outcome else "") == ("failed", "a person refused pay")


def test_a_last_act_that_never_ran_leaves_the_outcome_open() -> None:
    for status in ("requested", "unfinished", "refused"):
        talk = paying("a", CallFate(call_id="c2", status=status, by="guardrail"), answer=None)  # type: ignore[arg-type]
        talk.outcomes.clear()
        task = talk.ends("success", "framework").task()
        assert task.outcome is not None
        assert task.outcome.status == "unknown"


def test_calls_made_at_once_have_no_order() -> None:
    def task(*order: str) -> str:
        talk = Talk().run("r1").user("go").add("assistant", *(call(f"do_{one}", one) for one in order))
        for one in order:
            talk.add("tool", result("Error: broken" if one == "bad" else "fine", one))
        return talk.agent("Done.").ends("success", "framework", run_id="r1").task().status

    assert task("good", "bad") == task("bad", "good") == "failed"


def test_an_id_that_is_asked_for_again_gives_the_answer_to_the_newest() -> None:
    talk = Talk().user("go").add("assistant", call("pay", "c1", amount=1)).user("well?")
    talk.add("assistant", call("pay", "c1", amount=2)).add("tool", result("ok", "c1"))
    assert [one.arguments for one in executed_calls(talk.messages)] == [{"amount": 2}]


FATES: Any = ["requested", "executed", "failed", "refused", "answered", "unfinished"]


@given(st.lists(st.lists(st.tuples(st.sampled_from(FATES), st.booleans()), min_size=1, max_size=3), max_size=5))
def test_calls_that_ran_are_found_and_no_others(batches: list[list[tuple[Any, bool]]]) -> None:
    talk, ran = Talk().user("go"), []
    for at, batch in enumerate(batches):
        ids = [f"c{at}{n}" for n in range(len(batch))]
        talk.add("assistant", *(call("pay", one, n=one) for one in ids))
        told(talk, *(CallFate(call_id=one, status=fate) for one, (fate, _) in zip(ids, batch, strict=True)))
        for one, (fate, answered) in zip(ids, batch, strict=True):
            if answered:
                talk.add("tool", result("whatever", one))
            if fate in ("executed", "failed"):
                ran.append(one)
    assert [one.call_id for one in executed_calls(talk.messages)] == ran
