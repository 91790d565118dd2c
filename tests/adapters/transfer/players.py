"""The shop's clerk as an agent of each framework. A framework is imported when its agent is asked for."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from acontext_plugins.client import Acontext
from acontext_plugins.learning import current_run, learning

from .shop import INSTRUCTIONS, Clerk, Said, Shop, Use

#: (clerk, shop, turns, how to wrap, the conversation's name)
Player = Callable[[Clerk, Shop, Sequence[str], Callable[[Any], Any], str], Awaitable[None]]


async def openai_agents(clerk: Clerk, shop: Shop, turns: Sequence[str], wrap: Callable[[Any], Any], key: str) -> None:
    from agents import Agent, Runner, function_tool

    from ..openai_agents.scripted import ModelStep, ScriptedModel, assistant_message, function_call

    def answer(call: Any) -> Any:
        items = [item if isinstance(item, dict) else item.model_dump() for item in call.input]
        said = []
        for item in items:
            if item.get("type") == "function_call":
                said.append(Said("call", item["name"]))
            elif item.get("type") == "function_call_output":
                said.append(Said("result", item["output"]))
            else:
                said.append(Said("user" if item["role"] == "user" else "agent", str(item["content"])))
        step = clerk.next(call.system_instructions or "", said)
        if isinstance(step, Use):
            return [function_call(step.tool, step.arguments, call_id=step.id)]
        return [assistant_message(step)]

    model = ScriptedModel([ModelStep.respond(answer) for _ in range(40)])
    tools: list[Any] = [function_tool(tool) for tool in shop.tools.values()]
    agent = wrap(Agent(name="clerk", instructions=INSTRUCTIONS, tools=tools, model=model))
    history: list[Any] = []
    for turn in turns:
        result = await Runner.run(agent, [*history, {"role": "user", "content": turn}])
        history = result.to_input_list()


async def langchain(clerk: Clerk, shop: Shop, turns: Sequence[str], wrap: Callable[[Any], Any], key: str) -> None:
    from langchain.agents import create_agent
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.tools import StructuredTool

    from ..langchain.scripted import ScriptedModel

    class Model(ScriptedModel):
        def _next(self, messages: list[BaseMessage], tools: Any) -> AIMessage:
            instructions, said = "", []
            for message in messages:
                if message.type == "system":
                    instructions = _text(message.content)
                elif message.type == "tool":
                    said.append(Said("result", _text(message.content)))
                elif message.type == "human":
                    said.append(Said("user", _text(message.content)))
                else:
                    calls = message.tool_calls if isinstance(message, AIMessage) else []
                    said += [Said("call", call["name"]) for call in calls] or [Said("agent", _text(message.content))]
            step = clerk.next(instructions, said)
            if isinstance(step, Use):
                call = {"name": step.tool, "args": step.arguments, "id": step.id, "type": "tool_call"}
                return AIMessage(content="", tool_calls=[call])
            return AIMessage(step)

    tools = [StructuredTool.from_function(tool, name=name) for name, tool in shop.tools.items()]
    agent = wrap(create_agent(Model(), tools, system_prompt=INSTRUCTIONS))
    history: list[Any] = []
    for turn in turns:
        history = (await agent.ainvoke({"messages": [*history, {"role": "user", "content": turn}]}))["messages"]


async def agno(clerk: Clerk, shop: Shop, turns: Sequence[str], wrap: Callable[[Any], Any], key: str) -> None:
    from agno.agent import Agent
    from agno.db.in_memory import InMemoryDb

    from ..agno.scripted import ScriptedModel, call

    class Model(ScriptedModel):
        def _next(self, messages: Any) -> Any:
            instructions, said = "", []
            for message in messages:
                words = message.get_content_string()
                if message.role == "system":
                    instructions = words
                elif message.role == "tool":
                    said.append(Said("result", words))
                elif message.role == "user":
                    said.append(Said("user", words))
                else:
                    calls = [Said("call", made["function"]["name"]) for made in message.tool_calls or ()]
                    said += calls or [Said("agent", words)]
            step = clerk.next(instructions, said)
            return [call(step.tool, step.id, **step.arguments)] if isinstance(step, Use) else step

    agent = wrap(
        Agent(
            name="clerk",
            model=Model(),
            instructions=INSTRUCTIONS,
            tools=list(shop.tools.values()),
            db=InMemoryDb(),
            add_history_to_context=True,
            telemetry=False,
        )
    )
    for turn in turns:
        await agent.arun(turn, session_id=key)


async def openai(clerk: Clerk, shop: Shop, turns: Sequence[str], wrap: Callable[[Any], Any], key: str) -> None:
    from ..openai import loop
    from ..openai.scripted import Provider, Tool

    class Clerks(Provider):
        def __call__(self, request: Any) -> Any:
            step = _chat_step(clerk, json.loads(request.content)["messages"])
            self.steps = [step if isinstance(step, str) else [Tool(step.tool, step.id, json.dumps(step.arguments))]]
            return super().__call__(request)

    complete = wrap(loop.client(Clerks())).chat.completions.create
    await _loop(complete, shop, turns, model="m")


async def litellm(clerk: Clerk, shop: Shop, turns: Sequence[str], wrap: Callable[[Any], Any], key: str) -> None:
    import litellm as sdk
    from litellm import CustomLLM

    class Clerks(CustomLLM):
        async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
            step = _chat_step(clerk, kwargs["messages"])
            response = kwargs["model_response"]
            if isinstance(step, str):
                response.choices[0].message = sdk.Message(content=step, role="assistant")
                return response
            function = {"name": step.tool, "arguments": json.dumps(step.arguments)}
            calls = [{"id": step.id, "type": "function", "function": function}]
            response.choices[0].message = sdk.Message(content=None, role="assistant", tool_calls=calls)
            return response

    sdk.custom_provider_map = [{"provider": "shop", "custom_handler": Clerks()}]
    sdk.utils.custom_llm_setup()
    await _loop(wrap(sdk.acompletion), shop, turns, model="shop/clerk")


def _chat_step(clerk: Clerk, messages: Sequence[Any]) -> Use | str:
    """What the clerk says to a request in the format of chat completions."""
    instructions, said = "", []
    for message in messages:
        item = message if isinstance(message, dict) else message.model_dump()
        words = _text(item.get("content") or "")
        if item["role"] == "system":
            instructions = words
        elif item["role"] == "tool":
            said.append(Said("result", words))
        elif item["role"] == "user":
            said.append(Said("user", words))
        else:
            calls = [Said("call", call["function"]["name"]) for call in item.get("tool_calls") or ()]
            said += calls or [Said("agent", words)]
    return clerk.next(instructions, said)


async def _loop(complete: Callable[..., Awaitable[Any]], shop: Shop, turns: Sequence[str], *, model: str) -> None:
    """An agent as a host writes it around a client: the model is called until it calls no more tools."""
    functions = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
        for name in shop.tools
    ]
    history: list[Any] = [{"role": "system", "content": INSTRUCTIONS}]
    for turn in turns:
        history.append({"role": "user", "content": turn})
        while True:
            answer = (await complete(model=model, messages=history, tools=functions)).choices[0].message
            history.append(answer.model_dump(exclude_none=True))
            if not answer.tool_calls:
                break
            for call in answer.tool_calls:
                result = shop.tools[call.function.name](**json.loads(call.function.arguments))
                history.append({"role": "tool", "tool_call_id": call.id, "content": result})


async def function(clerk: Clerk, shop: Shop, turns: Sequence[str], wrap: Callable[[Any], Any], key: str) -> None:
    """No framework: a loop written by hand, whose model the function asks itself."""
    said: list[Said] = []

    async def conversation(turn: str) -> str:
        run = current_run()
        assert run is not None
        skills = await run.arecall(turn, tools=list(shop.tools))
        said.append(Said("user", turn))
        while isinstance(step := clerk.next(f"{INSTRUCTIONS}\n\n{skills}", said), Use):
            result = shop.tools[step.tool](**step.arguments)
            run.record_tool(step.tool, step.arguments, json.loads(result))
            said.extend((Said("call", step.tool), Said("result", result)))
        said.append(Said("agent", step))
        return step

    wrapped = wrap(conversation)
    for turn in turns:
        await wrapped(turn)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(piece["text"] if isinstance(piece, dict) else str(piece) for piece in content)


PLAYERS: dict[str, Player] = {
    "openai-agents": openai_agents,
    "langchain": langchain,
    "agno": agno,
    "litellm": litellm,
    "openai": openai,
    "function": function,
}


async def converse(
    name: str, client: Acontext, turns: Sequence[str], *, inject: bool, key: Literal["ada", "grace"]
) -> tuple[Clerk, Shop]:
    """A conversation with a framework's agent, whose memory is `client`."""
    clerk, shop = Clerk(), Shop()

    def wrap(target: Any) -> Any:
        return learning(target, space="shop", client=client, inject=inject, deadline=30.0, session=key)

    await PLAYERS[name](clerk, shop, turns, wrap, key)
    return clerk, shop
