"""The executed calls of a conversation, each with its own result, and what the name of a tool tells.

A call is what the agent did; nothing else in a conversation can become a step (T1). Ids of calls may repeat inside
one conversation, so results are paired with calls by id *and* order: the oldest unanswered call of that id first.

Whether a call reads, writes or only thinks is read from its name, since no schemas are at hand: the first word that is
a known verb decides. Where no word is one, the name tells nothing (None), and the flow of data decides: what is asked
and then used was a look-up.
"""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from acontext_store.types import Json, Message, Part

from ..concurrency.background import yield_gil

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


def failed_act(calls: Sequence[ExecutedCall]) -> ExecutedCall | None:
    """The last of the calls that did something, where it failed: so it was not made good."""
    acts = [call for call in calls if effect_of(call.tool) not in ("thought", "finish")]
    return acts[-1] if acts and acts[-1].is_error else None


# -------------------------------------------------------------------------------- what a name tells


Effect = Literal["read", "write", "thought", "finish"]

_NAME = re.compile(r"[A-Za-z_][\w.:/-]{0,79}")
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")

_READ = frozenset(
    """
    get list ls find search fetch read show view look lookup query check describe count exists exist
    retrieve browse grep cat head tail wc du pwd stat stats print display inspect details detail info status
    calculate compute convert detect track validate verify compare diff sort select scan load peek analyze
    analyse estimate quote summarize summarise explain locate recall recommend suggest preview poll
    watchlist history report which whoami tree open goto scroll latest download extract parse ask monitor
    filter match rank mean max min sum average round percentage logarithm sqrt multiply divide subtract
    """.split()
)
_WRITE = frozenset(
    """
    create add update modify edit delete remove cancel exchange return book send post put patch write set
    change place transfer submit insert move mv cp copy rm rmdir mkdir touch echo apply schedule close
    resolve login logout authenticate pay refund upload import activate deactivate enable disable start stop
    reset assign unassign merge approve reject register unregister subscribe unsubscribe install uninstall
    execute run save store upsert replace rename append push pull commit deploy publish reply respond
    comment follow unfollow retweet like fund withdraw deposit make issue grant revoke lock unlock suspend
    resume restart reboot launch trigger trade buy sell reserve rebook upgrade downgrade redeem confirm
    complete archive restore invite share tag label mark fill press click type drag cd dispatch notify call
    email escalate handoff file log record adjust allocate claim dispute block unblock freeze unfreeze
    toggle turn switch swap ship initiate process perform give clear drop truncate release charge bill hold
    renew extend shift charge configure
    """.split()
)
#: Verbs only where the name starts with them; nouns elsewhere ("get_order_details", "list_books").
_FIRST_ONLY = frozenset(
    """
    order book comment like file log record call email report label tag mark fund trade history status stats
    info detail details watchlist type share process charge bill hold claim block press fill open lock load
    match rank max min mean sum release import return exchange transfer post store stop start quote head
    tail track tree ship shift print display reply place set put turn switch make give look check tail sort
    cat
    """.split()
)
_THOUGHT = frozenset(
    """
    think thought reason reflect scratchpad plan calculate calculator brainstorm
    """.split()
)
_FINISH = frozenset(["finish", "final", "final_answer", "done", "attempt_completion", "task_complete", "exit"])
_SHELL = frozenset(
    """
    bash sh shell terminal powershell cmd command exec execute_command run_command execute_bash
    """.split()
)
_SHELL_READS = frozenset(
    """
    ls cat head tail grep rg find pwd which whoami wc du df stat file less more tree diff echo env printenv
    ps type man id date uname history
    """.split()
)
_SHELL_READ_PAIRS = frozenset(
    ["git status", "git log", "git diff", "git show", "git branch", "pip list", "pip show", "docker ps", "kubectl get"]
)


def is_tool_name(name: object) -> bool:
    """Whether this can be a tool's name at all; anything longer or with spaces is not kept."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


@lru_cache(maxsize=16384)
def name_words(tool: str) -> tuple[str, ...]:
    """The lower-cased words of a name: snake_case, camelCase, dotted and dashed alike."""
    return tuple(piece.lower() for piece in _PIECE.findall(tool))


@lru_cache(maxsize=16384)
def effect_of_name(tool: str) -> Effect | None:
    """What the name alone tells; None = nothing."""
    pieces = name_words(tool)
    joined = "_".join(pieces)
    if joined in _FINISH or (len(pieces) <= 2 and pieces[:1] == ("finish",)):
        return "finish"
    if pieces and pieces[0] in _THOUGHT and len(pieces) <= 2:
        return "thought"
    if "for" in pieces[1:]:
        pieces = pieces[: pieces.index("for", 1)]
        return _first_verb(pieces) or "read"
    # A namespace before a dot ("orders.cancel", "mail/send") is no verb unless nothing after it is.
    namespaced = re.split(r"[./:]", tool)
    if len(namespaced) > 1:
        last = name_words(namespaced[-1])
        found = _first_verb(last)
        if found is not None:
            return found
    return _first_verb(pieces)


def _first_verb(pieces: tuple[str, ...]) -> Effect | None:
    for place, piece in enumerate(pieces):
        if place and piece in _FIRST_ONLY and len(pieces) > 1 and not _only_verb(pieces, place):
            continue
        if piece in _READ and not (piece in _WRITE and place == 0):
            return "read"
        if piece in _WRITE:
            return "write"
    return None


def _only_verb(pieces: tuple[str, ...], place: int) -> bool:
    """Whether no other word could be the verb, and this one ends or follows a namespace ("account_transfer")."""
    return not any((piece in _READ or piece in _WRITE) for other, piece in enumerate(pieces) if other != place)


def effect_of(tool: str, arguments: Mapping[str, object] | None = None) -> Effect | None:
    """What a call of `tool` does; shells are judged by the command they were given. None = cannot be told."""
    pieces = name_words(tool)
    if arguments and pieces and ("_".join(pieces) in _SHELL or pieces[-1] in _SHELL):
        for value in arguments.values():
            if isinstance(value, str) and value.strip():
                parts = value.split()
                first = parts[0].rsplit("/", 1)[-1]
                plain = not re.search(r"[>|;&]", value)
                if plain and (first in _SHELL_READS or " ".join(parts[:2]) in _SHELL_READ_PAIRS):
                    return "read"
                return "write"
    return effect_of_name(tool)


def phrase(tool: str) -> str:
    """The name as words: `exchange_delivered_order_items` -> "exchange delivered order items"."""
    return " ".join(name_words(tool))
