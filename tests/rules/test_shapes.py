"""Shapes: the kind of a value, and how what worked differs from what failed, without the value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.transcript.json_shapes import change_of, shape_of

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("24.50", 2450, "a decimal as text failed, a whole number worked"),
        ("12/31/2024", "2024-12-31", "a date in another notation failed, a date like YYYY-MM-DD worked"),
        ("W2378156", "#W2378156", "with # in front"),
        ("#W2378156", "W2378156", "without # in front"),
        ("a,b", ["a", "b"], "names with commas failed, a list worked"),
        ("Oslo", "OSLO", "in capitals"),
        ("abc", "xyz", ""),
        (3, 4, ""),
    ],
)
def test_the_change_is_told_by_kind(before: Any, after: Any, words: str) -> None:
    assert change_of(before, after) == words


@given(before=json_values, after=json_values)
def test_no_value_is_told(before: Any, after: Any) -> None:
    """Whatever stood in the arguments, at most two characters of punctuation come through."""
    words = change_of(before, after)
    known = {shape_of(before), shape_of(after)}
    told = words.split(" failed, ")
    assert (
        words == ""
        or words.startswith(("with ", "without ", "in "))
        or (told[0] in known and told[1].removesuffix(" worked") in known)
    )
    assert len(words) < 80
