"""Anthropic messages: what came in comes out, and the parts say what it means."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.errors import InvalidInput
from acontext_plugins.formats import from_messages, to_message

from .recorded import RECORDED, payloads

CALLS = {
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "two cities", "signature": "c2ln"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo", "days": 2}},
        {"type": "tool_use", "id": "t2", "name": "weather", "input": {"city": "Rome"}},
    ],
}
RESULTS = {
    "role": "user",
    "content": [
        {"type": "tool_result", "tool_use_id": "t1", "content": "21C"},
        {"type": "tool_result", "tool_use_id": "t2", "content": "no such city", "is_error": True},
    ],
}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


def test_calls_thoughts_and_results_are_parts() -> None:
    said, answered = to_message(CALLS, "anthropic"), to_message(RESULTS, "anthropic")
    assert [part.type for part in said.parts] == ["thinking", "text", "tool-call", "tool-call"]
    assert said.parts[2].meta == {
        "id": "t1",
        "name": "weather",
        "arguments": '{"city": "Oslo", "days": 2}',
        "type": "tool_use",
    }
    assert (answered.role, [part.text for part in answered.parts]) == ("tool", ["21C", "no such city"])
    assert answered.parts[1].meta == {"tool_call_id": "t2", "is_error": True}
    assert said.native is None
    assert answered.native is None
    assert from_messages([said, answered], "anthropic") == [CALLS, RESULTS]


def test_a_picture_in_a_result_belongs_to_it() -> None:
    blob = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [PICTURE]}]}
    message = to_message(blob, "anthropic")
    assert message.role == "tool"
    assert (message.parts[1].meta or {})["tool_call_id"] == "t1"
    assert from_messages([message], "anthropic") == [blob]
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}]}
    assert from_messages([to_message(call, "anthropic"), message], "openai")[1:] == [
        {"role": "tool", "tool_call_id": "t1", "content": ""},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
    ]


def test_results_of_parallel_calls_from_another_format_stand_in_one_message() -> None:
    chat = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": id, "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
                for id in ("c1", "c2")
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "21C"},
        {"role": "tool", "tool_call_id": "c2", "content": "22C"},
        {"role": "user", "content": "thanks"},
    ]
    items = from_messages([to_message(blob) for blob in chat], "anthropic")
    assert [item["role"] for item in items] == ["assistant", "user", "user"]
    assert [block["tool_use_id"] for block in items[1]["content"]] == ["c1", "c2"]
    assert items[2]["content"] == "thanks"


def test_what_the_model_may_not_be_given_back_is_left_out_of_other_formats() -> None:
    assert from_messages([to_message(CALLS, "anthropic")], "openai")[:1] == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {
                    "id": id,
                    "type": "function",
                    "function": {"name": "weather", "arguments": arguments},
                }
                for id, arguments in (("t1", '{"city": "Oslo", "days": 2}'), ("t2", '{"city": "Rome"}'))
            ],
        }
    ]


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        ({"role": "tool", "content": "x"}, "message.role: found str 'tool', expected one of user, assistant, system"),
        ({"role": "user"}, "message.content: found null, expected text or a list of blocks"),
        ({"role": "user", "content": [3]}, r"message.content\[0\]: found int 3, expected a block with a type"),
        ({"role": "user", "content": [{"type": "text"}]}, r"content\[0\].text: found null"),
        ({"role": "user", "content": [{"type": "image"}]}, r"content\[0\].source: found null"),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "x"}]}, r"content\[0\].name: found null"),
    ],
)
def test_what_cannot_be_taken_is_named(blob: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        to_message(blob, "anthropic")


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded payloads are not here")
def test_recorded_messages_come_back_as_they_were() -> None:
    blobs = [blob for payload in payloads("anthropic") for blob in payload["messages"]]
    assert len(blobs) > 90
    for blob in blobs:
        message = to_message(blob, "anthropic")
        assert message.parts or blob["content"] == []
        assert from_messages([message], "anthropic") == [blob]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_words = st.text(max_size=20)
_sources = st.one_of(
    st.fixed_dictionaries({"type": st.just("base64"), "media_type": st.just("image/png"), "data": st.just("aGk=")}),
    st.fixed_dictionaries({"type": st.just("url"), "url": st.just("https://example.com/a.png")}),
)
_plain_blocks = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("text"), "text": _words}, optional={"cache_control": st.just({"type": "ephemeral"})}
    ),
    st.fixed_dictionaries({"type": st.just("image"), "source": _sources}),
    st.fixed_dictionaries(
        {"type": st.just("document"), "source": _sources}, optional={"title": _words, "context": _words}
    ),
)
_blocks = st.one_of(
    _plain_blocks,
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["tool_use", "server_tool_use", "mcp_tool_use"]),
            "id": _words,
            "name": _words,
            "input": st.dictionaries(_words, _json, max_size=3),
        },
        optional={"cache_control": _json, "server_name": _words},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["tool_result", "mcp_tool_result"]), "tool_use_id": st.sampled_from(["a", "b"])},
        optional={
            "content": _words | st.lists(_plain_blocks, max_size=3),
            "is_error": st.booleans() | st.none(),
            "cache_control": _json,
        },
    ),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": _words}, optional={"signature": _words}),
    st.fixed_dictionaries({"type": st.just("container_upload"), "file_id": _words}),
)


@given(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": _words | st.lists(_blocks, max_size=5)}
    )
)
def test_any_message_comes_back_as_it_was(blob: dict[str, Any]) -> None:
    message = to_message(blob, "anthropic")
    assert from_messages([message], "anthropic") == [blob]
    again = type(message).model_validate_json(message.model_dump_json())
    assert from_messages([again], "anthropic") == [blob]


@given(st.dictionaries(st.sampled_from(["role", "content", "x"]), _json))
def test_anything_is_taken_or_refused_by_name(blob: Any) -> None:
    with contextlib.suppress(InvalidInput):
        assert from_messages([to_message(blob, "anthropic")], "anthropic") == [blob]
