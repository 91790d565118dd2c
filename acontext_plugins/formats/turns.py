"""Turns: providers that want the results of parallel calls in one message."""

from __future__ import annotations

from collections.abc import Iterable

from acontext_store.types import Json, Message

#: The id of a message, and the item that says it. Where several messages became one item, the id of the first.
Named = tuple[str, Json]


def results_together(said: Iterable[tuple[Message, Json]], format: str, field: str) -> list[Named]:
    """Results that follow each other, in one item; what came in this format as it is stays as it was."""
    items: list[Named] = []
    open_results = False
    for message, item in said:
        whole = message.native is not None and message.format == format
        if message.role == "tool" and open_results and not whole:
            id, before = items[-1]
            items[-1] = id, {**before, field: [*before[field], *item[field]]}
        else:
            items.append((message.id, item))
            open_results = message.role == "tool" and isinstance(item.get(field), list)
        open_results = open_results and message.role == "tool"
    return items
