"""A router with memory: another face of the one that it was made of.

A router's methods belong to it: they, its closures and its callbacks read and write what *it* holds. So there is no
copy, whose changes the calls would not see. A face holds nothing: what is read, set or deleted on it is the router's,
and only what calls a model is given out with memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any

from acontext_plugins.runs import Runtime

from ..model_calls import CHAT
from .functions import MARK, Attempt, WrappedTarget, by_name, mark_of, wrapped

#: What is given out in place of an attribute, made of the face, its name and its value.
RecordedMethods = Mapping[str, Callable[["RouterProxy", str, Any], Any]]


class RouterProxy:
    """Passes for another object, whose attributes it has; those that call a model are recorded."""

    __slots__ = (MARK, "__weakref__")

    def __getattribute__(self, name: str) -> Any:
        if name in (MARK, "__deepcopy__", "__reduce_ex__"):
            return object.__getattribute__(self, name)
        known = _behind(self)
        value = getattr(known.original, name)
        method = known.recorded.get(name)
        if method is not None:
            return method(self, name, value)
        if isinstance(value, MethodType) and value.__self__ is known.original and not _litellms(value):
            return MethodType(value.__func__, self)  # a host's subclass: what its methods call has memory, too
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        mark, known = mark_of(value), _behind(self)
        given_out_here = mark is not None and mark.runtime is known.runtime
        setattr(known.original, name, mark.original if mark is not None and given_out_here else value)

    def __delattr__(self, name: str) -> None:
        delattr(_behind(self).original, name)

    def __dir__(self) -> list[str]:
        return dir(_behind(self).original)

    def __repr__(self) -> str:
        return repr(_behind(self).original)

    def __eq__(self, other: object) -> bool:
        known = mark_of(other)
        return bool(_behind(self).original == (known.original if isinstance(known, _Behind) else other))

    def __hash__(self) -> int:
        return hash(_behind(self).original)

    def __reduce_ex__(self, protocol: Any) -> Any:
        known = _behind(self)
        return _face, (known.original, known.runtime, known.recorded)

    def __copy__(self) -> RouterProxy:
        known = _behind(self)
        return _face(copy.copy(known.original), known.runtime, known.recorded)

    def __deepcopy__(self, memo: dict[int, Any]) -> RouterProxy:
        known = _behind(self)
        return _face(copy.deepcopy(known.original, memo), known.runtime, known.recorded)


class _Behind(WrappedTarget):
    """What a face is the face of."""

    __slots__ = ("recorded",)

    def __init__(self, original: Any, runtime: Runtime, recorded: RecordedMethods) -> None:
        super().__init__(original, runtime)
        self.recorded = recorded


def with_memory(router: Any, runtime: Runtime) -> Any:
    """The router with memory. The one that is given stays as it is, and is the one that is called."""
    return _face(router, runtime, _ROUTER)


def _face(original: Any, runtime: Runtime, recorded: RecordedMethods) -> RouterProxy:
    face = object.__new__(RouterProxy)
    object.__setattr__(face, MARK, _Behind(original, runtime, recorded))
    return face


def _behind(face: RouterProxy) -> _Behind:
    known: _Behind = object.__getattribute__(face, MARK)
    return known


def _litellms(method: MethodType) -> bool:
    return str(getattr(method, "__module__", "")).partition(".")[0] == "litellm"


# -- the recorded. What is no function there is a host's stand-in, and stays what it is
def _call(face: RouterProxy, name: str, value: Any) -> Any:
    return wrapped(value, name, _behind(face).runtime) if _is_function(value) else value


def _create(face: RouterProxy, name: str, value: Any) -> Any:
    """`router.chat.completions.create`, of either kind."""
    return _call(face, "acompletion" if inspect.iscoroutinefunction(value) else "completion", value)


def _completions(face: RouterProxy, name: str, value: Any) -> Any:
    return _face(value, _behind(face).runtime, {"create": _create})


def _chat(face: RouterProxy, name: str, value: Any) -> Any:
    return _face(value, _behind(face).runtime, {"completions": _completions})


def _is_function(value: object) -> bool:
    return isinstance(value, FunctionType | MethodType)


def _by_name(face: RouterProxy, name: str, value: Any) -> Any:
    """`router.call("acompletion", {...})`."""

    async def call(op: str, request: Mapping[str, Any]) -> Any:
        if _ROUTER.get(op) is None:
            return await value(op, request)
        result = getattr(face, op)(**request)
        return await result if inspect.isawaitable(result) else result

    return call if _is_function(value) else value


def _many(face: RouterProxy, name: str, value: Any) -> Any:
    """What asks several things at once, or several models. Each thing is a turn; its answer is the first model's."""
    runtime = _behind(face).runtime

    async def batch(*args: Any, **kwargs: Any) -> Any:
        turns: list[Attempt] = []
        several = False
        with runtime.guard("batch"):
            given = by_name(value, args, kwargs)
            asked = given.get("messages") or []
            several = all(isinstance(one, list) for one in asked)
            if several or all(isinstance(one, dict) for one in asked):
                rows = asked if several else [asked]
                turns = [Attempt(runtime, CHAT, value, (), {**given, "messages": row}) for row in rows]
        if turns:
            await asyncio.gather(*(turn.aprepare() for turn in turns))
            rows = [turn.kwargs["messages"] for turn in turns]
            args, kwargs = (), {**given, "messages": rows if several else rows[0]}
        with contextlib.ExitStack() as asking:
            for turn in turns:
                asking.enter_context(turn)
            results = await value(*args, **kwargs)
        with runtime.guard("batch"):
            for at, turn in enumerate(turns):
                if several and not isinstance(results[at], list):
                    _answered(turn, results, [at])
                else:
                    answers = results[at] if several else results
                    _answered(turn, answers, range(len(answers)))
        return results

    return batch if _is_function(value) else value


def _answered(turn: Attempt, answers: list[Any], places: Sequence[int]) -> None:
    """Tells a turn of its answers at these places, of which those are exceptions that failed."""
    good = [at for at in places if not isinstance(answers[at], BaseException)]
    if good:
        answers[good[0]] = turn.gave(answers[good[0]])
    else:
        turn.failed(answers[places[0]])


_ROUTER: RecordedMethods = {
    "completion": _call,
    "acompletion": _call,
    "responses": _call,
    "aresponses": _call,
    "anthropic_messages": _call,
    "aanthropic_messages": _call,
    "schedule_acompletion": _call,
    "abatch_completion_fastest_response": _call,
    "abatch_completion": _many,
    "abatch_completion_one_model_multiple_requests": _many,
    "chat": _chat,
    "call": _by_name,
}
