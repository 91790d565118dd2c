"""A middleware for `create_agent`: skills stand behind the system prompt, and the model's calls are recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Unpack

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool

from acontext_plugins.concurrency.caches import SharedCache
from acontext_plugins.inject.recall import SkillsBlock
from acontext_plugins.inject.render import CATALOG_ARGUMENT, CATALOG_TOOL, READ_SKILL
from acontext_plugins.learning import client_or_default
from acontext_plugins.runs import HasConnection, LearningOptions, RecordingClient, Run, RunOptions, Runtime

from ..shared.users import user_in
from .config import thread_of, user_of
from .convert import messages_in
from .placement import in_request
from .run_tracker import LangChainRunTracker, Scope, found, scope
from .turns import ConversationTurn, join, tool_names


class AcontextMiddleware(AgentMiddleware[Any, Any, Any]):
    """`create_agent(model, tools, middleware=[AcontextMiddleware(space="support")])`. Put it first.

    Skills stand in one text behind the system prompt, the same in every call of a run; nothing of it is in the
    agent's state. It has no hooks but the one around the model, so that nothing is added to the agent's graph. What a
    middleware is not told, it cannot record: see `learning(agent)`, with which it shares the run.
    """

    def __init__(
        self,
        *,
        space: str | None,
        client: HasConnection | RecordingClient | None = None,
        **options: Unpack[LearningOptions],
    ) -> None:
        super().__init__()
        self.runtime = Runtime(RunOptions(space=space, **options), client_or_default(client))
        self.tools = []
        self._setup()

    def _setup(self) -> None:
        #: The runs whose models have asked for a skill of the catalog, by the ids of those calls.
        self._readers: SharedCache[str, Run] = SharedCache(1024)
        chosen = self.runtime.options
        catalog = chosen.inject_as == "catalog" and chosen.inject and chosen.space is not None
        if catalog:
            self.tools = [*self.tools, self._reader()]

    def __getstate__(self) -> dict[str, Any]:
        state = {**vars(self), "tools": [one for one in self.tools if one.name != READ_SKILL]}
        del state["_readers"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._setup()  # a copy's tool reads for the runs of the copy

    def _reader(self) -> BaseTool:
        """The tool that gives a skill of which the prompt has a line."""

        def read(skill: Annotated[str, CATALOG_ARGUMENT], tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
            run = self._readers.get(tool_call_id)
            if run is None:  # another process has seen it being asked for
                return "The skills cannot be read now: go on without."
            return run.read_skill(skill)

        return StructuredTool.from_function(read, name=READ_SKILL, description=CATALOG_TOOL)

    def _keep(self, call: _AgentModelCall, response: Any) -> None:
        """Remember whose skills the calls of our tool are about."""
        run = call.tracker.injected if call.tracker is not None else None
        if not self.tools or run is None:
            return
        for message in messages_in(getattr(response, "result", response)):
            for asked in getattr(message, "tool_calls", ()):
                if asked["name"] == READ_SKILL:
                    self._readers[str(asked["id"])] = run

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> Any:
        call = _AgentModelCall(self.runtime, request)
        if call.tracker is not None:
            with self.runtime.guard("skills"):
                call.blocks = call.tracker.skills(self.runtime, request.messages, call.tools)
        token = call.enter()
        try:
            response = handler(call.request())
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            call.leave(token)
        call.answered(response)
        with self.runtime.guard("catalog"):
            self._keep(call, response)
        return response

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> Any:
        call = _AgentModelCall(self.runtime, request)
        if call.tracker is not None:
            with self.runtime.guard("skills"):
                call.blocks = await call.tracker.askills(self.runtime, request.messages, call.tools)
        token = call.enter()
        try:
            response = await handler(call.request())
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            call.leave(token)
        call.answered(response)
        with self.runtime.guard("catalog"):
            self._keep(call, response)
        return response


class _AgentModelCall:
    """One call of an agent's model."""

    def __init__(self, runtime: Runtime, request: ModelRequest[Any]) -> None:
        self.runtime = runtime
        self.blocks: tuple[SkillsBlock, ...] = ()
        self.tracker: LangChainRunTracker | None = None
        self.tools: Sequence[str] | None = None
        self._request = request
        self._talk: ConversationTurn | None = None
        with runtime.guard("model step"):
            self._join(request)

    def _join(self, request: ModelRequest[Any]) -> None:
        around = found()
        tracker: LangChainRunTracker
        if around is not None and around.call_id is None:
            tracker = around.tracker
        else:
            label = (ensure_config().get("metadata") or {}).get("lc_agent_name") or "agent"
            thread = thread_of(None, None)
            user = user_in(getattr(request.runtime, "context", None)) or user_of(None, None)
            self._talk = join(self.runtime, str(label), "agent", request.messages, thread, user, around)
            tracker = self._talk.tracker
            self._talk.keep()
        self.tools = tool_names(request.tools)
        tracker.heard(request.messages, turns=self._talk is not None)
        self.tracker = tracker

    def enter(self) -> Any:
        """A learned model in here is part of the same run."""
        return scope.set(Scope(self.tracker, self)) if self._talk is not None and self.tracker is not None else None

    def leave(self, token: Any) -> None:
        if token is not None:
            scope.reset(token)

    def request(self) -> ModelRequest[Any]:
        """The request, with the skills in it."""
        request = self._request
        if not self.blocks:
            return request
        with self.runtime.guard("place"):
            system, messages = in_request(request.system_message, request.messages, self.blocks)
            placed: Any = messages
            return request.override(messages=placed, system_message=system)
        return request

    def answered(self, response: Any) -> None:
        tracker = self.tracker
        if tracker is None:
            return
        with self.runtime.guard("model answer"):
            answers = messages_in(getattr(response, "result", response))
            for message in answers:
                if isinstance(message, AIMessage):
                    tracker.answered(message)
                elif isinstance(message, ToolMessage):
                    tracker.result(message)
            if self._talk is not None:
                self._talk.answered(self._request.messages, answers)

    def failed(self, error: BaseException) -> None:
        if self._talk is None:
            return
        with self.runtime.guard("model error"):
            self._talk.drop()
            self._talk.tracker.end(error)
