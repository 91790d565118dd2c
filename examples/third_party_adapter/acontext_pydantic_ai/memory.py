"""A copy of the agent, each run of which has one capability more: it records, and it is given skills."""

import copy
import functools
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

from pydantic_ai import DeferredToolRequests, ModelRetry
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import InstructionPart, ModelResponse, TextPart, ToolCallPart, UserPromptPart

from acontext_adapters.shared.placement import place_blocks, shown_turns, turn_names
from acontext_adapters.shared.resent_history import item
from acontext_plugins.runs import reason_of
from acontext_store.types import Message, Part, stable_id


def learned(agent, runtime):
    """A copy of the agent, of a subclass of its class; the agent itself stays as it is."""
    known = vars(agent).get("acontext_memory", SimpleNamespace(runtime=None, original=agent, waiting={}))
    if known.runtime is not None and known.runtime.same_as(runtime):
        return agent
    copied = copy.copy(known.original)
    copied.acontext_memory = SimpleNamespace(runtime=runtime, original=known.original, waiting={})
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
        self.run, self.asked, self.count = None, "", 0

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
            self.run, self.asked, self.count = before.run, before.asked, before.count
        if self.run is not None:  # it goes on
            self.run.reopen()
        else:  # pydantic-ai makes up an id where nobody names one: the option goes before it
            key = self.runtime.options.session or ctx.conversation_id
            self.run = self.runtime.start(label=ctx.agent.name or "agent", session_key=key)
        if ctx.prompt is not None:
            said = [ctx.prompt] if isinstance(ctx.prompt, str) else [one for one in ctx.prompt if isinstance(one, str)]
            self.asked = "\n".join(said)
            self.record("user", Part(type="text", text=self.asked))

    def returned(self, conversation, output):
        waits = [*output.approvals, *output.calls] if isinstance(output, DeferredToolRequests) else []
        self.memory.waiting.update({(conversation, call.tool_call_id): self for call in waits})
        while len(self.memory.waiting) > 1000:  # those that never go on are forgotten
            self.memory.waiting.pop(next(iter(self.memory.waiting)))
        self.run.end("interrupted" if waits else "success", ", ".join(call.tool_name for call in waits))

    async def wrap_model_request(self, ctx, *, request_context, handler):
        with self.runtime.guard("results"):
            for part in request_context.messages[-1].parts:
                if part.part_kind in ("tool-return", "retry-prompt") and part.tool_name:
                    text = part.model_response_str() if part.part_kind == "tool-return" else part.model_response()
                    self.result(part.tool_call_id, text, failed=getattr(part, "outcome", None) != "success")
        response = await handler(request_context)
        with self.runtime.guard("reply"):
            self.record("assistant", *parts_of(response))
        return response

    async def prepare_model_request(self, ctx, request_context):
        """What is changed here goes to the model alone; what `before_model_request` changes, into the history, too."""
        with self.runtime.guard("skills"):
            parameters = request_context.model_request_parameters
            places = [(at, part) for at, one in enumerate(request_context.messages) for part in one.parts]
            items = [item_of(part) for _, part in places]
            names, tools = turn_names(items), [tool.name for tool in parameters.function_tools]
            await self.run.arecall(self.asked, tools=tools, shown=shown_turns(items, names))
            head, behind = place_blocks(names, self.run.blocks)
            if behind:
                texts = {id(places[at][1]): text for at, text in behind.items()}
                request_context = replace(request_context, messages=in_turns(request_context.messages, texts))
            if head:
                parts = [*(parameters.instruction_parts or ()), InstructionPart(content=head, dynamic=True)]
                return replace(request_context, model_request_parameters=replace(parameters, instruction_parts=parts))
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
        self.count += 1
        self.run.record(Message(id=stable_id("pydantic-ai", self.run.id, str(self.count)), role=role, parts=parts))


def parts_of(response):
    for part in response.parts:
        if isinstance(part, TextPart):
            yield Part(type="text", text=part.content)
        elif isinstance(part, ToolCallPart):
            meta = {"id": part.tool_call_id, "name": part.tool_name, "arguments": part.args_as_json_str()}
            yield Part(type="tool-call", meta=meta)


def item_of(part):
    """What was said, and by whom: turns have their names by it."""
    if isinstance(part, UserPromptPart):
        said = part.content if isinstance(part.content, str) else [one for one in part.content if isinstance(one, str)]
        return item("user", *([said] if isinstance(said, str) else said))
    if isinstance(part, TextPart):
        return item("model", part.content)
    return item("call" if isinstance(part, ToolCallPart) else "result" if hasattr(part, "tool_call_id") else "host")


def in_turns(messages, texts):
    """The messages, with skills behind words of the user: copies, as far as they are changed."""

    def placed(part):
        text, said = texts.get(id(part)), getattr(part, "content", None)
        if text is None:
            return part
        return replace(part, content=f"{said}\n\n{text}" if isinstance(said, str) else [*said, text])

    return [
        replace(one, parts=[placed(part) for part in one.parts])
        if any(id(part) in texts for part in one.parts)
        else one
        for one in messages
    ]
