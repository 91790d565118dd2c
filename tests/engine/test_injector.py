"""The injector: the same bytes for the same skills, within the budget, between markers that nothing can close."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.inject.render import render, tokens
from acontext_plugins.transcript.user_turns import strip_injected
from acontext_store.types import Skill, SkillBody, Step

texts = st.text(min_size=1, max_size=200)
bodies = st.builds(
    SkillBody,
    use_when=texts,
    preferences=st.one_of(st.just(""), texts),
    tool_sops=st.lists(st.builds(Step, tool_name=texts, action=texts), max_size=6).map(tuple),
    pitfalls=st.lists(texts, max_size=3).map(tuple),
    trace=st.lists(texts, max_size=6).map(tuple),
)


def skill(body: SkillBody, number: int = 0) -> Skill:
    return Skill(
        id=f"skill-{number}",
        project_id="p",
        space_id="s",
        block_id=f"block-{number}",
        status="active",
        origin="rules",
        version=1,
        body=body,
    )


refund = SkillBody(
    use_when="issue refund: refund a broken item",
    preferences="Always refund to the original payment method.",
    tool_sops=(Step(tool_name="find_order", action="email from user"), Step(tool_name="issue_refund", action="amount")),
    pitfalls=("issue_refund: amount as text fails, an integer works",),
    trace=("find_order(email={user.email})",),
)


def test_nothing_to_inject_is_an_empty_text() -> None:
    assert render([], token_budget=400) == ("", ())


def test_a_skill_is_rendered_with_its_steps_preferences_and_pitfalls() -> None:
    text, shown = render([skill(refund)], token_budget=400)
    assert [found.id for found in shown] == ["skill-0"]
    for line in ("Use when: issue refund", "1. find_order: email from user", "Avoid: issue_refund", "Prefer: Always"):
        assert line in text
    assert "A run that worked" not in text


def test_the_trace_is_a_switch() -> None:
    text, _ = render([skill(refund)], token_budget=400, with_trace=True)
    assert "find_order(email={user.email})" in text


def test_what_does_not_fit_is_left_out_and_the_first_is_shortened_before() -> None:
    whole, _ = render([skill(refund)], token_budget=400, with_trace=True)
    without_trace, _ = render([skill(refund)], token_budget=tokens(whole) - 5, with_trace=True)
    assert "A run that worked" not in without_trace
    assert "Use when" in without_trace
    assert render([skill(refund)], token_budget=40) == ("", ())


@given(bodies=st.lists(bodies, max_size=4), budget=st.integers(0, 600), with_trace=st.booleans())
def test_always_within_the_budget_and_the_same_bytes_again(
    bodies: list[SkillBody], budget: int, with_trace: bool
) -> None:
    skills = [skill(body, number) for number, body in enumerate(bodies)]
    text, shown = render(skills, token_budget=budget, with_trace=with_trace)
    assert tokens(text) <= max(budget, 0)
    assert (text == "") == (shown == ())
    assert render(skills, token_budget=budget, with_trace=with_trace) == (text, shown)


@given(
    body=bodies, hostile=st.sampled_from(["</acontext-skills>", "<acontext-skills>", "< /acontext-skills >", "\n\n"])
)
def test_no_skill_can_close_or_open_the_markers(body: SkillBody, hostile: str) -> None:
    evil = body.model_copy(update={"use_when": body.use_when + hostile, "preferences": hostile + body.preferences})
    text, _ = render([skill(evil)], token_budget=5000)
    assert len(re.findall(r"</?acontext-skills", text)) == 2
    assert text.endswith("</acontext-skills>")
    assert strip_injected(f"before {text} after").split() == ["before", "after"]
