"""The SDK's items as messages. Runs on the recorder's thread; looks only at what was copied for it."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from acontext_plugins.engine.rules.markers import strip_injected
from acontext_store.types import Json, Message, Part, Role, stable_id

log = logging.getLogger("acontext")


def as_dict(item: Any) -> Json:
    """An item of either kind (dict or pydantic object) as a dict; not copied where it is one."""
    if isinstance(item, dict):
        return item
    dump = getattr(item, "model_dump", None)
    if dump is None:
        return {"type": type(item).__name__, "content": str(item)}
    result: Json = dump(exclude_unset=True)
    return result


def frozen(items: Sequence[Any]) -> list[Any]:
    """Copies that the host cannot change behind our back."""
    return [item.model_copy(deep=True) if hasattr(item, "model_copy") else copy.deepcopy(item) for item in items]


def rough_size(item: Any) -> int:
    """About how many bytes an item takes: for the bound on memory, so cheap before exact."""
    total, rest, steps = 256, [item], 0
    while rest and steps < 64:
        steps += 1
        value = rest.pop()
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, dict):
            rest.extend(value.values())
        elif isinstance(value, list | tuple):
            rest.extend(value)
        elif hasattr(value, "__dict__"):
            rest.extend(vars(value).values())
    return total


def output_messages(items: Sequence[Any], *ids: str) -> list[Message]:
    """What a model said, with ids that belong to `ids` and the place in it."""
    return _named(_from_response_output([as_dict(item) for item in items]), *ids)


def input_messages(items: Sequence[Any], *ids: str) -> list[Message]:
    """What a model was given: turns of the user, results of tools. Our own injected text is taken out."""
    messages = []
    for item in items:
        try:
            messages.append(_without_injected(_from_item(as_dict(item))))
        except Exception:
            log.warning("acontext: an input item could not be converted and was left out", exc_info=True)
    return _named(messages, *ids)


def result_message(item: Json, id: str, *, name: str | None, error: bool) -> Message:
    """The result of a tool call."""
    message = _from_item(item)
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


def _named(messages: Sequence[Message], *ids: str) -> list[Message]:
    return [message.model_copy(update={"id": stable_id(*ids, str(number))}) for number, message in enumerate(messages)]


def _without_injected(message: Message) -> Message:
    if not any(part.text and "acontext-skills" in part.text for part in message.parts):
        return message
    parts = tuple(
        part.model_copy(update={"text": strip_injected(part.text)}) if part.text else part for part in message.parts
    )
    return message.model_copy(update={"parts": parts, "native": None})


# -- until `acontext_plugins.formats.openai_responses` is there
def _formats(name: str) -> Callable[..., Any] | None:
    try:
        from acontext_plugins.formats import openai_responses  # type: ignore[attr-defined,unused-ignore]
    except ImportError:
        return None
    found: Callable[..., Any] | None = getattr(openai_responses, name, None)
    return found


def _from_response_output(items: Sequence[Json]) -> list[Message]:
    convert = _formats("from_response_output")
    if convert is not None:
        return list(convert(items))
    return [_from_item(item) for item in items]


def _from_item(item: Json) -> Message:
    convert = _formats("from_item")
    if convert is not None:
        message: Message = convert(item)
        return message
    kind = item.get("type", "message")
    if kind == "function_call":
        meta = {"id": item["call_id"], "name": item["name"], "arguments": item["arguments"]}
        return Message(role="assistant", parts=(Part(type="tool-call", meta=meta),), format="openai_responses")
    if str(kind).endswith("_output"):
        output = item.get("output")
        text = output if isinstance(output, str) else json.dumps(output, default=str)
        return Message(
            role="tool",
            parts=(Part(type="tool-result", text=text, meta={"tool_call_id": item["call_id"]}),),
            format="openai_responses",
        )
    if kind == "reasoning":
        text = "\n".join(part.get("text", "") for part in item.get("summary") or [])
        return Message(role="assistant", parts=(Part(type="thinking", text=text),), format="openai_responses")
    content = item.get("content")
    role: Role = "assistant" if item.get("role") == "assistant" else "user"
    if isinstance(content, str):
        return Message(role=role, parts=(Part(type="text", text=content),), format="openai_responses")
    parts = [
        Part(type="text", text=str(part.get("text") or part.get("refusal") or json.dumps(part)))
        for part in content or []
        if isinstance(part, dict)
    ]
    return Message(role=role, parts=tuple(parts), format="openai_responses", native=item)
