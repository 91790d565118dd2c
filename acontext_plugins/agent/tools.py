"""A tool, and a pool of them: how they are offered to a model, and what happens when it calls one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from acontext_store.errors import AcontextError, InvalidInput
from acontext_store.types import Json

Context = TypeVar("Context")


class Arguments:
    """The arguments of a model's tool call. A value of a wrong type is converted where its meaning is clear."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def text(self, name: str, default: str | None = None) -> str:
        """An argument as text. Raises InvalidInput where it is missing and there is no default."""
        value = self._given.get(name)
        if value is None:
            value = default
        if value is None:
            raise InvalidInput(f"{name} is required")
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def number(self, name: str, default: int) -> int:
        """An argument as a whole number, or `default` in the same unit (lines, bytes). Raises InvalidInput."""
        value = self._given.get(name)
        if value is None or value == "":
            return default
        try:
            return int(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidInput(f"{name} is {str(value)[:50]!r}: it must be a whole number") from error


@dataclass(frozen=True, slots=True)
class Tool(Generic[Context]):
    """A function that a model may call, with its description for the model."""

    name: str
    description: str
    #: JSON schemas by name.
    arguments: Mapping[str, Json]
    required: tuple[str, ...]
    run: Callable[[Context, Arguments], Awaitable[str]] = field(repr=False)

    def to_openai_tool_schema(self) -> Json:
        """For OpenAI's chat completions."""
        return {"type": "function", "function": self.to_gemini_tool_schema()}

    def to_anthropic_tool_schema(self) -> Json:
        """For Anthropic's Messages API."""
        return {"name": self.name, "description": self.description, "input_schema": self._schema()}

    def to_gemini_tool_schema(self) -> Json:
        """A function declaration of Gemini."""
        return {"name": self.name, "description": self.description, "parameters": self._schema()}

    def _schema(self) -> Json:
        return {
            "type": "object",
            "properties": {name: dict(schema) for name, schema in self.arguments.items()},
            "required": list(self.required),
        }


class ToolPool(Generic[Context]):
    """Tools by name, offered together.

    A mistake of the model (no such file, a missing argument) is the result of its call, so that the model can correct
    it. An error that the model cannot correct (no database, no network) is raised.
    """

    def __init__(self, *tools: Tool[Context]) -> None:
        self.tools = {tool.name: tool for tool in tools}

    def add_tool(self, tool: Tool[Context]) -> None:
        """Add a tool, in place of one with its name."""
        self.tools[tool.name] = tool

    def remove_tool(self, tool_name: str) -> None:
        """Remove a tool. Raises InvalidInput for a name that is unknown."""
        self._tool(tool_name)
        del self.tools[tool_name]

    def extent_tool_pool(self, pool: ToolPool[Context]) -> None:
        """Add the tools of another pool, in place of those with their names."""
        self.tools.update(pool.tools)

    def tool_exists(self, tool_name: str) -> bool:
        """Whether the pool has a tool of that name."""
        return tool_name in self.tools

    def execute_tool(self, ctx: Context, tool_name: str, llm_arguments: Mapping[str, Any] | str) -> str:
        """Call a tool whose context has a synchronous client; `llm_arguments` as a dict, or as the model's JSON text.

        Raises InvalidInput for a tool that is unknown, and for a context of an asynchronous client.
        """
        self._check_door(ctx, asynchronous=False)
        return _at_once(self._execute(ctx, tool_name, llm_arguments))

    async def async_execute_tool(self, ctx: Context, tool_name: str, llm_arguments: Mapping[str, Any] | str) -> str:
        """Call a tool whose context has an asynchronous client. Raises InvalidInput as `execute_tool` does."""
        self._check_door(ctx, asynchronous=True)
        return await self._execute(ctx, tool_name, llm_arguments)

    def to_openai_tool_schema(self) -> list[Json]:
        """All tools for OpenAI's chat completions."""
        return [tool.to_openai_tool_schema() for tool in self.tools.values()]

    def to_anthropic_tool_schema(self) -> list[Json]:
        """All tools for Anthropic's Messages API."""
        return [tool.to_anthropic_tool_schema() for tool in self.tools.values()]

    def to_gemini_tool_schema(self) -> list[Json]:
        """All tools as function declarations of Gemini."""
        return [tool.to_gemini_tool_schema() for tool in self.tools.values()]

    async def _execute(self, ctx: Context, tool_name: str, given: Mapping[str, Any] | str) -> str:
        tool = self._tool(tool_name)
        try:
            return (await tool.run(ctx, Arguments(_as_object(given)))).strip()
        except AcontextError as error:
            if error.status >= 500 or error.code in ("closed", "unauthorized"):
                raise
            return f"Error: {error}"

    def _tool(self, name: str) -> Tool[Context]:
        tool = self.tools.get(name)
        if tool is None:
            raise InvalidInput(f"there is no tool {name!r}: there are {', '.join(self.tools)}")
        return tool

    @staticmethod
    def _check_door(ctx: Context, *, asynchronous: bool) -> None:
        found = getattr(ctx, "asynchronous", asynchronous)
        if found != asynchronous:
            right = "await async_execute_tool" if found else "execute_tool"
            kind = "an asynchronous" if found else "a synchronous"
            raise InvalidInput(f"the context has {kind} client: call {right}")


def _as_object(given: Mapping[str, Any] | str) -> Mapping[str, Any]:
    if isinstance(given, str):
        try:
            given = json.loads(given or "{}")
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"the arguments are no JSON: {error}") from error
    if not isinstance(given, Mapping):
        raise InvalidInput(f"the arguments are {type(given).__name__}: they must be an object")
    return given


def _at_once(work: Coroutine[Any, Any, str]) -> str:
    """The result of a coroutine that waits for nothing, since its client is synchronous."""
    try:
        work.send(None)
    except StopIteration as done:
        return str(done.value)
    work.close()
    raise RuntimeError("a tool with a synchronous client waited for something")
