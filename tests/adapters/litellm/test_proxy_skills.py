"""What is learned through the real proxy stands in the next client's prompts, once; trouble of ours is seen nowhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from acontext_adapters.testing import ASKING_TALK, LEARNED, TAUGHT_TALK

from .memory import once, skills_in, when
from .proxy import Proxy, running
from .talk import PATHS, TOOLS, Json, chat, post, requests, said, tools_for, turn, user
from .upstream import Call, Refused, Upstream

SPACE = "taught"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def taught(proxy: Proxy, provider: Upstream) -> list[str]:
    """The skills of a space in which an agent has been corrected and thanked."""
    play(proxy, provider, TAUGHT_TALK, "teacher")
    once(lambda: skills_in(proxy.database, SPACE), "a skill")
    return skills_in(proxy.database, SPACE)


def play(proxy: Proxy, upstream: Upstream, talk: Any, session: str, **more: Any) -> list[Any]:
    """A talk through the proxy; the answers."""
    steps = [step for one in talk for step in one.steps]
    upstream.say(*(s if isinstance(s, str) else [Call(u.tool, u.call_id, {"city": u.city}) for u in s] for s in steps))
    history: list[Json] = []
    headers = {"x_acontext_space": SPACE}
    answers: list[Any] = []
    for one in talk:
        answers += turn(proxy, history, one.says, result, session, headers=headers, **more)
    return answers


def result(call: Json) -> str:
    return "21C" if call["function"]["name"] == "weather" else "Error: no such city"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_what_one_client_taught_is_injected_for_the_next(
    streamed: bool, taught: list[str], proxy: Proxy, upstream: Upstream
) -> None:
    answers = play(proxy, upstream, ASKING_TALK, f"asking-{streamed}", stream=streamed)
    assert [request.system.count("acontext-skills") for request in upstream.seen] == [2, 2]
    assert {request.system for request in upstream.seen} == {f"Base.\n\n{LEARNED}"}
    assert [answer.headers["x-acontext-skills"] for answer in answers] == [",".join(taught)] * 2
    kept = when(proxy.database, f"asking-{streamed}", lambda kept: bool(kept.outcomes))
    assert "acontext-skills" not in "".join(message.model_dump_json() for message in kept.messages)


@pytest.mark.parametrize("path", PATHS)
def test_skills_stand_after_the_hosts_own_words_in_every_format(
    path: str, taught: list[str], proxy: Proxy, upstream: Upstream
) -> None:
    body = {**requests("How warm is it in Bonn?")[path], "tools": tools_for(path)}
    answer = post(proxy, path, body, x_acontext_space=SPACE)
    [request] = upstream.seen
    assert re.fullmatch(r"Base\.\n\n<acontext-skills.*</acontext-skills>", request.system, re.DOTALL)
    assert request.prompt.count("<acontext-skills") == 1
    assert answer.headers["x-acontext-skills"] == ",".join(taught)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("own", ["Base.", None])
def test_clients_of_responses_read_their_own_instructions(
    own: str | None, streamed: bool, taught: list[str], proxy: Proxy, upstream: Upstream
) -> None:
    path = "/v1/responses"
    body = {**requests("How warm is it in Bonn?")[path], "tools": tools_for(path), "stream": streamed}
    answer = post(proxy, path, {**body, "instructions": own} if own else _without(body), x_acontext_space=SPACE)
    assert "acontext-skills" in upstream.seen[-1].system
    assert "acontext-skills" not in answer.text
    found = re.findall(r'"instructions":\s*(null|"[^"]*")', answer.text)
    assert set(found) <= {json.dumps(own)}
    assert found or own is None


def _without(body: Json) -> Json:
    return {name: value for name, value in body.items() if name != "instructions"}


def test_a_client_that_has_our_text_in_its_prompt_gets_no_more_of_it(
    taught: list[str], proxy: Proxy, upstream: Upstream
) -> None:
    body = chat(user("How warm is it in Bonn?"), tools=TOOLS)
    body["messages"][0]["content"] += f"\n\n{LEARNED}"
    post(proxy, "/v1/chat/completions", body, x_acontext_space=SPACE)
    assert upstream.seen[0].prompt.count("<acontext-skills") == 1


def test_another_space_gives_nothing(taught: list[str], proxy: Proxy, upstream: Upstream) -> None:
    answer = post(
        proxy, "/v1/chat/completions", chat(user("How warm is it in Bonn?"), tools=TOOLS), x_acontext_space="empty"
    )
    assert upstream.seen[0].system == "Base."
    assert "x-acontext-skills" not in answer.headers


HERE = "acontext_adapters.litellm"
STEPS = [
    f"{HERE}.proxy:caller_of",
    f"{HERE}.proxy:wire_of",
    f"{HERE}.proxy:body_of",
    f"{HERE}.proxy:injected",
    f"{HERE}.proxy:as_json",
    f"{HERE}.proxy:StreamRecorder",
    f"{HERE}.proxy:_name",
    f"{HERE}.proxy:ProxyHandler._begin",
    f"{HERE}.proxy:ProxyHandler._runtime",
    f"{HERE}.proxy:ProxyHandler._taken",
    f"{HERE}.streams:_events",
    f"{HERE}.streams:_chat_event",
    "acontext_adapters.model_calls.turns:CallRecorder.begin",
    "acontext_adapters.model_calls.turns:CallRecorder._begin",
    "acontext_adapters.model_calls.turns:CallRecorder._answered",
    "acontext_adapters.model_calls.turns:CallRecorder._ended",
    "acontext_adapters.model_calls.turns:RecordedCall.aprepared",
    "acontext_plugins.runs:Run.arecall",
    "acontext_plugins.runs:Run.record",
    "acontext_plugins.runs:Run.end",
    "acontext_plugins.client.connection:Connection.record",
    "acontext_plugins.client.connection:Connection.recall",
]


def test_a_step_of_ours_that_raises_changes_nothing_for_the_client(proxy: Proxy, upstream: Upstream) -> None:
    changed = {}
    plain = seen_by_a_client(proxy, upstream, "")
    for step in STEPS:
        before = proxy.log.read_text().count("SABOTAGED")
        found = seen_by_a_client(proxy, upstream, step)
        if proxy.log.read_text().count("SABOTAGED") == before:
            changed[step] = "was not reached"
        elif found != plain:
            changed[step] = next(
                f"{now} where it was {was}" for now, was in zip(found, plain, strict=True) if now != was
            )
    assert changed == {}


def seen_by_a_client(proxy: Proxy, upstream: Upstream, step: str) -> list[Any]:
    """Status and words of answers, whole and streamed, as objects and as bytes, and of a refusal."""
    seen = []
    for path in (CHAT, PATHS[-1]):
        body = requests("How warm is it?")[path]
        for streamed in (False, True):
            for step_of_model in ("It is 21C.", Refused(500)):
                upstream.say(step_of_model)
                answer = post(proxy, path, {**body, "stream": streamed}, x_break=step)
                seen.append((path, streamed, answer.status_code, without_ids(answer.text), len(upstream.seen)))
    return seen


def without_ids(text: str) -> str:
    text = re.sub(r"(resp|msg|chatcmpl)[-_][\w=-]+", "ID", text)
    return re.sub(r'"(created|created_at|id|item_id)":\s*[^,}]+', "", text)


def test_settings_that_are_wrong_and_a_database_that_cannot_be_opened_stop_no_proxy(
    provider: Upstream, tmp_path: Path
) -> None:
    wrong = {"ACONTEXT_NO_SUCH_SETTING": "1", "ACONTEXT_URL": "sqlite:////dev/null/memory.db"}
    with running(tmp_path, provider.url, environ=wrong) as proxy:
        for streamed in (False, True):
            provider.say("It is 21C.")
            answer = post(proxy, "/v1/chat/completions", chat(user("hi"), stream=streamed))
            assert answer.status_code == 200
            assert "21C" in answer.text
        assert "ACONTEXT_NO_SUCH_SETTING" in proxy.log.read_text()


def test_two_proxies_on_one_database_keep_each_message_of_a_conversation_once(
    proxy: Proxy, upstream: Upstream, tmp_path: Path
) -> None:
    """As two workers of one do: each sees every second request."""
    with running(tmp_path, upstream.url, environ={"ACONTEXT_URL": f"sqlite:///{proxy.database}"}) as other:
        history: list[Json] = []
        for number in range(12):
            upstream.say([Call("weather", f"c{number}")], f"21C on day {number}")
            history.append(user(f"and on day {number}?"))
            history.append(said(post(other if number % 2 else proxy, CHAT, chat(*history, tools=TOOLS), "shared")))
            history.append({"role": "tool", "tool_call_id": f"c{number}", "content": "21C"})
            history.append(said(post(proxy if number % 3 else other, CHAT, chat(*history, tools=TOOLS), "shared")))
        kept = when(proxy.database, "shared", lambda kept: len(kept.ends) == 12 and len(kept.lines) >= 48)
    assert sorted(kept.lines) == sorted(
        line
        for number in range(12)
        for line in (
            f"user: and on day {number}?",
            'call: weather {"city":"Oslo"}',
            "result: 21C",
            f"assistant: 21C on day {number}",
        )
    )
    assert len(kept.runs) == 12
    assert {status for status, _ in kept.ends} == {"success"}
