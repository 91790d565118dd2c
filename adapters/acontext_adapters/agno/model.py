"""The model of a wrapped agent: the user's own one, with a look at what passes.

It is of a subclass of the model's class, and shares all of its state (they have one `__dict__`), so that clients,
counters and settings are the same on both. What the model is given beyond the run's messages is in no list that
agno keeps: skills are neither in the run's output nor in a database.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from agno.models.base import Model

from ..shared.subclass import class_over, mark_in, set_mark
from .run_tracker import AgnoRunTracker, current_watch


class Seen:
    """What a wrapped model does besides. Its mark is (the mark of the agent, the user's model).

    A copy is one of the user's model: an agent sees into the model that it has when it runs.
    """

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return bare_model(self).__reduce_ex__(protocol)

    def __eq__(self, other: object) -> Any:
        return bare_model(self) == bare_model(other)

    def __hash__(self) -> int:
        return hash(bare_model(self))

    # -- one call of a run: the loop of model and tools
    def response(self: Any, *args: Any, **kwargs: Any) -> Any:
        tracker = _watch_of(self, kwargs)
        if tracker is None:
            return super().response(*args, **kwargs)  # type: ignore[misc]
        tracker.begin(kwargs["messages"], kwargs["run_response"], kwargs.get("tools"))
        tracker.recall()
        try:
            result = super().response(*args, **kwargs)  # type: ignore[misc]
        except Exception as error:
            tracker.model_ended(error)
            raise
        tracker.model_ended()
        return result

    async def aresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        tracker = _watch_of(self, kwargs)
        if tracker is None:
            return await super().aresponse(*args, **kwargs)  # type: ignore[misc]
        tracker.begin(kwargs["messages"], kwargs["run_response"], kwargs.get("tools"))
        await tracker.arecall()
        try:
            result = await super().aresponse(*args, **kwargs)  # type: ignore[misc]
        except Exception as error:
            tracker.model_ended(error)
            raise
        tracker.model_ended()
        return result

    def response_stream(self: Any, *args: Any, **kwargs: Any) -> Any:
        stream = super().response_stream(*args, **kwargs)  # type: ignore[misc]
        tracker = _watch_of(self, kwargs)
        return stream if tracker is None else _Steps(stream, tracker, kwargs)

    def aresponse_stream(self: Any, *args: Any, **kwargs: Any) -> Any:
        stream = super().aresponse_stream(*args, **kwargs)  # type: ignore[misc]
        tracker = _watch_of(self, kwargs)
        return stream if tracker is None else _AsyncSteps(stream, tracker, kwargs)

    # -- one call of a tool
    def run_function_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        tracker = _running(self)
        if tracker is not None:
            tracker.runs(_function_call(args, kwargs))
        return super().run_function_call(*args, **kwargs)  # type: ignore[misc]

    async def arun_function_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        tracker = _running(self)
        if tracker is not None:
            tracker.runs(_function_call(args, kwargs))
        return await super().arun_function_call(*args, **kwargs)  # type: ignore[misc]

    def create_function_call_result(self: Any, *args: Any, **kwargs: Any) -> Any:
        message = super().create_function_call_result(*args, **kwargs)  # type: ignore[misc]
        tracker = _running(self)
        if tracker is not None:
            tracker.made(_function_call(args, kwargs), message)
        return message

    def create_tool_call_limit_error_result(self: Any, *args: Any, **kwargs: Any) -> Any:
        message = super().create_tool_call_limit_error_result(*args, **kwargs)  # type: ignore[misc]
        tracker = _running(self)
        if tracker is not None:
            tracker.limited(_function_call(args, kwargs), message)
        return message

    # -- one request to the provider
    def invoke(self: Any, *args: Any, **kwargs: Any) -> Any:
        return super().invoke(*args, **_given(self, kwargs))  # type: ignore[misc]

    async def ainvoke(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await super().ainvoke(*args, **_given(self, kwargs))  # type: ignore[misc]

    def invoke_stream(self: Any, *args: Any, **kwargs: Any) -> Any:
        return super().invoke_stream(*args, **_given(self, kwargs))  # type: ignore[misc]

    def ainvoke_stream(self: Any, *args: Any, **kwargs: Any) -> Any:
        return super().ainvoke_stream(*args, **_given(self, kwargs))  # type: ignore[misc]


class _Stream:
    """The model's stream. An iterator and no generator: it ends exactly when the one inside of it does."""

    def __init__(self, stream: Any, tracker: AgnoRunTracker, call: dict[str, Any]) -> None:
        self._stream = stream
        self._watch = tracker
        self._call: dict[str, Any] | None = call

    def _begins(self) -> bool:
        call, self._call = self._call, None
        if call is not None:
            self._watch.begin(call["messages"], call["run_response"], call.get("tools"))
        return call is not None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Steps(_Stream):
    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._begins():
            self._watch.recall()
        try:
            return next(self._stream)
        except StopIteration:
            self._watch.model_ended()
            raise
        except Exception as error:
            self._watch.model_ended(error)
            raise


class _AsyncSteps(_Stream):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._begins():
            await self._watch.arecall()
        try:
            return await anext(self._stream)
        except StopAsyncIteration:
            self._watch.model_ended()
            raise
        except Exception as error:
            self._watch.model_ended(error)
            raise


def learning_model(model: Any, owner: object) -> Any:
    """`model` for the agent whose mark is `owner`; as it is where it cannot be seen into."""
    if not isinstance(model, Model) or owner_of(model) is owner:
        return model
    bare = bare_model(model)
    seen: Any = object.__new__(class_over(type(bare), Seen))
    object.__setattr__(seen, "__dict__", bare.__dict__)
    set_mark(seen, (owner, bare))
    return seen


def bare_model(model: Any) -> Any:
    """The user's own model."""
    held = mark_in(model)
    return model if held is None else held[1]


def owner_of(model: Any) -> Any:
    """The mark of the agent that it is of; None for a model as it is, which copies of a wrapped one are, too."""
    held = mark_in(model)
    return None if held is None else held[0]


def _watch_of(model: Any, call: dict[str, Any]) -> AgnoRunTracker | None:
    """The run that a call belongs to. A model serves others, too: summaries, memories, reasoning, the host's tools."""
    tracker, output = current_watch.get(), call.get("run_response")
    if tracker is None or output is None or tracker.owner.mark is not owner_of(model):
        return None
    if "send_media_to_model" not in call or "messages" not in call:
        return None  # a side call that is made in the run's name: rewriting a query, for instance
    with tracker.runtime.guard("model start"):
        if tracker.run_id is None or tracker.resumed:
            mine = tracker.owner.is_run_of(output) and output.session_id == tracker.session_id
            return tracker if mine else None
        return tracker if output.run_id == tracker.run_id else None
    return None


def _running(model: Any) -> AgnoRunTracker | None:
    """The run that is current, where this is its model."""
    tracker = current_watch.get()
    return tracker if tracker is not None and tracker.owner.mark is owner_of(model) else None


def _function_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return kwargs["function_call"] if "function_call" in kwargs else args[0]


def _given(model: Any, call: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a request to the provider, with skills where they belong."""
    tracker = current_watch.get()
    if tracker is None or tracker.live is None or call.get("messages") is not tracker.live:
        return call
    if tracker.owner.mark is not owner_of(model):
        return call
    with tracker.runtime.guard("inject"):
        return {**call, "messages": tracker.given(call["messages"], tracker.owner.system_role)}
    return call
