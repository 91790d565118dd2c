"""`acontext costs` and what doctor says of models: real processes, a real endpoint on loopback."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from acontext_plugins.testing.scripted_server import ScriptedServer, Status
from acontext_store.ledger import ModelCall
from acontext_store.open import open_store
from acontext_store.types import Space, new_id

from .. import warm
from .asking import KEY

OPS = new_id()


def acontext(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    told = {**os.environ, "HOME": str(cwd), **environ}
    done = warm.server().run(["acontext", *arguments], cwd=cwd, env=told, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def spent(tmp_path: Path) -> Path:
    """A database in which something was spent."""
    store = open_store(f"sqlite:///{tmp_path}/a.db", project_id="default")
    store.create_space(Space(id=OPS, project_id="default", name="ops")).result()
    day = "2026-03-01T12:00:00.000000Z"
    for call in (
        ModelCall(job="learn", model="m1", space_id=OPS, prompt_tokens=1200, completion_tokens=34, cost=0.25),
        ModelCall(job="observe", model="m1", space_id=OPS, prompt_tokens=10, cost=0.5, created_at=day),
        ModelCall(job="observe", model="m2", space_id="gone", error="learning_unavailable", created_at=day),
        ModelCall(job="search", model="m2", prompt_tokens=7),
    ):
        store.log_call(call).result()
    store.close()
    return tmp_path


def test_costs_are_shown_by_space_job_model_and_day(spent: Path) -> None:
    done = acontext("costs", "--url", f"sqlite:///{spent}/a.db", cwd=spent)
    assert done.returncode == 0
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["space", "job", "model", "day", "calls", "failed", "prompt", "cached", "answer", "US$"]
    assert rows[0].split()[:3] == ["-", "search", "m2"]
    assert [row.split() for row in rows if row.startswith("ops")][1] == [
        *("ops", "observe", "m1", "2026-03-01"),
        *("1", "0", "10", "0", "0", "0.5000"),
    ]
    assert rows[-1].split() == ["4", "1", "1,217", "0", "34", "0.7500+"]
    assert "models whose price LiteLLM does not know" in done.stderr


def test_costs_as_json(spent: Path) -> None:
    url = f"sqlite:///{spent}/a.db"
    lines = acontext("costs", "--by", "space", "--json", "--url", url, cwd=spent).stdout.splitlines()
    found = {line["space_id"]: line for line in map(json.loads, lines)}
    assert {name: (line["space"], line["calls"]) for name, line in found.items()} == {
        None: (None, 1),
        "gone": ("gone", 1),
        OPS: ("ops", 2),
    }
    assert found[OPS]["cost"] == 0.75


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        (["--space", "ops"], 2),
        (["--space", "gone"], 1),
        (["--days", "1"], 2),
        (["--since", "2026-03-01", "--until", "2026-03-02"], 2),
        (["--until", "2026-03-01"], 0),
    ],
)
def test_costs_of_a_space_and_of_a_time(spent: Path, options: list[str], calls: int) -> None:
    done = acontext("costs", *options, "--by", "job", "--json", "--url", f"sqlite:///{spent}/a.db", cwd=spent)
    assert sum(json.loads(line)["calls"] for line in done.stdout.splitlines()) == calls


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--space", "nowhere"], "nowhere"),
        (["--since", "yesterday"], "2026-01-31"),
        (["--by", "colour"], "space"),
        (["--days", "1", "--since", "2026-03-01"], "--days, or --since"),
    ],
)
def test_what_cannot_be_asked_is_said(spent: Path, options: list[str], words: str) -> None:
    done = acontext("costs", *options, "--url", f"sqlite:///{spent}/a.db", cwd=spent)
    assert done.returncode == 2
    assert words in done.stderr


def test_where_no_model_was_asked_it_says_so(tmp_path: Path) -> None:
    done = acontext("costs", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "no model was asked" in done.stderr


def doctor(cwd: Path, *options: str, **environ: str) -> tuple[int, dict[str, tuple[bool, str]]]:
    done = acontext("doctor", "--json", *options, cwd=cwd, **environ)
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    assert KEY not in done.stdout + done.stderr
    return done.returncode, {check["check"]: (check["ok"], check["detail"]) for check in checks}


def test_doctor_says_that_there_is_no_model(tmp_path: Path) -> None:
    code, checks = doctor(tmp_path)
    assert (code, checks["model"]) == (0, (True, "none: rules observe and learn; see llm.model"))
    assert "spent today" not in checks
    assert doctor(tmp_path, "--model")[0] == 1


def test_doctor_says_which_model_is_set_and_what_was_spent(tmp_path: Path) -> None:
    environ = {"ACONTEXT_LLM__MODEL": "openai/gpt-4.1", "ACONTEXT_LLM__DAILY_TOKENS": "5000"}
    code, checks = doctor(tmp_path, **environ)
    assert (code, checks["model"]) == (0, (True, "openai/gpt-4.1"))
    assert checks["spent today"][1] == "0 calls (0 failed), 0 tokens, 0.0000 US$; of each space at most 5,000 tokens"
    assert "answers" not in checks


def test_doctor_asks_the_model_where_it_is_told_to(tmp_path: Path) -> None:
    with ScriptedServer(lambda asked: "yes", vectors=lambda texts: [[1.0, 0.0]] * len(texts)) as server:
        environ = {
            "ACONTEXT_LLM__MODEL": "openai/gpt-4.1",
            "ACONTEXT_LLM__API_KEY": KEY,
            "ACONTEXT_LLM__BASE_URL": server.url,
            "ACONTEXT_LLM__RETRIES": "0",
        }
        code, checks = doctor(tmp_path, "--model", **environ)
        assert code == 0
        assert checks["answers"][1].startswith("openai/gpt-4.1 in ")
        assert checks["spent today"][1].startswith("1 calls (0 failed)")
        assert len(server.seen) == 1
        server.say(Status(401))
    code, checks = doctor(tmp_path, "--model", **environ)
    assert code == 1
    assert checks["answers"][0] is False
    assert "cannot be reached at 127.0.0.1" in checks["answers"][1]
