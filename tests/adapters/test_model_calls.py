"""Single calls of a model as runs: the same talk in three formats, and every way that a call can end."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import threading
import weakref
from typing import Any

import pytest

from acontext_adapters.model_calls import ANTHROPIC, CHAT, RESPONSES, CallRecorder, WireFormat
from acontext_adapters.model_calls.delayed_failures import DelayedFailures
from acontext_adapters.testing import SKILLS, MemoryClient
from acontext_plugins.runs import RunOptions, Runtime

Json = dict[str, Any]
LINES = [
    "user: weather?",
    'call: weather {"city": "Oslo"}',
    "result: 21C",
    "assistant: it is 21C",
    "user: sure?",
    "assistant: yes",
]


def user(wire: WireFormat, text: str) -> list[Json]:
    return [{"role": "user", "content": text}]


def said(wire: WireFormat, text: str) -> list[Json]:
    if wire is RESPONSES:
        return [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}]
    if wire is ANTHROPIC:
        return [{"role": "assistant", "content": [{"type": "text", "text": text}]}]
    return [{"role": "assistant", "content": text}]


def called(wire: WireFormat, *ids: str) -> list[Json]:
    arguments = {"city": "Oslo"}
    words = json.dumps(arguments)
    if wire is RESPONSES:
        return [{"type": "function_call", "call_id": id, "name": "weather", "arguments": words} for id in ids]
    if wire is ANTHROPIC:
        blocks = [{"type": "tool_use", "id": id, "name": "weather", "input": arguments} for id in ids]
        return [{"role": "assistant", "content": blocks}]
    function = {"name": "weather", "arguments": words}
    calls = [{"id": id, "type": "function", "function": function} for id in ids]
    return [{"role": "assistant", "content": None, "tool_calls": calls}]


def results(wire: WireFormat, *ids: str, text: str = "21C") -> list[Json]:
    if wire is RESPONSES:
        return [{"type": "function_call_output", "call_id": id, "output": text} for id in ids]
    if wire is ANTHROPIC:
        return [
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": text} for id in ids]}
        ]
    return [{"role": "tool", "tool_call_id": id, "content": text} for id in ids]


def body(wire: WireFormat, history: list[Json], **more: Any) -> Json:
    if wire is RESPONSES:
        tools = [{"type": "function", "name": "weather", "parameters": {}}]
        return {"model": "m", "instructions": "Base.", "input": history, "tools": tools, **more}
    if wire is ANTHROPIC:
        tools = [{"name": "weather", "input_schema": {}}]
        return {"model": "m", "max_tokens": 9, "system": "Base.", "messages": history, "tools": tools, **more}
    tools = [{"type": "function", "function": {"name": "weather"}}]
    return {"model": "m", "messages": [{"role": "system", "content": "Base."}, *history], "tools": tools, **more}


def response(wire: WireFormat, items: list[Json], id: str = "r1") -> Json:
    if wire is RESPONSES:
        return {"id": id, "status": "completed", "output": items}
    if wire is ANTHROPIC:
        stop = "tool_use" if items[0]["content"][0]["type"] == "tool_use" else "end_turn"
        return {"id": id, "type": "message", "role": "assistant", "content": items[0]["content"], "stop_reason": stop}
    finish = "tool_calls" if items[0].get("tool_calls") else "stop"
    return {"id": id, "choices": [{"index": 0, "message": items[0], "finish_reason": finish}]}


@pytest.fixture(params=[CHAT, RESPONSES, ANTHROPIC], ids=lambda wire: wire.name)
def wire(request: pytest.FixtureRequest) -> WireFormat:
    found: WireFormat = request.param
    return found


class Host:
    """Calls a model in one format, through the core."""

    def __init__(
        self, wire: WireFormat, recorded: MemoryClient | None = None, calls: CallRecorder | None = None, **options: Any
    ) -> None:
        self.wire = wire
        self.recorded = recorded or MemoryClient(SKILLS)
        self.calls = calls if calls is not None else CallRecorder()
        self.runtime = Runtime(RunOptions(**{"space": "s", "strict": True, "deadline": 30, **options}), self.recorded)
        self.sent: list[Json] = []

    def ask(self, history: list[Json], answer: list[Json] | None, **options: Any) -> Any:
        given = body(self.wire, history)
        before = copy.deepcopy(given)
        call = self.calls.begin(self.runtime, self.wire, given, **options)
        self.sent.append(call.prepared())
        assert given == before, "what is given is never changed"
        if answer is not None:
            call.answered(response(self.wire, answer, f"r{len(self.sent)}"))
        return call

    def talk(self, **options: Any) -> None:
        """Two turns, the first with a tool."""
        history = user(self.wire, "weather?")
        for answer, more in (
            (called(self.wire, "c1"), results(self.wire, "c1")),
            (said(self.wire, "it is 21C"), user(self.wire, "sure?")),
            (said(self.wire, "yes"), []),
        ):
            self.ask(history, answer, **options)
            history = [*history, *answer, *more]

    def outcomes(self) -> list[tuple[str, str]]:
        return [(outcome.status, outcome.reason) for outcome in self.recorded.session.outcomes]


# -- turns
@pytest.mark.parametrize("key", [None, "talk"])
def test_a_talk_is_one_session_and_each_turn_one_run(wire: WireFormat, key: str | None) -> None:
    host = Host(wire)
    host.talk(session_key=key)
    assert host.recorded.lines == LINES
    runs = [message.run_id for message in host.recorded.session.messages]
    assert runs == [runs[0]] * 4 + [runs[4]] * 2
    assert [(one.run_id, one.status) for one in host.recorded.session.outcomes] == [
        (runs[0], "success"),
        (runs[4], "success"),
    ]
    assert key is None or host.recorded.session.ref.key == key
    assert len(host.calls) == 0


def test_each_turn_is_asked_about_once_and_has_the_same_bytes_in_each_call(wire: WireFormat) -> None:
    host = Host(wire)
    host.talk()
    assert [(query.text, query.tools) for query in host.recorded.queries] == [
        ("weather?", ["weather"]),
        ("sure?", ["weather"]),
    ]
    assert [json.dumps(sent).count("<acontext-skills") for sent in host.sent] == [1, 1, 1]
    names = {"chat": "messages", "responses": "instructions", "anthropic": "system"}
    places = [sent[names[wire.name]] for sent in host.sent]
    heads = [place[0] if wire is CHAT else place for place in places]
    assert heads[0] == heads[1] == heads[2]


def test_a_turn_in_another_process_is_the_same_run_and_is_kept_once(wire: WireFormat) -> None:
    recorded = MemoryClient(SKILLS)
    workers = [Host(wire, recorded), Host(wire, recorded)]
    history = user(wire, "weather?")
    answers = [called(wire, "c1"), said(wire, "it is 21C"), said(wire, "yes")]
    more = [results(wire, "c1"), user(wire, "sure?"), []]
    for number, (answer, rest) in enumerate(zip(answers, more, strict=True)):
        workers[number % 2].ask(history, answer, session_key="talk")
        history = [*history, *answer, *rest]
    assert recorded.lines == LINES
    assert len({message.run_id for message in recorded.session.messages}) == 2


def test_parallel_calls_and_their_results_are_kept_once(wire: WireFormat) -> None:
    host = Host(wire)
    history = user(wire, "weather?")
    calls = called(wire, "c1", "c2")
    host.ask(history, calls)
    host.ask([*history, *calls, *results(wire, "c2", "c1")], said(wire, "ok"))
    swapped = [*history, *calls, *results(wire, "c1", "c2"), *said(wire, "ok"), *user(wire, "sure?")]
    host.ask(swapped, said(wire, "yes"))
    parts = [part for message in host.recorded.session.messages for part in message.parts]
    assert [part.meta["id"] for part in parts if part.type == "tool-call" and part.meta] == ["c1", "c2"]
    assert [part.meta["tool_call_id"] for part in parts if part.type == "tool-result" and part.meta] == ["c2", "c1"]
    assert host.recorded.lines[-3:] == ["assistant: ok", "user: sure?", "assistant: yes"]


# -- ends
def test_a_failure_keeps_the_turn(wire: WireFormat) -> None:
    host = Host(wire)
    host.ask(user(wire, "weather?"), None).failed("503: overloaded")
    assert host.recorded.lines == ["user: weather?"]
    assert host.outcomes() == [("failed", "503: overloaded")]


def test_the_first_end_counts(wire: WireFormat) -> None:
    host = Host(wire)
    call = host.ask(user(wire, "weather?"), said(wire, "ok"))
    call.cancelled()
    call.failed("late")
    call.answered(response(wire, said(wire, "again")))
    assert host.outcomes() == [("success", "")]
    assert host.recorded.lines == ["user: weather?", "assistant: ok"]


def test_another_attempt_takes_a_held_failure_back(wire: WireFormat) -> None:
    host = Host(wire)
    asked = user(wire, "weather?")
    host.ask(asked, None, call_id="1").failed("503", retried_within=60)
    host.ask(asked, None, call_id="1", attempt=1).failed("503", retried_within=60)
    host.ask(asked, said(wire, "ok"), call_id="1", attempt=2)
    host.calls.flush()
    assert host.recorded.lines == ["user: weather?", "assistant: ok"]
    assert host.outcomes() == [("success", "")]


def test_a_held_failure_comes_true_when_its_time_has_come(wire: WireFormat) -> None:
    done = threading.Event()

    class Slow(MemoryClient):
        def record(self, recording: Any) -> None:
            super().record(recording)
            if recording.outcomes:
                done.set()

    host = Host(wire, Slow())
    host.ask(user(wire, "weather?"), None, call_id="1").failed("503", retried_within=0.01)
    assert done.wait(30)
    assert host.outcomes() == [("failed", "503")]
    assert len(host.calls) == 0


def test_a_turn_that_was_given_up_is_not_taken_up_by_the_next(wire: WireFormat) -> None:
    host = Host(wire)
    history = [*user(wire, "weather?"), *called(wire, "c1")]
    host.ask(history[:1], called(wire, "c1"), session_key="talk")
    host.ask(
        [*history, *results(wire, "c1"), *user(wire, "never mind, a poem")], said(wire, "a poem"), session_key="talk"
    )
    host.ask(user(wire, "something else"), said(wire, "ok"), session_key="talk")
    runs = list(dict.fromkeys(message.run_id for message in host.recorded.session.messages))
    assert len(runs) == 2
    assert [outcome.run_id for outcome in host.recorded.session.outcomes] == runs


# -- recording
def test_what_is_recorded_is_what_it_was_when_it_was_sent(wire: WireFormat) -> None:
    host = Host(wire)
    given = body(wire, user(wire, "weather?"))
    call = host.calls.begin(host.runtime, wire, given)
    given.get("messages", given.get("input"))[-1]["content"] = "changed by the host"
    answer = response(wire, said(wire, "ok"))
    call.answered(answer)
    answer.clear()
    assert host.recorded.lines == ["user: weather?", "assistant: ok"]


def test_injected_text_is_never_kept_and_not_injected_twice(wire: WireFormat) -> None:
    host = Host(wire)
    asked = user(wire, f"weather?\n\n{SKILLS}")
    first = host.ask(asked, said(wire, "ok"))
    again = first.wire.with_skills(host.sent[0], SKILLS, {})
    assert again is host.sent[0]
    assert host.recorded.lines == ["user: weather?", "assistant: ok"]
    assert [query.text for query in host.recorded.queries] == ["weather?"]
    host.ask([*user(wire, "weather?"), *said(wire, "ok"), *user(wire, "sure?")], said(wire, "yes"))
    assert host.recorded.lines == ["user: weather?", "assistant: ok", "user: sure?", "assistant: yes"]


def test_in_the_users_turn_the_skills_stand_at_its_end_in_each_call(wire: WireFormat) -> None:
    host = Host(wire, inject_as="user")
    history = user(wire, "weather?")
    host.ask(history, called(wire, "c1"))
    host.ask([*history, *called(wire, "c1"), *results(wire, "c1")], said(wire, "ok"))
    items = [sent.get("messages", sent.get("input")) for sent in host.sent]
    turns = [next(item for item in sent if item["role"] == "user") for sent in items]
    assert turns[0] == turns[1]
    assert turns[0]["content"] == f"weather?\n\n{SKILLS}"


@pytest.mark.parametrize("options", [{"space": None}, {"inject": False}])
def test_nothing_is_asked_for_where_nothing_is_injected(wire: WireFormat, options: Any) -> None:
    host = Host(wire, **options)
    call = host.ask(user(wire, "weather?"), said(wire, "ok"))
    assert not call.wanted
    assert host.sent[0] is call.body
    assert host.recorded.queries == []
    assert host.recorded.lines == ["user: weather?", "assistant: ok"]


# -- never hurting the host
def test_requests_and_answers_of_any_shape_raise_nothing(wire: WireFormat) -> None:
    shapes: list[Any] = [None, 1, "x", [], [1], {}, {"x": 1}, [None], [{"role": 1}], [{"content": {}}], [{"type": []}]]
    recorded = MemoryClient(SKILLS)
    host = Host(wire, recorded, strict=False)
    names = (
        "messages",
        "input",
        "system",
        "instructions",
        "tools",
        "metadata",
        "tool_choice",
        "functions",
        "conversation",
    )
    for shape in shapes:
        for name in names:
            call = host.calls.begin(host.runtime, wire, {**body(wire, user(wire, "hi")), name: shape})
            assert isinstance(call.prepared(), dict)
            call.answered(response(wire, said(wire, "ok")))
        for name in ("choices", "output", "content", "status", "error", "stop_reason", "id"):
            call = host.calls.begin(host.runtime, wire, body(wire, user(wire, "hi")))
            call.answered({**response(wire, said(wire, "ok")), name: shape})
            assembler = wire.assembler()
            for event in (
                {"type": shape},
                {name: shape},
                {"type": "message_delta", "delta": shape},
                {"choices": shape},
            ):
                try:
                    assembler.feed(event)
                except Exception as error:  # a client guards it; it is to be an exception and no more
                    assert isinstance(error, Exception)  # noqa: PT017
            call.answered(assembler.response)
    assert recorded.sessions


def test_no_client_lives_on_for_a_turn_that_was_given_up(wire: WireFormat) -> None:
    calls = CallRecorder()
    host = Host(wire, calls=calls)
    host.ask(user(wire, "weather?"), called(wire, "c1"))
    there = weakref.ref(host.recorded)
    assert len(calls) == 1
    del host
    gc.collect()
    assert there() is None


async def test_a_recall_in_a_coroutine_is_asked_for_once_too(wire: WireFormat) -> None:
    host = Host(wire)
    call = host.calls.begin(host.runtime, wire, body(wire, user(wire, "weather?")))
    sent = await call.aprepared()
    assert SKILLS in json.dumps(sent, ensure_ascii=False) or "acontext-skills" in json.dumps(sent)
    assert (await call.aprepared()) == sent
    assert len(host.recorded.queries) == 1
    await asyncio.sleep(0)


def test_hold_takes_back_flushes_and_forgets() -> None:
    hold, said = DelayedFailures(), []
    hold.put("a", 60, lambda: said.append("a"))
    hold.put("b", 60, lambda: said.append("b"))
    assert hold.take("a")
    assert not hold.take("a")
    hold.flush()
    assert said == ["b"]
    assert len(hold) == 0
