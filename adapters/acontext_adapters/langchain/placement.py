"""Where skills stand in a prompt, and how they are kept out of all that is not one. Pure: nothing given is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from .convert import by_user
from .langgraph_types import is_command


def contains_text(messages: Sequence[BaseMessage], text: str) -> bool:
    """Whether the text is there already: an outer hook of ours has placed it."""
    return any(
        isinstance(message, SystemMessage | HumanMessage) and _stands(message.content, text) for message in messages
    )


def _stands(content: Any, text: str) -> bool:
    if isinstance(content, str):
        return text in content
    return any(isinstance(block, Mapping) and block.get("text") == text for block in content)


def in_system(message: SystemMessage | None, text: str) -> SystemMessage:
    """The host's system message with the text behind it: words stay words, blocks get one more."""
    if message is None:
        return SystemMessage(content=text)
    return message.model_copy(update={"content": _appended(message.content, text)})


def in_prompt(messages: Sequence[BaseMessage], text: str) -> list[BaseMessage]:
    """A prompt with the text behind its system message, or as one where it has none."""
    if contains_text(messages, text):
        return list(messages)
    first = messages[0] if messages else None
    if isinstance(first, SystemMessage):
        return [in_system(first, text), *messages[1:]]
    return [SystemMessage(content=text), *messages]


def append_to_turn(messages: Sequence[BaseMessage], text: str) -> list[BaseMessage]:
    """A conversation with the text at the end of the user's newest turn; unchanged where there is none."""
    if contains_text(messages, text):
        return list(messages)
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        if by_user(message):
            changed = message.model_copy(update={"content": _appended(message.content, text)})
            return [*messages[:place], changed, *messages[place + 1 :]]
    return list(messages)


def _appended(content: Any, text: str) -> Any:
    if isinstance(content, str):
        return f"{content}\n\n{text}" if content else text
    return [*content, {"type": "text", "text": text}]


def remove_text(messages: Sequence[BaseMessage], text: str) -> list[BaseMessage]:
    """The conversation as it was before `append_to_turn`."""
    return [_without_text(message, text) for message in messages]


def _without_text(message: BaseMessage, text: str) -> BaseMessage:
    content: Any = message.content
    if not by_user(message) or not _stands(content, text):
        return message
    if isinstance(content, str):
        content = content.removesuffix(text).removesuffix("\n\n")
    else:
        content = [block for block in content if not isinstance(block, Mapping) or block.get("text") != text]
    return message.model_copy(update={"content": content})


def restored(value: Any, text: str, originals: Sequence[BaseMessage]) -> Any:
    """The output of a node with the host's own messages in place of copies into which skills were injected."""
    ours = {message.id: message for message in originals if message.id is not None and by_user(message)}
    return _without(value, text, ours)


def _without(value: Any, text: str, ours: Mapping[str, BaseMessage]) -> Any:
    if isinstance(value, BaseMessage):
        return ours.get(value.id or "", value) if by_user(value) and _stands(value.content, text) else value
    if isinstance(value, list):
        inner = [_without(one, text, ours) for one in value]
        return value if all(a is b for a, b in zip(inner, value, strict=True)) else inner
    if isinstance(value, dict):
        changed = {key: _without(one, text, ours) for key, one in value.items()}
        return value if all(changed[key] is value[key] for key in value) else changed
    update = getattr(value, "update", None)
    if is_command(value) and isinstance(update, dict | list):
        clean = _without(update, text, ours)
        return value if clean is update else replace(value, update=clean)
    return value
