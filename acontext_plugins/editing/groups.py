"""Groups: what of a conversation must stay or go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acontext_store.types import Message

from .tokens import Counter, message_tokens


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that belong together: calls with all their results, and whatever stands between them."""

    first: int
    #: One behind its last message.
    end: int
    tokens: int

    @property
    def places(self) -> range:
        return range(self.first, self.end)


def groups_of(messages: Sequence[Message], count: Counter | None = None) -> list[Group]:
    """The conversation cut wherever no result is still awaited. One pass over the messages.

    A result belongs to the newest call of its id before it: some providers number their calls anew in every answer.
    """
    reach: dict[str, int] = {}
    until: list[int] = list(range(len(messages)))
    for place, message in enumerate(messages):
        for part in message.parts:
            meta = part.meta or {}
            if part.type == "tool-call" and meta.get("id"):
                reach[str(meta["id"])] = place
            elif part.type == "tool-result" and str(meta.get("tool_call_id")) in reach:
                until[reach[str(meta["tool_call_id"])]] = place
    groups: list[Group] = []
    first = end = tokens = 0
    for place, message in enumerate(messages):
        end = max(end, until[place])
        tokens += message_tokens(message, count)
        if place == end:
            groups.append(Group(first, place + 1, tokens))
            first = end = place + 1
            tokens = 0
    return groups


def is_request(message: Message) -> bool:
    """Whether a user asks something here (and does not only hand over results)."""
    return message.role == "user" and any(part.type != "tool-result" for part in message.parts)
