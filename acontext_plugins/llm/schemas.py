"""What is asked for, in the words that an endpoint takes: strict schemas, or the schema and the tools in the prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from acontext_store.types import Json, new_id

from .base import ToolCall

#: What an endpoint with strict schemas takes.
_KEPT = frozenset({"type", "description", "enum", "const", "properties", "items", "anyOf", "$ref", "$defs"})
_FENCED = re.compile(r"```\w*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_ANSWER = "Answer with one JSON object and nothing else. It follows this JSON schema:\n{schema}"
_TOOLS = (
    "You can call tools. These are there:\n{tools}\nTo call some, answer with one JSON object and nothing else: "
    '{{"calls": [{{"name": "...", "arguments": {{...}}}}]}}. What they return is told to you then.'
)


class _Inexpressible(Exception):
    """The strict subset has no word for it."""


def strict(schema: Mapping[str, Any]) -> Json | None:
    """The schema in the subset that OpenAI's strict mode takes; None where it has no words for it.

    All properties are required and no others are allowed. What else the schema asks for (lengths, patterns, defaults)
    is left out, so what is answered must be checked against the whole schema.
    """
    root: Mapping[str, Any] = schema
    reference = schema.get("$ref")
    try:
        if isinstance(reference, str):  # of a recursive model: the root must be an object
            definitions = _named(schema.get("$defs"))
            root = {**_named(definitions.get(reference.removeprefix("#/$defs/"))), "$defs": definitions}
        made = _strict(root)
    except _Inexpressible:
        return None
    return made if made.get("type") == "object" else None


def _strict(schema: Any) -> Json:
    if not isinstance(schema, Mapping):
        raise _Inexpressible
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    if schema.keys() & {"allOf", "not", "if", "patternProperties", "prefixItems"}:
        raise _Inexpressible
    made: Json = {name: schema[name] for name in schema if name in _KEPT}
    if "oneOf" in schema:
        made["anyOf"] = schema["oneOf"]
    if "anyOf" in made:
        made["anyOf"] = [_strict(one) for one in _list(made["anyOf"])]
    elif not made.keys() & {"type", "enum", "const"}:
        raise _Inexpressible  # anything at all
    if made.get("type") == "array":
        made["items"] = _strict(schema.get("items"))
    if made.get("type") == "object":
        if schema.get("additionalProperties") not in (None, False):
            raise _Inexpressible  # names that are not known before
        made["properties"] = {name: _strict(one) for name, one in _named(schema.get("properties")).items()}
        made["required"] = list(made["properties"])
        made["additionalProperties"] = False
    if "$defs" in made:
        made["$defs"] = {name: _strict(one) for name, one in _named(made["$defs"]).items()}
    return made


def _named(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _Inexpressible
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _Inexpressible
    return value


def with_schema(messages: Sequence[Json], schema: Json) -> list[Json]:
    """The messages with the schema in the system's words."""
    return _told(messages, _ANSWER.format(schema=_text(schema)))


def with_tools(messages: Sequence[Json], tools: Sequence[Json]) -> list[Json]:
    """The messages with the tools in the system's words, and calls and results as plain text."""
    said: list[Json] = []
    for message in _told(messages, _TOOLS.format(tools="\n".join(_text(tool["function"]) for tool in tools))):
        role, text = message["role"], message.get("content") or ""
        if message.get("tool_calls"):
            calls = [
                {"name": call["function"]["name"], "arguments": _parsed(call["function"]["arguments"])}
                for call in message["tool_calls"]
            ]
            text = _text({"calls": calls})
        if role == "tool":
            role, text = "user", f"Result:\n{text}"
        if said and said[-1]["role"] == role and role == "user":  # endpoints want turns to alternate
            said[-1] = {"role": role, "content": f"{said[-1]['content']}\n\n{text}"}
        else:
            said.append({"role": role, "content": text})
    return said


def calls_in(text: str) -> tuple[ToolCall, ...]:
    """The tool calls of an answer to `with_tools`; none where it is no such object."""
    found = _parsed(unfenced(text))
    calls = found.get("calls") if isinstance(found, dict) else None
    if not isinstance(calls, list):
        return ()
    return tuple(
        ToolCall(id=f"call_{new_id()}", name=call["name"], arguments=_text(call.get("arguments") or {}))
        for call in calls
        if isinstance(call, dict) and isinstance(call.get("name"), str)
    )


def unfenced(text: str) -> str:
    """What is answered, also where it stands between code fences, with words around them."""
    bare = text.strip()
    if not bare.startswith(("{", "[")) and len(fenced := _FENCED.findall(bare)) == 1:
        return str(fenced[0]).strip()
    return bare


def _told(messages: Sequence[Json], words: str) -> list[Json]:
    if messages and messages[0]["role"] == "system":
        return [{**messages[0], "content": f"{messages[0]['content']}\n\n{words}"}, *messages[1:]]
    return [{"role": "system", "content": words}, *messages]


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _parsed(text: str) -> Any:
    try:
        return cast(object, json.loads(text))
    except (ValueError, RecursionError):
        return text
