"""`acontext learn`, of other formats, and again: what is known is learned once, what has changed is replaced."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from acontext_plugins.cli.main import cli

Line = dict[str, Any]
Acontext = Callable[..., Result]


@pytest.fixture
def acontext(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Acontext:
    """The command line, in this process, on a database of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ACONTEXT_URL", f"sqlite:///{tmp_path / 'a.db'}")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, list(arguments), catch_exceptions=False)


def learn(acontext: Acontext, *rows: Line, space: str = "garden") -> tuple[Result, Line]:
    """Import these lines; what came of it, and the summary."""
    Path("runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = acontext("learn", "runs.jsonl", "--space", space, "--json")
    return done, json.loads(done.stdout.splitlines()[-1])


def skills(acontext: Acontext, *options: str) -> list[Line]:
    done = acontext("skills", "--space", "garden", "--json", *options)
    return [json.loads(line) for line in done.stdout.splitlines()]


def tools(skill: Line) -> list[str]:
    return [step["tool_name"] for step in skill["tool_sops"]]


def use(id: str, name: str, **arguments: Any) -> Line:
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def answer(id: str, value: Any, **more: Any) -> Line:
    return {"type": "tool_result", "tool_use_id": id, "content": value, **more}


def anthropic(id: str = "a", bed: str = "north", outcome: str | None = "success") -> Line:
    """Two calls at once, one that fails, its repetition, and a block of every other kind."""
    return {
        "id": id,
        "outcome": outcome,
        "system": "You are a gardener.",
        "messages": [
            {"role": "user", "content": f"Please water the bed {bed} and tell me."},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "First the valve.", "signature": "sealed"},
                    {"type": "text", "text": "I'll see to it."},
                    use("u1", "start_pump", bed=bed),
                    use("u2", "water_bed", bed=bed, litres="many"),
                ],
            },
            {
                "role": "user",
                "content": [
                    answer("u1", [{"type": "text", "text": "done"}]),
                    answer("u2", "litres is a number", is_error=True),
                ],
            },
            {"role": "assistant", "content": [use("u3", "water_bed", bed=bed, litres=2)]},
            {"role": "user", "content": [answer("u3", "watered")]},
            {"role": "assistant", "content": [{"type": "text", "text": "It is watered."}]},
        ],
    }


def openai(id: str = "a", *names: str, outcome: str | None = "success") -> Line:
    messages: list[Line] = [{"role": "user", "content": "Please water the bed north and tell me."}]
    for at, name in enumerate(names):
        call = {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": '{"bed": "north"}'}}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"c{at}", "content": "done"})
    return {"id": id, "outcome": outcome, "messages": [*messages, {"role": "assistant", "content": "Done."}]}


def gemini(*names: str) -> Line:
    contents: list[Line] = [{"role": "user", "parts": [{"text": "Please water the bed north and tell me."}]}]
    for name in names:
        contents.append({"role": "model", "parts": [{"functionCall": {"name": name, "args": {"bed": "north"}}}]})
        response = {"name": name, "response": {"result": "done"}}
        contents.append({"role": "user", "parts": [{"functionResponse": response}]})
    return {"id": "a", "outcome": "success", "messages": [*contents, {"role": "model", "parts": [{"text": "Done."}]}]}


def responses(*names: str) -> Line:
    items: list[Line] = [{"role": "user", "content": "Please water the bed north and tell me."}]
    for at, name in enumerate(names):
        items.append({"type": "function_call", "call_id": f"c{at}", "name": name, "arguments": '{"bed": "north"}'})
        items.append({"type": "function_call_output", "call_id": f"c{at}", "output": "done"})
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}
    return {"id": "a", "outcome": "success", "messages": [*items, said]}


def test_a_skill_is_learned_from_a_conversation_with_anthropic(acontext: Acontext) -> None:
    done, summary = learn(acontext, anthropic())
    assert (done.exit_code, summary["new"], summary["skills_active"]) == (0, 1, 1)
    (skill,) = skills(acontext)
    assert tools(skill) == ["start_pump", "water_bed"]
    assert skill["tool_sops"][0]["action"] == "bed from user"
    assert skill["pitfalls"] == ["water_bed: litres one word failed, a whole number worked"]
    assert skill["source_ids"] == ["a"]
    assert "gardener" not in json.dumps(skill)


@pytest.mark.parametrize("row", [gemini("start_pump", "water_bed"), responses("start_pump", "water_bed")])
def test_other_formats_teach_what_chat_messages_teach(acontext: Acontext, row: Line) -> None:
    learn(acontext, openai("b", "start_pump", "water_bed"))
    done, summary = learn(acontext, row)
    assert (done.exit_code, summary["new"]) == (0, 1)
    (skill,) = skills(acontext)
    assert (tools(skill), sorted(skill["source_ids"])) == (["start_pump", "water_bed"], ["a", "b"])


def test_what_is_in_no_format_is_named_and_the_rest_goes_on(acontext: Acontext) -> None:
    odd = anthropic("odd")
    odd["messages"][1]["content"].append({"type": "hologram", "data": "x"})
    done, summary = learn(acontext, odd, anthropic("fine"))
    assert (done.exit_code, summary["conversations"], summary["problems"]) == (1, 1, 1)
    assert "runs.jsonl:1: messages[1].content[4]: found a block of type 'hologram'" in done.stderr


def test_a_corrected_import_takes_the_place_of_the_one_before(acontext: Acontext) -> None:
    learn(acontext, openai("a", "flood_bed", "water_bed"))
    done, summary = learn(acontext, openai("a", "start_pump", "water_bed"))
    assert (done.exit_code, summary["new"], summary["replaced"], summary["problems"]) == (0, 0, 1, 0)
    said = "runs.jsonl:1: conversation 'a' was known with other messages: replaced"
    assert said in done.stderr
    assert json.loads(done.stdout.splitlines()[0]) == {
        "event": "replaced",
        "file": "runs.jsonl",
        "line": 1,
        "reason": said.partition(": ")[2],
    }
    (skill,) = skills(acontext)
    assert (tools(skill), skill["source_ids"]) == (["start_pump", "water_bed"], ["a"])
    retired = [skill for skill in skills(acontext, "--all") if skill["status"] == "retired"]
    assert [(tools(skill), skill["source_ids"]) for skill in retired] == [(["flood_bed", "water_bed"], [])]
    again, summary = learn(acontext, openai("a", "start_pump", "water_bed"))
    assert (again.exit_code, summary["replaced"], summary["skills_changed"]) == (0, 0, 0)
    tasks = acontext("tasks", "--space", "garden", "--json").stdout.splitlines()
    assert [json.loads(task)["session_key"] for task in tasks] == ["a"]


def test_one_that_was_read_as_something_else_is_replaced(acontext: Acontext, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the version before this one kept it: blocks of Anthropic as data in chat messages."""
    row = anthropic()
    flat = {**row, "messages": [{**m, "content": json.dumps(m["content"])} for m in row["messages"]], "system": None}
    learn(acontext, flat)
    assert skills(acontext) == []
    _, summary = learn(acontext, row)
    assert (summary["replaced"], summary["skills_active"]) == (1, 1)


@pytest.mark.parametrize("outcome", ["failed", "cancelled", None])
def test_another_outcome_is_said_and_learned(acontext: Acontext, outcome: str | None) -> None:
    rows = [openai("a", "start_pump", "water_bed"), openai("b", "close_valve", "mow_lawn")]
    learn(acontext, *rows)
    done, summary = learn(acontext, {**rows[0], "outcome": outcome}, rows[1])
    assert (done.exit_code, summary["conversations"], summary["new"], summary["replaced"]) == (0, 2, 0, 1)
    assert "conversation 'a' was known with another outcome: replaced" in done.stderr
    (skill,) = skills(acontext)
    assert skill["source_ids"] == ["b"]
    _, summary = learn(acontext, *rows)
    assert (summary["replaced"], summary["skills_active"]) == (1, 2)


def test_a_conversation_that_was_recorded_is_never_replaced(acontext: Acontext) -> None:
    from acontext_plugins import Acontext as Client

    with Client() as client:
        session = client.sessions.create()
        client.sessions.send_message(session.id, blob={"role": "user", "content": "Water the plants."})
    done, summary = learn(acontext, openai(session.id, "start_pump"))
    assert (done.exit_code, summary["problems"]) == (1, 1)
    assert "holds messages that were not imported: give the conversation another id" in done.stderr
    with Client() as client:
        assert len(client.sessions.get_messages(session.id).items) == 1
