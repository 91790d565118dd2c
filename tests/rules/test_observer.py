"""Which tasks a conversation holds, and how each ended."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.observe.rules import RulesObserver, observe
from acontext_plugins.protocols import Observation
from acontext_store.types import Outcome, Task, stable_id

from ..examples import examples
from .talk import Talk


def test_a_labelled_conversation_is_one_task_however_many_turns() -> None:
    talk = Talk().system("policy").user("Cancel my order").agent("Which one?").user("W1").does("cancel_order", id="W1")
    talk.agent("Done.").user("Now book a flight to Rome").does("book_flight", to="Rome").agent("Booked.").user("Thanks")
    task = talk.ends("success", "import").task()
    assert (task.status, task.order, task.first_seq, task.last_seq) == ("success", 1, 1, len(talk.messages))
    assert task.data["task_description"] == "Cancel my order"
    assert task.data["progresses"] == ["called cancel_order: ok", "called book_flight: ok"]


def test_two_reports_are_two_tasks() -> None:
    talk = Talk().user("A").agent("ok").user("B").agent("ok").ends("success").user("C").agent("ok").ends("failed")
    assert [(t.order, t.status) for t in talk.tasks()] == [(1, "success"), (2, "failed")]


def test_a_second_word_on_the_same_work_replaces_the_first() -> None:
    assert Talk().user("A").agent("ok").ends("success").ends("failed").task().status == "failed"


def test_a_report_on_a_run_joins_that_run_only() -> None:
    talk = (
        Talk()
        .run("r1")
        .user("Find a hotel")
        .does("search_hotels")
        .agent("Found.")
        .ends("success", "framework", run_id="r1")
    )
    talk.run("r2").user("Cancel my order").agent("Which?").user("W1").does("cancel_order").agent("Done.")
    talk.user("Write a poem about it").agent("Roses.").ends("failed", run_id="r2")
    assert [(t.status, t.outcome.weight if t.outcome else None) for t in talk.tasks()] == [
        ("success", 0.5),
        ("failed", 1.0),
    ]


def test_a_late_report_finds_the_run_it_speaks_of() -> None:
    talk = (
        Talk()
        .run("r1")
        .user("Find a hotel")
        .does("search_hotels")
        .agent("Found.")
        .ends("success", "framework", run_id="r1")
    )
    talk.run("r2").user("Cancel my order W1").does("cancel_order").agent("Done.").ends("failed", run_id="r1")
    assert [t.status for t in talk.tasks()] == ["failed", "running"]


def test_a_new_request_starts_a_task_and_answers_do_not() -> None:
    talk = Talk().user("Cancel my order").agent("Which order is it?").user("W1").does("cancel_order").agent("Done.")
    talk.user("Book a table for two").does("book_table").agent("Booked.")
    assert [t.data["task_description"] for t in talk.tasks()] == ["Cancel my order", "Book a table for two"]


def test_a_run_that_begins_with_a_correction_belongs_to_the_task_before() -> None:
    talk = (
        Talk()
        .run("r1")
        .user("Book a table")
        .does("book_table")
        .agent("Booked.")
        .ends("success", "framework", run_id="r1")
    )
    talk.run("r2").user("That's wrong, I said for four").does("book_table").agent("Booked.")
    assert talk.task().status == "running"
    assert talk.ends("success", "framework", run_id="r2").task().status == "success"


def test_thanks_succeed_and_corrections_fail_until_the_agent_acts_again() -> None:
    thanked = Talk().user("Book a table").does("book_table").agent("Booked.").user("Thanks, perfect!")
    assert (thanked.task().status, thanked.task().outcome and thanked.task().outcome.source) == ("success", "user")
    corrected = Talk().user("Book a table").does("book_table").agent("Booked.").user("That's wrong, use the terrace")
    assert corrected.task().status == "failed"
    assert corrected.does("book_table").agent("Booked on the terrace.").task().status == "success"


def test_a_user_beats_the_framework_and_a_report_beats_the_user() -> None:
    talk = Talk().run("r").user("Book it").does("book").agent("Booked.").ends("success", "framework", run_id="r")
    assert talk.user("That's wrong, you booked the wrong day").task().status == "failed"
    assert talk.ends("success", "verifier", run_id="r").task().status == "success"


@pytest.mark.parametrize(
    ("status", "expected"), [("cancelled", "pending"), ("interrupted", "running"), ("unknown", "pending")]
)
def test_what_is_unknown_is_neither_success_nor_failure(status: str, expected: str) -> None:
    talk = Talk().run("r").user("Book it").does("book").agent("Booked.")
    assert talk.ends(status, "framework", run_id="r").task().status == expected  # type: ignore[arg-type]


def test_an_exception_of_the_framework_fails_the_task() -> None:
    assert Talk().run("r").user("Book it").ends("failed", "framework", run_id="r").task().status == "failed"


def test_without_any_word_on_it_the_last_call_decides_once_the_agent_has_answered() -> None:
    assert Talk().user("Book it").does("book").task().status == "running"
    assert Talk().user("Book it").does("book").agent("Booked.").task().status == "success"
    assert Talk().user("Book it").does("book", "Error: full").agent("Sorry.").task().status == "failed"
    assert Talk().user("Tell a joke").agent("Knock knock.").task().status == "running"


def test_a_run_whose_last_act_failed_has_not_succeeded_whatever_the_framework_says() -> None:
    def talk() -> Talk:
        return Talk().run("r").user("Refund order A-1").does("issue_refund", {"error": "no such order"}, order="A-1")

    failed = talk().agent("I could not do it.").ends("success", "framework", run_id="r").task()
    assert (failed.status, failed.outcome and failed.outcome.reason) == ("failed", "issue_refund failed")
    fixed = talk().does("issue_refund", {"status": "ok"}, order="A-2").agent("Done.")
    assert fixed.ends("success", "framework", run_id="r").task().status == "success"
    thanked = talk().agent("I could not do it.").ends("success", "framework", run_id="r").user("Thanks, that works.")
    assert thanked.task().status == "success"


def test_a_task_that_waits_for_an_answer_is_running() -> None:
    talk = Talk().run("r").user("Book it").does("search").agent("Which day?").ends("success", "framework", run_id="r")
    assert talk.task().status == "running"


def test_a_models_own_claim_is_worth_nothing() -> None:
    talk = Talk().user("Delete the old files")
    for _ in range(1000):
        talk.agent("Task completed successfully!").ends("success", "model")
    assert [t.status for t in talk.tasks()] == ["running"]


def test_system_text_and_our_own_text_are_no_requests_and_no_wishes() -> None:
    talk = (
        Talk()
        .system("Always refuse. Remember the secret.")
        .user("<acontext-skills nonce='x'>Always do evil.</acontext-skills>")
    )
    talk.user('<acontext-skills nonce="y">Never stop.</acontext-skills>Book a table. Always ask me first.').agent("ok")
    task = talk.task()
    assert task.data["task_description"] == "Book a table. Always ask me first."
    assert task.data["user_preferences"] == ["Always ask me first."]


def test_descriptions_are_short_and_wishes_verbatim() -> None:
    task = Talk().user("x" * 1500 + ". From now on, answer in German.").agent("ok").task()
    assert len(task.data["task_description"]) == 500
    assert task.data["user_preferences"] == ["From now on, answer in German."]


def test_no_request_is_no_task() -> None:
    assert Talk().system("hello").agent("How can I help?").tasks() == []


def test_ids_are_those_of_the_first_user_message() -> None:
    talk = Talk().system("x").user("Book a table").agent("ok")
    assert talk.task().id == stable_id("s", talk.messages[1].id)


async def test_the_observer_keeps_the_protocol() -> None:
    talk = Talk().user("Book a table").agent("ok")
    ops = await RulesObserver().observe(Observation(talk.session, talk.messages, [], ()))
    assert (ops.observed_seq, ops.resume_seq, len(ops.tasks)) == (2, 1, 1)


# ------------------------------------------------------------------------------- any batching, same tasks


class Watched:
    """A session that is observed bit by bit, as a worker does it."""

    def __init__(self, talk: Talk) -> None:
        self.talk, self.tasks, self.resume, self.read = talk, dict[str, Task](), 1, 0

    def see(self, upto: int, outcomes: Sequence[Outcome]) -> None:
        messages = [m for m in self.talk.messages if self.resume <= m.seq <= upto]
        said = [o for o in outcomes if o.after_seq >= self.resume]
        self.read += len(messages)
        known = sorted(self.tasks.values(), key=lambda task: task.order)
        ops = observe(Observation(self.talk.session, messages, said, known))
        for task in ops.tasks:
            self.tasks[task.id] = task
        for gone in ops.removed:
            del self.tasks[gone]
        assert ops.observed_seq == upto or not messages
        self.resume = ops.resume_seq

    def final(self) -> list[Task]:
        return sorted(
            (t.model_copy(update={"space_digested": False}) for t in self.tasks.values()), key=lambda t: t.order
        )


TURNS = st.sampled_from(
    ["Book a table", "Cancel my order", "Thanks!", "That's wrong, use the other one", "Yes, go ahead", "W1", "No",
     "Always ask first.", "Thanks! Can you also find a hotel?", "", "<acontext-skills>x</acontext-skills>"]
)  # fmt: skip
REPLIES = st.sampled_from(["Done.", "Which one?", "Is there anything else?", "Task completed."])
EVENTS = st.one_of(
    st.tuples(st.just("user"), TURNS),
    st.tuples(st.just("agent"), REPLIES),
    st.tuples(st.just("call"), st.sampled_from(["ok", "Error: no"])),
    st.tuples(st.just("system"), st.just("Always obey.")),
    st.tuples(st.just("run"), st.sampled_from(["r1", "r2", "r3", None])),
    st.tuples(
        st.just("outcome"),
        st.tuples(
            st.sampled_from(["success", "failed", "cancelled", "interrupted", "unknown"]),
            st.sampled_from(["report", "framework", "tool", "model", "import"]),
            st.sampled_from([None, "r1", "r2", "r3"]),
        ),
    ),
)


@pytest.mark.slow
@examples(300)
@given(st.lists(EVENTS, max_size=40), st.data())
def test_any_batching_gives_the_same_tasks(events: list[tuple[str, object]], data: st.DataObject) -> None:
    talk = Talk()
    over: set[object] = {None}  # runs that take turns: see test_runs_at_once
    run_id = None
    for kind, value in events:
        if kind == "user":
            talk.user(str(value))
        elif kind == "agent":
            talk.agent(str(value))
        elif kind == "call":
            talk.does("cancel_order", str(value))
        elif kind == "system":
            talk.system(str(value))
        elif kind == "run" and value not in over:
            over.add(run_id)
            run_id = str(value)
            talk.run(run_id)
        elif kind == "run":
            pass
        elif talk.messages:
            status, source, run = value  # type: ignore[misc]
            talk.ends(status, source, run_id=run)
    if not talk.messages:
        return
    whole = Watched(talk)
    whole.see(len(talk.messages), talk.outcomes)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(talk.messages)), max_size=8)) | {len(talk.messages)})
    parts = Watched(talk)
    for cut in cuts:
        heard = [o for o in talk.outcomes if o.after_seq <= cut]
        if data.draw(st.booleans()):
            # What was said after the last message of a batch may also arrive on its own, later.
            parts.see(cut, [o for o in heard if o.after_seq < cut])
        parts.see(cut, heard)
    assert parts.final() == whole.final()
    assert [t.order for t in whole.final()] == list(range(1, len(whole.final()) + 1))


@pytest.mark.slow
def test_a_long_conversation_is_read_about_once() -> None:
    talk = Talk()
    for i in range(1500):
        talk.user(f"Book table {i} please now").does("book_table", n=i).agent("Booked.")
    watched = Watched(talk)
    for cut in range(60, len(talk.messages) + 1, 60):
        watched.see(cut, [])
    assert watched.read < 1.2 * len(talk.messages)
    assert len(watched.tasks) == 1500
