"""`acontext sources`: who says how runs went, and what goes with one who was wrong, for people and for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from acontext_plugins.cli.main import cli
from acontext_store.errors import InvalidInput, NotFound

from .test_cli import call, result

Line = dict[str, Any]
Acontext = Callable[..., Result]
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


def archiving(id: str, project: str) -> Line:
    messages = [
        {"role": "user", "content": f"Please archive the project {project}."},
        call("c1", "close_board", {"name": project}),
        result("c1", {"status": "closed"}),
        call("c2", "archive_project", {"name": project}),
        result("c2", {"status": "archived"}),
    ]
    return {"id": id, "outcome": "success", "messages": messages}


@pytest.fixture
def acontext(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Acontext:
    """The command line, in this process, on a database that learned from two who label conversations."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ACONTEXT_URL", f"sqlite:///{tmp_path / 'a.db'}")
    monkeypatch.chdir(tmp_path)
    for by, id, project in (("nightly", "a", "apollo"), ("ann", "b", "gemini")):
        Path(f"{by}.jsonl").write_text(json.dumps(archiving(id, project)) + "\n")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, list(arguments), catch_exceptions=False)

    for by in ("nightly", "ann"):
        assert run("learn", f"{by}.jsonl", "--space", "garden", "--outcome-by", by).exit_code == 0
    return run


def said(done: Result) -> str:
    """What a person reads, without ids."""
    return ID.sub("ID", done.output).strip()


def test_who_has_spoken_is_listed_and_registered(acontext: Acontext) -> None:
    assert said(acontext("sources", "register", "nightly", "--strength", "0.8", "--note", "the nightly check")) == (
        "acontext: outcomes of 'nightly' weigh at most 0.8 from now on"
    )
    assert said(acontext("sources", "list")).splitlines() == [
        "source   strength        outcomes  note",
        "ann      not registered         1",
        "nightly  0.8                    1  the nightly check",
    ]
    found = [json.loads(line) for line in acontext("sources", "list", "--json").stdout.splitlines()]
    assert [(one["name"], one["strength"], one["outcomes"]) for one in found] == [("ann", None, 1), ("nightly", 0.8, 1)]
    assert "(import by nightly: success)" in acontext("tasks", "--space", "garden").stdout


def test_what_goes_with_a_revoked_one_is_told(acontext: Acontext) -> None:
    done = acontext("sources", "revoke", "nightly")
    assert (done.exit_code, said(done).splitlines()) == (
        0,
        [
            "1 task judged otherwise",
            "  success -> running  a  Please archive the project apollo.",
            "1 skill kept: other evidence supports it",
            "  close board, archive project: archive the project {name}.  active, version 1, 1 success behind it  ID",
            "acontext: 'nightly' is revoked: none of its outcomes (1) counts",
        ],
    )
    assert said(acontext("sources", "revoke", "ann")).splitlines() == [
        "1 task judged otherwise",
        "  success -> running  b  Please archive the project gemini.",
        "1 skill retired: nothing else stands behind it",
        "  close board, archive project: archive the project {name}.  active -> retired, version 1 -> 2  ID",
        "acontext: 'ann' is revoked: none of its outcomes (1) counts",
    ]
    assert "revoked 2" in acontext("sources", "list").stdout


def test_a_program_reads_it_and_a_second_time_tells_the_same(acontext: Acontext) -> None:
    first = acontext("sources", "revoke", "nightly", "--json")
    assert acontext("sources", "revoke", "nightly", "--json").stdout == first.stdout
    task, skill, done = (json.loads(line) for line in first.stdout.splitlines())
    assert (task["event"], task["session_key"], task["before"], task["after"]) == ("task", "a", "success", "running")
    assert (skill["event"], skill["fate"], skill["support"]) == ("skill", "kept", 1)
    assert (done["event"], done["source"]["name"], done["waiting_sessions"]) == ("done", "nightly", [])


def test_labels_that_were_put_right_are_imported_again(acontext: Acontext) -> None:
    acontext("sources", "revoke", "nightly")
    assert (
        "0 new or changed" in acontext("learn", "nightly.jsonl", "--space", "garden", "--outcome-by", "nightly").stderr
    )
    acontext("sources", "register", "nightly")
    done = acontext("learn", "nightly.jsonl", "--space", "garden", "--outcome-by", "nightly")
    assert "'a' was known with another outcome: replaced" in done.stderr
    assert acontext("tasks", "--session", "a").stdout.splitlines()[2] == "  success (import by nightly: success)"


def test_a_name_that_nobody_has_is_answered_with_those_that_there_are(acontext: Acontext) -> None:
    runner = CliRunner()
    done = runner.invoke(cli, ["sources", "revoke", "nightli"])
    assert isinstance(done.exception, NotFound)
    assert "sources with a name: 'ann', 'nightly'" in done.stderr
    for wrong in (["sources", "register", "x" * 65], ["learn", "ann.jsonl", "--space", "s", "--outcome-by", " x"]):
        done = runner.invoke(cli, wrong)
        assert isinstance(done.exception, InvalidInput)
        assert "source of outcomes" in str(done.exception)
    assert "0<=x<=1" in runner.invoke(cli, ["sources", "register", "ci", "--strength", "7"]).stderr


def test_where_nobody_has_spoken_it_is_said_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACONTEXT_URL", f"sqlite:///{tmp_path / 'empty.db'}")
    assert 'report("success", by="unit-tests")' in CliRunner().invoke(cli, ["sources", "list"]).stderr
