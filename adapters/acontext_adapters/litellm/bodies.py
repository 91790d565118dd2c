"""What of a request is looked at, and how it is read without changing it."""

from __future__ import annotations

import enum
import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from acontext_plugins.settings import load_settings
from acontext_store.types import Json

from ..model_calls import RecordedCall
from .streams import as_json

log = logging.getLogger("acontext")
#: Everything else (headers, keys, metadata, LiteLLM's own notes) stays where it is.
READ = (
    "model messages input instructions system tools functions tool_choice function_call "
    "previous_response_id conversation mcp_servers prompt"
).split()
#: What skills are put into.
WRITTEN = ("messages", "input", "instructions", "system")


def body_of(given: Mapping[str, Any]) -> Json:
    """A request as its format has it."""
    return {name: _plain(given[name]) for name in READ if given.get(name) is not None}


def injected(call: RecordedCall, given: Mapping[str, Any]) -> Json:
    """The fields of a request that are others with the skills that its call was given, whatever objects they hold."""
    before, made = call.body, call.placed
    call.sends(made, given)
    changed = {name: made[name] for name in WRITTEN if name in made and made[name] is not before.get(name)}
    return {name: _with_own(value, before.get(name), given.get(name)) for name, value in changed.items()}


def _with_own(made: Any, before: Any, given: Any) -> Any:
    """A list with the host's own objects wherever it holds what was read of them."""
    if not isinstance(made, list) or not isinstance(before, list) or not isinstance(given, Sequence):
        return made
    own = {id(read): one for read, one in zip(before, given, strict=True)}
    return [own.get(id(one), one) for one in made]


def _plain(value: Any) -> Any:
    """A value as JSON has it: hosts put LiteLLM's own messages into their histories. What is plain stays itself."""
    if isinstance(value, list | tuple):
        made = [_plain(inner) for inner in value]
        return made if any(new is not old for new, old in zip(made, value, strict=True)) else value
    if hasattr(value, "model_dump"):
        dumped = as_json(value)
        return value if dumped is None else dumped
    return value


class FromSettings(enum.Enum):
    """What stands for a value that the settings of the environment have."""

    SPACE = "ACONTEXT_SPACE"


FROM_SETTINGS = FromSettings.SPACE


def chosen_space(space: str | FromSettings | None) -> str | None:
    """The space that was given, None (only recorded) as well; where none was given, that of the settings."""
    return default_space() if isinstance(space, FromSettings) else space


@functools.cache
def default_space() -> str | None:
    """The settings' space. A host starts also where the settings are wrong: what is wrong is said."""
    try:
        space = load_settings().space
    except Exception as error:
        log.warning("acontext: there is no default space: %s", error)
        return None
    if not space:
        log.warning(
            "acontext: there is no default space, so calls that name none are only recorded: set ACONTEXT_SPACE"
        )
    return space or None
