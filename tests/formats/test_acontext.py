"""The acontext format: a role and parts, as the HTTP interface has them."""

from __future__ import annotations

from typing import Any

import pytest

from acontext_plugins.formats import from_acontext, from_openai, to_acontext, to_message
from acontext_store.errors import InvalidInput


def test_what_the_http_interface_has_comes_back() -> None:
    blob = {
        "role": "assistant",
        "parts": [
            {"type": "text", "text": "ok", "meta": {"cache_control": "ephemeral"}},
            {"type": "tool-call", "meta": {"id": "c", "name": "f", "arguments": "{}", "type": "function"}},
            {"type": "data", "meta": {"data_type": "x"}},
        ],
        "meta": {"a": 1},
    }
    message = from_acontext(blob)
    assert message.native is None
    assert to_acontext(message) == blob


def test_nulls_are_absent_and_arguments_become_text() -> None:
    message = from_acontext(
        {"role": "user", "meta": None, "parts": [{"type": "text", "text": "x", "meta": None, "file_field": None}]}
    )
    assert to_acontext(message) == {"role": "user", "parts": [{"type": "text", "text": "x"}]}
    call = from_acontext(
        {"role": "assistant", "parts": [{"type": "tool-call", "meta": {"name": "f", "arguments": {"a": 1}}}]}
    )
    assert call.tool_calls[0].meta == {"id": "", "name": "f", "arguments": '{"a": 1}'}


def test_results_are_said_by_the_user_and_are_of_the_tool_to_us() -> None:
    message = from_openai({"role": "tool", "tool_call_id": "c", "content": "1"})
    blob = to_acontext(message)
    assert blob == {"role": "user", "parts": [{"type": "tool-result", "text": "1", "meta": {"tool_call_id": "c"}}]}
    assert from_acontext(blob).role == "tool"


def test_an_asset_is_known_by_its_hash() -> None:
    part = {"type": "file", "asset": {"sha256": "ab", "mime": "x"}, "filename": "a.txt"}
    assert from_acontext({"role": "user", "parts": [part]}).parts[0].asset == "ab"


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        ({"parts": []}, ["message.role", "found nothing"]),
        ({"role": "tool", "parts": [{"type": "text", "text": "x"}]}, ["message.role", "'tool'"]),
        ({"role": "user"}, ["message.parts", "at least one"]),
        ({"role": "user", "parts": []}, ["message.parts"]),
        ({"role": "user", "parts": ["x"]}, ["message.parts[0]"]),
        ({"role": "user", "parts": [{"type": "smell"}]}, ["message.parts[0].type", "smell", "tool-call"]),
        ({"role": "user", "parts": [{"type": "text"}]}, ["message.parts[0].text"]),
        (
            {"role": "user", "parts": [{"type": "tool-call", "meta": {"name": "f"}}]},
            ["message.parts[0].meta.arguments"],
        ),
        ({"role": "user", "parts": [{"type": "tool-result", "text": "x"}]}, ["message.parts[0].meta.tool_call_id"]),
        ({"role": "user", "parts": [{"type": "data", "meta": {}}]}, ["message.parts[0].meta.data_type"]),
        ({"role": "user", "parts": [{"type": "text", "text": "x"}], "meta": 3}, ["message.meta"]),
    ],
)
def test_what_cannot_be_taken_is_named(blob: Any, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        to_message(blob, "acontext")
    assert all(word in str(caught.value) for word in words), str(caught.value)
