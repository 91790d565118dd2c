"""Executions: a tool's own function, followed from its start to its end.

Between a call and its function stand agno's hooks, its cache and its checks of arguments. Whether the tool ran, and
with what, is known here alone: the function that agno is about to call is put into another one of the same kind.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Literal, Protocol

from agno.exceptions import RunCancelledException
from pydantic import ValidationError

from acontext_plugins.runs import reason_of
from acontext_store.types import Json

#: What a tool's function has come to. "" = it has not begun, or goes on; "unfitting" = its arguments were refused.
End = Literal["", "unfinished", "unfitting", "failed", "executed"]
_RANKS: dict[End, int] = {"": 0, "unfinished": 1, "unfitting": 2, "failed": 3, "executed": 4}
_SLOT = "__acontext_execution__"

#: The call whose tool is running, for agents that run inside of it.
current_execution: ContextVar[Execution | None] = ContextVar("acontext_agno_execution", default=None)


class Ledger(Protocol):
    """The calls of a run, as an execution needs them."""

    def guard(self, step: str) -> AbstractContextManager[None]:
        """Keeps errors of ours from the tool that is running."""


class Execution:
    """What agno makes of one call. A hook may run the tool several times: what came of it best counts."""

    __slots__ = (
        "call_id",
        "claimed",
        "end",
        "filled_in",
        "given",
        "hooked",
        "late",
        "ledger",
        "limited",
        "member_error",
        "members",
        "members_failed",
        "name",
        "ran",
        "reason",
        "result_ok",
        "running",
        "schema",
        "waiting",
    )

    def __init__(self, call: Any, ledger: Ledger) -> None:
        function = call.function
        #: Whose call it is.
        self.ledger = ledger
        self.call_id: str = call.call_id or ""
        self.name: str = function.name
        #: The arguments before any hook.
        self.given = frozen(call.arguments or {})
        self.schema = _names(function.parameters)
        #: A person gives some of its arguments, since the model cannot.
        self.filled_in = bool(function.requires_user_input)
        self.hooked = bool(function.tool_hooks or function.pre_hook)
        self.running = 0
        self.end: End = ""
        #: The arguments that the tool's function was called with.
        self.ran: Json | None = None
        #: The words of an error, of the tool's or of whoever kept it from running.
        self.reason = ""
        #: Whether its result is one of success; None = it has none yet.
        self.result_ok: bool | None = None
        #: The limit of calls was reached before it.
        self.limited = False
        #: Told when the tool ends after the run has.
        self.late: Callable[[], None] | None = None
        #: Agents that ran inside of it, and how many of them failed.
        self.claimed = False
        self.members = 0
        self.members_failed = 0
        self.member_error = ""
        #: A member in it waits for a human: what stands for its result now is none.
        self.waiting = False

    @property
    def began(self) -> bool:
        """Whether the tool's function was called."""
        return self.running > 0 or self.end != ""

    def starts(self, arguments: dict[str, Any]) -> Json:
        """The function is called; its arguments without what agno adds (agents, contexts, media)."""
        self.running += 1
        return frozen({name: value for name, value in arguments.items() if name in self.schema or name in self.given})

    def ends(self, ran: Json | None, error: BaseException | None, words: str, function: Any) -> None:
        """The function has returned, or raised `error`; `words` of a server say that its tool has failed."""
        end: End = "failed" if words else "executed"
        if error is not None:
            stopped = isinstance(error, RunCancelledException) or not isinstance(error, Exception)
            end = "unfinished" if stopped else "failed" if _entered(function, error) else "unfitting"
        self.running -= 1
        if _RANKS[end] >= _RANKS[self.end]:
            self.end, self.ran = end, ran
            self.reason = reason_of(error) if error is not None else words
        if self.late is not None:
            self.late()

    def claim(self) -> str | None:
        """Its id, for the first agent that runs in it: that one answers the call."""
        first, self.claimed = not self.claimed, True
        return self.call_id or None if first else None

    def member_ended(self, error: str | None) -> None:
        """An agent inside of it has ended, with an error or without one."""
        self.members += 1
        if error is not None:
            self.members_failed += 1
            self.member_error = error


def follow(call: Any, ledger: Ledger) -> Execution:
    """Follow what becomes of agno's `FunctionCall`. It gets a function of its own; the host's stay as they are."""
    execution = Execution(call, ledger)
    if call.function.entrypoint is not None:
        call.function = copy.copy(call.function)
        call.function.entrypoint = _followed(call.function.entrypoint, execution)
    return execution


def execution_of(call: Any) -> Execution | None:
    """How a `FunctionCall` is followed."""
    found = getattr(call.function.entrypoint, _SLOT, None)
    return found if isinstance(found, Execution) else None


@contextlib.contextmanager
def _current(execution: Execution) -> Iterator[None]:
    token = current_execution.set(execution)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a generator that is finalised in another context
            current_execution.reset(token)


class _Attempt:
    """One time that the function is called. Generators are followed to their end."""

    __slots__ = ("arguments", "execution", "function", "over")

    def __init__(self, execution: Execution, function: Any, arguments: dict[str, Any]) -> None:
        self.execution = execution
        self.function = function
        self.arguments: Json | None = None
        self.over = False
        with execution.ledger.guard("tool start"):
            self.arguments = execution.starts(arguments)

    def ends(self, error: BaseException | None = None, result: object = None) -> None:
        if not self.over:
            self.over = True
            with self.execution.ledger.guard("tool end"):
                words = _server_error(self.function, result) if result is not None else ""
                self.execution.ends(self.arguments, error, words, self.function)

    def call(self, args: Any, kwargs: Any) -> Any:
        try:
            with _current(self.execution):
                result = self.function(*args, **kwargs)
        except BaseException as error:
            self.ends(error)
            raise
        if inspect.isgenerator(result):
            return self.steps(result)
        if inspect.isasyncgen(result):
            return self.async_steps(result)
        if inspect.iscoroutine(result):
            return self.awaited(result)
        self.ends(result=result)
        return result

    async def awaited(self, coroutine: Any) -> Any:
        try:
            with _current(self.execution):
                result = await coroutine
        except BaseException as error:
            self.ends(error)
            raise
        self.ends(result=result)
        return result

    def steps(self, generator: Any) -> Any:
        try:
            while True:
                try:
                    with _current(self.execution):
                        item = next(generator)
                except StopIteration as stop:
                    self.ends()
                    return stop.value
                yield item
        except BaseException as error:
            self.ends(error)
            raise
        finally:
            with _current(self.execution):
                generator.close()

    async def async_steps(self, generator: Any) -> Any:
        try:
            while True:
                try:
                    with _current(self.execution):
                        item = await anext(generator)
                except StopAsyncIteration:
                    self.ends()
                    return
                yield item
        except BaseException as error:
            self.ends(error)
            raise
        finally:
            with _current(self.execution):
                await generator.aclose()


def _followed(function: Callable[..., Any], execution: Execution) -> Callable[..., Any]:
    """A function of the same kind: agno asks which kind it is."""
    followed: Callable[..., Any]
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def followed(*args: Any, **kwargs: Any) -> Any:
            async with contextlib.aclosing(_Attempt(execution, function, kwargs).call(args, kwargs)) as steps:
                async for item in steps:
                    yield item

    elif inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def followed(*args: Any, **kwargs: Any) -> Any:
            return await _Attempt(execution, function, kwargs).call(args, kwargs)

    elif inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def followed(*args: Any, **kwargs: Any) -> Any:
            return (yield from _Attempt(execution, function, kwargs).call(args, kwargs))

    else:

        @functools.wraps(function)
        def followed(*args: Any, **kwargs: Any) -> Any:
            return _Attempt(execution, function, kwargs).call(args, kwargs)

    setattr(followed, _SLOT, execution)
    return followed


def _entered(function: Any, error: BaseException) -> bool:
    """Whether the tool's own code had begun when `error` was raised; arguments that do not fit are refused before."""
    if not isinstance(error, TypeError | ValidationError):
        return True
    code = getattr(_innermost(function), "__code__", None)
    if code is None:
        return True
    chain: BaseException | None = error
    while chain is not None:
        trace = chain.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code is code:
                return True
            trace = trace.tb_next
        chain = chain.__cause__ or chain.__context__
    return False


def _server_error(function: Any, result: object) -> str:
    """What agno writes where an MCP server says that its tool has failed, or cannot be reached: it has no flag."""
    words = getattr(result, "content", None)
    if not isinstance(words, str) or getattr(_innermost(function), "__module__", "") != "agno.utils.mcp":
        return ""
    failed = words.startswith(("Error from MCP tool ", "Error: ")) or bool(re.match(r"MCP tool '.*' failed: ", words))
    return words if failed else ""


def _innermost(function: Any) -> Any:
    """The function inside of decorators and partial calls."""
    function = inspect.unwrap(function)
    return _innermost(function.func) if isinstance(function, functools.partial) else function


def _names(parameters: Any) -> frozenset[str]:
    """The names of a tool's arguments, as its schema has them."""
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    return frozenset(properties) if isinstance(properties, dict) else frozenset()


def frozen(arguments: dict[str, Any]) -> Json:
    """A copy that no hook and no tool can change."""
    return {
        name: value if value is None or isinstance(value, str | int | float) else _as_json(value)
        for name, value in arguments.items()
    }


def _as_json(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, default=str))
    except Exception:  # loops, keys that are no text, objects without words
        return f"<{type(value).__qualname__}>"
