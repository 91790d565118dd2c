"""Conversations through the real proxy: what is kept of them, in all three formats, streamed and not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import httpx
import pytest

from .memory import Kept, having, once, when
from .proxy import FINDS_MODULES, Proxy
from .talk import PATHS, Json, chat, post, requests, turn, user
from .upstream import Broken, Call, Refused, Slow, Upstream

SAID = "It is 21C."
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
every_format = pytest.mark.parametrize("path", PATHS)


def ended(kept: Kept) -> bool:
    return bool(kept.outcomes)


@both_ways
@every_format
def test_a_turn_is_kept_with_its_answer(path: str, streamed: bool, proxy: Proxy, upstream: Upstream) -> None:
    session = f"turn-{PATHS.index(path)}-{streamed}"
    upstream.say(SAID)
    answer = post(proxy, path, {**requests("hi")[path], "stream": streamed}, session)
    assert answer.status_code == 200
    assert "21C" in answer.text
    kept = when(proxy.database, session, ended)
    assert kept.lines == ["user: hi", f"assistant: {SAID}"]
    assert kept.ends == [("success", "")]
    assert len(kept.runs) == 1
    assert [request.headers.get("x-litellm-session-id") for request in upstream.seen] == [None]


@both_ways
def test_a_tool_loop_that_sends_all_again_with_each_call_is_one_run(
    streamed: bool, proxy: Proxy, upstream: Upstream
) -> None:
    session = f"loop-{streamed}"
    upstream.say(
        [Call("weather", "c1"), Call("weather", "c2", {"city": "Rome"})],
        "21C in both",
        [Call("weather", "c3", {"city": "Lima"})],
        "and there",
    )
    history: list[Json] = []
    for says in ("Oslo and Rome?", "and Lima?"):
        turn(proxy, history, says, lambda call: f"21C for {call['id']}", session, stream=streamed)
    kept = when(proxy.database, session, lambda kept: len(kept.outcomes) == 2)
    assert kept.lines == [
        "user: Oslo and Rome?",
        'call: weather {"city":"Oslo"}',
        'call: weather {"city":"Rome"}',
        "result: 21C for c1",
        "result: 21C for c2",
        "assistant: 21C in both",
        "user: and Lima?",
        'call: weather {"city":"Lima"}',
        "result: 21C for c3",
        "assistant: and there",
    ]
    assert len(kept.runs) == 2
    assert kept.ends == [("success", ""), ("success", "")]


@every_format
def test_a_client_that_sends_only_its_newest_message_keeps_every_turn(
    path: str, proxy: Proxy, upstream: Upstream
) -> None:
    session = f"newest-{PATHS.index(path)}"
    questions = ("list", "count", "list", "list")
    for number, question in enumerate(questions, 1):
        upstream.say("Done.")
        assert post(proxy, path, requests(question)[path], session).status_code == 200
        when(proxy.database, session, lambda kept, number=number: len(kept.ends) == number)  # type: ignore[misc]
    kept = when(proxy.database, session, lambda kept: len(kept.lines) >= 8)
    assert kept.lines == [line for question in questions for line in (f"user: {question}", "assistant: Done.")]
    assert len(kept.runs) == 4


@every_format
def test_a_provider_that_refuses_is_a_failure_and_the_clients_own_error(
    path: str, proxy: Proxy, upstream: Upstream
) -> None:
    session = f"refused-{PATHS.index(path)}"
    upstream.say(Refused(500, "scripted failure"))
    assert post(proxy, path, requests("hi")[path], session).status_code == 500
    kept = when(proxy.database, session, ended)
    assert kept.lines == ["user: hi"]
    [(status, reason)] = kept.ends
    assert status == "failed"
    assert "scripted failure" in reason


def test_what_the_proxy_tries_again_is_one_turn(proxy: Proxy, upstream: Upstream) -> None:
    upstream.say(Refused(429, "slow down"), Refused(500), SAID)
    assert post(proxy, "/v1/chat/completions", {**chat(user("hi")), "model": "patient"}, "retried-1").status_code == 200
    assert len(upstream.seen) == 3
    kept = when(proxy.database, "retried-1", ended)
    assert kept.lines == ["user: hi", f"assistant: {SAID}"]
    assert [outcome.status for outcome in kept.outcomes] == ["success"]


def test_what_another_model_answers_in_its_place_is_one_turn(proxy: Proxy, upstream: Upstream) -> None:
    upstream.say(Refused(500), SAID)
    assert post(proxy, "/v1/chat/completions", {**chat(user("hi")), "model": "unsure"}, "fallback-1").status_code == 200
    assert [request.body["model"] for request in upstream.seen] == ["unsure", "fake"]
    kept = when(proxy.database, "fallback-1", ended)
    assert kept.lines == ["user: hi", f"assistant: {SAID}"]
    assert [outcome.status for outcome in kept.outcomes] == ["success"]


def test_what_the_client_tries_again_is_one_turn(proxy: Proxy, upstream: Upstream) -> None:
    upstream.say(Refused(500), SAID)
    for status in (500, 200):
        assert post(proxy, "/v1/chat/completions", chat(user("hi")), "again-1").status_code == status
    kept = when(proxy.database, "again-1", lambda kept: len(kept.outcomes) == 2)
    assert kept.lines == ["user: hi", f"assistant: {SAID}"]
    assert len(kept.runs) == 1
    assert kept.ends == [("success", "")]


@every_format
def test_a_client_that_leaves_in_the_middle_of_a_stream_has_cancelled(
    path: str, proxy: Proxy, upstream: Upstream
) -> None:
    session, slow = f"left-{PATHS.index(path)}", Slow(SAID)
    upstream.say(slow)
    body = {**requests("hi")[path], "stream": True}
    with (
        proxy.client() as client,
        client.stream("POST", path.split(" ")[0], json=body, headers={"x-litellm-session-id": session}) as answer,
    ):
        for text in answer.iter_text():
            if "It" in text or "text_delta" in text:
                break
    kept = when(proxy.database, session, ended)
    slow.go.set()
    assert kept.lines == ["user: hi"]
    assert kept.ends == [("cancelled", "")]


@pytest.mark.parametrize("path", PATHS[:3] if FINDS_MODULES else PATHS[1:3])  # of chats older versions make up an end
def test_a_stream_that_the_provider_breaks_off_has_failed(path: str, proxy: Proxy, upstream: Upstream) -> None:
    session = f"broken-{PATHS.index(path)}"
    upstream.say(Broken(SAID))
    try:
        post(proxy, path, {**requests("hi")[path], "stream": True}, session)
    except httpx.HTTPError:
        pass  # as older proxies end it
    kept = when(proxy.database, session, ended)
    assert kept.lines == ["user: hi"]
    assert kept.ends[0][0] == "failed"


def test_a_request_that_the_proxy_refuses_is_none(proxy: Proxy, upstream: Upstream) -> None:
    body = {**chat(user("no such model")), "model": "no-such-model"}
    assert post(proxy, "/v1/chat/completions", body, "refused-at-once").status_code == 400
    assert upstream.seen == []
    upstream.say(SAID)
    assert post(proxy, "/v1/chat/completions", chat(user("hi")), "refused-at-once").status_code == 200
    kept = when(proxy.database, "refused-at-once", ended)
    assert (kept.lines, kept.ends) == (["user: hi", f"assistant: {SAID}"], [("success", "")])


@pytest.mark.parametrize(
    ("status", "says"), [("failed", "x-acontext-task-status"), ("success", "x-litellm-tags")], ids=["header", "tag"]
)
def test_the_client_says_how_the_task_turned_out(status: str, says: str, proxy: Proxy, upstream: Upstream) -> None:
    session = f"told-{status}"
    value = status if says == "x-acontext-task-status" else f"web,acontext-task-status:{status}"
    upstream.say(SAID)
    post(proxy, "/v1/chat/completions", chat(user("hi")), session, **{says: value})
    kept = when(proxy.database, session, lambda kept: len(kept.outcomes) == 2)
    assert ("report", status) in [(outcome.source, outcome.status) for outcome in kept.outcomes]
    told: Callable[[Kept], bool] = lambda kept: kept.tasks == (status,)  # noqa: E731
    when(proxy.database, session, told)


def test_what_is_said_with_the_next_turn_is_said_of_the_one_before(proxy: Proxy, upstream: Upstream) -> None:
    upstream.say("sent", "you are welcome")
    history: list[Json] = []
    turn(proxy, history, "send it", str, "told-later")
    turn(proxy, history, "it never came", str, "told-later", headers={"x_acontext_task_status": "failed"})
    kept = when(proxy.database, "told-later", lambda kept: len(kept.outcomes) == 3)
    [told] = [outcome for outcome in kept.outcomes if outcome.source == "report"]
    assert (told.status, told.run_id) == ("failed", kept.runs[0])


def test_a_response_that_goes_on_from_another_brings_only_what_is_new(proxy: Proxy, upstream: Upstream) -> None:
    upstream.say([Call("weather", "c1")], "21C in Oslo", "and there")
    session, body = "going-on", {"model": "fake", "input": "in Oslo?"}
    first = post(proxy, "/v1/responses", body, session).json()
    results = [{"type": "function_call_output", "call_id": "c1", "output": "21C"}]
    second = post(proxy, "/v1/responses", after(first, results), session).json()
    post(proxy, "/v1/responses", after(second, "and in Rome?"), session)
    kept = when(proxy.database, session, lambda kept: len(kept.outcomes) == 2)
    assert kept.lines == [
        "user: in Oslo?",
        'call: weather {"city":"Oslo"}',
        "result: 21C",
        "assistant: 21C in Oslo",
        "user: and in Rome?",
        "assistant: and there",
    ]
    assert len(kept.runs) == 2


def after(response: Json, new: object) -> Json:
    return {"model": "fake", "input": new, "previous_response_id": response["id"]}


def test_a_conversation_without_a_name_is_known_by_what_is_sent_again(proxy: Proxy, upstream: Upstream) -> None:
    upstream.say([Call("weather", "nameless-1")], "21C", [Call("weather", "nameless-2")], "21C again")
    history: list[Json] = []
    for says in ("nameless?", "again?"):
        turn(proxy, history, says, lambda call: "21C", "")
    once(lambda: [len(kept.outcomes) for kept in having(proxy.database, "nameless?")] == [2], "two turns")
    [kept] = having(proxy.database, "nameless?")
    assert len(kept.lines) == len(set(kept.lines)) + 2  # the same result twice, and the same call
    assert len(kept.runs) == 2


def test_a_database_that_is_locked_keeps_no_client_waiting(proxy: Proxy, upstream: Upstream) -> None:
    upstream.say(SAID, SAID)
    with closing(sqlite3.connect(proxy.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for streamed in (False, True):
            assert post(proxy, "/v1/chat/completions", chat(user("hi"), stream=streamed), "locked-1").status_code == 200
        assert when(proxy.database, "turn-0-False", ended)  # it can be read
        other.execute("ROLLBACK")
    assert when(proxy.database, "locked-1", lambda kept: len(kept.outcomes) == 2).lines[:2] == [
        "user: hi",
        f"assistant: {SAID}",
    ]
