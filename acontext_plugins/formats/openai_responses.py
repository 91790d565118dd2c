"""Items of the OpenAI Responses API (and of the OpenAI Agents SDK), to and from Message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from acontext_store.errors import InvalidInput
from acontext_store.types import Json, Message, Part, Role

from .blob import Foreign, as_arguments, as_text, copied, foreign_field, foreign_piece, found, plain, text_at
from .format import Format, item_by_item
from .marks import lost_marks
from .media import PICTURES, file_name, media_of
from .sequence import Rules
from .tool_status import hosted_status, how_it_failed, says_how_it_ended

NAME = "openai_responses"
RULES = Rules(id=re.compile(r"[!-~]{1,64}"), name=re.compile(r"[a-zA-Z0-9_-]{1,64}"))
_MEDIA = frozenset({"image", "audio", "video", "file"})
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
#: Calls of tools that the provider runs, with the fields that hold what came out of them.
_HOSTED: dict[str, tuple[str, ...]] = {
    "web_search_call": ("results",),
    "file_search_call": ("results",),
    "code_interpreter_call": ("outputs",),
    "image_generation_call": ("result",),
    "mcp_call": ("output", "error"),
    "computer_call": (),
    "local_shell_call": (),
    "shell_call": (),
    "apply_patch_call": (),
    "tool_search_call": (),
}
#: Fields of an item that are no arguments of its call.
_ENVELOPE = frozenset(
    "id type status call_id name server_label approval_request_id container_id pending_safety_checks arguments "
    "namespace caller environment execution".split()
)
_OUTPUTS = frozenset(
    "function_call_output custom_tool_call_output computer_call_output local_shell_call_output shell_call_output "
    "apply_patch_call_output tool_search_output program_output".split()
)
#: Items that the user's side says, among those that are data to us.
_FROM_USER = frozenset({"mcp_approval_response"})
#: All types of items.
_ITEMS = frozenset(
    {
        *"message function_call custom_tool_call reasoning program item_reference additional_tools "
        "mcp_list_tools mcp_approval_request compaction compaction_trigger configuration_update".split(),
        *_FROM_USER,
        *_OUTPUTS,
        *_HOSTED,
    }
)
_WORDS = frozenset("input_text output_text text reasoning_text summary_text".split())
#: All types of content in a message.
_PIECES = _WORDS | frozenset("refusal input_image computer_screenshot input_audio input_file".split())
#: Fields that say something in other formats, and nothing in this one.
_NOT_OURS = ("tool_calls", "function_call", "tool_call_id", "parts")


def from_responses(blob: object, **fields: Any) -> Message:
    """One item, or the text of a user, as a Message. `fields` are set on it: id, run_id, created_at.

    The item itself is kept as `native` where the parts could not give it back exactly.
    Raises InvalidInput that names the field, what was found there and what is accepted.
    """
    if isinstance(blob, str):
        blob = {"role": "user", "content": blob}
    item = plain(blob, "item")
    role, parts = _read(item)
    return _message(role, parts, [item], single=True, fields=fields)


def from_response_output(items: Iterable[object], **fields: Any) -> list[Message]:
    """The output of one response as one assistant message: reasoning, text and calls together.

    Results that stand among them are messages of their own. `fields` are set on the first message.
    """
    messages: list[Message] = []
    group: list[Json] = []
    parts: list[Part] = []

    def close() -> None:
        if group:
            mine = fields if not messages else {}
            messages.append(_message("assistant", parts, group, single=len(group) == 1, fields=mine))
            group.clear()
            parts.clear()

    for at, blob in enumerate(items):
        item = plain(blob, f"output[{at}]")
        role, said = _read(item)
        if role == "assistant":
            group.append(item)
            parts += said
            continue
        close()
        messages.append(_message(role, said, [item], single=True, fields=fields if not messages else {}))
    close()
    return messages


def to_responses(message: Message) -> Json:
    """The item that it came from, or the one that says the same.

    Raises InvalidInput where one item cannot (words and a call, several calls): use `to_response_items`.
    """
    items = to_response_items(message)
    if len(items) != 1:
        raise InvalidInput(f"message {message.id}: needs {len(items)} items; use from_messages")
    return items[0]


def to_response_items(message: Message, *, lost: list[str] | None = None) -> list[Json]:
    """The items that it came from, or those that say the same, in order.

    What the API has no place for is left out, and named in `lost`.
    """
    if message.native is not None and message.format == NAME:
        items = message.native.get("items") if "type" not in message.native else None
        if isinstance(items, list) and "role" not in message.native:
            return [copied(item) for item in items]
        return [copied(message.native)]
    return _rendered(message.role, message.parts, same=message.format == NAME, lost=lost if lost is not None else [])


def _message(
    role: Role, parts: Sequence[Part], items: Sequence[Json], *, single: bool, fields: dict[str, Any]
) -> Message:
    native: Json | None = None
    if _rendered(role, parts, same=True, lost=[]) != list(items):
        native = items[0] if single else {"items": list(items)}
    return Message(role=role, parts=tuple(parts), format=NAME, native=native, **fields)


# ------------------------------------------------------------------------------------------------- in


def foreign(item: Json) -> Foreign | None:
    """The first thing in an item that this API does not have; None where it has all."""
    kind = item.get("type", "message")
    if not isinstance(kind, str) or kind not in _ITEMS:
        return Foreign(-1, ".type", found(kind))
    if kind != "message" or _is_wordless(item):
        return None
    if (stray := foreign_field(item, _ROLES, _NOT_OURS)) is not None:
        return stray
    content = item.get("content")
    if not isinstance(content, str | list):
        return Foreign(-1, ".content", found(content))
    return foreign_piece(content, ".content", lambda piece: isinstance(piece, str) or is_piece(piece))


def _is_wordless(item: Json) -> bool:
    """An answer of a model without any words, as providers and the SDK's own types have it."""
    return item.get("type") == "message" and item.get("content", "") is None and item.get("role") in (None, "assistant")


def is_item(item: Json) -> bool:
    """Whether it says the type of an item that no other API has."""
    kind = item.get("type")
    return isinstance(kind, str) and kind in _ITEMS and kind != "message"


def is_piece(piece: object) -> bool:
    """Whether it is content of a message of this API, also where it stands in a message of another one."""
    kind = piece.get("type") if isinstance(piece, dict) else None
    return isinstance(kind, str) and kind in _PIECES


def _read(item: Json) -> tuple[Role, list[Part]]:
    kind = item.get("type")
    if kind is not None and not isinstance(kind, str):
        raise InvalidInput(f"item.type: found {found(kind)}, expected the name of an item")
    if kind is None or kind == "message":
        return _said(item)
    if kind in ("function_call", "custom_tool_call", "mcp_approval_request"):
        return "assistant", [_call(item, kind)]
    if kind in _OUTPUTS:
        return "tool", _result(item)
    if kind == "reasoning":
        return "assistant", [Part(type="thinking", text=_thoughts(item), meta=dict(item))]
    if kind in _HOSTED:
        return "assistant", _hosted(item, kind)
    role = item.get("role")
    mine: Role = _ROLES.get(role, "assistant") if isinstance(role, str) else "assistant"
    if kind in _FROM_USER:
        mine = "user"
    return mine, [Part(type="data", meta={**{k: v for k, v in item.items() if k != "type"}, "data_type": kind})]


def _said(item: Json) -> tuple[Role, list[Part]]:
    if _is_wordless(item):
        return "assistant", []
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        what = "nothing" if role is None else found(role)
        raise InvalidInput(
            f"item.role: found {what}, expected one of {', '.join(_ROLES)}, or an item with a type such as "
            "function_call, function_call_output or reasoning"
        )
    content = item.get("content")
    if content is None and role == "assistant":
        return "assistant", []
    if isinstance(content, str):
        return _ROLES[role], [Part(type="text", text=content)]
    if not isinstance(content, list):
        raise InvalidInput(f"item.content: found {found(content)}, expected text or a list of parts (role {role!r})")
    return _ROLES[role], [part_of(piece, f"item.content[{at}]") for at, piece in enumerate(content)]


def part_of(piece: Any, what: str) -> Part:
    """What a piece of content says."""
    if isinstance(piece, str):
        return Part(type="text", text=piece)
    if not isinstance(piece, dict) or not isinstance(piece.get("type"), str):
        raise InvalidInput(f"{what}: found {found(piece)}, expected an object with a type")
    kind = piece["type"]
    rest = {key: value for key, value in piece.items() if key != "type" and value is not None}
    if kind in _WORDS:
        return Part(type="text", text=text_at(piece, "text", what) or "")
    if kind == "refusal":
        return Part(type="text", text=text_at(piece, "refusal", what) or "", meta={"is_refusal": True})
    if kind in ("input_image", "computer_screenshot"):
        url = rest.pop("image_url", None)
        return Part(type="image", meta={**({"url": url} if url is not None else {}), **rest} or None)
    if kind == "input_audio":
        inner = piece.get("input_audio")
        return Part(type="audio", meta=dict(inner) if isinstance(inner, dict) else rest or None)
    if kind == "input_file":
        url = rest.pop("file_url", None)
        name = rest.get("filename")
        meta = {**({"url": url} if url is not None else {}), **rest}
        return Part(type="file", meta=meta or None, filename=name if isinstance(name, str) else None)
    return Part(type="data", meta={**rest, "data_type": kind})


def _call(item: Json, kind: str) -> Part:
    name = text_at(item, "name", "item")
    if name is None:
        raise InvalidInput(f"item.name: found null, expected the name of a tool (type {kind!r})")
    meta: Json = {"id": text_at(item, "call_id", "item") or text_at(item, "id", "item") or "", "name": name}
    if kind == "custom_tool_call":
        meta |= {"arguments": json.dumps({"input": item.get("input")}, ensure_ascii=False), "type": "custom"}
    else:
        type = kind if kind == "mcp_approval_request" else "function"
        meta |= {"arguments": as_arguments(item.get("arguments"), "item.arguments"), "type": type}
    return Part(type="tool-call", meta=meta)


def _result(item: Json) -> list[Part]:
    meta: Json = {"tool_call_id": text_at(item, "call_id", "item") or text_at(item, "id", "item") or ""}
    name = item.get("name")
    if isinstance(name, str):
        meta["name"] = name
    output = item.get("output", item.get("tools", item.get("result")))
    if how_it_failed(item) is not None:
        meta["is_error"] = True
    elif says_how_it_ended(item):
        meta["is_error"] = False
    if output is None or isinstance(output, str):
        return [Part(type="tool-result", text=output or "", meta=meta)]
    is_pieces = isinstance(output, list) and all(isinstance(p, dict) and "type" in p for p in output)
    if is_pieces and item["type"] in ("function_call_output", "custom_tool_call_output"):
        pieces = [part_of(piece, f"item.output[{at}]") for at, piece in enumerate(output)]
        text = "\n".join(piece.text or "" for piece in pieces if piece.type == "text")
        return [Part(type="tool-result", text=text, meta=meta), *(p for p in pieces if p.type != "text")]
    if isinstance(output, dict) and output.get("type") == "computer_screenshot":
        return [Part(type="tool-result", text="", meta=meta), part_of(output, "item.output")]
    return [Part(type="tool-result", text=as_text(output), meta=meta)]


def _thoughts(item: Json) -> str:
    texts: list[str] = []
    for key in ("summary", "content"):
        pieces = item.get(key)
        for piece in pieces if isinstance(pieces, list) else ():
            text = piece.get("text") if isinstance(piece, dict) else piece
            if isinstance(text, str) and text:
                texts.append(text)
    return "\n".join(texts)


def _hosted(item: Json, kind: str) -> list[Part]:
    id = text_at(item, "call_id", "item") or text_at(item, "id", "item") or ""
    name = text_at(item, "name", "item") or kind.removesuffix("_call")
    outputs, status = _HOSTED[kind], hosted_status(item)
    arguments = item.get("arguments")
    if arguments is None:
        arguments = {k: v for k, v in item.items() if k not in _ENVELOPE and k not in outputs and v is not None}
    parts = [
        Part(
            type="tool-call",
            meta={"id": id, "name": name, "arguments": as_arguments(arguments, "item.arguments"), "type": kind},
        )
    ]
    for key in outputs:
        output = item.get(key)
        if output is None:
            continue
        if kind == "image_generation_call":
            parts.append(Part(type="tool-result", text="", meta={"tool_call_id": id, "name": name}))
            if isinstance(output, str) and output:
                made = f"image/{item.get('output_format') or 'png'}"
                parts.append(Part(type="image", meta={"data": output, "media_type": made, "tool_call_id": id}))
            break
        meta: Json = {"tool_call_id": id, "name": name}
        if key == "error" or status == "failed":
            meta["is_error"] = True
        parts.append(Part(type="tool-result", text=as_text(output), meta=meta))
    if status is not None and len(parts) == 1:  # that it ran is all that the provider says
        meta = {"tool_call_id": id, "name": name, **({"is_error": True} if status == "failed" else {})}
        parts.append(Part(type="tool-result", text="", meta=meta))
    return parts


# ------------------------------------------------------------------------------------------------ out


def _rendered(role: Role, parts: Sequence[Part], *, same: bool, lost: list[str]) -> list[Json]:
    """Items that say what the parts do. `same`: they came from this format, so data parts are its items."""
    items: list[Json] = []
    pieces: list[Json] = []
    if not same:
        lost += [mark for part in parts for mark in lost_marks(part, NAME, keeps=("is_refusal",))]

    def close() -> None:
        if pieces:
            items.append({"role": "user" if role == "tool" else role, "content": _content(pieces)})
            pieces.clear()

    if role == "tool" and sum(part.type == "tool-result" for part in parts) == 1:
        first = next(part for part in parts if part.type == "tool-result")
        others = [part for part in parts if part is not first]
        return [_output(first, others, same=same, lost=lost)]
    answered = {(part.meta or {}).get("tool_call_id") for part in parts if part.type == "tool-result"} - {None, ""}
    inside = [part for part in parts if part.type in _MEDIA and (part.meta or {}).get("tool_call_id") in answered]
    for part in parts:
        if part in inside:
            continue
        if part.type == "tool-call":
            close()
            items.append(_call_item(part, len(items)))
        elif part.type == "tool-result":
            close()
            id = (part.meta or {}).get("tool_call_id")
            mine = [other for other in inside if (other.meta or {}).get("tool_call_id") == id]
            items.append(_output(part, mine, same=same, lost=lost))
        elif part.type == "thinking" and role == "assistant" and (part.meta or {}).get("type") == "reasoning":
            close()
            items.append(copied(part.meta))
        elif part.type == "data" and same and role == "assistant" and len(parts) == 1:
            meta = copied(part.meta or {})
            items.append({"type": str(meta.pop("data_type", "data")), **meta})
        else:
            piece = _content_item(part, role, same=same)
            if piece is not None:
                pieces.append(piece)
            else:
                lost.append(f"{part.type}: the openai_responses format has no place for it")
    close()
    return items


def _content(pieces: Sequence[Json]) -> Any:
    """Words alone are said as text; of the user or the model, the API takes both."""
    if len(pieces) == 1 and pieces[0]["type"] in ("input_text", "output_text") and pieces[0].keys() == {"type", "text"}:
        return pieces[0]["text"]
    return list(pieces)


def _content_item(part: Part, role: Role, *, same: bool) -> Json | None:
    meta = copied(part.meta or {})
    if part.type == "thinking":
        return None
    if part.type == "text":
        if meta.get("is_refusal"):
            return {"type": "refusal", "refusal": part.text or ""}
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part.text or ""}
    if part.type == "data":
        return {"type": str(meta.pop("data_type", "data")), **meta} if same else None
    if not same:
        return _foreign(part, role)
    url = meta.pop("url", None)
    if part.type == "image":
        return {"type": "input_image", **({"image_url": url} if url is not None else {}), **meta}
    if part.type == "audio":
        return {"type": "input_audio", "input_audio": meta}
    return {"type": "input_file", **({"file_url": url} if url is not None else {}), **meta}


def _foreign(part: Part, role: Role) -> Json | None:
    """A picture or a file that came in another format; only a user shows them, or a tool."""
    media = media_of(part)
    url = media.data_url or media.url
    if media.text is not None:
        return {"type": "output_text" if role == "assistant" else "input_text", "text": media.text}
    if role not in ("user", "tool"):
        return None
    if part.type == "image" and url is not None:
        if media.data is not None and media.mime not in PICTURES:
            return None
        return {"type": "input_image", "image_url": url, "detail": str((part.meta or {}).get("detail") or "auto")}
    if part.type != "file":
        return None
    if media.data_url is not None:
        return {"type": "input_file", "file_data": media.data_url, "filename": media.filename or file_name(media)}
    if media.url is not None:
        return {"type": "input_file", "file_url": media.url}
    return {"type": "input_file", "file_id": media.file_id} if media.file_id else None


def _call_item(part: Part, at: int) -> Json:
    meta = part.meta or {}
    id, name = str(meta.get("id") or f"call_{at}"), str(meta.get("name") or "")
    arguments = as_text(meta.get("arguments") if meta.get("arguments") is not None else {})
    if meta.get("type") == "custom":
        try:
            words = json.loads(arguments)["input"]
        except (ValueError, KeyError, TypeError, RecursionError):
            words = arguments
        return {"type": "custom_tool_call", "call_id": id, "name": name, "input": words}
    return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}


def _output(part: Part, others: Sequence[Part], *, same: bool, lost: list[str]) -> Json:
    meta = part.meta or {}
    output: Any = part.text or ""
    pieces: list[Json] = []
    for other in others:
        piece = _content_item(other, "user", same=same)
        if piece is not None:
            pieces.append(piece)
        else:
            lost.append(f"{other.type}: the openai_responses format has no place for it")
    if pieces:
        output = [*([{"type": "input_text", "text": output}] if output else []), *pieces]
    kind = "custom_tool_call_output" if meta.get("call_type") == "custom" else "function_call_output"
    return {"type": kind, "call_id": str(meta.get("tool_call_id") or ""), "output": output}


OPENAI_RESPONSES = Format(
    name=NAME,
    read=from_responses,
    write=to_responses,
    write_all=item_by_item(to_response_items),
    rules=RULES,
    foreign=foreign,
)
