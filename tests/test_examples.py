"""Every example runs as it stands, offline; those that need what only another environment holds, there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .envs.definitions import ROOT, here

EXAMPLES = here(sorted((ROOT / "examples").glob("*.py")))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_example_runs_offline(example: Path, tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "task #1" in done.stdout
