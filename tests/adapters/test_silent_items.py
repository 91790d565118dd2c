"""What a model keeps for itself (sealed reasoning) is kept with its words, be they answered or sent by the host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acontext_adapters.model_calls import RESPONSES, CallRecorder
from acontext_plugins import Acontext
from acontext_plugins.runs import RunOptions, Runtime

Json = dict[str, Any]


def thought(id: str) -> Json:
    return {"type": "reasoning", "id": id, "summary": [], "encrypted_content": f"sealed {id}"}


def called(id: str) -> Json:
    return {"type": "function_call", "call_id": id, "name": "look_up", "arguments": "{}"}


def result(id: str) -> Json:
    return {"type": "function_call_output", "call_id": id, "output": "found"}


def model(text: str) -> Json:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": f"m_{text}", "role": "assistant", "status": "completed", "content": [part]}


USER: Json = {"role": "user", "content": "q"}
AGAIN: Json = {"role": "user", "content": "again"}
DONE = model("done")
COMPACTED: Json = {"type": "compaction", "id": "cmp", "encrypted_content": "all of it"}


class Talk:
    """One named session in a real database, served by several workers."""

    def __init__(self, client: Acontext) -> None:
        self.client = client
        self.runtime = Runtime(RunOptions(space=None, strict=True), client)
        self.workers = [CallRecorder() for _ in range(3)]

    def ask(self, *items: Json, answer: list[Json], worker: int = 0, **fields: Any) -> None:
        body = {"model": "m", "input": list(items), **fields}
        call = self.workers[worker].begin(self.runtime, RESPONSES, body, session_key="talk")
        call.answered({"id": "r", "status": "completed", "output": answer})
        assert self.client.flush(30)

    @property
    def kept(self) -> list[Json]:
        (session,) = self.client.sessions.list().items
        return self.client.sessions.get_messages(session.id, format="openai_responses").items


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    with Acontext(f"sqlite:///{tmp_path}/talk.db") as client:
        yield Talk(client)


@pytest.mark.parametrize(
    "turn",
    [
        [USER, thought("a"), called("1"), result("1")],
        [USER, thought("a"), called("1"), called("2"), result("1"), result("2")],
        [USER, thought("a"), called("1"), result("1"), thought("b"), called("2"), result("2")],
        [USER, thought("a"), model("let me see"), thought("b"), called("1"), result("1")],
        [USER, called("1"), COMPACTED, result("1")],
        [USER, called("1"), result("1"), thought("a")],
        [USER, thought("a")],
    ],
    ids=["call", "parallel", "two steps", "words and call", "compaction", "behind a result", "nothing else"],
)
def test_a_turn_that_the_host_sends_is_kept_with_its_reasoning(talk: Talk, turn: list[Json]) -> None:
    talk.ask(*turn, answer=[DONE])
    assert talk.kept == [*turn, DONE]
    talk.ask(*turn, DONE, AGAIN, answer=[model("yes")])
    assert talk.kept == [*turn, DONE, AGAIN, model("yes")]


def test_reasoning_of_an_answer_that_the_host_sends_again_is_kept_once(talk: Talk) -> None:
    first, second = [thought("a"), called("1")], [thought("b"), DONE]
    talk.ask(USER, answer=first)
    talk.ask(USER, *first, result("1"), answer=second)
    talk.ask(USER, *first, result("1"), *second, AGAIN, answer=[thought("c"), model("yes")])
    assert talk.kept == [USER, *first, result("1"), *second, AGAIN, thought("c"), model("yes")]


def test_another_process_that_is_sent_the_turn_adds_nothing(talk: Talk) -> None:
    first = [thought("a"), called("1")]
    talk.ask(USER, answer=first)
    talk.ask(USER, *first, result("1"), answer=[thought("b"), called("2")], worker=1)
    talk.ask(USER, *first, result("1"), thought("b"), called("2"), result("2"), answer=[DONE], worker=2)
    assert talk.kept == [USER, *first, result("1"), thought("b"), called("2"), result("2"), DONE]


def test_reasoning_goes_along_where_the_provider_has_the_history(talk: Talk) -> None:
    new = [thought("a"), called("1"), result("1")]
    talk.ask(*new, answer=[DONE], previous_response_id="r0")
    assert talk.kept == [*new, DONE]


def test_a_reference_to_what_the_provider_has_is_no_item(talk: Talk) -> None:
    talk.ask(USER, {"type": "item_reference", "id": "rs_1"}, called("1"), result("1"), answer=[DONE])
    assert talk.kept == [USER, called("1"), result("1"), DONE]
