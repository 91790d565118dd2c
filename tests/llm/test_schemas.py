"""Schemas in the strict subset, and tools in the prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from acontext_plugins.llm.schemas import calls_in, strict, with_schema, with_tools

from .asking import FIND


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(9, ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = Field(default_factory=list, max_length=3)


class Home(BaseModel):
    """Where pets live."""

    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Field(description="who lives there")
    guests: list[Cat | Dog] = []
    name: str | None = Field(None, pattern="^[A-Z]")


class Tree(BaseModel):
    label: str
    children: list[Tree] = []


class Notes(BaseModel):
    by_name: dict[str, str]


class Anything(BaseModel):
    value: Any


class Pair(BaseModel):
    both: tuple[int, str]


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema within a schema."""
    if isinstance(schema, dict):
        yield schema
        for name in ("properties", "$defs"):
            for inner in schema.get(name, {}).values():
                yield from objects(inner)
        yield from objects(schema.get("items"))
        for inner in schema.get("anyOf", []):
            yield from objects(inner)


@pytest.mark.parametrize("model", [Cat, Dog, Home, Tree])
def test_models_become_strict(model: type[BaseModel]) -> None:
    made = strict(model.model_json_schema())
    assert made is not None
    assert made["type"] == "object"
    for schema in objects(made):
        assert schema.keys() <= {
            *("type", "description", "enum", "const", "properties", "items", "anyOf", "$ref", "$defs"),
            *("required", "additionalProperties"),
        }
        if "$ref" in schema:
            assert schema.keys() == {"$ref"}
            assert schema["$ref"].removeprefix("#/$defs/") in made["$defs"]
        if schema.get("type") == "object":
            assert schema["required"] == list(schema["properties"])
            assert schema["additionalProperties"] is False


def test_what_a_field_is_for_stays_known() -> None:
    made = strict(Home.model_json_schema())
    assert made is not None
    assert made["description"] == "Where pets live."
    assert "pattern" not in json.dumps(made)


@pytest.mark.parametrize("model", [Notes, Anything, Pair])
def test_what_the_subset_has_no_words_for_is_none(model: type[BaseModel]) -> None:
    assert strict(model.model_json_schema()) is None


def test_a_schema_that_is_no_object_is_none() -> None:
    assert strict({"type": "array", "items": {"type": "string"}}) is None
    assert strict({"anyOf": [{"type": "string"}, {"type": "null"}]}) is None
    assert strict({}) is None


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["type", "items", "properties", "anyOf", "oneOf", "$ref", "$defs", "allOf", "x"]), inner
    ),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(["type", "properties", "$defs", "$ref", "anyOf", "required"]), ANY))
def test_whatever_a_schema_is_it_is_made_strict_or_not(schema: dict[str, Any]) -> None:
    made = strict(schema)
    assert made is None or made["additionalProperties"] is False


def test_a_schema_goes_to_the_end_of_what_the_system_says() -> None:
    system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."}
    told = with_schema([system, user], {"type": "object"})
    assert told[0]["content"].startswith("Be brief.\n\n")
    assert '{"type":"object"}' in told[0]["content"]
    assert told[1] == user
    assert [message["role"] for message in with_schema([user], {})] == ["system", "user"]
    assert system["content"] == "Be brief."


def test_a_conversation_with_tools_is_told_without_them() -> None:
    function = {"name": "find", "arguments": '{"what": "x"}'}
    conversation: list[dict[str, Any]] = [
        {"role": "user", "content": "Find x and y."},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "x is here"},
        {"role": "tool", "tool_call_id": "c2", "content": "y is there"},
    ]
    told = with_tools(conversation, [FIND])
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
    assert json.loads(told[2]["content"]) == {"calls": [{"name": "find", "arguments": {"what": "x"}}]}
    assert told[3]["content"] == "Result:\nx is here\n\nResult:\ny is there"
    assert calls_in(told[2]["content"])[0].arguments == '{"what":"x"}'


@given(ANY)
def test_whatever_a_model_writes_are_calls_or_none(value: Any) -> None:
    for text in (json.dumps({"calls": value}), json.dumps(value), str(value), f"```json\n{value}\n```"):
        for call in calls_in(text):
            assert call.name is not None
            assert call.id
