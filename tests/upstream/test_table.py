"""The table of docs/compared-with-acontext.md: every weakness stands in it, with tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "compared-with-acontext.md"
_ROW = re.compile(r"^\| W(\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def rows() -> dict[int, list[str]]:
    """The tests of each weakness."""
    return {int(number): re.findall(r"`([^`]+)`", tests) for number, _, _, tests in _ROW.findall(PAGE.read_text())}


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name for node in functions}


def test_each_weakness_stands_in_the_table_once() -> None:
    assert [int(number) for number, *_ in _ROW.findall(PAGE.read_text())] == list(range(1, 31))


@pytest.mark.parametrize("number", range(1, 31), ids=lambda number: f"W{number}")
def test_each_weakness_has_tests_that_exist(number: int) -> None:
    named = rows()[number]
    assert named
    for test in named:
        file, _, name = test.partition("::")
        assert name in names_in(file), test


def test_each_test_of_this_folder_stands_in_the_table() -> None:
    """Under its number, so that none is forgotten when it changes its name."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        for name in names_in(str(file.relative_to(ROOT))):
            if found := re.match(r"test_w(\d+)_", name):
                assert f"{file.relative_to(ROOT)}::{name}" in rows()[int(found.group(1))]
