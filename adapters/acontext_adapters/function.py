"""Functions: `@learning(space="billing")` on whatever is called, awaited or iterated.

One call is one run, and one task: what is recorded inside of it (wrapped agents, `current_run().record_tool(...)`)
belongs to it. Only where nothing was, the arguments and what came back stand for it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import copy
import functools
import inspect
import io
import reprlib
import types
from collections.abc import Callable, Iterator
from typing import Any

from acontext_plugins.runs import Run, Runtime, reason_of
from acontext_store.types import Message, Part, Role

_MARK = "__acontext__"
_TEXT = 20_000
_ITEMS = 50


class FunctionAdapter:
    """The adapter: `learning` gives it what can be called and is not a class."""

    name = "function"
    priority = 0

    def matches(self, target: object) -> bool:
        return callable(target) and not isinstance(target, type)

    def wrap(self, target: Any, runtime: Runtime) -> Any:
        if isinstance(target, functools.partial):
            inner = self.wrap(target.func, runtime)
            return target if inner is target.func else type(target)(inner, *target.args, **target.keywords)
        if isinstance(target, types.MethodType):
            inner = self.wrap(target.__func__, runtime)
            return target if inner is target.__func__ else types.MethodType(inner, target.__self__)
        if isinstance(target, staticmethod):
            return staticmethod(self.wrap(target.__func__, runtime))
        known: _Wrapped | None = getattr(target, _MARK, None)
        if known is not None:
            if known.runtime.same_as(runtime):
                return target
            target = known.original
        if not isinstance(target, types.FunctionType) and not inspect.isbuiltin(target):
            called = _with_call(target, runtime)
            if called is not None:
                return called
        return _wrapped(target, runtime, target)


def adapter() -> FunctionAdapter:
    """The entry point."""
    return FunctionAdapter()


class _Wrapped:
    """What a wrapped function remembers of itself."""

    __slots__ = ("original", "runtime")

    def __init__(self, original: Any, runtime: Runtime) -> None:
        self.original = original
        self.runtime = runtime


def _with_call(target: Any, runtime: Runtime) -> Any:
    """A copy of an object with `__call__`, of a subclass of its class; None where that cannot be made."""
    kind = type(target)
    call = getattr(kind, "__call__", None)  # noqa: B004
    if not isinstance(call, types.FunctionType):
        return None
    try:
        copied = copy.copy(target)
        wrapped = _wrapped(call, runtime, target)
        copied.__class__ = type(
            kind.__name__, (kind,), {"__call__": wrapped, "__reduce_ex__": _reduced, **_names(kind)}
        )
        object.__setattr__(copied, _MARK, _Wrapped(target, runtime))
    except (TypeError, AttributeError):
        return None
    return copied


def _names(kind: type) -> dict[str, Any]:
    return {"__module__": kind.__module__, "__qualname__": kind.__qualname__}


def _reduced(self: Any, protocol: Any) -> Any:
    """How a wrapped object is copied and pickled: as one of its own class, which is wrapped again."""
    known: _Wrapped = getattr(self, _MARK)
    bare = copy.copy(known.original)
    if hasattr(bare, "__dict__"):
        vars(bare).clear()
        vars(bare).update({name: value for name, value in vars(self).items() if name != _MARK})
    return _with_call, (bare, known.runtime)


def _wrapped(function: Any, runtime: Runtime, original: Any) -> Any:
    """`function` as a function of the same kind, each call a run."""
    wrapper: Any
    if inspect.isasyncgenfunction(function):
        wrapper = _async_steps(
            lambda args, kwargs: (_Frame(runtime, function, args, kwargs), function(*args, **kwargs))
        )
    elif inspect.iscoroutinefunction(function):

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await _awaited(_Frame(runtime, function, args, kwargs), function, args, kwargs)

    elif inspect.isgeneratorfunction(function):

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            frame = _Frame(runtime, function, args, kwargs)
            return (yield from _steps(frame, function(*args, **kwargs)))

    else:

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            frame = _Frame(runtime, function, args, kwargs)
            with frame.active():
                result = function(*args, **kwargs)
            return _followed(frame, result)

    functools.update_wrapper(wrapper, function)
    setattr(wrapper, _MARK, _Wrapped(original, runtime))
    return wrapper


class _Frame:
    """One call: its run, its arguments as words, and what it has given so far. Never raises of its own."""

    def __init__(self, runtime: Runtime, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.runtime = runtime
        self.run: Run | None = None
        self.asked = ""
        self._given: list[str] = []
        self._size = 0
        self._open = True
        with runtime.guard("call"):
            label = getattr(function, "__qualname__", type(function).__qualname__)
            self.run = runtime.start(label=label.removesuffix(".__call__"), kind="container")
            self.asked = _arguments(function, args, kwargs)
            self.run.opening = self._question

    def _question(self) -> list[Message]:
        return [_message("user", self.asked)] if self.asked else []

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """The code inside is part of the run. An exception that leaves it ends the run."""
        token = self.run.enter() if self.run is not None else None
        try:
            yield
        except (StopIteration, StopAsyncIteration):
            raise
        except BaseException as error:
            self.end(error)
            raise
        finally:
            if self.run is not None and token is not None:
                self.run.leave(token)

    def gave(self, item: object) -> None:
        """One item of what is yielded."""
        if len(self._given) >= _ITEMS and not issubclass(type(item), str):
            return
        if self._size < _TEXT:
            with self.runtime.guard("yield"):
                text = item if type(item) is str else _words(item)
                self._given.append(text)
                self._size += len(text)

    def returned(self, value: object) -> None:
        """The end, with a value."""
        with self.runtime.guard("return"):
            if value is not None:
                self._given.append(_words(value))
        self.end()

    def end(self, error: BaseException | None = None) -> None:
        """The end. The first one counts."""
        run = self.run
        if run is None or not self._open:
            return
        self._open = False
        with self.runtime.guard("end"):
            if not run.adopted and not run.has_content:
                answer = "".join(self._given)[:_TEXT]
                messages = [] if run.opened else self._question()
                if answer:
                    messages.append(_message("assistant", answer))
                if messages:
                    run.record(*messages, size=len(self.asked) + len(answer) + 512, frame=True)
            if error is None:
                run.end("success")
            elif isinstance(error, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit):
                run.end("cancelled")
            else:
                run.end("failed", reason_of(error))


def _message(role: Any, text: str) -> Message:
    kind: Role = role
    return Message(role=kind, parts=(Part(type="text", text=text),), format="acontext")


# -- following what a call gives until it ends
async def _awaited(frame: _Frame, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with frame.active():
        result = await function(*args, **kwargs)
    return _followed(frame, result)


async def _finished(frame: _Frame, awaitable: Any) -> Any:
    with frame.active():
        result = await awaitable
    return _followed(frame, result)


def _steps(frame: _Frame, generator: Any) -> Any:
    """Run a generator step by step: the run is current inside of it, never in its consumer."""
    step, argument = generator.send, None
    while True:
        try:
            with frame.active():
                item = step(argument)
        except StopIteration as stop:
            frame.returned(stop.value)
            return stop.value
        frame.gave(item)
        try:
            argument = yield item
            step = generator.send
        except GeneratorExit as closed:
            with frame.active():
                generator.close()
            frame.end(closed)
            raise
        except BaseException as error:
            step, argument = generator.throw, error


def _async_steps(start: Callable[[tuple[Any, ...], dict[str, Any]], tuple[_Frame, Any]]) -> Any:
    """An async generator function that does the same for the async generator that `start` gives."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        frame, generator = start(args, kwargs)
        step, argument = generator.asend, None
        while True:
            try:
                with frame.active():
                    item = await step(argument)
            except StopAsyncIteration:
                frame.end()
                return
            frame.gave(item)
            try:
                argument = yield item
                step = generator.asend
            except GeneratorExit as closed:
                with frame.active():
                    await generator.aclose()
                frame.end(closed)
                raise
            except BaseException as error:
                step, argument = generator.athrow, error

    return wrapper


def _followed(frame: _Frame, result: Any) -> Any:
    """`result`, or something of its kind that ends the run when it ends."""
    kind = type(result)  # only that: the host's objects may load, send or raise when they are asked for anything
    if any(one.__name__ == "RunResultStreaming" and one.__module__.startswith("agents.") for one in kind.__mro__):
        if result.run_loop_task is not None:
            result.run_loop_task.add_done_callback(functools.partial(_done, frame))
            return result
    elif issubclass(kind, asyncio.Future | concurrent.futures.Future):
        result.add_done_callback(functools.partial(_done, frame))
        return result
    if issubclass(kind, types.CoroutineType):
        return _finished(frame, result)
    if issubclass(kind, types.GeneratorType):
        return _steps(frame, result)
    if issubclass(kind, types.AsyncGeneratorType):
        return _async_steps(lambda args, kwargs: (frame, result))()
    if _is_stream(result):
        return _stream(frame, result)
    frame.returned(result)
    return result


def _done(frame: _Frame, future: Any) -> None:
    if future.cancelled():
        frame.end(asyncio.CancelledError())
        return
    error = future.exception()
    if error is not None:
        frame.end(error)
    else:
        value = future.result()
        frame.returned(value)


def _is_stream(result: Any) -> bool:
    """Whether it gives its items one by one and wants to be closed: a stream of some client, not a collection."""
    kind = type(result)
    steps = hasattr(kind, "__next__") or hasattr(kind, "__anext__")
    return steps and (hasattr(kind, "close") or hasattr(kind, "aclose")) and not issubclass(kind, io.IOBase)


def _stream(frame: _Frame, stream: Any) -> Any:
    """A stand-in for `stream` that looks like it, and ends the run when it is exhausted, closed or fails."""
    kind = type(stream)

    def end_with(name: str, error: BaseException | None) -> Any:
        call = getattr(stream, name)
        if inspect.iscoroutinefunction(call):

            async def close_async(*args: Any, **kwargs: Any) -> Any:
                with frame.active():
                    result = await call(*args, **kwargs)
                frame.end(error)
                return result

            return close_async

        def close(*args: Any, **kwargs: Any) -> Any:
            with frame.active():
                result = call(*args, **kwargs)
            frame.end(error)
            return result

        return close

    class RecordedStream:
        __slots__ = ()

        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            return kind

        def __getattr__(self, name: str) -> Any:
            return end_with(name, GeneratorExit()) if name in ("close", "aclose") else getattr(stream, name)

        def __setattr__(self, name: str, value: object) -> None:
            setattr(stream, name, value)

        def __repr__(self) -> str:
            return repr(stream)

        if hasattr(kind, "__next__"):

            def __iter__(self) -> Any:
                return self

            def __next__(self) -> Any:
                try:
                    with frame.active():
                        item = next(stream)
                except StopIteration:
                    frame.end()
                    raise
                frame.gave(item)
                return item

        if hasattr(kind, "__anext__"):

            def __aiter__(self) -> Any:
                return self

            async def __anext__(self) -> Any:
                try:
                    with frame.active():
                        item = await anext(stream)
                except StopAsyncIteration:
                    frame.end()
                    raise
                frame.gave(item)
                return item

        if hasattr(kind, "__enter__"):

            def __enter__(self) -> Any:
                entered = stream.__enter__()
                return self if entered is stream else entered

            def __exit__(self, *raised: Any) -> Any:
                try:
                    return stream.__exit__(*raised)
                finally:
                    frame.end(raised[1] or GeneratorExit())

        if hasattr(kind, "__aenter__"):

            async def __aenter__(self) -> Any:
                entered = await stream.__aenter__()
                return self if entered is stream else entered

            async def __aexit__(self, *raised: Any) -> Any:
                try:
                    return await stream.__aexit__(*raised)
                finally:
                    frame.end(raised[1] or GeneratorExit())

    return RecordedStream()


# -- values as words
class _Words(reprlib.Repr):
    """Short words for values; objects of the host are named, not asked to describe themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 2000
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = self.maxdeque = _ITEMS

    def repr_instance(self, value: Any, level: int) -> str:
        return f"<{type(value).__qualname__}>"


_repr = _Words()


def _words(value: object) -> str:
    return str(value)[:_TEXT] if issubclass(type(value), str) else _repr.repr(value)


def _arguments(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The arguments of a call as words: the only text as it is, else `name: value` a line."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        bound = {**{str(number): value for number, value in enumerate(args)}, **kwargs}
    first = next(iter(bound), None)
    method = "." in getattr(function, "__qualname__", "").rpartition("<locals>.")[2]
    if method and first in ("self", "cls"):
        bound = {name: value for name, value in bound.items() if name != first}
    if len(bound) == 1 and isinstance(only := next(iter(bound.values())), str):
        return only[:_TEXT]
    return "\n".join(f"{name}: {_words(value)}" for name, value in bound.items())[:_TEXT]
