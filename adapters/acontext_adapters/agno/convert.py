"""Agno's messages as ours.

`copied` takes what counts while the host waits; `message_of` runs on the recorder's thread.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from acontext_adapters.shared.media import media_meta
from acontext_plugins.transcript.user_turns import strip_injected
from acontext_store.types import Json, Message, Part, PartType

from ..shared.resent_history import Item, item

Kind = Literal["system", "user", "assistant", "tool"]
_SYSTEM = frozenset({"system", "developer"})
_TOOL = frozenset({"tool", "function"})
#: Where a message keeps media, and what kind of part each of them is.
_MEDIA: tuple[tuple[str, PartType], ...] = (
    ("images", "image"),
    ("audio", "audio"),
    ("videos", "video"),
    ("files", "file"),
    ("image_output", "image"),
    ("audio_output", "audio"),
    ("video_output", "video"),
    ("file_output", "file"),
)
#: What is told of media: their bytes where agno has them; what lies behind an address or a path stays there.
_MEDIA_FIELDS = ("id", "url", "filepath", "content", "format", "mime_type", "filename", "name", "detail", "transcript")


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
    #: What providers want back with what they said: signatures of thoughts, of words, and of calls by their ids.
    seals: Json | None = None
    call_seals: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        content = self.content
        length = len(content) if isinstance(content, str) else 64 * len(content) if isinstance(content, list) else 0
        media = sum(len(item["content"]) for _, item in self.media if isinstance(item.get("content"), str | bytes))
        return 512 + length + media + len(self.thoughts or "") + sum(len(call["arguments"]) for call in self.calls)


def kind_of(message: Any) -> Kind:
    """Who speaks. Providers have words of their own for the model's role, so that is what is left."""
    role = message.role
    if role in _SYSTEM:
        return "system"
    if role in _TOOL or message.tool_call_id is not None:
        return "tool"
    return "user" if role == "user" else "assistant"


def item_of(message: Any) -> Item:
    """One message by what it says: for the names of turns."""
    kind = kind_of(message)
    if kind == "user":
        return item("host" if message.temporary else "user", strip_injected(words_of(message.content)))
    if kind == "assistant":
        words = words_of(message.content)
        return item("model" if words else "call", words)
    return item("result" if kind == "tool" else "host")


def copied(message: Any, kind: Kind, words: str | None = None) -> Copied:
    """A copy of `message`; `words` stand in for its content where the user's own are known."""
    content = message.content if words is None else words
    media = tuple((part, _media(item)) for name, part in _MEDIA for item in _listed(getattr(message, name, None)))
    return Copied(
        kind=kind,
        content=content if isinstance(content, str) else _plain(content),
        thoughts=message.reasoning_content if kind == "assistant" else None,
        calls=tuple(calls_of(message)) if kind == "assistant" else (),
        call_id=message.tool_call_id,
        tool=getattr(message, "tool_name", None),
        error=bool(message.tool_call_error),
        media=media,
        seals=_seals(message) if kind == "assistant" else None,
        call_seals=tuple(
            (str(call.get("id") or ""), call["thought_signature"])
            for call in message.tool_calls or ()
            if isinstance(call.get("thought_signature"), str)
        ),
    )


def _seals(message: Any) -> Json | None:
    """What agno keeps of a provider's answer to send it back."""
    known = getattr(message, "provider_data", None) or {}
    names = ("signature", "thought_signature", "reasoning_details")
    seals = {name: known[name] for name in names if known.get(name)}
    if redacted := getattr(message, "redacted_reasoning_content", None):
        seals["redacted"] = redacted
    return _plain(seals) if seals else None


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
    media = [_shown(kind, meta) for kind, meta in copy.media]
    if copy.kind == "tool":
        meta: Json = {"tool_call_id": copy.call_id or ""}
        if copy.tool:
            meta["name"] = copy.tool
        if copy.error:
            meta["is_error"] = True
        result = Part(type="tool-result", text=words_of(copy.content), meta=meta)
        return Message(id=id, role="tool", parts=(result, *media), format="acontext")
    seals = copy.seals or {}
    if copy.thoughts or "reasoning_details" in seals:
        parts.append(Part(type="thinking", text=copy.thoughts or "", meta=_seal_of_thoughts(seals)))
    if "redacted" in seals:
        parts.append(Part(type="thinking", text="", meta={"type": "redacted_thinking", "data": seals["redacted"]}))
    text = strip_injected(words_of(copy.content))
    if text:
        signed = {"thoughtSignature": seals["thought_signature"]} if "thought_signature" in seals else None
        parts.append(Part(type="text", text=text, meta=signed))
    signatures = dict(copy.call_seals)
    for call in copy.calls:
        signature = signatures.get(call["id"])
        beside = {"beside": {"thoughtSignature": signature}} if signature else {}
        parts.append(Part(type="tool-call", meta={**call, **beside}))
    return Message(id=id, role=copy.kind, parts=(*parts, *media), format="acontext")


def _seal_of_thoughts(seals: Json) -> Json | None:
    if "reasoning_details" in seals:
        return {"reasoning_details": seals["reasoning_details"]}
    return {"type": "thinking", "signature": seals["signature"]} if "signature" in seals else None


def _shown(kind: PartType, fields: Json) -> Part:
    """A picture, a sound or a file. The text of a file is text, not base64."""
    name, said = fields.get("filename") or fields.get("name"), fields.get("content")
    rest = {field: value for field, value in fields.items() if field not in ("filename", "name")}
    if kind == "file" and isinstance(said, str):
        rest = {**rest, "type": "text", "data": rest.pop("content")}
    return Part(type=kind, text=rest.pop("transcript", None), meta=media_meta(rest) or None, filename=name)


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
    return {
        name: value if isinstance(value, str | bytes) else str(value)
        for name, value in found.items()
        if value is not None
    }


def _listed(media: Any) -> Sequence[Any]:
    """Media are one, several, or none."""
    return () if media is None else media if isinstance(media, list | tuple) else (media,)
