"""Similarity: whether two skills read the same, and whether they teach the same lesson."""

from __future__ import annotations

from .tokenizer import words
from .types import SkillBody

#: The share of the fewer words that two lessons must have in common to be one.
_SHARED = 0.5


def reads_the_same(one: SkillBody, other: SkillBody) -> bool:
    """Whether nobody who reads them could tell them apart: only how well they are supported may differ."""
    return _read(one) == _read(other)


def teaches_the_same(one: SkillBody, other: SkillBody) -> bool:
    """Whether they are one lesson, perhaps in other words: the same tools in the same order, for the same occasion.

    Lessons without tools are the same when their preferences are, too.
    """
    tools = [step.tool_name for step in one.tool_sops]
    if tools != [step.tool_name for step in other.tool_sops] or not _alike(one.use_when, other.use_when):
        return False
    return bool(tools) or _alike(one.preferences, other.preferences)


def _read(body: SkillBody) -> tuple[object, ...]:
    steps = tuple((step.tool_name, step.action) for step in body.tool_sops)
    variables = tuple(sorted(body.variables.items()))
    return body.use_when, body.preferences, steps, variables, body.pitfalls, body.trace


def _alike(one: str, other: str) -> bool:
    some, others = set(words(one)), set(words(other))
    if not some or not others:
        return one.split() == other.split()
    return len(some & others) >= _SHARED * min(len(some), len(others))
