"""Chat models: a copy of the same class whose prompts hold skills. For graphs, chains and loops written by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig

from acontext_plugins.inject.recall import SkillsBlock
from acontext_plugins.runs import Runtime

from ..shared.subclass import over, under
from .config import thread_of, user_of
from .mark import Mark, mark_of
from .placement import in_prompt
from .run_tracker import LangChainRunTracker, Scope, foreign_agent, found, scope
from .turns import ConversationTurn, join, tool_names

#: The learned model that is called with a configuration, and that configuration: `generate` is not given it.
_called: ContextVar[tuple[Any, RunnableConfig | None] | None] = ContextVar("acontext_langchain_model", default=None)


class LearnedModel:
    """What a learned chat model does around the calls of its class."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        around: Any = super()
        token = _called.set((self, config))
        try:
            return around.invoke(input, config, **options)
        finally:
            _called.reset(token)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        around: Any = super()
        token = _called.set((self, config))
        try:
            return await around.ainvoke(input, config, **options)
        finally:
            _called.reset(token)

    def generate(self, messages: list[list[BaseMessage]], *args: Any, **options: Any) -> Any:
        around: Any = super()
        calls = [_ModelCall(self, prompt, options, _config_of(self)) for prompt in messages]
        for call in calls:
            call.ask()
        token = calls[0].enter() if calls else None
        try:
            result = around.generate([call.prompt() for call in calls], *args, **options)
        finally:
            _leave(token)
        _gave(calls, result)
        return result

    async def agenerate(self, messages: list[list[BaseMessage]], *args: Any, **options: Any) -> Any:
        around: Any = super()
        calls = [_ModelCall(self, prompt, options, _config_of(self)) for prompt in messages]
        for call in calls:
            await call.aask()
        token = calls[0].enter() if calls else None
        try:
            result = await around.agenerate([call.prompt() for call in calls], *args, **options)
        finally:
            _leave(token)
        _gave(calls, result)
        return result

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:
        around: Any = super()
        call = _ModelCall(self, input, {"callbacks": (config or {}).get("callbacks"), **options}, config)
        call.ask()
        chunks: list[Any] = []
        steps = around.stream(call.prompt(), config, **options)
        try:
            while True:
                token = call.enter()
                try:
                    chunk = next(steps)
                except StopIteration:
                    break
                finally:
                    _leave(token)
                chunks.append(chunk)
                yield chunk
        finally:
            steps.close()
        call.streamed(chunks)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[Any]:
        around: Any = super()
        call = _ModelCall(self, input, {"callbacks": (config or {}).get("callbacks"), **options}, config)
        await call.aask()
        chunks: list[Any] = []
        steps = around.astream(call.prompt(), config, **options)
        try:
            while True:
                token = call.enter()
                try:
                    chunk = await anext(steps)
                except StopAsyncIteration:
                    break
                finally:
                    _leave(token)
                chunks.append(chunk)
                yield chunk
        finally:
            await steps.aclose()
        call.streamed(chunks)


class _ModelCall:
    """One call of a learned model."""

    def __init__(self, model: Any, given: Any, options: dict[str, Any], config: RunnableConfig | None) -> None:
        self._given = given
        self._blocks: tuple[SkillsBlock, ...] = ()
        self._messages: list[BaseMessage] = []
        self._watch: LangChainRunTracker | None = None
        self._talk: ConversationTurn | None = None
        self._tools = None
        mark = mark_of(model)
        if mark is None:
            return
        self._runtime = mark.runtime
        with mark.runtime.guard("model step"):
            self._messages = _messages(given)
            callbacks: Any = {"callbacks": options.get("callbacks")}
            around = found(callbacks)
            if around is not None and around.call_id is not None:
                return  # inside a tool of an agent: what happens there is the tool's
            self._tools = tool_names(options.get("tools"))
            if around is not None:
                self._watch = around.tracker
            elif not foreign_agent():
                thread, user = thread_of(None, config), user_of(None, config)
                self._talk = join(mark.runtime, model.get_name(), "model", self._messages, thread, user)
                self._watch = self._talk.tracker

    def ask(self) -> None:
        if self._watch is not None:
            with self._runtime.guard("skills"):
                self._blocks = self._watch.skills(self._runtime, self._messages, self._tools)

    async def aask(self) -> None:
        if self._watch is not None:
            with self._runtime.guard("skills"):
                self._blocks = await self._watch.askills(self._runtime, self._messages, self._tools)

    def prompt(self) -> Any:
        """What the model is given, with the skills in it."""
        if not self._blocks:
            return self._given
        with self._runtime.guard("place"):
            return in_prompt(self._messages, self._blocks)
        return self._given

    def enter(self) -> Any:
        """Nested calls of the same model are this one."""
        return scope.set(Scope(self._watch, self)) if self._talk is not None and self._watch is not None else None

    def answered(self, answer: Any) -> None:
        if self._talk is None or self._watch is None or not isinstance(answer, AIMessage):
            return
        with self._runtime.guard("model answer"):
            self._watch.heard(self._messages)
            self._watch.answered(answer)
            self._talk.answered(self._messages, [answer])

    def streamed(self, chunks: Sequence[Any]) -> None:
        if self._talk is None or not chunks:
            return
        with self._runtime.guard("model answer"):
            whole = chunks[0]
            for chunk in chunks[1:]:
                whole = whole + chunk
            self.answered(whole)


def _config_of(model: Any) -> RunnableConfig | None:
    """The configuration that this model is called with; None where it is called in no such way."""
    called = _called.get()
    return called[1] if called is not None and called[0] is model else None


def _leave(token: Any) -> None:
    if token is not None:
        scope.reset(token)


def _gave(calls: Sequence[_ModelCall], result: Any) -> None:
    for call, generations in zip(calls, getattr(result, "generations", ()), strict=False):
        if generations:
            call.answered(getattr(generations[0], "message", None))


def _messages(given: Any) -> list[BaseMessage]:
    """A prompt in any of the forms that models take."""
    from langchain_core.messages import convert_to_messages

    if isinstance(given, list) and all(isinstance(one, BaseMessage) for one in given):
        return given
    if hasattr(given, "to_messages"):
        return list(given.to_messages())
    return convert_to_messages([given] if isinstance(given, str) else list(given))


def wrap_model(model: Any, runtime: Runtime) -> Any:
    """The model's copy whose prompts hold skills."""
    known = mark_of(model)
    if known is not None and known.runtime.same_as(runtime):
        return model
    return over(under(model), LearnedModel, Mark(runtime))
