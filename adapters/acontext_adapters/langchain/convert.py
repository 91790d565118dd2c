"""LangChain's messages as ours. What converts runs on the recorder's thread, on copies that the host cannot change."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)

from acontext_adapters.shared.left_out import left_out
from acontext_adapters.shared.media import as_base64, as_json, media_meta
from acontext_adapters.shared.resent_history import Item, item
from acontext_plugins.formats.media import kind_of_mime
from acontext_plugins.formats.openai_chat import is_known, piece_parts
from acontext_plugins.learning import loaded
from acontext_plugins.transcript.user_turns import strip_injected
from acontext_store.types import Json, Message, Part, PartType

M = TypeVar("M", bound=BaseMessage)

_is_overwrite = loaded("langgraph.types", "Overwrite")

_PLAIN = frozenset({str, int, float, bool, type(None)})
_MEDIA: dict[str, PartType] = {"image": "image", "audio": "audio", "video": "video", "file": "file"}
#: Blocks for a call that stands in `tool_calls` as well.
_CALLS = frozenset(
    "tool_use function_call input_json_delta custom_tool_call tool_call invalid_tool_call tool_call_chunk".split()
)
#: What merging the pieces of a stream leaves in blocks.
_OF_STREAMS = ("index", "partial_json")
#: Where LangChain keeps what Gemini signs its calls with, by their ids.
_CALL_SIGNATURES = "__gemini_function_call_thought_signatures__"


# -- the host's side: cheap
def messages_in(value: Any) -> list[BaseMessage]:
    """The messages in what a graph, a chain or a node is given or gives: a state, a command, a list of either.

    What is no message is left out: where it should have been one, the host says so in its own words.
    """
    if value is None or isinstance(value, str | bytes):
        return []
    if isinstance(value, BaseMessage):
        return [value]
    if isinstance(value, Mapping):
        inner = value.get("messages")
        return _as_messages(inner) if inner is not None else []
    if isinstance(value, list | tuple):
        return [message for one in value for message in messages_in(one)]
    update = getattr(value, "update", None)
    if isinstance(update, Mapping | list | tuple):  # a Command
        return messages_in(update)
    inner = _in_place_of(getattr(value, "messages", None))  # a state that is an object
    return _as_messages(inner) if isinstance(inner, list | tuple) else []


def _as_messages(value: Any) -> list[BaseMessage]:
    inner = _in_place_of(value)
    if isinstance(inner, tuple) and not any(isinstance(one, BaseMessage) for one in inner):
        inner = [inner]  # a role and what it says
    found: list[BaseMessage] = []
    for one in inner if isinstance(inner, list | tuple) else [inner]:
        if isinstance(one, BaseMessage):
            found.append(one)
        else:
            with contextlib.suppress(Exception):
                found += convert_to_messages([one])
    return found


def _in_place_of(value: Any) -> Any:
    """The value that is to stand in place of what the state has, where it is given in such a way; else itself."""
    if _is_overwrite(value):
        return value.value
    if isinstance(value, Mapping) and len(value) == 1:
        return value.get("__overwrite__", value)
    return value


def text_of(content: Any) -> str:
    """The words of a message's content."""
    if isinstance(content, str):
        return content
    words = []
    for block in content or ():
        if isinstance(block, str):
            words.append(block)
        elif isinstance(block, Mapping) and isinstance(text := block.get("text"), str):
            words.append(text)
    return "\n".join(words)


def by_user(message: BaseMessage) -> bool:
    """Whether a user said it: middleware marks what it writes itself (summaries, for instance)."""
    if isinstance(message, ChatMessage):
        return message.role in ("user", "human")
    return isinstance(message, HumanMessage) and "lc_source" not in message.additional_kwargs


def items_of(messages: Iterable[BaseMessage]) -> list[Item]:
    """Messages by what they say, for histories that are sent again."""
    items = []
    for message in messages:
        if isinstance(message, AIMessage):
            calls = sorted(str(call.get("id") or "") for call in message.tool_calls)
            text = text_of(message.content)
            if text or not calls:
                items.append(item("model", text))
            if calls:
                items.append(item("call", *calls))
        elif isinstance(message, ToolMessage):
            items.append(item("result", message.tool_call_id))
        elif by_user(message):
            items.append(item("user", strip_injected(text_of(message.content))))
    return items


def item_of(message: BaseMessage) -> Item:
    """One message by what it says: for the names of turns."""
    if isinstance(message, AIMessage):
        text = text_of(message.content)
        return item("model", text) if text or not message.tool_calls else item("call")
    if isinstance(message, ToolMessage):
        return item("result", message.tool_call_id)
    return item("user", strip_injected(text_of(message.content))) if by_user(message) else item("host")


def frozen(message: M) -> M:
    """A copy that the host cannot change behind our back, as deep as words go."""
    copy = message.model_copy()
    fields = vars(copy)
    for name, value in fields.items():
        if type(value) not in _PLAIN:
            fields[name] = _copied(value)
    fields["artifact"] = None
    return copy


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: inner if type(inner) in _PLAIN else _copied(inner) for key, inner in value.items()}
    if kind is list:
        return [inner if type(inner) in _PLAIN else _copied(inner) for inner in value]
    return value


def rough_size(message: BaseMessage) -> int:
    """About how many bytes a message takes: for the bound on memory, so cheap before exact."""
    total, rest = 256, [message.content, getattr(message, "tool_calls", None)]
    while rest and total < 1_000_000:
        value = rest.pop()
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, dict):
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
    return total


# -- the recorder's side
def converted(message: BaseMessage, id: str, id_if_taken: str | None = None) -> list[Message]:
    """The message as ours; nothing where it cannot be (a line in the log says so), or where it has no words.

    `id_if_taken` is its id where an earlier result has the other one.
    """
    try:
        parts = _parts(message)
    except Exception as error:
        left_out(error)
        return []
    if not parts:
        return []
    if isinstance(message, AIMessage):
        return [Message(id=id, role="assistant", parts=tuple(parts), format="acontext")]
    if isinstance(message, ToolMessage):
        return [Message(id=id, role="tool", parts=tuple(parts), format="acontext", id_if_taken=id_if_taken)]
    if isinstance(message, SystemMessage):
        return []
    return [Message(id=id, role="user", parts=tuple(parts), format="acontext")]


def _parts(message: BaseMessage) -> list[Part]:
    if isinstance(message, ToolMessage):
        return _result(message)
    parts = _blocks(message)
    if isinstance(message, AIMessage):
        marks = _marks_of_calls(message)
        for call in message.tool_calls:
            arguments = json.dumps(call["args"], ensure_ascii=False, default=str)
            parts.append(_call(call.get("id"), call["name"], arguments, marks))
        for broken in message.invalid_tool_calls:
            parts.append(_call(broken.get("id"), broken.get("name"), broken.get("args"), marks))
    return parts


def _call(id: str | None, name: str | None, arguments: str | None, marks: Mapping[str, Json]) -> Part:
    meta = {"id": id or "", "name": name or "", "arguments": arguments or "{}", **marks.get(id or "", {})}
    return Part(type="tool-call", meta=meta)


def _marks_of_calls(message: AIMessage) -> dict[str, Json]:
    """What a provider says beside its calls and wants back with them, by their ids."""
    marks: dict[str, Json] = {}
    for id, signature in (message.additional_kwargs.get(_CALL_SIGNATURES) or {}).items():
        marks[str(id)] = {"beside": {"thoughtSignature": as_base64(signature)}}
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, dict) and block.get("type") in ("tool_use", "tool_call"):
            known = ("type", "id", "name", "input", "args", *_OF_STREAMS)
            rest = {name: as_json(value) for name, value in block.items() if name not in known and value is not None}
            extras = rest.pop("extras", None) or {}
            if isinstance(extras, dict) and extras.get("signature"):
                marks[str(block.get("id"))] = {"beside": {"thoughtSignature": extras["signature"]}}
            elif rest and block["type"] == "tool_use":
                marks[str(block.get("id"))] = {"type": "tool_use", "extra": rest}
    return marks


def _result(message: ToolMessage) -> list[Part]:
    meta: Json = {"tool_call_id": message.tool_call_id}
    if message.name:
        meta["name"] = message.name
    if message.status == "error":
        meta["is_error"] = True
    others = [part for part in _blocks(message) if part.type != "text"] if isinstance(message.content, list) else []
    return [Part(type="tool-result", text=strip_injected(text_of(message.content)), meta=meta), *others]


def _blocks(message: BaseMessage) -> list[Part]:
    parts = _thoughts(message)
    content = message.content if isinstance(message.content, list) else [message.content]
    of_gemini = str(message.response_metadata.get("model_provider") or "").startswith("google")
    for block in content:
        if isinstance(block, str):
            block = {"type": "text", "text": block}
        parts += _block({name: value for name, value in block.items() if name not in _OF_STREAMS}, of_gemini=of_gemini)
    return [part for part in map(_without_injected, parts) if part.type != "text" or part.text or part.meta]


def _thoughts(message: BaseMessage) -> list[Part]:
    """Thoughts that stand beside the content: those of OpenRouter are to be sent back as they came."""
    said, details = (message.additional_kwargs.get(name) for name in ("reasoning_content", "reasoning_details"))
    text = said if isinstance(said, str) else ""
    if not text and not details:
        return []
    return [Part(type="thinking", text=text, meta={"reasoning_details": as_json(details)} if details else None)]


def _without_injected(part: Part) -> Part:
    if part.type != "text" or not part.text:
        return part
    return part.model_copy(update={"text": strip_injected(part.text)})


def _block(block: dict[str, Any], *, of_gemini: bool) -> list[Part]:
    """A block of content, in LangChain's own form or in that of a provider."""
    kind = str(block.get("type"))
    if kind in _CALLS:
        return []
    if kind in ("thinking", "reasoning", "reasoning_content"):
        return [_thinking(block, of_gemini=of_gemini)]
    if kind in ("text", "text-plain") and isinstance(block.get("text"), str):
        return [Part(type="text", text=block["text"], meta=_text_marks(block, of_gemini=of_gemini))]
    if kind in ("media", "text-plain", *_MEDIA) and "source" not in block and not isinstance(block.get(kind), dict):
        return [_media(kind, block)]
    inner = block.get("value")
    if kind == "non_standard" and isinstance(inner, dict):
        return _block(inner, of_gemini=of_gemini)
    plain = as_json(block)
    parts = piece_parts(plain, "block") if is_known(plain) else []
    if parts and not any(part.type in ("tool-call", "tool-result") for part in parts):
        return parts
    return [Part(type="data", meta={**plain, "data_type": kind})]


def _text_marks(block: Mapping[str, Any], *, of_gemini: bool) -> Json | None:
    """What stands beside words: citations, and what Gemini signs them with."""
    marks = {
        name: as_json(value) for name, value in block.items() if value and name not in ("type", "text", "extras", "id")
    }
    signature = (block.get("extras") or {}).get("signature")
    if signature and of_gemini:
        marks["thoughtSignature"] = as_base64(signature)
    return marks or None


def _thinking(block: Mapping[str, Any], *, of_gemini: bool) -> Part:
    """A thought, with the seal without which its provider does not take it back.

    Anthropic and Gemini sign thoughts under the same names; neither takes what the other has signed.
    """
    plain: Json = as_json(block)
    inner = plain.get("reasoning_content")
    if isinstance(inner, dict):  # of Bedrock
        plain = {"thinking": inner.get("text"), "signature": inner.get("signature")}
    extras = plain.pop("extras", None) or {}
    id = str(plain.get("id") or "")
    if "summary" in plain or "encrypted_content" in extras or id.startswith("rs_"):  # of the Responses API
        text = plain.pop("reasoning", None)
        summary = plain.get("summary") or ([{"type": "summary_text", "text": text}] if text else [])
        words = "\n".join(str(one.get("text") or "") for one in summary if isinstance(one, dict))
        return Part(type="thinking", text=words, meta={**plain, **extras, "type": "reasoning", "summary": summary})
    text = plain.get("thinking") or plain.get("reasoning")
    signature = plain.get("signature") or extras.get("signature")
    meta: Json | None = None
    if signature:
        meta = {"thoughtSignature": signature} if of_gemini else {"type": "thinking", "signature": signature}
    return Part(type="thinking", text=text if isinstance(text, str) else "", meta=meta)


def _media(kind: str, block: Mapping[str, Any]) -> Part:
    meta = media_meta({name: value for name, value in block.items() if name not in ("type", "id", "source_type")})
    if block.get("source_type") == "id" or (isinstance(block.get("file_id"), str)):
        meta["file_id"] = str(block.get("file_id") or block.get("id"))
    if isinstance(meta.get("text"), str):  # a file of words
        meta = {**meta, "type": "text", "data": meta.pop("text")}
    name = meta.pop("filename", None) or meta.pop("name", None)
    if isinstance(extras := meta.pop("extras", None) or meta.pop("metadata", None), dict):
        name = name or extras.get("filename") or extras.get("name") or extras.get("title")
    said = _MEDIA.get(kind) or ("file" if kind == "text-plain" else kind_of_mime(str(meta.get("media_type") or "")))
    return Part(type=said, meta=meta, filename=name if isinstance(name, str) else None)
