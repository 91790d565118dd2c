"""The contract finds what is wrong with an adapter: each defect, put into the adapter of docs/extend, fails it."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import pytest

from acontext_adapters.testing import AdapterContract
from acontext_adapters.testing.option_contract import SEARCH
from acontext_plugins.learning import learning

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
        "await started.arecall(",
        "started._recall = started._asking = None\n            await started.arecall(",
        "skills_are_asked_for_once",
    ),
    "skills are added twice": (
        'f"{instructions}\\n\\n{head}"',
        'f"{instructions}{head}{head}"',
        "in_every_prompt_once",
    ),
    "skills are kept": (
        "parts_of(kept))]  # noqa",
        'parts_of(kept), Part(type="text", text=self.runs[run.id].skills_text))]  # noqa',
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
        'f"{instructions}\\n\\n{head}"',
        'f"{instructions}\\n\\n{head.strip().title()}"',
        "injected_for_the_next_to_the_byte",
    ),
    "skills get into the host's history": (
        'return f"{instructions}\\n\\n{head}"',
        'run.history[-1]["note"] = head\n            return f"{instructions}\\n\\n{head}"',
        "in_nothing_that_is_kept",
    ),
    "skills get into the host's history from the user's turn": (
        "messages[at] = {**messages[at],",
        "messages[at] = run.history[at] = {**messages[at],",
        "in_the_users_turn_that",
    ),
    "a call with wrong arguments is lost": (
        '        with self.runtime.guard("result"):',
        '        with self.runtime.guard("result"):\n'
        '            if "argument" in str(item["result"]):\n'
        "                return item",
        "arguments_that_the_tool_does_not_take",
    ),
    "a call that the tool did not take counts as executed": (
        "    if not begun:\n",
        "    if False:\n",
        "did_not_take_has_not_been_executed",
    ),
    "a refused call counts as executed": (
        'status="refused", by="person"',
        'status="executed", by="person"',
        "a_person_refused_has_not_been_executed",
    ),
    "a refused call is like any other that did not run": (
        'if item.get("refused"):',
        "if False:",
        "a_person_refused_has_not_been_executed",
    ),
    "a cancelled call is forgotten": (
        'ours.tell(CallFate(call_id=call.id, status="unfinished"))',
        "pass",
        "was_cancelled_is_not_finished",
    ),
    "fates are promised, and not told": (
        "fates=[fate_of(call, kept, begun)]",
        "fates=[]",
        "fate_of_each_call_is_told",
    ),
    "the user's turn is not chosen": (
        "for at, text in behind.items():",
        "for at, text in ():",
        "in_the_users_turn_that",
    ),
    "skills stand behind the answers of tools": (
        "for at, text in behind.items():\n",
        "for at, text in behind.items():\n                at = len(messages) - 1\n",
        "in_the_users_turn_that",
    ),
    "another type comes back": (
        "return replace(target, hooks=(Learning(runtime), *others))",
        "return Other(replace(target, hooks=(Learning(runtime), *others)))\n\n\n"
        "class Other:\n"
        "    def __init__(self, inner):\n"
        "        self.inner = inner\n\n"
        "    def __getattr__(self, name):\n"
        "        return getattr(self.inner, name)\n",
        "has_the_type_that_it_had",
    ),
    "the object itself is changed": (
        "return replace(target, hooks=(Learning(runtime), *others))",
        "target.hooks = (Learning(runtime), *others)\n        return target",
        "stays_as_it_is",
    ),
    "wrapped again, it is a new object each time": (
        "if ours and ours[0].runtime.same_as(runtime):",
        "if False:",
        "with_the_same_options_it_is_one",
    ),
    "wrapped again, both are at work": (
        "others = [hook for hook in target.hooks if not isinstance(hook, Learning)]",
        "others = target.hooks",
        "with_other_options_the_newest_count",
    ),
    "wrapped again, the first counts": (
        "if ours and ours[0].runtime.same_as(runtime):",
        "if ours:",
        "with_other_options_the_newest_count",
    ),
    "failures are hidden from strict tests": (
        "        self.runtime = runtime\n",
        "        self.runtime = with_options(runtime, strict=False)\n",
        "strict_raises",
    ),
    **{
        f"{option} is ignored": (
            "        self.runtime = runtime\n",
            f"        self.runtime = with_options(runtime, {option}={value!r})\n",
            test,
        )
        for option, value, test in (
            ("inject", True, "without_injection"),
            ("inject_as", "user", "behind_the_instructions"),
            ("space", "s", "without_a_space"),
            ("principal", None, "space_and_user"),
            ("session", None, "a_session_that_was_named"),
            ("limit", 3, "limits_reach"),
            ("token_budget", 400, "limits_reach"),
            ("with_trace", False, "limits_reach"),
            ("deadline", 0.01, "limits_reach"),
        )
    },
}
#: What an adapter's own test does wrong, in place of what; the test that notices; what is said.
SLIPS = {
    "options are not passed on": (" | options)", ")", "limits_reach", "must pass its options on"),
    "no history": ("played.history =", "played.leaks =", "kept_once_in_one_session", "JSON of all that the host keeps"),
    "a history that is none": (
        "json.dumps(history, default=vars)",
        "[]",
        "kept_once_in_one_session",
        "is not what the host keeps",
    ),
    "prompts with ids": (
        "[instructions, *said]",
        "[instructions, uuid.uuid4().hex, *said]",
        "the_same_each_time",
        r"differ in .Played.prompts.\[0\]: once 'Base",
    ),
    "what is seen has ids": (
        "played.see(history)",
        "played.see([*history, uuid.uuid4().hex])",
        "the_same_each_time",
        r"differ in .Played.seen.\[0\]",
    ),
    "what works is said to be missing": (
        "unsupported = {",
        'unsupported = {"inject_as_user": "nobody asked for it", ',
        "in_the_users_turn_that",
        "but it works: take it off the list",
    ),
    "nothing is wrapped": ("if memory is not None", "if False", "has_the_type_that_it_had", "has not called learning"),
}
WITH_OPTIONS = """

def with_options(runtime, **options):
    from acontext_plugins.runs import Runtime

    return Runtime(replace(runtime.options, **options), runtime._given)
"""
#: `learning` of a test whose adapter is the one in `module`.
ITS_OWN_LEARNING = """
import sys
from unittest import mock

from acontext_plugins import learning as by_adapters


def learning(target, **options):
    module = sys.modules[by_adapters.__module__]
    with mock.patch.object(module, "_adapters", lambda: module._Adapters(({module}.ToyAgents(),), {{}})):
        return by_adapters(target, **options)
"""


def suite(module: str, text: str) -> str:
    """The page's tests, of the adapter in `module`."""
    text = text.replace("acontext_toyagents", module)
    text = text.replace("from acontext_plugins import learning\n", ITS_OWN_LEARNING.format(module=module))
    return re.sub(r"(class TestToyAgents.*\n)", r"\1    runs = 60\n", text)


def test_every_defect_and_every_slip_fails_the_contract(tmp_path: Path) -> None:
    write_files(PAGE, tmp_path)
    adapter, tests = (tmp_path / "acontext_toyagents.py").read_text(), (tmp_path / "test_toyagents.py").read_text()
    wanted, words = {}, {}
    (tmp_path / "control.py").write_text(adapter + WITH_OPTIONS)
    (tmp_path / "test_control.py").write_text(suite("control", tests))
    for number, (defect, (there, instead, test)) in enumerate(DEFECTS.items()):
        assert adapter.count(there) == 1, f"the page has changed: {defect}"
        (tmp_path / f"defect_{number}.py").write_text(adapter.replace(there, instead) + WITH_OPTIONS)
        (tmp_path / f"test_defect_{number}.py").write_text(suite(f"defect_{number}", tests))
        wanted[defect] = f"test_defect_{number}.py::TestToyAgents::{named(test)}"
    for number, (slip, (there, instead, test, said)) in enumerate(SLIPS.items()):
        assert there in tests, f"the page has changed: {slip}"
        text = tests.replace("class TestToyAgents", f"class TestSlip{number}").replace(there, instead)
        (tmp_path / f"test_slip_{number}.py").write_text(text)
        wanted[slip] = f"test_slip_{number}.py::TestSlip{number}::{named(test)}"
        words[slip] = said
    control = {f"test_control.py::TestToyAgents::{test.rpartition('::')[2]}" for test in wanted.values()}
    pytest_of = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA"]
    done = run([*pytest_of, *wanted.values(), *sorted(control)], tmp_path)
    failed = dict(re.findall(r"^FAILED (\S+)(?: - (.*))?", done.stdout, re.MULTILINE))
    assert [what for what, test in wanted.items() if test not in failed] == [], done.stdout
    assert re.search(rf"\b{len(wanted)} failed, {len(control)} passed", done.stdout), done.stdout
    assert [slip for slip, said in words.items() if not re.search(said, done.stdout)] == [], done.stdout


def named(part: str) -> str:
    """The test of the contract whose name holds this."""
    (name,) = [name for name in dir(AdapterContract) if name.startswith("test_") and part in name]
    return name


@pytest.mark.parametrize(
    ("unsupported", "said"),
    [
        ({"time_travel": "who can"}, "no capability 'time_travel'; there are wrapping, "),
        ({"resume": " "}, "say in a sentence why"),
    ],
    ids=["a name that there is not", "no reason"],
)
def test_what_is_not_supported_has_a_known_name_and_a_reason(unsupported: dict[str, str], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        type("Mine", (AdapterContract,), {"unsupported": unsupported})


def test_every_option_of_learning_is_played() -> None:
    played = {*SEARCH, "space", "client", "session", "principal", "inject", "inject_as", "strict"}
    assert set(inspect.signature(learning).parameters) - {"target"} == played


def test_the_tests_of_the_contract_come_from_the_simple_to_the_long(tmp_path: Path) -> None:
    write_files(PAGE, tmp_path)
    collected = run([sys.executable, "-m", "pytest", "--collect-only", "-q", "test_toyagents.py"], tmp_path).stdout
    names = re.findall(r"::(test_\w+)$", collected, re.MULTILINE)
    assert names[:2] == [named("kept_once_in_one_session"), named("the_same_each_time")]
    assert names[-1] == named("leave_no_object_thread_or_task")
    slow = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "slow", "test_toyagents.py"]
    long = [named("a_step_of_ours_that_raises"), names[-1]]
    assert re.findall(r"::(test_\w+)$", run(slow, tmp_path).stdout, re.MULTILINE) == long
