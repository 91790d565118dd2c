"""Suites of other projects run wrapped: what is drawn, what may fail and why, and that the plugin can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ..envs.definitions import environments
from . import running
from .running import HostTest, Outcome, Report, explanation, outdated
from .source import Unreachable
from .suites import PLUGIN, Allowed, Suite, allowed, suites

ALL = suites()
#: One for each environment: what builds and downloads takes longer than the tests.
PARTS = list({suite.environment.name: name for name, suite in reversed(ALL.items())}.values())
ENTRY = Allowed("s", ("tests/test_a.py::test_one[x]", "tests/test_a.py::test_two*"), "empty", "it reads its prompt")


def test_suites_are_those_of_the_newest_environments() -> None:
    newest = dict(
        pin.split("==") for one in environments().values() for pin in one.pins if one.name.endswith("-newest")
    )
    for suite in ALL.values():
        assert newest.get(suite.package, suite.version) == suite.version
        lines = suite.environment.constraints.read_text().split()
        assert f"{suite.package}=={suite.version}" in lines
        assert all("/" not in line for line in lines)


def test_every_exception_names_its_suite_and_its_reason() -> None:
    for entry in allowed():
        assert entry.suite in ALL
        assert entry.passes in ("empty", "in-place", "nothing")
        assert len(entry.why.split()) > 5
        assert entry.tests


def test_a_regression_is_explained_only_where_it_passes_as_the_entry_says() -> None:
    assert explanation([ENTRY], "tests/test_a.py::test_one[x]", ["empty"]) is ENTRY
    assert explanation([ENTRY], "tests/test_a.py::test_one[x]", []) is None
    assert explanation([ENTRY], "tests/test_a.py::test_one[y]", ["empty"]) is None


def test_an_exception_that_passes_now_is_told() -> None:
    tests = {id: HostTest(id, "passed") for id in ("tests/test_a.py::test_one[x]", "tests/test_a.py::test_two")}
    regression = running.Regression(tests["tests/test_a.py::test_two"], ["empty"], ENTRY)
    assert outdated([ENTRY], tests, [regression]) == [f"allowed.toml: {ENTRY.tests[0]} passes now: take it out"]
    assert outdated([ENTRY], {}, []) == []


class Played:
    """Runs of pytest that come out as they are told to, by way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **failing: set[str]) -> None:
        self.failing = {way.replace("_", "-"): ids for way, ids in failing.items()}
        self.injections = 1
        self.ways: list[str] = []
        monkeypatch.setattr(running, "unpacked", lambda suite: Path())
        monkeypatch.setattr(running, "build", lambda environment: False)
        monkeypatch.setattr(running, "play", self.play)

    def play(self, suite: Suite, folder: Path, way: str, asked: Sequence[str]) -> Outcome:
        self.ways.append(way)
        ids = asked if set(asked) <= {"a", "b", "c"} else ["a", "b", "c"]
        failing = self.failing.get(way, set())
        tests = {id: HostTest(id, "failed" if id in failing else "passed", "", 1, self.injections) for id in ids}
        return Outcome(tests, [], "")


def check(monkeypatch: pytest.MonkeyPatch, **failing: set[str]) -> Report:
    Played(monkeypatch, **failing)
    return running.check(ALL["langgraph"])


def test_what_fails_bare_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    report = check(monkeypatch, injected={"a"}, bare={"a"})
    assert (report.theirs, report.regressions, report.fine) == (["a"], [], True)


def test_what_fails_wrapped_alone_is_a_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    report = check(monkeypatch, injected={"a", "b"}, bare={"b"}, in_place={"a"})
    assert [(one.test.id, one.passes) for one in report.unexplained] == [("a", ["empty"])]
    assert not report.fine


def test_a_suite_in_which_nothing_was_injected_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch)
    assert running.check(ALL["langgraph"]).fine
    played.injections = 0
    assert not running.check(ALL["langgraph"]).fine


def test_a_suite_that_cannot_be_had_says_so_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(suite: Suite) -> Path:
        raise Unreachable("the index does not answer")

    monkeypatch.setattr(running, "unpacked", refuse)
    monkeypatch.delenv("CI", raising=False)
    report = running.check(ALL["openai"])
    assert (report.unreachable, report.fine) == ("the index does not answer", True)
    monkeypatch.setenv("CI", "1")
    assert not report.fine


_SUITE = """
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

def asked():
    model = GenericFakeChatModel(messages=iter([AIMessage("on Monday")]))
    return create_agent(model, []).invoke({"messages": "when?"})["messages"]

def test_the_answer_is_the_models():
    assert [message.content for message in asked()] == ["when?", "on Monday"]

def test_a_run_is_left_behind():
    from acontext_plugins.runs import RunOptions, Runtime
    Runtime(RunOptions(), None).start(label="left").enter()
"""


@pytest.mark.slow
def test_the_plugin_wraps_injects_and_complains(tmp_path: Path) -> None:
    """On a suite of our own, whose second test leaves a run behind."""
    pytest.importorskip("langchain")
    (tmp_path / "test_suite.py").write_text(_SUITE)
    report = tmp_path / "report.jsonl"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "learned_hosts"]
    command += ["--learned-way=injected", f"--learned-report={report}", "test_suite.py"]
    environ = {**os.environ, "PYTHONPATH": str(PLUGIN)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    tests, complaints, ended = running._read(report)
    assert (complaints, ended) == ([], True)
    answered, left = tests.values()
    assert answered.fine
    assert answered.wraps == 2  # the model, and the agent
    assert answered.injections == 1
    assert left.complaints == ["a run is still current behind the test"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_the_suite_runs_wrapped_as_it_does_bare(name: str) -> None:
    report = running.check(ALL[name], part=True)
    if report.unreachable and report.fine:
        pytest.skip(report.unreachable)
    unexplained = [f"{one.test.id}: {one.test.reason} ({one.passes})" for one in report.unexplained]
    assert (report.unreachable, report.troubles, unexplained) == ("", [], [])
