"""Server-sent events, as far as answers of models go: their data, as JSON."""

from __future__ import annotations

import json

from acontext_store.types import Json


class Events:
    """Takes bytes as they come, in pieces of any size; gives the objects that have become complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        #: The stream has said `[DONE]`.
        self.done = False

    def feed(self, chunk: bytes) -> list[Json]:
        events: list[Json] = []
        buffer = self._rest + chunk
        lines = buffer.splitlines(keepends=True)
        # a line that is not ended, or may be ended by one more byte
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            text = line.rstrip(b"\r\n")
            if text.startswith(b"data:"):
                self._data.append(text[5:].removeprefix(b" "))
            elif not text and self._data:
                self._close(events)
        return events

    def end(self) -> list[Json]:
        """What the end of the stream completes."""
        events = self.feed(b"\n\n")
        if self._data:
            self._close(events)
        return events

    def _close(self, events: list[Json]) -> None:
        data, self._data = b"\n".join(self._data), []
        if data.startswith(b"[DONE]"):
            self.done = True
            return
        try:
            event = json.loads(data)
        except ValueError:
            return
        if isinstance(event, dict):
            events.append(event)
