"""Agno's messages as ours.

`copied` takes what counts while the host waits; `message_of` runs on the recorder's thread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from acontext_plugins.transcript.user_turns import strip_injected
from acontext_store.types import Json, Message, Part, PartType

Kind = Literal["system", "user", "assistant", "tool"]
_SYSTEM = frozenset({"system", "developer"})
_TOOL = frozenset({"tool", "function"})
#: Where a message keeps media, and what kind of part each of them is.
_MEDIA: tuple[tuple[str, PartType], ...] = (
    ("images", "image"),
    ("audio", "audio"),
    ("videos", "video"),
    ("files", "file"),
)
#: What is told of media: never their bytes.
_MEDIA_FIELDS = ("id", "url", "format", "mime_type", "filename", "name")


@dataclass(frozen=True, slots=True)
class Copied:
    """What is kept of a message, apart from the object that the host may change."""

    kind: Kind
    content: Any
    thoughts: str | None = None
    calls: tuple[Json, ...] = ()
    call_id: str | None = None
    tool: str | None = None
    error: bool = False
    media: tuple[tuple[PartType, Json], ...] = ()

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        content = self.content
        length = len(content) if isinstance(content, str) else 64 * len(content) if isinstance(content, list) else 0
        return 512 + length + len(self.thoughts or "") + sum(len(call["arguments"]) for call in self.calls)


def kind_of(message: Any) -> Kind:
    """Who speaks. Providers have words of their own for the model's role, so that is what is left."""
    role = message.role
    if role in _SYSTEM:
        return "system"
    if role in _TOOL or message.tool_call_id is not None:
        return "tool"
    return "user" if role == "user" else "assistant"


def copied(message: Any, kind: Kind, words: str | None = None) -> Copied:
    """A copy of `message`; `words` stand in for its content where the user's own are known."""
    content = message.content if words is None else words
    media = tuple(
        (part, _media(item)) for name, part in _MEDIA for item in getattr(message, name, None) or () if kind == "user"
    )
    return Copied(
        kind=kind,
        content=content if isinstance(content, str) else _plain(content),
        thoughts=message.reasoning_content if kind == "assistant" else None,
        calls=tuple(calls_of(message)) if kind == "assistant" else (),
        call_id=message.tool_call_id,
        tool=getattr(message, "tool_name", None),
        error=bool(message.tool_call_error),
        media=media,
    )


def calls_of(message: Any) -> list[Json]:
    """The calls of tools in a message of the model, as {id, name, arguments}."""
    found = []
    for call in message.tool_calls or ():
        function = call.get("function") or call
        arguments = function.get("arguments")
        found.append(
            {
                "id": call.get("id") or "",
                "name": function.get("name") or "",
                "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments or {}, default=str),
            }
        )
    return found


def message_of(copy: Copied, id: str) -> Message:
    """The message behind a copy, without anything that we had injected."""
    parts: list[Part] = []
    if copy.kind == "tool":
        meta: Json = {"tool_call_id": copy.call_id or ""}
        if copy.tool:
            meta["name"] = copy.tool
        if copy.error:
            meta["is_error"] = True
        return Message(id=id, role="tool", parts=(Part(type="tool-result", text=words_of(copy.content), meta=meta),))
    if copy.thoughts:
        parts.append(Part(type="thinking", text=copy.thoughts))
    text = strip_injected(words_of(copy.content))
    if text:
        parts.append(Part(type="text", text=text))
    parts += [Part(type="tool-call", meta=call) for call in copy.calls]
    parts += [Part(type=kind, meta=meta or None, filename=meta.get("filename")) for kind, meta in copy.media]
    return Message(id=id, role=copy.kind, parts=tuple(parts))


def words_of(content: Any) -> str:
    """Content of any kind as words."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, (words_of(item) for item in content)))
    if isinstance(content, dict):
        text = content.get("text") or content.get("content")
        return text if isinstance(text, str) else json.dumps(content, default=str, ensure_ascii=False)
    dump = getattr(content, "model_dump_json", None)
    if dump is not None and not hasattr(content, "role"):
        return str(dump(exclude_none=True))
    return words_of(content.content) if hasattr(content, "content") else str(content)


def _plain(content: Any) -> Any:
    if isinstance(content, list):
        return [_plain(item) for item in content]
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    return content if isinstance(content, str | int | float | bool | None) else words_of(content)


def _media(item: Any) -> Json:
    found = {name: getattr(item, name, None) for name in _MEDIA_FIELDS}
    return {name: value for name, value in found.items() if isinstance(value, str)}
