"""The promises of the redactor: by value through a session, JSON stays JSON, pairs stay pairs, twice is once."""

from __future__ import annotations

import json
import re
import sys
import threading
from itertools import pairwise
from re import _parser as parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from acontext_plugins.formats import from_openai, to_openai
from acontext_plugins.record.redaction import (
    Redactor,
    commands,
    names,
    neighbours,
    placeholder,
    scanner,
    shapes,
    spoken,
)
from acontext_plugins.record.redaction.scanner import WINDOW, occurrences, windows
from acontext_store.errors import InvalidInput
from acontext_store.types import Message, Outcome, Part

from ..examples import examples
from .corpus import CONTEXTS, INNOCENT, SECRETS, alnum

GITHUB = next(secret for name, _, secret in SECRETS if name == "GitHub personal token")
JWT = next(secret for name, _, secret in SECRETS if name == "JWT")
BLOCK = next(secret for name, _, secret in SECRETS if name == "PKCS8 private key")
HIDDEN = placeholder("password")


def said(text: str) -> Message:
    return Message(role="user", parts=(Part(type="text", text=text),))


def called(arguments: str, id: str = "call_1", name: str = "login") -> Message:
    meta = {"id": id, "name": name, "arguments": arguments, "type": "function"}
    return Message(role="assistant", parts=(Part(type="tool-call", meta=meta),))


def answered(text: str, id: str = "call_1") -> Message:
    return Message(role="tool", parts=(Part(type="tool-result", text=text, meta={"tool_call_id": id}),))


def arguments_of(message: Message) -> Any:
    meta = message.tool_calls[0].meta
    assert meta is not None
    return json.loads(meta["arguments"])


# ------------------------------------------------------------------------------------------- by value


def test_what_was_a_secret_once_is_masked_everywhere_later() -> None:
    redactor = Redactor()
    redactor.redact("s1", [said("my password is hunter2")])
    later = redactor.redact("s1", [said("ok, hunter2 then"), answered("logged in with hunter2!")])
    assert [m.parts[0].text for m in later.messages] == [f"ok, {HIDDEN} then", f"logged in with {HIDDEN}!"]
    assert later.masked == 2


def test_it_is_masked_in_earlier_parts_of_the_same_batch_too() -> None:
    given = Redactor().redact("s1", [said("try hunter2"), called('{"user": "bob", "password": "hunter2"}')])
    assert given.messages[0].text == f"try {HIDDEN}"
    assert arguments_of(given.messages[1]) == {"user": "bob", "password": HIDDEN}


def test_another_session_knows_nothing_of_it() -> None:
    redactor = Redactor()
    redactor.redact("s1", [said("my password is hunter2")])
    assert redactor.redact_text("s2", "hunter2 is a meme") == "hunter2 is a meme"


def test_a_secret_in_a_tool_result_is_masked_in_the_next_call() -> None:
    redactor = Redactor()
    given = redactor.redact(
        "s1", [answered('{"access_token": "251675", "ok": true}'), called('{"t": "251675", "flight": "F1"}', "call_2")]
    )
    assert given.messages[0].parts[0].text == '{"access_token": "[redacted:token]", "ok": true}'
    assert arguments_of(given.messages[1]) == {"t": "[redacted:token]", "flight": "F1"}


def test_the_reason_of_an_outcome_is_scrubbed() -> None:
    outcome = Outcome(status="failed", source="report", reason=f"push with {GITHUB} was refused")
    given = Redactor().redact("s1", [], [outcome])
    assert given.outcomes[0].reason == "push with [redacted:github-token] was refused"
    assert given.outcomes[0].id == outcome.id


def test_native_items_and_meta_are_scrubbed_with_the_rest() -> None:
    blob = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {
                "id": "call_9",
                "type": "function",
                "function": {"name": "f", "arguments": '{"api_key": "k-123456-abcdef"}'},
            }
        ],
    }
    message = from_openai(blob, meta={"trace": {"headers": {"X-Api-Key": "k-123456-abcdef"}}})
    assert message.native is not None
    clean = Redactor().redact("s1", [message]).messages[0]
    assert "k-123456-abcdef" not in clean.model_dump_json()
    assert to_openai(clean)["tool_calls"][0]["function"]["arguments"] == '{"api_key": "[redacted:api-key]"}'
    assert clean.meta == {"trace": {"headers": {"X-Api-Key": "[redacted:api-key]"}}}


def test_the_password_inside_a_basic_header_is_masked_when_it_stands_alone() -> None:
    redactor = Redactor()
    redactor.redact_text("s1", "Authorization: Basic YWRtaW46b3BlbnNlc2FtZTk=")
    assert "opensesame9" not in redactor.redact_text("s1", "the word was opensesame9.")


def test_a_secret_is_masked_however_it_is_written() -> None:
    redactor = Redactor()
    redactor.redact("s1", [called(json.dumps({"password": 'a"b/c d\\e9'}))])
    text = 'q=a%22b%2Fc%20d%5Ce9 or a\\"b/c d\\\\e9'
    clean = redactor.redact_text("s1", text)
    assert clean == f"q={HIDDEN} or {HIDDEN}"


def test_a_short_or_common_word_is_masked_in_its_place_only() -> None:
    redactor = Redactor()
    clean = redactor.redact("s1", [called('{"password": "abc", "name": "abc"}')]).messages[0]
    assert arguments_of(clean) == {"password": HIDDEN, "name": "abc"}
    assert redactor.redact_text("s1", "abc def") == "abc def"


def test_a_short_value_is_not_masked_inside_a_longer_word() -> None:
    redactor = Redactor()
    redactor.redact_text("s1", "my password is hunter2")
    assert redactor.redact_text("s1", "hunter22 and xhunter2") == "hunter22 and xhunter2"


def test_values_can_be_remembered_again_after_a_restart_and_forgotten() -> None:
    redactor = Redactor()
    redactor.remember("s1", ["hunter2"], kind="password")
    assert redactor.redact_text("s1", "hunter2") == HIDDEN
    redactor.forget("s1")
    assert redactor.redact_text("s1", "hunter2") == "hunter2"


def test_only_the_most_recent_sessions_and_values_are_remembered() -> None:
    redactor = Redactor(sessions=2, values=3)
    for session in ("s1", "s2", "s3"):
        redactor.remember(session, ["hunter2"])
    assert redactor.redact_text("s1", "hunter2") == "hunter2"
    assert redactor.redact_text("s3", "hunter2") != "hunter2"
    for number in range(9):
        redactor.remember("s3", [f"value-{number}"])
    assert redactor.redact_text("s3", "value-0 value-8") == "value-0 [redacted:secret]"


def test_allowed_values_and_a_switched_off_redactor_change_nothing() -> None:
    assert Redactor(allow=[GITHUB]).redact_text("s1", GITHUB) == GITHUB
    messages = [said(GITHUB)]
    off = Redactor(enabled=False).redact("s1", messages)
    assert (off.messages[0] is messages[0], off.masked) == (True, 0)


def test_extra_patterns_mask_their_first_group() -> None:
    redactor = Redactor(extra_patterns=[r"badge (\d{4})", re.compile("ZZ-[0-9]+")])
    assert redactor.redact_text("s1", "badge 1234, ZZ-99") == "badge [redacted:custom], [redacted:custom]"
    with pytest.raises(InvalidInput, match="extra_patterns"):
        Redactor(extra_patterns=["("])


# ---------------------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"password":"hunter2","n":1}', '{"password":"[redacted:password]","n":1}'),
        ('{"password": 123456}', '{"password": "[redacted:password]"}'),
        ('{"auth": {"client_secret": "ab\\"cd9"}}', '{"auth": {"client_secret": "[redacted:secret]"}}'),
        ('{"env": [{"name": "DB_PASSWORD", "value": "swordfish"}]}', None),
        ('{"headers": [["Authorization", "Bearer abcdefgh12345678"]]}', None),
        ('{"passwor\\u0064": "swordfish"}', None),
        ('{"command": "curl -u admin:x -H \\"X-Api-Key: abcdefgh12345678\\""}', None),
        ('{"p\\u00e4ssword": "ok", "password": "gr\\u00fcn-9"}', None),
    ],
)
def test_arguments_stay_json(before: str, after: str | None) -> None:
    clean = Redactor().redact("s1", [called(before)]).messages[0].tool_calls[0].meta
    assert clean is not None
    parsed = json.loads(clean["arguments"])
    assert "[redacted:" in clean["arguments"]
    assert parsed.keys() == json.loads(before).keys()
    for word in ("swordfish", "hunter2", "abcdefgh12345678", "123456,"):
        assert word not in clean["arguments"]
    if after is not None:
        assert clean["arguments"] == after


def test_a_result_that_is_json_stays_json_and_keeps_its_layout() -> None:
    text = json.dumps({"user": "bob", "password": 'x"y9', "pin": "1234", "token": "ab\u00e9cd123"}, indent=2)
    clean = Redactor().redact("s1", [answered(text)]).messages[0].parts[0].text
    assert clean is not None
    assert json.loads(clean)["user"] == "bob"
    assert 'x\\"y9' not in clean
    assert "1234" not in clean
    assert clean.count("\n") == text.count("\n")


def test_arguments_that_are_no_json_are_scanned_as_text() -> None:
    clean = Redactor().redact("s1", [called('{"password": "hunter2", "cut off')]).messages[0].tool_calls[0].meta
    assert clean is not None
    assert clean["arguments"] == '{"password": "[redacted:password]", "cut off'


def test_very_large_arguments_are_masked_without_being_parsed() -> None:
    arguments = json.dumps({"password": "hunter2", "body": "word " * 100_000})
    clean = Redactor().redact("s1", [called(arguments)]).messages[0]
    assert arguments_of(clean)["password"] == HIDDEN


def test_ids_of_calls_are_never_changed() -> None:
    redactor = Redactor()
    redactor.remember("s1", ["call_abc1"])
    blob = {
        "role": "assistant",
        "content": "call_abc1",
        "prefix": True,
        "tool_calls": [{"id": "call_abc1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    clean = redactor.redact("s1", [from_openai(blob), answered("x", "call_abc1")])
    assert to_openai(clean.messages[0])["tool_calls"][0]["id"] == "call_abc1"
    assert clean.messages[0].tool_calls[0].meta == blob_call_meta("call_abc1")
    assert clean.messages[1].parts[0].meta == {"tool_call_id": "call_abc1"}


def blob_call_meta(id: str) -> dict[str, str]:
    return {"id": id, "name": "f", "arguments": "{}", "type": "function"}


def test_values_nested_without_end_are_masked_and_never_raise() -> None:
    deep: Any = GITHUB
    for _ in range(5_000):
        deep = [deep]
    clean = Redactor().redact(
        "s1", [Message.model_construct(id="m", role="user", parts=(), native={"x": deep}, meta={})]
    )
    assert clean.masked == 1


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=12,
)
_names = st.sampled_from(["password", "api_key", "token", "Authorization", "name", "n", "cookie", "pin", "value"])
_values = st.sampled_from(
    [secret for _, _, secret in SECRETS] + [text for _, text, _ in CONTEXTS] + ["hunter2", "4096"]
)


@examples(100, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_names | st.text(max_size=8), _json | _values | st.lists(_values, max_size=2), max_size=5))
def test_any_arguments_are_still_json_of_the_same_keys(value: dict[str, Any]) -> None:
    arguments = json.dumps(value)
    clean = Redactor().redact("s1", [called(arguments)]).messages[0]
    after = arguments_of(clean)
    assert isinstance(after, dict)
    assert len(after) == len(json.loads(arguments))
    text = Redactor().redact_text("s1", arguments)
    assert isinstance(json.loads(text), dict)


_pieces = st.one_of(
    st.sampled_from([text for _, text, _ in CONTEXTS]),
    st.sampled_from([secret for _, _, secret in SECRETS if len(secret) < 300]),
    st.sampled_from([text for text in INNOCENT if len(text) < 300]),
    st.sampled_from(
        ["password", "is", ":", "=", '"', "token", "Bearer ", "my ", "[redacted:password]", "\\", "key", "://"]
    ),
    st.text(max_size=12),
)


@examples(150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_pieces, max_size=6), st.sampled_from([" ", "\n", "", ", "]))
def test_what_was_redacted_is_left_alone_the_second_time(pieces: list[str], between: str) -> None:
    once = Redactor().redact_text("s1", between.join(pieces))
    assert Redactor().redact_text("s2", once) == once


def test_threads_may_share_a_redactor() -> None:
    redactor = Redactor(sessions=4)
    wrong: list[str] = []

    def work(session: str) -> None:
        secret = alnum(12)
        redactor.redact_text(session, f"my password is {secret}")
        for _ in range(50):
            clean = redactor.redact_text(session, f"again {secret}")
            if secret in clean:
                wrong.append(clean)

    threads = [threading.Thread(target=work, args=(f"s{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---------------------------------------------------------------------------------- long and hostile texts


def test_a_secret_in_a_long_text_is_found_wherever_the_windows_are_cut() -> None:
    for at in (0, 1, WINDOW - 60, WINDOW - 20, WINDOW - 5, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW - 10):
        for secret, words in ((GITHUB, GITHUB), ("hunter2x", "my password is hunter2x"), (JWT, JWT), (BLOCK, BLOCK)):
            text = ("a " * (3 * WINDOW // 2))[: at - at % 2] + "\n" + words + "\n" + "b " * WINDOW
            assert secret not in Redactor().redact_text("s1", text), (at, secret[:12])


def test_a_remembered_value_is_found_wherever_a_long_text_is_cut() -> None:
    needle = "needle-77"
    for at in (0, WINDOW * 8 - 4, WINDOW * 8 - len(needle), WINDOW * 8, WINDOW * 16 - 1):
        text = "." * at + needle + "." * WINDOW
        assert occurrences(text, needle) == [at]


def test_windows_cover_a_text_once() -> None:
    for length in (0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 5 * WINDOW + 7):
        cuts = list(windows(length))
        assert cuts[0][0] == 0
        assert cuts[-1][1] == length
        assert all(left[1] == right[0] for left, right in pairwise(cuts))
        assert all(end - start <= WINDOW for start, end in cuts)


def test_no_pattern_repeats_without_bound_or_inside_a_repetition() -> None:
    """What makes matching slow is a repeat without an upper bound, or one that may match nothing, inside another."""
    for pattern in patterns_in(scanner, shapes, names, commands, neighbours, spoken):
        _check_bounds(parser.parse(pattern.pattern, pattern.flags), inside=False, of=pattern.pattern)


def patterns_in(*modules: ModuleType) -> list[re.Pattern[str]]:
    found: list[re.Pattern[str]] = []
    for module in modules:
        for value in vars(module).values():
            candidates = value if isinstance(value, list | tuple) else [value]
            for item in candidates:
                for piece in item if isinstance(item, tuple) else [getattr(item, "pattern", None), item]:
                    if isinstance(piece, re.Pattern):
                        found.append(piece)
    assert len(found) > 60
    return found


#: Patterns that run on what others have already bounded: a name, a value, a slice.
_RUNS_ON_BOUNDED = {"[A-Za-z0-9+/=_\\-]+"}


def _check_bounds(tree: Any, *, inside: bool, of: str) -> None:
    for op, value in tree:
        name = str(op)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, body = value
            assert most <= 8192 or of in _RUNS_ON_BOUNDED, of
            variable = most > 32 and most != least
            assert not (inside and variable), of
            _check_bounds(body, inside=inside or variable, of=of)
        elif name == "BRANCH":
            for branch in value[1]:
                _check_bounds(branch, inside=inside, of=of)
        elif name == "SUBPATTERN":
            _check_bounds(value[-1], inside=inside, of=of)
        elif name in ("ASSERT", "ASSERT_NOT"):
            _check_bounds(value[1], inside=inside, of=of)


HOSTILE = [
    "password ",
    "password=",
    'password="',
    "password is ",
    "password for ",
    "my password for a b c d e f ",
    "://",
    "://a:",
    "://a:@",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "eyJ",
    ".eyJ",
    "eyJa.eyJa.",
    "sk-",
    "sk-ant-",
    "ghp_",
    "a.b_c-d~e:f$",
    "Bearer ",
    "Basic QQ==",
    "cookie: a=",
    "card 4 1 1 1 ",
    "4111111111111111 card ",
    "key ",
    "token: ",
    "[redacted:password]",
    "AKIA",
    "AC00000000",
    '{"',
    "\\",
    '\\"',
    "<password>",
    "secret_",
    "AGE-SECRET-KEY-",
    "sig=",
    "--password ",
    "is my password ",
    "seed phrase abc ",
    "-us12",
    "password: x = ",
    "authorization: bearer bearer ",
    ":AA",
    "Q~",
    ".atlasv1.",
    "password's ",
    "curl -u a:b ",
    " -p",
    "mysql -p",
    "echo a | sudo -S ",
    "|",
    "<<< ",
    "sshpass -p '",
    "name: password\nvalue: ",
    "user,password\n",
    "| password | x ",
    "a,b\npassword,",
    "recovery codes: ",
    "code is ",
    "verification code 1234 ",
    "1234 is your login code ",
    "log in with a / ",
    "contraseña es ",
    "密码是",
    "senha: ",
    "$argon2id$",
    "{SHA}",
    "\u0130",
    "\ud800",
]


@pytest.mark.parametrize("piece", HOSTILE, ids=[ascii(piece)[:30] for piece in HOSTILE])
def test_a_hostile_text_is_read_with_a_bounded_number_of_looks_for_each_character(piece: str) -> None:
    """Counted, not timed: how much text is handed to the patterns in all."""
    text = (piece * (3 * WINDOW // len(piece) + 1))[: 2 * WINDOW]
    looks = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal looks
        if event in ("call", "c_call"):
            looks += 1

    sys.setprofile(count)
    try:
        clean = Redactor().redact_text("s1", text)
    finally:
        sys.setprofile(None)
    assert isinstance(clean, str)
    assert looks < 60 * len(text)
