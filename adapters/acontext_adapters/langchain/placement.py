"""Where skills stand in a prompt, and how they are kept out of all that is not one. Pure: nothing given is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from acontext_plugins.inject.recall import HEAD, SkillsBlock

from ..shared.placement import place_blocks, turn_names
from .convert import by_user, item_of
from .langgraph_types import is_command

M = TypeVar("M", bound=BaseMessage)


def in_prompt(messages: Sequence[BaseMessage], blocks: Sequence[SkillsBlock]) -> list[BaseMessage]:
    """A prompt with skills behind its system message (made where it has none), and behind turns of the user."""
    head, placed = _in_turns(messages, blocks)
    if not head or _stands_in_any(placed, head):
        return placed
    first = placed[0] if placed else None
    if isinstance(first, SystemMessage):
        return [in_system(first, head), *placed[1:]]
    return [SystemMessage(content=head), *placed]


def in_request(
    system: SystemMessage | None, messages: Sequence[BaseMessage], blocks: Sequence[SkillsBlock]
) -> tuple[SystemMessage | None, list[BaseMessage]]:
    """The same of a prompt whose system message stands apart. What an outer hook has placed in turns is moved."""
    head, placed = _in_turns(without_blocks(messages, blocks), blocks)
    return in_system(system, head) if head else system, placed


def in_turns(messages: Sequence[BaseMessage], blocks: Sequence[SkillsBlock]) -> list[BaseMessage]:
    """A conversation whose system message nobody can see: what belongs there stands behind the first turn."""
    first = next((at for at, message in enumerate(messages) if by_user(message)), None)
    head, placed = _in_turns(messages, blocks)
    if head and first is not None and not _stands_in_any(placed, head):
        carrier = _appended(messages[first], head)
        own = "\n\n".join(_behind(messages, blocks).get(first, ()))
        placed[first] = _appended(carrier, own) if own else carrier
    return placed


def in_system(message: SystemMessage | None, text: str) -> SystemMessage:
    """The host's system message with the text behind it: words stay words, blocks get one more."""
    return SystemMessage(content=text) if message is None else _appended(message, text)


def without_blocks(messages: Sequence[BaseMessage], blocks: Sequence[SkillsBlock]) -> list[BaseMessage]:
    """The conversation as it was before skills were placed in turns."""
    placed = list(messages)
    for block in reversed(blocks):
        placed = [_without_text(message, block.text) for message in placed]
    return placed


def _in_turns(messages: Sequence[BaseMessage], blocks: Sequence[SkillsBlock]) -> tuple[str, list[BaseMessage]]:
    """What stands before all turns, and the conversation with the rest in it."""
    placed = list(messages)
    for at, texts in _behind(messages, blocks).items():
        for text in texts:
            if not _stands_in_any(placed, text):
                placed[at] = _appended(placed[at], text)
    return "\n\n".join(block.text for block in blocks if block.anchor == HEAD), placed


def _behind(messages: Sequence[BaseMessage], blocks: Sequence[SkillsBlock]) -> dict[int, list[str]]:
    names = turn_names([item_of(message) for message in messages])
    behind: dict[int, list[str]] = {}
    for block in blocks:
        for at in place_blocks(names, [block])[1]:
            behind.setdefault(at, []).append(block.text)
    return behind


def _stands_in_any(messages: Sequence[BaseMessage], text: str) -> bool:
    """Whether the text is there already: an outer hook of ours has placed it."""
    return any(isinstance(one, SystemMessage | HumanMessage) and _stands(one.content, text) for one in messages)


def _stands(content: Any, text: str) -> bool:
    if isinstance(content, str):
        return text in content
    return any(isinstance(block, Mapping) and block.get("text") == text for block in content)


def _appended(message: M, text: str) -> M:
    content: Any = message.content
    if isinstance(content, str):
        content = f"{content}\n\n{text}" if content else text
    else:
        content = [*content, {"type": "text", "text": text}]
    return message.model_copy(update={"content": content})


def _without_text(message: BaseMessage, text: str) -> BaseMessage:
    content: Any = message.content
    if not by_user(message) or not _stands(content, text):
        return message
    if isinstance(content, str):
        content = content.removesuffix(text).removesuffix("\n\n")
    else:
        content = [block for block in content if not isinstance(block, Mapping) or block.get("text") != text]
    return message.model_copy(update={"content": content})


def restored(value: Any, blocks: Sequence[SkillsBlock], originals: Sequence[BaseMessage]) -> Any:
    """The output of a node with the host's own messages in place of copies into which skills were injected."""
    ours = {message.id: message for message in originals if message.id is not None and by_user(message)}
    return _without(value, [block.text for block in blocks], ours)


def _without(value: Any, texts: Sequence[str], ours: Mapping[str, BaseMessage]) -> Any:
    if isinstance(value, BaseMessage):
        placed = by_user(value) and any(_stands(value.content, text) for text in texts)
        return ours.get(value.id or "", value) if placed else value
    if isinstance(value, list):
        inner = [_without(one, texts, ours) for one in value]
        return value if all(a is b for a, b in zip(inner, value, strict=True)) else inner
    if isinstance(value, dict):
        changed = {key: _without(one, texts, ours) for key, one in value.items()}
        return value if all(changed[key] is value[key] for key in value) else changed
    update = getattr(value, "update", None)
    if is_command(value) and isinstance(update, dict | list):
        clean = _without(update, texts, ours)
        return value if clean is update else replace(value, update=clean)
    return value
