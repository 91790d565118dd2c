"""The format of a conversation is told by what stands in it, and no message is read as one of another format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acontext_plugins.formats import FORMATS, format_of, from_messages, from_openai, to_message
from acontext_store.errors import InvalidInput

from .matrix import FEATURES
from .recorded import RECORDED

Item = dict[str, Any]

ASKED: Item = {"role": "user", "content": "Water the plants."}
OPENAI_CALL: Item = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "w1", "type": "function", "function": {"name": "water", "arguments": '{"litres": 2}'}}],
}
OPENAI_RESULT: Item = {"role": "tool", "tool_call_id": "w1", "content": "watered"}
USE: Item = {"type": "tool_use", "id": "w1", "name": "water", "input": {"litres": 2}}
RESULT: Item = {"type": "tool_result", "tool_use_id": "w1", "content": [{"type": "text", "text": "watered"}]}
CALL: Item = {"type": "function_call", "call_id": "w1", "name": "water", "arguments": '{"litres": 2}'}
CONTENT: Item = {"role": "model", "parts": [{"functionCall": {"name": "water", "args": {"litres": 2}}}]}


def said(role: str, *blocks: Any) -> Item:
    return {"role": role, "content": list(blocks)}


# ------------------------------------------------------------------------------------ of a conversation


@pytest.mark.parametrize(
    ("items", "format"),
    [
        ([ASKED], "openai"),
        ([ASKED, OPENAI_CALL, OPENAI_RESULT], "openai"),
        ([ASKED, said("assistant", USE), said("user", RESULT)], "anthropic"),
        ([{"role": "system", "content": "Be brief."}, ASKED, said("assistant", USE, {**USE, "id": "w2"})], "anthropic"),
        ([ASKED, said("assistant", {"type": "thinking", "thinking": "hm", "signature": "s"})], "anthropic"),
        ([ASKED, said("assistant", {"type": "redacted_thinking", "data": "x"})], "anthropic"),
        ([ASKED, said("user", {**RESULT, "content": "dry", "is_error": True})], "anthropic"),
        ([ASKED, said("assistant", {"type": "server_tool_use", "id": "s", "name": "web_search"})], "anthropic"),
        ([{"role": "user", "parts": [{"text": "Water."}]}, CONTENT], "gemini"),
        ([{"role": "user", "parts": "Water."}], "gemini"),
        ([{"role": "user", "parts": [{"type": "text", "text": "Water."}]}], "acontext"),
        ([ASKED, CALL, {"type": "function_call_output", "call_id": "w1", "output": "watered"}], "openai_responses"),
        ([said("user", {"type": "input_text", "text": "Water."})], "openai_responses"),
        ([ASKED, {"type": "reasoning", "id": "r1", "summary": []}], "openai_responses"),
    ],
)
def test_the_content_tells_the_format(items: list[Item], format: str) -> None:
    assert format_of(items) == format


@pytest.mark.parametrize("feature", [name for name in FEATURES if "no version knows" not in name])
def test_every_feature_is_told_by_the_format_that_has_it(feature: str) -> None:
    for format, items in FEATURES[feature].items():
        found = format_of(items)
        assert [to_message(item, found).parts for item in items] == [to_message(item, format).parts for item in items]


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded payloads are not here")
def test_recorded_conversations_are_told_or_refused_by_name() -> None:
    ours = {
        "openai_chat": "openai",
        "anthropic": "anthropic",
        "gemini": "gemini",
        "openai_responses": "openai_responses",
    }
    told: dict[str, list[bool]] = {name: [] for name in ours}
    for line in RECORDED.read_text().splitlines():
        row = json.loads(line)
        payload, format = row["payload"], ours.get(row["provider"])
        items = payload.get("messages") or payload.get("contents") or payload.get("input")
        if not isinstance(items, list):
            continue
        if format is None or "toolCall" in line:
            with pytest.raises(InvalidInput, match=r"messages\[\d+\]"):
                format_of(items)
        else:
            told[row["provider"]].append(format_of(items) in ("openai", format))
    assert all(found and all(found) for found in told.values())


@pytest.mark.parametrize(
    "items",
    [
        [ASKED, OPENAI_CALL, said("user", RESULT)],
        [ASKED, said("assistant", USE), OPENAI_RESULT],
        [ASKED, {**OPENAI_CALL, **said("assistant", {"type": "text", "text": "So be it."}, USE)}, OPENAI_RESULT],
        [ASKED, OPENAI_CALL, {**OPENAI_RESULT, "content": [{**RESULT, "is_error": True}]}],
    ],
)
def test_chat_messages_with_blocks_of_others_lose_none_of_them(items: list[Item]) -> None:
    assert format_of(items) == "openai"
    messages = [to_message(item, "openai") for item in items]
    (call,) = [part.meta for message in messages for part in message.tool_calls]
    (result,) = [part for message in messages for part in message.tool_results]
    assert call is not None
    assert (call["id"], call["name"], json.loads(call["arguments"])) == ("w1", "water", {"litres": 2})
    assert ((result.meta or {}).get("tool_call_id"), result.text) == ("w1", "watered")
    assert from_messages(messages, "openai") == items
    _, *turns = from_messages(messages, "anthropic")
    kinds = [block["type"] for turn in turns for block in turn["content"] if block["type"] != "text"]
    assert kinds == ["tool_use", "tool_result"]


def test_other_blocks_among_chat_messages_say_what_they_say() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
    message = from_openai(said("user", {"type": "input_text", "text": "Look:"}, image, {"type": "hologram", "of": "x"}))
    assert [part.type for part in message.parts] == ["text", "image", "data"]
    assert message.text == "Look:"
    (item,) = from_messages([message], "openai_responses")
    assert item["content"][1] == {
        "type": "input_image",
        "image_url": "data:image/png;base64,aGVsbG8=",
        "detail": "auto",
    }
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "sealed"}, {"type": "text", "text": "so"}]
    assert from_messages([from_openai(said("assistant", *blocks))], "anthropic")[0]["content"] == blocks


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([ASKED, said("assistant", USE, {"type": "hologram"})], ["messages[1].content[1]", "'hologram'", "no format"]),
        ([ASKED, said("user", {**RESULT, "content": [{"type": "scent"}]})], ["messages[1].content[0]"]),
        ([said("assistant", {"toolUse": {"name": "water"}})], ["messages[0].content[0]", "'toolUse'"]),
        ([ASKED, CONTENT], ["messages[1].role", "'gemini'", "'openai' or 'anthropic'"]),
        ([CONTENT, OPENAI_RESULT], ["messages[1].", "'openai'", "'gemini'"]),
        ([ASKED, CALL, OPENAI_CALL], ["messages[2].tool_calls", "'openai'", "'openai_responses'"]),
        ([ASKED, OPENAI_CALL, CALL], ["messages[2].type", "'function_call'", "'openai_responses'"]),
        ([{**ASKED, "parts": [{"type": "tool-invocation"}]}], ["messages[0].parts"]),
        ([{**ASKED, "tool_calls": OPENAI_CALL["tool_calls"]}], ["messages[0].tool_calls"]),
        ([{"role": ["user"], "content": "x"}], ["messages[0].role", "expected one of"]),
        ([ASKED, {"type": "human", "content": "x"}], ["messages[1].role", "expected one of"]),
        ([{"role": "model", "parts": [{"toolCall": {"name": "x"}}]}], ["messages[0].parts[0]", "'toolCall'"]),
    ],
)
def test_what_no_format_has_or_mixes_formats_is_named(items: list[Item], words: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        format_of(items)
    assert all(word in str(caught.value) for word in words), str(caught.value)


# ------------------------------------------------------------------------------------------ of a message


@pytest.mark.parametrize(
    ("item", "format", "mine"),
    [
        ({**OPENAI_CALL, "content": "I will."}, "anthropic", "openai"),
        ({**OPENAI_CALL, "content": ""}, "openai_responses", "openai"),
        (OPENAI_RESULT, "anthropic", "openai"),
        (said("assistant", USE), "openai_responses", "anthropic"),
        (CONTENT, "openai", "gemini"),
        (CALL, "openai", "openai_responses"),
        (said("assistant", USE), "gemini", "anthropic"),
        (said("user", {"type": "image_url", "image_url": {"url": "https://example.com/a"}}), "anthropic", "openai"),
    ],
)
def test_a_message_of_another_format_than_said_is_refused_and_the_right_one_named(
    item: Item, format: str, mine: str
) -> None:
    with pytest.raises(InvalidInput, match=f"it is a message of the format '{mine}'"):
        to_message(item, format)
    assert to_message(item, mine).format == mine


@pytest.mark.parametrize("format", [name for name in FORMATS if name not in ("gemini", "acontext")])
def test_a_block_that_nobody_knows_is_still_kept_as_it_is(format: str) -> None:
    item = said("user", {"type": "hologram", "of": "a plant"})
    assert from_messages([to_message(item, format)], format) == [item]


def test_a_part_of_gemini_says_one_thing() -> None:
    call = CONTENT["parts"][0]
    message = to_message({"role": "model", "parts": [{"text": "", **call}]}, "gemini")
    assert [part.type for part in message.parts] == ["tool-call"]
    with pytest.raises(InvalidInput, match="text and functionCall"):
        to_message({"role": "model", "parts": [{"text": "I will.", **call}]}, "gemini")
