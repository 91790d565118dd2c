"""The tool calls of a conversation, what became of each, and what the name of a tool tells.

A call that ran is what the agent did; nothing else in a conversation can become a step (T1). Whether it ran is told by
the framework; where nobody tells, it is assumed of a call with a result that is no known refusal. Ids of calls may
repeat inside one conversation, so results are paired with calls by id *and* order: the calls since the agent was last
answered, and of these the oldest without a result.

Whether a call reads, writes or only thinks is read from its name, since no schemas are at hand: the first word that is
a known verb decides. Where no word is one, the name tells nothing (None), and the flow of data decides: what is asked
and then used was a look-up.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from acontext_store.types import FateStatus, Json, Message, Part, StoredMessage

from ..concurrency.background import yield_gil
from ..inject.render import READ_SKILL
from .result_texts import known_text

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
class TranscriptCall:
    """One call that a model asked for. `result` is None where none arrived; it is matched against, never kept."""

    index: int
    #: The name and the arguments that ran, or that were asked for where it did not run.
    tool: str
    arguments: Json
    call_id: str
    message_id: str
    #: The place of its message in the conversation.
    at: int
    #: Calls with the same number were made at once.
    batch: int = 0
    fate: FateStatus = "requested"
    #: Whether the framework tells the fate; else it is assumed from the result.
    told: bool = False
    #: Who refused it or answered in the tool's place, who changed it before it ran, and their words.
    by: str = ""
    edited_by: str = ""
    reason: str = ""
    #: What was asked for, where something else ran.
    asked_tool: str = ""
    asked: Json | None = None
    result: str | None = None
    #: Only its beginning is here: the rest is in the blob store.
    result_is_cut: bool = False
    result_at: int = -1
    result_message_id: str = ""
    is_error: bool = False
    canonical: str = field(default="")

    @property
    def ran(self) -> bool:
        """Whether the tool itself was run, and came to an end."""
        return self.fate in ("executed", "failed")


def executed_calls(messages: Sequence[Message]) -> list[TranscriptCall]:
    """The calls that ran, in order, with the names and arguments that ran."""
    return [call for call in tool_calls(messages) if call.ran]


def tool_calls(messages: Sequence[Message]) -> list[TranscriptCall]:
    """All calls in order. Results that answer no call are ignored; calls with an impossible name, and of our own tool,
    as well."""
    calls: list[TranscriptCall] = []
    waiting: dict[str, deque[TranscriptCall]] = defaultdict(deque)
    batch, answered = 0, False
    for at, message in enumerate(messages):
        yield_gil()
        if message.role == "assistant" and answered:
            batch, answered = batch + 1, False
        elif message.role != "assistant":
            answered = True
        seen: Counter[str] = Counter()
        for part in message.parts:
            if part.type == "tool-call" and message.role == "assistant":
                call = _call(part, len(calls), message, at, batch)
                if call is not None:
                    _tell(call, message, seen[call.call_id])
                    calls.append(call)
                    line = waiting[call.call_id]
                    if line and line[0].batch != batch:
                        line.clear()  # it has been asked for again: the old one gets no answer any more
                    line.append(call)
                    seen[call.call_id] += 1
            elif part.type == "tool-result":
                _answer(part, waiting, message, at)
    for call in calls:
        _settle(call)
    return calls


def _call(part: Part, index: int, message: Message, at: int, batch: int) -> TranscriptCall | None:
    meta = part.meta or {}
    name = meta.get("name")
    if not is_tool_name(name) or name == READ_SKILL:  # reading a skill is no step of what the user wants
        return None
    arguments = _arguments(meta.get("arguments"))
    return TranscriptCall(index, str(name), arguments, str(meta.get("id") or ""), message.id, at, batch)


def _tell(call: TranscriptCall, message: Message, occurrence: int) -> None:
    """Note what the framework tells of the call."""
    call.told = message.fates_told
    fates = message.fates if isinstance(message, StoredMessage) else ()
    fate = next((one for one in fates if (one.call_id, one.occurrence) == (call.call_id, occurrence)), None)
    if fate is None:
        return
    call.told = True
    call.fate, call.by, call.edited_by, call.reason = fate.status, fate.by, fate.edited_by, fate.reason
    ran_otherwise = fate.name not in (None, call.tool) or fate.arguments not in (None, call.arguments)
    if ran_otherwise and (fate.name is None or is_tool_name(fate.name)):
        call.asked_tool, call.asked = call.tool, call.arguments
        call.tool = fate.name or call.tool
        call.arguments = call.arguments if fate.arguments is None else fate.arguments


def _settle(call: TranscriptCall) -> None:
    """What became of it, now that its result is known."""
    arguments = json.dumps(call.arguments, sort_keys=True, ensure_ascii=False, default=str)
    call.canonical = f"{call.tool} {arguments}"
    if not call.told and call.result is not None:
        known = known_text(call.result[:RESULT_CHARS])
        if known is not None:
            call.fate, call.by, call.reason = known.status, known.by, known.reason
            call.is_error = known.by == "framework"
        else:
            call.fate = "failed" if call.is_error else "executed"
    # A tool that returned can still say that it did not work, and so can a framework that answers instead (there is no
    # such tool). Who refused a call has said no such thing of it.
    says_so = call.is_error and (call.fate == "executed" or (call.fate == "answered" and call.by == "framework"))
    call.is_error = call.fate == "failed" or says_so


def progress_of(call: TranscriptCall) -> str:
    """What became of it, in a few words."""
    words = {
        "refused": f"refused by {call.by or 'somebody'}",
        "answered": f"not run, answered by {call.by or 'something else'}",
        "unfinished": "not finished",
        "requested": "not run" if call.told else "no result",
    }
    word = "error" if call.is_error else words.get(call.fate, "ok")
    edited = f", edited by {call.edited_by}" if call.edited_by and call.ran else ""
    return f"called {call.tool}: {word}{edited}"


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


def _answer(part: Part, waiting: dict[str, deque[TranscriptCall]], message: Message, at: int) -> None:
    meta = part.meta or {}
    line = waiting.get(str(meta.get("tool_call_id") or ""))
    if not line:
        return
    call = line.popleft()
    call.result = part.text or ""
    call.result_is_cut = part.asset is not None
    call.result_at = at
    call.result_message_id = message.id
    flag = meta.get("is_error")
    call.is_error = bool(flag) if flag is not None else looks_like_error(call.result[:RESULT_CHARS])


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


class ActVerdict(NamedTuple):
    """What the last acts of an agent say against its success."""

    status: Literal["failed", "unknown"]
    reason: str


def last_acts(calls: Sequence[TranscriptCall]) -> list[TranscriptCall]:
    """The calls that the agent made at once, and last, without those that only think or end the run."""
    acts = [call for call in calls if effect_of(call.tool) not in ("thought", "finish")]
    return [call for call in acts if call.batch == acts[-1].batch]


def verdict_of_acts(calls: Sequence[TranscriptCall]) -> ActVerdict | None:
    """What the last acts say against a success; None = nothing. Acts made at once have no order: they count as one.

    A failure or a person's refusal that was the last word has not been made good. What was asked for last, and never
    ran or never ended, leaves open what has been reached.
    """
    acts = last_acts(calls)
    for call in acts:
        if call.is_error:
            return ActVerdict("failed", f"{call.tool} failed")
    for call in acts:
        if call.fate == "refused" and call.by == "person":
            return ActVerdict("failed", f"a person refused {call.tool}")
    for call in acts:
        held = call.fate == "refused" or (call.fate == "answered" and call.by == "limit")
        if held or (call.told and call.fate in ("requested", "unfinished")):
            return ActVerdict("unknown", progress_of(call))
    return None


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
