"""Across formats: words, pictures, calls and results survive, or are named; calls stay paired."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.formats import FORMATS, named_items, to_message
from acontext_store.types import Message

from .recorded import RECORDED, payloads

CONVERSATION: list[dict[str, Any]] = [
    {"role": "user", "content": [
        {"type": "text", "text": "what is on it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/b.png", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
    ]},
    {"role": "assistant", "content": "I look.", "tool_calls": [
        {"id": id, "type": "function", "function": {"name": name, "arguments": '{"page": 1}'}}
        for id, name in (("c1", "read"), ("c2", "look"))
    ]},
    {"role": "tool", "tool_call_id": "c1", "content": "page one"},
    {"role": "tool", "tool_call_id": "c2", "content": "two cats"},
    {"role": "assistant", "content": "Two cats."},
]  # fmt: skip


def _through(messages: list[Message], format: str, lost: list[str]) -> list[Message]:
    return [to_message(item, format) for _, item in named_items(messages, format, lost=lost)]


def _content(messages: list[Message]) -> tuple[list[str], dict[str, str], dict[str, str], int]:
    """The words, the calls, the results, and how many media."""
    parts = [part for message in messages for part in message.parts]
    return (
        [part.text or "" for part in parts if part.type == "text" and part.text],
        {_id(part): str((part.meta or {}).get("name")) for part in parts if part.type == "tool-call"},
        {_id(part): part.text or "" for part in parts if part.type == "tool-result"},
        sum(part.type in ("image", "audio", "video", "file") for part in parts),
    )


def _id(part: Any) -> str:
    meta = part.meta or {}
    return str(meta.get("tool_call_id") or meta.get("id") or "")


@pytest.mark.parametrize("target", FORMATS)
def test_a_conversation_survives_every_format(target: str) -> None:
    messages = [to_message(blob) for blob in CONVERSATION]
    lost: list[str] = []
    there = _through(messages, target, lost)
    assert lost == []
    assert _content(there) == _content(messages)
    back = _through([message.model_copy(update={"native": None}) for message in there], "openai", lost)
    assert lost == []
    assert _content(back) == _content(messages)


@pytest.mark.parametrize("target", FORMATS)
def test_each_item_has_the_id_of_its_message(target: str) -> None:
    messages = [to_message(blob, id=f"m{number}") for number, blob in enumerate(CONVERSATION)]
    ids = [id for id, _ in named_items(messages, target)]
    assert ids == sorted(ids)
    assert set(ids) <= {message.id for message in messages}
    assert ids[0] == "m0"
    assert ids[-1] == "m4"


def test_what_has_no_place_is_named() -> None:
    audio = {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}]}
    lost: list[str] = []
    named_items([to_message(audio)], "anthropic", lost=lost)
    assert lost == ["audio: the anthropic format has no place for it"]


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded payloads are not here")
@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize(
    ("source", "key", "format"),
    [("openai_chat", "messages", "openai"), ("anthropic", "messages", "anthropic"), ("gemini", "contents", "gemini")],
)
def test_recorded_conversations_lose_nothing_unnamed(source: str, key: str, format: str, target: str) -> None:
    for payload in payloads(source):
        messages = [to_message(blob, format) for blob in payload[key]]
        messages = [message.model_copy(update={"native": None}) for message in messages]
        lost: list[str] = []
        there = _through(messages, target, lost)
        words, calls, results, media = _content(messages)
        said, called, answered, seen = _content(there)
        text = "\n".join(said)
        assert [word for word in words if word not in text] == []
        assert len(called) == len(calls) or "" in calls
        assert set(answered.values()) >= {value for value in results.values() if value and not _is_json(value)}
        named = sum(line.startswith(("image", "audio", "video", "file", "data")) for line in lost)
        assert seen + named + len(said) - len(words) >= media


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@st.composite
def _conversation(draw: st.DrawFn) -> list[dict[str, Any]]:
    words = st.text(alphabet='ab {}"字', min_size=1, max_size=10).filter(str.strip)
    items: list[dict[str, Any]] = [{"role": "user", "content": draw(words)}]
    for step in range(draw(st.integers(0, 3))):
        ids = [f"c{step}{number}" for number in range(draw(st.integers(1, 3)))]
        calls = [
            {
                "id": id,
                "type": "function",
                "function": {"name": draw(st.sampled_from("fg")), "arguments": json.dumps({"a": draw(words)})},
            }
            for id in ids
        ]
        items.append({"role": "assistant", "content": draw(words | st.none()), "tool_calls": calls})
        items += [{"role": "tool", "tool_call_id": id, "content": draw(words)} for id in draw(st.permutations(ids))]
    items.append({"role": "assistant", "content": draw(words)})
    return items


@given(_conversation(), st.permutations(FORMATS))
def test_any_way_through_the_formats_keeps_words_calls_and_results(items: list[dict[str, Any]], way: list[str]) -> None:
    messages = [to_message(item) for item in items]
    there = messages
    lost: list[str] = []
    for target in way:
        there = _through([message.model_copy(update={"native": None}) for message in there], target, lost)
    assert lost == []
    assert _content(there) == _content(messages)


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("result", [" {}", '{"a":1}', '{"a": 1}', '{"result": "ok"}', "[1]", "null", "{}"])
def test_results_that_look_like_json_stay_the_text_that_they_are(target: str, result: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    items = [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": result},
    ]
    messages = [to_message(item).model_copy(update={"native": None}) for item in items]
    lost: list[str] = []
    assert _content(_through(messages, target, lost))[2] == {"c1": result}
    assert lost == []
