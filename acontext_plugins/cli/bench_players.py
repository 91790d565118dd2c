"""What `acontext bench --adapters` plays in each framework: runs of a few model calls, on a model that is a script.

A player builds an agent that calls two tools and then answers. Its model answers at once, or after `latency` seconds,
and looks only at what it was sent, so that runs may go on side by side.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

#: What the user says. "Always" teaches, so that there is a skill to be injected after the first runs.
REQUEST = "Refund my order A-{number}, the keyboard is broken. Always use the original payment method."
INSTRUCTIONS = "You work at the counter of a shop. Look an order up before you change it. Answer in one sentence."
ANSWER = "The refund is on its way to the original payment method."
TOOLS = ("find_order", "issue_refund")
CALLS = len(TOOLS) + 1
_MARK = "acontext-skills"


def order(id: str) -> str:
    """What the tools give: as much text as an order has."""
    return json.dumps({"order_id": id, "status": "delivered", "items": [f"keyboard no. {n}" for n in range(20)]})


class Player(Protocol):
    """An agent of one framework, and how it is run."""

    #: Runs whose model was sent skills.
    injected: int

    def target(self) -> Any:
        """The object that a user gives to `learning`."""

    async def run(self, target: Any, number: int) -> None:
        """One run: `CALLS` calls of the model, `len(TOOLS)` of tools."""


class _OpenAIAgents:
    def __init__(self, latency: Callable[[], float]) -> None:
        import agents
        from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

        agents.set_trace_processors([])  # tracing stays on, and nothing is sent anywhere
        self.injected = 0
        numbers = itertools.count()
        player = self

        class Model(agents.Model):
            async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> Any:
                if latency():
                    await asyncio.sleep(latency())
                done = sum(item.get("type") == "function_call_output" for item in input)
                player.injected += done == 0 and _MARK in (system_instructions or "")
                item: Any
                if done < len(TOOLS):
                    arguments = json.dumps({"order_id": "A-1"})
                    item = ResponseFunctionToolCall(
                        call_id=f"call_{next(numbers)}", type="function_call", name=TOOLS[done], arguments=arguments
                    )
                else:
                    text = ResponseOutputText(text=ANSWER, type="output_text", annotations=[])
                    item = ResponseOutputMessage(
                        id=f"msg_{next(numbers)}", type="message", role="assistant", status="completed", content=[text]
                    )
                return agents.ModelResponse(output=[item], usage=agents.Usage(requests=1), response_id=None)

            def stream_response(self, *_: Any, **__: Any) -> Any:
                raise NotImplementedError("the bench does not stream")

        @agents.function_tool
        async def find_order(order_id: str) -> str:
            """Find an order."""
            return order(order_id)

        @agents.function_tool
        async def issue_refund(order_id: str) -> str:
            """Refund an order."""
            return order(order_id)

        tools: list[Any] = [find_order, issue_refund]
        self._agent: Any = agents.Agent(name="clerk", instructions=INSTRUCTIONS, model=Model(), tools=tools)

    def target(self) -> Any:
        return self._agent

    async def run(self, target: Any, number: int) -> None:
        import agents

        result = await agents.Runner.run(target, REQUEST.format(number=number))
        assert result.final_output == ANSWER


class Framework(NamedTuple):
    """A framework that can be played, and the package that it needs."""

    package: str
    player: Callable[[Callable[[], float]], Player]

    @property
    def installed(self) -> bool:
        return find_spec(self.package) is not None


FRAMEWORKS: dict[str, Framework] = {"openai-agents": Framework("agents", _OpenAIAgents)}
