"""What is particular to each format of model calls: where skills stand, what answers mean, how streams end up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_adapters.model_calls import ANTHROPIC, CHAT, RESPONSES, Events, WireFormat
from acontext_adapters.testing import SKILLS

from .litellm import upstream

Json = dict[str, Any]


# -- where skills stand
@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (
            [{"role": "system", "content": "Base."}, {"role": "user", "content": "q"}],
            [{"role": "system", "content": f"Base.\n\n{SKILLS}"}, {"role": "user", "content": "q"}],
        ),
        (
            [
                {"role": "system", "content": "A"},
                {"role": "developer", "content": "B"},
                {"role": "user", "content": "q"},
            ],
            [
                {"role": "system", "content": "A"},
                {"role": "developer", "content": f"B\n\n{SKILLS}"},
                {"role": "user", "content": "q"},
            ],
        ),
        (
            [{"role": "system", "content": [{"type": "text", "text": "A"}]}],
            [{"role": "system", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": SKILLS}]}],
        ),
        ([{"role": "user", "content": "q"}], [{"role": "system", "content": SKILLS}, {"role": "user", "content": "q"}]),
        (
            [{"role": "user", "content": "q"}, {"role": "system", "content": "late"}],
            [
                {"role": "system", "content": SKILLS},
                {"role": "user", "content": "q"},
                {"role": "system", "content": "late"},
            ],
        ),
    ],
)
def test_chat_has_them_behind_the_hosts_own_instructions(messages: list[Json], expected: list[Json]) -> None:
    assert CHAT.with_skills({"messages": messages}, SKILLS, {}) == {"messages": expected}


@pytest.mark.parametrize(("instructions", "expected"), [(None, SKILLS), ("", SKILLS), ("Base.", f"Base.\n\n{SKILLS}")])
def test_responses_have_them_behind_the_instructions(instructions: str | None, expected: str) -> None:
    body = {"input": "q", "instructions": instructions}
    assert RESPONSES.with_skills(body, SKILLS, {}) == {"input": "q", "instructions": expected}


def test_responses_have_them_in_a_turn_that_is_only_text() -> None:
    assert RESPONSES.with_skills({"input": "q"}, "", {0: SKILLS}) == {"input": f"q\n\n{SKILLS}"}
    parts = {"input": [{"role": "user", "content": [{"type": "input_text", "text": "q"}]}]}
    given = RESPONSES.with_skills(parts, "", {0: SKILLS})["input"][0]["content"]
    assert given == [{"type": "input_text", "text": "q"}, {"type": "input_text", "text": SKILLS}]


def test_anthropic_has_a_new_block_behind_what_is_cached() -> None:
    cached = {"type": "text", "text": "Base.", "cache_control": {"type": "ephemeral"}}
    body = {"system": [cached], "messages": [{"role": "user", "content": "q"}]}
    assert ANTHROPIC.with_skills(body, SKILLS, {})["system"] == [cached, {"type": "text", "text": SKILLS}]
    assert ANTHROPIC.with_skills({**body, "system": None}, SKILLS, {})["system"] == SKILLS


def test_anthropic_has_them_in_the_users_words_and_not_among_results() -> None:
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "21C"}]}
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "..."}, result]
    given = ANTHROPIC.with_skills({"messages": messages}, "", {0: SKILLS})["messages"]
    assert given == [{"role": "user", "content": f"q\n\n{SKILLS}"}, *messages[1:]]


# -- which tools
@pytest.mark.parametrize(
    ("wire", "tools", "names"),
    [
        (
            CHAT,
            [{"type": "function", "function": {"name": "b"}}, {"type": "custom", "custom": {"name": "a"}}],
            ["a", "b"],
        ),
        (CHAT, None, []),
        (RESPONSES, [{"type": "function", "name": "a"}, {"type": "web_search_preview"}], ["a", "web_search"]),
        (RESPONSES, [{"type": "mcp", "server_label": "x"}], None),
        (RESPONSES, [{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "a"}]}], ["a"]),
        (ANTHROPIC, [{"name": "a", "input_schema": {}}, {"type": "web_search_20250305", "name": "web_search"}], None),
    ],
)
def test_the_tools_that_a_model_has(wire: WireFormat, tools: Any, names: list[str] | None) -> None:
    if wire is ANTHROPIC:
        assert wire.tools({"tools": tools}) == ["a", "web_search"]
        assert wire.tools({"tools": tools, "mcp_servers": [{"name": "x"}]}) is None
    else:
        assert wire.tools({"tools": tools}) == names


# -- fingerprints
def test_the_same_words_have_the_same_fingerprint_in_any_clothes() -> None:
    def key(wire: WireFormat, message: Json) -> Any:
        name = "input" if wire is RESPONSES else "messages"
        return [piece.item for piece in wire.pieces({name: [message]})]

    text = {"role": "user", "content": "hi"}
    for wire, kind in ((CHAT, "text"), (RESPONSES, "input_text"), (ANTHROPIC, "text")):
        parts = {"role": "user", "content": [{"type": kind, "text": " hi\n", "cache_control": {"type": "ephemeral"}}]}
        assert key(wire, text) == key(wire, parts)
        marked = {"role": "user", "content": f"hi\n\n{SKILLS}"}
        assert key(wire, text) == key(wire, marked)
        assert key(wire, text) != key(wire, {"role": "assistant", "content": "hi"})
        assert key(wire, text) != key(wire, {"role": "user", "content": "hi there"})


def test_pictures_are_told_apart_and_long_ones_cost_little() -> None:
    def picture(data: str) -> Any:
        content = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}]
        return CHAT.pieces({"messages": [{"role": "user", "content": content}]})[0].item

    assert picture("a" * 100_000) == picture("a" * 100_000)
    assert picture("a" * 100_000) != picture("a" * 99_999 + "b")


def test_anthropics_results_stand_apart_from_what_the_user_says_beside_them() -> None:
    content = [
        {"type": "tool_result", "tool_use_id": "1", "content": "no such city", "is_error": True},
        {"type": "text", "text": "hurry"},
    ]
    pieces = ANTHROPIC.pieces({"messages": [{"role": "user", "content": content}]})
    assert [piece.item.kind for piece in pieces] == ["result", "user"]
    (result,), (user,) = ANTHROPIC.messages([piece.blob for piece in pieces])
    assert (result.role, result.parts[0].text) == ("tool", "no such city")
    assert (result.parts[0].meta or {})["is_error"] is True
    assert (user.role, user.text) == ("user", "hurry")


# -- what answers mean
@pytest.mark.parametrize(
    ("wire", "response", "status"),
    [
        (CHAT, {"choices": []}, "unknown"),
        (CHAT, {"error": {"message": "x"}}, "failed"),
        (RESPONSES, {"status": "failed", "error": {"code": "server_error", "message": "x"}}, "failed"),
        (RESPONSES, {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "unknown"),
        (RESPONSES, {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "failed"),
        (RESPONSES, {"status": "queued"}, "open"),
        (RESPONSES, {"status": "cancelled"}, "cancelled"),
        (
            RESPONSES,
            {
                "status": "completed",
                "output": [{"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
            },
            "failed",
        ),
        (ANTHROPIC, {"stop_reason": "max_tokens", "content": [{"type": "text", "text": "cut"}]}, "unknown"),
        (ANTHROPIC, {"stop_reason": "refusal", "content": []}, "failed"),
        (ANTHROPIC, {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "failed"),
        (ANTHROPIC, {"stop_reason": "pause_turn", "content": [{"type": "text", "text": "..."}]}, "calls"),
    ],
)
def test_what_an_answer_means(wire: WireFormat, response: Json, status: str) -> None:
    assert wire.answer(response, {}).status == status


def test_a_tool_that_the_provider_runs_waits_for_nobody() -> None:
    search = {"type": "web_search_call", "id": "ws1", "status": "completed", "action": {"query": "oslo"}}
    words = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "21C"}]}
    answer = RESPONSES.answer({"status": "completed", "output": [search, words]}, {})
    assert (answer.status, answer.call_ids) == ("success", ())
    made = [message for messages in RESPONSES.messages([piece.blob for piece in answer.pieces]) for message in messages]
    assert len(made) == 1
    assert [part.type for part in made[0].parts] == ["tool-call", "tool-result", "text"]
    assert [(fate.call_id, fate.status) for fate in answer.fates] == [("ws1", "executed")]


# -- streams
CALLS = [upstream.Call("weather", "c1"), upstream.Call("weather", "c2", {"city": "Rome"})]


@pytest.mark.parametrize("wire", [CHAT, RESPONSES, ANTHROPIC], ids=lambda wire: wire.name)
@pytest.mark.parametrize("step", ["21C in Oslo", CALLS], ids=["words", "calls"])
def test_a_stream_comes_to_what_is_answered_without_one(wire: WireFormat, step: Any) -> None:
    make = {"chat": upstream._chat, "responses": upstream._responses, "anthropic": upstream._messages}[wire.name]
    (whole,) = make({"model": "m"}, step, streamed=False)
    assembler = wire.assembler()
    for event in make({"model": "m"}, step, streamed=True):
        assembler.feed(event)
    assert assembler.finished
    streamed, called = wire.answer(assembler.response, {}), wire.answer(whole, {})
    assert (streamed.status, streamed.reason, streamed.call_ids) == (called.status, called.reason, called.call_ids)
    assert [piece.item for piece in streamed.pieces] == [piece.item for piece in called.pieces]

    def parts(answer: Any) -> Any:
        made = wire.messages([piece.blob for piece in answer.pieces])
        return [(message.role, message.parts) for messages in made for message in messages]

    assert parts(streamed) == parts(called)


def test_thoughts_are_kept_as_thoughts() -> None:
    assembler = ANTHROPIC.assembler()
    for event in (
        {"type": "message_start", "message": {"id": "m", "role": "assistant", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "21C"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ):
        assembler.feed(event)
    answer = ANTHROPIC.answer(assembler.response, {})
    ((message,),) = ANTHROPIC.messages([piece.blob for piece in answer.pieces])
    assert [(part.type, part.text) for part in message.parts] == [("thinking", "hm"), ("text", "21C")]
    assert answer.pieces[0].item == ANTHROPIC.pieces({"messages": [{"role": "assistant", "content": "21C"}]})[0].item


# -- events
@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=2), max_size=5),
    st.sampled_from(["\n", "\r\n"]),
    st.lists(st.integers(1, 40), max_size=30),
)
def test_events_are_the_same_however_they_are_cut(events: list[Json], end: str, cuts: list[int]) -> None:
    texts = [
        f": ping{end}{end}event: x{end}data: {json.dumps(event, ensure_ascii=False)}{end}{end}" for event in events
    ]
    rest = "".join([*texts, f"data: [DONE]{end}{end}"]).encode()
    decoder, found = Events(), []
    for cut in cuts:
        found += decoder.feed(rest[:cut])
        rest = rest[cut:]
    found += decoder.feed(rest)
    assert found + decoder.end() == events
    assert decoder.done


def test_an_event_in_several_lines_and_one_that_is_no_json() -> None:
    events = Events()
    assert events.feed(b'data: {"a":\r\ndata: 1}\r\n\r\ndata: nonsense\n\ndata: [1]\n\n') == [{"a": 1}]
    assert events.feed(b'data: {"b": 2}') == []
    assert events.end() == [{"b": 2}]
