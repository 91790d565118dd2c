"""The demo: with the skill in the prompt the agent does better, without it it stumbles again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("agents.testing", reason="the demo's scripted model came with openai-agents 0.23")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-offline")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("withhold", [False, True])
def test_what_the_second_run_does_depends_on_the_injected_text(withhold: bool) -> None:
    from agents import set_tracing_disabled

    from acontext_plugins.cli.demo_agent import demo_client, play

    set_tracing_disabled(True)
    with demo_client(None) as client:
        first, learned, second = play(client, withhold=withhold)
    (skill,) = learned
    assert skill.status == "active"
    assert [step.tool_name for step in skill.body.tool_sops] == ["find_order", "issue_refund", "send_receipt"]
    assert (first.injected, first.errors, len(first.calls)) == ("", 1, 5)
    assert "ada@" not in skill.model_dump_json()
    if withhold:
        assert second.injected == ""
        assert second.errors == 1
        assert second.refund["method"] == "store_credit"
    else:
        assert "issue_refund" in second.injected
        assert (second.errors, len(second.calls)) == (0, 3)
        assert second.refund == {"amount": 6190, "method": "original_payment"}


def test_the_command_shows_both_runs_and_what_to_type_next(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "acontext"), "demo", "--keep", "demo.db"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("ScriptedModel", "Side by side", "<acontext-skills", "What to type next", "taught by"):
        assert words in done.stdout
    assert (tmp_path / "demo.db").exists()
