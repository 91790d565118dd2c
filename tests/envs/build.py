"""Builds an environment and runs its tests; says in plain values how that went."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

from .definitions import ROOT, VARIABLE, Environment

#: Seconds that one environment may take for its tests.
PATIENCE = 1800
_FACTS = """
import importlib.metadata as metadata, importlib.util as util, json, sys
names, modules = json.loads(sys.argv[1])
def there(module):
    try:
        return util.find_spec(module) is not None
    except ImportError:
        return False
print(json.dumps([{name: metadata.version(name) for name in names}, [m for m in modules if not there(m)]]))
"""


@dataclass
class Report:
    """How an environment came out. `trouble` is empty where all is well."""

    name: str
    versions: dict[str, str] = field(default_factory=dict)
    built: float = 0.0
    fresh: bool = True
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    tested: float = 0.0
    trouble: str = ""
    output: str = ""

    @property
    def fine(self) -> bool:
        return not self.trouble


class Trouble(Exception):
    """Why an environment is not fine, and what was printed."""

    def __init__(self, words: str, output: str = "") -> None:
        super().__init__(words)
        self.output = output


def uv() -> str:
    """The uv of this environment, else the one on the path."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise SystemExit("uv is needed to build environments: `make` installs it into .venv")
    return found


def lock(environment: Environment) -> None:
    """Write the versions of everything in the environment, and no address."""
    asked = ROOT / ".venvs" / f"{environment.name}.in"
    asked.parent.mkdir(exist_ok=True)
    editable = [f"-e {environment.itself}", *(f"-e {ROOT / path}" for path in environment.projects)]
    asked.write_text("\n".join((*editable, *environment.requirements)))
    compiled = _run(
        [uv(), "pip", "compile", "-q", "--no-header", "--no-annotate", "-p", sys.executable, str(asked)], "resolve"
    )
    pinned = [line for line in compiled.splitlines() if "==" in line and not line.startswith("-e ")]
    environment.constraints.write_text("\n".join(pinned) + "\n")


def check(environment: Environment, tests: list[str] | None = None) -> Report:
    """Build it where it is not, and run its tests there."""
    report = Report(environment.name)
    try:
        began = time.monotonic()
        report.fresh = build(environment)
        report.built = time.monotonic() - began
        report.versions = _facts(environment)
        _test(environment, report, tests or [])
    except Trouble as trouble:
        report.trouble, report.output = str(trouble), trouble.output
    return report


def build(environment: Environment) -> bool:
    """Whether it had to be built: not where one stands that was made of the same."""
    parts = [environment.constraints.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), repr(environment).encode()]
    mark = hashlib.sha256(b"\0".join([*parts, sys.version.encode()])).hexdigest()
    stamp = environment.folder / ".built"
    if stamp.exists() and stamp.read_text() == mark:
        return False
    shutil.rmtree(environment.folder, ignore_errors=True)
    _run([uv(), "venv", "-q", "-p", sys.executable, str(environment.folder)], "make the environment")
    install = [uv(), "pip", "install", "-q", "-p", str(environment.python)]
    if environment.compiled:
        install.append("--compile-bytecode")
    editable = ["-e", environment.itself]
    for path in environment.projects:
        editable += ["-e", str(ROOT / path)]
    _run([*install, "-c", str(environment.constraints), *editable, *environment.requirements], "install")
    stamp.write_text(mark)
    return True


def _facts(environment: Environment) -> dict[str, str]:
    """The versions of what the environment is about. Raises Trouble where it does not hold what it is for."""
    pins = dict(pin.split("==") for pin in environment.pins)
    names = {pin.partition("[")[0]: version for pin, version in pins.items()}
    asked = json.dumps([list(names), environment.modules])
    versions, absent = json.loads(_run([str(environment.python), "-c", _FACTS, asked], "look into the environment"))
    if absent:
        raise Trouble(f"not there: {', '.join(absent)}")
    if versions != names:
        raise Trouble(f"has {versions}, wanted {names}")
    return dict(versions)


def _test(environment: Environment, report: Report, tests: list[str]) -> None:
    results = environment.folder / "results.xml"
    results.unlink(missing_ok=True)
    pages = sorted(
        {"tests/test_docs.py" if page.endswith(".md") else "tests/test_examples.py" for page in environment.pages}
    )
    command = [str(environment.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={results}"]
    without = [f"--ignore={path}" for path in environment.without]
    began = time.monotonic()
    done = _process([*command, *(tests or [*environment.tests, *without, *pages])], environment)
    report.tested = time.monotonic() - began
    left_out: list[str] = []
    if results.exists():
        tree = ET.parse(results).getroot()
        suite = next(tree.iter("testsuite")).attrib
        reasons = [skip.get("message", "") for skip in tree.iter("skipped")]
        left_out = [reason for reason in reasons if not reason.startswith(environment.later or "\0")]
        report.failed = int(suite["failures"]) + int(suite["errors"])
        report.skipped = int(suite["skipped"])
        report.passed = int(suite["tests"]) - report.failed - report.skipped
    if done.returncode or not report.passed:
        raise Trouble("tests fail", done.stdout)
    if left_out:
        raise Trouble(f"tests were skipped: {'; '.join(sorted(set(left_out)))}", done.stdout)
    if environment.types:
        cache = str(environment.folder / ".mypy_cache")
        _run([str(environment.python), "-m", "mypy", "--cache-dir", cache, "-p", environment.types], "check types")


def _process(command: list[str], environment: Environment | None = None) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    if environment is not None:
        environ[VARIABLE] = environment.name
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else str(late.stdout)
        raise Trouble(f"not done after {PATIENCE} s", output) from None


def _run(command: list[str], purpose: str) -> str:
    done = _process(command)
    if done.returncode:
        raise Trouble(f"cannot {purpose}", done.stdout)
    return done.stdout
