"""Scrubbing: what is noted beside messages and files is freed of secrets, as messages are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from acontext_store.types import Json, Message, Outcome


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
