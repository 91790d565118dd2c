"""Tests that forks run are reported as if one process had run them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = """
import os, time, pathlib, pytest

@pytest.fixture(scope="module")
def shared():
    yield
    pathlib.Path("ended").open("a").write("shared ")

@pytest.mark.parametrize("number", range(100))
def test_passes(shared, number, tmp_path):
    print("said")
    pathlib.Path("ran").open("a").write(f"{number} ")
    pathlib.Path("processes").open("a").write(f"{os.getpid()} ")

def test_fails(shared):
    print("words of the test")
    assert 1 == 2

@pytest.mark.skip(reason="not today")
def test_skipped():
    pass

def test_breaks(request):
    request.addfinalizer(lambda: 1 / 0)
"""


def run(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_some.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.forks",
        "-p",
        "no:langsmith_plugin",
        "-p",
        "no:schemathesis",
    ]
    return subprocess.run(
        [*command, "--forks", "2", "-ra", *options],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/bin:/usr/bin", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forked")


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(folder, TESTS)


def test_each_test_runs_once_and_both_processes_work(done: object, folder: Path) -> None:
    assert sorted(map(int, (folder / "ran").read_text().split())) == list(range(100))
    assert len(set((folder / "processes").read_text().split())) == 2
    assert (folder / "ended").read_text() == "shared shared ", "each ends its fixtures"


def test_what_they_report_is_counted_and_told(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert re.search(r"1 failed, 101 passed, 1 skipped, 1 error in", done.stdout), done.stdout
    assert "words of the test" in done.stdout
    assert "assert 1 == 2" in done.stdout
    assert "ZeroDivisionError" in done.stdout
    assert "not today" in done.stdout
    assert "FAILED test_some.py::test_fails" in done.stdout


def test_the_first_failure_ends_all_where_that_is_asked(tmp_path: Path) -> None:
    text = "import pytest\n@pytest.mark.parametrize('n', range(400))\ndef test_some(n):\n    assert n\n"
    done = run(tmp_path, text, "-x", "-q")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "stopping after 1 failures" in done.stdout
    assert "FAILED test_some.py::test_some[0]" in done.stdout


def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "import os\ndef test_before():\n    pass\ndef test_dies():\n    os._exit(3)\n")
    assert done.returncode == pytest.ExitCode.INTERNAL_ERROR
    assert "has died after test_some.py::test_before" in done.stdout + done.stderr


def test_what_fails_while_it_is_collected_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "import absent_module\n")
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "absent_module" in done.stdout
