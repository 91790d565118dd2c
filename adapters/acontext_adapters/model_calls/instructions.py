"""The host's own instructions, put back where a provider repeats what it was sent.

`/responses` says the request's `instructions` again in each answer, and in the first and last events of a stream. What
was injected into them is none of the host's business, nor of its users'.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_FIELD = "instructions"


@dataclass(frozen=True, slots=True)
class SentInstructions:
    """What was sent as `instructions`, and what the host had there (None = nothing)."""

    sent: str
    own: str | None

    def put_back(self, said: Any) -> Any:
        """An answer or an event, a dict or an object, which is changed in place. Returns it."""
        inner = said.get("response") if isinstance(said, dict) else getattr(said, "response", None)
        for one in (said, inner):
            if isinstance(one, dict):
                if one.get(_FIELD) == self.sent:
                    one[_FIELD] = self.own
            elif one is not None and getattr(one, _FIELD, None) == self.sent:
                setattr(one, _FIELD, self.own)
        return said

    def in_json(self, content: bytes) -> bytes:
        """The same for JSON; what holds nothing of it comes back as it is."""
        if b'"instructions"' not in content:
            return content
        try:
            said = json.loads(content)
        except ValueError:
            return content
        if not isinstance(said, dict) or not self._stands_in(said):
            return content
        return json.dumps(self.put_back(said), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

    def _stands_in(self, said: dict[str, Any]) -> bool:
        inner = said.get("response")
        return any(isinstance(one, dict) and one.get(_FIELD) == self.sent for one in (said, inner))


class EventLines:
    """Server-sent events on their way to the host: whole lines, each as it came but for what is put back."""

    def __init__(self, put_back: Callable[[bytes], bytes]) -> None:
        self._put_back = put_back
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """The lines that are complete now."""
        lines = (self._rest + chunk).splitlines(keepends=True)
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        return b"".join(map(self._line, lines))

    def end(self) -> bytes:
        """What was not ended."""
        rest, self._rest = self._rest, b""
        return self._line(rest)

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(b"data:") or b'"instructions"' not in line:
            return line
        text = line[5:]
        body = text.strip()
        made = self._put_back(body)
        return line if made is body else b"data: " + made + text[len(text.rstrip()) :]
