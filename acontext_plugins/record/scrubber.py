"""Scrubbing: what is noted beside messages and files is freed of secrets, as messages are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from acontext_store.types import CallFate, Json, Message, Outcome, Part


class Scrubber(Protocol):
    """Takes secrets out of messages. May be called from any thread."""

    def redact(
        self, session_id: str, messages: Sequence[Message], outcomes: Sequence[Outcome]
    ) -> tuple[Sequence[Message], Sequence[Outcome], int]: ...

    def redact_text(self, session_id: str, text: str) -> str:
        """One text without its secrets."""


def without_secrets(scrubber: Scrubber, key: str, meta: Json) -> Json:
    """The meta of something, its secrets masked; `key` = of which session or disk it is."""
    (message,), _, _ = scrubber.redact(key, [Message(role="system", parts=(), meta=meta)], ())
    return message.meta


def fates_without_secrets(scrubber: Scrubber, key: str, fates: Sequence[CallFate]) -> list[CallFate]:
    """The fates, the secrets in their arguments and reasons masked; `key` = of which session they are."""
    return [_clean_fate(scrubber, key, fate) if fate.arguments or fate.reason else fate for fate in fates]


def _clean_fate(scrubber: Scrubber, key: str, fate: CallFate) -> CallFate:
    meta = {"id": fate.call_id, "name": fate.name or "", "arguments": json.dumps(fate.arguments, default=str)}
    parts = (Part(type="tool-call", meta=meta), Part(type="text", text=fate.reason))
    (message,), _, masked = scrubber.redact(key, [Message(role="assistant", parts=parts)], ())
    if not masked:
        return fate
    call, reason = message.parts
    return fate.model_copy(
        update={"arguments": json.loads((call.meta or meta)["arguments"]), "reason": reason.text or ""}
    )
