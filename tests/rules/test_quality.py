"""The figures that the rules must reach on the development trajectories."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest

from . import quality

numpy = pytest.importorskip("numpy", reason="the scorer needs numpy")

pytestmark = pytest.mark.skipif(
    not quality.DATA.is_dir(), reason="the development trajectories are not beside the repository"
)


@pytest.fixture(scope="module")
def shelf() -> quality.Shelf:
    return quality.learn(quality.development())


@pytest.fixture(scope="module")
def figures(shelf: quality.Shelf) -> dict[str, Any]:
    return quality.evaluate(shelf, verbose=False)


def mean(rows: list[dict[str, float]], key: str, domain: str | None = None) -> float:
    return fmean(row[key] for row in rows if key in row and domain in (None, row["domain"]))


def test_the_best_skill_has_the_tools_that_a_new_task_needs(figures: dict[str, Any]) -> None:
    found = figures["retrieval"]["ALL"]
    assert found["writes:recall@1"][0] >= 0.74
    assert found["writes:ndcg@5"][0] >= 0.65
    assert found["writes:seq_f1"][0] >= 0.68


def test_vague_opening_lines_find_skills_too(shelf: quality.Shelf) -> None:
    found = quality.evaluate(shelf, field_name="first_user_message", verbose=False)["retrieval"]["ALL"]
    assert found["writes:recall@1"][0] >= 0.55
    assert found["writes:ndcg@5"][0] >= 0.55


def test_skills_are_short(figures: dict[str, Any]) -> None:
    assert figures["retrieval"]["ALL"]["tokens@1"][0] <= 130
    assert mean(figures["quality"], "compression") <= 0.25
    assert mean(figures["quality"], "compression", "bfcl") <= 0.35


def test_skills_hold_the_steps_that_matter_and_nobodys_values(figures: dict[str, Any]) -> None:
    assert mean(figures["quality"], "contains_set") >= 0.95
    assert mean(figures["quality"], "contains_subseq") >= 0.92
    assert mean(figures["quality"], "instance_values_leaked") <= 0.01
    assert mean(figures["quality"], "unknown_tools") == 0


def test_strangers_get_nothing(figures: dict[str, Any]) -> None:
    assert figures["ood"] <= 0.04


@pytest.mark.parametrize(("domain", "most"), [("retail", 0.3), ("bfcl", 0.3), ("ehr", 0.5)])
def test_a_domain_that_was_never_learned_mostly_gets_nothing(domain: str, most: float) -> None:
    index = quality.learn(quality.development(domain)).index()
    queries = [q["query"] for q in quality.rows("retrieval_dev.jsonl") if q["domain"] == domain]
    assert sum(bool(quality.search(index, query)) for query in queries) / len(queries) <= most
