"""Context editing: what every strategy promises of every conversation, and what each does to a few."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.editing import edit, estimate, groups_of, parse_strategies, total_tokens
from acontext_plugins.errors import InvalidInput, NotFound
from acontext_plugins.formats import from_messages
from acontext_store.types import Message, Part, StoredMessage, Task

# ------------------------------------------------------------------------------------------------ conversations


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Turns of a user, each with steps of parallel calls and their results in any order, and maybe words between."""
    messages: list[Message] = []
    words = st.text(alphabet="abc 字é\n", max_size=120)
    if draw(st.booleans()):
        messages.append(_text("system", draw(words)))
    anew = draw(st.booleans())
    number = 0
    for _ in range(draw(st.integers(0, 4))):
        messages.append(_text("user", draw(words)))
        for _ in range(draw(st.integers(0, 3))):
            count = draw(st.integers(1, 3))
            ids = [f"c{place}" if anew else f"c{number + place}" for place in range(count)]
            number += count
            texts = [Part(type="text", text=draw(words))] if draw(st.booleans()) else []
            calls = [
                Part(
                    type="tool-call",
                    meta={
                        "id": id,
                        "name": draw(st.sampled_from(["look", "buy"])),
                        "arguments": json.dumps({"a": draw(words)}),
                    },
                )
                for id in ids
            ]
            messages.append(Message(role="assistant", parts=(*texts, *calls)))
            order = draw(st.permutations(ids))
            together = draw(st.booleans())
            results = [
                Part(type="tool-result", text=draw(words) * draw(st.sampled_from([1, 20])), meta={"tool_call_id": id})
                for id in order
            ]
            if together:
                messages.append(Message(role="user", parts=tuple(results)))
            else:
                messages += [Message(role="tool", parts=(result,)) for result in results]
        if draw(st.booleans()):
            messages.append(_text("assistant", draw(words)))
    return messages


def _text(role: Any, text: str) -> Message:
    return Message(role=role, parts=(Part(type="text", text=text),))


def _limits(name: str, field: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda value: {"type": name, "params": {field: value}}, st.integers(1, 400))


_keeping = st.fixed_dictionaries(
    {}, optional={"keep_tools": st.sampled_from([[], ["look"]]), "gt_token": st.integers(0, 50)}
)
STRATEGIES = st.one_of(
    _limits("token_limit", "limit_tokens"),
    _limits("middle_out", "token_reduce_to"),
    st.builds(
        lambda keep, rest: {"type": "remove_tool_result", "params": {"keep_recent_n_tool_results": keep, **rest}},
        st.integers(0, 4),
        _keeping,
    ),
    st.builds(
        lambda keep, rest: {"type": "remove_tool_call_params", "params": {"keep_recent_n_tool_calls": keep, **rest}},
        st.integers(0, 4),
        _keeping,
    ),
    st.builds(
        lambda keep, gt: {
            "type": "offload_tool_results",
            "params": {"keep_recent_n_tool_results": keep, "gt_token": gt, "preview": 20},
        },
        st.integers(0, 2),
        st.integers(1, 100),
    ),
)


def _paired(messages: Sequence[Message]) -> tuple[list[str], list[str]]:
    """Calls that have no result behind them, results that have no call before them."""
    waiting: list[str] = []
    orphans: list[str] = []
    for message in messages:
        for part in message.parts:
            meta = part.meta or {}
            if part.type == "tool-call":
                waiting.append(meta["id"])
            elif part.type == "tool-result":
                if meta["tool_call_id"] in waiting:
                    waiting.remove(meta["tool_call_id"])
                else:
                    orphans.append(meta["tool_call_id"])
    return waiting, orphans


# --------------------------------------------------------------------------------------------- what always holds


@given(conversations(), st.lists(STRATEGIES, max_size=3))
def test_calls_keep_their_results_order_stays_and_limits_are_met(
    messages: list[Message], given: list[dict[str, Any]]
) -> None:
    before = [message.model_dump_json() for message in messages]
    strategies = parse_strategies(given)
    edited = edit(messages, strategies, count=estimate)
    assert [message.model_dump_json() for message in messages] == before, "the conversation given was changed"
    assert _paired(edited.messages) == ([], [])
    ids = [message.id for message in messages]
    places = [ids.index(message.id) for message in edited.messages]
    assert places == sorted(set(places))
    assert edited.tokens == total_tokens(edited.messages, estimate)
    for strategy in given:
        if strategy["type"] in ("token_limit", "middle_out"):
            assert edited.tokens <= next(iter(strategy["params"].values()))
    again = edit(edited.messages, strategies, count=estimate)
    assert again.messages == edited.messages, "a second time something else comes out"
    assert all(kept in messages for kept in edited.messages if kept.id in ids and kept == messages[ids.index(kept.id)])


@given(conversations())
def test_groups_hold_every_message_once_and_never_part_a_call_from_its_result(messages: list[Message]) -> None:
    groups = groups_of(messages, estimate)
    assert [place for group in groups for place in group.places] == list(range(len(messages)))
    for group in groups:
        assert _paired([messages[place] for place in group.places]) == ([], [])
    assert sum(group.tokens for group in groups) == total_tokens(messages, estimate)


@given(conversations(), st.integers(1, 400), st.data())
def test_pinned_the_beginning_stays_the_same_while_the_conversation_grows(
    messages: list[Message], limit: int, data: st.DataObject
) -> None:
    if not messages:
        return
    strategies = parse_strategies([{"type": "token_limit", "params": {"limit_tokens": limit}}])
    ends = [group.end for group in groups_of(messages, estimate)]
    end = data.draw(st.sampled_from(ends))
    first = edit(messages[:end], strategies, count=estimate)
    assert first.edited_at == messages[end - 1].id
    later = edit(messages, strategies, pin_at=first.edited_at, count=estimate)
    assert later.messages == (*first.messages, *messages[end:])
    assert later.edited_at == first.edited_at


# ------------------------------------------------------------------------------------------------- what each does


def _loop(steps: int, result: str = "x" * 400) -> list[Message]:
    """A user's request, and an agent that calls a tool so many times."""
    messages = [_text("system", "Be brief."), _text("user", "first"), _text("assistant", "ok"), _text("user", "sum up")]
    for number in range(steps):
        meta = {"id": f"c{number}", "name": "look" if number % 2 else "read", "arguments": '{"page": 1}'}
        messages.append(Message(role="assistant", parts=(Part(type="tool-call", meta=meta),)))
        messages.append(
            Message(role="tool", parts=(Part(type="tool-result", text=result, meta={"tool_call_id": f"c{number}"}),))
        )
    return messages


def _edit(messages: Sequence[Message], kind: str, **params: Any) -> list[Message]:
    return list(edit(messages, parse_strategies([{"type": kind, "params": params}]), count=estimate).messages)


def _results(messages: Sequence[Message]) -> list[str | None]:
    return [part.text for message in messages for part in message.parts if part.type == "tool-result"]


def test_older_results_become_a_word_and_the_newest_stay() -> None:
    edited = _edit(_loop(5, "page"), "remove_tool_result", keep_recent_n_tool_results=2, tool_result_placeholder=" ")
    assert _results(edited) == ["Done", "Done", "Done", "page", "page"]
    kept = _edit(_loop(4, "page"), "remove_tool_result", keep_recent_n_tool_results=0, keep_tools=["look"])
    assert _results(kept) == ["Done", "page", "Done", "page"]
    assert (
        _results(_edit(_loop(2), "remove_tool_result", keep_recent_n_tool_results=0, gt_token=100)) == ["x" * 400] * 2
    )


def test_defaults_are_those_of_the_api() -> None:
    strategies = parse_strategies([{"type": "remove_tool_result"}, {"type": "remove_tool_call_params", "params": None}])
    edited = edit(_loop(5, "page"), strategies, count=estimate).messages
    assert _results(edited) == ["Done", "Done", "page", "page", "page"]
    arguments = [part.meta["arguments"] for message in edited for part in message.tool_calls if part.meta]
    assert arguments == ["{}", "{}", *['{"page": 1}'] * 3]


def test_a_limit_keeps_the_request_that_is_worked_on_and_the_newest_steps() -> None:
    edited = _edit(_loop(20), "token_limit", limit_tokens=400)
    assert [message.text for message in edited[:2]] == ["Be brief.", "sum up"]
    assert len(_results(edited)) == 3
    assert edited[-1].parts[0].meta == {"tool_call_id": "c19"}


def test_what_alone_is_too_long_is_cut_in_the_middle() -> None:
    messages = [_text("user", "sum up"), *_loop(1, "a" * 40_000 + "the end")[-2:]]
    edited = _edit(messages, "token_limit", limit_tokens=500)
    (result,) = _results(edited)
    assert result is not None
    assert result.startswith("aaa")
    assert result.endswith("the end")
    assert "characters left out" in result
    assert 400 <= total_tokens(edited, estimate) <= 500


def test_from_the_middle_the_beginning_and_the_newest_stay() -> None:
    messages = [_text("user" if number % 2 == 0 else "assistant", f"{number} " * 50) for number in range(11)]
    edited = _edit(messages, "middle_out", token_reduce_to=200)
    numbers = [int(message.text.split()[0]) for message in edited]
    assert numbers[0] == 0
    assert numbers[-1] == 10
    assert numbers != list(range(11))
    assert numbers == sorted(numbers)


def test_big_results_move_to_a_file_and_a_pointer_with_the_beginning_stays() -> None:
    messages = _loop(3, "row\n" * 4000)
    strategies = parse_strategies([{"type": "offload_tool_results", "params": {"preview": 8}}])
    edited = edit(messages, strategies, count=estimate)
    first, second, third = (str(text) for text in _results(edited.messages))
    assert third == "row\n" * 4000
    assert [offload.text for offload in edited.offloads] == ["row\n" * 4000] * 2
    assert [offload.path in text for offload, text in zip(edited.offloads, (first, second), strict=True)] == [True] * 2
    assert first.endswith("It begins:\nrow\nrow\n")
    assert edited.tokens < 4600


def test_finished_tasks_become_a_few_words() -> None:
    messages = [
        StoredMessage(**message.model_dump(), project_id="p", session_id="s", seq=seq)
        for seq, message in enumerate(_loop(4), 1)
    ]
    tasks = [
        _task(1, "first", "success", 2, 3, progresses=["said ok"], user_preferences=["be brief"]),
        _task(2, "sum up", "running", 4, 12),
    ]
    strategies = parse_strategies([{"type": "summary", "params": {}}])
    long = [*messages[:2], messages[2].model_copy(update={"parts": (Part(type="text", text="ok " * 200),)})]
    edited = edit([*long, *messages[3:]], strategies, tasks=tasks, count=estimate)
    assert [message.role for message in edited.messages[:3]] == ["system", "user", "user"]
    assert edited.messages[1].text == (
        "Earlier in this conversation:\n1. first (done)\n   - said ok\n   - the user wishes: be brief"
    )
    assert edited.messages[2:] == tuple(messages[3:])
    assert edit(edited.messages, strategies, tasks=tasks, count=estimate).messages == edited.messages


def _task(order: int, asked: str, status: Any, first: int, last: int, **data: Any) -> Task:
    return Task(
        id=f"t{order}",
        session_id="s",
        project_id="p",
        order=order,
        data={"task_description": asked, **data},
        status=status,
        first_seq=first,
        last_seq=last,
    )


def test_what_was_edited_no_longer_gives_back_the_item_it_came_from() -> None:
    native = {"role": "tool", "tool_call_id": "c0", "content": [{"type": "text", "text": "secret page"}]}
    message = Message(
        role="tool",
        parts=(Part(type="tool-result", text="secret page", meta={"tool_call_id": "c0"}),),
        native=native,
    )
    call = Part(type="tool-call", meta={"id": "c0", "name": "read", "arguments": "{}"})
    edited = _edit(
        [Message(role="assistant", parts=(call,)), message], "remove_tool_result", keep_recent_n_tool_results=0
    )
    assert from_messages(edited, "openai")[1] == {"role": "tool", "tool_call_id": "c0", "content": "Done"}


# ------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("token_limit", "found str, expected a list"),
        ([3], r"edit_strategies\[0\]: found int, expected an object"),
        ([{"type": "shorten"}], r"\[0\].type: found 'shorten', expected one of summary, .*token_limit"),
        ([{"type": "token_limit"}], r"\(token_limit\): params.limit_tokens is missing"),
        (
            [{"type": "token_limit", "params": {"limit_tokens": 0}}],
            "limit_tokens: input should be greater than 0, found 0",
        ),
        ([{"type": "token_limit", "params": {"limit_tokens": "9"}}], "limit_tokens: input should be a valid integer"),
        ([{"type": "token_limit", "params": {"limit": 9}}], "params.limit is unknown, expected some of limit_tokens"),
        ([{"type": "token_limit", "limit_tokens": 9}], "'limit_tokens' is unknown; parameters belong into params"),
        ([{"type": "remove_tool_result", "params": []}], "params: found list, expected an object"),
        ([{"type": "remove_tool_result"}, {}], r"\[1\].type: found None"),
    ],
)
def test_a_strategy_that_cannot_be_read_is_refused_by_name(given: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        parse_strategies(given)


def test_a_pin_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(NotFound, match="nowhere"):
        edit(_loop(1), (), pin_at="nowhere")
