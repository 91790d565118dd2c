"""W18 to W23: what cost too much, and what was learned badly. docs/compared-with-acontext.md has the table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.learn.model import ModelLearner
from acontext_plugins.learn.rules import RulesLearner
from acontext_plugins.llm import Request
from acontext_plugins.observe.model import ModelObserver
from acontext_plugins.service import Recording, SessionRef
from acontext_plugins.settings import LearnSettings, WorkerSettings
from acontext_plugins.testing import ScriptedLLM
from acontext_plugins.worker.worker import Worker
from acontext_store.types import Json, Message, Outcome, Part
from tests.engine.test_worker import called, refund, said
from tests.models.observing import one_task

#: A program that uploads a file beside a thousand others, and says which folders were listed for it.
_UPLOAD = """
import io, sys
from acontext_plugins import Acontext
from acontext_plugins.settings import Settings, WorkerSettings

client = Acontext(settings=Settings(url=sys.argv[1], worker=WorkerSettings(enabled=False)))
disk = client.disks.create()
for number in range(200):
    client.artifacts.upsert(disk.id, file=(f"{number}.txt", f"file {number}".encode()))
listed = []
sys.addaudithook(lambda event, args: listed.append(event) if event in ("os.listdir", "os.scandir") else None)
session = client.sessions.create()
client.sessions.send_message(session.id, blob={"role": "user", "content": "x" * 1_000_000})
client.artifacts.upsert(disk.id, file=("one.txt", b"one more"))
print(listed)
client.close()
"""


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def learned(embedded: EmbeddedEngine) -> list[str]:
    """The tools of all skills of the shop, in the order of their steps."""
    assert embedded.loop.run(embedded.engine.flush(30))
    space = embedded.engine.store.space_by_name("shop").result()
    skills = embedded.engine.store.skills(space.id).result()
    return [step.tool_name for skill in skills for step in skill.body.tool_sops]


def test_w18_one_conversation_costs_at_most_two_calls(embedded: EmbeddedEngine) -> None:
    def answer(request: Request) -> Json:
        return one_task(request) if request.purpose.job == "observe" else {"experiences": []}

    llm = ScriptedLLM(answer)
    mind = ModelLearner(llm, RulesLearner(), LearnSettings(tasks="all"))
    embedded.engine.worker = Worker(
        embedded.engine.store, ModelObserver(llm), mind, settings=WorkerSettings(), learn=LearnSettings(quiet=0.0)
    )
    embedded.engine.record(refund("ada@example.com", "A-1001", "one"))
    assert embedded.loop.run(embedded.engine.flush(30))
    assert [request.purpose.job for request in llm.requests] == ["observe", "learn"]


def test_w19_to_write_lists_no_folder_however_much_there_is(tmp_path: Path) -> None:
    assert run(_UPLOAD, f"sqlite:///{tmp_path}/a.db") == "[]"


def test_w19_a_key_is_looked_up_and_not_stretched() -> None:
    loaded = run("import acontext_plugins.server.auth, sys; print([m for m in sys.modules if 'argon' in m])")
    assert loaded == "[]"


def test_w22_a_tool_keeps_the_case_of_its_name(embedded: EmbeddedEngine) -> None:
    for number in range(2):
        run_id = f"r{number}"
        embedded.engine.record(
            Recording(
                SessionRef(run_id, space="shop"),
                [
                    said(f"Please refund order A-{number}.", run_id),
                    *called("Find_Order", f'{{"id": "A-{number}"}}', '{"price": "24.50"}', run_id),
                    *called("issueRefund", f'{{"id": "A-{number}", "amount": "x"}}', '{"error": "no"}', run_id),
                    *called("issueRefund", f'{{"id": "A-{number}", "amount": 2450}}', '{"status": "ok"}', run_id),
                ],
                [Outcome(status="success", source="report", run_id=run_id)],
            )
        )
    assert learned(embedded) == ["Find_Order", "issueRefund"]
    assert [tool.name for tool in embedded.loop.run(embedded.engine.tool_names())] == ["Find_Order", "issueRefund"]


def test_w23_what_stands_after_the_first_thousand_characters_counts(embedded: EmbeddedEngine) -> None:
    arguments = json.dumps({"note": "n " * 3_000, "order_id": "A-1001"})
    embedded.engine.record(
        Recording(
            SessionRef("one", space="shop"),
            [
                said("log line\n" * 500 + "Please refund order A-1001.", "r1"),
                *called("find_order", '{"order_id": "A-1001"}', '{"price": 1}' + " " * 3_000, "r1"),
                *called("issue_refund", arguments, json.dumps({"log": "y" * 3_000, "error": "too late"}), "r1"),
                *called("issue_refund", arguments, '{"status": "ok"}', "r1"),
            ],
            [Outcome(status="success", source="report", run_id="r1")],
        )
    )
    assert learned(embedded) == ["find_order", "issue_refund"]
    space = embedded.engine.store.space_by_name("shop").result()
    (skill,) = embedded.engine.store.skills(space.id).result()
    assert "order_id" in skill.body.tool_sops[1].action
    assert "issue_refund" in "".join(skill.body.pitfalls) or skill.score_reasons


def test_w23_a_picture_is_kept_with_its_conversation(embedded: EmbeddedEngine) -> None:
    part = Part(type="image", meta={"url": "https://example.org/cup.png"})
    shown = Message(role="user", parts=(Part(type="text", text="Please refund this broken cup."), part))
    embedded.engine.record(Recording(SessionRef("one", space="shop"), [shown]))
    assert embedded.loop.run(embedded.engine.flush(30))
    session = embedded.loop.run(embedded.engine.find_session("one"))
    page = embedded.loop.run(embedded.engine.conversation(session.id))
    assert "https://example.org/cup.png" in json.dumps(page.items)
    (task,) = embedded.loop.run(embedded.engine.all_tasks(session.id))
    assert "broken cup" in task.data["task_description"]
