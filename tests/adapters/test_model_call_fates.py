"""What a door that sees only calls of a model knows of its calls, and which answers belong to one conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acontext_adapters.model_calls import ANTHROPIC, CHAT, RESPONSES, WireFormat

from .test_model_calls import Host, Json, body, called, response, results, said, user, wire

__all__ = ["wire"]  # the fixture


def changed(wire: WireFormat, call: Json, **arguments: Any) -> Json:
    """A call as a host shows it that has changed its arguments."""
    if wire is RESPONSES:
        return {**call, "arguments": json.dumps(arguments)}
    if wire is ANTHROPIC:
        return {**call, "content": [{**block, "input": arguments} for block in call["content"]]}
    inner = {**call["tool_calls"][0]["function"], "arguments": json.dumps(arguments)}
    return {**call, "tool_calls": [{**call["tool_calls"][0], "function": inner}]}


# -- what the host's next request shows
@pytest.mark.parametrize("key", [None, "talk"])
def test_a_call_that_the_host_has_changed_ran_as_the_host_shows_it(wire: WireFormat, key: str | None) -> None:
    host = Host(wire)
    answer = called(wire, "c1")
    host.ask(user(wire, "weather?"), answer, session_key=key)
    shown = [*user(wire, "weather?"), changed(wire, answer[0], city="Rome"), *results(wire, "c1")]
    host.ask(shown, said(wire, "it is 21C"), session_key=key)
    host.ask([*shown, *said(wire, "it is 21C"), *user(wire, "sure?")], said(wire, "yes"), session_key=key)
    assert host.recorded.session.fates == [
        'weather {"city": "Oslo"}: executed as weather {"city": "Rome"}, edited by host'
    ]
    assert len(host.recorded.lines) == 6, "and it is the same call"


def test_a_call_that_has_another_tool_afterwards_was_changed_too() -> None:
    host = Host(CHAT)
    answer = called(CHAT, "c1")
    host.ask(user(CHAT, "weather?"), answer)
    function = {"name": "forecast", "arguments": '{"city":"Oslo"}'}
    shown = {**answer[0], "tool_calls": [{"id": "c1", "type": "function", "function": function}]}
    host.ask([*user(CHAT, "weather?"), shown, *results(CHAT, "c1", text="Error: no such city")], said(CHAT, "no"))
    (fate,) = host.recorded.session.told.values()
    assert (fate.name, fate.arguments, fate.status, fate.edited_by) == ("forecast", {"city": "Oslo"}, "failed", "host")


def test_a_call_that_is_shown_as_it_was_asked_for_is_assumed(wire: WireFormat) -> None:
    host = Host(wire)
    answer = called(wire, "c1")
    host.ask(user(wire, "weather?"), answer)
    # the same arguments, written otherwise
    shown = [*user(wire, "weather?"), changed(wire, answer[0], city="Oslo"), *results(wire, "c1")]
    host.ask(shown, said(wire, "it is 21C"))
    assert host.recorded.session.fates == ['weather {"city": "Oslo"}: assumed']


def test_a_changed_call_without_a_result_has_no_fate_yet(wire: WireFormat) -> None:
    host = Host(wire)
    answer = called(wire, "c1")
    host.ask(user(wire, "weather?"), answer)
    shown = [*user(wire, "weather?"), changed(wire, answer[0], city="Rome")]
    host.ask([*shown, *user(wire, "hurry")], said(wire, "soon"))
    assert host.recorded.session.told == {}


@pytest.mark.parametrize("wire", [CHAT, ANTHROPIC], ids=lambda wire: wire.name)
@pytest.mark.parametrize("key", [None, "talk"])
def test_nothing_became_of_a_call_that_the_host_leaves_out(wire: WireFormat, key: str | None) -> None:
    host = Host(wire)
    host.ask(user(wire, "weather?"), called(wire, "c1", "c2"), session_key=key)
    history = [*user(wire, "weather?"), *called(wire, "c2"), *results(wire, "c2")]
    host.ask(history, said(wire, "it is 21C"), session_key=key)
    host.ask([*history, *said(wire, "it is 21C"), *user(wire, "sure?")], said(wire, "yes"), session_key=key)
    assert host.recorded.session.fates == ['weather {"city": "Oslo"}: requested', 'weather {"city": "Oslo"}: assumed']
    assert host.recorded.lines.count("result: 21C") == 1
    assert len(host.recorded.lines) == 7, "and it is the same answer"


def test_an_id_that_another_answer_had_as_well_is_not_taken_for_a_part_of_it() -> None:
    host = Host(CHAT)
    host.ask(user(CHAT, "weather?"), called(CHAT, "call_0"))
    host.ask(user(CHAT, "and there?"), called(CHAT, "call_0", "call_1"))
    history = [*user(CHAT, "weather?"), *called(CHAT, "call_0"), *results(CHAT, "call_0")]
    host.ask(history, said(CHAT, "it is 21C"))
    first, other = host.recorded.sessions.values()
    assert len(first.messages) == 4
    assert other.told == first.told == {}


# -- what providers run themselves
@pytest.mark.parametrize(
    ("item", "status", "reason"),
    [
        ({"type": "web_search_call", "id": "h1", "status": "completed", "action": {"query": "x"}}, "executed", ""),
        ({"type": "file_search_call", "id": "h1", "status": "failed", "queries": ["x"]}, "failed", ""),
        ({"type": "code_interpreter_call", "id": "h1", "status": "incomplete", "code": "1"}, "failed", ""),
        ({"type": "mcp_call", "id": "h1", "name": "pay", "arguments": "{}", "output": "paid"}, "executed", ""),
        ({"type": "mcp_call", "id": "h1", "name": "pay", "arguments": "{}", "error": "no money"}, "failed", "no money"),
    ],
)
def test_a_tool_that_the_provider_runs_is_told_by_the_provider(item: Json, status: str, reason: str) -> None:
    host = Host(RESPONSES)
    host.ask(user(RESPONSES, "pay"), [item, *said(RESPONSES, "there")])
    (fate,) = host.recorded.session.told.values()
    assert (fate.call_id, fate.status, fate.reason) == ("h1", status, reason)
    assert fate.told_by == "OpenAI Responses API"
    assert host.outcomes() == [("success", "")]


@pytest.mark.parametrize(
    ("block", "status"),
    [
        ({"type": "web_search_tool_result", "content": [{"type": "web_search_result", "url": "u"}]}, "executed"),
        ({"type": "web_search_tool_result", "content": {"type": "web_search_tool_result_error"}}, "failed"),
        ({"type": "bash_code_execution_tool_result", "content": {"return_code": 0, "stdout": "1"}}, "executed"),
        ({"type": "bash_code_execution_tool_result", "content": {"return_code": 2, "stderr": "no"}}, "failed"),
        ({"type": "mcp_tool_result", "is_error": True, "content": [{"type": "text", "text": "no"}]}, "failed"),
    ],
)
def test_a_tool_that_anthropic_runs_is_told_by_anthropic(block: Json, status: str) -> None:
    host = Host(ANTHROPIC)
    use = {"type": "server_tool_use", "id": "h1", "name": "web_search", "input": {"query": "x"}}
    content = [use, {**block, "tool_use_id": "h1"}, {"type": "text", "text": "there"}]
    host.ask(user(ANTHROPIC, "look"), [{"role": "assistant", "content": content}])
    assert [(fate.call_id, fate.status) for fate in host.recorded.session.told.values()] == [("h1", status)]
    (result,) = [part for message in host.recorded.session.messages for part in message.tool_results]
    assert bool((result.meta or {}).get("is_error")) is (status == "failed")


@pytest.mark.parametrize("approve", [True, False])
def test_an_mcp_call_that_a_person_refuses_is_told_as_refused(approve: bool) -> None:
    host = Host(RESPONSES)
    asked = {"type": "mcp_approval_request", "id": "a1", "name": "pay", "arguments": "{}", "server_label": "bank"}
    host.ask(user(RESPONSES, "pay"), [asked])
    assert host.recorded.session.fates == ["pay {}: requested"]
    decided = {"type": "mcp_approval_response", "approval_request_id": "a1", "approve": approve, "reason": "too much"}
    ran = {"type": "mcp_call", "id": "m1", "name": "pay", "arguments": "{}", "output": "paid", "status": "completed"}
    host.ask([*user(RESPONSES, "pay"), asked, decided], [*([ran] if approve else []), *said(RESPONSES, "well")])
    fates = host.recorded.session.told
    if approve:
        assert [(id, fate.status) for id, fate in fates.items()] == [("a1", "requested"), ("m1", "executed")]
    else:
        assert [(fate.status, fate.by, fate.reason) for fate in fates.values()] == [("refused", "person", "too much")]


@pytest.mark.parametrize("streamed", [False, True])
def test_mcp_tools_that_litellm_runs_are_kept_with_what_became_of_them(streamed: bool) -> None:
    host = Host(CHAT)
    function = {"name": "bank-pay", "arguments": '{"amount":3}'}
    calls = [{"id": id, "type": "function", "function": function, "index": 0} for id in ("l1", "l2", "l3")]
    texts = ["paid", "Error executing tool: no route", "Tool call blocked: Guardrail 'limits' violation. too much"]
    ran = [
        {"tool_call_id": call["id"], "name": "bank-pay", "result": text}
        for call, text in zip(calls, texts, strict=True)
    ]
    notes = {"mcp_tool_calls": calls, "mcp_call_results": ran, "mcp_list_tools": []}
    answer = {"role": "assistant", "content": "paid one", "provider_specific_fields": notes}
    if streamed:
        assembler = CHAT.assembler()
        for delta, finish in (({"content": "paid one"}, None), ({"provider_specific_fields": notes}, "stop")):
            assembler.feed({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        host.ask(user(CHAT, "pay all"), None).answered(assembler.response)
    else:
        host.ask(user(CHAT, "pay all"), [answer])
    assert [line.split(":")[0] for line in host.recorded.lines] == [
        "user", "call", "call", "call", "result", "result", "result", "assistant",
    ]  # fmt: skip
    fates = [(fate.call_id, fate.status, fate.by) for fate in host.recorded.session.told.values()]
    assert fates == [("l1", "executed", ""), ("l2", "failed", ""), ("l3", "refused", "guardrail")]
    host.ask([*user(CHAT, "pay all"), *said(CHAT, "paid one"), *user(CHAT, "thanks")], said(CHAT, "bye"))
    assert host.recorded.lines[-2:] == ["user: thanks", "assistant: bye"]


# -- what belongs to one conversation
@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("key", [None, "talk"])
def test_an_answer_without_words_is_part_of_its_conversation(wire: WireFormat, key: str | None, shown: bool) -> None:
    host = Host(wire)
    nothing = [] if wire is RESPONSES else [{"role": "assistant", "content": "" if wire is CHAT else []}]
    silence = {
        "chat": choices({"role": "assistant", "content": ""}),
        "responses": {"id": "r", "status": "completed", "output": []},
        "anthropic": {"id": "r", "content": [], "stop_reason": "end_turn"},
    }[wire.name]
    history = user(wire, "hello")
    for text, words in (("are you there?", None), ("still?", None), ("good bye", "yes"), ("bye", "bye")):
        answer = nothing if words is None else said(wire, words)
        call = host.ask(history, None, session_key=key)
        call.answered(silence if words is None else response(wire, answer))
        history = [*history, *(answer if words or shown else []), *user(wire, text)]
    assert host.recorded.lines == [
        "user: hello", "user: are you there?", "user: still?", "assistant: yes", "user: good bye", "assistant: bye",
    ]  # fmt: skip
    assert [status for status, _ in host.outcomes()].count("success") == 2


def test_the_same_first_words_again_are_another_conversation_though_nothing_was_said() -> None:
    host = Host(CHAT)
    for _ in range(2):
        host.ask(user(CHAT, "hello"), [{"role": "assistant", "content": None}])
    assert len(host.recorded.sessions) == 2


def test_a_request_that_says_nothing_leaves_nothing_behind(wire: WireFormat) -> None:
    host = Host(wire)
    host.ask([], None).failed("400: messages is required")
    assert host.recorded.sessions == {}


def choices(*messages: Json) -> Json:
    made = [{"index": at, "message": one, "finish_reason": "stop"} for at, one in enumerate(messages)]
    return {"id": "r1", "choices": made}


@pytest.mark.parametrize("key", [None, "talk"])
@pytest.mark.parametrize("taken", [0, 1])
def test_the_host_may_go_on_with_another_choice(taken: int, key: str | None) -> None:
    host = Host(CHAT)
    answers = [*said(CHAT, "red"), *said(CHAT, "blue")]
    host.ask(user(CHAT, "a colour?"), None, session_key=key).answered(choices(*answers))
    history = [*user(CHAT, "a colour?"), answers[taken], *user(CHAT, "another")]
    host.ask(history, said(CHAT, "green"), session_key=key)
    first = host.recorded.session.messages[1]
    assert (first.text, [one["content"] for one in first.meta["other_choices"]]) == ("red", ["blue"])
    between = ["assistant: blue"] if taken else []
    assert host.recorded.lines == [
        "user: a colour?", "assistant: red", *between, "user: another", "assistant: green",
    ]  # fmt: skip


def test_the_calls_of_another_choice_can_be_answered() -> None:
    host = Host(CHAT)
    answers = [*called(CHAT, "c1"), *called(CHAT, "c2")]
    host.ask(user(CHAT, "weather?"), None).answered(choices(*answers))
    host.ask([*user(CHAT, "weather?"), answers[1], *results(CHAT, "c2")], said(CHAT, "21C"))
    assert len({message.run_id for message in host.recorded.session.messages}) == 1
    assert host.outcomes() == [("success", "")]


# -- streams of odd shapes
def piece(index: int | None = 0, id: str | None = None, name: str | None = None, given: Any = None) -> Json:
    function = {key: value for key, value in (("name", name), ("arguments", given)) if value is not None}
    call: Json = {} if index is None else {"index": index}
    return {**call, **({} if id is None else {"id": id}), **({"function": function} if function else {})}


OSLO, ROME = '{"city":"Oslo"}', '{"city":"Rome"}'
TWO = [("a", "weather", OSLO), ("b", "weather", ROME)]


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        ([piece(0, "a", "weather", OSLO), piece(0, "b", "weather", ROME)], TWO),
        ([piece(None, "a", "weather", OSLO), piece(None, "b", "weather", ROME)], TWO),
        ([piece(0, "a", "weather", ""), piece(0, None, None, OSLO), piece(0, "b", "weather", ROME)], TWO),
        ([piece(0, "a", "weather", ""), piece(1, "b", "weather", ROME), piece(0, None, None, OSLO)], TWO),
        ([piece(0, "a", "weather", OSLO[:4]), piece(0, "a", "weather", OSLO[4:]), piece(0, "b", "weather", ROME)], TWO),
        (
            [piece(0, "", "weather", OSLO), piece(0, "", "weather", ROME)],
            [("", "weather", OSLO), ("", "weather", ROME)],
        ),
        ([piece(None, None, "weather", OSLO[:4]), piece(None, None, None, OSLO[4:])], [("", "weather", OSLO)]),
        ([piece(0, "a", "wea"), piece(0, None, "ther"), piece(0, None, None, OSLO)], TWO[:1]),
        ([piece(0, "a", "weather", {"city": "Oslo"})], [("a", "weather", '{"city": "Oslo"}')]),
        ([piece(0), piece(0, "a"), piece(0, None, "weather", OSLO), piece(1)], TWO[:1]),
        ([piece(0, "a"), piece(0, None, None, "")], []),
        ([piece(0)], []),
    ],
)
def test_calls_in_a_stream_are_told_apart(pieces: list[Json], calls: list[tuple[str, str, str]]) -> None:
    assembler = CHAT.assembler()
    for one in pieces:
        assembler.feed({"choices": [{"index": 0, "delta": {"tool_calls": [one]}, "finish_reason": None}]})
    assembler.feed({"choices": [{"index": 0, "delta": {"content": "."}, "finish_reason": "stop"}]})
    answer = CHAT.answer(assembler.response, {})
    made = [(call.id, call.name, call.arguments) for one in answer.pieces for call in CHAT.calls(one)]
    assert made == calls
    assert answer.status == ("calls" if calls else "success")


def test_a_whole_answer_with_an_empty_stub_is_an_answer() -> None:
    message = {"role": "assistant", "content": "21C", "tool_calls": [{"index": 0}, {"id": "x", "function": {}}]}
    host = Host(CHAT)
    host.ask(user(CHAT, "weather?"), [message])
    host.ask([*user(CHAT, "weather?"), message, *user(CHAT, "sure?")], said(CHAT, "yes"))
    assert host.recorded.lines == ["user: weather?", "assistant: 21C", "user: sure?", "assistant: yes"]
    assert [status for status, _ in host.outcomes()] == ["success", "success"]


def test_choices_in_a_stream_are_told_apart() -> None:
    assembler = CHAT.assembler()
    for at, words, finish in ((0, "re", None), (1, "bl", None), (1, "ue", "stop"), (0, "d", "stop")):
        assembler.feed({"choices": [{"index": at, "delta": {"content": words}, "finish_reason": finish}]})
        assert assembler.finished is (words == "d")
    answer = CHAT.answer(assembler.response, body(CHAT, []))
    assert [one.blob["content"] for one in (*answer.pieces, *answer.others)] == ["red", "blue"]
