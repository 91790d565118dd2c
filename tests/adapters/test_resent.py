"""Histories that are sent again: nothing twice, nothing lost, whatever the host does to them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acontext_adapters.shared.resent_history import Conversations, Item, item

KEYS = ("session", None)


def user(text: str) -> Item:
    return item("user", text)


def model(text: str) -> Item:
    return item("model", text)


def call(*ids: str) -> Item:
    return item("call", *sorted(ids))


def result(id: str) -> Item:
    return item("result", id)


def system(text: str = "Base.") -> Item:
    return item("host", text)


@dataclass
class Memory:
    """Sends histories, and keeps what is new in them by id, as a store would."""

    key: str | None = "session"
    conversations: Conversations = field(default_factory=Conversations)
    kept: dict[str, dict[str, Item]] = field(default_factory=dict)
    scope: str = "scope"

    def ask(self, history: list[Item], answer: Item | None = None, after: str | None = None) -> list[Item]:
        """One call, which fails where there is no answer; what is new of the request."""
        sent = self.conversations.sent(self.scope, self.key, history, after=after)
        kept = self.kept.setdefault(sent.session_key, {})
        new = {sent.ids[at]: history[at] for at in sent.new if sent.ids[at] not in kept}
        kept.update(new)
        if answer is not None:
            (id,) = self.conversations.answered(self.scope, sent, [answer])
            kept.setdefault(id, answer)
        else:
            self.conversations.unanswered(self.scope, sent)
        return list(new.values())

    @property
    def items(self) -> list[Item]:
        """All that was kept, of the only session."""
        (kept,) = self.kept.values()
        return list(kept.values())


U1, U2, U3, A1, A2, A3 = user("q1"), user("q2"), user("q3"), model("a1"), model("a2"), model("a3")


@pytest.mark.parametrize("key", KEYS)
def test_a_tool_loop_is_kept_once(key: str | None) -> None:
    memory = Memory(key)
    memory.ask([system(), U1], call("1", "2"))
    memory.ask([system(), U1, call("1", "2"), result("1"), result("2")], A1)
    memory.ask([system("Other."), U1, call("1", "2"), result("2"), result("1"), A1, U2], A2)
    assert memory.items == [U1, call("1", "2"), result("1"), result("2"), A1, U2, A2]


@pytest.mark.parametrize("key", KEYS)
def test_a_user_who_says_the_same_again_is_heard_again(key: str | None) -> None:
    memory = Memory(key)
    yes = user("yes")
    memory.ask([yes], A1)
    memory.ask([yes, A1, yes], A2)
    memory.ask([yes, A1, yes, A2, yes], A2)
    assert memory.items == [yes, A1, yes, A2, yes, A2]


@pytest.mark.parametrize("key", KEYS)
def test_a_window_of_the_history_goes_on_where_it_ended(key: str | None) -> None:
    memory = Memory(key)
    memory.ask([U1], A1)
    memory.ask([U1, A1, U2], A2)
    assert memory.ask([U2, A2, U3], A3) == [U3]
    assert memory.items == [U1, A1, U2, A2, U3, A3]


def test_a_window_of_one_answer_goes_on_where_the_session_is_named() -> None:
    memory = Memory()
    memory.ask([U1], A1)
    memory.ask([U1, A1, U2], A2)
    assert memory.ask([A2, U3], A3) == [U3]


@pytest.mark.parametrize("key", KEYS)
def test_a_summary_in_place_of_the_head_is_not_a_turn(key: str | None) -> None:
    memory = Memory(key)
    memory.ask([U1], A1)
    memory.ask([U1, A1, U2], A2)
    assert memory.ask([user("SUMMARY of it"), U2, A2, U3], A3) == [U3]


@pytest.mark.parametrize("key", KEYS)
def test_a_history_goes_on_behind_an_answer_without_words(key: str | None) -> None:
    conversations = Conversations()
    first = conversations.sent("scope", key, [user("hi")])
    conversations.answered("scope", first, [])
    second = conversations.sent("scope", key, [user("hi"), user("are you there?")])
    assert (second.session_key, second.new, second.heard) == (first.session_key, (1,), 1)
    conversations.answered("scope", second, [call("c1"), result("c1")])
    third = conversations.sent(
        "scope", key, [user("hi"), user("are you there?"), call("c1"), result("c1"), user("so?")]
    )
    assert (third.session_key, third.new, third.heard) == (first.session_key, (4,), 4)


def test_what_nobody_has_answered_is_no_end_of_a_conversation() -> None:
    conversations = Conversations()
    first = conversations.sent("scope", None, [user("hi")])
    conversations.unanswered("scope", first)
    second = conversations.sent("scope", None, [user("hi"), user("are you there?")])
    assert second.session_key != first.session_key
    assert conversations.sent("scope", None, [user("hi")]).session_key != first.session_key


def test_an_end_may_stand_behind_something_else_in_the_history_that_is_sent_next() -> None:
    conversations = Conversations()
    first = conversations.sent("scope", None, [user("hi")])
    conversations.answered("scope", first, [call("c1"), result("c1"), model("done")], behind=model("what was said"))
    second = conversations.sent("scope", None, [model("what was said"), model("done"), user("thanks")])
    assert (second.session_key, second.new) == (first.session_key, (2,))


def test_a_request_that_is_sent_again_has_nothing_new() -> None:
    memory = Memory()
    memory.ask([U1])
    assert memory.ask([U1], A1) == []
    assert memory.ask([U1, A1, U2]) == [U2]
    assert memory.ask([U1, A1, U2]) == []
    assert memory.ask([U1, A1, U2], A2) == []
    assert memory.ask([U1, A1, U2], A3) == [], "asked again for another answer"
    assert memory.items == [U1, A1, U2, A2, A3]
    assert memory.ask([U1, A1, U2, A3, U3]) == [U3]


def test_a_turn_without_history_that_was_answered_is_a_new_one() -> None:
    memory = Memory()
    hello = user("summarise the news")
    memory.ask([hello], A1)
    assert memory.ask([hello], A2) == [hello]
    assert memory.items == [hello, A1, hello, A2]


@pytest.mark.parametrize("key", KEYS)
def test_parallel_results_are_the_same_in_any_order_and_one_by_one(key: str | None) -> None:
    memory = Memory(key)
    calls = call("1", "2", "3")
    memory.ask([U1], calls)
    assert memory.ask([U1, calls, result("3")]) == [result("3")]
    assert memory.ask([U1, calls, result("1"), result("3")]) == [result("1")]
    assert memory.ask([U1, calls, result("2"), result("1"), result("3")], A1) == [result("2")]
    assert memory.ask([U1, calls, result("1"), result("2"), result("3"), A1, U2], A2) == [U2]
    assert len(memory.items) == 8


def test_an_edited_turn_is_new_and_what_came_before_is_not() -> None:
    memory = Memory()
    memory.ask([U1], A1)
    memory.ask([U1, A1, U2], A2)
    assert memory.ask([U1, A1, user("q2, edited")], A3) == [user("q2, edited")]


def test_answers_that_the_host_rewrites_are_not_kept_again() -> None:
    memory = Memory()
    memory.ask([U1], A1)
    trimmed = model("a1, trimmed")
    assert memory.ask([U1, trimmed, U2], A2) == [U2]
    assert memory.ask([U1, trimmed, U2, model("a2, trimmed"), U3]) == [U3]
    assert memory.ask([U1, trimmed, U2, model("a2, trimmed"), U3], A3) == []


def test_calls_aside_in_the_same_session_do_not_disturb() -> None:
    memory = Memory()
    memory.ask([U1], A1)
    assert memory.ask([user("a title for: q1")], model("Title")) == [user("a title for: q1")]
    assert memory.ask([U1, A1, U2], A2) == [U2]
    assert memory.ask([user("a title for: q2")], model("Other")) == [user("a title for: q2")]
    assert memory.ask([U1, A1, U2, A2, U3]) == [U3]
    assert memory.ask([user("a title for: q3")], model("Third")) == [user("a title for: q3")]
    assert memory.ask([U1, A1, U2, A2, U3], A3) == []


def test_what_a_person_answers_in_place_of_the_model_is_kept() -> None:
    memory = Memory()
    memory.ask([U1], A1)
    assert memory.ask([U1, A1, U2, model("a colleague"), U3], A3) == [U2, model("a colleague"), U3]


@pytest.mark.parametrize("key", KEYS)
def test_of_a_history_that_nobody_saw_only_the_newest_turn_is_new(key: str | None) -> None:
    memory = Memory(key)
    assert memory.ask([U1, A1, U2, call("1"), result("1"), A2, U3, call("2"), result("2")], A3) == [
        U3,
        call("2"),
        result("2"),
    ]


def test_without_a_name_two_conversations_with_the_same_beginning_stay_apart() -> None:
    memory = Memory(None)
    memory.ask([U1], A1)
    memory.ask([U1], A1)
    assert len(memory.kept) == 2
    memory.ask([U1, A1, U2], A2)
    assert len(memory.kept) == 3, "nobody knows which of them goes on"


def test_without_a_name_another_scope_is_another_conversation() -> None:
    conversations = Conversations()
    one, other = Memory(None, conversations), Memory(None, conversations, scope="other")
    one.ask([U1], A1)
    other.ask([U1, A1, U2], A2)
    assert set(one.kept).isdisjoint(other.kept)


def test_calls_that_are_numbered_anew_in_each_answer_are_told_apart() -> None:
    memory = Memory()
    calls = call("call_0")
    history = [U1]
    for _ in range(3):
        memory.ask(history, calls)
        history = [*history, calls, result("call_0")]
    memory.ask(history, A1)
    assert memory.items == [*history, A1]


def test_requests_that_only_go_on_from_an_answer() -> None:
    memory = Memory()
    yes = user("yes")
    memory.ask([yes], A1)
    assert memory.ask([yes], A2, after="r1") == [yes]
    assert memory.ask([yes], A3, after="r1") == [], "asked again"
    assert memory.ask([yes], A3, after="r2") == [yes]
    assert memory.items == [yes, A1, yes, A2, A3, yes, A3]


def test_in_a_conversation_that_the_provider_keeps_all_is_new_unless_it_was_not_answered() -> None:
    memory = Memory()
    yes = user("yes")
    memory.ask([yes], A1, after="")
    assert memory.ask([yes], after="") == [yes]
    assert memory.ask([yes], A2, after="") == []
    assert memory.ask([yes], A3, after="") == [yes]


def test_another_process_that_is_sent_the_same_gives_the_same_ids() -> None:
    one, other = Memory(), Memory()
    turns: list[Item] = []
    kept: dict[str, Item] = {}
    for number in range(6):
        worker = (one, other)[number % 2]
        turns = [*turns, user("yes")]
        for _ in range(2):  # the first attempt fails, and the other worker gets the second
            worker.ask(turns)
            worker = (one, other)[(number + 1) % 2]
        answer = call(f"c{number}")
        worker.ask(turns, answer)
        turns = [*turns, answer, result(f"c{number}")]
        worker.ask(turns, model(f"a{number}"))
        turns = [*turns, model(f"a{number}")]
    for memory in (one, other):
        kept |= memory.kept["session"]
    assert sorted(kept.values()) == sorted(turns)


def test_ids_do_not_depend_on_the_process() -> None:
    code = (
        "from acontext_adapters.shared.resent_history import *\n"
        "items = [item('user', 'q'), item('call', '1'), item('result', '1')]\n"
        "print(*Conversations().sent('s', 'k', items).ids)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    items = [item("user", "q"), item("call", "1"), item("result", "1")]
    assert done.stdout.split() == list(Conversations().sent("s", "k", items).ids)


# -- everything a host does, at random
TEXTS = st.sampled_from(["yes", "no", "go on", "and Rome?"])
STEPS = st.lists(
    st.tuples(
        TEXTS,
        st.lists(st.integers(1, 3), max_size=3),
        st.sampled_from(["", "retry", "window", "summary", "swap", "aside"]),
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None)
@given(STEPS, st.sampled_from(KEYS), st.randoms(use_true_random=False))
def test_nothing_twice_and_nothing_lost(steps: list[Any], key: str | None, chance: random.Random) -> None:
    memory = Memory(key)
    truth: list[Item] = []
    asides: list[Item] = []
    number = 0

    def ask(answer: Item, what: str) -> None:
        history = [system(), *truth]
        if what == "swap":
            history = swapped(history, chance)
        elif what == "window" and key is not None and len(truth) > 3:
            history = [system(), *window(truth, chance)]
        elif what == "summary" and key is not None and len(truth) > 3:
            history = [system(), user("SUMMARY"), *window(truth, chance)]
        if what == "retry" and (key is not None or len(truth) > 1):
            memory.ask(history)
        if what == "aside" and key is not None:
            aside = user(f"a title, {number}"), model(f"Title {number}")
            memory.ask([aside[0]], aside[1])
            asides.extend(aside)
        memory.ask(history, answer)
        truth.append(answer)

    for text, rounds, what in steps:
        truth.append(user(text))
        for count in rounds:
            number += 1
            ids = [f"c{number}.{at}" for at in range(count)]
            ask(call(*ids), what)
            truth.extend(result(id) for id in ids)
        number += 1
        ask(model(f"a{number}"), what)
    assert sorted(memory.items) == sorted([*truth, *asides])
    assert [one for one in memory.items if one not in asides] == truth or what_swaps(steps)


def window(items: list[Item], chance: random.Random) -> list[Item]:
    """The end of a history; no provider takes results without their calls."""
    start = len(items) - chance.randint(3, len(items))
    while items[start].kind == "result":
        start -= 1
    return items[start:]


def what_swaps(steps: list[Any]) -> bool:
    return any(what == "swap" for _, _, what in steps)


def swapped(history: list[Item], chance: random.Random) -> list[Item]:
    """The history with neighbouring results in another order."""
    places = [at for at in range(1, len(history)) if history[at].kind == history[at - 1].kind == "result"]
    history = list(history)
    for at in places:
        if chance.random() < 0.5:
            history[at - 1], history[at] = history[at], history[at - 1]
    return history


# -- bounds
def test_memory_is_bounded_and_what_is_used_stays() -> None:
    conversations = Conversations(sessions=50, keys=2_000, keys_of_one=100)
    for number in range(500):
        memory = Memory(f"session {number}", conversations)
        memory.ask([user(f"{number}.{at}") for at in range(30)], A1)
        Memory("kept", conversations).ask([user(f"again {number}")], model(f"said {number}"))
    assert len(conversations) <= 50
    assert conversations.size <= 2_000
    assert Memory("kept", conversations).ask([user("again 499"), model("said 499"), user("new")]) == [user("new")]


def test_a_conversation_longer_than_its_bound_goes_on() -> None:
    memory = Memory(conversations=Conversations(keys_of_one=40))
    history: list[Item] = []
    for number in range(100):
        history = [*history, user(f"{number}")]
        assert memory.ask(history, model(f"a{number}")) == [user(f"{number}")]
        history = [*history, model(f"a{number}")]
    assert memory.items == history
    assert memory.conversations.size <= 42


def test_a_history_costs_what_it_is_long_and_not_more() -> None:
    """Counted in comparisons of keys, for a clock would tell of the machine."""

    class Counted(bytes):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return bytes.__eq__(self, other)  # type: ignore[arg-type]

        __hash__ = bytes.__hash__

    def cost(size: int) -> int:
        conversations = Conversations(keys=10**6, keys_of_one=10**5)
        items = [Item(Counted(one.key), one.kind) for one in (user("yes"), model("ok")) for _ in (0,)] * size
        conversations.sent("s", "k", [*items, user("first")])
        Counted.compared = 0
        conversations.sent("s", "k", [*items[3:], user("second")])
        return Counted.compared

    assert cost(2_000) < 12 * cost(200)


def test_everything_is_json_free_of_the_items_words() -> None:
    conversations = Conversations()
    sent = conversations.sent("s", "k", [user("a secret")])
    assert "secret" not in json.dumps([*sent.ids, sent.digest.hex()])
