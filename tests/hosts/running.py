"""Runs a suite wrapped, and what fails again in other ways, which shows whose fault it is."""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..envs.build import Trouble, build
from .source import Unreachable, unpacked
from .suites import PLUGIN, Allowed, Suite

#: Seconds that one run of pytest may take, and one test in it.
PATIENCE, PATIENCE_OF_A_TEST = 3000, 120


@dataclass
class HostTest:
    """How one test came out."""

    id: str
    outcome: str = ""
    text: str = ""
    wraps: int = 0
    injections: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        return self.outcome != "failed" and not self.complaints

    @property
    def reason(self) -> str:
        """In a line."""
        errors = [line[1:].strip() for line in self.text.splitlines() if line.startswith("E ")]
        words = [*self.complaints, *errors, *self.text.strip().splitlines()[-1:]]
        return words[0] if words else ""


@dataclass
class Outcome:
    """What came of one run of pytest."""

    tests: dict[str, HostTest]
    #: Behind all tests, or because the run did not come to its end.
    complaints: list[str]
    output: str

    @property
    def failed(self) -> list[str]:
        return [id for id, test in self.tests.items() if not test.fine]


@dataclass
class Regression:
    """A test that fails wrapped and passes bare, with the ways in which it passes."""

    test: HostTest
    passes: list[str]
    allowed: Allowed | None = None


@dataclass
class Report:
    """How a suite came out."""

    suite: str
    version: str = ""
    tests: int = 0
    wrapped: int = 0
    wraps: int = 0
    injections: int = 0
    #: Failing bare, too.
    theirs: list[str] = field(default_factory=list)
    #: Failing once, and passing when they were run again in the same way.
    again: list[str] = field(default_factory=list)
    regressions: list[Regression] = field(default_factory=list)
    #: Why the suite could not be had, where it was not run.
    unreachable: str = ""
    troubles: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def unexplained(self) -> list[Regression]:
        return [regression for regression in self.regressions if regression.allowed is None]

    @property
    def fine(self) -> bool:
        return not self.troubles and not self.unexplained and not (self.unreachable and os.environ.get("CI"))


def check(suite: Suite, *, part: bool = False, seed: int = 0, only: Sequence[str] = ()) -> Report:
    """Run a suite, or a `part` of it that is drawn by `seed`, or the tests given by `only`."""
    report = Report(suite.name, suite.version)
    began = time.monotonic()
    try:
        folder = unpacked(suite)
        build(suite.environment)
        _check(suite, folder, report, part=part, seed=seed, only=only)
    except Unreachable as reason:
        report.unreachable = str(reason)
    except Trouble as trouble:
        report.troubles.append(f"{trouble}\n{trouble.output}")
    report.seconds = time.monotonic() - began
    return report


def _check(suite: Suite, folder: Path, report: Report, *, part: bool, seed: int, only: Sequence[str]) -> None:
    asked = list(only) or [*files(suite, folder), *suite.arguments]
    if part and not only:
        drawn = sorted(random.Random(seed).sample(files(suite, folder), suite.files))
        asked = [*drawn, *suite.arguments, f"--learned-part={suite.part}", f"--learned-seed={seed}"]
    first = play(suite, folder, "injected", asked)
    tests = first.tests
    report.tests = len(tests)
    report.wrapped = sum(test.wraps > 0 for test in tests.values())
    report.wraps = sum(test.wraps for test in tests.values())
    report.injections = sum(test.injections for test in tests.values())
    report.troubles += first.complaints
    if not tests or (not report.wraps or not report.injections):
        report.troubles.append(f"{report.wraps} wraps and {report.injections} injections: nothing is checked")
    failed = first.failed
    if failed:
        bare = play(suite, folder, "bare", failed)
        report.theirs = [id for id in failed if id in bare.tests and not bare.tests[id].fine]
        failed = [id for id in failed if id not in report.theirs]
    if failed:
        again = play(suite, folder, "injected", failed)
        report.again = [id for id in failed if id in again.tests and again.tests[id].fine]
        failed = [id for id in failed if id not in report.again]
    if failed:
        ways = {way: play(suite, folder, way, failed) for way in ("empty", "in-place")}
        for id in failed:
            passes = [way for way, run in ways.items() if id in run.tests and run.tests[id].fine]
            test = first.tests[id]
            report.regressions.append(Regression(test, passes, explanation(suite.allowed, id, passes)))
    report.troubles += outdated(suite.allowed, tests, report.regressions)


def explanation(entries: Sequence[Allowed], id: str, passes: Sequence[str]) -> Allowed | None:
    """The entry that a regression is allowed by: of its name, and passing in the way that the entry says."""
    for entry in entries:
        if entry.covers(id) and (entry.passes in passes or (entry.passes == "nothing" and not passes)):
            return entry
    return None


def outdated(entries: Sequence[Allowed], tests: dict[str, HostTest], regressions: Sequence[Regression]) -> list[str]:
    """The patterns of entries whose tests all pass now: they are to be taken out."""
    failing = {regression.test.id for regression in regressions}
    found = []
    for entry in entries:
        for pattern in entry.tests:
            one = Allowed(entry.suite, (pattern,), entry.passes, entry.why)
            covered = [id for id in tests if one.covers(id)]
            if covered and not any(id in failing for id in covered):
                found.append(f"allowed.toml: {pattern} passes now: take it out")
    return found


def files(suite: Suite, folder: Path) -> list[str]:
    """Files of the suite in which there is something to wrap."""
    left = [folder / path for path in suite.without]
    return [
        str(path.relative_to(folder))
        for tests in suite.tests
        for path in sorted((folder / tests).rglob("test_*.py"))
        if not any(path.is_relative_to(other) for other in left)
        and any(hint in path.read_text(encoding="utf-8") for hint in suite.hints)
    ]


def play(suite: Suite, folder: Path, way: str, asked: Sequence[str]) -> Outcome:
    """Run tests in one of the plugin's ways."""
    with tempfile.TemporaryDirectory(prefix="acontext-hosts-") as scratch:
        lines, names = Path(scratch) / "report.jsonl", Path(scratch) / "tests.txt"
        names.write_text("\n".join(asked))
        command = [str(suite.environment.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
        command.append("--continue-on-collection-errors")
        command += ["-p", "learned_hosts", f"--learned-way={way}", f"--learned-report={lines}"]
        command += [f"--timeout={PATIENCE_OF_A_TEST}", f"@{names}"]
        kept = {name: value for name, value in os.environ.items() if name not in _UNSEEN}
        environ = {**kept, **suite.environ, "PYTHONPATH": str(PLUGIN), "HOME": scratch}
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Outcome(_read(lines)[0], [f"{way}: not done after {PATIENCE} s"], "")
        tests, complaints, ended = _read(lines)
        if not ended:
            complaints.append(f"{way}: pytest ended early ({done.returncode}):\n{done.stdout[-3000:]}")
        return Outcome(tests, complaints, done.stdout)


_UNSEEN = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS")


def _read(lines: Path) -> tuple[dict[str, HostTest], list[str], bool]:
    tests: dict[str, HostTest] = {}
    complaints: list[str] = []
    ended = False
    for line in lines.read_text(encoding="utf-8").splitlines() if lines.exists() else ():
        told = json.loads(line)
        if told.get("ended"):
            ended = True
            complaints += told["complaints"]
            continue
        test = tests.setdefault(told["test"], HostTest(told["test"]))
        if told.get("outcome") and test.outcome != "failed":
            test.outcome, test.text = told["outcome"], told["text"]
        test.wraps += told.get("wraps", 0)
        test.injections += told.get("injections", 0)
        test.complaints += told.get("complaints", ())
    return tests, complaints, ended
