"""What LangChain's messages hold beside words, read back as its provider wants it."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from acontext_adapters.langchain.convert import converted
from acontext_plugins.formats import from_messages

CALL: Any = {"name": "look", "args": {"q": 1}, "id": "t1"}


def read(format: str, *messages: BaseMessage) -> list[dict[str, Any]]:
    said = [*messages, ToolMessage("found", tool_call_id="t1")]
    return from_messages([one for at, message in enumerate(said) for one in converted(message, f"m{at}")], format)


def test_a_thought_goes_back_to_the_provider_that_signed_it_and_to_no_other() -> None:
    def message(provider: str) -> AIMessage:
        thought = {"type": "thinking", "thinking": "hm", "signature": "SIG", "index": 0}
        return AIMessage([thought], tool_calls=[CALL], response_metadata={"model_provider": provider})

    assert read("anthropic", message("anthropic"))[0]["content"][0] == {
        "type": "thinking",
        "thinking": "hm",
        "signature": "SIG",
    }
    assert [block["type"] for block in read("anthropic", message("google_genai"))[0]["content"]] == ["tool_use"]


def test_standard_blocks_of_thought_keep_their_signature() -> None:
    blocks = [
        {"type": "reasoning", "reasoning": "hm", "extras": {"signature": "SIG"}},
        {"type": "non_standard", "value": {"type": "redacted_thinking", "data": "sealed"}},
    ]
    (said, _) = read("anthropic", AIMessage(blocks, tool_calls=[CALL]))
    assert said["content"][:2] == [
        {"type": "thinking", "thinking": "hm", "signature": "SIG"},
        {"type": "redacted_thinking", "data": "sealed"},
    ]


def test_sealed_thoughts_of_the_responses_api_are_items_again() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
    assert read("openai_responses", AIMessage([item], tool_calls=[CALL]))[0] == item


def test_gemini_gets_the_signatures_of_its_calls_and_words_back() -> None:
    message = AIMessage(
        [{"type": "text", "text": "I look.", "extras": {"signature": "d29yZHM="}}],
        tool_calls=[CALL],
        additional_kwargs={"__gemini_function_call_thought_signatures__": {"t1": "Y2FsbA=="}},
        response_metadata={"model_provider": "google_genai"},
    )
    words, call = read("gemini", message)[0]["parts"]
    assert words == {"text": "I look.", "thoughtSignature": "d29yZHM="}
    assert call["thoughtSignature"] == "Y2FsbA=="


def test_thoughts_of_openrouter_stand_beside_the_content() -> None:
    details = [{"type": "reasoning.encrypted", "data": "sealed"}]
    message = AIMessage("", tool_calls=[CALL], additional_kwargs={"reasoning_details": details})
    assert read("openai", message)[0]["reasoning_details"] == details


def test_bytes_are_kept_as_base64() -> None:
    message = AIMessage([{"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}])
    shown = ToolMessage([{"type": "media", "mime_type": "image/png", "data": b"\x89PNG"}], tool_call_id="t1")
    said = read("gemini", message, AIMessage("", tool_calls=[CALL]), shown)
    assert said[0]["parts"][0]["inlineData"]["data"] == "iVBORw0KGgo="
    assert said[-1]["parts"][-1]["inlineData"]["data"] == "iVBORw=="
