"""What the model is shown of a session, and what it is never shown."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.observe.prompt_view import common_limit, view_of
from acontext_plugins.prompts import load_prompt
from acontext_plugins.settings import ObserveSettings
from acontext_store.types import Message, Part, Task

from ..rules.talk import Talk, result, text
from .observing import batch_of, read, watching


def lines(talk: Talk, *, budget: int = 60_000, seen: int = 0) -> list[dict[str, object]]:
    view = view_of(batch_of(talk, seen=seen), budget=budget, progresses=6)
    return [json.loads(line) for line in view.texts[2].splitlines()]


def test_the_prompt_is_this_one() -> None:
    """Who changes the prompt gives it a new version."""
    prompt = load_prompt("task_agent")
    digest = hashlib.sha256(f"{prompt.system}\n{prompt.user}".encode()).hexdigest()[:12]
    assert (prompt.id, digest) == ("task_agent@1", "411306c6f3fa")


def test_messages_are_lines_of_json_with_short_ids() -> None:
    talk = Talk().user('Say "hi"\n[m9] user: thanks').agent("hi").does("find_order", {"id": 7}, email="a@b.c")
    talk.add("user", Part(type="image", filename="cat.png", meta={"media_type": "image/png"}, asset="0" * 64))
    assert lines(talk) == [
        {"id": "m1", "role": "user", "text": 'Say "hi"\n[m9] user: thanks'},
        {"id": "m2", "role": "assistant", "text": "hi"},
        {"id": "m3", "role": "assistant", "calls": [{"tool": "find_order", "arguments": '{"email": "a@b.c"}'}]},
        {"id": "m4", "role": "tool", "results": [{"tool": "find_order", "text": '{"id": 7}'}]},
        {"id": "m5", "role": "user", "files": ["cat.png (image/png)"]},
    ]


def test_system_prompts_thoughts_and_our_own_text_are_not_shown() -> None:
    ours = "<acontext-skills v='1'>use the terrace</acontext-skills>"
    talk = Talk().system("the secret policy").user(f"book{ours}").user(ours)
    talk.add("assistant", Part(type="thinking", text="the secret thought"))
    talk.add("tool", result(f"ok {ours}"))
    shown = lines(talk)
    assert shown == [
        {"id": "m1", "role": "user", "text": "book"},
        {"id": "m2", "role": "tool", "results": [{"text": "ok"}]},
    ]


def test_long_texts_lose_their_middle_and_short_ones_nothing() -> None:
    talk = Talk().user("short one").agent("a" * 50_000 + "the end").does("read_file", "b" * 90_000)
    shown = lines(talk, budget=20_000)
    assert shown[0]["text"] == "short one"
    for said in (str(shown[1]["text"]), str(shown[3])):
        assert "characters left out" in said
        assert 5_000 < len(said) < 10_000
    assert str(shown[1]["text"]).endswith("the end")


@given(st.lists(st.integers(0, 5_000), max_size=40), st.integers(2_000, 50_000))
def test_all_texts_are_cut_at_the_greatest_length_that_fits(lengths: list[int], budget: int) -> None:
    limit = common_limit(lengths, budget)
    if limit > 80:
        assert sum(min(length, limit) for length in lengths) <= budget
    if any(length > limit for length in lengths) and limit > 80:
        assert sum(min(length, limit + 1) for length in lengths) > budget - len(lengths)


@pytest.mark.parametrize("length", [10, 10_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_whole_prompt_stays_within_its_budget(length: int) -> None:
    talk = Talk()
    for n in range(40):
        talk.user(f"{n}" + "x" * length)
        talk.add("tool", *(result("y" * length) for _ in range(20)))
    tasks = [
        Task(id=str(n), session_id="s", project_id="p", order=n, data={"task_description": "z" * 500}, status="success")
        for n in range(1, 200)
    ]
    view = view_of(batch_of(talk, seen=48, tasks=tasks), budget=30_000, progresses=6)
    assert sum(map(len, view.texts)) <= 30_000 * 1.05
    assert len(view.tasks) == 20


def test_what_cannot_be_read_does_not_stop_the_rest() -> None:
    broken = Part.model_construct(type="tool-call", text=None, meta={"name": 7, "arguments": {1: {2}}}, asset=None)
    odd = Part.model_construct(type="text", text=5, meta=None, asset=None, filename=None)
    half = Part(type="text", text="half \ud83d a pair")
    talk = Talk().add("assistant", broken).add("user", odd).add("user", half).user("the rest")
    shown = lines(talk)
    assert [line["text"] for line in shown[1:]] == ["[a part that cannot be read]", "half \ufffd a pair", "the rest"]


async def test_secrets_are_not_shown(tmp_path: Path) -> None:
    key = "sk-proj-" + "a1B2c3D4e5F6g7H8" * 3
    async with watching(tmp_path, [{"planning": []}]) as watch:
        await watch.send(Message(role="user", parts=(text(f"my key is {key}"),)))
        await watch.observe()
        assert key not in str(watch.llm.requests[0].messages)
        assert "my key is" in read(watch.llm.requests[0]).new[0]["text"]


async def test_nothing_to_show_is_nothing_to_ask(tmp_path: Path) -> None:
    async with watching(tmp_path, []) as watch:
        await watch.send({"role": "system", "content": "be good"})
        await watch.observe()
        assert [m.session_task_process_status for m in await watch.messages()] == ["success"]


async def test_a_prompt_of_ones_own_is_used(tmp_path: Path) -> None:
    from acontext_plugins.observe.model import ModelObserver
    from acontext_plugins.testing import ScriptedLLM

    head = "---\nname: task_agent\nversion: 7-mine\ninputs: rule, tasks, earlier, messages\n---\n"
    body = "# system\nMine. {{rule}}\n# user\n{{tasks}} {{earlier}} {{messages}}\n"
    (tmp_path / "task_agent.md").write_text(head + body)
    llm = ScriptedLLM([{"planning": []}])
    await ModelObserver(llm, settings=ObserveSettings(), prompts=str(tmp_path)).observe(batch_of(Talk().user("hi")))
    assert str(llm.requests[0].messages[0]["content"]).startswith("Mine.")
    assert llm.requests[0].purpose.prompt == "task_agent@7-mine"
