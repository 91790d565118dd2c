"""Conversations from files: what can be read is read, what cannot is named, and nothing is raised."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from acontext_plugins.formats.jsonl import Conversation, ConversationReader, LineError
from acontext_store.types import stable_id

from .examples import examples

RECORDED = Path(__file__).parents[2] / "shared" / "data" / "trajectories_dev.jsonl.gz"
HELLO: dict[str, Any] = {"id": "a", "messages": [{"role": "user", "content": "hi"}], "outcome": "success"}


def line(**changes: Any) -> bytes:
    return json.dumps({**HELLO, **changes}).encode()


def read(path: Path, content: bytes, **options: Any) -> list[Conversation | LineError]:
    path = path / "runs.jsonl"
    path.write_bytes(content)
    return list(ConversationReader([path], **options))


def conversations(given: list[Conversation | LineError]) -> list[Conversation]:
    return [one for one in given if isinstance(one, Conversation)]


def problems(given: list[Conversation | LineError]) -> list[LineError]:
    return [one for one in given if isinstance(one, LineError)]


def only_problem(given: list[Conversation | LineError]) -> LineError:
    (problem,) = problems(given)
    return problem


# ------------------------------------------------------------------------------------------- the good


def test_a_conversation_has_its_messages_its_outcome_and_stable_ids(tmp_path: Path) -> None:
    (one,) = conversations(read(tmp_path, line(principal="bob", agent="shop") + b"\n"))
    assert (one.id, one.outcome, one.principal, one.agent, one.line) == ("a", "success", "bob", "shop", 1)
    assert one.file.endswith("runs.jsonl")
    assert [message.text for message in one.messages] == ["hi"]
    assert one.messages[0].id == stable_id("a", "0")
    assert one.messages[0].run_id == "a"


def test_reading_again_gives_the_same_ids(tmp_path: Path) -> None:
    content = line(id=None) + b"\n" + line(id="b")
    first, second = (conversations(read(tmp_path, content)) for _ in range(2))
    assert [one.id for one in first] == [one.id for one in second]
    assert [m.id for one in first for m in one.messages] == [m.id for one in second for m in one.messages]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("success", "success"),
        ("failed", "failed"),
        (" Failed ", "failed"),
        (1, "success"),
        (0, "failed"),
        (1.0, "success"),
        (0.0, "failed"),
        (True, "success"),
        (False, "failed"),
        ("1", "success"),
        ("0", "failed"),
        ("cancelled", "cancelled"),
        (None, None),
    ],
)
def test_an_outcome_may_be_said_in_several_ways(tmp_path: Path, said: object, meant: object) -> None:
    (one,) = conversations(read(tmp_path, line(outcome=said)))
    assert one.outcome == meant


def test_another_field_may_hold_the_outcome(tmp_path: Path) -> None:
    content = line(reward=0.0) + b"\n" + line(id="b")
    given = conversations(read(tmp_path, content, outcome_field="reward"))
    assert [one.outcome for one in given] == ["failed", None]


@pytest.mark.parametrize("said", ["good", 2, 0.5, -1, [], {}, "", float("nan")])
def test_an_outcome_that_says_nothing_known_is_a_problem(tmp_path: Path, said: object) -> None:
    problem = only_problem(read(tmp_path, line(outcome=said)))
    assert problem.reason.startswith("outcome: found")
    assert '"success"' in problem.reason


@pytest.mark.parametrize("name", ["runs.jsonl", "runs.gz", "runs"])
def test_gzip_is_told_by_its_content(tmp_path: Path, name: str) -> None:
    for content in (
        line(),
        gzip.compress(line()),
        gzip.compress(line() + b"\n") + gzip.compress(line(id="b")) + b"\0" * 9,
    ):
        (tmp_path / name).write_bytes(content)
        given = list(ConversationReader([tmp_path / name]))
        assert conversations(given)[0].id == "a"
        assert not problems(given)


def test_the_standard_input_is_a_dash(tmp_path: Path) -> None:
    for content in (line(), gzip.compress(line())):
        reader = ConversationReader(["-"], stdin=io.BytesIO(content))
        (one,) = reader
        assert isinstance(one, Conversation)
        assert one.file == "<stdin>"
        assert reader.total_bytes is None
        assert reader.bytes_read == len(content)


def test_progress_is_in_bytes_of_the_files_as_they_are(tmp_path: Path) -> None:
    content = gzip.compress(b"\n".join(line(id=str(n)) for n in range(100)))
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(line(id="x"))
    reader = ConversationReader([tmp_path / "a", tmp_path / "b", tmp_path / "missing"])
    assert reader.total_bytes == len(content) + len(line(id="x"))
    assert reader.bytes_read == 0
    list(reader)
    assert reader.bytes_read == reader.total_bytes
    list(reader)
    assert reader.bytes_read == reader.total_bytes


def test_byte_order_marks_line_ends_and_blank_lines_are_no_content(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + line() + b"\r\n\r\n   \n" + line(id="b") + b"\r\n" + line(id="c")
    given = read(tmp_path, content)
    assert [(one.id, one.line) for one in conversations(given)] == [("a", 1), ("b", 4), ("c", 5)]
    assert not problems(given)


def test_an_empty_file_has_no_conversations(tmp_path: Path) -> None:
    assert read(tmp_path, b"") == []
    assert read(tmp_path, gzip.compress(b"")) == []


def test_what_is_odd_but_usable_is_kept_and_noted(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": None},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "other", "content": "x" * 5_000_000},
        {"role": "user", "content": "a\x00b"},
    ]
    (one,) = conversations(read(tmp_path, line(messages=messages)))
    assert len(one.messages) == 5
    assert len(one.messages[3].tool_results[0].text or "") == 5_000_000
    assert one.messages[4].text == "a\x00b"
    assert len(one.notes) == 2


def test_lone_surrogates_are_replaced(tmp_path: Path) -> None:
    (one,) = conversations(read(tmp_path, b'{"id": "\\ud800", "messages": [{"role": "user", "content": "\\udc00!"}]}'))
    assert one.messages[0].text == "\ufffd!"
    one.id.encode()


def test_the_same_line_twice_is_one_conversation(tmp_path: Path) -> None:
    given = read(tmp_path, line() + b"\n" + line() + b"\n" + line(id=None) + b"\n" + line(id=None))
    assert len(given) == 2
    assert not problems(given)


def test_reading_is_lazy(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\n".join(line(id=str(n)) + b" " * 100_000 for n in range(50)))
    reader = ConversationReader([tmp_path / "a"])
    stream: Iterator[Conversation | LineError] = iter(reader)
    next(stream)
    assert reader.total_bytes is not None
    assert reader.bytes_read < reader.total_bytes / 2
    stream.close()  # type: ignore[attr-defined]


USE = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "it"}}
ANSWER = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "gone"}], "is_error": True}
CALLED = {
    "openai": [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "t1", "function": {"name": "look"}}]},
        {"role": "tool", "tool_call_id": "t1", "content": "gone"},
    ],
    "anthropic": [{"role": "assistant", "content": [USE]}, {"role": "user", "content": [ANSWER]}],
    "gemini": [
        {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"at": "it"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"error": "gone"}}}]},
    ],
    "openai_responses": [
        {"type": "function_call", "call_id": "t1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "t1", "output": "gone"},
    ],
    "acontext": [
        {"role": "assistant", "parts": [{"type": "tool-call", "meta": {"id": "t1", "name": "look", "arguments": {}}}]},
        {"role": "user", "parts": [{"type": "tool-result", "text": "gone", "meta": {"tool_call_id": "t1"}}]},
    ],
}


@pytest.mark.parametrize("format", CALLED)
def test_each_conversation_is_read_in_its_own_format(tmp_path: Path, format: str) -> None:
    content = b"\n".join(line(id=name, messages=CALLED[name]) for name in (format, "openai"))
    first, *others = conversations(read(tmp_path, content))
    assert {message.format for message in first.messages} == {format}
    assert {message.format for one in others for message in one.messages} <= {"openai"}
    asked, answered = first.messages
    assert (asked.role, [(part.meta or {})["name"] for part in asked.tool_calls]) == ("assistant", ["look"])
    assert (answered.role, [part.text for part in answered.tool_results]) == ("tool", ["gone"])
    assert [message.id for message in first.messages] == [stable_id(format, "0"), stable_id(format, "1")]


@pytest.mark.parametrize("prompt", ["Be brief.", [{"type": "text", "text": "Be brief."}]])
def test_a_system_prompt_beside_the_messages_comes_first(tmp_path: Path, prompt: object) -> None:
    (one,) = conversations(read(tmp_path, line(messages=CALLED["anthropic"], system=prompt)))
    assert [message.role for message in one.messages] == ["system", "assistant", "tool"]
    assert one.messages[0].text == "Be brief."
    assert [message.id for message in one.messages[1:]] == [stable_id("a", "0"), stable_id("a", "1")]


@pytest.mark.parametrize("own", [{"os": "linux"}, 7, "", [], ["x"], None])
def test_a_field_of_that_name_that_is_no_prompt_is_the_users_own(tmp_path: Path, own: object) -> None:
    (one,) = conversations(read(tmp_path, line(system=own)))
    assert [message.role for message in one.messages] == ["user"]


def test_a_format_may_be_named_and_must_be_right(tmp_path: Path) -> None:
    odd = [{"role": "assistant", "content": [USE, {"type": "hologram"}]}]
    content = [
        line(format="anthropic", messages=odd),
        line(id="b", format="anthropic", messages=CALLED["openai"]),
        line(id="c", format="a format of the user's own", messages=CALLED["gemini"]),
        line(id="d", messages=odd),
    ]
    given = read(tmp_path, b"\n".join(content))
    assert [(one.id, one.messages[0].format) for one in conversations(given)] == [("a", "anthropic"), ("c", "gemini")]
    wrong, unknown = problems(given)
    assert (wrong.line, "'openai'" in wrong.reason, wrong.reason.startswith("messages[0].tool_calls")) == (
        2,
        True,
        True,
    )
    assert (unknown.line, "'hologram'" in unknown.reason, '"format"' in unknown.reason) == (4, True, True)


# -------------------------------------------------------------------------------------------- the bad


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"{", ["no JSON"]),
        (b'{"id": "b", "messages": [}', ["no JSON", "column"]),
        (b'"text"', ["found str", "object"]),
        (b"[1]", ["found list"]),
        (b"null", ["found null"]),
        (b'{"id": "b"}', ["messages: found nothing"]),
        (b'{"id": "b", "messages": null}', ["messages: found nothing"]),
        (b'{"id": "b", "messages": {}}', ["messages: found dict"]),
        (b'{"id": "b", "messages": []}', ["messages", "empty"]),
        (b'{"id": "b", "contents": [{}]}', ["messages: found nothing", "'contents' holds one"]),
        (b'{"id": "b", "messages": [{"role": "user", "content": [{"type": "scent"}]}]}', ["content[0]", "'scent'"]),
        (b'{"id": "b", "messages": [{"content": "x"}]}', ["messages[0].role", "found nothing"]),
        (
            b'{"id": "b", "messages": [{"role": "user", "content": "x"}, {"role": "robot"}]}',
            ["messages[1].role", "robot"],
        ),
        (b'{"id": "b", "messages": [{"role": "user"}]}', ["messages[0].content"]),
        (b'{"id": "b", "messages": ["x"]}', ["messages[0]: found str"]),
        (b'{"id": {}, "messages": [{"role": "user", "content": "x"}]}', ["id: found dict"]),
        (b'{"id": true, "messages": [{"role": "user", "content": "x"}]}', ["id: found bool"]),
        (b'{"id": "b", "messages": ' + b"[" * 100_000, ["nested"]),
        (
            b'{"id": "b", "messages": [{"role": "user", "content": "x", "y": ' + b"[" * 150 + b"]" * 150 + b"}]}",
            ["nested"],
        ),
        (b'{"id": "b", "n": ' + b"9" * 5000 + b', "messages": []}', ["usable"]),
        (b'{"id": "b\xff", "messages": []}', ["UTF-8", "byte 10"]),
    ],
    ids=lambda value: None if isinstance(value, list) else value[:50].decode("ascii", "replace"),
)
def test_a_bad_line_is_named_and_the_rest_goes_on(tmp_path: Path, bad: bytes, words: list[str]) -> None:
    given = read(tmp_path, line() + b"\n" + bad + b"\n" + line(id="z"))
    assert [one.id for one in conversations(given)] == ["a", "z"]
    problem = only_problem(given)
    assert problem.line == 2
    assert all(word in problem.reason for word in words), problem.reason
    assert str(problem).startswith(f"{problem.file}:2: ")


def test_a_second_conversation_of_the_same_id_is_a_problem(tmp_path: Path) -> None:
    given = read(
        tmp_path, line() + b"\n" + line(messages=[{"role": "user", "content": "other"}]) + b"\n" + line(outcome=0)
    )
    assert len(conversations(given)) == 1
    assert [(p.line, "'a'" in p.reason, "line 1" in p.reason) for p in problems(given)] == [
        (2, True, True),
        (3, True, True),
    ]


def test_a_truncated_gzip_gives_what_can_be_read_and_says_where_it_ends(tmp_path: Path) -> None:
    random = os.urandom
    whole = gzip.compress(b"\n".join(line(id=str(n), noise=random(300).hex()) for n in range(200)))
    given = read(tmp_path, whole[: len(whole) // 2])
    read_lines = len(conversations(given))
    assert 50 < read_lines < 150
    problem = only_problem(given)
    assert problem is given[-1]
    assert problem.line == read_lines + 1
    assert "ends too early" in problem.reason
    assert f"({read_lines})" in problem.reason


def test_a_damaged_gzip_is_a_problem(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(b"\n".join(line(id=str(n), noise=os.urandom(300).hex()) for n in range(200))))
    whole[len(whole) // 2] ^= 0xFF
    given = read(tmp_path, bytes(whole))
    assert "damaged" in problems(given)[-1].reason
    no_gzip = only_problem(read(tmp_path, b"\x1f\x8bno gzip at all"))
    assert (no_gzip.line, "damaged" in no_gzip.reason) == (0, True)


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"BZh9", b"\xff\xfe{\x00"])
def test_other_archives_and_encodings_are_named_once(tmp_path: Path, magic: bytes) -> None:
    problem = only_problem(read(tmp_path, magic + b"\nabc\ndef"))
    assert problem.line == 0
    assert "expected JSON Lines" in problem.reason


def test_pretty_printed_json_is_named_once(tmp_path: Path) -> None:
    problem = only_problem(read(tmp_path, json.dumps([HELLO], indent=2).encode()))
    assert "one conversation a line" in problem.reason


def test_files_that_cannot_be_opened_are_problems_and_the_next_is_read(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "ok").write_bytes(line())
    given = list(ConversationReader([tmp_path / "missing", tmp_path / "dir", "bad\0name", tmp_path / "ok"]))
    reasons = [problem.reason for problem in problems(given)]
    assert "no such file" in reasons[0]
    assert "directory" in reasons[1]
    assert len(reasons) == 3
    assert all(problem.line == 0 for problem in problems(given))
    assert len(conversations(given)) == 1


def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert "permission denied" in only_problem(list(ConversationReader([tmp_path / "secret"]))).reason


def test_a_line_that_is_too_long_is_skipped_without_being_kept(tmp_path: Path) -> None:
    content = line() + b"\n" + b'{"x": "' + b"y" * 2_000_000 + b'"}\n' + line(id="b") + b"\n" + b"z" * 900_000
    given = read(tmp_path, content, longest_line=500_000)
    assert [one.id for one in conversations(given)] == ["a", "b"]
    assert [(p.line, "longer than 500,000" in p.reason) for p in problems(given)] == [(2, True), (4, True)]


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded runs are not here")
def test_recorded_runs_are_read_whole() -> None:
    given = list(ConversationReader([RECORDED], outcome_field="reward"))
    assert (len(conversations(given)), len(problems(given))) == (469, 0)
    assert sum(one.outcome == "success" for one in conversations(given)) == 353


_scraps = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [line(), line(id="b"), line(outcome=7), b"\n", b"\r\n", b"{", b"\x1f\x8b", gzip.compress(line()), b"\x00"]
    ),
)


@examples(120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_scraps, max_size=6), st.integers(0, 400))
def test_no_content_whatever_raises(tmp_path: Path, scraps: list[bytes], cut: int) -> None:
    content = b"".join(scraps)
    for data in (content, gzip.compress(content), gzip.compress(content)[:cut]):
        for one in read(tmp_path, data):
            assert isinstance(one, Conversation | LineError)
            if isinstance(one, Conversation):
                assert one.messages
