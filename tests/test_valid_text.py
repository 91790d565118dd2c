"""Whatever way a text comes in by, what is kept and given back is valid text, and no host is given any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acontext_plugins import Acontext, current_run, learning, report
from acontext_plugins.inject.render import render
from acontext_plugins.runs import RunOptions, Runtime
from acontext_store.types import CallFate, Message, Part, Skill, SkillBody, Step

#: Texts with halves of pairs, whole pairs said as two halves, and NULs among other things.
odd = st.lists(
    st.sampled_from(["\ud83d", "\udc00", "\ud83d\ude00", "\0", "é", "cup", " ", "😀"]), min_size=1, max_size=4
).map("".join)
few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


def from_framework(client: Acontext, text: str) -> None:
    run = Runtime(RunOptions(space="s"), client).start(label=text, session_key=text, principal=text)
    call = Part(type="tool-call", meta={"id": text, "name": text, "arguments": json.dumps({text: text})})
    fate = CallFate(call_id=text, status="refused", by=text, name=text, arguments={text: text}, reason=text)
    meta = {text: [text, {text: text}]}
    said = Message(role="user", parts=(Part(type="text", text=text, filename=text),), native=meta, meta=meta)
    run.record(said, Message(role="assistant", parts=(call,)), fates=(fate,), told=True)
    run.tell(fate.model_copy(update={"status": "executed"}))
    run.report("failed", text, by="checks")
    run.end("failed", text)


def from_function(client: Acontext, text: str) -> None:
    @learning(space="s", client=client, session=text, principal=text)
    def work(request: str) -> str:
        run = current_run()
        assert run is not None
        run.record_tool(f"tool {text}", {text: text}, {text: text}, error=True)
        report("success", text)
        return text

    work(text)


def by_hand(client: Acontext, text: str) -> None:
    session = client.sessions.create(key=f"by hand {text}", user=text, configs={text: text})
    for content in (text, [{"type": "text", "text": text}]):
        client.sessions.store_message(session.id, blob={"role": "user", "content": content}, meta={text: text})
    client.sessions.report(session.id, status="success", reason=text)


def from_people(client: Acontext, text: str) -> None:
    space = client.spaces.create(name=f"space {text}", configs={text: text})
    page = client.blocks.create(space.id, block_type="page", title=f"title {text}", props={text: text})
    props = {
        "use_when": f"refund {text}",
        "preferences": text,
        "tool_sops": [{"tool_name": f"t{text}", "action": text}],
    }
    client.blocks.create(space.id, block_type="sop", parent_id=page.id, title=f"refund {text}", props=props)
    client.spaces.experience_search(space.id, query=f"refund {text}")


WAYS = [from_framework, from_function, by_hand, from_people]


def everything(client: Acontext) -> str:
    """All that the client gives, as JSON that no escape stands in."""
    found: list[Any] = []
    for session in client.sessions.list(limit=200).items:
        found += [session.model_dump(), client.sessions.get_tasks(session.id).model_dump()]
        found.append(client.sessions.get_messages(session.id, format="acontext").model_dump())
        found.append([call.model_dump() for call in client.sessions.get_calls(session.id)])
    for space in client.spaces.list(limit=200).items:
        found += [space.model_dump(), [block.model_dump() for block in client.blocks.list(space.id)]]
    return json.dumps(found, ensure_ascii=False)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_came_in_is_given_back_as_valid_text(
    way: Callable[[Acontext, str], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Acontext(f"sqlite:///{tmp_path}/m.db") as client:
        number = 0

        @few
        @given(text=odd)
        def play(text: str) -> None:
            nonlocal number
            number += 1
            way(client, f"{text} {number}")
            assert client.flush(timeout=60)

        play()
        whole = everything(client)
        assert number
        assert f" {number}" in whole
        whole.encode()
        assert not caplog.records, [record.getMessage() for record in caplog.records]


@few
@given(text=odd)
def test_what_is_injected_is_valid_text_whoever_wrote_the_skill(text: str) -> None:
    body = SkillBody(
        use_when=text, preferences=text, tool_sops=(Step(tool_name=text, action=text),), pitfalls=(text,), trace=(text,)
    )
    skill = Skill.model_construct(id="s", body=body)
    said, _ = render([skill], token_budget=400, with_trace=True)
    said.encode()
    assert "\0" not in said


def test_keys_and_users_are_valid_before_they_name_anything(tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path}/m.db") as client:
        from_function(client, "talk \ud83d\0")
        client.flush()
        (session,) = client.sessions.list().items
        assert (session.key, session.principal) == ("talk \ufffd\ufffd",) * 2
        assert client.spaces.create(name="a\0\ud83d").name == "a\ufffd\ufffd"
