"""What a tool's name tells: its words, and whether it reads, writes or only thinks.

No schemas are at hand, so this reads names: the first word that is a known verb decides. Where no word is one, the
name tells nothing (None), and the flow of data decides: what is asked and then used was a look-up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

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
