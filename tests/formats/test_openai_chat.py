"""OpenAI chat messages: what goes in comes out, the parts say what it means, and errors name the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from acontext_plugins.formats import (
    FORMATS,
    from_message,
    from_messages,
    from_openai,
    to_message,
    to_openai,
    to_openai_messages,
)
from acontext_store.errors import InvalidInput
from acontext_store.types import Message, Part

from ..examples import examples

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "message_formats_dev.jsonl"


def call(id: str = "c1", name: str = "find", arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


PLAIN: list[dict[str, Any]] = [
    {"role": "user", "content": "hello"},
    {"role": "user", "content": ""},
    {"role": "system", "content": "be brief"},
    {"role": "assistant", "content": "ok"},
    {"role": "user", "content": "hi", "name": "bob"},
    {"role": "assistant", "content": None, "tool_calls": [call()]},
    {"role": "assistant", "content": "let me see", "tool_calls": [call(), call("c2", "read", '{"a": 1}')]},
    {"role": "tool", "tool_call_id": "c1", "content": "found"},
    {"role": "tool", "tool_call_id": "c1", "content": "", "name": "find"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is this?", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
        ],
    },
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}}],
    },
    {"role": "user", "content": [{"type": "hologram", "beams": [1, 2]}]},
]

NEEDS_NATIVE: list[dict[str, Any]] = [
    {"role": "developer", "content": "be brief"},
    {"role": "assistant", "tool_calls": [call()]},
    {"role": "assistant", "content": "ok", "refusal": None, "tool_calls": None, "function_call": None, "audio": None},
    {"role": "assistant", "content": None, "function_call": {"name": "find", "arguments": "{}"}},
    {"role": "assistant", "content": None, "refusal": "I will not"},
    {"role": "assistant", "content": "", "reasoning_content": "hmm", "tool_calls": [call()]},
    {"role": "assistant", "content": None, "audio": {"id": "a1", "transcript": "hello"}},
    {"role": "assistant", "content": [], "tool_calls": [call()]},
    {"role": "assistant", "content": "ok", "annotations": [], "tool_calls": []},
    {"role": "assistant", "content": None, "tool_calls": [{**call(), "index": 0}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}],
    },
    {"role": "function", "name": "find", "content": "found"},
    {"role": "tool", "tool_call_id": "c1"},
    {"role": "tool", "tool_call_id": "c1", "content": None},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    {"role": "tool", "content": "an answer to nothing"},
    {"role": "user", "content": [{"type": "text", "text": "one part"}]},
    {"role": "user", "content": ["bare", {"text": "typeless"}]},
    {"role": "user", "content": [{"type": "image_url", "image_url": "https://example.com/a.png"}]},
]


@pytest.mark.parametrize("blob", PLAIN, ids=[json.dumps(blob)[:60] for blob in PLAIN])
def test_a_common_message_is_given_back_from_its_parts_alone(blob: dict[str, Any]) -> None:
    message = from_openai(blob)
    assert message.native is None
    assert to_openai(message) == blob


@pytest.mark.parametrize("blob", NEEDS_NATIVE, ids=[json.dumps(blob)[:60] for blob in NEEDS_NATIVE])
def test_an_odd_message_is_given_back_from_the_item_kept_with_it(blob: dict[str, Any]) -> None:
    message = from_openai(blob)
    assert message.native == blob
    assert message.parts
    assert to_openai(message) == blob


def test_the_parts_say_what_the_message_means() -> None:
    message = from_openai(
        {
            "role": "assistant",
            "content": "wait",
            "reasoning_content": "hmm",
            "tool_calls": [call("c1", "find", '{"a":1}')],
        }
    )
    assert [(part.type, part.text) for part in message.parts] == [
        ("thinking", "hmm"),
        ("text", "wait"),
        ("tool-call", None),
    ]
    assert message.tool_calls[0].meta == {"id": "c1", "name": "find", "arguments": '{"a":1}', "type": "function"}
    result = from_openai(
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        }
    )
    assert (result.role, result.tool_results[0].text) == ("tool", "a\nb")
    assert result.tool_results[0].meta == {"tool_call_id": "c1"}
    legacy = from_openai({"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}})
    assert legacy.tool_calls[0].meta == {"id": "", "name": "f", "arguments": "{}", "type": "function"}
    assert from_openai({"role": "developer", "content": "x"}).role == "system"


def test_a_pydantic_object_is_taken_without_its_nulls() -> None:
    class Function(BaseModel):
        name: str
        arguments: str

    class Call(BaseModel):
        id: str
        type: str = "function"
        function: Function

    class Completion(BaseModel):
        role: str = "assistant"
        content: str | None = None
        refusal: str | None = None
        tool_calls: list[Call] | None = None

    message = from_openai(Completion(content="ok"))
    assert (message.native, message.text) == (None, "ok")
    called = from_openai(Completion(tool_calls=[Call(id="c", function=Function(name="f", arguments="{}"))]))
    assert called.tool_calls[0].meta == {"id": "c", "name": "f", "arguments": "{}", "type": "function"}
    nested = from_openai(
        {"role": "assistant", "tool_calls": [Call(id="c", function=Function(name="f", arguments="{}"))]}
    )
    assert nested.tool_calls == called.tool_calls


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (None, ["message: found null"]),
        ("hello", ["message: found str", "object"]),
        ([1], ["message: found list"]),
        ({}, ["message.role", "found nothing", "user", "assistant"]),
        ({"role": "robot", "content": "x"}, ["message.role", "'robot'", "assistant"]),
        ({"role": 7, "content": "x"}, ["message.role", "int 7"]),
        ({"role": "user"}, ["message.content", "null", "text or a list"]),
        ({"role": "user", "content": None}, ["message.content"]),
        ({"role": "user", "content": 5}, ["message.content", "int 5"]),
        ({"role": "user", "content": [5]}, ["message.content[0]", "int 5"]),
        ({"role": "user", "content": [{"type": 3}]}, ["message.content[0].type"]),
        ({"role": "user", "content": [{"type": "text"}]}, ["message.content[0].text"]),
        ({"role": "assistant", "tool_calls": {}}, ["message.tool_calls", "list"]),
        ({"role": "assistant", "tool_calls": ["x"]}, ["message.tool_calls[0]"]),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, ["message.tool_calls[0].function"]),
        ({"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]}, ["message.tool_calls[0].function.name"]),
        ({"role": "assistant", "tool_calls": [{**call(), "id": 3}]}, ["message.tool_calls[0].id", "int 3"]),
        ({"role": "tool", "tool_call_id": 3, "content": ""}, ["message.tool_call_id"]),
        ({"role": "user", "content": "x", "extra": object()}, ["object", "no JSON value"]),
        ({"role": "user", "content": "x", 3: 4}, ["key 3"]),
    ],
)
def test_what_cannot_be_taken_is_named(blob: object, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        from_openai(blob)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("blob", [{"role": "assistant", "content": None}, {"role": "assistant"}])
def test_an_answer_without_words_is_taken_and_said_in_its_own_format_only(blob: dict[str, Any]) -> None:
    message = from_openai(blob)
    assert (message.parts, to_openai(message)) == ((), blob)
    assert from_messages([message], "anthropic") == []


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def test_deep_nesting_is_refused_and_never_overflows() -> None:
    assert from_openai({"role": "user", "content": "x", "extra": nested(98)}).native is not None
    for levels in (101, 5_000):
        with pytest.raises(InvalidInput, match="nested more than 100"):
            from_openai({"role": "user", "content": "x", "extra": nested(levels)})
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(InvalidInput, match="nested"):
        from_openai({"role": "user", "content": ring})


def test_lone_surrogates_are_replaced_and_nulls_kept() -> None:
    message = from_openai({"role": "user", "content": "a\ud83d b\x00 \U0001f600", "k\udc00": "\ud83d\ude00"})
    assert message.text == "a\ufffd b\x00 \U0001f600"
    assert message.native is not None
    assert message.native["k\ufffd"] == "\U0001f600"
    message.model_dump_json().encode()


def test_what_is_given_back_may_be_changed_without_changing_the_message() -> None:
    message = from_openai({"role": "developer", "content": [{"type": "text", "text": "x"}]})
    to_openai(message)["content"][0]["text"] = "y"
    assert to_openai(message)["content"][0]["text"] == "x"


def test_several_results_in_one_message_become_one_chat_message_each() -> None:
    message = Message(
        role="tool",
        format="anthropic",
        parts=(
            Part(type="tool-result", text="1", meta={"tool_call_id": "a"}),
            Part(type="tool-result", text="2", meta={"tool_call_id": "b"}),
            Part(type="text", text="and?"),
        ),
    )
    assert to_openai_messages(message) == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "user", "content": "and?"},
    ]
    with pytest.raises(InvalidInput, match="from_messages"):
        to_openai(message)


def test_a_message_of_another_format_is_rendered_from_its_parts() -> None:
    message = Message(
        role="assistant",
        format="anthropic",
        native={"content": []},
        parts=(
            Part(type="thinking", text="hmm"),
            Part(type="text", text="ok"),
            Part(type="tool-call", meta={"id": "t", "name": "f", "arguments": "{}"}),
            Part(type="image", meta={"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}),
        ),
    )
    assert to_openai(message) == {
        "role": "assistant",
        "content": "ok",
        "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }


def test_ids_runs_and_times_are_taken_over() -> None:
    message = to_message({"role": "user", "content": "x", "name": "bob"}, "openai", id="m1", run_id="r1", meta={"a": 1})
    assert (message.id, message.run_id, message.meta) == ("m1", "r1", {"a": 1, "name": "bob"})


def test_unknown_formats_are_refused_with_those_there_are() -> None:
    message = from_openai({"role": "user", "content": "x"})
    for attempt in (
        lambda: to_message({}, "morse"),
        lambda: from_message(message, "morse"),
        lambda: from_messages([message], "morse"),
    ):
        with pytest.raises(InvalidInput) as caught:
            attempt()
        assert all(format in str(caught.value) for format in FORMATS)


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded payloads are not here")
def test_recorded_payloads_come_back_as_they_were() -> None:
    seen = 0
    for line in RECORDED.read_text().splitlines():
        row = json.loads(line)
        if row["provider"] != "openai_chat":
            continue
        bares: list[Message] = []
        for blob in row["payload"]["messages"]:
            message = to_message(blob, "openai")
            assert from_message(message, "openai") == blob
            assert message.parts
            bares.append(message.model_copy(update={"native": None}))
            seen += 1
        assert len(from_messages(bares, "openai")) == len(bares)
        assert from_messages(bares, "openai_responses")
    assert seen > 100


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_text = st.text(max_size=20)
_piece = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": _text}, optional={"cache_control": _json}),
    st.fixed_dictionaries(
        {"type": st.just("image_url"), "image_url": st.dictionaries(st.sampled_from(["url", "detail"]), _text)}
    ),
    st.fixed_dictionaries({"type": st.just("refusal"), "refusal": _text}),
    st.fixed_dictionaries(
        {"type": st.just("file"), "file": st.dictionaries(st.sampled_from(["file_id", "filename"]), _text)}
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["thinking", "blob", "video_url"])}, optional={"thinking": _json, "x": _json}
    ),
)
_call = st.fixed_dictionaries(
    {"id": _text, "type": st.just("function"), "function": st.fixed_dictionaries({"name": _text, "arguments": _text})},
    optional={"index": st.integers()},
)
_blob = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "system", "developer", "assistant", "tool", "function"]),
        "content": _text | st.lists(_piece, max_size=3),
    },
    optional={
        "name": _text,
        "tool_call_id": _text,
        "tool_calls": st.none() | st.lists(_call, max_size=2),
        "refusal": st.none() | _text,
        "reasoning": _json,
        "extra": _json,
    },
)


@examples(150)
@given(_blob)
def test_any_message_comes_back_as_it_was(blob: dict[str, Any]) -> None:
    message = from_openai(blob)
    assert to_openai(message) == blob
    again = Message.model_validate_json(message.model_dump_json())
    assert to_openai(again) == blob


@examples(150)
@given(
    _json
    | _blob
    | st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "function_call", "audio", "refusal"]), _json)
)
def test_anything_is_taken_or_refused_by_name(blob: Any) -> None:
    for format in FORMATS:
        try:
            message = to_message(blob, format)
        except InvalidInput:
            continue
        from_messages([message], "openai")
        from_messages([message], "openai_responses")
        from_messages([message], "acontext")


SIGNED = {"type": "thinking", "thinking": "hm", "signature": "SIG"}
SEALED = {"type": "redacted_thinking", "data": "sealed"}


@pytest.mark.parametrize(
    ("said", "blocks"),
    [
        ({"reasoning_content": "hm", "thinking_blocks": [SIGNED]}, [SIGNED]),
        ({"reasoning_content": "hm", "thinking_blocks": [SIGNED, SEALED]}, [SIGNED, SEALED]),
        ({"thinking_blocks": [SEALED]}, [SEALED]),
        ({"content": [SIGNED, {"type": "text", "text": "so"}]}, [SIGNED]),
        ({"content": [SIGNED, {"type": "text", "text": "so"}], "thinking_blocks": [SIGNED]}, [SIGNED]),
    ],
)
def test_signed_thoughts_of_anthropic_are_read_back_as_its_own(said: dict[str, Any], blocks: list[Any]) -> None:
    item = {"role": "assistant", "content": "so", **said, "tool_calls": [call()]}
    message = from_openai(item)
    assert to_openai(message) == item
    read = from_message(message, "anthropic")
    used = {"type": "tool_use", "id": "c1", "name": "find", "input": {}}
    assert read["content"] == [*blocks, {"type": "text", "text": "so"}, used]


@pytest.mark.parametrize("blocks", ["none", [], [None], [{"type": "thinking"}], [{"type": "text", "text": "so"}]])
def test_blocks_that_are_no_thoughts_hide_none(blocks: Any) -> None:
    item = {"role": "assistant", "content": "so", "reasoning_content": "hm", "thinking_blocks": blocks}
    message = from_openai(item)
    assert [(part.type, part.text) for part in message.parts] == [("thinking", "hm"), ("text", "so")]
    assert to_openai(message) == item
