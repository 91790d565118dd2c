"""Wrapping: graphs, chat models, what is bound around them, and other runnables."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableBinding, RunnableConfig, RunnableSequence
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool

from acontext_plugins.runs import Runtime

from ..shared.subclass import over, under
from .config import thread_of, user_of, with_handler
from .handler import AcontextCallbackHandler, RunnableHandler
from .langgraph_types import is_graph
from .mark import Mark, mark_of
from .model import wrap_model


def wrap_runnable(target: Any, runtime: Runtime) -> Any:
    """The copy of a graph, a chat model or another runnable that records, and injects where there is a model."""
    if is_graph(target):
        return _wrap_graph(target, runtime)
    if isinstance(target, BaseTool):
        raise TypeError("a tool is part of an agent: give learning() the agent, the graph or the model that calls it")
    inner = _with_learned_models(target, runtime)
    if isinstance(inner, BaseChatModel | RunnableBinding):
        return inner
    known = mark_of(target)
    if known is not None and known.runtime.same_as(runtime):
        return target
    return over(under(inner), LearnedRunnable, Mark(runtime))


def _wrap_graph(graph: Any, runtime: Runtime) -> Any:
    from .graph import wrap_graph  # langgraph is there: it has made the graph

    return wrap_graph(graph, runtime)


def _with_learned_models(target: Any, runtime: Runtime) -> Any:
    """`target` with the chat models that it is made of wrapped; itself where there are none."""
    if isinstance(target, BaseChatModel):
        return wrap_model(target, runtime)
    if isinstance(target, RunnableBinding):
        bound = _wrap_graph(target.bound, runtime) if is_graph(target.bound) else None
        bound = bound or _with_learned_models(target.bound, runtime)
        return target if bound is target.bound else target.model_copy(update={"bound": bound})
    if isinstance(target, RunnableSequence):
        steps = [_with_learned_models(step, runtime) for step in target.steps]
        if all(a is b for a, b in zip(steps, target.steps, strict=True)):
            return target
        return target.model_copy(update={"first": steps[0], "middle": steps[1:-1], "last": steps[-1]})
    return target


class LearnedRunnable:
    """What a learned runnable does around the runs of its class: one more handler goes with their configuration."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        around: Any = super()
        return around.invoke(input, _handled(self, config), **options)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        around: Any = super()
        return await around.ainvoke(input, _handled(self, config), **options)

    def batch(self, inputs: Any, config: Any = None, **options: Any) -> Any:
        around: Any = super()
        return around.batch(inputs, _all_handled(self, config), **options)

    async def abatch(self, inputs: Any, config: Any = None, **options: Any) -> Any:
        around: Any = super()
        return await around.abatch(inputs, _all_handled(self, config), **options)

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:
        around: Any = super()
        yield from around.stream(input, _handled(self, config), **options)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[Any]:
        around: Any = super()
        chunks = around.astream(input, _handled(self, config), **options)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    def transform(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:
        around: Any = super()
        yield from around.transform(input, _handled(self, config), **options)

    async def atransform(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[Any]:
        around: Any = super()
        chunks = around.atransform(input, _handled(self, config), **options)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk


def _all_handled(target: Any, config: Any) -> Any:
    if isinstance(config, list):
        return [_handled(target, one) for one in config]
    return _handled(target, config)


def _handled(target: Any, config: Any) -> Any:
    mark = mark_of(target)
    if mark is None:
        return config
    with mark.runtime.guard("run start"):
        callbacks: Any = ensure_config(config).get("callbacks")
        there = callbacks if isinstance(callbacks, list) else getattr(callbacks, "handlers", ())
        if any(isinstance(handler, AcontextCallbackHandler) for handler in there):
            return config  # part of a run that is recorded already
        handler = RunnableHandler(mark.runtime, thread_of(None, config), user_of(None, config))
        return with_handler(None, config, handler)
    return config
