"""A decorated function that calls a wrapped agent whose model goes through LiteLLM with our callback: one task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from acontext_adapters.testing import SKILLS, MemoryClient
from acontext_plugins.learning import learning

agents = pytest.importorskip("agents")
litellm = pytest.importorskip("litellm")

from agents.extensions.models.litellm_model import LitellmModel  # noqa: E402

from acontext_adapters.litellm import AcontextLogger, functions  # noqa: E402
from acontext_adapters.model_calls import CallRecorder  # noqa: E402
from acontext_adapters.testing import Use  # noqa: E402

from .litellm import scripted  # noqa: E402

LINES = ["user: weather in Oslo?", 'call: weather {"city":"Oslo"}', "result: 21C in Oslo", "assistant: 21C"]


@pytest.fixture
def memory() -> MemoryClient:
    return MemoryClient(SKILLS)


@pytest.fixture
def provider(memory: MemoryClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[scripted.Provider]:
    monkeypatch.setattr(functions, "calls", CallRecorder())
    found = scripted.Provider()
    monkeypatch.setattr(litellm, "custom_provider_map", [{"provider": "scripted", "custom_handler": found}])
    monkeypatch.setattr(litellm, "callbacks", [AcontextLogger(space="s", client=memory)])
    litellm.utils.custom_llm_setup()
    found.steps = [[Use("weather", "c1", "Oslo")], "21C"]
    yield found
    for name in ("success_callback", "failure_callback", "_async_success_callback", "_async_failure_callback"):
        known = getattr(litellm, name, [])
        known[:] = [one for one in known if not isinstance(one, AcontextLogger)]


@pytest.mark.parametrize("outermost", ["function", "agent", "litellm"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_an_agent_over_litellm_is_recorded_by_the_outermost_alone(
    outermost: str, streamed: bool, memory: MemoryClient, provider: scripted.Provider
) -> None:
    asked: list[str] = []

    def weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return f"21C in {city}"

    wrap = learning(space="s", client=memory, strict=True, deadline=30)
    plain = agents.Agent(
        name="A",
        instructions="Base.",
        tools=[agents.function_tool(weather)],
        model=LitellmModel(model=scripted.MODEL),
    )
    agent = plain if outermost == "litellm" else wrap(plain)

    async def handle(question: str) -> str:
        if streamed:
            result: Any = agents.Runner.run_streamed(agent, question)
            async for _ in result.stream_events():
                pass
        else:
            result = await agents.Runner.run(agent, question)
        return str(result.final_output)

    run = wrap(handle) if outermost == "function" else handle
    assert await run("weather in Oslo?") == "21C"
    assert asked == ["Oslo"]
    assert memory.lines == LINES
    assert len({message.run_id for message in memory.session.messages}) == 1
    assert [outcome.status for outcome in memory.session.outcomes] == ["success"]
    assert len(memory.queries) == 1
    assert [prompt.count(SKILLS) for prompt in provider.prompts] == [1, 1]
