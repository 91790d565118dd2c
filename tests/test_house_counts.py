"""What the house has counted of itself never grows, and a message goes through no more files than it did.

A limit is lowered by whoever makes its count lower.
"""

from __future__ import annotations

import ast

import pytest

from . import house, tracing
from .house import modules

LIMITS = {
    "modules at the root": 9,
    "import circles": 0,
    "imports against the layers": 0,
    "class names in two files": 1,
    "modules that only pass on": 0,
    "public names without a docstring": 0,
    "numeric public parameters without a unit": 0,
}
#: Files of ours that a run enters: see docs/decisions/0047-the-folders-are-the-data-path.md.
TO_THE_COMMIT = 17
TO_THE_ACTIVE_SKILL = 30


@pytest.fixture(scope="module")
def counted() -> dict[str, list[str]]:
    return house.counts()


@pytest.mark.parametrize("name", LIMITS)
def test_a_count_does_not_grow(counted: dict[str, list[str]], name: str) -> None:
    found = counted[name]
    assert len(found) <= LIMITS[name], "\n".join(found)


def test_every_count_has_a_limit(counted: dict[str, list[str]]) -> None:
    assert counted.keys() == LIMITS.keys()


def test_an_exception_has_a_reason_and_still_stands() -> None:
    classes = {node.name for module in modules().values() for node in module.nodes if isinstance(node, ast.ClassDef)}
    assert [name for name, reason in house.SAME_NAME.items() if not reason or name not in classes] == []
    assert [name for name, reason in house.PASSING_ON.items() if not reason or name not in modules()] == []


@pytest.fixture(scope="module")
def traced() -> tracing.Trace:
    return tracing.trace()


def test_a_warm_run_enters_no_more_files_than_it_did(traced: tracing.Trace) -> None:
    assert len(traced.to_the_commit) <= TO_THE_COMMIT, traced.to_the_commit
    assert len(traced.to_the_active_skill) <= TO_THE_ACTIVE_SKILL, traced.to_the_active_skill


def test_each_file_that_a_warm_run_enters_says_what_it_is_for(traced: tracing.Trace) -> None:
    assert [file for file in {*traced.to_the_commit, *traced.to_the_active_skill} if not tracing.purpose(file)] == []
