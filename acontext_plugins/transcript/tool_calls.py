"""The executed calls of a conversation, each with its own result.

A call is what the agent did; nothing else in a conversation can become a step (T1). Ids of calls may repeat inside
one conversation, so results are paired with calls by id *and* order: the oldest unanswered call of that id first.
"""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from acontext_store.types import Json, Message, Part

from ..concurrency.cooperative import yield_gil
from .tool_names import is_tool_name

_ERROR_START = re.compile(
    r"""^[\s#"'\[(]*(?:\w+\s*=\s*["'\s]*)?"""
    r"(?:[a-z]\w*(?:error|exception)\b|error\b|exception\b|traceback\b|fatal\b|failed to\b|failure\b"
    r"|invalid\b|unauthori[sz]ed\b|forbidden\b|permission denied\b|4\d\d client error|5\d\d server error"
    r"|[\w./-]+: (?:[\w./-]+: )?(?:command not found|no such file))",
    re.IGNORECASE,
)
_BAD_STATUS = frozenset(["error", "failed", "failure", "fail", "exception", "invalid"])
#: How much of a result is read: enough for every argument that came from it, bounded for the giants.
RESULT_CHARS = 60_000


@dataclass(slots=True)
class ExecutedCall:
    """One executed call. `result` is None where none arrived; it is matched against, never kept."""

    index: int
    tool: str
    arguments: Json
    call_id: str
    message_id: str
    #: The place of its message in the conversation.
    at: int
    result: str | None = None
    result_at: int = -1
    result_message_id: str = ""
    is_error: bool = False
    canonical: str = field(default="")


def executed_calls(messages: Sequence[Message]) -> list[ExecutedCall]:
    """All calls in order. Results that answer no call are ignored; calls with an impossible name as well."""
    calls: list[ExecutedCall] = []
    waiting: dict[str, deque[ExecutedCall]] = defaultdict(deque)
    for at, message in enumerate(messages):
        yield_gil()
        for part in message.parts:
            if part.type == "tool-call" and message.role == "assistant":
                call = _call(part, len(calls), message, at)
                if call is not None:
                    calls.append(call)
                    waiting[call.call_id].append(call)
            elif part.type == "tool-result":
                _answer(part, waiting, message, at)
    return calls


def _call(part: Part, index: int, message: Message, at: int) -> ExecutedCall | None:
    meta = part.meta or {}
    name = meta.get("name")
    if not is_tool_name(name):
        return None
    arguments = _arguments(meta.get("arguments"))
    canonical = json.dumps(arguments, sort_keys=True, ensure_ascii=False, default=str)
    return ExecutedCall(
        index, str(name), arguments, str(meta.get("id") or ""), message.id, at, canonical=f"{name} {canonical}"
    )


def _arguments(raw: object) -> Json:
    if isinstance(raw, dict):
        return {str(key): value for key, value in raw.items()}
    if not isinstance(raw, str) or not raw.strip():
        return {}
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return {"input": raw}
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {"input": value}


def _answer(part: Part, waiting: dict[str, deque[ExecutedCall]], message: Message, at: int) -> None:
    meta = part.meta or {}
    line = waiting.get(str(meta.get("tool_call_id") or ""))
    if not line:
        return
    call = line.popleft()
    call.result = (part.text or "")[:RESULT_CHARS]
    call.result_at = at
    call.result_message_id = message.id
    flag = meta.get("is_error")
    call.is_error = bool(flag) if flag is not None else looks_like_error(call.result)


def looks_like_error(text: str) -> bool:
    """Whether a tool's result reports that the call did not work: by its first words or its error fields."""
    head = text.lstrip()[:400]
    if not head:
        return False
    if head[0] == "{":
        return _bad(_object(text), depth=0)
    return _ERROR_START.match(head) is not None


def _bad(value: object, *, depth: int) -> bool:
    if not isinstance(value, dict):
        return False
    for key in ("error", "errors", "err", "exception", "error_message", "errorMessage"):
        if value.get(key) not in (None, "", False, 0, [], {}, "null", "None"):
            return True
    for key in ("success", "ok", "isSuccess"):
        if value.get(key) is False:
            return True
    status = value.get("status")
    if isinstance(status, str) and status.lower() in _BAD_STATUS:
        return True
    if depth == 0:
        for key in ("response", "result", "data", "output"):
            inner = value.get(key)
            if isinstance(inner, str) and inner.lstrip()[:1] == "{":
                inner = _object(inner)
            if _bad(inner, depth=1):
                return True
    return False


def _object(text: str) -> object:
    """The JSON object in `text`, or the Python one that some tools print instead; None where it is neither."""
    if len(text) > 20_000:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if not text.startswith("{'"):
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
