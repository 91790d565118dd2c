"""Chat completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acontext_plugins.formats import from_openai
from acontext_plugins.service import InjectAs
from acontext_store.types import Json, Message

from ..shared.left_out import left_out
from ..shared.resent_history import item
from .format import (
    AnswerStatus,
    Assembler,
    ModelAnswer,
    Piece,
    WireFormat,
    appended,
    dicts,
    error_of,
    marked,
    replaced,
    said,
    spoken,
    text_at,
    without_injected,
    words,
)

_HOST = ("system", "developer")


class Chat(WireFormat):
    """`/chat/completions`. Of several choices the first counts."""

    name = "chat"

    def pieces(self, body: Json) -> list[Piece]:
        return [_piece(message) for message in dicts(body.get("messages"))]

    def query(self, body: Json) -> str:
        for message in reversed(dicts(body.get("messages"))):
            if message.get("role") == "user":
                return spoken(message.get("content"))
        return ""

    def tools(self, body: Json) -> list[str] | None:
        names = [_tool_name(tool) for tool in dicts(body.get("tools"))]
        names += [text_at(function, "name") for function in dicts(body.get("functions"))]
        return sorted({name for name in names if name})

    def with_skills(self, body: Json, text: str, inject_as: InjectAs) -> Json:
        messages = body.get("messages")
        if not text or not isinstance(messages, list):
            return body
        roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
        if inject_as == "user":
            place = max((at for at, role in enumerate(roles) if role == "user"), default=-1)
            if place < 0:
                return body
        else:
            place = next((at for at, role in enumerate(roles) if role not in _HOST), len(roles)) - 1
            if place < 0:
                return {**body, "messages": [{"role": "system", "content": text}, *messages]}
        message = messages[place]
        if any(role in _HOST and marked(messages[at].get("content")) for at, role in enumerate(roles)):
            return body
        if marked(message.get("content")):
            return body
        changed = {**message, "content": appended(message.get("content"), text)}
        return {**body, "messages": replaced(messages, place, changed)}

    def answer(self, response: Json, body: Json) -> ModelAnswer:
        choices = dicts(response.get("choices"))
        choice = min(choices, key=lambda one: one.get("index") or 0) if choices else {}
        message, finish, id = choice.get("message"), choice.get("finish_reason"), text_at(response, "id")
        error = error_of(response)
        if error is not None:
            return ModelAnswer("failed", error, id=id)
        if not isinstance(message, dict):
            return ModelAnswer("unknown", "the response holds no message", id=id)
        piece = _piece({**message, "role": "assistant"})
        pieces = (piece,) if _says(message) else ()
        status, reason = _status(message, finish)
        if piece.item.kind == "call" and status == "success":
            return ModelAnswer("success" if _forced(body) else "calls", pieces=pieces, call_ids=piece.call_ids, id=id)
        return ModelAnswer(status, reason, pieces, id=id)

    def messages(self, blobs: Sequence[Json]) -> list[list[Message]]:
        made: list[list[Message]] = []
        for blob in blobs:
            try:
                made.append([without_injected(from_openai(_known(blob)))])
            except Exception as error:
                left_out(error)
                made.append([])
        return made

    def assembler(self) -> Assembler:
        return _ChatAssembler()


def _piece(message: Json) -> Piece:
    role = message.get("role")
    if role in _HOST:
        return Piece(item("host"), message)
    if role == "tool":
        id = text_at(message, "tool_call_id")
        return Piece(item("result", id or words(message.get("content"))), message, (id,) if id else ())
    if role == "function":
        return Piece(item("result", text_at(message, "name"), words(message.get("content"))), message)
    if role != "assistant":
        return Piece(said("user", message.get("content")), message)
    calls = dicts(message.get("tool_calls"))
    if calls:
        names = sorted(f"{text_at(call, 'id')} {_tool_name(call)}" for call in calls)
        ids = tuple(id for call in calls if (id := text_at(call, "id")))
        return Piece(item("call", *names), message, ids)
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        name = text_at(legacy, "name")
        return Piece(item("call", name, text_at(legacy, "arguments")), message, (name,))
    return Piece(item("model", words(message.get("content")) or words(text_at(message, "refusal"))), message)


def _tool_name(tool: Json) -> str:
    for kind in ("function", "custom"):
        name = text_at(tool.get(kind), "name")
        if name:
            return name
    return ""


def _says(message: Json) -> bool:
    names = ("content", "refusal", "tool_calls", "function_call", "audio", "reasoning_content", "reasoning")
    return any(message.get(name) for name in names)


def _status(message: Json, finish: Any) -> tuple[AnswerStatus, str]:
    if finish == "content_filter":
        return "failed", "content_filter: the provider's filter stopped the answer"
    if text_at(message, "refusal"):
        return "failed", f"refusal: {message['refusal']}"
    if finish == "length":
        return "unknown", "the answer was cut off: length"
    return "success", ""


def _forced(body: Json) -> bool:
    """The host has named the tool to be called: the call is the answer, as a rule."""
    return isinstance(body.get("tool_choice"), dict) or isinstance(body.get("function_call"), dict)


def _known(message: Json) -> Json:
    """What of an answer belongs into a conversation."""
    if message.get("role") != "assistant":
        return message
    dropped = ("annotations", "provider_specific_fields", "parsed")
    kept = {name: value for name, value in message.items() if value is not None and name not in dropped}
    if "tool_calls" in kept and not kept["tool_calls"]:
        del kept["tool_calls"]
    nothing_said = not kept.get("content") and ("tool_calls" in kept or "function_call" in kept)
    return {**kept, "content": None} if nothing_said or "content" not in kept else kept


class _ChatAssembler:
    def __init__(self) -> None:
        self.finished = False
        self._id = ""
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[int, tuple[Json, list[str]]] = {}
        self._finish: Any = None
        self._error: Any = None

    def feed(self, event: Json) -> None:
        self._id = self._id or text_at(event, "id")
        if event.get("error"):
            self._error, self.finished = event["error"], True
        for choice in dicts(event.get("choices")):
            if choice.get("index"):
                continue
            if choice.get("finish_reason"):
                self._finish, self.finished = choice["finish_reason"], True
            delta = choice.get("delta")
            if not isinstance(delta, dict):
                continue
            for name in ("content", "refusal", "reasoning_content", "reasoning"):
                text = delta.get(name)
                if isinstance(text, str) and text:
                    self._texts.setdefault(name, []).append(text)
            for number, part in enumerate(dicts(delta.get("tool_calls"))):
                self._call(part, number)
            legacy = delta.get("function_call")
            if isinstance(legacy, dict):
                self._call({"index": -1, "function": legacy}, -1)

    def _call(self, part: Json, number: int) -> None:
        at = part.get("index")
        place = at if isinstance(at, int) else number
        call, arguments = self._calls.setdefault(place, ({"type": "function"}, []))
        for name in ("id", "type"):
            if text_at(part, name):
                call[name] = part[name]
        for kind, field in (("function", "arguments"), ("custom", "input")):
            inner = part.get(kind)
            if isinstance(inner, dict):
                call["kind"] = kind
                call["name"] = call.get("name") or text_at(inner, "name")
                arguments.append(text_at(inner, field))

    @property
    def response(self) -> Json:
        message: Json = {"role": "assistant", "content": None}
        message |= {name: "".join(texts) for name, texts in self._texts.items()}
        calls = []
        for place, (call, arguments) in sorted(self._calls.items()):
            kind, name, text = call.get("kind", "function"), call.get("name", ""), "".join(arguments)
            if place < 0:
                message["function_call"] = {"name": name, "arguments": text}
                continue
            inner = {"name": name, "input" if kind == "custom" else "arguments": text}
            calls.append({"id": call.get("id", ""), "type": kind, kind: inner})
        if calls:
            message["tool_calls"] = calls
        response: Json = {"id": self._id, "choices": [{"index": 0, "message": message, "finish_reason": self._finish}]}
        if self._error is not None:
            response["error"] = self._error
        return response
