"""The page of evidence is what the rows say, and most of it is told."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from .__main__ import PAGE, frameworks, page

ALL_FOUR = all(find_spec(name) for name in ("agents", "langchain", "agno", "litellm"))


@pytest.mark.skipif(not ALL_FOUR, reason="written where all frameworks are installed")
def test_the_page_is_written_from_the_rows() -> None:
    assert PAGE.read_text() == page(frameworks()), "write it again: python -m tests.evidence"
