"""A copy of the agent, each run of which has one capability more: it records, and it is given skills."""

import copy
import functools
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

from cachetools import LRUCache
from pydantic_ai import DeferredToolRequests, ModelRetry
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import InstructionPart, ModelResponse, TextPart, ToolCallPart, UserPromptPart

from acontext_adapters.shared.placement import RequestTurns, appended, words_in
from acontext_adapters.shared.resent_history import item
from acontext_plugins.runs import reason_of
from acontext_store.types import Message, Part


def learned(agent, runtime):
    """A copy of the agent, of a subclass of its class; the agent itself stays as it is."""
    known = vars(agent).get("acontext_memory", SimpleNamespace(runtime=None, original=agent, waiting=LRUCache(1000)))
    if known.runtime is not None and known.runtime.same_as(runtime):
        return agent
    copied = copy.copy(known.original)
    copied.acontext_memory = SimpleNamespace(runtime=runtime, original=known.original, waiting=LRUCache(1000))
    copied.__class__ = learned_class(type(known.original))
    return copied


@functools.cache
def learned_class(kind):
    def iter(self, *args, capabilities=None, **options):  # all ways to run an agent come down to this one
        return kind.iter(self, *args, capabilities=[*(capabilities or ()), Learning(self.acontext_memory)], **options)

    return type(kind.__name__, (kind,), {"iter": iter, "__module__": kind.__module__, "__doc__": kind.__doc__})


class Learning(AbstractCapability):
    """One run. Whatever goes wrong in it is logged, and the agent goes on without it."""

    def __init__(self, memory):
        self.memory, self.runtime = memory, memory.runtime
        self.run, self.asked = None, ""

    async def wrap_run(self, ctx, *, handler):
        with self.runtime.guard("start"):
            self.start(ctx)
        try:
            result = await handler()
        except BaseException as error:
            with self.runtime.guard("end"):
                self.run.end(*(("failed", reason_of(error)) if isinstance(error, Exception) else ("cancelled",)))
            raise
        with self.runtime.guard("end"):
            self.returned(ctx.conversation_id, result.output)
        return result

    def start(self, ctx):
        answers = [one for one in ctx.messages if ctx.prompt is None and isinstance(one, ModelResponse)]
        for call in answers[-1].tool_calls if answers else ():
            before = self.memory.waiting.pop((ctx.conversation_id, call.tool_call_id), self)
            self.run, self.asked = before.run, before.asked
        if self.run is not None:  # it goes on
            self.run.reopen()
        else:  # pydantic-ai makes up an id where nobody names one: the option goes before it
            key = self.runtime.options.session or ctx.conversation_id
            self.run = self.runtime.start(label=ctx.agent.name or "agent", session_key=key)
        if ctx.prompt is not None:
            self.asked = "\n".join(words_in(ctx.prompt))
            self.record("user", Part(type="text", text=self.asked))

    def returned(self, conversation, output):
        waits = [*output.approvals, *output.calls] if isinstance(output, DeferredToolRequests) else []
        self.memory.waiting.update({(conversation, call.tool_call_id): self for call in waits})
        self.run.end("interrupted" if waits else "success", ", ".join(call.tool_name for call in waits))

    async def wrap_model_request(self, ctx, *, request_context, handler):
        with self.runtime.guard("results"):
            for part in request_context.messages[-1].parts:
                if part.part_kind in ("tool-return", "retry-prompt") and part.tool_name:
                    text = part.model_response_str() if part.part_kind == "tool-return" else part.model_response()
                    self.result(part.tool_call_id, text, failed=getattr(part, "outcome", None) != "success")
        response = await handler(request_context)
        with self.runtime.guard("reply"):
            said = [part_of(one) for one in response.parts if isinstance(one, TextPart | ToolCallPart)]
            self.record("assistant", *said)
        return response

    async def prepare_model_request(self, ctx, request_context):
        """What is changed here goes to the model alone; what `before_model_request` changes, into the history, too."""
        with self.runtime.guard("skills"):
            messages, parameters = request_context.messages, request_context.model_request_parameters
            parts = [part for message in messages for part in message.parts]
            turns, tools = RequestTurns(map(item_of, parts)), [tool.name for tool in parameters.function_tools]
            await self.run.arecall(self.asked, tools=tools, shown=turns.shown)
            head, behind = turns.place(self.run.blocks)
            new = {id(parts[at]): replace(parts[at], content=appended(parts[at].content, behind[at])) for at in behind}
            told = [replace(one, parts=[new.get(id(part), part) for part in one.parts]) for one in messages]
            if head:
                said = [*(parameters.instruction_parts or ()), InstructionPart(content=head, dynamic=True)]
                parameters = replace(parameters, instruction_parts=said)
            return replace(request_context, messages=told, model_request_parameters=parameters)
        return request_context

    async def wrap_tool_execute(self, ctx, *, call, tool_def, args, handler):
        with nullcontext() if self.run is None else self.run.active():  # for current_run() and report() in the tool
            return await handler(args)

    async def on_tool_execute_error(self, ctx, *, call, tool_def, args, error):
        with self.runtime.guard("tool error"):
            if not isinstance(error, ModelRetry):  # the run fails: no request will bring the result
                self.result(call.tool_call_id, str(error), failed=True)
        raise error

    def result(self, call_id, text, *, failed):
        self.record("tool", Part(type="tool-result", text=text, meta={"tool_call_id": call_id, "is_error": failed}))

    def record(self, role, *parts):
        self.run.record(Message(role=role, parts=parts))


def part_of(said):
    if isinstance(said, TextPart):
        return Part(type="text", text=said.content)
    meta = {"id": said.tool_call_id, "name": said.tool_name, "arguments": said.args_as_json_str()}
    return Part(type="tool-call", meta=meta)


def item_of(part):
    """What was said, and by whom: turns have their names by it."""
    kinds = {UserPromptPart: "user", TextPart: "model", ToolCallPart: "call"}
    kind = kinds.get(type(part), "result" if hasattr(part, "tool_call_id") else "host")
    return item(kind, *(words_in(part.content) if kind in ("user", "model") else ()))
