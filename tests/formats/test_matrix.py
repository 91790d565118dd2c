"""The matrix of formats and features: nothing is lost unnamed, and the page says what is so."""

from __future__ import annotations

import pytest

from acontext_plugins.formats import FORMATS

from .matrix import BEGIN, BEGIN_MEDIA, END, END_MEDIA, FEATURES, PAGE, VERDICTS, facts, tables, verdict
from .ways_in import table


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("feature", FEATURES)
def test_nothing_is_lost_unnamed_from_any_format_to_any(feature: str, source: str) -> None:
    found = {target: verdict(feature, source, target) for target in FORMATS}
    assert set(found.values()) <= {"lossless", "kept", "reported", "refused", None}, found
    if feature in ("text", "tool call", "parallel calls, and their results", "image (bytes)", "image (URL)"):
        assert set(found.values()) == {"lossless", "kept"}, found


def test_the_page_is_what_the_tests_found() -> None:
    page = PAGE.read_text()
    written = page.partition(BEGIN)[2].partition(END)[0].strip()
    assert written == tables().strip(), "write it anew: python -m tests.formats.matrix"
    assert VERDICTS[-1] not in written


def test_media_of_every_adapter_are_valid_parts_of_every_format_or_are_named() -> None:
    page = PAGE.read_text()
    written = page.partition(BEGIN_MEDIA)[2].partition(END_MEDIA)[0].strip()
    found = table().strip()
    assert "LOST" not in found
    assert "INVALID" not in found
    assert written == found, "write it anew: python -m tests.formats.matrix"


def test_a_loss_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from acontext_plugins.formats import openai_chat

    assert verdict("failed result", "anthropic", "openai") == "reported"
    monkeypatch.setattr(openai_chat, "lost_marks", lambda *arguments, **options: [])
    assert verdict("failed result", "anthropic", "openai") == "LOST"
    assert facts([]) == []
