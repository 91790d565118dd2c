"""Every fence of README and docs runs: Python a file at a time, in order; shell in a fresh folder.

A fence with the name of a file ("python adapter.py") is that file, for the others to import. A `pyproject.toml` among
them is installed, as far as its entry points go, and a `test_*.py` is run. Pages that need what only another
environment holds are run there (`pages` in tests/envs/environments.toml).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from . import warm
from .envs.definitions import ROOT, here
from .packages import install

#: What is run of a page here, by the language of its fences.
LANGUAGES = {"python", "bash", "sh", "console", "json", "jsonl", "toml"}
#: Fences of other languages, and the tests that run them, where what they need is there.
ELSEWHERE = {
    "docs/adapters/litellm.md": ({"shell", "yaml"}, "tests/adapters/litellm/test_proxy_example.py"),
    "docs/server.md": ({"py"}, "tests/wire/test_page.py"),
}
PAGES = here([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))])
_FENCE = re.compile(r"^```(\w*)[ ]*([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: What a page may say about the repository itself; the Makefile has tests of its own use: this one is run by it.
_REPOSITORY = {"make demo", "make test", "make bench"}


def fences(page: Path, *languages: str) -> list[str]:
    """Those that are no files."""
    return [text for language, name, text in _FENCE.findall(page.read_text()) if language in languages and not name]


def files(page: Path) -> dict[str, str]:
    return {name: text for _, name, text in _FENCE.findall(page.read_text()) if name}


def write_files(page: Path, folder: Path) -> None:
    """The page's files, and what an installer would write for its project."""
    for name, text in files(page).items():
        (folder / name).write_text(text)
    if (folder / "pyproject.toml").exists():
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        install(folder, project["name"], project.get("entry-points", {}), version=project["version"])


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


#: Pages with one of these words get a process that has imported nothing.
_OWN_PROCESS = re.compile(r"\b(environ|multiprocessing|subprocess|sys\.modules|reload|patch)\b")


def environment(folder: Path) -> dict[str, str]:
    """That folder can be imported from and has commands of its own; warnings are errors."""
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    told = {"PATH": path, "PYTHONPATH": str(folder), "OPENAI_AGENTS_DISABLE_TRACING": "1", "PYTHONWARNINGS": "error"}
    return {**os.environ, **told}


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_fences_run_in_order(page: Path, tmp_path: Path) -> None:
    if not fences(page, "python"):
        return
    write_files(page, tmp_path)
    script = tmp_path / "page.py"
    script.write_text("\n\n".join(fences(page, "python")))
    if _OWN_PROCESS.search(script.read_text()):
        done = run([sys.executable, "-W", "error", str(script)], tmp_path)
    else:
        done = warm.server().run([str(script)], cwd=tmp_path, env=environment(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_tests_on_a_page_pass(page: Path, tmp_path: Path) -> None:
    tests = [file for file in files(page) if file.startswith("test_")]
    if not tests:
        return
    write_files(page, tmp_path)
    # plugins of others take seconds to load
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:langsmith_plugin", "-p", "no:schemathesis", "-W", "error"]
    options += ["-o", "asyncio_default_fixture_loop_scope=function"]
    done = run([sys.executable, "-m", "pytest", *options, *tests], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_shell_fences_run_in_order(page: Path, tmp_path: Path) -> None:
    write_files(page, tmp_path)
    lines = [line for text in fences(page, "bash", "sh", "console") for line in text.splitlines()]
    makefile = (ROOT / "Makefile").read_text()
    for line in [line for line in lines if line.strip() in _REPOSITORY]:
        assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE), f"no such target: {line}"
    rest = [
        line for line in lines if line.strip() not in _REPOSITORY and not line.startswith(("git clone", "cd ", "pip "))
    ]
    if any("acontext " in line for line in rest):
        warm.server().write_command(tmp_path)
    done = run(["bash", "-euo", "pipefail", "-c", "\n".join(rest)], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_data_fences_can_be_parsed(page: Path) -> None:
    for text in fences(page, "json"):
        json.loads(text)
    for text in fences(page, "jsonl"):
        for line in text.splitlines():
            json.loads(line)
    for text in fences(page, "toml"):
        tomllib.loads(text)


@pytest.mark.parametrize("page", [page for page in PAGES if "pyproject.toml" in files(page)], ids=name)
def test_a_project_on_a_page_names_its_modules_so_that_installers_take_it(page: Path) -> None:
    project = tomllib.loads(files(page)["pyproject.toml"])
    code = {file for file in files(page) if file.endswith(".py") and not file.startswith(("test_", "conftest"))}
    assert {f"{module}.py" for module in project["tool"]["setuptools"]["py-modules"]} == code
    assert project["build-system"]["build-backend"] == "setuptools.build_meta"
    assert project["project"]["dependencies"] == ["acontext-plugins"], "what only this page has cannot be installed"
    assert any("pip install -e ." in text for text in fences(page, "bash"))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(
        r"\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]+))?\)", _FENCE.sub("", page.read_text())
    ):
        there = page.parent / target if target else page
        assert there.exists(), f"{name(page)} links to {target}"
        assert not anchor or anchor in anchors(there), f"{name(page)} links to {target}#{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name in ("extend", ROOT.name)], ids=name)
def test_files_that_a_page_for_developers_names_are_there(page: Path) -> None:
    paths = [path for text in re.findall(r"`([^`\n]+)`", page.read_text()) for path in text.split()]
    ours = [path for path in paths if path.startswith(("acontext_plugins/", "store/", "adapters/", "tests/", "docs/"))]
    assert [path for path in ours if not (ROOT / path).exists()] == []


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_an_adapter_takes_less_than_a_hundred_and_fifty_lines() -> None:
    adapter = files(ROOT / "docs/extend/adapter.md")["acontext_toyagents.py"]
    assert len(adapter.splitlines()) < 150
    example = (ROOT / "examples/third_party_adapter/acontext_pydantic_ai").glob("*.py")
    assert sum(len(module.read_text().splitlines()) for module in example) < 150


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_fence_is_run_somewhere(page: Path) -> None:
    languages, tests = ELSEWHERE.get(name(page), (set(), ""))
    assert {language for language, _, _ in _FENCE.findall(page.read_text())} <= LANGUAGES | languages
    if tests:
        assert page.name in (ROOT / tests).read_text()
