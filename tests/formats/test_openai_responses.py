"""Items of the Responses API: back as they were, together or one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.formats import (
    from_message,
    from_messages,
    from_response_output,
    from_responses,
    to_message,
    to_openai,
    to_response_items,
    to_responses,
)
from acontext_store.errors import InvalidInput

from ..examples import examples

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "message_formats_dev.jsonl"

ITEMS: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"role": "user", "content": "hi"}, "user", ["text"]),
    ({"role": "developer", "content": "brief"}, "system", ["text"]),
    (
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "u"}]},
        "user",
        ["text", "image"],
    ),
    ({"role": "user", "content": [{"type": "input_file", "file_url": "u", "filename": "a.pdf"}]}, "user", ["file"]),
    (
        {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "ok", "annotations": []}],
        },
        "assistant",
        ["text"],
    ),
    (
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        "assistant",
        ["text"],
    ),
    ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, "assistant", ["tool-call"]),
    (
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "id": "fc", "status": "completed"},
        "assistant",
        ["tool-call"],
    ),
    ({"type": "function_call_output", "call_id": "c", "output": "21C"}, "tool", ["tool-result"]),
    (
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "u"}],
        },
        "tool",
        ["tool-result", "image"],
    ),
    ({"type": "custom_tool_call", "call_id": "c", "name": "sh", "input": "ls"}, "assistant", ["tool-call"]),
    ({"type": "custom_tool_call_output", "call_id": "c", "output": "a.txt"}, "tool", ["tool-result"]),
    (
        {
            "type": "reasoning",
            "id": "r",
            "summary": [{"type": "summary_text", "text": "hmm"}],
            "encrypted_content": "sealed",
        },
        "assistant",
        ["thinking"],
    ),
    (
        {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "hmm"}]},
        "assistant",
        ["thinking"],
    ),
    (
        {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search", "query": "x"}},
        "assistant",
        ["tool-call", "tool-result"],
    ),
    (
        {"type": "file_search_call", "id": "s", "queries": ["x"], "results": [{"text": "y"}], "status": "completed"},
        "assistant",
        ["tool-call", "tool-result"],
    ),
    (
        {
            "type": "code_interpreter_call",
            "id": "i",
            "code": "1+1",
            "container_id": "x",
            "outputs": None,
            "status": "completed",
        },
        "assistant",
        ["tool-call", "tool-result"],
    ),
    (
        {"type": "mcp_call", "id": "m", "name": "roll", "arguments": "{}", "server_label": "d", "output": "4"},
        "assistant",
        ["tool-call", "tool-result"],
    ),
    (
        {"type": "image_generation_call", "id": "g", "result": "AAAA", "status": "completed"},
        "assistant",
        ["tool-call", "tool-result", "image"],
    ),
    (
        {
            "type": "computer_call",
            "id": "p",
            "call_id": "c",
            "action": {"type": "click", "x": 1, "y": 2},
            "status": "completed",
        },
        "assistant",
        ["tool-call"],
    ),
    (
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "u"}},
        "tool",
        ["tool-result", "image"],
    ),
    (
        {
            "type": "local_shell_call",
            "id": "l",
            "call_id": "c",
            "action": {"type": "exec", "command": ["ls"]},
            "status": "completed",
        },
        "assistant",
        ["tool-call"],
    ),
    ({"type": "local_shell_call_output", "id": "l", "output": "a.txt"}, "tool", ["tool-result"]),
    ({"type": "mcp_list_tools", "id": "m", "server_label": "d", "tools": []}, "assistant", ["data"]),
    ({"type": "compaction", "id": "c", "encrypted_content": "sealed"}, "assistant", ["data"]),
    ({"type": "something_new", "id": "n", "beams": [1, 2]}, "assistant", ["data"]),
]


@pytest.mark.parametrize(
    ("item", "role", "parts"), ITEMS, ids=[f"{i.get('type', i.get('role'))}-{n}" for n, (i, _, _) in enumerate(ITEMS)]
)
def test_an_item_comes_back_as_it_was_and_its_parts_say_what_it_means(
    item: dict[str, Any], role: str, parts: list[str]
) -> None:
    message = from_responses(item)
    assert (message.role, [part.type for part in message.parts]) == (role, parts)
    assert to_responses(message) == item
    assert to_response_items(message) == [item]


def test_common_items_need_no_copy_of_themselves() -> None:
    for item in (ITEMS[0][0], ITEMS[6][0], ITEMS[8][0]):
        assert from_responses(item).native is None


def test_text_alone_is_what_a_user_said() -> None:
    message = from_responses("hi")
    assert (message.role, message.text) == ("user", "hi")


def test_sealed_thoughts_are_kept_beside_their_words() -> None:
    item = {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "sealed"}
    message = from_responses(item)
    assert (message.native, message.parts[0].text) == (None, "")
    assert from_messages([message], "openai_responses") == [item]


def test_hosted_calls_say_what_was_called_and_what_came_out() -> None:
    failed = from_responses(
        {"type": "mcp_call", "id": "m", "name": "roll", "arguments": '{"d": 6}', "error": {"message": "no dice"}}
    )
    assert failed.tool_calls[0].meta == {"id": "m", "name": "roll", "arguments": '{"d": 6}', "type": "mcp_call"}
    meta = failed.tool_results[0].meta
    assert meta is not None
    assert meta["is_error"] is True
    assert "no dice" in (failed.tool_results[0].text or "")
    search = from_responses({"type": "web_search_call", "id": "w", "action": {"type": "search", "query": "x"}})
    meta = search.tool_calls[0].meta
    assert meta is not None
    assert (meta["name"], json.loads(meta["arguments"])) == ("web_search", {"action": {"type": "search", "query": "x"}})


@pytest.mark.parametrize(
    ("item", "failed"),
    [
        ({"type": "web_search_call", "id": "w", "status": "failed"}, True),
        ({"type": "web_search_call", "id": "w", "status": "completed"}, None),
        ({"type": "code_interpreter_call", "id": "i", "status": "incomplete", "outputs": []}, True),
        (
            {"type": "shell_call_output", "call_id": "c", "output": [{"outcome": {"type": "exit", "exit_code": 0}}]},
            False,
        ),
        (
            {"type": "shell_call_output", "call_id": "c", "output": [{"outcome": {"type": "exit", "exit_code": 2}}]},
            True,
        ),
        ({"type": "shell_call_output", "call_id": "c", "output": [{"outcome": {"type": "timeout"}}]}, True),
        ({"type": "local_shell_call_output", "id": "c", "output": '{"output": "", "exit_code": 1}'}, True),
        ({"type": "local_shell_call_output", "id": "c", "output": '{"metadata": {"exit_code": 0}}'}, False),
        ({"type": "local_shell_call_output", "id": "c", "output": "a.txt"}, None),
        ({"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": "no such file"}, True),
    ],
)
def test_a_result_is_a_failure_where_its_item_says_so(item: dict[str, Any], failed: bool | None) -> None:
    (result,) = from_responses(item).tool_results
    assert (result.meta or {}).get("is_error") is failed


def test_a_call_that_waits_for_approval_is_a_call() -> None:
    asked = {"type": "mcp_approval_request", "id": "a1", "name": "pay", "arguments": "{}", "server_label": "bank"}
    message = from_responses(asked)
    assert message.tool_calls[0].meta == {"id": "a1", "name": "pay", "arguments": "{}", "type": "mcp_approval_request"}
    assert to_responses(message) == asked


def test_the_items_of_one_response_are_one_message_of_the_assistant() -> None:
    items = [
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hmm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look"}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
    ]
    messages = from_response_output(items, id="m1")
    assert len(messages) == 1
    assert messages[0].id == "m1"
    assert [part.type for part in messages[0].parts] == ["thinking", "text", "tool-call", "tool-call"]
    assert from_messages(messages, "openai_responses") == items
    chat = to_openai(messages[0])
    assert (chat["content"], [c["id"] for c in chat["tool_calls"]]) == ("I look", ["a", "b"])
    with pytest.raises(InvalidInput, match="needs 4 items"):
        to_responses(messages[0])


def test_calls_that_are_simple_are_grouped_without_a_copy() -> None:
    items = [{"type": "function_call", "call_id": c, "name": "f", "arguments": "{}"} for c in "ab"]
    (message,) = from_response_output(items)
    assert message.native is None
    assert to_response_items(message) == items


def test_results_among_the_items_are_messages_of_their_own() -> None:
    items = [
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"role": "assistant", "content": "done"},
    ]
    messages = from_response_output(items)
    assert [message.role for message in messages] == ["assistant", "tool", "assistant"]
    assert from_messages(messages, "openai_responses") == items
    assert from_response_output([]) == []


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (None, ["item: found null"]),
        (7, ["item: found int"]),
        ({}, ["item.role", "found nothing", "function_call"]),
        ({"role": "robot", "content": "x"}, ["item.role", "robot"]),
        ({"role": "user"}, ["item.content"]),
        ({"type": "function_call", "call_id": "c"}, ["item.name"]),
        ({"type": 3}, ["item.type"]),
        ({"role": "user", "content": [{}]}, ["item.content[0]"]),
    ],
)
def test_what_cannot_be_taken_is_named(blob: object, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        from_responses(blob)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_chat_message_is_said_in_items() -> None:
    chat = {
        "role": "assistant",
        "content": "ok",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert to_response_items(to_message(chat)) == [
        {"role": "assistant", "content": "ok"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ]
    assert to_responses(to_message({"role": "tool", "tool_call_id": "c", "content": "1"})) == {
        "type": "function_call_output",
        "call_id": "c",
        "output": "1",
    }


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded payloads are not here")
def test_recorded_items_come_back_as_they_were() -> None:
    seen = 0
    for line in RECORDED.read_text().splitlines():
        row = json.loads(line)
        if row["provider"] != "openai_responses":
            continue
        items = row["payload"]["input"]
        if isinstance(items, str):
            items = [{"role": "user", "content": items}]
        for item in items:
            assert from_message(to_message(item, "openai_responses"), "openai_responses") == item
            seen += 1
        assert from_messages(from_response_output(items), "openai_responses") == items
    assert seen > 50


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_types = sorted({item["type"] for item, _, _ in ITEMS if "type" in item} - {"message"})
_item = st.fixed_dictionaries(
    {"type": st.sampled_from(_types), "name": st.text(max_size=5), "call_id": st.text(max_size=5)},
    optional=dict.fromkeys(
        ("output", "outputs", "results", "result", "summary", "content", "action", "status", "error", "tools"), _json
    ),
)


@pytest.mark.slow
@examples(150)
@given(st.lists(_item | st.builds(lambda text: {"role": "user", "content": text}, st.text(max_size=9)), max_size=4))
def test_any_items_come_back_as_they_were(items: list[dict[str, Any]]) -> None:
    assert from_messages(from_response_output(items), "openai_responses") == items
    assert [to_responses(from_responses(item)) for item in items] == items


@pytest.mark.parametrize("role", ["assistant", None])
def test_an_answer_without_words_is_taken(role: str | None) -> None:
    item = {"type": "message", "id": "msg_1", "role": role, "status": "completed", "content": None}
    message = to_message(item, "openai_responses")
    assert (message.role, message.parts) == ("assistant", ())
    assert from_messages([message], "openai_responses") in ([], [item])
