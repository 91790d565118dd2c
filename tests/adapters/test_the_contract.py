"""The contract finds what is wrong with an adapter: each defect, put into the adapter of docs/extend, fails it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from acontext_adapters.testing import AdapterContract

from ..test_docs import ROOT, run, write_files

PAGE = ROOT / "docs" / "extend" / "adapter.md"
#: What is done wrong, in place of what, and a test that must notice.
DEFECTS = {
    "the host's exception is swallowed": (
        "        return item\n\n    def on_end",
        "        return {**item, 'failed': False}\n\n    def on_end",
        "the_host_sees_what_it_sees_without_us",
    ),
    "a step is not guarded": (
        'with self.runtime.guard("start"):',
        "if True:",
        "a_step_of_ours_that_raises",
    ),
    "skills are asked for in each call": (
        "skills = await self.runs[run.id].arecall(",
        "self.runs[run.id]._recall = self.runs[run.id]._asking = None\n"
        "            skills = await self.runs[run.id].arecall(",
        "skills_are_asked_for_once",
    ),
    "skills are added twice": (
        'f"{instructions}\\n\\n{skills}"',
        'f"{instructions}{skills}{skills}"',
        "in_every_prompt_once",
    ),
    "skills are kept": (
        "parts_of(kept))])",
        'parts_of(kept), Part(type="text", text=self.runs[run.id].skills_text))])',
        "in_nothing_that_is_kept",
    ),
    "a result does not name its call": (
        '{"tool_call_id": item["id"]}',
        '{"tool_call_id": "c1"}',
        "results_name_their_calls",
    ),
    "a failed tool is no error": ('if item["failed"] else {}', "if False else {}", "kept_once_in_one_session"),
    "a user's turn has the assistant's role": ('"user", "user"', '"user", "assistant"', "kept_once_in_one_session"),
    "messages have no ids of their own": (
        'stable_id("toyagents", run_id, what)',
        'stable_id("toyagents", what)',
        "message_ids_are_unique",
    ),
    "each turn is a session": ("session_key=run.thread or None", "session_key=run.id", "kept_once_in_one_session"),
    "a cancelled run has failed": ('ours.end("cancelled")', 'ours.end("failed")', "a_cancelled_run_is_cancelled"),
    "a failed run is a success": (
        'ours.end("failed", reason_of(error))',
        'ours.end("success")',
        "a_failure_is_the_outcome",
    ),
    "tools run outside": ("with ours.active():", "if True:", "called_inside_of_their_run"),
    "the run stays current": (
        "self.runs[run.id] = started",
        "self.runs[run.id] = started\n            started.enter()",
        "not_current_in_the_code_that_asked",
    ),
    "runs are never forgotten": ("self.runs.pop(run.id, None)", "self.runs.get(run.id)", "only_the_run_that_goes_on"),
    "a thread is left": (
        "        if ours is None:\n            return\n",
        "        import threading\n"
        "        threading.Thread(target=threading.Event().wait, args=(120,), daemon=True).start()\n"
        "        if ours is None:\n            return\n",
        "leave_no_object_thread_or_task",
    ),
    "tasks come out otherwise": ('ours.end("success")', "pass", "the_tasks_are_those"),
    "the text is not the same to the byte": (
        'f"{instructions}\\n\\n{skills}"',
        'f"{instructions}\\n\\n{skills.strip().title()}"',
        "injected_for_the_next_to_the_byte",
    ),
}


def test_every_defect_fails_the_contract(tmp_path: Path) -> None:
    write_files(PAGE, tmp_path)
    adapter, suite = (tmp_path / "acontext_toyagents.py").read_text(), (tmp_path / "test_toyagents.py").read_text()
    wrapped = 'learning(agent, space="s", client=door, deadline=0.01)'
    assert suite.count(wrapped) == 1, "the page has changed"
    wanted = []
    for number, (defect, (there, instead, test)) in enumerate(DEFECTS.items()):
        assert adapter.count(there) == 1, f"the page has changed: {defect}"
        module = f"defect_{number}"
        (tmp_path / f"{module}.py").write_text(adapter.replace(there, instead))
        by_hand = f"{module}.ToyAgents().wrap(agent, Runtime(RunOptions(space='s', deadline=0.01), door_of(door)))"
        text = suite.replace(wrapped, by_hand).replace("acontext_toyagents", module)
        text = text.replace("import Run, Runtime", "import Run, RunOptions, Runtime")
        text = text.replace("import learning\n", "import learning\nfrom acontext_plugins.learning import door_of\n")
        text = re.sub(r"(class TestToyAgents.*\n)", r"\1    runs = 60\n", text)
        (tmp_path / f"test_{module}.py").write_text(text)
        (name,) = [name for name in dir(AdapterContract) if name.startswith("test_") and test in name]
        wanted.append(f"test_{module}.py::TestToyAgents::{name}")
    done = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", *wanted], tmp_path)
    passed = set(re.findall(r"^PASSED test_defect_(\d+)", done.stdout, re.MULTILINE))
    assert [defect for number, defect in enumerate(DEFECTS) if str(number) in passed] == []
    assert re.search(rf"\b{len(DEFECTS)} failed", done.stdout), done.stdout
