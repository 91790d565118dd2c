"""Callbacks for the SDK: `install(space="support")`, or `litellm.callbacks = [AcontextLogger(space="support")]`.

Skills are injected where LiteLLM lets a callback do so: before async calls. A call is known by its `litellm_call_id`
from then on, since what LiteLLM says of it comes later, from elsewhere, without the run that it was made in.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, Unpack

import litellm
from litellm.integrations.custom_logger import CustomLogger

from acontext_plugins.concurrency.caches import SharedCache
from acontext_plugins.learning import client_or_default
from acontext_plugins.llm.own_calls import asking
from acontext_plugins.run_options import refuse_catalog
from acontext_plugins.runs import HasConnection, LearningOptions, RecordingClient, RunOptions, Runtime, reason_of
from acontext_store.types import Json

from ..model_calls import ANTHROPIC, CHAT, RESPONSES, RecordedCall
from .bodies import FROM_SETTINGS, FromSettings, chosen_space, injected
from .functions import begin
from .streams import as_json, wire_of

_MOST = 4096
#: Seconds in which a router tries again, or another model.
_AGAIN = 2.0
_numbers = itertools.count(1)


class AcontextLogger(CustomLogger):
    """Records what LiteLLM's SDK is asked in this process, and injects skills into its async calls.

    The options are those of `learning`; without a `space` it is `ACONTEXT_SPACE`; None = only recorded.
    """

    def __init__(
        self,
        *,
        space: str | FromSettings | None = FROM_SETTINGS,
        client: HasConnection | RecordingClient | None = None,
        **options: Unpack[LearningOptions],
    ) -> None:
        super().__init__()
        #: LiteLLM takes two callbacks of one class for the same, unless they have such a value in them that differs.
        self.number = next(_numbers)
        self.runtime = Runtime(RunOptions(space=chosen_space(space), **options), client_or_default(client))
        refuse_catalog(self.runtime.options, "a LiteLLM callback")
        #: Calls by LiteLLM's id; None where somebody else records them. What was seen longest ago is forgotten first.
        self._going: SharedCache[str, RecordedCall | None] = SharedCache(_MOST)

    def __len__(self) -> int:
        """How many calls are going on."""
        return len(self._going)

    # -- before a call
    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        changed: Json = {}
        with self.runtime.guard("call"):
            id, wire = str(kwargs.get("litellm_call_id")), wire_of(call_type)
            if asking.get() or wire is None or id in self._going or not ("messages" in kwargs or "input" in kwargs):
                return None  # our own, no conversation, or the same call once more on its way to another format
            call = self._begun(id, begin(self.runtime, wire, kwargs, _attempts(kwargs)))
            if call is not None:
                await call.aprepared()
                changed = injected(call, kwargs)
        return {**kwargs, **changed} if changed else None

    def log_pre_api_call(self, model: Any, messages: Any, kwargs: dict[str, Any]) -> None:
        with self.runtime.guard("call"):
            id, wire = str(kwargs.get("litellm_call_id")), wire_of(kwargs.get("call_type"))
            if asking.get() or wire not in (CHAT, RESPONSES) or id in self._going:
                return
            given = {**(kwargs.get("optional_params") or {}), "model": model, "messages": kwargs.get("messages")}
            given.update({name: kwargs[name] for name in ("input", "user") if kwargs.get(name)})
            given["metadata"] = (kwargs.get("litellm_params") or {}).get("metadata")
            self._begun(id, begin(self.runtime, wire, given))

    def _begun(self, id: str, call: RecordedCall | None) -> RecordedCall | None:
        self._going[id] = call
        return call

    def _taken(self, id: object) -> RecordedCall | None:
        return self._going.pop(str(id), None)

    # -- after it
    async def async_post_call_success_deployment_hook(
        self, request_data: dict[str, Any], response: Any, call_type: Any
    ) -> None:
        with self.runtime.guard("answer"):
            id = str(request_data.get("litellm_call_id"))
            call = self._going.get(id)
            if call is not None:
                call.put_back(response)
            if call is not None and call.wire is wire_of(call_type) and not request_data.get("stream"):
                self._answered(id, response)

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        with self.runtime.guard("answer"):
            self._answered(kwargs.get("litellm_call_id"), response_obj)

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        with self.runtime.guard("answer"):
            self._answered(kwargs.get("litellm_call_id"), response_obj)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        with self.runtime.guard("failure"):
            self._failed(kwargs)

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        with self.runtime.guard("failure"):
            self._failed(kwargs)

    def _answered(self, id: object, response: Any) -> None:
        call = self._taken(id)
        answer = as_json(response) if call is not None else None
        if call is not None and answer is not None:
            call.answered(_spoken(answer) if call.wire is ANTHROPIC else answer)

    def _failed(self, kwargs: Any) -> None:
        call = self._taken(kwargs.get("litellm_call_id"))
        if call is not None:
            error = kwargs.get("exception")
            call.failed(reason_of(error) if isinstance(error, BaseException) else str(error), retried_within=_AGAIN)


def _attempts(kwargs: dict[str, Any]) -> str | None:
    """What the attempts of one call have in common, where a router makes them; None where there is but one."""
    trace = kwargs.get("litellm_trace_id")
    if not trace:
        return None
    asked: Any = kwargs.get("messages") or kwargs.get("input") or ""
    return json.dumps([str(trace), len(asked), str(asked[-1] if isinstance(asked, list) else asked)])


def _spoken(answer: Json) -> Json:
    """An answer as `/v1/messages` has it, for LiteLLM tells of it in the format of the model that was asked."""
    if "choices" not in answer and "output" not in answer:
        return answer
    blocks: list[Json] = []
    if "choices" in answer:
        message = ((answer["choices"] or [{}])[0] or {}).get("message") or {}
        blocks += [{"type": "text", "text": message["content"]}] if message.get("content") else []
        made = [(call.get("id"), call.get("function") or {}) for call in message.get("tool_calls") or []]
    else:
        output = answer["output"] or []
        said = [part for item in output if item.get("type") == "message" for part in item.get("content") or []]
        blocks += [{"type": "text", "text": part["text"]} for part in said if part.get("text")]
        made = [(item.get("call_id"), item) for item in output if item.get("type") == "function_call"]
    for id, function in made:
        try:
            given = json.loads(function.get("arguments") or "{}")
        except ValueError:
            given = {"input": function.get("arguments")}
        blocks.append({"type": "tool_use", "id": id, "name": function.get("name"), "input": given})
    stop = "tool_use" if made else "end_turn"
    return {"id": answer.get("id"), "role": "assistant", "content": blocks, "stop_reason": stop}


def install(
    *,
    space: str | FromSettings | None = FROM_SETTINGS,
    client: HasConnection | RecordingClient | None = None,
    **options: Unpack[LearningOptions],
) -> AcontextLogger:
    """Record all that this process asks LiteLLM's SDK, and inject skills into its async calls. Installed once."""
    made = AcontextLogger(space=space, client=client, **options)
    for known in litellm.callbacks:
        if isinstance(known, AcontextLogger) and known.runtime.same_as(made.runtime):
            return known
    litellm.logging_callback_manager.add_litellm_callback(made)
    return made
