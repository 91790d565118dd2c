"""The command line, as a person and as a program use it: a real process each time."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins import Acontext

from .. import warm
from ..packages import install

Line = dict[str, Any]


def acontext(*arguments: str, cwd: Path, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    told = {**os.environ, "HOME": str(cwd), "PYTHONWARNINGS": "error", **environ}
    return warm.server().run(["acontext", *arguments], cwd=cwd, env=told, input=stdin, timeout=120)


def lines(done: subprocess.CompletedProcess[str]) -> list[Line]:
    assert "Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def conversation(id: str, email: str, order: str, *, outcome: str | None = "success") -> Line:
    """A support case: look up, stumble over an amount, refund, mail."""
    return {
        "id": id,
        "outcome": outcome,
        "messages": [
            {"role": "system", "content": "You are the shop's clerk. Canary-system-7781."},
            {"role": "user", "content": f"I am {email}, please refund my broken espresso cups of order {order}."},
            call("c1", "find_order", {"email": email}),
            result("c1", {"order_id": order, "price": "24.50", "note": "Canary-result-5512"}),
            call("c2", "issue_refund", {"order_id": order, "amount": "24.50"}),
            result("c2", {"error": "amount must be an integer"}),
            call("c3", "issue_refund", {"order_id": order, "amount": 2450}),
            result("c3", {"status": "refunded"}),
            call("c4", "send_receipt", {"order_id": order}),
            result("c4", {"status": "sent"}),
            {"role": "assistant", "content": "Your refund is on its way."},
        ],
    }


def call(id: str, name: str, arguments: Line) -> Line:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": id, "type": "function", "function": function}]}


def result(id: str, value: Line) -> Line:
    return {"role": "tool", "tool_call_id": id, "content": json.dumps(value)}


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    rows = [
        conversation("case-1", "ada@example.com", "A-1001"),
        conversation("case-2", "grace@example.com", "A-2077"),
        conversation("case-3", "joan@example.com", "A-3056", outcome="failed"),
    ]
    file = tmp_path / "cases.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_learn_then_skills_then_search_then_tasks(cases: Path, tmp_path: Path) -> None:
    done = acontext("learn", "cases.jsonl", "--space", "shop", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = lines(done)[-1]
    assert (summary["conversations"], summary["new"], summary["problems"]) == (3, 3, 0)

    found = lines(acontext("skills", "--space", "shop", "--json", cwd=tmp_path))
    (skill,) = found
    assert [step["tool_name"] for step in skill["tool_sops"]] == ["find_order", "issue_refund", "send_receipt"]
    assert skill["status"] == "active"
    assert skill["origin"] == "rules"
    assert set(skill["source_ids"]) >= {"case-1", "case-2"}
    assert "Canary" not in json.dumps(found)
    assert "A-1001" not in json.dumps(found)

    (tmp_path / "queries.jsonl").write_text(
        '{"query_id": "q1", "query": "my cups are broken, I want a refund"}\n'
        '{"query_id": "q2", "query": "what is the capital of Peru"}\n'
    )
    answers = lines(acontext("search", "--space", "shop", "--queries", "queries.jsonl", "--json", cwd=tmp_path))
    assert answers[0]["skills"] == [skill["id"]]
    assert answers[0]["injected"].startswith("<acontext-skills")
    assert answers[1] == {"query_id": "q2", "skills": [], "injected": ""}

    tasks = lines(acontext("tasks", "--space", "shop", "--json", cwd=tmp_path))
    assert [(task["session_key"], task["status"]) for task in tasks] == [
        ("case-1", "success"),
        ("case-2", "success"),
        ("case-3", "failed"),
    ]


def test_a_second_run_changes_nothing(cases: Path, tmp_path: Path) -> None:
    acontext("learn", "cases.jsonl", "--space", "shop", cwd=tmp_path)
    before = acontext("skills", "--space", "shop", "--all", "--json", cwd=tmp_path).stdout
    again = lines(acontext("learn", "cases.jsonl", "--space", "shop", "--json", cwd=tmp_path))[-1]
    assert (again["new"], again["skills_changed"]) == (0, 0)
    assert acontext("skills", "--space", "shop", "--all", "--json", cwd=tmp_path).stdout == before


def test_bad_lines_are_named_the_rest_goes_on_and_the_exit_code_is_one(tmp_path: Path) -> None:
    good = json.dumps(conversation("good", "ada@example.com", "A-1"))
    bad_role = conversation("bad", "x@example.com", "A-2")
    bad_role["messages"][3] = {"content": "a message without a role"}
    (tmp_path / "mixed.jsonl").write_text("\n".join([good, '{"id": "broken', json.dumps(bad_role)]) + "\n")
    done = acontext("learn", "mixed.jsonl", "--space", "s", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert "mixed.jsonl:2:" in done.stderr
    assert "mixed.jsonl:3:" in done.stderr
    assert "role" in done.stderr
    summary = lines(done)[-1]
    assert (summary["conversations"], summary["problems"]) == (1, 2)
    tasks = lines(acontext("tasks", "--space", "s", "--json", cwd=tmp_path))
    assert {task["session_key"] for task in tasks} == {"good"}


def test_a_truncated_gzip_keeps_what_came_before(tmp_path: Path) -> None:
    rows = "".join(json.dumps(conversation(f"case-{n}", f"u{n}@example.com", f"A-{n}")) + "\n" for n in range(200))
    packed = gzip.compress(rows.encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[: len(packed) * 2 // 3])
    done = acontext("learn", "cut.jsonl.gz", "--space", "s", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert "cut.jsonl.gz" in done.stderr
    assert "Traceback" not in done.stderr
    assert 0 < lines(done)[-1]["conversations"] < 200


@pytest.mark.parametrize(
    "arguments",
    [
        ("skills", "--space", "nowhere"),
        ("search", "--space", "nowhere", "anything"),
        ("tasks", "--space", "nowhere"),
        ("tasks", "--session", "nobody"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = acontext(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("acontext: no s")
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    done = acontext("learn", "nothing.jsonl", "--space", "s", cwd=tmp_path)
    assert done.returncode == 1
    assert "nothing.jsonl" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_query_line_that_is_none_is_named(cases: Path, tmp_path: Path) -> None:
    acontext("learn", "cases.jsonl", "--space", "shop", cwd=tmp_path)
    (tmp_path / "q.jsonl").write_text('{"query_id": "1", "query": "fine"}\n{"query": "no id"}\n')
    done = acontext("search", "--space", "shop", "--queries", "q.jsonl", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert "q.jsonl:2" in done.stderr


def test_doctor_is_content_with_a_fresh_machine(tmp_path: Path) -> None:
    done = acontext("doctor", "--json", cwd=tmp_path)
    checks = {check["check"]: check for check in lines(done)}
    assert done.returncode == 0, done.stdout
    assert "0 sessions" in checks["kept"]["detail"]
    assert checks["files"]["detail"] == "none that nothing names"


def test_doctor_removes_old_bytes_that_nothing_names(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    with Acontext(url) as client:
        disk = client.disks.create()
        client.artifacts.upsert(disk.id, file=("kept.txt", b"kept"), file_path="/")
    blobs = tmp_path / "a.db.blobs" / "default"
    (named,) = [file for file in blobs.rglob("*") if file.is_file()]
    stray = hashlib.sha256(b"stray").hexdigest()
    left = blobs / stray[:2] / stray[2:]
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"stray")
    os.utime(left, (1, 1))
    os.utime(named, (1, 1))
    done = acontext("doctor", "--json", "--url", url, cwd=tmp_path)
    assert {check["check"]: check["detail"] for check in lines(done)}["files"] == "1 deleted that nothing named"
    assert named.exists()
    assert not left.exists()


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX here")
def test_doctor_says_what_is_wrong_with_a_database_it_cannot_open(tmp_path: Path) -> None:
    (tmp_path / ".acontext").write_text("a file where the folder should be")
    done = acontext("doctor", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAIL  open" in done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_the_database_is_for_its_owners_eyes_only(cases: Path, tmp_path: Path) -> None:
    acontext("learn", "cases.jsonl", "--space", "shop", cwd=tmp_path)
    assert stat.S_IMODE((tmp_path / ".acontext").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / ".acontext" / "acontext.db").stat().st_mode) == 0o600


def test_help_is_quick_and_lists_every_command(tmp_path: Path) -> None:
    done = acontext("--help", cwd=tmp_path)
    for command in ("learn", "skills", "search", "tasks", "doctor", "demo", "bench"):
        assert command in done.stdout


def test_what_is_odd_but_usable_is_kept_whole(tmp_path: Path) -> None:
    """Repeated call ids, results without calls, 5 MB results, lone surrogates, NULs, unknown keys."""
    repeated = conversation("repeated", "ada@example.com", "A-1")
    for message in repeated["messages"]:
        for made in message.get("tool_calls", []):
            made["id"] = "same"
        if "tool_call_id" in message:
            message["tool_call_id"] = "same"
    orphan = conversation("orphan", "ada@example.com", "A-2")
    orphan["messages"].insert(2, result("nobody", {"x": 1}))
    big = conversation("big", "ada@example.com", "A-3")
    big["messages"][3]["content"] = json.dumps({"order_id": "A-3", "log": "line of a log file\n" * 280_000})
    odd = conversation("odd", "ada@example.com", "A-4")
    odd["messages"][1]["content"] += " \ud800 and \u0000 nothing"
    odd["messages"][1]["mood"] = {"deep": [1, {"deeper": None}]}
    rows = [repeated, orphan, big, odd]
    (tmp_path / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = acontext("learn", "odd.jsonl", "--space", "s", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert lines(done)[-1]["conversations"] == 4
    (skill,) = lines(acontext("skills", "--space", "s", "--json", cwd=tmp_path))
    assert set(skill["source_ids"]) == {"repeated", "orphan", "big", "odd"}
    assert (tmp_path / ".acontext" / "acontext.db").stat().st_size < 2_000_000


def test_what_cannot_be_used_is_refused_line_by_line(tmp_path: Path) -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    bad = [
        {"id": "1", "messages": "none"},
        {"id": "2", "messages": [{"role": "wizard", "content": "abracadabra"}]},
        {"id": "3", "messages": [{"role": "user", "content": deep}]},
        {"id": "4", "messages": []},
        {"id": "5", "messages": [{"role": "user", "content": "x"}], "outcome": "splendid"},
        ["no", "object"],
    ]
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bad))
    done = acontext("learn", "bad.jsonl", "--space", "s", "--json", cwd=tmp_path)
    assert done.returncode == 1
    problems = [line for line in lines(done) if line["event"] == "problem"]
    assert [problem["line"] for problem in problems] == [1, 2, 3, 4, 5, 6]
    assert "wizard" in problems[1]["reason"]
    assert lines(acontext("tasks", "--space", "s", "--json", cwd=tmp_path)) == []


def test_secrets_in_conversations_never_reach_the_disk_or_the_screen(tmp_path: Path) -> None:
    secret = "sk" + "_live_" + "4eC39HqLyjWDarjtT1zdp7dc" + "Qq"
    row = conversation("case", "ada@example.com", "A-1")
    row["messages"][1]["content"] += f" My key is {secret}."
    row["messages"][3]["content"] = json.dumps({"order_id": "A-1", "echo": secret})
    (tmp_path / "cases.jsonl").write_text(json.dumps(row) + "\n")
    done = acontext("learn", "cases.jsonl", "--space", "s", cwd=tmp_path)
    shown = acontext("skills", "--space", "s", "--all", "--json", cwd=tmp_path)
    assert secret not in done.stdout + done.stderr + shown.stdout
    for file in (tmp_path / ".acontext").rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()


def test_secrets_in_lines_that_cannot_be_taken_are_not_shown(tmp_path: Path) -> None:
    secret = "sk" + "_live_" + "4eC39HqLyjWDarjtT1zdp7dc" + "Qq"
    rows: list[Line] = [
        {"id": "a", "messages": [{"role": "assistant", "tool_calls": secret}]},
        {"id": "b", "messages": [{"role": secret, "content": "x"}]},
        {"id": "c", "messages": f"Bearer {secret}"},
        {"id": "d", "outcome": f"password={secret}", "messages": [{"role": "user", "content": "x"}]},
    ]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = acontext("learn", "cases.jsonl", "--space", "s", "--json", cwd=tmp_path)
    assert len(lines(done)) == 5
    assert secret not in done.stdout + done.stderr


def test_doctor_tries_again_what_has_failed_for_good_and_says_how_it_went(tmp_path: Path) -> None:
    break_it = (
        "import asyncio, sys\n"
        "from acontext_plugins.engine.embedded import open_engine\n"
        "from acontext_plugins.service import SessionRef\n"
        "from acontext_plugins.settings import ObserveSettings, Settings, WorkerSettings\n"
        "from acontext_store.types import Message, Part\n"
        "class Broken:\n"
        "    async def observe(self, observation):\n"
        "        raise RuntimeError('the observer broke')\n"
        "embedded = open_engine(Settings(url='sqlite:///a.db', observe=ObserveSettings(quiet=0, max_wait=0),\n"
        "                          worker=WorkerSettings(enabled=False, max_attempts=1)))\n"
        "embedded.engine.worker._observer = Broken()\n"
        "said = Message(role='user', parts=(Part(type='text', text='hello'),))\n"
        "embedded.engine.recorder.append(SessionRef('s'), [said]).result()\n"
        "embedded.loop.run(embedded.engine.worker.work_once())\n"
        "embedded.close()\n"
    )
    subprocess.run([sys.executable, "-c", break_it], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    sick = acontext("doctor", "--url", "sqlite:///a.db", cwd=tmp_path)
    assert sick.returncode == 1
    assert "RuntimeError: the observer broke; to try again: acontext retry --session " in sick.stdout
    told = sick.stdout.partition("acontext retry ")[2].splitlines()[0].split()
    cured = acontext("retry", *told, "--url", "sqlite:///a.db", cwd=tmp_path)
    assert (cured.returncode, cured.stdout) == (0, "")
    assert "1 done" in cured.stderr
    assert "FAIL" not in acontext("doctor", "--url", "sqlite:///a.db", cwd=tmp_path).stdout


@pytest.mark.parametrize("kind", ["adapter", "store", "format"])
def test_doctor_names_a_plugin_that_cannot_be_loaded(kind: str, tmp_path: Path) -> None:
    site = install(tmp_path / "site", "broken", {f"acontext_plugins.{kind}s": {"broken": "no_such_module:plugin"}})
    done = acontext("doctor", cwd=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 1
    (failed,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert failed.startswith(f"FAIL  {kind:<12} ")
    assert "broken" in failed
    assert "ModuleNotFoundError: No module named 'no_such_module'" in failed


def test_settings_that_cannot_be_read_are_named_with_their_file(tmp_path: Path) -> None:
    (tmp_path / "acontext.toml").write_text("worker = [")
    done = acontext("doctor", cwd=tmp_path)
    assert done.returncode == 2
    assert str(tmp_path / "acontext.toml") in done.stderr


def test_standard_input_is_a_file_too(tmp_path: Path) -> None:
    rows = json.dumps(conversation("case", "ada@example.com", "A-1")) + "\n"
    done = acontext("learn", "-", "--space", "s", "--json", cwd=tmp_path, stdin=rows)
    assert lines(done)[-1]["conversations"] == 1


def test_a_conversation_that_belongs_to_another_space_is_named(cases: Path, tmp_path: Path) -> None:
    acontext("learn", "cases.jsonl", "--space", "shop", cwd=tmp_path)
    done = acontext("learn", "cases.jsonl", "--space", "other", cwd=tmp_path)
    assert done.returncode == 1
    assert "cases.jsonl:1: conversation 'case-1' belongs to the space 'shop' already" in done.stderr


def wait_for_messages(database: Path) -> None:
    """Until the log has grown past what an empty database needs; without opening it, to disturb nobody."""
    log = database.with_name(database.name + "-wal")
    end = time.monotonic() + 60
    while not log.exists() or log.stat().st_size < 600_000:
        assert time.monotonic() < end, "nothing was written"
        time.sleep(0.02)


def test_an_interruption_is_one_line_and_what_was_taken_is_kept(tmp_path: Path) -> None:
    rows = [conversation(f"case-{number}", "ada@example.com", f"A-{number}") for number in range(400)]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "acontext"), "learn", "-", "--space", "shop", "--url", "sqlite:///a.db"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    assert process.stdin is not None
    process.stdin.write((tmp_path / "cases.jsonl").read_bytes())
    process.stdin.flush()
    wait_for_messages(tmp_path / "a.db")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"acontext: stopped\n")
    again = acontext("learn", "cases.jsonl", "--space", "shop", "--url", "sqlite:///a.db", "--json", cwd=tmp_path)
    assert (lines(again)[-1]["conversations"], lines(again)[-1]["skills_active"]) == (400, 1)


def test_two_at_once_take_every_conversation_once(cases: Path, tmp_path: Path) -> None:
    counts: list[int] = []

    def learn() -> None:
        done = acontext("learn", "cases.jsonl", "--space", "shop", "--json", cwd=tmp_path)
        counts.append(lines(done)[-1]["new"] if done.returncode == 0 else -1)

    threads = [threading.Thread(target=learn) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 3
    (skill,) = lines(acontext("skills", "--space", "shop", "--json", cwd=tmp_path))
    assert skill["version"] == 1


def test_a_database_that_another_process_keeps_locked_is_waited_for(cases: Path, tmp_path: Path) -> None:
    acontext("learn", "cases.jsonl", "--space", "other", "--url", "sqlite:///a.db", cwd=tmp_path)
    holder = sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    end = threading.Timer(7, holder.execute, ("ROLLBACK",))
    end.start()
    renamed = cases.read_text().replace('"case-', '"again-')
    done = acontext("learn", "-", "--space", "shop", "--url", "sqlite:///a.db", "--json", cwd=tmp_path, stdin=renamed)
    end.join()
    holder.close()
    assert (done.returncode, lines(done)[-1]["new"], done.stderr.count("\n")) == (0, 3, 1)


def test_a_disk_that_is_full_is_said_once_and_a_second_run_does_the_rest(tmp_path: Path) -> None:
    rows = [conversation(f"case-{number}", "ada@example.com", f"A-{number}") for number in range(300)]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    limited = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))\n"
        "from acontext_plugins.cli.main import main\n"
        "sys.argv = ['acontext', 'learn', 'cases.jsonl', '--space', 's', '--url', 'sqlite:///a.db']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "run it again for the rest" in done.stderr
    again = acontext("learn", "cases.jsonl", "--space", "s", "--url", "sqlite:///a.db", "--json", cwd=tmp_path)
    assert (again.returncode, lines(again)[-1]["conversations"]) == (0, 300)
