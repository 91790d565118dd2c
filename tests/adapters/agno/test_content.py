"""What agno's messages hold beside words, read back as its provider wants it."""

from __future__ import annotations

from typing import Any

from agno.media import File
from agno.models.message import Message as Said

from acontext_adapters.agno.convert import copied, message_of
from acontext_plugins.formats import from_messages

CALL = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def read(format: str, **fields: Any) -> list[dict[str, Any]]:
    return from_messages([message_of(copied(Said(role="assistant", **fields), "assistant"), "m")], format)


def test_thoughts_go_back_with_their_signature() -> None:
    said = read(
        "anthropic",
        content="21C",
        reasoning_content="hm",
        redacted_reasoning_content="sealed",
        provider_data={"signature": "SIG"},
    )
    assert said[0]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "SIG"},
        {"type": "redacted_thinking", "data": "sealed"},
        {"type": "text", "text": "21C"},
    ]


def test_gemini_gets_the_signatures_of_its_calls_and_words_back() -> None:
    said = read(
        "gemini",
        content="I look.",
        provider_data={"thought_signature": "d29yZHM="},
        tool_calls=[{**CALL, "thought_signature": "Y2FsbA=="}],
    )
    words, call = said[0]["parts"]
    assert (words["thoughtSignature"], call["thoughtSignature"]) == ("d29yZHM=", "Y2FsbA==")


def test_a_file_counts_by_its_bytes() -> None:
    copy = copied(Said(role="user", content="see", files=[File(content=b"x" * 5000, filename="a.pdf")]), "user")
    assert copy.size > 5000
