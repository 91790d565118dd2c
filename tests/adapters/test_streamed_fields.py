"""What a stream says beside words and calls is kept, under whatever names: its provider wants it back."""

from __future__ import annotations

from typing import Any

from acontext_adapters.model_calls import ANTHROPIC, CHAT
from acontext_plugins.formats import from_messages

Item = dict[str, Any]


def chat(*deltas: Item) -> Item:
    """The message that these deltas make."""
    stream = CHAT.assembler()
    for delta in deltas:
        stream.feed({"id": "r", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    stream.feed({"id": "r", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    message: Item = stream.response["choices"][0]["message"]
    return message


def kept(wire: Any, message: Item) -> Item:
    """The message as it is read back in its own format."""
    ((made,),) = wire.messages([message])
    (item,) = from_messages([made], made.format)
    return item


def test_thoughts_of_openrouter_go_on_by_index_and_type() -> None:
    text = {"type": "reasoning.text", "index": 0, "format": "anthropic-claude-v1"}
    message = chat(
        {"reasoning": "I ", "reasoning_details": [{**text, "text": "I "}]},
        {"reasoning": "look.", "reasoning_details": [{**text, "text": "look."}]},
        {"reasoning_details": [{**text, "signature": "SIG"}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "index": 0, "data": "sealed"}]},
        {"content": "21C"},
    )
    details = [
        {**text, "text": "I look.", "signature": "SIG"},
        {"type": "reasoning.encrypted", "index": 0, "data": "sealed"},
    ]
    assert message["reasoning_details"] == details
    assert kept(CHAT, message)["reasoning_details"] == details


def test_blocks_of_thought_without_an_index_go_on_until_they_are_signed() -> None:
    def block(**fields: Any) -> Item:
        return {"thinking_blocks": [{"type": "thinking", **fields}]}

    message = chat(
        block(thinking="one "),
        block(thinking="two"),
        block(thinking="", signature="A"),
        block(thinking="three", signature=None),
        block(thinking="", signature="B"),
        {"content": "so"},
    )
    assert [(one["thinking"], one["signature"]) for one in message["thinking_blocks"]] == [
        ("one two", "A"),
        ("three", "B"),
    ]


def test_what_stands_beside_a_call_is_kept_with_it() -> None:
    signed = {"google": {"thought_signature": "SIG"}}
    message = chat(
        {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "look"}, "extra_content": signed}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"q":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": " 1}", "strict": True}}]},
    )
    (call,) = kept(CHAT, message)["tool_calls"]
    assert call["extra_content"] == signed
    assert call["function"] == {"name": "look", "arguments": '{"q": 1}', "strict": True}


def test_things_that_come_whole_stand_side_by_side() -> None:
    def cites(url: str) -> Item:
        return {"annotations": [{"type": "url_citation", "url_citation": {"url": url}}]}

    message = chat({"content": "so"}, cites("https://a"), cites("https://b"), cites("https://b"))
    assert [one["url_citation"]["url"] for one in message["annotations"]] == ["https://a", "https://b"]
    assert kept(CHAT, message) == message


def test_sound_goes_on_and_is_one() -> None:
    message = chat(
        {"audio": {"id": "a1", "transcript": "Good "}},
        {"audio": {"id": "a1", "data": "AAAA"}},
        {"audio": {"transcript": "day", "data": "BBBB", "expires_at": 7}},
    )
    assert message["audio"] == {"id": "a1", "transcript": "Good day", "data": "AAAABBBB", "expires_at": 7}


def blocks(*events: Item) -> list[Item]:
    """The content that these events of Anthropic's make."""
    stream = ANTHROPIC.assembler()
    stream.feed({"type": "message_start", "message": {"id": "m", "role": "assistant", "content": []}})
    for event in events:
        stream.feed(event)
    stream.feed({"type": "message_stop"})
    content: list[Item] = stream.response["content"]
    return content


def test_a_delta_that_no_version_knows_goes_on_in_its_block() -> None:
    begun = {"type": "content_block_start", "index": 0, "content_block": {"type": "compaction", "content": None}}
    pieces = [{"type": "compaction_delta", "content": "so "}, {"type": "compaction_delta", "content": "far"}]
    deltas = [{"type": "content_block_delta", "index": 0, "delta": piece} for piece in pieces]
    assert blocks(begun, *deltas) == [{"type": "compaction", "content": "so far"}]


def test_citations_and_signatures_stay_with_their_blocks_and_come_back() -> None:
    def delta(at: int, **fields: Any) -> Item:
        return {"type": "content_block_delta", "index": at, "delta": fields}

    content = blocks(
        delta(0, type="thinking_delta", thinking="hm"),  # a gateway that leaves out how blocks begin
        delta(0, type="signature_delta", signature="SIG"),
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "So", "citations": []}},
        delta(1, type="text_delta", text=" it is."),
        delta(1, type="citations_delta", citation={"type": "char_location", "cited_text": "so"}),
        delta(1, type="citations_delta", citation={"type": "char_location", "cited_text": "is"}),
    )
    assert content[0] == {"type": "thinking", "thinking": "hm", "signature": "SIG"}
    assert content[1]["text"] == "So it is."
    assert [one["cited_text"] for one in content[1]["citations"]] == ["so", "is"]
    assert kept(ANTHROPIC, {"role": "assistant", "content": content})["content"] == content
