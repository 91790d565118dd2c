"""Every fence of README and docs runs: Python a file at a time, in order; shell in a fresh folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: What a page may say about the repository itself; the Makefile has tests of its own use: this one is run by it.
_REPOSITORY = {"make demo", "make test", "make bench"}


def fences(page: Path, *languages: str) -> list[str]:
    return [text for language, text in _FENCE.findall(page.read_text()) if language in languages]


def pages_with(*languages: str) -> list[Path]:
    return [page for page in PAGES if fences(page, *languages)]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONWARNINGS": "error", "OPENAI_AGENTS_DISABLE_TRACING": "1"}


@pytest.mark.parametrize("page", pages_with("python"), ids=name)
def test_python_fences_run_in_order(page: Path, tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text("\n\n".join(fences(page, "python")))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", pages_with("bash", "sh", "console"), ids=name)
def test_shell_fences_run_in_order(page: Path, tmp_path: Path) -> None:
    lines = [line for text in fences(page, "bash", "sh", "console") for line in text.splitlines()]
    makefile = (ROOT / "Makefile").read_text()
    for line in [line for line in lines if line.strip() in _REPOSITORY]:
        assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE), f"no such target: {line}"
    rest = [
        line for line in lines if line.strip() not in _REPOSITORY and not line.startswith(("git clone", "cd ", "pip "))
    ]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(rest)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", pages_with("json", "jsonl", "toml"), ids=name)
def test_data_fences_can_be_parsed(page: Path) -> None:
    for text in fences(page, "json"):
        json.loads(text)
    for text in fences(page, "jsonl"):
        for line in text.splitlines():
            json.loads(line)
    for text in fences(page, "toml"):
        tomllib.loads(text)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", _FENCE.sub("", page.read_text())):
        assert (page.parent / target).exists(), f"{name(page)} links to {target}"
