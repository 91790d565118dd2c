"""The glossary: terms in order, each in one sentence, each with an address that can be imported."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROWS = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \| `(.+?)` \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
TERMS = [term for term, _, _ in ROWS]


def test_terms_stand_once_and_in_alphabetical_order() -> None:
    assert len(TERMS) >= 40
    assert sorted(set(TERMS), key=str.lower) == TERMS


def test_every_line_of_the_table_is_a_term() -> None:
    lines = [line for line in (ROOT / "docs/glossary.md").read_text().splitlines() if line.startswith("|")]
    assert len(lines) == len(ROWS) + 2


@pytest.mark.parametrize(("term", "sentence", "address"), ROWS, ids=TERMS)
def test_a_term_has_one_sentence_and_an_address_that_exists(term: str, sentence: str, address: str) -> None:
    assert re.fullmatch(r"[A-Z][^.]*(\.\.\.[^.]*)?\.", sentence)
    module, _, name = address.rpartition(".")
    if name[0].isupper():
        assert hasattr(import_module(module), name)
    else:
        assert find_spec(address) is not None


def test_the_readme_leads_to_the_glossary() -> None:
    assert "(docs/glossary.md)" in (ROOT / "README.md").read_text()
