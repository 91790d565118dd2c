"""learning(): wrap an agent, a client or a function, so that its runs are recorded and its skills injected.

Adapters are found by entry point (group `acontext_plugins.adapters`, a factory without arguments each); the ones
in `acontext_adapters` are registered the same way as a third party's.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Protocol, TypeVar, Unpack, overload, runtime_checkable

from .client.handles import THIS_PROCESS, ClientHandle
from .run_options import refuse_catalog
from .runs import HasConnection, LearningOptions, RecordingClient, RunOptions, Runtime, current_run, report
from .service import InjectAs

log = logging.getLogger("acontext")

T = TypeVar("T")
GROUP = "acontext_plugins.adapters"

__all__ = ["Adapter", "client_or_default", "current_run", "learning", "loaded", "report"]


@runtime_checkable
class Adapter(Protocol):
    """Records the runs of one framework's objects, and injects skills into them.

    `matches` must not import the framework: what is not in `sys.modules` cannot have made the object. `wrap` returns
    an object of the same type and leaves the one it is given as it is; wrapped again with the same options, it
    returns it, with other options it wraps the original anew. Adapters are asked by priority, highest first. One that
    gives its agents the tool of a catalog (`inject_as="catalog"`) says `has_catalogs = True`; the others are not asked.
    """

    @property
    def name(self) -> str:
        """The kind of objects that the adapter wraps, for the error about an object that no adapter knows."""

    @property
    def priority(self) -> int:
        """Adapters are asked from the highest number to the lowest."""

    def matches(self, target: object) -> bool:
        """Whether the adapter wraps objects like `target`."""

    def wrap(self, target: Any, runtime: Runtime) -> Any:
        """`target` as an object of the same type, whose runs are started on `runtime`."""


class _Decorator(Protocol):
    def __call__(self, target: T, /) -> T: ...


def client_or_default(client: HasConnection | RecordingClient | None) -> HasConnection | RecordingClient:
    """A handle of the client that was given; where none was, of this process' own, opened when it is first needed."""
    return THIS_PROCESS if client is None else client if isinstance(client, ClientHandle) else ClientHandle(client)


@dataclass(frozen=True, slots=True)
class _Adapters:
    found: tuple[Adapter, ...]
    #: Why an adapter could not be loaded, by its name.
    failed: dict[str, str]


@functools.cache
def _adapters() -> _Adapters:
    found: list[Adapter] = []
    failed: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        try:
            adapter = point.load()()
            if not isinstance(adapter, Adapter):
                raise TypeError(f"{point.value} gave a {type(adapter).__qualname__}, which is no Adapter")
            found.append(adapter)
        except Exception as error:
            failed[point.name] = f"{type(error).__name__}: {error}"
            log.warning("acontext: the adapter %r could not be loaded: %s", point.name, failed[point.name])
    found.sort(key=lambda adapter: -adapter.priority)
    return _Adapters(tuple(found), failed)


@overload
def learning(
    target: T,
    /,
    *,
    space: str | None,
    client: HasConnection | RecordingClient | None = None,
    **options: Unpack[LearningOptions],
) -> T: ...


@overload
def learning(
    *,
    space: str | None,
    client: HasConnection | RecordingClient | None = None,
    **options: Unpack[LearningOptions],
) -> _Decorator: ...


def learning(
    target: Any = None,
    /,
    *,
    space: str | None,
    client: HasConnection | RecordingClient | None = None,
    session: str | None = None,
    principal: str | None = None,
    inject: bool = True,
    inject_as: InjectAs = "system",
    limit: int = 3,
    token_budget: int = 400,
    with_trace: bool = False,
    deadline: float = 0.3,
    strict: bool = False,
) -> Any:
    """Record the runs of `target`, and inject the skills that `space` has learned into its next runs.

    `target` is an agent of a supported framework, or a function; the result has its type. Without a target, the result
    is a decorator. `space` names the space whose skills the runs read and add to (None = record only). `client` is an
    `Acontext` or `AsyncAcontext`; without one, the settings of the environment choose the database. `session` is the
    conversation's key where the framework has none; `principal` the user on whose behalf the agent runs.
    `inject=False` records only. Skills stand behind the instructions, and those that are found later in a conversation
    behind the user's newest turn, where they stay. With `inject_as="user"` all stand behind turns; "catalog" shows a
    line of each, and gives the agent a tool that reads the rest (openai-agents, Agno, LangChain's middleware). A run
    finds `limit` skills at most, and a conversation holds `token_budget` tokens of them; `with_trace` adds the shortest
    run that worked. A run waits `deadline` seconds for its skills, then goes without. Errors of the memory are logged
    and never reach the agent, unless `strict`.

    Raises TypeError for a class, and for an object that no adapter knows; InvalidInput for a catalog where it has no
    place.

    >>> @learning(space="support", client=client)
    ... def answer(question: str) -> str:
    ...     return "It arrives on Monday."
    >>> answer("Where is my order?")
    'It arrives on Monday.'
    """
    options = RunOptions(
        space=space,
        session=session,
        principal=principal,
        inject=inject,
        inject_as=inject_as,
        limit=limit,
        token_budget=token_budget,
        with_trace=with_trace,
        deadline=deadline,
        strict=strict,
    )
    runtime = Runtime(options, client_or_default(client))
    if target is None:
        return functools.partial(_wrap, runtime=runtime)
    return _wrap(target, runtime=runtime)


def _wrap(target: Any, /, *, runtime: Runtime) -> Any:
    adapters = _adapters()
    if isinstance(target, type):
        raise TypeError(
            f"learning() wraps objects, not classes: give it an instance of {target.__module__}.{target.__qualname__}"
        )
    for adapter in adapters.found:
        if adapter.matches(target):
            if not getattr(adapter, "has_catalogs", False):
                refuse_catalog(runtime.options, f"what the adapter {adapter.name!r} wraps")
            return adapter.wrap(target, runtime)
    kind = type(target)
    supported = ", ".join(adapter.name for adapter in adapters.found) or "nothing"
    words = f"learning() does not know {kind.__module__}.{kind.__qualname__}; it wraps: {supported}"
    if adapters.failed:
        words += "; not loaded: " + ", ".join(f"{name} ({why})" for name, why in adapters.failed.items())
    raise TypeError(words)


def loaded(module: str, name: str) -> Callable[[object], bool]:
    """A test for instances of a framework's class that imports nothing: for an adapter's `matches`."""

    def matches(target: object) -> bool:
        kind = getattr(sys.modules.get(module), name, None)
        return isinstance(kind, type) and isinstance(target, kind)

    return matches


class _Package(ModuleType):
    """`acontext_plugins`, whose `learning` stays the function: importing this module would put the module there."""

    @property
    def learning(self) -> Any:
        return learning

    @learning.setter
    def learning(self, module: object) -> None:
        pass


sys.modules[__name__.rpartition(".")[0]].__class__ = _Package
