"""Which format a conversation is in, told by what stands in it.

Each format says what is foreign to it. What several formats have they read alike, so a conversation is refused only
where no format has all of it: one that mixes formats, or holds something that none knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from acontext_store.errors import InvalidInput
from acontext_store.types import Json

from . import acontext, anthropic, gemini, openai_chat, openai_responses
from .blob import Foreign

#: By preference: where several fit, the first is taken.
_FOREIGN: dict[str, Callable[[Json], Foreign | None]] = {
    "openai": openai_chat.foreign,
    "anthropic": anthropic.foreign,
    "gemini": gemini.foreign,
    "acontext": acontext.foreign,
    "openai_responses": openai_responses.foreign,
}
_ROLES = "user, assistant, system, developer, tool, function, model, or an item with a type such as function_call"
_MIXED = partial(openai_chat.foreign, mixed=True)


def format_of(messages: Sequence[object]) -> str:
    """The format that has all that stands in these messages (as JSON has them).

    Chat messages with blocks of another format among them are "openai". Raises InvalidInput that names what no format
    has, or where one format ends and another begins.
    """
    alive = list(_FOREIGN)
    mixed, first = True, None
    for at, item in enumerate(messages):
        if not isinstance(item, dict):
            return "openai"  # which says what it expects
        mixed = mixed and _MIXED(item) is None
        here = _fitting(item)
        left = [name for name in alive if name in here]
        if not left and first is None:
            first = _unlike(at, item, here, alive)
        alive = left
        if not alive and not mixed:
            break
    if alive:
        return alive[0]
    if mixed or first is None:
        return "openai"
    raise first


def _fitting(item: Json) -> list[str]:
    """The formats that have all that stands in this message."""
    return [name for name, foreign in _FOREIGN.items() if foreign(item) is None]


def wrong_format(item: Json, format: str) -> tuple[Foreign, str] | None:
    """What in this message is not of the format that it is said to be of, and of which it is.

    None where it is of that one, or of none at all: what nobody knows is for its reader to keep, or to refuse.
    """
    foreign = _MIXED if format == "openai" else _FOREIGN[format]
    stray = foreign(item)
    others = _fitting(item) if stray is not None else ()
    if stray is None or not others:
        return None
    return stray, f"it is a message of the format {_either(others)}: send it with that one"


def _unlike(at: int, item: Json, here: Sequence[str], before: Sequence[str]) -> InvalidInput:
    """Why this message is not of a format with those before it; where none has it, what is to be mended in it."""
    strays = {name: stray for name in before if (stray := _FOREIGN[name](item)) is not None}
    if here:
        stray = strays[before[0]]
        reason = f"found {stray.what}, which is {_either(here)}; what stands before it is {_either(before)}"
        return InvalidInput(f"messages[{at}]{stray.where}: {reason}: write all of the conversation in one format")
    stray = max(strays.values(), key=lambda one: one.at)  # of the one that knows most of it
    place = f"messages[{at}]{stray.where}: found {stray.what}"
    if stray.where == ".role":
        return InvalidInput(f"{place}, expected one of {_ROLES}")
    lacking = "which no format has" if stray.at >= 0 else "which goes with the rest of the message in no format"
    way_out = 'leave it out, or name the format in "format" beside messages, and it is kept as it is'
    return InvalidInput(f"{place}, {lacking} (of {', '.join(_FOREIGN)}); {way_out}")


def _either(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names)
