"""Options: how a wrapped object records and injects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, get_args

from acontext_store.errors import InvalidInput

from .inject.recall import InjectAs


class InjectionOptions(TypedDict, total=False):
    """Options of everything that injects, with the meaning and the defaults that they have in `learning`."""

    inject: bool
    inject_as: InjectAs
    limit: int
    token_budget: int
    with_trace: bool
    deadline: float
    strict: bool


class LearningOptions(InjectionOptions, total=False):
    """The options of `InjectionOptions`, and those of an object that serves one conversation and one user."""

    session: str | None
    principal: str | None


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a wrapped object records and injects. See `learning` for what each means to a user."""

    space: str | None = None
    session: str | None = None
    principal: str | None = None
    inject: bool = True
    inject_as: InjectAs = "system"
    limit: int = 3
    token_budget: int = 400
    with_trace: bool = False
    #: Seconds that a run waits for its skills before it goes without.
    deadline: float = 0.3
    #: The same while the database is still being opened: the first run of a process, as a rule.
    opening_deadline: float = 3.0
    strict: bool = False

    def __post_init__(self) -> None:
        for name in ("space", "session", "principal"):
            if not isinstance(value := getattr(self, name), str | None):
                raise InvalidInput(f"{name} is {type(value).__name__} {value!r:.60}: it must be a text, or None")
        if self.space is not None and not self.space.strip():
            raise InvalidInput('space is "": name where skills gather, or give None to record only')
        if self.inject_as not in get_args(InjectAs):
            raise InvalidInput(f"inject_as is {self.inject_as!r}: it must be 'system', 'user' or 'catalog'")


def refuse_catalog(options: RunOptions, what: str) -> None:
    """Raise InvalidInput where a catalog is wanted of something that has no place for its tool."""
    if options.inject_as == "catalog":
        raise InvalidInput(
            f"inject_as='catalog' needs a tool that the agent may call, and {what} has no place for one: use 'system' "
            "or 'user' there; agents of openai-agents and Agno, and LangChain's AcontextMiddleware, take a catalog"
        )
