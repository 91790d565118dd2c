"""Contents of the Gemini API (`generateContent`), to and from Message. Pure, and lossless there and back.

Both spellings of the API are read (`functionCall` and `function_call`); what came is given back as it was, and what
came in another format is said in the first.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from acontext_store.errors import InvalidInput
from acontext_store.types import Json, Message, Part, Role

from .blob import Foreign, as_text, copied, foreign_field, foreign_piece, found, plain
from .format import Format
from .marks import lost_marks
from .media import kind_of_mime, media_of
from .sequence import Lost, Rules
from .turns import Named, results_together

NAME = "gemini"
_ROLES: dict[str, Role] = {"user": "user", "model": "assistant", "function": "tool", "system": "system"}
#: The fields that hold what a part says: text is text, the others are objects.
_SAYS = ("functionCall", "functionResponse", "inlineData", "fileData", "executableCode", "codeExecutionResult")
#: What stands beside the content of a part.
_BESIDE = frozenset("thought thoughtSignature thought_signature videoMetadata video_metadata partMetadata".split())
#: Fields that say something in other formats, and nothing in this one.
_NOT_OURS = ("content", "tool_calls", "function_call", "tool_call_id")


def from_gemini(blob: object, **fields: Any) -> Message:
    """One content as a Message. `fields` are set on it: id, run_id, created_at.

    Calls without an id get one from their name and their place among the calls of that name, and so do results: a
    result belongs to the newest such call. Raises InvalidInput that names the field, what was found there and what
    is accepted.
    """
    item = plain(blob)
    role = item.get("role", "user")
    if role is None:
        role = "user"
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidInput(f"message.role: found {found(role)}, expected one of {', '.join(_ROLES)}")
    pieces = item.get("parts")
    if isinstance(pieces, dict | str):
        pieces = [pieces]
    elif pieces is None and ("parts" in item or role == "model"):  # an answer that was stopped before its first word
        pieces = []
    if not isinstance(pieces, list):
        raise InvalidInput(f"message.parts: found {found(pieces)}, expected a list of parts")
    counts: Counter[tuple[str, str]] = Counter()
    parts = [_part(piece, f"message.parts[{at}]", counts) for at, piece in enumerate(pieces) if piece != {}]
    mine: Role = _ROLES[role]
    if mine == "user" and parts and all(part.type == "tool-result" for part in parts):
        mine = "tool"
    message = Message(role=mine, parts=tuple(parts), format=NAME, **fields)
    if item == to_gemini(message):
        return message
    return message.model_copy(update={"native": item})


def to_gemini(message: Message, *, lost: list[str] | None = None) -> Json:
    """The content that it came from, or the one that says the same.

    What the API has no place for is left out, and named in `lost`.
    """
    if message.native is not None and message.format == NAME:
        return copied(message.native)  # type: ignore[no-any-return]
    own = message.format == NAME
    role = "model" if message.role == "assistant" else "system" if own and message.role == "system" else "user"
    if message.role == "system" and not own and lost is not None:
        lost.append("system: the gemini format has no message for it, the user says it here")
    pieces = []
    for part in message.parts:
        piece = _piece(part, own=own)
        if piece is None:
            if lost is not None:
                lost.append(f"{part.type}: the gemini format has no place for it")
            continue
        pieces.append(piece)
        if lost is not None:
            lost += lost_marks(part, NAME, keeps=("is_error",))
    return {"role": role, "parts": pieces}


def to_gemini_contents(messages: Iterable[Message], *, lost: list[str] | None = None) -> list[Named]:
    """A conversation, each item with the id of its message.

    Results of parallel calls stand in one content, and name the tool that was called.
    """
    names: dict[str, str] = {}

    def said() -> Iterator[tuple[Message, Json]]:
        for message in messages:
            for call in message.tool_calls:
                meta = call.meta or {}
                names[str(meta.get("id") or "")] = str(meta.get("name") or "")
            whole = message.native is not None and message.format == NAME
            yield message, to_gemini(message if whole else _with_names(message, names), lost=lost)

    return results_together(said(), NAME, "parts")


def _with_names(message: Message, names: dict[str, str]) -> Message:
    """Results that know the name of their tool: the API pairs by it."""

    def named(part: Part) -> Part:
        meta = part.meta or {}
        if part.type != "tool-result" or meta.get("name"):
            return part
        name = names.get(str(meta.get("tool_call_id") or ""))
        return part.model_copy(update={"meta": {**meta, "name": name}}) if name else part

    return message.model_copy(update={"parts": tuple(map(named, message.parts))})


# ------------------------------------------------------------------------------------------------- in


def foreign(item: Json) -> Foreign | None:
    """The first thing in a content that this API does not have; None where it has all."""
    if (stray := foreign_field({**item, "role": item.get("role") or "user"}, _ROLES, _NOT_OURS)) is not None:
        return stray
    pieces = item.get("parts")
    if pieces is None and ("parts" in item or item.get("role") == "model"):
        return None
    if not isinstance(pieces, list | dict | str):
        return Foreign(-1, ".parts", found(pieces))
    return foreign_piece([pieces] if isinstance(pieces, dict) else pieces, ".parts", _is_part)


def _is_part(piece: object) -> bool:
    if not isinstance(piece, dict):
        return isinstance(piece, str)
    says = not piece or any(isinstance(_field(piece, name), dict) for name in _SAYS)
    return "type" not in piece and (says or isinstance(piece.get("text"), str))


def _field(piece: Json, name: str) -> Any:
    """A field in either spelling: `functionCall` or `function_call`."""
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    value = piece.get(name)
    return piece.get(snake) if value is None else value


def _part(piece: Any, what: str, counts: Counter[tuple[str, str]]) -> Part:
    if isinstance(piece, str):
        return Part(type="text", text=piece)
    if not isinstance(piece, dict):
        raise InvalidInput(f"{what}: found {found(piece)}, expected an object with text, functionCall, inlineData ...")
    beside = {key: value for key, value in piece.items() if key in _BESIDE and value is not None}
    text = piece.get("text")
    says = [name for name in _SAYS if isinstance(_field(piece, name), dict)]
    if len(says) + bool(text) > 1:
        raise InvalidInput(
            f"{what}: found {' and '.join(['text'] * bool(text) + says)}, expected one of them in a part"
        )
    if isinstance(text, str) and not says:
        return Part(type="thinking" if piece.get("thought") else "text", text=text, meta=beside or None)
    call = _field(piece, "functionCall")
    if isinstance(call, dict):
        return _call(call, beside, what, counts)
    answer = _field(piece, "functionResponse")
    if isinstance(answer, dict):
        return _result(answer, beside, what, counts)
    for name in ("inlineData", "fileData"):
        inner = _field(piece, name)
        if isinstance(inner, dict):
            return _media(inner, beside)
    for name, kind in (("executableCode", "executable_code"), ("codeExecutionResult", "code_execution_result")):
        inner = _field(piece, name)
        if isinstance(inner, dict):
            return _code(inner, kind, beside, counts)
    return Part(type="data", meta={**piece, "data_type": "gemini_part"})


def _call(call: Json, beside: Json, what: str, counts: Counter[tuple[str, str]]) -> Part:
    name = call.get("name")
    if not isinstance(name, str):
        raise InvalidInput(f"{what}.functionCall.name: found {found(name)}, expected the name of a tool")
    meta: Json = _id(call, name, "call", counts)
    args = call.get("args")
    meta |= {"name": name, "arguments": as_text(args if args is not None else {}), "type": "function"}
    if args is None:
        meta["bare"] = True
    return Part(type="tool-call", meta={**meta, **({"beside": beside} if beside else {})})


def _result(answer: Json, beside: Json, what: str, counts: Counter[tuple[str, str]]) -> Part:
    name = answer.get("name")
    if not isinstance(name, str):
        raise InvalidInput(f"{what}.functionResponse.name: found {found(name)}, expected the name of a tool")
    ids = _id(answer, name, "result", counts)
    response = answer.get("response")
    key, text = _words(response)
    meta: Json = {"tool_call_id": ids.pop("id"), **ids, "name": name}
    if key is not None:
        meta["key"] = key
    if key == "error":
        meta["is_error"] = True
    return Part(type="tool-result", text=text, meta={**meta, **({"beside": beside} if beside else {})})


def _id(inner: Json, name: str, kind: str, counts: Counter[tuple[str, str]]) -> Json:
    id = inner.get("id")
    if isinstance(id, str) and id:
        return {"id": id}
    counts[kind, name] += 1
    return {"id": f"{name}:{counts[kind, name]}", "made_id": True}


def _words(response: Any) -> tuple[str | None, str]:
    """What a tool answered, and the key under which it stood alone."""
    if isinstance(response, dict) and len(response) == 1:
        ((key, value),) = response.items()
        if key in ("result", "output", "error", "content") and isinstance(value, str):
            return key, value
    return None, as_text(response) if response is not None else ""


def _media(inner: Json, beside: Json) -> Part:
    mime = _field(inner, "mimeType")
    name = _field(inner, "displayName")
    meta: Json = {"media_type": mime} if isinstance(mime, str) else {}
    data, uri = inner.get("data"), _field(inner, "fileUri")
    if isinstance(data, str):
        meta["data"] = data
    if isinstance(uri, str):
        meta["url"] = uri
    if beside:
        meta["beside"] = beside
    return Part(
        type=kind_of_mime(mime) if isinstance(mime, str) else "file",
        meta=meta,
        filename=name if isinstance(name, str) else None,
    )


def _code(inner: Json, kind: str, beside: Json, counts: Counter[tuple[str, str]]) -> Part:
    """Code that the provider runs: a call, and its result."""
    ids = _id(inner, "code_execution", "call" if kind == "executable_code" else "result", counts)
    rest = {key: value for key, value in inner.items() if key != "id"}
    if kind == "executable_code":
        meta: Json = {**ids, "name": "code_execution", "arguments": as_text(rest), "type": kind}
        return Part(type="tool-call", meta={**meta, **({"beside": beside} if beside else {})})
    id = ids.pop("id")
    meta = {"tool_call_id": id, **ids, "name": "code_execution", "type": kind, "answer": rest}
    if str(inner.get("outcome", "OUTCOME_OK")) != "OUTCOME_OK":
        meta["is_error"] = True
    output = inner.get("output")
    return Part(
        type="tool-result",
        text=output if isinstance(output, str) else "",
        meta={**meta, **({"beside": beside} if beside else {})},
    )


# ------------------------------------------------------------------------------------------------ out


def _piece(part: Part, *, own: bool) -> Json | None:
    meta = copied(part.meta or {})
    beside: Json = meta.get("beside") or {}
    if part.type == "text":
        signed = {name: meta[name] for name in ("thoughtSignature", "thought_signature") if name in meta}
        return {"text": part.text or "", **(meta if own else signed)}
    if part.type == "thinking":
        return {"text": part.text or "", **meta} if own else None
    if part.type == "tool-call":
        return {**_call_piece(meta), **beside}
    if part.type == "tool-result":
        return {**_result_piece(part.text or "", meta), **beside}
    if part.type == "data":
        if not own:
            return None
        meta.pop("data_type", None)
        return meta  # type: ignore[no-any-return]
    media = media_of(part)
    if media.text is not None:
        return {"text": media.text, **beside}
    name = {"displayName": media.filename} if media.filename else {}
    mime = {"mimeType": media.mime} if not own or "media_type" in meta else {}
    if media.data is not None:
        return {"inlineData": {**mime, "data": media.data, **name}, **beside}
    if media.url is not None:
        return {"fileData": {**mime, "fileUri": media.url, **name}, **beside}
    return None


def _call_piece(meta: Json) -> Json:
    arguments = meta.get("arguments")
    given: Any = arguments
    if isinstance(arguments, str):
        try:
            given = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            given = {"arguments": arguments}
    if not isinstance(given, dict):
        given = {"arguments": given} if given is not None else {}
    id = {} if meta.get("made_id") or not meta.get("id") else {"id": str(meta["id"])}
    if meta.get("type") == "executable_code":
        return {"executableCode": {**id, **given}}
    args = {} if meta.get("bare") else {"args": given}
    return {"functionCall": {**id, "name": str(meta.get("name") or ""), **args}}


def _result_piece(text: str, meta: Json) -> Json:
    id = {} if meta.get("made_id") or not meta.get("tool_call_id") else {"id": str(meta["tool_call_id"])}
    if meta.get("type") == "code_execution_result":
        return {"codeExecutionResult": {**id, **(meta.get("answer") or {})}}
    name = str(meta.get("name") or meta.get("tool_call_id") or "")
    return {"functionResponse": {**id, "name": name, "response": _response(text, meta)}}


def _response(text: str, meta: Json) -> Any:
    key = meta.get("key")
    if isinstance(key, str):
        return {key: text}
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    # else it would come back as other text, or as the words alone
    if isinstance(given, dict) and as_text(given) == text and _words(given)[0] is None:
        return given
    return {"error" if meta.get("is_error") else "result": text}


def _calls_with_words(items: list[Named], _: Lost) -> list[Named]:
    """Calls in one content with what the model says before them: a turn of calls follows the user, or results."""
    joined: list[Named] = []
    for id, item in items:
        calls = item.get("role") == "model" and any(_field(part, "functionCall") for part in item["parts"])
        name, parts = id, item["parts"]
        while calls and joined and joined[-1][1].get("role") == "model":  # one after the other, as far as they go back
            name, before = joined.pop()
            parts = [*before["parts"], *parts]
        joined.append((name, item if parts is item["parts"] else {**item, "parts": parts}))
    return joined


RULES = Rules(
    id=re.compile(r"[!-~]{1,128}"),
    name=re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}"),
    blank=False,
    says=("parts",),
    finish=_calls_with_words,
)
GEMINI = Format(
    name=NAME, read=from_gemini, write=to_gemini, write_all=to_gemini_contents, rules=RULES, foreign=foreign
)
