"""A session that the client names: each turn is kept once, whatever is repeated and however much history is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_adapters.model_calls import ANTHROPIC, CHAT, CallRecorder
from acontext_adapters.model_calls.turns import RecordedCall
from acontext_plugins import Acontext
from acontext_plugins.runs import RunOptions, Runtime

from ..examples import examples

Json = dict[str, Any]
Said = tuple[str, str]


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def model(text: str) -> Json:
    return {"role": "assistant", "content": text}


def calls(id: str) -> Json:
    function = {"name": "look_up", "arguments": "{}"}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": id, "type": "function", "function": function}]}


def result(id: str, text: str = "found") -> Json:
    return {"role": "tool", "tool_call_id": id, "content": text}


class Talk:
    """One named session in a real database, which several workers serve: each knows what it has seen itself."""

    def __init__(self, client: Acontext, workers: int = 1) -> None:
        self.client = client
        self.runtime = Runtime(RunOptions(space=None, strict=True), client)
        self.workers = [CallRecorder() for _ in range(workers)]

    def begin(self, *items: Json, worker: int = 0, **options: Any) -> RecordedCall:
        body = {"model": "m", "messages": list(items)}
        return self.workers[worker].begin(self.runtime, CHAT, body, session_key="talk", **options)

    def ask(self, *items: Json, answer: Json, worker: int = 0) -> None:
        self.answer(self.begin(*items, worker=worker), answer)

    def answer(self, call: RecordedCall, answer: Json) -> None:
        finish = "tool_calls" if answer.get("tool_calls") else "stop"
        call.answered({"id": "r", "choices": [{"index": 0, "message": answer, "finish_reason": finish}]})

    @property
    def kept(self) -> list[Said]:
        assert self.client.flush(30)
        (session,) = self.client.sessions.list().items
        items = self.client.sessions.get_messages(session.id, format="openai").items
        return [(one["role"], one["content"] or "call") for one in items]

    @property
    def tasks(self) -> int:
        assert self.client.flush(30)
        (session,) = self.client.sessions.list().items
        return len(self.client.sessions.get_tasks(session.id).items)


@contextmanager
def talking(folder: Path, workers: int = 1) -> Iterator[Talk]:
    with Acontext(f"sqlite:///{folder}/talk.db") as client:
        yield Talk(client, workers)


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    with talking(tmp_path, workers=3) as found:
        yield found


def turns(*pairs: Said) -> list[Said]:
    return [one for question, answer in pairs for one in (("user", question), ("assistant", answer))]


def test_the_same_answer_to_each_question_is_kept_each_time(talk: Talk) -> None:
    for question in ("list", "count", "list", "list", "count"):
        talk.ask(user(question), answer=model("Done."))
    assert talk.kept == turns(*((q, "Done.") for q in ("list", "count", "list", "list", "count")))
    assert talk.tasks == 5


def test_a_window_that_begins_with_the_last_answer_goes_on_each_time(talk: Talk) -> None:
    talk.ask(user("next"), answer=model("ok"))
    for _ in range(4):
        talk.ask(model("ok"), user("next"), answer=model("ok"))
    assert talk.kept == turns(*[("next", "ok")] * 5)
    assert talk.tasks == 5


def test_a_window_that_looks_like_the_beginning_goes_on_each_time(talk: Talk) -> None:
    history: list[Json] = []
    for _ in range(6):
        history = [*history, user("next")][-3:]
        talk.ask(*history, answer=model("ok"))
        history = [*history, model("ok")]
    assert talk.kept == turns(*[("next", "ok")] * 6)


def test_results_that_come_alone_are_kept_each_time(talk: Talk) -> None:
    for number in range(3):
        talk.ask(user("look"), answer=calls(f"c{number}"))
        talk.ask(result(f"c{number}"), answer=model("ok"))
    one = [("user", "look"), ("assistant", "call"), ("tool", "found"), ("assistant", "ok")]
    assert talk.kept == one * 3
    assert talk.tasks == 3


def test_results_that_come_alone_are_told_apart_where_calls_are_numbered_anew(talk: Talk) -> None:
    for _ in range(3):
        talk.ask(user("look"), answer=calls("call_0"))
        talk.ask(result("call_0"), answer=model("ok"))
    assert talk.kept == [("user", "look"), ("assistant", "call"), ("tool", "found"), ("assistant", "ok")] * 3


@pytest.mark.parametrize("first", [True, False])
def test_a_request_that_failed_and_is_sent_again_is_one_turn(talk: Talk, first: bool) -> None:
    if not first:
        talk.ask(user("list"), answer=model("ok"))
    talk.begin(user("list")).failed("503: overloaded")
    talk.begin(user("list")).cancelled()
    talk.ask(user("list"), answer=model("ok"))
    talk.ask(user("list"), answer=model("ok"))
    assert talk.kept == turns(*[("list", "ok")] * (2 if first else 3))


def test_requests_at_the_same_time_are_turns_of_their_own(talk: Talk) -> None:
    going = [talk.begin(user("classify")) for _ in range(3)]
    for call in going:
        talk.answer(call, model("yes"))
    assert sorted(talk.kept) == sorted(turns(*[("classify", "yes")] * 3))


def test_a_client_that_says_that_it_sends_a_request_again_is_believed(talk: Talk) -> None:
    talk.begin(user("list"))  # nobody says that the client has left
    talk.answer(talk.begin(user("list"), retry=True), model("ok"))
    talk.begin(user("list"))
    talk.answer(talk.begin(user("list"), retry=True), model("ok"))
    assert talk.kept == turns(("list", "ok"), ("list", "ok"))


def test_several_workers_keep_each_turn_of_a_client_without_history(talk: Talk) -> None:
    for number in range(7):
        talk.ask(user("list"), answer=model("ok"), worker=number % 3)
        assert talk.client.flush(30)
    assert talk.kept == turns(*[("list", "ok")] * 7)
    assert talk.tasks == 7


def test_several_workers_keep_each_turn_of_a_client_with_a_window(talk: Talk) -> None:
    talk.ask(user("next"), answer=model("ok"))
    for number in range(7):
        talk.ask(model("ok"), user("next"), answer=model("ok"), worker=number % 3)
        assert talk.client.flush(30)
    assert talk.kept == turns(*[("next", "ok")] * 8)


def test_several_workers_keep_a_history_that_is_sent_again_once(talk: Talk) -> None:
    history: list[Json] = []
    for number in range(5):
        for more, answer in ((user("look"), calls(f"c{number}")), (result(f"c{number}"), model("ok"))):
            history = [*history, more]
            worker = len(history) // 2 % 3
            talk.begin(*history, worker=worker).failed("503: overloaded")
            talk.ask(*history, answer=answer, worker=(worker + 1) % 3)
            history = [*history, answer]
            assert talk.client.flush(30)
    assert talk.kept == [("user", "look"), ("assistant", "call"), ("tool", "found"), ("assistant", "ok")] * 5
    assert talk.tasks == 5


@pytest.mark.parametrize("ids", [("c1", "c2"), ("call_0", "call_0")])
def test_another_worker_goes_on_with_a_turn_that_is_shown_from_its_beginning(talk: Talk, ids: tuple[str, str]) -> None:
    for number, id in enumerate(ids):
        talk.ask(user("look"), answer=calls(id), worker=0)
        assert talk.client.flush(30)
        talk.ask(user("look"), calls(id), result(id), answer=model("ok"), worker=1 + number)
        assert talk.client.flush(30)
    assert talk.kept == [("user", "look"), ("assistant", "call"), ("tool", "found"), ("assistant", "ok")] * 2
    assert talk.tasks == 2


def test_a_turn_that_nobody_here_has_seen_the_beginning_of_is_kept_from_its_beginning(talk: Talk) -> None:
    talk.ask(user("look"), calls("c1"), result("c1"), answer=model("ok"))
    assert talk.kept == [("user", "look"), ("assistant", "call"), ("tool", "found"), ("assistant", "ok")]


SHOWN = st.sampled_from(["alone", "whole", "window", "turn"])
TURNS = st.lists(
    st.tuples(
        st.sampled_from(["ok", "next"]),
        st.sampled_from(["ok", "Done."]),
        SHOWN,
        st.sampled_from([None, "failed", "cancelled"]),
        st.booleans(),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.slow
@examples(40)
@given(TURNS, st.sampled_from([None, "alone", "whole", "turn"]), st.booleans())
def test_every_turn_is_kept_once(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, str, str, str | None, bool, int]],
    same: str | None,
    numbered_anew: bool,
) -> None:
    """Questions, answers and ids of calls repeat, with and without history; some requests fail, some call a tool.

    One worker takes anything. Of several, none knows what the others were told: there a client shows all of its
    history, or none, or what there is of the turn (a window of the same words may be a request for another answer).
    """
    many = same is not None
    with talking(tmp_path_factory.mktemp("talk"), workers=3) as talk:
        history: list[Json] = []
        expected: list[Said] = []
        for number, (question, answer, shown, first, tool, worker) in enumerate(steps):
            worker = worker if many else 0
            new = [user(question)]
            call_id = "call_0" if numbered_anew else f"c{number}"
            answers = [calls(call_id)] if tool else []
            began = len(history)
            for reply in (*answers, model(answer)):
                context = {"alone": [], "whole": history, "window": history[-1:], "turn": history[began:]}[
                    same or shown
                ]
                if first == "failed":
                    talk.begin(*context, *new, worker=worker).failed("503: overloaded")
                elif first == "cancelled":
                    talk.begin(*context, *new, worker=worker).cancelled()
                talk.ask(*context, *new, answer=reply, worker=worker)
                history = [*history, *new, reply]
                expected += [(one["role"], one["content"] or "call") for one in (*new, reply)]
                new = [result(call_id)]
                if many:
                    assert talk.client.flush(30)
        assert talk.kept == expected


def test_blocks_of_another_format_are_kept_each_time(tmp_path: Path) -> None:
    with talking(tmp_path) as talk:
        for _ in range(3):
            body = {"model": "m", "max_tokens": 9, "messages": [user("list")]}
            call = talk.workers[0].begin(talk.runtime, ANTHROPIC, body, session_key="talk")
            content = [{"type": "text", "text": "ok"}]
            call.answered({"type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn"})
        assert talk.kept == turns(*[("list", "ok")] * 3)
