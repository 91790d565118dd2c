"""LiteLLM's functions with memory: what calls a model records and is given skills, sync and async.

They give back LiteLLM's own results and raise its own exceptions.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from acontext_plugins.extras import naming_the_extra
from acontext_plugins.learning import client_or_default
from acontext_plugins.llm.own_calls import asking
from acontext_plugins.runs import RunOptions, Runtime, reason_of
from acontext_store.types import Json

from ..model_calls import CallRecorder, RecordedCall, WireFormat
from .bodies import FROM_SETTINGS, FromSettings, body_of, chosen_space, injected
from .identity import session_of, user_of
from .streaming_calls import watched
from .streams import as_json, wire_of

#: What LiteLLM calls a model with.
NAMES = ("completion", "acompletion", "responses", "aresponses", "anthropic_messages")
MARK = "__acontext__"
#: Conversations are known across functions, routers and callbacks; what must be kept apart is, by its scope.
calls = CallRecorder()
#: Whether a call is being made here: callbacks leave it alone.
inside: ContextVar[bool] = ContextVar("acontext_litellm", default=False)


class WrappedTarget:
    """What is remembered of a function or a router that is wrapped."""

    __slots__ = ("original", "runtime")

    def __init__(self, original: Any, runtime: Runtime) -> None:
        self.original = original
        self.runtime = runtime


def mark_of(target: object) -> WrappedTarget | None:
    """How it is wrapped; None where it is not, also where `functools.wraps` has put the mark on somebody's own."""
    mark = getattr(target, MARK, None)
    if not isinstance(mark, WrappedTarget) or getattr(target, "__wrapped__", mark.original) is not mark.original:
        return None
    return mark


def wrapped(function: Any, name: str, runtime: Runtime) -> Any:
    """A function that calls a model, with memory; of the same kind."""
    wire = wire_of(name)
    assert wire is not None
    wrapper: Any
    if inspect.iscoroutinefunction(function) or name.startswith("a"):

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            attempt = Attempt(runtime, wire, function, args, kwargs)
            await attempt.aprepare()
            with attempt:
                result = await function(*attempt.args, **attempt.kwargs)
            return attempt.gave(result)

    else:

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            attempt = Attempt(runtime, wire, function, args, kwargs)
            attempt.prepare()
            with attempt:
                result = function(*attempt.args, **attempt.kwargs)
            return attempt.gave(result)

    functools.update_wrapper(wrapper, function)
    setattr(wrapper, MARK, WrappedTarget(function, runtime))
    return wrapper


class Attempt:
    """One call: what it is made with, and what is known of it. Never raises of its own."""

    def __init__(
        self, runtime: Runtime, wire: WireFormat, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.runtime = runtime
        self.args = args
        self.kwargs = kwargs
        self._names: Sequence[str] = ()
        self._call: RecordedCall | None = None
        with runtime.guard("call"):
            self._names = _positions(function)
            self._call = begin(runtime, wire, self._given)

    @property
    def _given(self) -> Json:
        return {**dict(zip(self._names, self.args, strict=False)), **self.kwargs}

    def prepare(self) -> None:
        if self._call is not None:
            with self.runtime.guard("skills"):
                self._call.prepared()
                self._inject()

    async def aprepare(self) -> None:
        if self._call is not None:
            with self.runtime.guard("skills"):
                await self._call.aprepared()
                self._inject()

    def _inject(self) -> None:
        changed = injected(self._call, self._given) if self._call is not None else {}
        for field, value in changed.items():
            if field in self._names[: len(self.args)]:
                place = self._names.index(field)
                self.args = (*self.args[:place], value, *self.args[place + 1 :])
            else:
                self.kwargs = {**self.kwargs, field: value}

    def __enter__(self) -> None:
        self._token = inside.set(True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        inside.reset(self._token)
        if error is not None:
            self.failed(error)

    def failed(self, error: BaseException) -> None:
        """What LiteLLM has raised in place of a result."""
        if self._call is None:
            return
        if isinstance(error, Exception):
            self._call.failed(reason_of(error))
        else:
            self._call.cancelled()

    def gave(self, result: Any) -> Any:
        """What LiteLLM has given, to be given on."""
        call = self._call
        if call is None:
            return result
        with self.runtime.guard("answer"):
            if any(hasattr(result, name) for name in ("__next__", "__anext__")):
                return watched(result, call)
            answer = as_json(call.put_back(result))
            if answer is not None:
                call.answered(answer)
        return result


def begin(runtime: Runtime, wire: WireFormat, given: Json, call_id: str | None = None) -> RecordedCall | None:
    """The call that is made with these fields; None where it is part of another adapter's run, or our own."""
    if inside.get() or asking.get():
        return None
    call = calls.begin(
        runtime,
        wire,
        body_of(given),
        session_key=session_of(given),
        principal=user_of(given),
        call_id=call_id,
        label=str(given.get("model") or "litellm"),
    )
    return call if call.run is not None else None


def by_name(function: Any, args: Sequence[Any], kwargs: Json) -> Json:
    """What a function is called with, by name."""
    return {**dict(zip(_positions(function), args, strict=False)), **kwargs}


def _positions(function: Any) -> Sequence[str]:
    """The names of what may be given by place; a router's method that says only `*args` has LiteLLM's function's."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return ()
    names: Sequence[str] = code.co_varnames[inspect.ismethod(function) : code.co_argcount]
    if not names and code.co_flags & inspect.CO_VARARGS:
        own = getattr(sys.modules["litellm"], function.__name__, None)
        return () if own is None else _positions(own)
    return names


# -- functions like LiteLLM's own
@functools.lru_cache(maxsize=1024)
def _made(
    name: str, space: str | FromSettings | None, session: str | None, principal: str | None
) -> Callable[..., Any]:
    with naming_the_extra():
        import litellm

    options = RunOptions(space=chosen_space(space), session=session, principal=principal)
    made: Callable[..., Any] = wrapped(getattr(litellm, name), name, Runtime(options, client_or_default(None)))
    return made


def completion(
    *args: Any,
    space: str | FromSettings | None = FROM_SETTINGS,
    session: str | None = None,
    principal: str | None = None,
    **kwargs: Any,
) -> Any:
    """`litellm.completion` with memory. `space` is where it learns: without one `ACONTEXT_SPACE`, None = nowhere."""
    return _made("completion", space, session, principal)(*args, **kwargs)


async def acompletion(
    *args: Any,
    space: str | FromSettings | None = FROM_SETTINGS,
    session: str | None = None,
    principal: str | None = None,
    **kwargs: Any,
) -> Any:
    """`litellm.acompletion` with memory."""
    return await _made("acompletion", space, session, principal)(*args, **kwargs)


def responses(
    *args: Any,
    space: str | FromSettings | None = FROM_SETTINGS,
    session: str | None = None,
    principal: str | None = None,
    **kwargs: Any,
) -> Any:
    """`litellm.responses` with memory."""
    return _made("responses", space, session, principal)(*args, **kwargs)


async def aresponses(
    *args: Any,
    space: str | FromSettings | None = FROM_SETTINGS,
    session: str | None = None,
    principal: str | None = None,
    **kwargs: Any,
) -> Any:
    """`litellm.aresponses` with memory."""
    return await _made("aresponses", space, session, principal)(*args, **kwargs)


async def anthropic_messages(
    *args: Any,
    space: str | FromSettings | None = FROM_SETTINGS,
    session: str | None = None,
    principal: str | None = None,
    **kwargs: Any,
) -> Any:
    """`litellm.anthropic_messages` with memory."""
    return await _made("anthropic_messages", space, session, principal)(*args, **kwargs)


def is_function(target: object) -> bool:
    """Whether it is one of LiteLLM's functions, or one of them with memory."""
    module = sys.modules.get("litellm")
    known = mark_of(target)
    if known is not None:
        target = known.original
    return module is not None and any(target is getattr(module, name, None) for name in NAMES)
