"""Words for the tests of models: requests, settings, and a sleep that does not."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from acontext_plugins.llm import Purpose, Request
from acontext_plugins.settings import LLMSettings
from acontext_plugins.testing.scripted_server import ScriptedServer

KEY = "sk-canary-0123456789abcdef"
PROMPT = "the canary sings in the coal mine"
LEARN = Purpose(job="learn", space_id="k1", session_id="s1", prompt="experience_agent@1")


class City(BaseModel):
    """An answer."""

    name: str = Field(min_length=1)
    people: int | None = None


FIND = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Find things.",
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}},
    },
}


def asks(text: str = PROMPT, **fields: Any) -> Request:
    return Request(messages=({"role": "user", "content": text},), purpose=LEARN, **fields)


def asks_for_a_city(text: str = PROMPT) -> Request:
    return asks(text, answer=City.model_json_schema(), answer_name="city")


def settings(server: ScriptedServer, **fields: Any) -> LLMSettings:
    given = {"model": "openai/gpt-4.1", "api_key": KEY, "base_url": server.url, "timeout": 20.0, "retries": 0}
    return LLMSettings(**{**given, **fields})


class Sleeper:
    """Notes how long it should have slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
