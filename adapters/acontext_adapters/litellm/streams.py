"""What LiteLLM streams, as events that a wire's assembler takes. A chunk costs microseconds; nothing is kept of it."""

from __future__ import annotations

from typing import Any

from acontext_plugins.runs import reason_of
from acontext_store.types import Json

from ..model_calls import ANTHROPIC, CHAT, RESPONSES, Assembler, Events, RecordedCall, WireFormat

#: Events of a streamed response that the assembler looks at; the rest are pieces of what comes whole.
_WHOLE = (
    "response.created",
    "response.completed",
    "response.incomplete",
    "response.failed",
    "response.cancelled",
    "response.output_item.done",
    "error",
)


class StreamRecorder:
    """An answer that is being streamed: put together from chunks, and said to its call when it ends."""

    def __init__(self, call: RecordedCall) -> None:
        self.call = call
        #: The task that is reading it now.
        self.reader: object = None
        self._wire = call.wire
        self._assembler: Assembler = call.wire.assembler()
        self._bytes = Events()
        self._begun = False

    def feed(self, chunk: object) -> None:
        with self.call.runtime.guard("chunk"):
            for event in _events(self._wire, self._bytes, chunk):
                for one in self._mended(event):
                    self._assembler.feed(one)

    def _mended(self, event: Json) -> list[Json]:
        """What some versions get wrong of `/v1/messages`: a beginning that comes twice."""
        if event.get("type") == "message_start":
            if self._begun:
                return []
            self._begun = True
        return [event]

    def broke(self, error: BaseException) -> None:
        """Reading it has raised."""
        if isinstance(error, Exception):
            self.call.failed(reason_of(error))
        else:
            self.call.cancelled()

    def ended(self) -> None:
        """There are no more chunks. A stream that stops before its answer is complete has failed."""
        with self.call.runtime.guard("stream"):
            for event in self._bytes.end():
                self._assembler.feed(event)
            response = self._assembler.response
            error = response.get("error")
            if isinstance(error, dict) and self._wire is not RESPONSES:
                self.call.failed(f"{error.get('type') or error.get('code') or 'error'}: {error.get('message', '')}")
            elif not self._assembler.finished:
                self.call.failed("the stream ended before the answer was complete")
            elif not self._says_anything(response):
                self.call.failed("the stream ended without an answer")  # an end that LiteLLM has made up
            else:
                self.call.answered(response)

    def _says_anything(self, response: Json) -> bool:
        answer = self._wire.answer(response, self.call.body)
        return bool(answer.pieces) or answer.status != "success"


def wire_of(call_type: object) -> WireFormat | None:
    """The wire of a kind of call; None for kinds that are no conversation."""
    return _WIRES.get(str(getattr(call_type, "value", call_type)))


_WIRES = {
    "completion": CHAT,
    "acompletion": CHAT,
    "responses": RESPONSES,
    "aresponses": RESPONSES,
    "anthropic_messages": ANTHROPIC,
    # a router's
    "schedule_acompletion": CHAT,
    "abatch_completion_fastest_response": CHAT,
    "aanthropic_messages": ANTHROPIC,
}


def as_json(response: object) -> Json | None:
    """A whole answer as a dict; None where it is none."""
    if isinstance(response, dict):
        return response
    dump = getattr(response, "model_dump", None)
    made = dump(mode="json", warnings=False) if callable(dump) else None
    return made if isinstance(made, dict) else None


def _events(wire: WireFormat, pending: Events, chunk: object) -> list[Json]:
    if isinstance(chunk, bytes | str):
        return pending.feed(chunk.encode() if isinstance(chunk, str) else chunk)
    if wire is RESPONSES:
        kind = chunk.get("type") if isinstance(chunk, dict) else getattr(chunk, "type", None)
        if str(getattr(kind, "value", kind)) not in _WHOLE:
            return []
        event = as_json(chunk)
        return [event] if event is not None else []
    if isinstance(chunk, dict):
        return [chunk]
    return [_chat_event(chunk)] if wire is CHAT else []


def _chat_event(chunk: Any) -> Json:
    choices = []
    for choice in getattr(chunk, "choices", None) or ():
        delta = getattr(choice, "delta", None)
        said = {name: _plain(value) for name, value in _fields(delta) if value}
        choices.append({"index": choice.index, "delta": said, "finish_reason": choice.finish_reason})
    return {"id": getattr(chunk, "id", ""), "choices": choices}


def _fields(delta: Any) -> list[tuple[str, Any]]:
    """All that a delta holds, also what its class does not know."""
    if isinstance(delta, dict):
        return list(delta.items())
    return [*getattr(delta, "__dict__", {}).items(), *(getattr(delta, "model_extra", None) or {}).items()]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value if isinstance(value, str) else as_json(value) or value
