"""Chat completions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from acontext_plugins.formats import from_openai
from acontext_store.types import Json, Message

from ..shared.left_out import left_out
from ..shared.resent_history import item
from .deltas import merge
from .executed_calls import run_by_litellm
from .format import (
    AnswerStatus,
    Assembler,
    ModelAnswer,
    Piece,
    WireCall,
    WireFormat,
    dicts,
    error_of,
    marked,
    objects,
    said,
    spoken,
    text_at,
    with_text_in,
    without_injected,
    words,
)

_HOST = ("system", "developer")
#: Texts of a message that come in pieces.
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
#: The fields in which an answer says something.
_SAID = (*_TEXTS, "function_call", "audio", "images", "reasoning_details", "thinking_blocks")
#: What LiteLLM says of calls that it has run, which are recorded as such.
_OF_LITELLM = ("mcp_tool_calls", "mcp_call_results", "mcp_list_tools")


class Chat(WireFormat):
    """`/chat/completions`. Of several choices the first is said; the host may go on with another one."""

    name = "chat"

    def pieces(self, body: Json) -> list[Piece]:
        return [dataclasses.replace(_piece(message), place=at) for at, message in objects(body.get("messages"))]

    def query(self, body: Json) -> str:
        for message in reversed(dicts(body.get("messages"))):
            if message.get("role") == "user":
                return spoken(message.get("content"))
        return ""

    def tools(self, body: Json) -> list[str] | None:
        names = [_tool_name(tool) for tool in dicts(body.get("tools"))]
        names += [text_at(function, "name") for function in dicts(body.get("functions"))]
        return sorted({name for name in names if name})

    def is_marked(self, body: Json) -> bool:
        return any(one.get("role") in _HOST and marked(one.get("content")) for one in dicts(body.get("messages")))

    def with_head(self, body: Json, text: str) -> Json:
        messages = body.get("messages")
        if not isinstance(messages, list):
            return body
        roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
        place = next((at for at, role in enumerate(roles) if role not in _HOST), len(roles)) - 1
        if place < 0:
            return {**body, "messages": [{"role": "system", "content": text}, *messages]}
        return self.with_text(body, place, text)

    def with_text(self, body: Json, place: int, text: str) -> Json:
        messages = body.get("messages")
        changed = with_text_in(messages, place, text)
        return body if changed is messages else {**body, "messages": changed}

    def answer(self, response: Json, body: Json) -> ModelAnswer:
        id, error = text_at(response, "id"), error_of(response)
        if error is not None:
            return ModelAnswer("failed", error, id=id)
        choices = sorted(dicts(response.get("choices")), key=_place)
        if not choices or not isinstance(choices[0].get("message"), dict):
            return ModelAnswer("unknown", "the response holds no message", id=id)
        first, *others = [_choice(choice) for choice in choices if isinstance(choice.get("message"), dict)]
        calls = tuple(call for piece in (first, *others) for call in piece.call_ids)
        said = [_says(piece.blob) for piece in (first, *others)]
        status, reason = _status(first.blob, choices[0].get("finish_reason"))
        if first.item.kind == "call" and status == "success":
            status = "success" if _forced(body) else "calls"
        ran, fates = run_by_litellm(choices[0]["message"])
        return ModelAnswer(
            status,
            reason,
            (*ran, first) if said[0] else ran,
            calls,
            id,
            tuple(piece for piece, says in zip(others, said[1:], strict=True) if says),
            fates,
        )

    def calls(self, piece: Piece) -> list[WireCall]:
        found = []
        for call in _calls(piece.blob):
            function, custom = call.get("function"), call.get("custom")
            arguments = text_at(function, "arguments") if isinstance(function, dict) else text_at(custom, "input")
            found.append(WireCall(text_at(call, "id"), _tool_name(call), arguments))
        return found

    def result(self, piece: Piece) -> tuple[str, bool]:
        return words(piece.blob.get("content")), False

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
    calls = _calls(message)
    if calls:
        names = sorted(text_at(call, "id") or _tool_name(call) for call in calls)
        ids = tuple(id for call in calls if (id := text_at(call, "id")))
        return Piece(item("call", *names), message, ids)
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        name = text_at(legacy, "name")
        return Piece(item("call", name, text_at(legacy, "arguments")), message, (name,))
    return Piece(item("model", words(message.get("content")) or words(text_at(message, "refusal"))), message)


def _place(choice: Json) -> int:
    at = choice.get("index")
    return at if isinstance(at, int) else 0


def _choice(choice: Json) -> Piece:
    return _piece({**choice["message"], "role": "assistant"})


def _calls(message: Json) -> list[Json]:
    """The calls of a message. What has no name is none: some providers send empty stubs."""
    return [call for call in dicts(message.get("tool_calls")) if _tool_name(call)]


def _tool_name(tool: Json) -> str:
    for kind in ("function", "custom"):
        name = text_at(tool.get(kind), "name")
        if name:
            return name
    return ""


def _says(message: Json) -> bool:
    return bool(_calls(message)) or any(message.get(name) for name in _SAID)


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
    notes = message.get("provider_specific_fields")
    if isinstance(notes, dict):
        notes = {name: value for name, value in notes.items() if value and name not in _OF_LITELLM}
        message = {**message, "provider_specific_fields": notes}
    kept = {name: value for name, value in message.items() if value not in (None, [], {}) and name != "parsed"}
    if "tool_calls" in kept:
        kept["tool_calls"] = _calls(kept)
        if not kept["tool_calls"]:
            del kept["tool_calls"]
    nothing_said = not kept.get("content") and ("tool_calls" in kept or "function_call" in kept)
    return {**kept, "content": None} if nothing_said or "content" not in kept else kept


class _ChatAssembler:
    """Choices are told apart by their index, and the calls in them by what their pieces say (see `_StreamedChoice`)."""

    def __init__(self) -> None:
        self.finished = False
        self._id = ""
        self._choices: dict[int, _StreamedChoice] = {}
        self._error: Any = None

    def feed(self, event: Json) -> None:
        self._id = self._id or text_at(event, "id")
        if event.get("error"):
            self._error, self.finished = event["error"], True
        for choice in dicts(event.get("choices")):
            at = choice.get("index")
            known = self._choices.setdefault(at if isinstance(at, int) else 0, _StreamedChoice())
            if choice.get("finish_reason"):
                known.finish = choice["finish_reason"]
                self.finished = all(one.finish for one in self._choices.values())
            delta = choice.get("delta")
            if isinstance(delta, dict):
                known.feed(delta)

    @property
    def response(self) -> Json:
        choices = [
            {"index": at, "message": choice.message, "finish_reason": choice.finish}
            for at, choice in sorted(self._choices.items())
        ]
        response: Json = {"id": self._id, "choices": choices or [{"index": 0, "message": {"role": "assistant"}}]}
        if self._error is not None:
            response["error"] = self._error
        return response


class _StreamedCall:
    """A call whose pieces come one after the other."""

    def __init__(self, kind: str) -> None:
        self.id = self.name = ""
        self.kind = kind
        self.given: list[str] = []
        #: What else stands in its pieces, and in what they say of the function.
        self.rest: Json = {}
        self.inner: Json = {}

    def named(self, name: str, given: str) -> None:
        """Names come in pieces, or again and again with each piece of the arguments."""
        if name and not (name == self.name and (given or any(self.given))):
            self.name += name

    @property
    def complete(self) -> bool:
        """Whether its arguments are a whole object."""
        text = "".join(self.given).strip()
        if not text.endswith("}"):
            return False
        try:
            return isinstance(json.loads(text), dict)
        except (ValueError, RecursionError):
            return False


class _StreamedChoice:
    """One choice of an answer.

    A piece of a call belongs to the call with its id; without one, to the newest call at its index; without either, to
    the newest. Providers number parallel calls 0 each time, or not at all: another id, or a name behind arguments that
    are complete, begins another call. What never gets a name is no call.
    """

    def __init__(self) -> None:
        self.finish: Any = None
        self._texts: dict[str, list[str]] = {}
        self._calls: list[_StreamedCall] = []
        self._at: dict[int | None, _StreamedCall] = {}
        self._legacy = _StreamedCall("function")
        #: What else the pieces hold, under whatever names.
        self._rest: Json = {}

    def feed(self, delta: Json) -> None:
        for name in _TEXTS:
            text = delta.get(name)
            if isinstance(text, str) and text:
                self._texts.setdefault(name, []).append(text)
        for part in dicts(delta.get("tool_calls")):
            self._call(part)
        legacy = delta.get("function_call")
        if isinstance(legacy, dict):
            _fill(self._legacy, legacy, "arguments")
        known = (*_TEXTS, "role", "tool_calls", "function_call")
        merge(self._rest, {name: value for name, value in delta.items() if name not in known})

    def _call(self, part: Json) -> None:
        kind = "custom" if isinstance(part.get("custom"), dict) else "function"
        inner, id, index = part.get(kind), text_at(part, "id"), part.get("index")
        at = index if isinstance(index, int) else None
        call = self._going_on(at, id, text_at(inner, "name"))
        if call is None:
            call = _StreamedCall(kind)
            self._calls.append(call)
        self._at[at] = self._at[None] = call
        call.id = call.id or id
        known = ("id", "index", "type", "function", "custom")
        merge(call.rest, {name: value for name, value in part.items() if name not in known})
        if isinstance(inner, dict):
            call.kind = kind
            merge(
                call.inner, {name: value for name, value in inner.items() if name not in ("name", "arguments", "input")}
            )
            _fill(call, inner, "input" if kind == "custom" else "arguments")

    def _going_on(self, at: int | None, id: str, name: str) -> _StreamedCall | None:
        newest = self._at.get(at)
        if id:
            same = next((call for call in self._calls if call.id == id), None)
            if same is not None or newest is None or newest.id:
                return same
        if newest is not None and name and newest.name and newest.complete:
            return None
        return newest

    @property
    def message(self) -> Json:
        message: Json = {"role": "assistant", "content": None}
        message |= {name: "".join(texts) for name, texts in self._texts.items()}
        calls = []
        for call in self._calls:
            given = {"name": call.name, "input" if call.kind == "custom" else "arguments": "".join(call.given)}
            if call.name:
                calls.append({"id": call.id, "type": call.kind, call.kind: {**given, **call.inner}, **call.rest})
        if calls:
            message["tool_calls"] = calls
        message |= self._rest
        if self._legacy.name:
            message["function_call"] = {"name": self._legacy.name, "arguments": "".join(self._legacy.given)}
        return message


def _fill(call: _StreamedCall, inner: Json, field: str) -> None:
    given = inner.get(field)
    text = json.dumps(given) if isinstance(given, dict) else given if isinstance(given, str) else ""
    call.named(text_at(inner, "name"), text)
    call.given.append(text)
