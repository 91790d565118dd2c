"""What the task agent is shown of a session: its tasks, messages with short ids, and nothing of what we said ourselves.

Each message is one line of JSON, so that no text can pass itself off as another message. What is too long loses its
middle: all texts of a prompt are cut at the same length, the greatest at which they fit the budget together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from acontext_store.types import Json, Part, StoredMessage, Task

from ..concurrency.background import yield_gil
from ..learn.prompt_view import cut
from ..protocols import Batch
from ..transcript.tool_calls import TranscriptCall, progress_of, tool_calls
from ..transcript.user_turns import visible_words
from .rules import EXPLICIT, is_verdict

#: Finished tasks that are shown, the newest ones; earlier messages.
MOST_FINISHED, MOST_EARLIER = 20, 48
#: Parts of one message: as many as fit.
MOST_PARTS = (40, 16, 6, 2, 1)
#: What the tasks, and the earlier messages, may take of the budget at most.
_SHARE = 4
#: No text is cut shorter than this; what a message takes besides its texts, about.
_SHORTEST, _AROUND = 80, 80
_MEDIA = ("image", "audio", "video", "file")


def common_limit(lengths: Sequence[int], budget: int) -> int:
    """The greatest length to which all may be cut so that they fit the budget together."""
    left, waiting = budget, sorted(lengths)
    for place, length in enumerate(waiting):
        share = left // (len(waiting) - place)
        if length > share:
            return max(_SHORTEST, share)
        left -= length
    return max([_SHORTEST, *waiting])


@dataclass(slots=True)
class PromptView:
    """A prompt's inputs, and what the short ids in it stand for."""

    tasks: dict[str, Task] = field(default_factory=dict)
    messages: dict[str, StoredMessage] = field(default_factory=dict)
    #: The ids of the messages that have not been observed before.
    new: list[str] = field(default_factory=list)
    calls: list[TranscriptCall] = field(default_factory=list)
    #: tasks, earlier, messages
    texts: tuple[str, str, str] = ("", "", "")

    def visible_words(self, message: StoredMessage) -> str:
        """All that is to be read of a message, whole."""
        return "\n".join(said_parts(message))


def said_parts(message: StoredMessage, most: int | None = None) -> list[str]:
    """The texts of a message (of its first `most` parts), whole, without what we had put into it."""
    found = []
    for part in message.parts[:most]:
        meta = part.meta if isinstance(part.meta, dict) else {}
        if part.type in ("text", "tool-result") and isinstance(part.text, str):
            found.append(visible_words(part.text))
        elif part.type == "tool-call":
            found.append(f"{meta.get('name')} {_arguments(meta)}")
    return [text for text in found if text.strip()]


def view_of(batch: Batch, *, budget: int, progresses: int, bare: bool = False, withheld: bool = False) -> PromptView:
    """The batch as it is shown in about `budget` characters.

    `bare` = without earlier messages; `withheld` = that there are new messages, but not what they say.
    """
    view = PromptView()
    finished = [task.id for task in batch.tasks if task.status in ("success", "failed")]
    hidden = set(finished[:-MOST_FINISHED])
    view.tasks = {f"t{task.order}": task for task in batch.tasks if task.id not in hidden}
    local = {task.id: name for name, task in view.tasks.items()}
    earlier = [] if bare else [message for message in batch.earlier if _is_shown(message)][-MOST_EARLIER:]
    new = [message for message in batch.messages if _is_shown(message)]
    for number, message in enumerate([*earlier, *new], 1):
        view.messages[f"m{number}"] = message
    view.new = [f"m{number}" for number in range(len(earlier) + 1, len(earlier) + len(new) + 1)]
    view.calls = tool_calls([*earlier, *new])
    about = _tasks(view.tasks, len(hidden), budget // _SHARE, progresses)
    names = {message.seq: name for name, message in view.messages.items()}
    results = {(call.result_message_id, call.call_id): call for call in view.calls if call.result is not None}
    before = _lines(earlier, names, results, local, (budget - len(about)) // _SHARE)
    if withheld:
        kept_back = Part(type="text", text="[this message is withheld]")
        new = [message.model_copy(update={"parts": (kept_back,)}) for message in new]
    now = _lines(new, names, results, local, budget - len(about) - len(before))
    view.texts = (about or "none", before or "none", now)
    return view


def _is_shown(message: StoredMessage) -> bool:
    """System prompts are not, nor what holds nothing but what we said, or what the agent only thought."""
    return message.role != "system" and bool(_line(message, {}, _SHORTEST, MOST_PARTS[0]))


# ---------------------------------------------------------------------------------------------- messages


def _lines(
    messages: Sequence[StoredMessage],
    names: Mapping[int, str],
    results: Mapping[tuple[str, str], TranscriptCall],
    local: Mapping[str, str],
    budget: int,
) -> str:
    for most in MOST_PARTS:
        lengths = [len(text) for message in messages for text in said_parts(message, most)]
        limit = common_limit(lengths, budget - _AROUND * (len(messages) + len(lengths)))
        if limit > _SHORTEST:
            break
    lines = []
    for message in messages:
        yield_gil()
        head = {"id": names[message.seq], "role": message.role}
        if message.task_id is not None and message.task_id in local:
            head["task"] = local[message.task_id]
        line = json.dumps({**head, **_line(message, results, limit, most)}, ensure_ascii=False)
        lines.append(line.encode("utf-8", "replace").decode())
    return "\n".join(lines)


def _line(message: StoredMessage, results: Mapping[tuple[str, str], TranscriptCall], limit: int, most: int) -> Json:
    """What a message says and does."""
    found: dict[str, list[object]] = {"text": [], "calls": [], "results": [], "files": []}
    for part in message.parts[:most]:
        try:
            kind, shown = _part(message, part, results, limit)
        except (TypeError, ValueError, AttributeError, RecursionError):
            kind, shown = "text", "[a part that cannot be read]"
        if shown:
            found[kind].append(shown)
    if len(message.parts) > most:
        found["text"].append(f"[... {len(message.parts) - most} parts left out ...]")
    line: Json = {kind: things for kind, things in found.items() if things}
    if "text" in line:
        line["text"] = "\n".join(map(str, line["text"]))
    return line


def _part(
    message: StoredMessage, part: Part, results: Mapping[tuple[str, str], TranscriptCall], limit: int
) -> tuple[str, object]:
    meta = part.meta or {}
    if part.type == "text":
        return "text", cut(visible_words(part.text or "").strip(), limit)
    if part.type == "tool-call":
        return "calls", {"tool": str(meta.get("name"))[:80], "arguments": cut(_arguments(meta), limit)}
    if part.type == "tool-result":
        call = results.get((message.id, str(meta.get("tool_call_id") or "")))
        shown: Json = {"tool": call.tool} if call else {}
        if call and call.is_error:
            shown["error"] = True
        elif call and not call.ran:
            shown["not run"] = progress_of(call)
        rest = " [... the rest is in a file ...]" if part.asset else ""
        return "results", {**shown, "text": cut(visible_words(part.text or ""), limit) + rest}
    if part.type in _MEDIA:
        kind = str(meta.get("media_type") or part.type)[:80]
        return "files", f"{(part.filename or 'unnamed')[:120]} ({kind})"
    return "text", ""


def _arguments(meta: Mapping[str, object]) -> str:
    arguments = meta.get("arguments")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False, default=str) if arguments else ""
    return visible_words(arguments)


# ------------------------------------------------------------------------------------------------- tasks


def _tasks(tasks: Mapping[str, Task], hidden: int, budget: int, progresses: int) -> str:
    """The tasks by order, a line each, then the newest notes on progress."""
    notes = [(name, note) for name, task in tasks.items() for note in task.data.get("progresses", [])]
    notes = notes[-progresses:] if progresses else []
    texts = [task.data["task_description"] for task in tasks.values()] + [note for _, note in notes]
    limit = common_limit(list(map(len, texts)), budget)
    lines = [f"[{hidden} older finished tasks are not shown]"] if hidden else []
    for name, task in tasks.items():
        line: Json = {"id": name, "status": task.status, "description": cut(task.data["task_description"], limit)}
        if is_verdict(task.outcome) and task.outcome is not None and task.outcome.weight >= EXPLICIT:
            line["closed"] = True
        lines.append(json.dumps(line, ensure_ascii=False))
    lines += [json.dumps({"task": name, "progress": cut(note, limit)}, ensure_ascii=False) for name, note in notes]
    return "\n".join(lines).encode("utf-8", "replace").decode()
