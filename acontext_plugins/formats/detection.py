"""Which format a conversation is in, told by what stands in it.

Each format says what is foreign to it. What several formats have they read alike, so a conversation is refused only
where no format has all of it: one that mixes formats, or holds something that none knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from acontext_store.errors import InvalidInput
from acontext_store.types import Json

from .blob import Foreign
from .format import Format
from .registry import all_formats

_ROLES = "user, assistant, system, developer, tool, function, model, or an item with a type such as function_call"


def format_of(messages: Sequence[object]) -> str:
    """The format that has all that stands in these messages (as JSON has them).

    Chat messages with blocks of another format among them are "openai". Raises InvalidInput that names what no format
    has, or where one format ends and another begins.
    """
    known = all_formats().values()
    alive = [format.name for format in known if format.foreign is not None]
    readers = {format.name: format.foreign_to_reader for format in known if format.foreign_to_reader is not None}
    first: InvalidInput | None = None
    for at, item in enumerate(messages):
        if not isinstance(item, dict):
            return "openai"  # which says what it expects
        readers = {name: foreign for name, foreign in readers.items() if foreign(item) is None}
        here = _fitting(item)
        left = [name for name in alive if name in here]
        if not left and first is None:
            first = _unlike(at, item, here, alive)
        alive = left
        if not alive and not readers:
            break
    if first is None:
        return alive[0]
    if readers:
        return next(iter(readers))
    raise first


def _fitting(item: Json) -> list[str]:
    """The formats that have all that stands in this message."""
    known = all_formats().values()
    return [format.name for format in known if format.foreign is not None and format.foreign(item) is None]


def wrong_format(item: Json, format: Format) -> tuple[Foreign, str] | None:
    """What in this message is not of the format that it is said to be of, and of which it is.

    None where it is of that one, or of none at all: what nobody knows is for its reader to keep, or to refuse.
    """
    foreign = format.foreign_to_reader or format.foreign
    stray = foreign(item) if foreign is not None else None
    others = _fitting(item) if stray is not None else ()
    if stray is None or not others:
        return None
    return stray, f"it is a message of the format {_either(others)}: send it with that one"


def _unlike(at: int, item: Json, here: Sequence[str], before: Sequence[str]) -> InvalidInput:
    """Why this message is not of a format with those before it; where none has it, what is to be mended in it."""
    known = all_formats()
    strays: dict[str, Foreign] = {}
    for name in before:
        foreign = known[name].foreign
        if foreign is not None and (stray := foreign(item)) is not None:
            strays[name] = stray
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
    return InvalidInput(f"{place}, {lacking} (of {', '.join(known)}); {way_out}")


def _either(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names)
