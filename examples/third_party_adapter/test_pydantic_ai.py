"""The adapter keeps the contract of all adapters, with pydantic-ai's own scripted model."""

import inspect
import json

from acontext_pydantic_ai import memory
from pydantic_ai import Agent, AgentRunResultEvent, DeferredToolRequests, DeferredToolResults, ModelRetry, Tool
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from acontext_adapters.testing import AdapterContract, Played
from acontext_plugins import learning
from acontext_plugins.runs import Run, Runtime


class TestPydanticAI(AdapterContract):
    runs = 300
    unsupported = {
        "fates": "they are assumed from the results here: docs/extend/adapter.md has an adapter that tells them",
        "refusal": "a call that was denied has a result like any other, and nobody tells what became of it",
    }
    steps = [
        (Runtime, "start"),
        (Run, "record"),
        (Run, "arecall"),
        (Run, "end"),
        (memory.Learning, "start"),
        (memory.Learning, "result"),
        (memory.Learning, "record"),
        (memory.Learning, "returned"),
        (memory, "part_of"),
    ]

    async def play(self, turns, tools, recorded, *, streamed=False, **options):
        played = Played()
        agent = Agent(
            self.model([step for turn in turns for step in turn.steps], played),
            instructions="Base.",
            tools=[*map(tool, (tools.weather, tools.broken, tools.slow)), tool(tools.guarded, requires_approval=True)],
            output_type=[str, DeferredToolRequests],
        )
        if recorded is not None:
            agent = learning(agent, **{"space": "s", "client": recorded, "deadline": 0.01} | options)
        history = []
        for turn in turns:
            result = await self.turn(agent, played, streamed, turn.says, message_history=history)
            while isinstance(result.output, DeferredToolRequests):
                refused = {use.call_id for step in turn.steps if isinstance(step, tuple) for use in step if use.refused}
                asked = [call.tool_call_id for call in result.output.approvals]
                approved = DeferredToolResults(approvals={one: one not in refused for one in asked})
                given = {"message_history": result.all_messages(), "deferred_tool_results": approved}
                result = await self.turn(agent, played, streamed, **given)
            history = result.all_messages()
            played.see([result.output, [plain(part) for message in history for part in message.parts]])
            played.history = result.all_messages_json()
        return played

    async def turn(self, agent, played, streamed, *asked, **given):
        if not streamed:
            return await agent.run(*asked, **given)
        async with agent.run_stream_events(*asked, **given) as events:
            async for event in events:
                played.see(event.event_kind)
        assert isinstance(event, AgentRunResultEvent)
        return event.result

    def model(self, script, played):
        def step(messages, info):
            said = [str(plain(part)[1]) for message in messages for part in message.parts]
            played.prompts.append("\n".join([info.instructions, *said]))
            step = script.pop(0)
            if isinstance(step, Exception):
                raise step
            return step

        def whole(messages, info):
            now = step(messages, info)
            if isinstance(now, str):
                return ModelResponse(parts=[TextPart(now)])
            return ModelResponse(parts=[ToolCallPart(use.tool, use.arguments, use.call_id) for use in now])

        async def pieces(messages, info):
            now = step(messages, info)
            if isinstance(now, str):
                for number, word in enumerate(now.split(" ")):
                    yield f" {word}" if number else word
            else:
                for number, use in enumerate(now):
                    yield {number: DeltaToolCall(use.tool, json.dumps(use.arguments), tool_call_id=use.call_id)}

        return FunctionModel(whole, stream_function=pieces)


def tool(function, **options):
    """A tool of the host's: what goes wrong in it, the model is told."""

    async def called(city: str) -> str:
        try:
            result = function(city)
            return await result if inspect.isawaitable(result) else result
        except ValueError as error:
            raise ModelRetry(str(error)) from error

    return Tool(called, name=function.__name__, description=function.__doc__, **options)


def plain(part):
    """A part without times and ids."""
    return [part.part_kind, getattr(part, "content", None), getattr(part, "tool_name", None)]
