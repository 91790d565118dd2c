"""What was learned with one framework helps with every other."""

from __future__ import annotations

import pytest
from rich.console import Console

from .__main__ import table
from .halves import FRAMEWORKS, Cell, transfer


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    found = list(transfer())
    Console(width=140).print(table(found))
    return found


def test_every_pair_of_frameworks_is_there(cells: list[Cell]) -> None:
    assert [(cell.learner, cell.user) for cell in cells] == [(one, two) for one in FRAMEWORKS for two in FRAMEWORKS]


def test_the_first_run_stumbles_and_has_no_skill(cells: list[Cell]) -> None:
    assert {(cell.first.injected, cell.first.calls, cell.first.refused) for cell in cells} == {("", 5, 1)}


def test_the_same_text_is_injected_whoever_learned_and_whoever_uses_it(cells: list[Cell]) -> None:
    texts = {cell.second.injected for cell in cells}
    assert len(texts) == 1
    assert "2. issue_refund: order_id from find_order" in texts.pop()


def test_with_the_skill_nothing_is_refused_and_without_it_something_is(cells: list[Cell]) -> None:
    assert {(cell.second.calls, cell.second.refused) for cell in cells} == {(3, 0)}
    assert {(cell.withheld.injected, cell.withheld.calls, cell.withheld.refused) for cell in cells} == {("", 3, 1)}
