"""Histories as they happen: interrupted, cut off, empty, with ids and names that other APIs do not take."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from acontext_store.types import Message, Part

Item = dict[str, Any]

PNG, PDF, WAV = "iVBORw0KGgo=", "JVBERi0=", "UklGRg=="
IDS = st.sampled_from(["c1", "c2", "c3", "find:1", "call_1|fc_2", "c" * 70, ""])
NAMES = st.sampled_from(["find", "files.read", "mcp server/look", "9lives", "n" * 90])
WORDS = st.sampled_from(["hi", "so it is", "", " ", "\n"])
ARGUMENTS = st.sampled_from(["{}", '{"q": 1}', "", "[1]", "not json", '{"q":'])


def _chat() -> st.SearchStrategy[Item]:
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    media = st.sampled_from(
        [
            url,
            {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": "data:text/csv;base64,YSxi", "filename": "a.csv"}},
        ]
    )
    text = st.builds(lambda words: {"type": "text", "text": words}, WORDS)
    call = st.builds(
        lambda id, name, given: {"id": id, "type": "function", "function": {"name": name, "arguments": given}},
        IDS,
        NAMES,
        ARGUMENTS,
    )
    custom = st.builds(lambda id: {"id": id, "type": "custom", "custom": {"name": "sh", "input": "ls"}}, IDS)
    return st.one_of(
        st.builds(lambda role, words: {"role": role, "content": words}, st.sampled_from(["user", "system"]), WORDS),
        st.builds(lambda pieces: {"role": "user", "content": pieces}, st.lists(text | media, max_size=3)),
        st.builds(lambda words: {"role": "assistant", "content": words}, WORDS | st.none()),
        st.builds(lambda words: {"role": "assistant", "reasoning_content": "hm", "content": words}, WORDS | st.none()),
        st.builds(
            lambda words, calls: {"role": "assistant", "content": words, "tool_calls": calls},
            WORDS | st.none(),
            st.lists(call | custom, max_size=3),
        ),
        st.builds(lambda id, words: {"role": "tool", "tool_call_id": id, "content": words}, IDS, WORDS),
        st.builds(lambda id: {"role": "tool", "tool_call_id": id, "content": [url]}, IDS),
        st.just({"role": "assistant", "content": None, "function_call": {"name": "find", "arguments": "{}"}}),
        st.just({"role": "function", "name": "find", "content": "found"}),
    )


def _anthropic() -> st.SearchStrategy[Item]:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    text = st.builds(lambda words: {"type": "text", "text": words}, WORDS)
    said = st.one_of(
        text,
        st.just({"type": "thinking", "thinking": "hm", "signature": "s"}),
        st.just({"type": "redacted_thinking", "data": "sealed"}),
        st.builds(lambda id, name: {"type": "tool_use", "id": id, "name": name, "input": {"q": 1}}, IDS, NAMES),
        st.just({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}}),
        st.just({"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}),
    )
    given = st.one_of(
        text,
        st.just(image),
        st.just({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}),
        st.builds(lambda id, words: {"type": "tool_result", "tool_use_id": id, "content": words}, IDS, WORDS),
        st.builds(lambda id: {"type": "tool_result", "tool_use_id": id, "content": [image], "is_error": True}, IDS),
    )
    return st.one_of(
        st.builds(lambda blocks: {"role": "assistant", "content": blocks}, st.lists(said, max_size=4)),
        st.builds(lambda blocks: {"role": "user", "content": blocks}, st.lists(given, max_size=4)),
        st.builds(lambda role, words: {"role": role, "content": words}, st.sampled_from(["user", "assistant"]), WORDS),
    )


def _gemini() -> st.SearchStrategy[Item]:
    said = st.one_of(
        st.builds(lambda words: {"text": words}, WORDS),
        st.just({"text": "hm", "thought": True}),
        st.builds(lambda name, args: {"functionCall": {"name": name, "args": args}}, NAMES, st.none() | st.just({})),
        st.builds(lambda id: {"functionCall": {"id": id, "name": "find", "args": {"q": 1}}}, IDS),
        st.just({"functionCall": {"name": "find", "args": {}}, "thoughtSignature": "c2ln"}),
        st.just({"executableCode": {"language": "PYTHON", "code": "print(1)"}}),
        st.just({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}),
        st.just({"inlineData": {"mimeType": "image/png", "data": PNG}}),
        st.just({}),
    )
    given = st.one_of(
        st.builds(lambda words: {"text": words}, WORDS),
        st.builds(lambda name: {"functionResponse": {"name": name, "response": {"result": "found"}}}, NAMES),
        st.builds(lambda id: {"functionResponse": {"id": id, "name": "find", "response": {"error": "no"}}}, IDS),
        st.just({"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}),
    )
    return st.one_of(
        st.builds(lambda parts: {"role": "model", "parts": parts}, st.lists(said, max_size=3) | st.none()),
        st.builds(lambda parts: {"role": "user", "parts": parts}, st.lists(given, max_size=3)),
    )


def _responses() -> st.SearchStrategy[Item]:
    hosted = st.sampled_from(
        [
            {"type": "web_search_call", "id": "w1", "status": "completed"},
            {"type": "web_search_call", "id": "w2", "action": {"type": "search", "query": "x"}},
            {"type": "code_interpreter_call", "id": "i1", "code": "1", "container_id": "x", "outputs": None},
            {"type": "mcp_call", "id": "m1", "name": "roll", "server_label": "d", "arguments": "{}", "output": "4"},
            {"type": "file_search_call", "id": "f1", "queries": ["x"], "status": "completed", "results": [{}]},
            {"type": "image_generation_call", "id": "g1", "status": "completed", "result": PNG},
            {"type": "mcp_approval_request", "id": "a1", "name": "roll", "server_label": "d", "arguments": "{}"},
            {"type": "mcp_approval_response", "approval_request_id": "a1", "approve": True},
            {"type": "mcp_list_tools", "id": "l1", "server_label": "d", "tools": []},
            {"type": "reasoning", "id": "r1", "summary": [], "encrypted_content": "x"},
            {"type": "compaction", "id": "k1", "encrypted_content": "x"},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_image", "image_url": "https://e.org/a", "detail": "low"}],
            },
        ]
    )
    return st.one_of(
        hosted,
        st.builds(lambda role, words: {"role": role, "content": words}, st.sampled_from(["user", "developer"]), WORDS),
        st.builds(
            lambda words: {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": words}]},
            WORDS,
        ),
        st.builds(
            lambda id, name, given: {"type": "function_call", "call_id": id, "name": name, "arguments": given},
            IDS,
            NAMES,
            ARGUMENTS | st.none(),
        ),
        st.builds(lambda id: {"type": "custom_tool_call", "call_id": id, "name": "sh", "input": "ls"}, IDS),
        st.builds(lambda id, words: {"type": "function_call_output", "call_id": id, "output": words}, IDS, WORDS),
        st.builds(lambda id: {"type": "custom_tool_call_output", "call_id": id, "output": "a.txt"}, IDS),
    )


#: One item, by the format that it is in.
ITEMS: dict[str, st.SearchStrategy[Item]] = {
    "openai": _chat(),
    "anthropic": _anthropic(),
    "gemini": _gemini(),
    "openai_responses": _responses(),
}


def _parts() -> st.SearchStrategy[Message]:
    """What adapters record: parts, in the format of none."""
    call = st.builds(
        lambda id, name, given: Part(type="tool-call", meta={"id": id, "name": name, "arguments": given}),
        IDS,
        NAMES | st.just(""),
        ARGUMENTS,
    )
    result = st.builds(
        lambda id, words: Part(type="tool-result", text=words, meta={"tool_call_id": id, "name": "find"}), IDS, WORDS
    )
    media = st.sampled_from(
        [
            Part(type="image", meta={"data": PNG, "media_type": "image/png"}),
            Part(type="image", meta={"url": "data:image/svg+xml;base64,AAAA"}),
            Part(type="file", meta={"data": PDF}),
            Part(type="file", meta={"data": "YSxi", "media_type": "text/csv"}),
            Part(type="file", meta={"data": "AAAA", "media_type": "application/msword"}),
            Part(type="audio", meta={"data": WAV, "media_type": "audio/mpeg"}),
            Part(type="video", meta={"url": "https://e.org/v"}),
            Part(type="data", meta={"data_type": "hologram"}),
            Part(type="thinking", text="hm"),
        ]
    )
    text = st.builds(lambda words: Part(type="text", text=words), WORDS)
    return st.one_of(
        st.builds(_of("user"), st.lists(text | media, max_size=3)),
        st.builds(_of("assistant"), st.lists(text | media | call | result, max_size=5)),
        st.builds(_of("tool"), st.builds(lambda one, rest: [one, *rest], result, st.lists(media, max_size=1))),
    )


def _of(role: str) -> Any:
    return lambda parts: Message(role=role, parts=tuple(parts), format="acontext")


PARTS = _parts()


def shown(items: Any) -> str:
    return json.dumps(items, indent=1, ensure_ascii=False)
