"""Messages of Anthropic."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from acontext_plugins.formats import from_anthropic
from acontext_store.types import Json, Message

from ..shared.left_out import left_out
from ..shared.resent_history import item
from .deltas import merge
from .executed_calls import run_in_blocks
from .format import (
    Assembler,
    ModelAnswer,
    Piece,
    WireCall,
    WireFormat,
    appended,
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


class Anthropic(WireFormat):
    """`/v1/messages`. Results stand in turns of the user there; here they are items of their own."""

    name = "anthropic"

    def pieces(self, body: Json) -> list[Piece]:
        made = [(at, piece) for at, message in objects(body.get("messages")) for piece in _pieces(message)]
        return [dataclasses.replace(piece, place=at) for at, piece in made]

    def query(self, body: Json) -> str:
        messages = dicts(body.get("messages"))
        place = _newest_turn(messages)
        return spoken(_said(messages[place].get("content"))) if place >= 0 else ""

    def tools(self, body: Json) -> list[str] | None:
        if body.get("mcp_servers"):
            return None
        return sorted({name for tool in dicts(body.get("tools")) if (name := text_at(tool, "name"))})

    def is_marked(self, body: Json) -> bool:
        return marked(body.get("system"))

    def with_head(self, body: Json, text: str) -> Json:
        return {**body, "system": appended(body.get("system"), text)}

    def with_text(self, body: Json, place: int, text: str) -> Json:
        messages = body.get("messages")
        changed = with_text_in(messages, place, text)
        return body if changed is messages else {**body, "messages": changed}

    def answer(self, response: Json, body: Json) -> ModelAnswer:
        made = self._answer(response, body)
        return dataclasses.replace(made, fates=tuple(run_in_blocks(dicts(response.get("content")))))

    def calls(self, piece: Piece) -> list[WireCall]:
        blocks = [block for block in dicts(piece.blob.get("content")) if block.get("type") == "tool_use"]
        given = [block.get("input") for block in blocks]
        return [
            WireCall(text_at(block, "id"), text_at(block, "name"), arguments if isinstance(arguments, dict) else "")
            for block, arguments in zip(blocks, given, strict=True)
        ]

    def result(self, piece: Piece) -> tuple[str, bool]:
        block = next(iter(dicts(piece.blob.get("content"))), {})
        return words(block.get("content")), block.get("is_error") is True

    def _answer(self, response: Json, body: Json) -> ModelAnswer:
        id, stop = text_at(response, "id"), response.get("stop_reason")
        content, error = response.get("content"), error_of(response)
        if error is not None:
            return ModelAnswer("failed", error, id=id)
        pieces = tuple(_pieces({"role": "assistant", "content": content})) if content else ()
        calls = tuple(id for piece in pieces for id in piece.call_ids)
        if stop == "refusal":
            return ModelAnswer("failed", "refusal: the model refused", pieces, id=id)
        if stop in ("max_tokens", "model_context_window_exceeded"):
            return ModelAnswer("unknown", f"the answer was cut off: {stop}", pieces, id=id)
        if stop == "pause_turn":
            return ModelAnswer("calls", pieces=pieces, call_ids=calls, id=id)
        if calls:
            forced = text_at(body.get("tool_choice"), "type") == "tool"
            return ModelAnswer("success" if forced else "calls", pieces=pieces, call_ids=calls, id=id)
        if not pieces and stop is None:
            return ModelAnswer("unknown", "the response holds no message", id=id)
        return ModelAnswer("success", pieces=pieces, id=id)

    def messages(self, blobs: Sequence[Json]) -> list[list[Message]]:
        made: list[list[Message]] = []
        for blob in blobs:
            try:
                made.append([without_injected(from_anthropic(blob))])
            except Exception as error:
                left_out(error)
                made.append([])
        return made

    def assembler(self) -> Assembler:
        return _AnthropicAssembler()

    def session_key(self, body: Json) -> str | None:
        key = super().session_key(body)
        if key is None:
            user = text_at(body.get("metadata"), "user_id")
            _, mark, session = user.rpartition("_session_")  # what coding agents put there
            key = session if mark else None
        return key


def _pieces(message: Json) -> list[Piece]:
    role, content = message.get("role"), message.get("content")
    if role == "system":
        return [Piece(item("host"), message)]
    blocks = dicts(content)
    if role == "assistant":
        calls = [block for block in blocks if block.get("type") == "tool_use"]
        if calls:
            names = sorted(text_at(call, "id") or text_at(call, "name") for call in calls)
            return [Piece(item("call", *names), message, tuple(text_at(call, "id") for call in calls))]
        return [Piece(said("model", _said(content)), message)]
    pieces = []
    for block in blocks:
        if block.get("type") == "tool_result":
            id = text_at(block, "tool_use_id")
            pieces.append(Piece(item("result", id), {"role": "user", "content": [block]}, (id,)))
    rest = _said(content)
    if rest or not pieces:
        pieces.append(Piece(said("user", rest), {"role": "user", "content": rest}))
    return pieces


def _said(content: Any) -> Any:
    """A content without thoughts and results."""
    if not isinstance(content, list):
        return content
    silent = ("thinking", "redacted_thinking", "tool_result")
    return [block for block in content if not (isinstance(block, dict) and block.get("type") in silent)]


def _newest_turn(messages: Sequence[Any]) -> int:
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        if isinstance(message, dict) and message.get("role") == "user" and _said(message.get("content")):
            return place
    return -1


#: Texts that come in many pieces, as deltas and as blocks name them.
_TEXTS = {"text": "text", "partial_json": "input", "thinking": "thinking"}
#: The blocks that deltas go on, where a gateway leaves out how they begin.
_BEGINS = {"text_delta": {"type": "text"}, "thinking_delta": {"type": "thinking"}}


class _AnthropicAssembler:
    def __init__(self) -> None:
        self.finished = False
        self._message: Json = {}
        self._blocks: dict[int, tuple[Json, dict[str, list[str]]]] = {}
        self._error: Any = None

    def feed(self, event: Json) -> None:
        kind = event.get("type")
        if kind == "message_start" and isinstance(event.get("message"), dict):
            self._message = dict(event["message"])
        elif kind == "content_block_start" and isinstance(event.get("content_block"), dict):
            self._blocks[int(event.get("index") or 0)] = dict(event["content_block"]), {}
        elif kind == "content_block_delta":
            self._delta(int(event.get("index") or 0), event.get("delta"))
        elif kind == "message_delta" and isinstance(event.get("delta"), dict):
            self._message |= event["delta"]
        elif kind == "message_stop":
            self.finished = True
        elif kind == "error":
            self._error, self.finished = event.get("error") or {}, True

    def _delta(self, index: int, delta: Any) -> None:
        kind = text_at(delta, "type")
        if index not in self._blocks and kind in _BEGINS:
            self._blocks[index] = dict(_BEGINS[kind]), {}
        if index not in self._blocks or not isinstance(delta, dict):
            return
        block, texts = self._blocks[index]
        for name, field in _TEXTS.items():
            if text := text_at(delta, name):
                texts.setdefault(field, []).append(text)
        merge(block, {name: value for name, value in delta.items() if name != "type" and name not in _TEXTS})

    @property
    def response(self) -> Json:
        content = []
        for _, (block, texts) in sorted(self._blocks.items()):
            whole = dict(block)
            for field, pieces in texts.items():
                begun = whole.get(field)
                whole[field] = "".join((begun if isinstance(begun, str) else "", *pieces))
            if isinstance(whole.get("input"), str):
                try:
                    whole["input"] = json.loads(whole["input"])
                except ValueError:
                    whole["input"] = {"input": whole["input"]}
            content.append(whole)
        response = {**self._message, "content": content}
        if self._error is not None:
            response["error"] = self._error
        return response
