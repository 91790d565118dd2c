"""The SDK's items as those of a history that is sent again: `Runner.run(agent, result.to_input_list() + [...])`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from ..shared.resent_history import Conversations, Item, Sent, item
from .convert import as_dict, field_of

V = TypeVar("V")


def by_host(one: Any) -> bool:
    """Whether it is a prompt of the host (system, developer): never recorded."""
    return field_of(one, "role") in ("system", "developer")


def by_model(one: Any) -> bool:
    """Whether a model made this item (and not the user, the host or a tool)."""
    role = field_of(one, "role")
    if role:
        return bool(role == "assistant")
    return not str(field_of(one, "type")).endswith("_output")


def as_item(one: Any) -> Item:
    """What the history knows this item by: turns, answers, calls and results; all else does not count."""
    kind = str(field_of(one, "type") or "message")
    call_id = field_of(one, "call_id")
    if kind == "message" and not by_host(one):
        return item("model" if by_model(one) else "user", _words(field_of(one, "content")))
    if kind == "function_call":
        return item("call", str(call_id), str(field_of(one, "name")))
    if kind.endswith("_output"):
        return item("result", str(call_id))
    return item("host")


def said(text: str) -> Item:
    """What the history knows words of the model by."""
    return item("model", text)


def goes_on(turn_input: Sequence[Any], items: Sequence[Any]) -> bool:
    """Whether `items` are what a run was given and, behind it, what that run has made already."""
    made = items[len(turn_input) :]
    return bool(made) and list(items[: len(turn_input)]) == list(turn_input) and not any(map(_by_user, made))


def _by_user(one: Any) -> bool:
    return field_of(one, "role") not in (None, "assistant")


def _words(content: Any) -> str:
    if not isinstance(content, list):
        return str(content)
    words = []
    for part in content:
        text = field_of(part, "text") or field_of(part, "refusal")
        words.append(text if text is not None else json.dumps(as_dict(part), sort_keys=True, default=str))
    return "\n".join(words)


def continued(
    conversations: Conversations, scope: str, session_key: str | None, items: Sequence[Any]
) -> tuple[Sent, list[Any]]:
    """What is known of the conversation that `items` continue, and which of them are new.

    What stands behind the last answer is new in any case: a run that failed is a turn, and so is the next one.
    """
    sent = conversations.sent(scope, session_key, [as_item(one) for one in items])
    behind = next((place for place in range(len(items), 0, -1) if by_model(items[place - 1])), 0)
    new = {*sent.new, *range(max(behind, sent.heard), len(items))}
    return sent, [one for place, one in enumerate(items) if place in new and not by_host(one)]


def with_text(one: Any, text: str) -> Any:
    """A message with `text` at its end; what is no message of words or parts as it is."""
    content = field_of(one, "content")
    if isinstance(content, str):
        changed: Any = f"{content}\n\n{text}" if content else text
    elif isinstance(content, list):
        changed = [*content, {"type": "input_text", "text": text}]
    else:
        return one
    return {**as_dict(one), "content": changed}
