"""LangChain's messages as ours. What converts runs on the recorder's thread, on copies that the host cannot change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
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
from acontext_adapters.shared.resent_history import Item, item
from acontext_plugins.transcript.user_turns import strip_injected
from acontext_store.types import Json, Message, Part, PartType

M = TypeVar("M", bound=BaseMessage)

_PLAIN = frozenset({str, int, float, bool, type(None)})
_MEDIA: dict[str, PartType] = {"image": "image", "audio": "audio", "video": "video", "file": "file"}
#: Blocks of providers for a call that stands in `tool_calls` as well.
_CALLS = frozenset({"tool_use", "function_call", "input_json_delta", "custom_tool_call"})


# -- the host's side: cheap
def messages_in(value: Any) -> list[BaseMessage]:
    """The messages in what a graph, a chain or a node is given or gives: a state, a command, a list of either."""
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
    inner = getattr(value, "messages", None)  # a state that is an object
    return _as_messages(inner) if isinstance(inner, list | tuple) else []


def _as_messages(value: Any) -> list[BaseMessage]:
    if isinstance(value, list | tuple):
        if all(isinstance(one, BaseMessage) for one in value):
            return list(value)
        return convert_to_messages(list(value))
    return convert_to_messages([value])


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
        return [Message(id=id, role="assistant", parts=tuple(parts))]
    if isinstance(message, ToolMessage):
        return [Message(id=id, role="tool", parts=tuple(parts), id_if_taken=id_if_taken)]
    if isinstance(message, SystemMessage):
        return []
    return [Message(id=id, role="user", parts=tuple(parts))]


def _parts(message: BaseMessage) -> list[Part]:
    if isinstance(message, ToolMessage):
        return _result(message)
    parts = _blocks(message)
    if isinstance(message, AIMessage):
        for call in message.tool_calls:
            arguments = json.dumps(call["args"], ensure_ascii=False, default=str)
            parts.append(_call(call.get("id"), call["name"], arguments))
        for broken in message.invalid_tool_calls:
            parts.append(_call(broken.get("id"), broken.get("name"), broken.get("args")))
    return parts


def _call(id: str | None, name: str | None, arguments: str | None) -> Part:
    return Part(type="tool-call", meta={"id": id or "", "name": name or "", "arguments": arguments or "{}"})


def _result(message: ToolMessage) -> list[Part]:
    meta: Json = {"tool_call_id": message.tool_call_id}
    if message.name:
        meta["name"] = message.name
    if message.status == "error":
        meta["is_error"] = True
    others = [part for part in _blocks(message) if part.type != "text"] if isinstance(message.content, list) else []
    return [Part(type="tool-result", text=strip_injected(text_of(message.content)), meta=meta), *others]


def _blocks(message: BaseMessage) -> list[Part]:
    if isinstance(message.content, str) and not message.additional_kwargs.get("reasoning_content"):
        text = strip_injected(message.content)
        return [Part(type="text", text=text)] if text else []
    return [part for block in _standard(message) if (part := _part(block)) is not None]


def _standard(message: BaseMessage) -> Sequence[Mapping[str, Any]]:
    """The content in LangChain's standard blocks; as it is where there is no saying it in them."""
    try:
        blocks: Any = message.content_blocks
    except Exception:
        blocks = message.content if isinstance(message.content, list) else [message.content]
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]


def _part(block: Mapping[str, Any]) -> Part | None:
    kind = str(block.get("type"))
    if kind in ("text", "text-plain"):
        text = strip_injected(str(block.get("text") or ""))
        return Part(type="text", text=text) if text else None
    if kind == "reasoning":
        return Part(type="thinking", text=str(block.get("reasoning") or ""))
    if kind in _MEDIA:
        return Part(type=_MEDIA[kind], meta=_media(block))
    if kind in ("tool_call", "invalid_tool_call", "tool_call_chunk"):
        return None
    inner = block.get("value")
    if kind == "non_standard" and isinstance(inner, Mapping):
        if inner.get("type") in _CALLS:
            return None
        block = inner
    return Part(type="data", meta={**block, "data_type": str(block.get("type"))})


def _media(block: Mapping[str, Any]) -> Json:
    meta = {key: value for key, value in block.items() if key not in ("type", "base64", "mime_type", "id")}
    if isinstance(block.get("base64"), str):
        meta["data"] = block["base64"]
    if block.get("mime_type"):
        meta["media_type"] = block["mime_type"]
    return meta
