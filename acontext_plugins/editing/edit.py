"""Edit: a conversation as a model is going to read it, by the strategies asked for. The messages given never change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from acontext_store.errors import InvalidInput, NotFound
from acontext_store.types import Message, Part, StoredMessage, Task, stable_id

from . import fitting
from .groups import groups_of
from .strategies import (
    MiddleOut,
    OffloadToolResults,
    RemoveToolCallParams,
    RemoveToolResult,
    Strategy,
    Summary,
    TokenLimit,
)
from .tokens import Counter, counter, part_tokens, total_tokens

#: How the text that stands for an offloaded result begins.
MOVED = "[acontext: this result is in the file "
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_EARLIER = "Earlier in this conversation:"
_ENDED = {"success": "done", "failed": "failed"}


@dataclass(frozen=True, slots=True)
class Offload:
    """A result to be kept as a file: whoever acts on it writes `text` to `path` of the disk (None = the session's)."""

    message_id: str
    path: str
    text: str
    disk_id: str | None = None


@dataclass(frozen=True, slots=True)
class Edited:
    """What the model is to read."""

    messages: tuple[Message, ...]
    #: What they take, as `message_tokens` counts.
    tokens: int
    #: The last message that the strategies saw: asked for with it again, the beginning stays the same byte for byte.
    edited_at: str | None
    offloads: tuple[Offload, ...] = ()


def edit(
    messages: Sequence[Message],
    strategies: Sequence[Strategy],
    *,
    tasks: Sequence[Task] = (),
    pin_at: str | None = None,
    count: Counter | None = None,
) -> Edited:
    """Apply the strategies, in their order, to `messages` (oldest first, a whole conversation).

    With `pin_at`, the id of a message, they see the conversation up to that message only, and what came later
    follows as it is: a provider's prompt cache keeps its hits while the conversation grows. `tasks` are those of the
    session, for `summary`. Raises NotFound where no message has the id `pin_at`.
    """
    count = count or counter()
    seen, later = list(messages), []
    if pin_at is not None:
        at = next((place for place, message in enumerate(messages) if message.id == pin_at), None)
        if at is None:
            raise NotFound("message", pin_at)
        seen, later = list(messages[: at + 1]), list(messages[at + 1 :])
    edited_at = seen[-1].id if seen else None
    offloads: list[Offload] = []
    for strategy in strategies:
        if isinstance(strategy, Summary):
            seen = _summarised(seen, strategy, tasks, count)
        elif isinstance(strategy, OffloadToolResults):
            seen, moved = _offloaded(seen, strategy, count)
            offloads += moved
        elif isinstance(strategy, RemoveToolResult):
            seen = _without_results(seen, strategy, count)
        elif isinstance(strategy, RemoveToolCallParams):
            seen = _without_arguments(seen, strategy, count)
        elif isinstance(strategy, MiddleOut):
            seen = fitting.middle_out(seen, strategy.token_reduce_to, count)
        elif isinstance(strategy, TokenLimit):
            seen = fitting.oldest_out(seen, strategy.limit_tokens, count)
        else:
            raise InvalidInput(
                f"edit_strategies: found {type(strategy).__name__}, expected what parse_strategies gives"
            )
    done = (*seen, *later)
    return Edited(done, total_tokens(done, count), edited_at, tuple(offloads))


# ------------------------------------------------------------------------------------------- what stands in a part


def _tools(messages: Sequence[Message]) -> dict[tuple[int, int], str]:
    """The tool behind each result, by its place: named by itself, or by the newest call of its id before it."""
    names: dict[str, str] = {}
    found: dict[tuple[int, int], str] = {}
    for place, message in enumerate(messages):
        for number, part in enumerate(message.parts):
            meta = part.meta or {}
            if part.type == "tool-call" and meta.get("id"):
                names[str(meta["id"])] = str(meta.get("name") or "")
            elif part.type == "tool-result":
                found[place, number] = str(meta.get("name") or names.get(str(meta.get("tool_call_id"))) or "")
    return found


def _older(messages: Sequence[Message], kind: str, keep: int) -> list[tuple[int, int]]:
    """The places of all parts of this kind but the newest `keep`."""
    places = [
        (place, number)
        for place, message in enumerate(messages)
        for number, part in enumerate(message.parts)
        if part.type == kind
    ]
    return places[: len(places) - keep] if keep else places


def _replaced(messages: Sequence[Message], parts: dict[tuple[int, int], Part]) -> list[Message]:
    """The messages with these parts in place of theirs; the others are the very objects that came."""
    if not parts:
        return list(messages)
    touched = {place for place, _ in parts}
    return [
        message
        if place not in touched
        else message.model_copy(
            update={
                "parts": tuple(parts.get((place, number), part) for number, part in enumerate(message.parts)),
                "native": None,
            }
        )
        for place, message in enumerate(messages)
    ]


def _without_results(messages: Sequence[Message], strategy: RemoveToolResult, count: Counter) -> list[Message]:
    tools = _tools(messages)
    changed: dict[tuple[int, int], Part] = {}
    for place in _older(messages, "tool-result", strategy.keep_recent_n_tool_results):
        part = messages[place[0]].parts[place[1]]
        if part.text == strategy.placeholder or tools[place] in strategy.keep_tools:
            continue
        if strategy.gt_token and part_tokens(part, count) <= strategy.gt_token:
            continue
        changed[place] = part.model_copy(update={"text": strategy.placeholder, "asset": None})
    return _replaced(messages, changed)


def _without_arguments(messages: Sequence[Message], strategy: RemoveToolCallParams, count: Counter) -> list[Message]:
    changed: dict[tuple[int, int], Part] = {}
    for place in _older(messages, "tool-call", strategy.keep_recent_n_tool_calls):
        part = messages[place[0]].parts[place[1]]
        meta = part.meta or {}
        if meta.get("arguments") == "{}" or meta.get("name") in strategy.keep_tools:
            continue
        if strategy.gt_token and part_tokens(part, count) <= strategy.gt_token:
            continue
        changed[place] = part.model_copy(update={"meta": {**meta, "arguments": "{}"}})
    return _replaced(messages, changed)


def _offloaded(
    messages: Sequence[Message], strategy: OffloadToolResults, count: Counter
) -> tuple[list[Message], list[Offload]]:
    tools = _tools(messages)
    changed: dict[tuple[int, int], Part] = {}
    offloads: list[Offload] = []
    for place in _older(messages, "tool-result", strategy.keep_recent_n_tool_results):
        message, part = messages[place[0]], messages[place[0]].parts[place[1]]
        text = part.text or ""
        if tools[place] in strategy.keep_tools or text.startswith(MOVED):
            continue
        tokens = part_tokens(part, count)
        if tokens <= strategy.gt_token:
            continue
        path = f"/tool_results/{_file_name(message.id)}-{place[1]}.txt"
        pointer = f"{MOVED}{path} ({tokens} tokens, {len(text)} characters). Read there what you need of it.]"
        if strategy.preview:
            pointer += f"\nIt begins:\n{text[: strategy.preview]}"
        if count(pointer) >= tokens:
            continue
        changed[place] = part.model_copy(update={"text": pointer, "asset": None})
        offloads.append(Offload(message.id, path, text, strategy.disk_id))
    return _replaced(messages, changed), offloads


def _file_name(message_id: str) -> str:
    """The id, where it can be part of a file's name; hosts choose their ids as they like."""
    return message_id if _NAME.fullmatch(message_id) else stable_id("message", message_id)


# ------------------------------------------------------------------------------------------------------- in a few words


def _summarised(messages: Sequence[Message], strategy: Summary, tasks: Sequence[Task], count: Counter) -> list[Message]:
    """Finished tasks at the beginning, in words. Messages of a task that goes on, and all after it, stay."""
    if strategy.gt_token and total_tokens(messages, count) <= strategy.gt_token:
        return list(messages)
    ordered = sorted(
        (task for task in tasks if not task.is_planning and task.last_seq), key=lambda task: task.first_seq
    )
    told: list[Task] = []
    for task in ordered[: max(0, len(ordered) - strategy.keep_recent_n_tasks)]:
        if task.status not in _ENDED:
            break
        told.append(task)
    if not told:
        return list(messages)
    kept_from = min((task.first_seq for task in ordered[len(told) :]), default=told[-1].last_seq + 1)
    until = min(max(task.last_seq for task in told), kept_from - 1)
    end = 0
    for group in groups_of(messages, count):
        if all(_seq(messages[place]) <= until for place in group.places):
            end = group.end
        else:
            break
    old = [message for message in messages[:end] if message.role != "system" and isinstance(message, StoredMessage)]
    if not old:
        return list(messages)
    system = [message for message in messages[:end] if message.role == "system"]
    words = "\n".join([_EARLIER, *(f"{number}. {_told(task)}" for number, task in enumerate(told, 1))])
    summary = Message(
        id=stable_id("summary", *(task.id for task in told), words),
        role="user",
        parts=(Part(type="text", text=words),),
        meta={"source": "summary"},
        created_at=old[-1].created_at,
    )
    if count(words) >= total_tokens(old, count):
        return list(messages)
    return [*system, summary, *messages[end:]]


def _told(task: Task) -> str:
    lines = [f"{task.data['task_description']} ({_ENDED[task.status]})"]
    lines += [f"   - {progress}" for progress in task.data.get("progresses") or ()]
    lines += [f"   - the user wishes: {wish}" for wish in task.data.get("user_preferences") or ()]
    if task.status == "failed" and task.outcome is not None and task.outcome.reason:
        lines.append(f"   - why: {task.outcome.reason}")
    return "\n".join(lines)


def _seq(message: Message) -> int:
    """Its place in the session; what is in no session (a summary) stands before everything."""
    return message.seq if isinstance(message, StoredMessage) else 0
