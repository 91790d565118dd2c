"""Messages of the Anthropic API (`/v1/messages`), to and from Message. Pure, and lossless there and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from acontext_store.errors import InvalidInput
from acontext_store.types import Json, Message, Part, Role

from .blob import Foreign, as_arguments, as_text, copied, foreign_field, foreign_piece, found, plain, text_at
from .format import Format
from .marks import lost_marks
from .media import PICTURES, Media, media_of, words_of
from .sequence import Lost, Rules
from .tool_status import anthropic_result_failed
from .turns import Named, results_together

NAME = "anthropic"
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
#: The types of blocks, beside those of calls and results.
_BLOCKS = frozenset(
    "text image document thinking redacted_thinking search_result container_upload tool_reference tool_addition "
    "compaction".split()
)
#: What a thought must have that the API takes back: it has said it, and knows it again.
_SIGNED = {"thinking": "signature", "redacted_thinking": "data"}
#: Fields that say something in other formats, and nothing in this one.
_NOT_OURS = ("tool_calls", "function_call", "tool_call_id", "parts")


def from_anthropic(blob: object, **fields: Any) -> Message:
    """One message as a Message. `fields` are set on it: id, run_id, created_at.

    The dict itself is kept as `native` only where the parts could not give it back exactly.
    Raises InvalidInput that names the field, what was found there and what is accepted.
    """
    item = plain(blob)
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        what = "nothing" if role is None else found(role)
        raise InvalidInput(f"message.role: found {what}, expected one of {', '.join(_ROLES)}")
    content = item.get("content")
    if content is None and role == "assistant":
        parts = []
    elif isinstance(content, str):
        parts = [Part(type="text", text=content)]
    elif isinstance(content, list):
        parts = [part for at, block in enumerate(content) for part in parts_of(block, f"message.content[{at}]")]
    else:
        raise InvalidInput(f"message.content: found {found(content)}, expected text or a list of blocks")
    results = [part for part in parts if part.type == "tool-result"]
    mine: Role = _ROLES[role]
    if mine == "user" and results and all(part in results or _within(part) for part in parts):
        mine = "tool"
    message = Message(role=mine, parts=tuple(parts), format=NAME, **fields)
    rest = {key: value for key, value in item.items() if value is not None}
    if rest == to_anthropic(message):
        return message
    return message.model_copy(update={"native": item})


def to_anthropic(message: Message, *, lost: list[str] | None = None) -> Json:
    """The message that it came from, or the one that says the same.

    What the API has no place for is left out, and named in `lost`.
    """
    if message.native is not None and message.format == NAME:
        return copied(message.native)  # type: ignore[no-any-return]
    role = "user" if message.role == "tool" else message.role
    alone = len(message.parts) == 1 and message.parts[0].type == "text" and not message.parts[0].meta
    if alone and role != "assistant":  # the model's own words come as a list
        return {"role": role, "content": message.parts[0].text or ""}
    return {"role": role, "content": _blocks(message, lost if lost is not None else [])}


def to_anthropic_messages(messages: Iterable[Message], *, lost: list[str] | None = None) -> list[Named]:
    """A conversation, each item with the id of its message. Results of parallel calls stand in one message."""
    return results_together(((message, to_anthropic(message, lost=lost)) for message in messages), NAME, "content")


# ------------------------------------------------------------------------------------------------- in


def foreign(item: Json) -> Foreign | None:
    """The first thing in a message that this API does not have; None where it has all."""
    if (stray := foreign_field(item, _ROLES, _NOT_OURS)) is not None:
        return stray
    content = item.get("content")
    if not isinstance(content, str | list):
        return Foreign(-1, ".content", found(content))
    return foreign_piece(content, ".content", lambda block: isinstance(block, str) or is_block(block))


def is_block(block: object) -> bool:
    """Whether it is a block of this API, also where it stands in a message of another one."""
    if not isinstance(block, dict) or not isinstance(kind := block.get("type"), str):
        return False
    if kind in ("image", "document"):
        return isinstance(block.get("source"), dict)
    if kind.endswith("tool_use"):
        return isinstance(block.get("name"), str)
    if kind == "thinking":
        return isinstance(block.get("thinking"), str)
    inside = block.get("content")
    if kind == "tool_result" and isinstance(inside, list):
        return all(isinstance(piece, str) or is_block(piece) for piece in inside)
    return kind in _BLOCKS or kind.endswith("tool_result")


def parts_of(block: Any, what: str) -> list[Part]:
    """What a block says."""
    if isinstance(block, str):
        return [Part(type="text", text=block)]
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise InvalidInput(f"{what}: found {found(block)}, expected a block with a type")
    kind = block["type"]
    rest = {key: value for key, value in block.items() if key != "type" and value is not None}
    if kind == "text":
        text = text_at(block, "text", what)
        if text is None:
            raise InvalidInput(f"{what}.text: found null, expected text")
        rest.pop("text")
        return [Part(type="text", text=text, meta=rest or None)]
    if kind in ("image", "document"):
        return [_media(kind, rest, what)]
    if kind in ("thinking", "redacted_thinking"):
        text = rest.pop("thinking", None)
        return [Part(type="thinking", text=text if isinstance(text, str) else "", meta={"type": kind, **rest})]
    if kind.endswith("tool_use"):
        return [_call(kind, rest, what)]
    if kind.endswith("tool_result"):
        return _result(kind, rest, what)
    return [Part(type="data", meta={**rest, "data_type": kind})]


def _media(kind: str, rest: Json, what: str) -> Part:
    source = rest.pop("source", None)
    if not isinstance(source, dict):
        raise InvalidInput(f"{what}.source: found {found(source)}, expected an object with a type")
    title = rest.get("title")
    meta: Json = {**source, **rest}
    if set(source) & set(rest) or isinstance(source.get("content"), list):
        meta = {"source": source, **rest}  # two of one name, or blocks in it
    return Part(
        type="image" if kind == "image" else "file", meta=meta, filename=title if isinstance(title, str) else None
    )


def _call(kind: str, rest: Json, what: str) -> Part:
    name, id = rest.pop("name", None), rest.pop("id", None)
    if not isinstance(name, str):
        raise InvalidInput(f"{what}.name: found {found(name)}, expected the name of a tool")
    arguments = as_arguments(rest.pop("input", {}), f"{what}.input")
    meta: Json = {"id": id if isinstance(id, str) else "", "name": name, "arguments": arguments, "type": kind}
    return Part(type="tool-call", meta={**meta, **({"extra": rest} if rest else {})})


def _result(kind: str, rest: Json, what: str) -> list[Part]:
    id = rest.pop("tool_use_id", None)
    meta: Json = {"tool_call_id": id if isinstance(id, str) else ""}
    failed = anthropic_result_failed(rest)
    rest.pop("is_error", None)
    if failed is not None:
        meta["is_error"] = failed
    content = rest.pop("content", None)
    if kind != "tool_result":
        meta["type"] = kind
    if rest:
        meta["extra"] = rest
    if content is None or isinstance(content, str):
        return [Part(type="tool-result", text=content or "", meta=meta)]
    if kind == "tool_result" and isinstance(content, list):
        pieces = [part for at, block in enumerate(content) for part in parts_of(block, f"{what}.content[{at}]")]
        text = "\n".join(piece.text or "" for piece in pieces if piece.type == "text")
        others = [piece for piece in pieces if piece.type != "text"]
        within = {"tool_call_id": meta["tool_call_id"]}
        return [
            Part(type="tool-result", text=text, meta=meta),
            *(other.model_copy(update={"meta": {**(other.meta or {}), **within}}) for other in others),
        ]
    return [Part(type="tool-result", text=as_text(content), meta=meta)]


def _within(part: Part) -> bool:
    """Whether it belongs to a result."""
    return part.type in ("image", "file", "data") and bool((part.meta or {}).get("tool_call_id"))


# ------------------------------------------------------------------------------------------------ out


def _blocks(message: Message, lost: list[str]) -> list[Json]:
    own = message.format == NAME
    results = {str((part.meta or {}).get("tool_call_id") or "") for part in message.tool_results}
    only = next(iter(results)) if message.role == "tool" and len(results) == 1 else None
    blocks: list[Json] = []
    answers: dict[str, Json] = {}
    for at, part in enumerate(message.parts):
        lost += lost_marks(part, NAME, keeps=("cache_control", "is_error"))
        if part.type == "tool-result":
            block = _result_block(part)
            answers[str(block.get("tool_use_id") or "")] = block
            blocks.append(block)
            continue
        rendered = _block(part, at, own=own, role=message.role)
        if rendered is None:
            lost.append(f"{part.type}: the anthropic format has no place for it")
            continue
        id = str((part.meta or {}).get("tool_call_id") or "") or only
        if id is not None and id in answers and part.type in ("image", "file", "data", "text"):
            answer = answers[id]
            said = answer.get("content")
            words = [{"type": "text", "text": said}] if isinstance(said, str) and said.strip() else []
            inside = said if isinstance(said, list) else words
            answer["content"] = [*inside, rendered]
        else:
            blocks.append(rendered)
    return blocks


def _block(part: Part, at: int, *, own: bool, role: str) -> Json | None:
    meta = copied(part.meta or {})
    meta.pop("tool_call_id", None)
    if part.type == "text":
        meta.pop("is_refusal", None)
        known = meta if own else {key: meta[key] for key in ("cache_control", "citations") if key in meta}
        return {"type": "text", "text": part.text or "", **known}
    if part.type == "thinking":
        kind = meta.pop("type", None)
        if role != "assistant" or kind not in _SIGNED or not (own or meta.get(_SIGNED[kind])):
            return None  # thoughts of other models carry no signature of its own, and the API refuses them
        return {"type": kind, **({"thinking": part.text or ""} if kind == "thinking" else {}), **meta}
    if part.type == "tool-call":
        return _call_block(part, at)
    if part.type == "data":
        return {"type": str(meta.pop("data_type", "data")), **meta} if own else None
    return _media_block(part, meta, own=own, role=role)


def _media_block(part: Part, meta: Json, *, own: bool, role: str) -> Json | None:
    kind = "image" if part.type == "image" else "document"
    if own and part.type in ("image", "file"):
        rest: Json = {key: meta.pop(key) for key in ("title", "context", "citations", "cache_control") if key in meta}
        return {"type": kind, "source": meta.pop("source", None) or meta, **rest}
    media = media_of(part)
    if role in ("assistant", "system"):
        return {"type": "text", "text": media.text} if media.text else None
    if part.type not in ("image", "file"):
        return None
    source = _image_source(media) if kind == "image" else _document_source(media)
    if source is None:
        return None
    title = {"title": media.filename} if kind == "document" and media.filename else {}
    return {"type": kind, "source": source, **title}


def _image_source(media: Media) -> Json | None:
    if media.data is not None:
        fits = media.mime in PICTURES
        return {"type": "base64", "media_type": media.mime, "data": media.data} if fits else None
    return {"type": "url", "url": media.url} if media.url is not None else None


def _document_source(media: Media) -> Json | None:
    """Bytes of a PDF as they are, those of a text as words; others have no place."""
    words = media.text if media.text is not None else words_of(media)
    if words is not None:
        return {"type": "text", "media_type": "text/plain", "data": words} if words.strip() else None
    if media.data is not None:
        fits = media.mime == "application/pdf"
        return {"type": "base64", "media_type": media.mime, "data": media.data} if fits else None
    return {"type": "url", "url": media.url} if media.url is not None else None


def _call_block(part: Part, at: int) -> Json:
    meta = part.meta or {}
    arguments = meta.get("arguments")
    given: Any = arguments
    if isinstance(arguments, str):
        try:
            given = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            given = {"arguments": arguments}
    if not isinstance(given, dict):
        given = {"arguments": given} if given is not None else {}
    return {
        "type": "tool_use",
        "id": str(meta.get("id") or f"call_{at}"),
        "name": str(meta.get("name") or ""),
        "input": given,
        **((meta.get("extra") or {}) if meta.get("type") in (None, "tool_use") else {}),
    }


def _result_block(part: Part) -> Json:
    meta = part.meta or {}
    block: Json = {
        "type": "tool_result",
        "tool_use_id": str(meta.get("tool_call_id") or ""),
    }
    if part.text:
        block["content"] = part.text
    if "is_error" in meta:
        block["is_error"] = bool(meta["is_error"])
    return {**block, **((meta.get("extra") or {}) if meta.get("type") is None else {})}


def _without_last_thoughts(items: list[Named], lost: Lost) -> list[Named]:
    """Messages that do not end with thoughts: the API refuses those."""
    kept: list[Named] = []
    for id, item in items:
        content = item["content"]
        if item["role"] == "assistant" and isinstance(content, list):
            end = len(content)
            while end and content[end - 1].get("type") in _SIGNED:
                end -= 1
                lost[id].append("thinking: the anthropic format has no place for it at the end of a message")
            if end == 0:
                continue
            item = {**item, "content": content[:end]}
        kept.append((id, item))
    return kept


RULES = Rules(
    id=re.compile(r"[a-zA-Z0-9_-]{1,64}"),
    name=re.compile(r"[a-zA-Z0-9_-]{1,128}"),
    blank=False,
    finish=_without_last_thoughts,
)
ANTHROPIC = Format(
    name=NAME,
    read=from_anthropic,
    write=to_anthropic,
    write_all=to_anthropic_messages,
    rules=RULES,
    foreign=foreign,
)
