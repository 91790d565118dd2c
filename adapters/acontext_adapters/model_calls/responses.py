"""The Responses API."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from acontext_plugins.formats import from_response_output, from_responses
from acontext_store.types import CallFate, Json, Message

from ..shared.left_out import left_out
from ..shared.resent_history import item
from .executed_calls import run_by_provider
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

_HOST = ("system", "developer")
_CALLS = frozenset(
    "function_call custom_tool_call computer_call local_shell_call shell_call apply_patch_call "
    "mcp_approval_request".split()
)
#: What a model keeps for itself beside its words and calls.
_SILENT = frozenset({"reasoning", "compaction"})
_FINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class Responses(WireFormat):
    """`/responses`. With `previous_response_id` or `conversation` a request carries only what is new."""

    name = "responses"

    def pieces(self, body: Json) -> list[Piece]:
        given = body.get("input")
        if isinstance(given, str):
            given = [{"role": "user", "content": given}]
        return [dataclasses.replace(_piece(one), place=at) for at, one in objects(given)]

    def query(self, body: Json) -> str:
        given = body.get("input")
        if isinstance(given, str):
            return spoken(given)
        for one in reversed(dicts(given)):
            if one.get("role") == "user":
                return spoken(one.get("content"))
        return ""

    def tools(self, body: Json) -> list[str] | None:
        if body.get("prompt"):
            return None
        names: set[str] = set()
        rest = dicts(body.get("tools"))
        while rest:
            tool = rest.pop()
            kind = text_at(tool, "type")
            if kind in ("mcp", "tool_search"):
                return None
            if kind == "namespace":
                rest += dicts(tool.get("tools"))
            else:
                names.add(text_at(tool, "name") or kind.partition("_preview")[0])
        return sorted(names - {""})

    def is_marked(self, body: Json) -> bool:
        return marked(body.get("instructions"))

    def with_head(self, body: Json, text: str) -> Json:
        instructions = body.get("instructions")
        if instructions is not None and not isinstance(instructions, str):
            return body
        return {**body, "instructions": appended(instructions, text)}

    def with_text(self, body: Json, place: int, text: str) -> Json:
        given = body.get("input")
        if isinstance(given, str):
            return body if marked(given) else {**body, "input": appended(given, text)}
        changed = with_text_in(given, place, text, "input_text")
        return body if changed is given else {**body, "input": changed}

    def answer(self, response: Json, body: Json) -> ModelAnswer:
        made = self._answer(response, body)
        fates = tuple(fate for piece in made.pieces if (fate := run_by_provider(piece.blob)) is not None)
        return dataclasses.replace(made, fates=fates)

    def _answer(self, response: Json, body: Json) -> ModelAnswer:
        id, status = text_at(response, "id"), response.get("status")
        pieces = tuple(_piece(one) for one in dicts(response.get("output")))
        if status in ("queued", "in_progress"):
            return ModelAnswer("open", id=id)
        if status == "cancelled":
            return ModelAnswer("cancelled", pieces=pieces, id=id)
        if status == "failed":
            return ModelAnswer("failed", error_of(response) or "error", pieces, id=id)
        if status == "incomplete":
            why = text_at(response.get("incomplete_details"), "reason")
            if why == "content_filter":
                return ModelAnswer("failed", "content_filter: the provider's filter stopped the answer", pieces, id=id)
            return ModelAnswer("unknown", f"the answer was cut off: {why}", pieces, id=id)
        calls = tuple(id for piece in pieces if piece.item.kind == "call" for id in piece.call_ids)
        if calls:
            return ModelAnswer("success" if _forced(body) else "calls", pieces=pieces, call_ids=calls, id=id)
        refusals = [text_at(part, "refusal") for piece in pieces for part in dicts(piece.blob.get("content"))]
        refusal = "".join(refusals)
        if refusal:
            return ModelAnswer("failed", f"refusal: {refusal}", pieces, id=id)
        return ModelAnswer("success", pieces=pieces, id=id)

    def calls(self, piece: Piece) -> list[WireCall]:
        one, kind = piece.blob, piece.blob.get("type")
        if kind not in ("function_call", "custom_tool_call"):
            return []
        arguments = text_at(one, "arguments" if kind == "function_call" else "input")
        return [WireCall(piece.call_ids[0] if piece.call_ids else "", text_at(one, "name"), arguments)]

    def result(self, piece: Piece) -> tuple[str, bool]:
        output = piece.blob.get("output")
        return words(output), piece.blob.get("status") in ("failed", "incomplete")

    def told(self, piece: Piece) -> list[CallFate]:
        answers = piece.blob.get("type") == "mcp_approval_response"
        fate = run_by_provider(piece.blob) if answers else None
        return [fate] if fate is not None else []

    def messages(self, blobs: Sequence[Json]) -> list[list[Message]]:
        made: list[list[Message]] = [[] for _ in blobs]
        group: list[int] = []

        def close() -> None:
            if not group:
                return
            try:
                made[group[0]] = from_response_output([blobs[place] for place in group])
            except Exception as error:
                left_out(error)
            group.clear()

        for place, blob in enumerate(blobs):
            if _piece(blob).item.kind in ("model", "call") or blob.get("type") == "reasoning":
                group.append(place)
                continue
            close()
            try:
                made[place] = [without_injected(from_responses(blob))]
            except Exception as error:
                left_out(error)
        close()
        return made

    def assembler(self) -> Assembler:
        return _ResponsesAssembler()

    def after(self, body: Json) -> str | None:
        previous = text_at(body, "previous_response_id")
        if previous:
            return previous
        return "" if body.get("conversation") else None

    def session_key(self, body: Json) -> str | None:
        conversation = body.get("conversation")
        id = conversation if isinstance(conversation, str) else text_at(conversation, "id")
        return id or super().session_key(body)


def _piece(one: Json) -> Piece:
    kind, role = text_at(one, "type"), one.get("role")
    if kind in ("", "message"):
        if role in _HOST:
            return Piece(item("host"), one)
        return Piece(said("model" if role == "assistant" else "user", one.get("content")), one)
    id = text_at(one, "call_id") or text_at(one, "id")
    if kind in _CALLS:
        return Piece(item("call", id or text_at(one, "name")), one, (id,) if id else ())
    if kind.endswith("_output"):
        return Piece(item("result", id), one, (id,) if id else ())
    if kind == "mcp_approval_response":
        id = text_at(one, "approval_request_id")
        return Piece(item("result", id), one, (id,) if id else ())
    if kind in _SILENT:
        return Piece(item("host"), one, silent=True)
    if kind == "item_reference":  # it only points at what the provider has
        return Piece(item("host"), one)
    return Piece(item("model", kind, id or words([one])), one)


def _forced(body: Json) -> bool:
    """The host has named the tool to be called: the call is the answer, as a rule."""
    choice = body.get("tool_choice")
    return isinstance(choice, dict) and choice.get("type") in ("function", "custom")


class _ResponsesAssembler:
    def __init__(self) -> None:
        self.finished = False
        self._response: Json = {}
        self._output: dict[int, Json] = {}

    def feed(self, event: Json) -> None:
        kind, response = event.get("type"), event.get("response")
        if isinstance(response, dict):
            self._response = response
        if kind in _FINAL:
            self.finished = True
        elif kind == "response.output_item.done" and isinstance(event.get("item"), dict):
            self._output[int(event.get("output_index") or 0)] = event["item"]
        elif kind == "error":
            error = event.get("error") if isinstance(event.get("error"), dict) else event
            self._response = {**self._response, "status": "failed", "error": error}
            self.finished = True

    @property
    def response(self) -> Json:
        if self._response.get("output") or not self._output:
            return self._response
        return {**self._response, "output": [one for _, one in sorted(self._output.items())]}
