"""Conversations through the real proxy: what is kept of them, in all three formats, streamed and not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from .memory import Kept, when
from .proxy import Proxy
from .upstream import Broken, Call, Refused, Slow, Upstream

Json = dict[str, Any]
SAID = "It is 21C."


def chat(*messages: Json, **more: Any) -> Json:
    return {"model": "fake", "messages": [{"role": "system", "content": "Base."}, *messages], **more}


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def requests(says: str, **more: Any) -> dict[str, Json]:
    """The same words of a user in each format, by path."""
    return {
        "/v1/chat/completions": chat(user(says), **more),
        "/v1/responses": {"model": "fake", "instructions": "Base.", "input": says, **more},
        "/v1/messages": {"model": "fake", "system": "Base.", "max_tokens": 50, "messages": [user(says)], **more},
        "/v1/messages (native)": {"model": "claude", "max_tokens": 50, "messages": [user(says)], **more},
    }


PATHS = list(requests(""))
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
every_format = pytest.mark.parametrize("path", PATHS)


def post(proxy: Proxy, path: str, body: Json, session: str, *, key: str | None = None, **headers: str) -> Any:
    with proxy.client(**({"key": key} if key else {})) as client:
        return client.post(path.split(" ")[0], json=body, headers={"x-litellm-session-id": session, **headers})


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
    steps: list[Any] = [[Call("weather", "c1"), Call("weather", "c2", {"city": "Rome"})], "21C in both"]
    upstream.say(*steps, [Call("weather", "c3", {"city": "Lima"})], "and there")
    history: list[Json] = []
    for says in ("Oslo and Rome?", "and Lima?"):
        history.append(user(says))
        for calls in steps:
            body = chat(*history, tools=TOOLS)
            history.append(asked(proxy, body, session, streamed))
            for call in history[-1].get("tool_calls") or []:
                history.append({"role": "tool", "tool_call_id": call["id"], "content": f"21C for {call['id']}"})
            assert bool(history[-1]["role"] == "tool") is isinstance(calls, list)
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


TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]


def asked(proxy: Proxy, body: Json, session: str, streamed: bool) -> Json:
    """The assistant's message, put together by hand as clients do."""
    answer = post(proxy, "/v1/chat/completions", {**body, "stream": streamed}, session)
    if not streamed:
        message: Json = answer.json()["choices"][0]["message"]
        return {name: value for name, value in message.items() if name in ("role", "content", "tool_calls")}
    text, calls = "", {}
    for line in answer.text.splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                text += choice["delta"].get("content") or ""
                for part in choice["delta"].get("tool_calls") or []:
                    call = calls.setdefault(part["index"], {"type": "function", "function": {"arguments": ""}})
                    call["id"] = part.get("id") or call["id"]
                    call["function"]["name"] = part["function"].get("name") or call["function"]["name"]
                    call["function"]["arguments"] += part["function"].get("arguments") or ""
    return {"role": "assistant", "content": text or None, **({"tool_calls": list(calls.values())} if calls else {})}


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


@pytest.mark.parametrize("path", PATHS[:3])
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


def test_a_request_that_never_reaches_a_model_is_a_failure_where_a_turn_had_begun(
    proxy: Proxy, upstream: Upstream
) -> None:
    body = {**chat(user("hi")), "model": "no-such-model"}
    assert post(proxy, "/v1/chat/completions", body, "unknown-model").status_code == 400
    kept = when(proxy.database, "unknown-model", ended)
    assert kept.ends[0][0] == "failed"
    assert "no-such-model" in kept.ends[0][1]
    assert upstream.seen == []


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


def test_a_response_goes_on_in_the_conversation_of_the_one_before(proxy: Proxy, upstream: Upstream) -> None:
    upstream.say("first answer", "second answer")
    with proxy.client() as client:
        first = client.post("/v1/responses", json={"model": "fake", "input": "alone 1"}).json()
        body = {"model": "fake", "input": "alone 2", "previous_response_id": first["id"]}
        client.post("/v1/responses", json=body)
    [request] = [request for request in upstream.seen if "previous_response_id" in request.body]
    assert request.body["previous_response_id"] == "resp_1"
