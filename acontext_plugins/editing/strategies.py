"""The strategies: what each does to a conversation on its way to a model. Pure; the stored messages never change.

The names and parameters are those of the Acontext API (`edit_strategies` of its SDK), with two more: to move big
results to a disk, and to tell finished tasks in a few words instead of their messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from acontext_store.errors import InvalidInput

DONE = "Done"


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RemoveToolResult(_Params):
    """Replace the text of older tool results, so that calls and results stay paired."""

    type: Literal["remove_tool_result"] = "remove_tool_result"
    #: So many of the newest results stay as they are.
    keep_recent_n_tool_results: int = Field(3, ge=0)
    tool_result_placeholder: str = DONE
    #: Results of these tools stay.
    keep_tools: tuple[str, ...] = ()
    #: Only results of more tokens than this.
    gt_token: int = Field(0, ge=0)

    @property
    def placeholder(self) -> str:
        return self.tool_result_placeholder.strip() or DONE


class RemoveToolCallParams(_Params):
    """Replace the arguments of older calls by `{}`."""

    type: Literal["remove_tool_call_params"] = "remove_tool_call_params"
    keep_recent_n_tool_calls: int = Field(3, ge=0)
    keep_tools: tuple[str, ...] = ()
    gt_token: int = Field(0, ge=0)


class TokenLimit(_Params):
    """Remove the oldest messages until the rest fits.

    Calls go with their results. The system prompt and the request that is being worked on stay as long as anything
    does; what does not fit even so is cut in the middle.
    """

    type: Literal["token_limit"] = "token_limit"
    limit_tokens: int = Field(gt=0)


class MiddleOut(_Params):
    """Remove messages from the middle until the rest fits: the beginning and the newest stay."""

    type: Literal["middle_out"] = "middle_out"
    token_reduce_to: int = Field(gt=0)


class OffloadToolResults(_Params):
    """Move big results to a disk: a preview and the place stay, and the agent reads there what it needs."""

    type: Literal["offload_tool_results"] = "offload_tool_results"
    #: So many of the newest results stay as they are.
    keep_recent_n_tool_results: int = Field(1, ge=0)
    keep_tools: tuple[str, ...] = ()
    gt_token: int = Field(1_000, gt=0)
    #: Characters of the result that stay in the conversation.
    preview: int = Field(400, ge=0)
    #: The disk to use; without one, the session's own.
    disk_id: str | None = None


class Summary(_Params):
    """Tell older, finished tasks in a few words each (what was asked, what was done, how it ended)."""

    type: Literal["summary"] = "summary"
    #: So many of the newest tasks keep their messages.
    keep_recent_n_tasks: int = Field(1, ge=1)
    #: Only where the conversation has more tokens than this.
    gt_token: int = Field(0, ge=0)


Strategy = Annotated[
    RemoveToolResult | RemoveToolCallParams | TokenLimit | MiddleOut | OffloadToolResults | Summary,
    Field(discriminator="type"),
]
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Strategy)
#: Content first, lengths last: what is shortened may make room for what would have been removed.
ORDER = (
    "summary",
    "offload_tool_results",
    "remove_tool_result",
    "remove_tool_call_params",
    "middle_out",
    "token_limit",
)
KINDS: dict[str, type[_Params]] = {
    "summary": Summary,
    "offload_tool_results": OffloadToolResults,
    "remove_tool_result": RemoveToolResult,
    "remove_tool_call_params": RemoveToolCallParams,
    "middle_out": MiddleOut,
    "token_limit": TokenLimit,
}


def parse_strategies(given: object) -> tuple[Any, ...]:
    """Strategies from `[{"type": ..., "params": {...}}, ...]`, in the order in which they are applied.

    Raises InvalidInput that names the entry, what is wrong with it, and what is accepted.
    """
    if given is None:
        return ()
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise InvalidInput(f"edit_strategies: found {type(given).__name__}, expected a list of {{type, params}}")
    found = [_one(number, entry) for number, entry in enumerate(given)]
    return tuple(sorted(found, key=lambda one: ORDER.index(one.type)))


def _one(number: int, entry: object) -> Any:
    where = f"edit_strategies[{number}]"
    if isinstance(entry, _Params):
        return entry
    if not isinstance(entry, dict):
        raise InvalidInput(f"{where}: found {type(entry).__name__}, expected an object with type and params")
    kind, params = entry.get("type"), entry.get("params")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InvalidInput(f"{where}.type: found {kind!r}, expected one of {', '.join(KINDS)}")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise InvalidInput(f"{where}.params: found {type(params).__name__}, expected an object")
    extra = sorted(set(entry) - {"type", "params"})
    if extra:
        raise InvalidInput(f"{where}: {extra[0]!r} is unknown; parameters belong into params")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in params.items()}
    try:
        return _ADAPTER.validate_python({**values, "type": kind})
    except ValidationError as error:
        raise InvalidInput(f"{where} ({kind}): {'; '.join(_words(error.errors(), kind))}") from None


def _words(errors: Iterable[Any], kind: str) -> list[str]:
    known = [name for name in KINDS[kind].model_fields if name != "type"]
    said = []
    for error in errors:
        name = ".".join(str(place) for place in error["loc"] if place != kind) or "params"
        if error["type"] == "extra_forbidden":
            said.append(f"params.{name} is unknown, expected some of {', '.join(known)}")
        elif error["type"] == "missing":
            said.append(f"params.{name} is missing")
        else:
            said.append(f"params.{name}: {error['msg'].lower()}, found {error['input']!r}")
    return said
