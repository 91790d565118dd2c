"""All formats: ours, and those that packages have registered.

A package registers a Format as an entry point of the group `acontext_plugins.formats`: the format's name, and the
object itself. They are looked for when a name is asked for that is none of ours, or a format has to be told by content:
reading and writing ours needs no look at what is installed.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from acontext_store.errors import InvalidInput

from .acontext import ACONTEXT
from .anthropic import ANTHROPIC
from .format import Format
from .gemini import GEMINI
from .openai_chat import OPENAI_CHAT
from .openai_responses import OPENAI_RESPONSES

log = logging.getLogger("acontext")

GROUP = "acontext_plugins.formats"
#: By preference: where several formats have all that stands in a conversation, it is in the first of them.
OURS: Mapping[str, Format] = {
    format.name: format for format in (OPENAI_CHAT, ANTHROPIC, GEMINI, ACONTEXT, OPENAI_RESPONSES)
}


def find_format(name: str) -> Format:
    """The format of that name. Raises InvalidInput that says which there are, and which could not be loaded."""
    known = OURS.get(name) if isinstance(name, str) else None
    if known is not None:
        return known
    registered = _registered()
    if isinstance(name, str) and name in registered.found:
        return registered.found[name]
    words = f"format: found {name!r}, expected one of {', '.join(registered.found)}"
    if registered.failed:
        words += "; not loaded: " + ", ".join(f"{one} ({why})" for one, why in registered.failed.items())
    raise InvalidInput(words)


def all_formats() -> Mapping[str, Format]:
    """Every format by its name: ours by preference, then the others by name. One that cannot be loaded is logged."""
    return _registered().found


@dataclass(frozen=True, slots=True)
class _Registered:
    found: Mapping[str, Format]
    #: Why a format could not be loaded, by its name.
    failed: Mapping[str, str]


@functools.cache
def _registered() -> _Registered:
    from importlib.metadata import entry_points

    found: dict[str, Format] = dict(OURS)
    failed: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            format = point.load()
            if not isinstance(format, Format) or format.name != point.name:
                raise TypeError(f"{point.value} is {format!r:.80}, and no Format of that name")
            if point.name in found:
                raise ValueError(f"{point.value} has a name that is taken: choose another")
            found[point.name] = format
        except Exception as error:
            failed[point.name] = f"{type(error).__name__}: {error}"
            log.warning("acontext: the format %r could not be loaded: %s", point.name, failed[point.name])
    return _Registered(found, failed)
