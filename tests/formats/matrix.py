"""What becomes of each feature, from each format to each: found out by trying, and written down in docs/formats.md.

`python -m tests.formats.matrix` writes the page's tables anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from acontext_plugins.formats import FORMATS, named_items, to_message
from acontext_plugins.formats.media import media_of
from acontext_plugins.formats.sequence import NO_RESULT
from acontext_store.errors import InvalidInput
from acontext_store.types import Message, Part

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
BEGIN, END = "<!-- what the tests found: begin -->\n", "<!-- what the tests found: end -->\n"
BEGIN_MEDIA, END_MEDIA = "<!-- what adapters are handed: begin -->\n", "<!-- what adapters are handed: end -->\n"
#: The verdicts, and what each means on the page.
VERDICTS = ("lossless", "kept", "reported", "refused", "LOST")

_PNG, _PDF, _WAV = "aGVsbG8=", "JVBERg==", "UklGRg=="
_URL = "https://example.com/a"


def _openai_call(id: str = "c1", arguments: str = '{"q": 1}') -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "find", "arguments": arguments}}


def _user(*pieces: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(pieces), **more}]


_OPENAI_CALLS = {"role": "assistant", "content": None, "tool_calls": [_openai_call(), _openai_call("c2")]}
_ANTHROPIC_CALLS = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": id, "name": "find", "input": {"q": 1}} for id in ("c1", "c2")],
}
_GEMINI_CALLS = {
    "role": "model",
    "parts": [{"functionCall": {"id": id, "name": "find", "args": {"q": 1}}} for id in ("c1", "c2")],
}
_RESPONSES_CALLS = [
    {"type": "function_call", "call_id": id, "name": "find", "arguments": '{"q": 1}'} for id in ("c1", "c2")
]
_CALL_PART = {"type": "tool-call", "meta": {"id": "c1", "name": "find", "arguments": '{"q": 1}', "type": "function"}}


def _acontext(*parts: dict[str, Any], role: str = "user") -> list[dict[str, Any]]:
    return [{"role": role, "parts": list(parts)}]


#: The call that a result answers.
_CALL: dict[str, list[Any]] = {
    "anthropic": [{"role": "assistant", "content": _ANTHROPIC_CALLS["content"][:1]}],
    "gemini": [{"role": "model", "parts": _GEMINI_CALLS["parts"][:1]}],
    "acontext": _acontext(_CALL_PART, role="assistant"),
    "openai_responses": _RESPONSES_CALLS[:1],
}
#: Feature -> format -> a conversation that has it. A format that is missing knows no such thing.
FEATURES: dict[str, dict[str, list[Any]]] = {
    "text": {
        "openai": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
        "anthropic": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
        "gemini": [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "ho"}]}],
        "acontext": [*_acontext({"type": "text", "text": "hi"})],
        "openai_responses": [
            {"role": "user", "content": "hi"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ho"}]},
        ],
    },
    "several texts in one message": {
        "openai": _user({"type": "text", "text": "one"}, {"type": "text", "text": "two"}),
        "anthropic": _user({"type": "text", "text": "one"}, {"type": "text", "text": "two"}),
        "gemini": [{"role": "user", "parts": [{"text": "one"}, {"text": "two"}]}],
        "acontext": _acontext({"type": "text", "text": "one"}, {"type": "text", "text": "two"}),
        "openai_responses": _user({"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}),
    },
    "system prompt": {
        "openai": [{"role": "system", "content": "be brief"}],
        "anthropic": [{"role": "system", "content": "be brief"}],
        "gemini": [{"role": "system", "parts": [{"text": "be brief"}]}],
        "acontext": _acontext({"type": "text", "text": "be brief"}, role="system"),
        "openai_responses": [{"role": "system", "content": "be brief"}],
    },
    "developer prompt": {
        "openai": [{"role": "developer", "content": "be brief"}],
        "openai_responses": [{"role": "developer", "content": "be brief"}],
    },
    "image (bytes)": {
        "openai": _user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PNG}"}}),
        "anthropic": _user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}}),
        "gemini": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": _PNG}}]}],
        "acontext": _acontext({"type": "image", "meta": {"type": "base64", "media_type": "image/png", "data": _PNG}}),
        "openai_responses": _user({"type": "input_image", "image_url": f"data:image/png;base64,{_PNG}"}),
    },
    "image (URL)": {
        "openai": _user({"type": "image_url", "image_url": {"url": _URL, "detail": "low"}}),
        "anthropic": _user({"type": "image", "source": {"type": "url", "url": _URL}}),
        "gemini": [{"role": "user", "parts": [{"fileData": {"mimeType": "image/png", "fileUri": _URL}}]}],
        "acontext": _acontext({"type": "image", "meta": {"url": _URL}}),
        "openai_responses": _user({"type": "input_image", "image_url": _URL, "detail": "low"}),
    },
    "audio": {
        "openai": _user({"type": "input_audio", "input_audio": {"data": _WAV, "format": "wav"}}),
        "gemini": [{"role": "user", "parts": [{"inlineData": {"mimeType": "audio/wav", "data": _WAV}}]}],
        "acontext": _acontext({"type": "audio", "meta": {"data": _WAV, "format": "wav"}}),
        "openai_responses": _user({"type": "input_audio", "input_audio": {"data": _WAV, "format": "wav"}}),
    },
    "video": {
        "openai": _user({"type": "video_url", "video_url": {"url": _URL}}),
        "gemini": [{"role": "user", "parts": [{"fileData": {"mimeType": "video/mp4", "fileUri": _URL}}]}],
        "acontext": _acontext({"type": "video", "meta": {"url": _URL}}),
    },
    "file (bytes)": {
        "openai": _user(
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{_PDF}", "filename": "a.pdf"}}
        ),
        "anthropic": _user(
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": _PDF}}
        ),
        "gemini": [{"role": "user", "parts": [{"inlineData": {"mimeType": "application/pdf", "data": _PDF}}]}],
        "acontext": _acontext({"type": "file", "meta": {"media_type": "application/pdf", "data": _PDF}}),
        "openai_responses": _user(
            {"type": "input_file", "file_data": f"data:application/pdf;base64,{_PDF}", "filename": "a.pdf"}
        ),
    },
    "file (URL)": {
        "anthropic": _user({"type": "document", "source": {"type": "url", "url": _URL}}),
        "gemini": [{"role": "user", "parts": [{"fileData": {"mimeType": "application/pdf", "fileUri": _URL}}]}],
        "acontext": _acontext({"type": "file", "meta": {"url": _URL}}),
        "openai_responses": _user({"type": "input_file", "file_url": _URL}),
    },
    "file (id at the provider)": {
        "openai": _user({"type": "file", "file": {"file_id": "file-1"}}),
        "anthropic": _user({"type": "document", "source": {"type": "file", "file_id": "file-1"}}),
        "acontext": _acontext({"type": "file", "meta": {"file_id": "file-1"}}),
        "openai_responses": _user({"type": "input_file", "file_id": "file-1"}),
    },
    "document of words": {
        "anthropic": _user(
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a long text"}}
        ),
    },
    "tool call": {
        "openai": [{"role": "assistant", "content": "so", "tool_calls": [_openai_call()]}],
        "anthropic": [
            {"role": "assistant", "content": [{"type": "text", "text": "so"}, _ANTHROPIC_CALLS["content"][0]]}
        ],
        "gemini": [{"role": "model", "parts": [{"text": "so"}, _GEMINI_CALLS["parts"][0]]}],
        "acontext": _acontext({"type": "text", "text": "so"}, _CALL_PART, role="assistant"),
        "openai_responses": [_RESPONSES_CALLS[0]],
    },
    "parallel calls, and their results": {
        "openai": [
            _OPENAI_CALLS,
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": "two"},
        ],
        "anthropic": [
            _ANTHROPIC_CALLS,
            *_user(
                {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "two"},
            ),
        ],
        "gemini": [
            _GEMINI_CALLS,
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": id, "name": "find", "response": {"result": text}}}
                    for id, text in (("c1", "one"), ("c2", "two"))
                ],
            },
        ],
        "acontext": [
            *_acontext(_CALL_PART, {**_CALL_PART, "meta": {**_CALL_PART["meta"], "id": "c2"}}, role="assistant"),  # type: ignore[dict-item]
            *_acontext(
                {"type": "tool-result", "text": "one", "meta": {"tool_call_id": "c1"}},
                {"type": "tool-result", "text": "two", "meta": {"tool_call_id": "c2"}},
            ),
        ],
        "openai_responses": [
            *_RESPONSES_CALLS,
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"type": "function_call_output", "call_id": "c2", "output": "two"},
        ],
    },
    "free-form (custom) call": {
        "openai": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "sh", "input": "ls"}}],
            }
        ],
        "openai_responses": [{"type": "custom_tool_call", "call_id": "c1", "name": "sh", "input": "ls"}],
    },
    "failed result": {
        "anthropic": _CALL["anthropic"]
        + _user({"type": "tool_result", "tool_use_id": "c1", "content": "no", "is_error": True}),
        "gemini": [
            *_CALL["gemini"],
            {
                "role": "user",
                "parts": [{"functionResponse": {"id": "c1", "name": "find", "response": {"error": "no"}}}],
            },
        ],
        "acontext": _CALL["acontext"]
        + _acontext({"type": "tool-result", "text": "no", "meta": {"tool_call_id": "c1", "is_error": True}}),
    },
    "image in a result": {
        "anthropic": _CALL["anthropic"]
        + _user(
            {
                "type": "tool_result",
                "tool_use_id": "c1",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}},
                ],
            }
        ),
        "openai_responses": [
            *_CALL["openai_responses"],
            {
                "type": "function_call_output",
                "call_id": "c1",
                "output": [
                    {"type": "input_text", "text": "see"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{_PNG}"},
                ],
            },
        ],
    },
    "thinking": {
        "openai": [{"role": "assistant", "reasoning_content": "hmm", "content": "ok"}],
        "anthropic": [
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hmm", "signature": "s"},
                    {"type": "text", "text": "ok"},
                ],
            }
        ],
        "gemini": [{"role": "model", "parts": [{"text": "hmm", "thought": True}, {"text": "ok"}]}],
        "acontext": _acontext({"type": "thinking", "text": "hmm"}, {"type": "text", "text": "ok"}, role="assistant"),
        "openai_responses": [
            {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "hmm"}]},
        ],
    },
    "refusal": {
        "openai": [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        "acontext": _acontext({"type": "text", "text": "no", "meta": {"is_refusal": True}}, role="assistant"),
        "openai_responses": [
            {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
        ],
    },
    "cache_control": {
        "openai": _user({"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}),
        "anthropic": _user({"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}),
        "acontext": _acontext({"type": "text", "text": "hi", "meta": {"cache_control": {"type": "ephemeral"}}}),
    },
    "a block that no version knows": {
        "openai": _user({"type": "hologram", "beams": [1]}),
        "anthropic": _user({"type": "hologram", "beams": [1]}),
        "gemini": [{"role": "user", "parts": [{"hologram": {"beams": [1]}}]}],
        "acontext": _acontext({"type": "data", "meta": {"data_type": "hologram", "beams": [1]}}),
        "openai_responses": [{"type": "hologram", "beams": [1]}],
    },
    "a role that no version knows": {
        "openai": [{"role": "oracle", "content": "hi"}],
        "anthropic": [{"role": "oracle", "content": "hi"}],
        "gemini": [{"role": "oracle", "parts": [{"text": "hi"}]}],
        "acontext": _acontext({"type": "text", "text": "hi"}, role="oracle"),
        "openai_responses": [{"role": "oracle", "content": "hi"}],
    },
}


def verdict(feature: str, source: str, target: str) -> str | None:
    """What becomes of it on the way; None where the source knows no such thing."""
    items = FEATURES[feature].get(source)
    if items is None:
        return None
    try:
        messages = [to_message(item, source) for item in items]
    except InvalidInput:
        return "refused"
    lost: list[str] = []
    said = [item for _, item in named_items(messages, target, lost=lost)]
    if source == target:
        return "lossless" if json.dumps(said) == json.dumps(items) and not lost else "LOST"
    bare = [message.model_copy(update={"native": None}) for message in messages]
    if lost != _lost(bare, target):
        return "LOST"
    there = [to_message(item, target) for item in said]
    if facts(there) == facts(messages) and not lost:
        return "kept"
    missing = [fact for fact in facts(messages) if fact not in facts(there)]
    return "reported" if lost and len(missing) <= len(lost) else "LOST"


def _lost(messages: Sequence[Message], target: str) -> list[str]:
    lost: list[str] = []
    named_items(messages, target, lost=lost)
    return lost


def facts(messages: Iterable[Message]) -> list[str]:
    """What the messages say, whichever format they are in."""
    return sorted(json.dumps(fact) for message in messages for part in message.parts for fact in _facts(message, part))


def _facts(message: Message, part: Part) -> list[list[Any]]:
    meta = part.meta or {}
    found: list[list[Any]] = []
    if part.type == "text":
        found.append(["text", "system" if message.role == "system" else "", part.text])
        found += [["refusal", part.text]] if meta.get("is_refusal") else []
        found += [["cache_control", part.text]] if meta.get("cache_control") else []
    elif part.type == "tool-call":
        found.append(["call", meta["id"], meta["name"], json.loads(meta["arguments"])])
    elif part.type == "tool-result" and part.text != NO_RESULT:
        found.append(["result", meta["tool_call_id"], part.text])
        found += [["failed", meta["tool_call_id"]]] if meta.get("is_error") else []
    elif part.type == "tool-result":
        return []
    elif part.type in ("thinking", "data"):
        found.append([part.type, part.text, meta.get("data_type")])
    else:
        media = media_of(part)
        if media.text is not None:
            found.append(["text", "", media.text])
        else:
            found.append([part.type, media.data or media.url or media.file_id])
    return found


def tables() -> str:
    """A table for each format that messages come in."""
    written = []
    for source in FORMATS:
        targets = [source, *(target for target in FORMATS if target != source)]
        lines = [f"### From {source}", "", f"| | {' | '.join(targets)} |", "|---" * (len(targets) + 1) + "|"]
        for feature in FEATURES:
            cells = [verdict(feature, source, target) for target in targets]
            if None not in cells:
                lines.append(f"| {feature} | {' | '.join(map(str, cells))} |")
        written.append("\n".join(lines))
    return "\n\n".join(written) + "\n"


def main() -> None:
    from .ways_in import table

    head, _, rest = PAGE.read_text().partition(BEGIN)
    page = f"{head}{BEGIN}\n{tables()}\n{END}{rest.partition(END)[2]}"
    head, _, rest = page.partition(BEGIN_MEDIA)
    PAGE.write_text(f"{head}{BEGIN_MEDIA}\n{table()}\n{END_MEDIA}{rest.partition(END_MEDIA)[2]}")


if __name__ == "__main__":
    main()
