"""Structured answers: asked for once, and once more where the answer cannot be taken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.llm import Reply, ask_for
from acontext_plugins.testing import ScriptedLLM
from acontext_store.errors import InvalidAnswer, Refused

from .asking import City, asks

OSLO = '{"name": "Oslo"}'


@pytest.mark.parametrize(
    "text",
    [
        OSLO,
        f"\n  {OSLO}\n",
        f"```json\n{OSLO}\n```",
        f"```\n{OSLO}\n```",
        f"Here it is:\n\n```json\n{OSLO}\n```\nAnything else?",
        '{"name": "Oslo", "people": null, "more": 1}',
    ],
)
async def test_an_answer_that_can_be_taken_is_taken_at_once(text: str) -> None:
    llm = ScriptedLLM([text])
    assert await ask_for(llm, asks(), City) == City(name="Oslo")
    assert llm.requests[0].answer == City.model_json_schema()


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("Oslo", "no JSON"),
        ("[]", "a JSON object is wanted"),
        ("[" * 100_000, "no JSON"),
        ('{"name": ""}', "name: "),
        ("{}", "name: Field required"),
        (Reply(text='{"name": "Os', finish="length"), "cut off"),
        (f"```json\n{OSLO}\n```\nor\n```json\n{OSLO}\n```", "no JSON"),
    ],
)
async def test_an_answer_that_cannot_be_taken_is_sent_back_with_its_problems(said: Any, problem: str) -> None:
    llm = ScriptedLLM([said, OSLO])
    assert (await ask_for(llm, asks(), City)).name == "Oslo"
    before, again = llm.requests[1].messages[-2:]
    assert before["role"] == "assistant"
    assert problem in again["content"]


async def test_it_is_not_asked_for_ever() -> None:
    llm = ScriptedLLM(["no", "no", OSLO])
    with pytest.raises(InvalidAnswer, match="no answer that can be taken"):
        await ask_for(llm, asks(), City)
    assert len(llm.requests) == 2


async def test_what_the_caller_checks_is_sent_back_too() -> None:
    llm = ScriptedLLM(['{"name": "Rome"}', OSLO])
    found = await ask_for(llm, asks(), City, check=lambda city: [] if city.name == "Oslo" else ["too far south"])
    assert found.name == "Oslo"
    assert "- too far south" in llm.requests[1].messages[-1]["content"]


async def test_an_answer_that_a_filter_kept_back_is_no_answer() -> None:
    with pytest.raises(Refused):
        await ask_for(ScriptedLLM([Reply(finish="content_filter")]), asks(), City)


@given(st.lists(st.one_of(st.text(), st.recursive(st.none() | st.text(), st.lists).map(json.dumps)), max_size=2))
async def test_whatever_is_answered_is_taken_or_refused(answers: list[str]) -> None:
    with pytest.raises(InvalidAnswer):
        await ask_for(ScriptedLLM(lambda request: answers.pop() if answers else "[1]"), asks(), City)
