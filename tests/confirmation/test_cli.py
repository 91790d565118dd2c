"""`acontext confirm`, `reject`, `retry` and `doctor`, as real processes."""

from __future__ import annotations

import json
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins import Acontext
from acontext_plugins.settings import ObserveSettings, Settings, WorkerSettings
from tests.cli.test_cli import acontext, conversation, lines
from tests.engine.test_worker import refund
from tests.wire.conftest import free_port

from .scripted import Model, worker

URL = "sqlite:///a.db"


def client_of(folder: Path) -> Acontext:
    observe = ObserveSettings(quiet=0.0, max_wait=0.0)
    return Acontext(
        settings=Settings(url=f"sqlite:///{folder}/a.db", observe=observe, worker=WorkerSettings(enabled=False))
    )


@pytest.fixture
def careful(tmp_path: Path) -> Path:
    """A folder with a database in which a lesson waits for a person."""
    with client_of(tmp_path) as client:
        client.spaces.create(name="shop", configs={"confirm": True})
    teach(tmp_path, "case-1", "case-2")
    return tmp_path


def teach(folder: Path, *ids: str) -> dict[str, Any]:
    rows = [conversation(id, f"{id}@example.com", f"A-10{n}") for n, id in enumerate(ids)]
    (folder / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = acontext("learn", "cases.jsonl", "--space", "shop", "--url", URL, "--json", cwd=folder)
    return lines(done)[-1]


def skills(folder: Path, *options: str) -> list[dict[str, Any]]:
    return lines(acontext("skills", "--space", "shop", "--url", URL, "--json", *options, cwd=folder))


def waiting(folder: Path) -> list[dict[str, Any]]:
    return lines(acontext("confirm", "--space", "shop", "--url", URL, "--json", cwd=folder))


def test_what_waits_is_shown_whole_and_confirmed_by_its_id(careful: Path) -> None:
    assert skills(careful) == []
    (skill,) = skills(careful, "--status", "pending_confirmation")
    (one,) = waiting(careful)
    assert one["skill_id"] == skill["id"]
    shown = acontext("confirm", "--space", "shop", "--url", URL, cwd=careful)
    assert shown.returncode == 0
    for words in (skill["use_when"], "2. issue_refund", one["id"], *skill["pitfalls"], *skill["trace"]):
        assert words in shown.stdout
    wrong = acontext("confirm", "--space", "shop", "--url", URL, skill["id"], "nothing", cwd=careful)
    assert wrong.returncode == 1
    assert "nothing waits there with the id 'nothing'" in wrong.stderr
    assert len(waiting(careful)) == 1
    done = acontext("confirm", "--space", "shop", "--url", URL, "--json", one["id"], cwd=careful)
    assert (lines(done)[0]["decision"], done.returncode) == ("confirmed", 0)
    assert [skill["status"] for skill in skills(careful)] == ["active"]
    assert waiting(careful) == []
    again = acontext("confirm", "--space", "shop", "--url", URL, one["id"], cwd=careful)
    assert again.returncode == 1


def test_what_is_rejected_is_not_learned_again(careful: Path) -> None:
    assert acontext("reject", "--space", "shop", "--url", URL, cwd=careful).returncode == 2
    done = acontext("reject", "--space", "shop", "--url", URL, "--all", cwd=careful)
    assert "rejected" in done.stderr
    teach(careful, "case-3", "case-4", "case-5")
    assert waiting(careful) == skills(careful) == []
    assert [skill["status"] for skill in skills(careful, "--all")] == ["retired"]


def test_what_waits_is_changed_in_a_file_or_an_editor_first(careful: Path) -> None:
    (one,) = waiting(careful)
    data = one["experience_data"] | {"data": {"use_when": "a customer wants money back"}}
    (careful / "better.json").write_text(json.dumps(data))
    for wrong, words in (("[1]", "expected an object"), ("{", "no JSON"), ('{"x": 1}', "known are use_when")):
        (careful / "wrong.json").write_text(wrong)
        done = acontext("confirm", "--space", "shop", "--url", URL, one["id"], "--data", "wrong.json", cwd=careful)
        assert done.returncode in (1, 2)
        assert words in done.stderr
    assert waiting(careful) == [one]
    acontext("confirm", "--space", "shop", "--url", URL, one["id"], "--data", "better.json", cwd=careful)
    (skill,) = skills(careful)
    assert (skill["use_when"], skill["origin"]) == ("a customer wants money back", "human")
    assert len(skill["tool_sops"]) == 3


def test_an_editor_that_changes_nothing_confirms_what_was_learned(careful: Path) -> None:
    editor = careful / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/find_order/find_any_order/' \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    acontext("confirm", "--space", "shop", "--url", URL, "--all", "--edit", cwd=careful, EDITOR=str(editor))
    (skill,) = skills(careful)
    assert (skill["tool_sops"][0]["tool_name"], skill["origin"]) == ("find_any_order", "human")
    with client_of(careful) as client:
        space = client.spaces.create(name="other", configs={"confirm": True})
    (careful / "cases.jsonl").write_text(json.dumps(conversation("o", "a@example.com", "A-1")) + "\n")
    acontext("learn", "cases.jsonl", "--space", "other", "--url", URL, cwd=careful)
    acontext("confirm", "--space", "other", "--url", URL, "--all", "--edit", cwd=careful, EDITOR="true")
    with client_of(careful) as client:
        assert [skill.origin for skill in client.spaces.skills(space.id)] == ["rules"]


def test_a_new_version_is_shown_beside_the_one_in_use(careful: Path) -> None:
    acontext("confirm", "--space", "shop", "--url", URL, "--all", cwd=careful)
    with client_of(careful) as client:
        (space,) = client.spaces.list().items
        (skill,) = client.spaces.skills(space.id)
    rows = [conversation(f"n-{n}", f"n{n}@example.com", f"B-{n}") for n in range(4)]
    for row in rows:
        del row["messages"][6:8]  # the receipt is not sent any more
        row["messages"][5]["content"] = json.dumps({"status": "refunded"})
    (careful / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    acontext("learn", "cases.jsonl", "--space", "shop", "--url", URL, cwd=careful)
    (one,) = waiting(careful)
    assert (one["skill_id"], one["replaces"]["version"]) == (skill.id, skill.version)
    shown = acontext("confirm", "--space", "shop", "--url", URL, cwd=careful).stdout
    assert f"instead of version {skill.version}" in shown
    assert "  + " in shown
    assert "  - " in shown


def test_learning_says_what_waits_for_a_person(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        client.spaces.create(name="shop", configs={"confirm": True})
    summary = teach(tmp_path, "case-1", "case-2")
    assert (summary["skills_active"], summary["skills_waiting"], summary["skills_to_confirm"]) == (0, 0, 1)
    again = acontext("learn", "cases.jsonl", "--space", "shop", "--url", URL, cwd=tmp_path)
    assert "1 wait for you: acontext confirm --space shop" in again.stderr


@pytest.mark.skipif(find_spec("litellm") is None, reason="litellm is not installed here")
def test_learning_while_the_model_is_away_says_so_and_goes_on_later(tmp_path: Path) -> None:
    rows = [conversation(f"case-{n}", f"c{n}@example.com", f"A-10{n}") for n in range(9)]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = {
        "ACONTEXT_LLM__MODEL": "openai/gpt-4.1",
        "ACONTEXT_LLM__API_KEY": "none",
        "ACONTEXT_LLM__BASE_URL": f"http://127.0.0.1:{free_port()}/v1",
        "ACONTEXT_LLM__RETRIES": "0",
        "ACONTEXT_WORKER__BACKOFF": "100",
        "PYTHONWARNINGS": "default",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    away = acontext("learn", "cases.jsonl", "--space", "shop", "--url", URL, cwd=tmp_path, **model)
    assert away.returncode == 1
    assert away.stderr.count("observing waits") == 1
    assert "9 conversations or spaces wait" in away.stderr
    assert "when that is over: acontext retry --all" in away.stderr
    later = acontext("retry", "--all", "--url", URL, cwd=tmp_path)
    assert later.returncode == 0
    rest = acontext("learn", "cases.jsonl", "--space", "shop", "--url", URL, "--json", cwd=tmp_path)
    assert (lines(rest)[-1]["new"], lines(rest)[-1]["skills_active"]) == (0, 1)


@pytest.mark.skipif(find_spec("litellm") is None, reason="litellm is not installed here")
def test_doctor_says_where_a_spent_budget_leaves_learning_to_the_rules(tmp_path: Path) -> None:
    model = {
        "ACONTEXT_LLM__MODEL": "openai/gpt-4.1",
        "ACONTEXT_LLM__API_KEY": "none",
        "ACONTEXT_LLM__BASE_URL": f"http://127.0.0.1:{free_port()}/v1",
        "ACONTEXT_LLM__DAILY_TOKENS": "1",
        "ACONTEXT_LEARN__TASKS": "all",
        "PYTHONWARNINGS": "default",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    (tmp_path / "cases.jsonl").write_text(json.dumps(conversation("case-1", "c1@example.com", "A-1")) + "\n")
    learned = acontext("learn", "cases.jsonl", "--space", "shop", "--url", URL, "--json", cwd=tmp_path, **model)
    assert learned.returncode == 0
    assert lines(learned)[-1]["skills_active"] == 1
    done = acontext("doctor", "--url", URL, cwd=tmp_path, **model)
    assert done.returncode == 0
    assert "the budget for models is spent: the rules learned 1 of 1 tasks" in done.stdout


def test_doctor_counts_what_waits_by_space(careful: Path) -> None:
    done = acontext("doctor", "--url", URL, cwd=careful)
    assert done.returncode == 0
    assert "1 learned in 'shop' wait for you: acontext confirm --space shop" in done.stdout


def test_doctor_shows_what_failed_and_retry_does_it_again(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        embedded = client.connection.opened()
        doing = worker(embedded, Model(trouble="nonsense"), max_attempts=1)
        for number in range(14):
            client.connection.record(refund(f"u{number}@example.com", f"A-{number}", f"key-{number}"))
        embedded.engine.recorder.flush()
        for _ in range(6):
            embedded.loop.run(doing.work_once())
    sick = acontext("doctor", "--url", URL, cwd=tmp_path)
    assert sick.returncode == 1
    assert sick.stdout.count("to try again: acontext retry --session") == 10
    assert "and 4 more; to try all again: acontext retry --all" in sick.stdout
    assert acontext("retry", "--url", URL, cwd=tmp_path).returncode == 2
    one = acontext("retry", "--session", "key-3", "--url", URL, "--json", cwd=tmp_path)
    assert lines(one) == [{"retried": 1, "failed": []}]
    later = acontext("retry", "--space", "shop", "--later", "--url", URL, cwd=tmp_path)
    assert "13 to be tried again" in later.stderr
    assert "FAIL" not in acontext("doctor", "--url", URL, cwd=tmp_path).stdout
    rest = acontext("retry", "--all", "--url", URL, cwd=tmp_path)
    assert "nothing has failed" in rest.stderr
