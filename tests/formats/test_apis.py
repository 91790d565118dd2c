"""No API is given a conversation that it refuses, whatever was recorded, in whichever format."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acontext_plugins.formats import from_messages, named_items, to_message
from acontext_store.types import Message, Part

from .apis import APIS, refused
from .histories import ITEMS, PARTS, shown

_CALM = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def _read(format: str, item: dict[str, Any]) -> Message:
    return to_message(item, format)


MESSAGES: st.SearchStrategy[Message] = st.one_of(
    PARTS, *(items.map(lambda item, format=format: _read(format, item)) for format, items in ITEMS.items())
)


def _taken(messages: list[Message], target: str) -> None:
    lost: list[str] = []
    said = [item for _, item in named_items(messages, target, lost=lost)]
    assert refused(target, said) == [], shown(said)


#: Not to itself: there a history is given back as it came.
PAIRS = [(source, target) for source in (*ITEMS, "parts") for target in APIS if source != target]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_history_of_one_format_is_taken_by_every_other(source: str, target: str) -> None:
    items = PARTS if source == "parts" else ITEMS[source].map(lambda item: _read(source, item))

    @_CALM
    @given(st.lists(items, max_size=7))
    def taken(messages: list[Message]) -> None:
        _taken(messages, target)

    taken()


def _fits(message: Message, target: str) -> bool:
    """What came in the target's own format is given back as it came: it must be right by itself."""
    if message.format != target or message.tool_results:
        return True
    answers = [
        Message(
            role="tool",
            parts=(Part(type="tool-result", text="ok", meta={"tool_call_id": (part.meta or {}).get("id")}),),
            format="acontext",
        )
        for part in message.tool_calls
    ]
    return not refused(target, from_messages([message, *answers], target))


@pytest.mark.parametrize("target", APIS)
def test_a_history_of_several_formats_is_taken_by_each(target: str) -> None:
    mixed = st.lists(MESSAGES.filter(lambda one: _fits(one, target)), max_size=7)

    @_CALM
    @given(mixed.filter(lambda some: any(one.format != target for one in some)))
    def taken(messages: list[Message]) -> None:
        _taken(messages, target)

    taken()
