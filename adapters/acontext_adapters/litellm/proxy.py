"""The handler for the LiteLLM proxy: `litellm_settings: {callbacks: acontext_adapters.litellm.proxy_handler}`.

It stands on the hooks that the proxy calls once for each request, whatever retries and fallbacks happen below:
before the call, after an answer, around a stream, after a failure. So it sees what the client sees. What is asked is
read where a request goes out, behind all guardrails: what they mask is never seen, and of what they block no word is
kept. The proxy's log events are left alone: they come for each attempt, later, and call a client that has left a
success.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from litellm.integrations.custom_logger import CustomLogger

from acontext_plugins.concurrency.caches import SharedCache
from acontext_plugins.learning import client_or_default
from acontext_plugins.run_options import refuse_catalog
from acontext_plugins.runs import HasConnection, InjectionOptions, RecordingClient, RunOptions, Runtime, reason_of
from acontext_store.types import Json

from ..model_calls import CallRecorder, RecordedCall, WireFormat
from .bodies import FROM_SETTINGS, FromSettings, body_of, chosen_space, injected
from .identity import Caller, caller_of, caller_scope
from .streams import StreamRecorder, as_json, wire_of

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth

_MOST = 4096
_GONE = 499


class ProxyHandler(CustomLogger):
    """Records the conversations that go through the proxy, and injects what was learned.

    `space` is where those learn that name none (without it `ACONTEXT_SPACE`; None = they are only recorded);
    `client` an `AsyncAcontext` or `Acontext` (None = the settings of the environment). The rest as in `learning`.
    For a handler of your own: `callbacks: my_module.handler`, with `handler = ProxyHandler(space="support")`.
    """

    def __init__(
        self,
        *,
        space: str | FromSettings | None = FROM_SETTINGS,
        client: HasConnection | RecordingClient | None = None,
        **options: Unpack[InjectionOptions],
    ) -> None:
        super().__init__()
        self._space = chosen_space(space)
        self._given = options
        self._connection = client_or_default(client)
        self.runtime = Runtime(RunOptions(space=self._space, **self._given), self._connection)
        refuse_catalog(self.runtime.options, "the LiteLLM proxy, whose clients call their tools themselves,")
        #: One for each space and principal, so that none is taken for another.
        self._runtimes: SharedCache[tuple[str | None, str | None], Runtime] = SharedCache(_MOST)
        self._calls = CallRecorder()
        #: Who has sent a request that has not gone out yet, by the proxy's own object for it.
        self._asked: weakref.WeakKeyDictionary[Any, _Request] = weakref.WeakKeyDictionary()
        #: Calls that have not ended, and the skills that they were given, by the key's scope and the call's id.
        self._going: SharedCache[tuple[str, str], RecordedCall] = SharedCache(_MOST)
        self._skills: SharedCache[tuple[str, str], str] = SharedCache(_MOST)

    def __len__(self) -> int:
        """How many calls are going on."""
        return len(self._going)

    # -- the proxy's hooks
    async def async_pre_call_hook(
        self, user_api_key_dict: UserAPIKeyAuth, cache: Any, data: dict[str, Any], call_type: Any
    ) -> dict[str, Any]:
        with self.runtime.guard("request"):
            if wire_of(call_type) is not None:
                caller = caller_of(data, user_api_key_dict, self._space)
                name, label = _name(data, caller.scope), data.get("model")
                self._asked[data["litellm_logging_obj"]] = _Request(caller, name, label)
        return data

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        changed: Json = {}
        with self.runtime.guard("request"):
            known = kwargs.get("litellm_logging_obj")
            request, wire = self._asked.get(known) if known is not None else None, wire_of(call_type)
            if request is not None and wire is not None:
                changed = await self._begin(request, wire, kwargs)
        return {**kwargs, **changed} if changed else None

    async def async_post_call_success_hook(
        self, data: dict[str, Any], user_api_key_dict: UserAPIKeyAuth, response: Any
    ) -> None:
        with self.runtime.guard("response"):
            call = self._taken(data, user_api_key_dict)
            if call is None and getattr(response, "object", "") == "response":
                call = self._calls.opened(str(getattr(response, "id", "")))
            answer = as_json(call.put_back(response)) if call is not None else None
            if call is not None and answer is not None:
                call.answered(answer)

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: UserAPIKeyAuth, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        stream: StreamRecorder | None = None
        with self.runtime.guard("stream"):
            call = self._taken(request_data, user_api_key_dict)
            stream = StreamRecorder(call) if call is not None else None
        if stream is None:
            async for chunk in response:
                yield chunk
            return
        try:
            async for chunk in response:
                stream.feed(chunk)
                yield stream.call.put_back(chunk)
        except BaseException as error:
            stream.broke(error)  # also by a client that has left: whatever the log says, nobody has read the answer
            raise
        stream.ended()

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: UserAPIKeyAuth,
        traceback_str: str | None = None,
    ) -> None:
        with self.runtime.guard("failure"):
            call = self._taken(request_data, user_api_key_dict)
            if call is None:
                return
            if getattr(original_exception, "status_code", None) == _GONE:
                call.cancelled()
            elif _is_refusal(original_exception):
                call.blocked()
            else:
                call.failed(reason_of(original_exception))

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: UserAPIKeyAuth,
        response: Any,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        with self.runtime.guard("headers"):
            skills = self._skills.pop(_name(data, caller_scope(user_api_key_dict)), "")
            return {"x-acontext-skills": skills} if skills else None
        return None

    # -- what they do
    async def _begin(self, request: _Request, wire: WireFormat, kwargs: dict[str, Any]) -> Json:
        """The fields that are others with skills in them. It is called for each attempt, and for those of fallbacks."""
        caller = request.caller
        call = self._going.get(request.name)
        if call is None:
            call = self._calls.begin(
                self._runtime(caller),
                wire,
                body_of(kwargs),
                session_key=caller.session,
                scope=caller.scope,
                label=request.label,
                retry=caller.retry,
                holds=True,
            )
            if call.run is None:
                return {}
            self._going[request.name] = call
            if caller.status is not None:
                call.report(caller.status, caller.reason)
        if call.run is None or call.wire is not wire:
            return {}  # the same request once more, on its way to another format
        await call.aprepared()
        changed = injected(call, kwargs)
        if changed:
            self._skills[request.name] = ",".join(skill.id for skill in call.run.skills.skills)
        return changed

    def _runtime(self, caller: Caller) -> Runtime:
        name = caller.space, caller.principal
        runtime = self._runtimes.get(name)
        if runtime is None:
            options = RunOptions(space=caller.space, principal=caller.principal, **self._given)
            runtime = Runtime(options, self._connection)
            runtime.log = self.runtime.log
        self._runtimes[name] = runtime
        return runtime

    def _taken(self, data: dict[str, Any], key: UserAPIKeyAuth) -> RecordedCall | None:
        return self._going.pop(_name(data, caller_scope(key)), None)


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that the proxy has taken."""

    caller: Caller
    #: The scope of its key, and the id of its call.
    name: tuple[str, str]
    #: The model that it asks for.
    label: str | None


def _is_refusal(error: Exception) -> bool:
    """Whether the proxy itself has raised it, a guardrail or a budget.

    Errors of providers name their provider; on native routes some versions (1.83) raise a class of their own.
    """
    if type(error).__name__ == "RejectedRequestError":
        return True
    of_provider = any(kind.__name__ == "BaseLLMException" for kind in type(error).__mro__)
    return not of_provider and getattr(error, "llm_provider", None) is None


def _name(data: dict[str, Any], scope: str) -> tuple[str, str]:
    """A client may choose the id of its call: it is told apart by its key, too."""
    return scope, str(data.get("litellm_call_id"))


proxy_handler = ProxyHandler()
