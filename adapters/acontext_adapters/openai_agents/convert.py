"""The SDK's items as messages. Runs on the recorder's thread; looks only at what was copied for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acontext_adapters.shared.left_out import left_out
from acontext_plugins.formats import from_response_output, from_responses
from acontext_plugins.transcript.user_turns import strip_injected
from acontext_store.types import Json, Message, stable_id

_PLAIN = frozenset({str, int, float, bool, type(None)})


def as_dict(item: Any) -> Json:
    """An item of either kind (dict or pydantic object) as a dict; not copied where it is one."""
    if isinstance(item, dict):
        return item
    dump = getattr(item, "model_dump", None)
    if dump is None:
        return {"type": type(item).__name__, "content": str(item)}
    result: Json = dump(exclude_unset=True)
    return result


def field_of(item: Any, name: str) -> Any:
    """A field of an item of either kind; None where it has none."""
    if isinstance(item, dict):
        return item.get(name)
    fields = getattr(item, "__dict__", None)  # a field that pydantic does not find costs it an exception
    return fields.get(name) if fields is not None else getattr(item, name, None)


def words_of(content: Any) -> str:
    """The words of a message or a result, one line for each piece that has any."""
    if isinstance(content, str):
        return content
    pieces = content if isinstance(content, list | tuple) else ()
    return "\n".join(text for piece in pieces if isinstance(text := field_of(piece, "text"), str))


def frozen(items: Sequence[Any]) -> list[Any]:
    """Copies that the host cannot change behind our back, as deep as words go."""
    return [_copied(item) for item in items]


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        return {key: _copied(inner) for key, inner in value.items()}
    if kind is list:
        return [_copied(inner) for inner in value]
    if hasattr(value, "model_copy"):
        copied = value.model_copy()
        fields = vars(copied)
        for name, inner in fields.items():
            if type(inner) not in _PLAIN:
                fields[name] = _copied(inner)
        return copied
    return value


def rough_size(item: Any) -> int:
    """About how many bytes an item takes: for the bound on memory, so cheap before exact."""
    total, rest = 256, [item]
    while rest and total < 1_000_000:
        value = rest.pop()
        kind = type(value)
        if kind is str:
            total += len(value)
        elif kind in _PLAIN:
            continue
        elif kind is dict:
            rest.extend(value.values())
        elif kind is list:
            rest.extend(value)
        elif hasattr(value, "model_copy"):
            rest.extend(vars(value).values())
    return total


def output_messages(items: Sequence[Any], *ids: str) -> list[Message]:
    """What a model said, with ids that belong to `ids` and the place in it."""
    try:
        messages = from_response_output([as_dict(item) for item in items])
    except Exception:
        messages = [message for item in items for message in _tried(item)]
    return _named(messages, *ids)


def input_messages(items: Sequence[Any], *ids: str) -> list[Message]:
    """What a model was given: turns of the user, results of tools. Our own injected text is taken out."""
    return _named([_without_injected(message) for item in items for message in _tried(item)], *ids)


def result_message(item: Json, id: str, *, name: str | None, error: bool) -> Message:
    """The result of a tool call."""
    message = from_responses(item)
    parts = []
    for part in message.parts:
        if part.type == "tool-result":
            meta = dict(part.meta or {})
            if name:
                meta.setdefault("name", name)
            if error:
                meta["is_error"] = True
            part = part.model_copy(update={"meta": meta})
        parts.append(part)
    return message.model_copy(update={"id": id, "parts": tuple(parts)})


def _tried(item: Any) -> list[Message]:
    try:
        return [from_responses(as_dict(item))]
    except Exception as error:
        left_out(error)
        return []


def _named(messages: Sequence[Message], *ids: str) -> list[Message]:
    return [message.model_copy(update={"id": stable_id(*ids, str(number))}) for number, message in enumerate(messages)]


def _without_injected(message: Message) -> Message:
    if not any(part.text and "acontext-skills" in part.text for part in message.parts):
        return message
    parts = tuple(
        part.model_copy(update={"text": strip_injected(part.text)}) if part.text else part for part in message.parts
    )
    return message.model_copy(update={"parts": parts, "native": None})
