"""What the APIs refuse: the official types of their packages, and the rules that their documentation and errors state.

Each function gives the reasons, none where the API would take the conversation.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

Item = dict[str, Any]
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def refused(format: str, items: Sequence[Item]) -> list[str]:
    """Why the API of that format would refuse this conversation."""
    return APIS[format](items)


def _ill_typed(adapter: TypeAdapter[Any], items: Sequence[Item]) -> Iterator[str]:
    for at, item in enumerate(items):
        try:
            _all(adapter.validate_python(item))
        except ValidationError as error:
            first = error.errors()[0]
            yield f"[{at}] {first['loc']}: {first['msg']} ({item!r:.200})"


def _all(value: Any) -> None:
    """Everything in it: pydantic looks at what stands in an Iterable only when it is asked for."""
    if isinstance(value, dict):
        for inner in value.values():
            _all(inner)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for inner in value:
            _all(inner)


def _unpaired(said: Iterable[tuple[list[str], list[str]]]) -> Iterator[str]:
    """Calls are answered in the next message, all, once, and nothing else is."""
    seen: set[str] = set()
    open_calls: list[str] = []
    at = -1
    for at, (calls, results) in enumerate(said):
        if sorted(results) != sorted(open_calls):
            yield f"[{at}] results {results} where calls {open_calls} wait"
        open_calls = calls
        if "" in calls or seen & set(calls) or len(set(calls)) != len(calls):
            yield f"[{at}] ids of calls twice, or none: {calls}"
        seen |= set(calls)
    if open_calls:
        yield f"[{at}] no results for {open_calls}"


# ------------------------------------------------------------------------------------------------------------ openai


@functools.cache
def _chat() -> TypeAdapter[Any]:
    from openai.types.chat import ChatCompletionMessageParam

    return TypeAdapter(ChatCompletionMessageParam)


def chat_refuses(items: Sequence[Item]) -> list[str]:
    """Chat completions."""
    why = list(_ill_typed(_chat(), items))
    rows: list[tuple[list[str], list[str]]] = []
    for at, item in enumerate(items):
        calls = item.get("tool_calls") or []
        content = item.get("content")
        if "tool_calls" in item and not calls:
            why.append(f"[{at}] an empty list of calls")
        if item["role"] != "tool" and not calls and not content:
            why.append(f"[{at}] says nothing")
        if isinstance(content, list) and any(piece.get("text") == "" for piece in content):
            why.append(f"[{at}] an empty text")
        for call in calls:
            name = call[call["type"]]["name"]
            if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) or len(call["id"]) > 40:
                why.append(f"[{at}] name {name!r}, id {call['id']!r}")
        for piece in content if isinstance(content, list) else ():
            why += [f"[{at}] {words}" for words in _bad_chat_media(piece)]
        if item["role"] == "tool" and rows and item["tool_call_id"]:
            rows[-1][1].append(item["tool_call_id"])
        elif item["role"] == "tool":
            why.append(f"[{at}] a result without a call")
        else:
            rows.append(([call["id"] for call in calls], []))
    said = [calls for calls, _ in rows] + [[]]
    heard: list[list[str]] = [[], *(results for _, results in rows)]  # what answers the row before
    return why + list(_unpaired(zip(said, heard, strict=True)))


def _bad_chat_media(piece: Item) -> Iterator[str]:
    if piece["type"] == "image_url":
        url = piece["image_url"]["url"]
        if not url.startswith(("https://", "http://", *(f"data:{kind};base64," for kind in _PICTURES))):
            yield f"an image at {url!r:.60}"
    if piece["type"] == "file" and not piece["file"].get("file_id"):
        file = piece["file"]
        if not file.get("filename") or not file.get("file_data", "").startswith("data:"):
            yield f"a file without {file!r:.80}"


# --------------------------------------------------------------------------------------------------------- anthropic


@functools.cache
def _anthropic() -> TypeAdapter[Any]:
    from anthropic.types import MessageParam

    return TypeAdapter(MessageParam)


def anthropic_refuses(items: Sequence[Item]) -> list[str]:
    """Messages of Anthropic."""
    why = list(_ill_typed(_anthropic(), items))
    turns: list[tuple[str, list[Item]]] = []
    for at, item in enumerate(items):
        content = item["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
        why += [f"[{at}] {words}" for words in _bad_blocks(blocks, item["role"])]
        if turns and turns[-1][0] == item["role"]:  # what one side says in a row is one turn
            turns[-1][1].extend(blocks)
        else:
            turns.append((item["role"], blocks))
    rows: list[tuple[list[str], list[str]]] = []
    for _, blocks in turns:
        kinds = [block["type"] == "tool_result" for block in blocks]
        if kinds != sorted(kinds, reverse=True):
            why.append("results behind other blocks")
        calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        rows.append((calls, [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]))
    return why + list(_unpaired(rows))


def _bad_blocks(blocks: Sequence[Item], role: str) -> Iterator[str]:
    if not blocks:
        yield "an empty content"
        return
    if role == "assistant" and blocks[-1]["type"] in ("thinking", "redacted_thinking"):
        yield "a thought at the end"
    for block in blocks:
        kind = block["type"]
        if kind == "text" and not block["text"].strip():
            yield "a text without words"
        if kind == "thinking" and not block.get("signature"):
            yield "a thought without a signature"
        if kind in ("image", "document") and role != "user":
            yield f"{kind} said by {role}"
        if kind == "image" and block["source"]["type"] == "base64" and block["source"]["media_type"] not in _PICTURES:
            yield f"a picture of {block['source']['media_type']}"
        if kind in ("tool_use", "tool_result"):
            id = block["id" if kind == "tool_use" else "tool_use_id"]
            if not re.fullmatch(r"[a-zA-Z0-9_-]+", id) or (kind == "tool_use") != (role == "assistant"):
                yield f"{kind} {id!r} of {role}"
        if kind == "tool_use" and not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", block["name"]):
            yield f"name {block['name']!r}"
        if kind == "tool_result" and isinstance(block.get("content"), list):
            yield from _bad_blocks(block["content"], "user")


# ------------------------------------------------------------------------------------------------------------ gemini


def gemini_refuses(items: Sequence[Item]) -> list[str]:
    """Contents of Gemini. The types are those of google-genai, which forbid what they do not know."""
    from google.genai.types import Content, Part

    why: list[str] = []
    rows: list[tuple[list[str], list[str]]] = []
    before = ""
    for at, item in enumerate(items):
        try:
            content = Content.model_validate(item)
        except ValidationError as error:
            why.append(f"[{at}] {error.errors()[0]['loc']}: {error.errors()[0]['msg']}")
            continue
        parts = content.parts or []
        if content.role not in ("user", "model") or not parts or any(part == Part() for part in parts):
            why.append(f"[{at}] role {content.role!r}, parts {parts!r:.60}")
        for part in parts:
            if part.text is not None and not part.text.strip() and not part.thought_signature:
                why.append(f"[{at}] a text without words")
            if part.function_call and not re.fullmatch(r"[a-zA-Z_][\w.:-]{0,63}", part.function_call.name or ""):
                why.append(f"[{at}] name {part.function_call.name!r}")
            if part.function_response and not part.function_response.name:
                why.append(f"[{at}] a response without a name")
        calls = [part.function_call.name or "" for part in parts if part.function_call]
        results = [part.function_response.name or "" for part in parts if part.function_response]
        if calls and (content.role != "model" or before == "model"):
            why.append(f"[{at}] a call behind {before!r}, by {content.role!r}")
        if results and content.role != "user":
            why.append(f"[{at}] results of {content.role!r}")
        rows.append(([f"{name} {number}" for number, name in enumerate(sorted(calls))], sorted(results)))
        before = content.role or ""
    open_calls: list[str] = []
    for at, (called, results) in enumerate(rows):
        if [call.rpartition(" ")[0] for call in open_calls] != results:
            why.append(f"[{at}] results {results} where calls {open_calls} wait")
        open_calls = called
    return why + ([f"no results for {open_calls}"] if open_calls else [])


# --------------------------------------------------------------------------------------------------------- responses


@functools.cache
def _responses() -> TypeAdapter[Any]:
    from openai.types.responses import ResponseInputItemParam

    return TypeAdapter(ResponseInputItemParam)


def responses_refuses(items: Sequence[Item]) -> list[str]:
    """Items of the Responses API.

    What the model has said may stand there without the ids that the types want: clients that keep no answers send it
    so, and the API takes it.
    """
    typed = [item for item in items if not (item.get("role") == "assistant" and isinstance(item["content"], list))]
    why = list(_ill_typed(_responses(), typed))
    calls: dict[str, str] = {}
    results: list[str] = []
    for at, item in enumerate(items):
        kind, content = item.get("type"), item.get("content")
        if "role" in item and not content:
            why.append(f"[{at}] says nothing")
        for piece in content if isinstance(content, list) else ():
            said = item["role"] == "assistant"
            if (piece["type"] in ("output_text", "refusal")) != said or piece.get("text") == "":
                why.append(f"[{at}] {piece!r:.80} of {item['role']}")
            if piece["type"] == "input_file" and "file_data" in piece and not piece.get("filename"):
                why.append(f"[{at}] a file without a name")
        if kind in ("function_call", "custom_tool_call"):
            if item["call_id"] in calls or not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", item["name"]):
                why.append(f"[{at}] call {item['call_id']!r} of {item['name']!r}")
            calls[item["call_id"]] = kind
        if kind in ("function_call_output", "custom_tool_call_output"):
            if calls.get(item["call_id"]) != kind.removesuffix("_output"):
                why.append(f"[{at}] a result without a call of its kind: {item['call_id']!r}")
            results.append(item["call_id"])
    if sorted(results) != sorted(calls):
        why.append(f"calls {sorted(calls)}, results {sorted(results)}")
    return why


APIS: dict[str, Callable[[Sequence[Item]], list[str]]] = {
    "openai": chat_refuses,
    "anthropic": anthropic_refuses,
    "gemini": gemini_refuses,
    "openai_responses": responses_refuses,
}
