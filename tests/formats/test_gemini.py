"""Gemini contents: what came in comes out, in either spelling, and calls without ids keep their results."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.errors import InvalidInput
from acontext_plugins.formats import from_messages, to_message

from .recorded import RECORDED, payloads

CALLS = {
    "role": "model",
    "parts": [
        {"text": "I look."},
        {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "weather", "args": {"city": "Rome"}}},
    ],
}
RESULTS = {
    "role": "user",
    "parts": [
        {"functionResponse": {"name": "weather", "response": {"result": "21C"}}},
        {"functionResponse": {"name": "weather", "response": {"error": "no such city"}}},
    ],
}


def test_calls_without_ids_are_paired_by_their_name_and_place() -> None:
    said, answered = to_message(CALLS, "gemini"), to_message(RESULTS, "gemini")
    calls = [part.meta or {} for part in said.tool_calls]
    results = [part.meta or {} for part in answered.tool_results]
    assert (
        [call["id"] for call in calls] == [result["tool_call_id"] for result in results] == ["weather:1", "weather:2"]
    )
    assert (answered.role, [part.text for part in answered.parts]) == ("tool", ["21C", "no such city"])
    assert [result.get("is_error") for result in results] == [None, True]
    assert said.native is None
    assert answered.native is None
    assert from_messages([said, answered], "gemini") == [CALLS, RESULTS]


def test_both_spellings_mean_the_same_and_come_back_as_they_were() -> None:
    blob = {
        "role": "user",
        "parts": [
            {"inline_data": {"mime_type": "image/png", "data": "aGk="}},
            {"file_data": {"mime_type": "application/pdf", "file_uri": "https://example.com/a.pdf"}},
            {"function_response": {"name": "look", "response": {"rows": 3}, "id": "x1"}},
        ],
    }
    message = to_message(blob, "gemini")
    assert [part.type for part in message.parts] == ["image", "file", "tool-result"]
    assert message.parts[2].text == '{"rows": 3}'
    assert from_messages([message], "gemini") == [blob]


def test_a_conversation_of_another_format_names_the_tools_of_its_results() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    chat = [
        {"role": "user", "content": "warm?"},
        {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "21C"},
        {"role": "tool", "tool_call_id": "c2", "content": '{"celsius": 21}'},
    ]
    items = from_messages([to_message(blob) for blob in chat], "gemini")
    assert [item["role"] for item in items] == ["user", "model", "user"]
    assert items[2]["parts"] == [
        {"functionResponse": {"id": "c1", "name": "weather", "response": {"result": "21C"}}},
        {"functionResponse": {"id": "c2", "name": "weather", "response": {"celsius": 21}}},
    ]


def test_a_result_that_looks_like_an_answer_of_this_format_comes_back_as_the_text_it_was() -> None:
    blob = {"role": "tool", "tool_call_id": "c1", "content": '{"error": "none"}'}
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    _, item = from_messages([to_message({"role": "assistant", "tool_calls": [call]}), to_message(blob)], "gemini")
    assert to_message(item, "gemini").parts[0].text == blob["content"]


def test_code_that_the_provider_runs_is_a_call_with_its_result() -> None:
    blob = {
        "role": "model",
        "parts": [
            {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "boom"}},
        ],
    }
    message = to_message(blob, "gemini")
    call, result = message.parts
    assert (call.meta or {})["id"] == (result.meta or {})["tool_call_id"]
    assert (result.text, (result.meta or {})["is_error"]) == ("boom", True)
    assert from_messages([message], "gemini") == [blob]


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        ({"role": "robot", "parts": []}, "message.role: found str 'robot', expected one of user, model"),
        ({"role": "user"}, "message.parts: found null, expected a list of parts"),
        ({"parts": [3]}, r"message.parts\[0\]: found int 3"),
        ({"parts": [{"functionCall": {}}]}, r"parts\[0\].functionCall.name: found null"),
    ],
)
def test_what_cannot_be_taken_is_named(blob: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        to_message(blob, "gemini")


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded payloads are not here")
def test_recorded_contents_come_back_as_they_were() -> None:
    blobs = [blob for payload in payloads("gemini") for blob in payload["contents"]]
    assert len(blobs) > 90
    for blob in blobs:
        message = to_message(blob, "gemini")
        assert message.parts
        assert json.loads(json.dumps(from_messages([message], "gemini"))) == [blob]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_words = st.text(max_size=20)
_named = st.text(min_size=1, max_size=8)
_beside = {"thoughtSignature": _words, "thought": st.booleans()}
_parts = st.one_of(
    st.fixed_dictionaries({"text": _words}, optional=_beside),
    st.fixed_dictionaries(
        {
            "functionCall": st.fixed_dictionaries(
                {"name": _named}, optional={"args": st.dictionaries(_words, _json, max_size=3), "id": _words}
            )
        },
        optional=_beside,
    ),
    st.fixed_dictionaries(
        {
            "functionResponse": st.fixed_dictionaries(
                {"name": _named}, optional={"response": st.dictionaries(_words, _json, max_size=2), "id": _words}
            )
        }
    ),
    st.fixed_dictionaries(
        {"inlineData": st.fixed_dictionaries({"mimeType": st.sampled_from(["image/png", "a/b"]), "data": _words})},
        optional={"videoMetadata": _json},
    ),
    st.fixed_dictionaries({"toolCall": _json}),
)


@given(
    st.fixed_dictionaries(
        {"parts": st.lists(_parts, max_size=5)}, optional={"role": st.sampled_from(["user", "model"])}
    )
)
def test_any_content_comes_back_as_it_was(blob: dict[str, Any]) -> None:
    message = to_message(blob, "gemini")
    assert from_messages([message], "gemini") == [blob]
    again = type(message).model_validate_json(message.model_dump_json())
    assert from_messages([again], "gemini") == [blob]


@given(st.dictionaries(st.sampled_from(["role", "parts", "x"]), _json))
def test_anything_is_taken_or_refused_by_name(blob: Any) -> None:
    with contextlib.suppress(InvalidInput):
        assert from_messages([to_message(blob, "gemini")], "gemini") == [blob]


def test_a_call_stands_in_one_content_with_all_that_the_model_said_before_it() -> None:
    said = {"role": "assistant", "content": "hi"}
    call = {"role": "assistant", "content": None, "function_call": {"name": "find", "arguments": "{}"}}
    first, answered = from_messages([to_message(item, "openai") for item in (said, said, said, call)], "gemini")
    assert [list(part) for part in first["parts"]] == [["text"], ["text"], ["text"], ["functionCall"]]
    assert answered["role"] == "user"
