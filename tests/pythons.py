"""`python -m tests.pythons`: the fast tests on every CPython from 3.11 to 3.14 that is found; says which was not.

A Python is looked for on PATH, by `uv python find`, and among pyenv's versions. None has to be there. Each has its own
environment in `.venvs`, with what the development environment has.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from .envs.build import Trouble, uv
from .envs.definitions import ROOT

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
_TELL = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2], sys.executable)"


def find(version: str) -> Path | None:
    """A CPython of that version that runs, or None."""
    asked = subprocess.run([uv(), "python", "find", version], capture_output=True, text=True, check=False)
    candidates = [f"python{version}", *asked.stdout.split()]
    candidates += map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"), reverse=True))
    for candidate in candidates:
        try:
            told = subprocess.run([candidate, "-c", _TELL], capture_output=True, text=True, check=False).stdout.split()
        except OSError:
            continue
        if told[:2] == ["cpython", version]:
            return Path(told[2])
    return None


def check(version: str, python: Path, options: list[str]) -> str:
    """Install where it is not, run the fast tests. The last line of what pytest says. Raises Trouble."""
    folder = ROOT / ".venvs" / f"python{version}"
    there = folder / "bin" / "python"
    if not there.exists():
        _run([uv(), "venv", "-q", "-p", str(python), str(folder)], "make the environment")
    install = [uv(), "pip", "install", "-q", "--compile-bytecode", "-p", str(there), "-c", "constraints.txt"]
    _run([*install, "-e", ".[dev]"], "install")
    tests = ["--elsewhere", "-m", "not slow", "--hypothesis-profile", "brief", *options]
    output = _run(
        [str(there), "-m", "pytest", "-q", "--forks", "2", "-p", "no:cacheprovider", *tests], "pass the tests"
    )
    return output.strip().splitlines()[-1]


def _run(command: list[str], purpose: str) -> str:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Trouble(f"cannot {purpose}", done.stdout)
    return done.stdout


def main(arguments: list[str] | None = None) -> int:
    """0 when the tests pass wherever they could be run."""
    parser = argparse.ArgumentParser(prog="python -m tests.pythons", description=__doc__)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help=f"of {', '.join(VERSIONS)}; none = all")
    parser.add_argument(
        "--pytest", nargs=argparse.REMAINDER, default=[], metavar="OPTION", help="the rest is for pytest"
    )
    given = parser.parse_args(arguments)
    told: dict[str, str] = {}
    failed = False
    for version in given.versions or VERSIONS:
        if not re.fullmatch(r"3\.\d+", version):
            parser.error(f"{version!r} is no version such as 3.12")
        python = find(version)
        if python is None:
            told[version] = "not found"
            continue
        try:
            told[version] = check(version, python, given.pytest)
        except Trouble as trouble:
            failed = True
            print(trouble.output)
            told[version] = str(trouble)
    for version, words in told.items():
        print(f"Python {version}: {words}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
