"""OpenAI chat completions messages, to and from Message. Pure, and lossless there and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from acontext_store.errors import InvalidInput
from acontext_store.types import Json, Message, Part, PartType, Role

from . import anthropic, openai_responses
from .blob import Foreign, as_arguments, as_text, copied, foreign_field, foreign_piece, found, plain, text_at
from .format import Format, item_by_item
from .marks import lost_marks
from .media import PICTURES, Media, file_name, media_of
from .sequence import Rules

NAME = "openai"
RULES = Rules(
    id=re.compile(r"[!-~]{1,40}"),
    name=re.compile(r"[a-zA-Z0-9_-]{1,64}"),
    media_in_results=False,
    says=("content", "tool_calls", "function_call", "audio", "reasoning_details", "thinking_blocks"),
)
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_URL_PARTS: dict[str, PartType] = {
    "image_url": "image",
    "video_url": "video",
    "document_url": "file",
    "audio_url": "audio",
}
_REASONING = ("reasoning_content", "reasoning")
#: The types of content whose say stands under the name of their type.
_PIECES = frozenset({"text", "refusal", "thinking", "input_audio", "file", *_URL_PARTS})
#: Fields that say something in other formats, and nothing in this one.
_NOT_OURS = ("parts",)


def from_openai(blob: object, **fields: Any) -> Message:
    """One chat message as a Message. `fields` are set on it: id, run_id, created_at.

    The dict itself is kept as `native` only where the parts could not give it back exactly.
    Raises InvalidInput that names the field, what was found there and what is accepted.
    """
    item = plain(blob)
    role = _role(item)
    if role == "tool":
        parts = _result_parts(item)
    else:
        parts = _content_parts(item, role)
        if role == "assistant":
            parts = _assistant_parts(item, parts)
        elif item.get("content") is None:
            raise InvalidInput(f"message.content: found null, expected text or a list of parts (role {item['role']!r})")
    if role == "user" and parts and all(part.type == "tool-result" for part in parts):
        role = "tool"
    meta = dict(fields.pop("meta", None) or {})
    if role != "tool" and (name := text_at(item, "name", "message")) is not None:
        meta["name"] = name
    message = Message(role=role, parts=tuple(parts), format=NAME, meta=meta, **fields)
    if _gives_back(message, item):
        return message
    return message.model_copy(update={"native": item})


def to_openai(message: Message) -> Json:
    """The chat message that it came from, or the one that says the same.

    Raises InvalidInput where one chat message cannot: several tool results take `to_openai_messages`.
    """
    items = to_openai_messages(message)
    if len(items) != 1:
        raise InvalidInput(
            f"message {message.id}: needs {len(items)} chat messages, one for each tool result; use from_messages"
        )
    return items[0]


def to_openai_messages(message: Message, *, lost: list[str] | None = None) -> list[Json]:
    """As `to_openai`, but one chat message for each tool result where there are several.

    What the API has no place for is left out, and named in `lost`.
    """
    if message.native is not None and message.format == NAME:
        return [copied(message.native)]
    if len(message.parts) == 1 and message.role != "tool":
        (part,) = message.parts
        if part.type == "text" and not part.meta and not message.meta:  # most messages are such
            return [{"role": message.role, "content": part.text or ""}]
    lost = lost if lost is not None else []
    results = [part for part in message.parts if part.type == "tool-result"]
    if not results:
        return [_rendered(message, lost)]
    own = message.format == NAME
    rest = [part for part in message.parts if part.type != "tool-result"]
    if len(results) == 1 and message.role == "tool":
        return [_rendered_result(results[0], rest, own=own, lost=lost)]
    items: list[Json] = []
    for result in results:
        id = (result.meta or {}).get("tool_call_id")
        inside = [
            part for part in rest if id and part.type != "tool-call" and (part.meta or {}).get("tool_call_id") == id
        ]
        rest = [part for part in rest if part not in inside]
        items.append(_rendered_result(result, inside, own=own, lost=lost))
    if any(part.type != "thinking" for part in rest):
        others = _rendered(message.model_copy(update={"parts": tuple(rest)}), lost)
        items = [others, *items] if message.role == "assistant" else [*items, others]
    return items


# ------------------------------------------------------------------------------------------------- in


def foreign(item: Json, *, mixed: bool = False) -> Foreign | None:
    """The first thing in a message that this API does not have; None where it has all.

    With `mixed`, blocks that other APIs have may stand in it: gateways pass them on, and `from_openai` reads them.
    """
    if openai_responses.is_item(item):
        return Foreign(-1, ".type", found(item["type"]))
    elsewhere = _NOT_OURS if item.get("role") == "assistant" else (*_NOT_OURS, "tool_calls", "function_call")
    if (stray := foreign_field(item, _ROLES, elsewhere)) is not None:
        return stray
    content = item.get("content")
    if content is not None and not isinstance(content, str | list | dict):
        return Foreign(-1, ".content", found(content))
    return foreign_piece(content, ".content", lambda piece: _is_piece(piece) or (mixed and _is_borrowed(piece)))


def _is_piece(piece: Any) -> bool:
    if not isinstance(piece, dict):
        return isinstance(piece, str)
    kind = piece.get("type")
    if kind == "thinking":  # signed ones are Anthropic's
        return "signature" not in piece
    return (isinstance(kind, str) and kind in _PIECES and kind in piece) or (kind is None and "text" in piece)


def is_known(piece: object) -> bool:
    """Whether it is a piece of this API, or a block of another one."""
    return _is_piece(piece) or _is_borrowed(piece)


def _is_borrowed(piece: Any) -> bool:
    """Whether it is a block of another API."""
    return not _is_piece(piece) and (anthropic.is_block(piece) or openai_responses.is_piece(piece))


def _role(item: Json) -> Role:
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        what = "nothing" if role is None else found(role)
        raise InvalidInput(f"message.role: found {what}, expected one of {', '.join(_ROLES)}")
    return _ROLES[role]


def _content_parts(item: Json, role: Role) -> list[Part]:
    content = item.get("content")
    if content is None:
        return []
    if isinstance(content, str):
        return [Part(type="text", text=content)]
    if isinstance(content, list):
        return [part for at, piece in enumerate(content) for part in piece_parts(piece, f"message.content[{at}]")]
    raise InvalidInput(f"message.content: found {found(content)}, expected text or a list of parts (role {role!r})")


def piece_parts(piece: Any, what: str) -> list[Part]:
    """What a piece of content says, be it one of this API or a block of another one."""
    if not _is_borrowed(piece):
        return [_content_part(piece, what)]
    return anthropic.parts_of(piece, what) if anthropic.is_block(piece) else [openai_responses.part_of(piece, what)]


def _content_part(piece: Any, what: str) -> Part:
    if isinstance(piece, str):
        return Part(type="text", text=piece)
    if not isinstance(piece, dict):
        raise InvalidInput(f"{what}: found {found(piece)}, expected an object with a type")
    kind = piece.get("type")
    if kind is None and isinstance(piece.get("text"), str):
        kind = "text"
    if not isinstance(kind, str):
        raise InvalidInput(
            f"{what}.type: found {found(kind)}, expected text, image_url, input_audio, file, refusal or another name"
        )
    rest = {key: value for key, value in piece.items() if key != "type" and value is not None}
    if kind == "text":
        text = text_at(piece, "text", what)
        if text is None:
            raise InvalidInput(f"{what}.text: found null, expected text")
        rest.pop("text")
        return Part(type="text", text=text, meta=rest or None)
    if kind == "refusal":
        return Part(type="text", text=text_at(piece, "refusal", what) or "", meta={"is_refusal": True})
    if kind == "thinking" and piece.get("signature") and anthropic.is_block(piece):
        return anthropic.parts_of(piece, what)[0]
    if kind == "thinking":
        return Part(type="thinking", text=_thought(piece.get("thinking")))
    if kind in _URL_PARTS:
        inner = piece.get(kind)
        meta = {"url": inner} if isinstance(inner, str) else dict(inner) if isinstance(inner, dict) else {}
        return Part(type=_URL_PARTS[kind], meta=meta or None)
    inner = piece.get(kind)
    if kind == "input_audio" and isinstance(inner, dict):
        return Part(type="audio", meta=dict(inner))
    if kind == "file" and isinstance(inner, dict):
        name = inner.get("filename")
        return Part(type="file", meta=dict(inner), filename=name if isinstance(name, str) else None)
    return Part(type="data", meta={**rest, "data_type": kind})


def _thought(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        texts = [piece.get("text") for piece in value if isinstance(piece, dict)]
        return "\n".join(text for text in texts if isinstance(text, str))
    return ""


def _thinking_blocks(item: Json) -> list[Part]:
    """The thoughts of an Anthropic model, which LiteLLM gives as that API's own blocks, for it takes no others back."""
    blocks = item.get("thinking_blocks")
    thoughts = [
        block
        for block in (blocks if isinstance(blocks, list) else [])
        if anthropic.is_block(block) and block["type"] in ("thinking", "redacted_thinking")
    ]
    return [part for block in thoughts for part in anthropic.parts_of(block, "message.thinking_blocks")]


def _assistant_parts(item: Json, content: list[Part]) -> list[Part]:
    parts: list[Part] = []
    details = item.get("reasoning_details")
    marks = {"reasoning_details": details} if isinstance(details, list) and details else None
    thought = next((said for key in _REASONING if (said := item.get(key)) and isinstance(said, str)), "")
    signed = [part for part in _thinking_blocks(item) if part not in content]
    if any(part.text for part in signed):
        thought = ""  # the blocks say the same
    if thought or marks is not None:
        parts.append(Part(type="thinking", text=thought, meta=marks))
    parts += signed
    parts += content
    refusal = text_at(item, "refusal", "message")
    if refusal is not None:
        parts.append(Part(type="text", text=refusal, meta={"is_refusal": True}))
    audio = item.get("audio")
    if isinstance(audio, dict):
        said = audio.get("transcript")
        parts.append(Part(type="audio", text=said if isinstance(said, str) else None, meta=dict(audio)))
    calls = item.get("tool_calls")
    if calls is not None:
        if not isinstance(calls, list):
            raise InvalidInput(f"message.tool_calls: found {found(calls)}, expected a list of calls")
        called = [_call_part(call, f"message.tool_calls[{at}]") for at, call in enumerate(calls)]
        ids = {id for call in called if (id := (call.meta or {}).get("id"))}
        # said twice, by those who keep the blocks of another API beside the calls
        parts = [part for part in parts if part.type != "tool-call" or (part.meta or {}).get("id") not in ids]
        parts += called
    legacy = item.get("function_call")
    if isinstance(legacy, dict) and not (calls and isinstance(calls, list)):
        name = text_at(legacy, "name", "message.function_call")
        if name is not None:
            arguments = as_arguments(legacy.get("arguments"), "message.function_call.arguments")
            meta = {"id": "", "name": name, "arguments": arguments, "type": "function"}
            parts.append(Part(type="tool-call", meta=meta))
    elif legacy is not None and not isinstance(legacy, dict):
        raise InvalidInput(f"message.function_call: found {found(legacy)}, expected an object with a name")
    return parts


def _call_part(call: Any, what: str) -> Part:
    if not isinstance(call, dict):
        raise InvalidInput(f"{what}: found {found(call)}, expected an object with id and function")
    id = text_at(call, "id", what) or ""
    custom = call.get("custom")
    if isinstance(custom, dict):
        name = text_at(custom, "name", f"{what}.custom")
        if name is None:
            raise InvalidInput(f"{what}.custom.name: found null, expected the name of a tool")
        arguments = json.dumps({"input": custom.get("input")}, ensure_ascii=False)
        return Part(type="tool-call", meta={"id": id, "name": name, "arguments": arguments, "type": "custom"})
    function = call.get("function")
    if isinstance(function, dict):
        name = text_at(function, "name", f"{what}.function")
        if name is None:
            raise InvalidInput(f"{what}.function.name: found null, expected the name of a tool")
        arguments = as_arguments(function.get("arguments"), f"{what}.function.arguments")
        return Part(type="tool-call", meta={"id": id, "name": name, "arguments": arguments, "type": "function"})
    raise InvalidInput(f"{what}.function: found {found(function)}, expected an object with name and arguments")


def _result_parts(item: Json) -> list[Part]:
    meta: Json = {"tool_call_id": text_at(item, "tool_call_id", "message") or ""}
    name = text_at(item, "name", "message")
    if name is not None:
        meta["name"] = name
    content = item.get("content")
    if content is None or isinstance(content, str):
        return [Part(type="tool-result", text=content or "", meta=meta)]
    if not isinstance(content, list):
        if isinstance(content, dict):
            return [Part(type="tool-result", text=as_text(content), meta=meta)]
        raise InvalidInput(f"message.content: found {found(content)}, expected text or a list of parts (role 'tool')")
    pieces = [part for at, piece in enumerate(content) for part in piece_parts(piece, f"message.content[{at}]")]
    said = [piece for piece in pieces if piece.type in ("text", "tool-result")]
    if any((piece.meta or {}).get("is_error") for piece in said):
        meta["is_error"] = True
    text = "\n".join(piece.text or "" for piece in said)
    return [Part(type="tool-result", text=text, meta=meta), *(piece for piece in pieces if piece not in said)]


def _gives_back(message: Message, item: Json) -> bool:
    """Whether the parts alone give exactly this dict back."""
    if message.role == "tool":
        first = message.parts[0]
        alone = len(message.parts) == 1 and item.get("role") == "tool"
        return alone and _rendered_result(first, (), own=True, lost=[]) == item
    return item["role"] == message.role and _rendered(message, []) == item


# ------------------------------------------------------------------------------------------------ out


def _rendered(message: Message, lost: list[str]) -> Json:
    item: Json = {"role": "user" if message.role == "tool" else message.role}
    calls = [part for part in message.parts if part.type == "tool-call"]
    details = [detail for part in message.parts for detail in (part.meta or {}).get("reasoning_details") or ()]
    parts = [part for part in message.parts if part.type not in ("tool-call", "tool-result") and not _detailed(part)]
    pieces = _pieces(parts, str(item["role"]), own=message.format == NAME, lost=lost)
    if message.role == "assistant":
        item["content"] = _content(pieces) if pieces else None
        if calls:
            item["tool_calls"] = [_rendered_call(part, at) for at, part in enumerate(calls)]
            lost += [mark for part in calls for mark in lost_marks(part, NAME)]
        elif not pieces:
            item["content"] = ""
    else:
        item["content"] = _content(pieces)
    if details:
        item["reasoning_details"] = copied(details)
    name = message.meta.get("name")
    if isinstance(name, str):
        item["name"] = name
    return item


def _detailed(part: Part) -> bool:
    """Whether it is a thought that goes back to its provider in fields beside the content."""
    return part.type == "thinking" and bool((part.meta or {}).get("reasoning_details"))


def _content(pieces: list[Json]) -> Any:
    if not pieces:
        return ""
    if len(pieces) == 1 and pieces[0].keys() == {"type", "text"} and pieces[0]["type"] == "text":
        return pieces[0]["text"]
    return pieces


def _pieces(parts: Iterable[Part], role: str, *, own: bool, lost: list[str]) -> list[Json]:
    pieces = []
    for part in parts:
        piece = _piece(part, role, own=own)
        if piece is None:
            lost.append(f"{part.type}: the openai format has no place for it")
            continue
        pieces.append(piece)
        if not own:
            lost += lost_marks(part, NAME, keeps=("is_refusal",) if role == "assistant" else ())
    return pieces


def _piece(part: Part, role: str, *, own: bool) -> Json | None:
    """A part in a message of this role; None where the API has no place for it. `own`: it came in this format."""
    meta = copied(part.meta or {})
    if part.type == "text":
        if meta.pop("is_refusal", False) and (own or role == "assistant"):
            return {"type": "refusal", "refusal": part.text or ""}
        return {"type": "text", "text": part.text or "", **(meta if own else {})}
    if part.type == "data":
        return {"type": str(meta.pop("data_type", "data")), **meta} if own else None
    if part.type == "thinking":
        return None
    media = media_of(part)
    if media.text is not None:
        return {"type": "text", "text": media.text}
    if role != "user" and not own:
        return None
    return _media(media, meta, own=own)


def _media(media: Media, meta: Json, *, own: bool) -> Json | None:
    """A picture, a sound or a file, from the bytes or the address of it, whichever format it came in."""
    url = media.data_url or media.url
    if media.kind == "image" and url is not None:
        if media.data is not None and media.mime not in PICTURES:
            return None
        detail = meta.get("detail")
        return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}
    if media.kind == "audio" and media.data is not None and media.audio_format in ("wav", "mp3"):
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": media.audio_format}}
    if media.kind != "file":
        return None
    filename = media.filename or (file_name(media) if media.data is not None and not own else None)
    name = {"filename": filename} if filename else {}
    if media.data_url is not None:
        return {"type": "file", "file": {"file_data": media.data_url, **name}}
    return {"type": "file", "file": {"file_id": media.file_id, **name}} if media.file_id else None


def _rendered_call(part: Part, at: int) -> Json:
    meta = part.meta or {}
    id = str(meta.get("id") or f"call_{at}")
    name, arguments = str(meta.get("name") or ""), meta.get("arguments")
    text = arguments if isinstance(arguments, str) else as_text(arguments if arguments is not None else {})
    if meta.get("type") == "custom":
        try:
            words = json.loads(text)["input"]
        except (ValueError, KeyError, TypeError, RecursionError):
            words = text
        return {"id": id, "type": "custom", "custom": {"name": name, "input": words}}
    return {"id": id, "type": "function", "function": {"name": name, "arguments": text}}


def _rendered_result(part: Part, others: Sequence[Part], *, own: bool, lost: list[str]) -> Json:
    meta = part.meta or {}
    content: Any = part.text or ""
    lost += lost_marks(part, NAME)
    pieces = _pieces(others, "tool" if not own else "user", own=own, lost=lost)
    if pieces:
        content = [{"type": "text", "text": content}, *pieces]
    item: Json = {"role": "tool", "tool_call_id": str(meta.get("tool_call_id") or ""), "content": content}
    if isinstance(meta.get("name"), str):
        item["name"] = meta["name"]
    return item


OPENAI_CHAT = Format(
    name=NAME,
    read=from_openai,
    write=to_openai,
    write_all=item_by_item(to_openai_messages),
    rules=RULES,
    foreign=foreign,
    foreign_to_reader=partial(foreign, mixed=True),
)
