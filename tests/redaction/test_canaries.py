"""One secret in each place that a conversation has: none of them is found in any file, log line or answer."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from acontext_plugins import Acontext
from acontext_plugins.runs import RunOptions, Runtime
from acontext_plugins.service import RecallQuery, Recording, SessionRef
from acontext_store.types import Message, Outcome, Part

from .corpus import alnum, hexed, jwt


def _key() -> str:
    return "sk" + "-proj-" + alnum(40)


def _planted() -> dict[str, str]:
    places = (
        "user turn,system prompt,answer,tool arguments,nested arguments,tool result,result as JSON,long result,"
        "outcome,report,run label,session key,principal,session configs,message meta,part meta,recall,"
        "stored message,failed tool"
    )
    return {place: _key() for place in places.split(",")} | {"cookie": jwt(), "hex": "gh" + "p_" + hexed(36)}


def test_no_secret_reaches_a_file_a_log_line_or_an_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = _planted()
    with Acontext(f"sqlite:///{tmp_path}/memory.db") as client:
        ref = SessionRef(
            f"thread-{secret['session key']}",
            "support",
            f"user {secret['principal']}",
            f"agent {secret['run label']}",
            configs={"headers": {"authorization": f"Bearer {secret['session configs']}"}, "cookie": secret["cookie"]},
        )
        arguments = {"key": secret["tool arguments"], "deep": [{"auth": {"value": secret["nested arguments"]}}]}
        call = {"id": "call_1", "name": "fetch", "arguments": json.dumps(arguments)}
        messages = [
            _said("system", f"The key is {secret['system prompt']}."),
            _said("user", f"use {secret['user turn']} to fetch it", note=secret["message meta"]),
            Message(role="assistant", parts=(Part(type="tool-call", meta=call),)),
            _answer("call_1", f"token: {secret['tool result']}"),
            Message(role="assistant", parts=(Part(type="tool-call", meta=call | {"id": "call_2"}),)),
            _answer("call_2", json.dumps({"data": {"value": secret["result as JSON"]}, "hash": secret["hex"]})),
            Message(role="assistant", parts=(Part(type="tool-call", meta=call | {"id": "call_3"}),)),
            _answer("call_3", "x " * 200_000 + secret["long result"] + " y" * 10_000),
            Message(role="assistant", parts=(Part(type="tool-call", meta=call | {"id": "call_4"}),)),
            _answer("call_4", f"401 for {secret['failed tool']}", is_error=True),
            Message(
                role="assistant",
                parts=(Part(type="text", text=f"done with {secret['answer']}", meta={"by": secret["part meta"]}),),
            ),
        ]
        client.connection.record(Recording(ref, messages))
        client.connection.record(
            Recording(ref, outcomes=(Outcome(status="failed", source="framework", reason=secret["outcome"]),))
        )
        query = RecallQuery("support", f"fetch with {secret['recall']}", session_key=ref.key, run_id="r")
        client.connection.recall(query).result(10)
        run = Runtime(RunOptions(space="support"), client).start(label="l", session_key="other")
        run.record(_said("user", "what now?"))
        run.report("failed", secret["report"])
        run.record_tool("look", {"authorization": secret["user turn"]}, secret["tool result"], error=True)
        made = client.sessions.create()
        client.sessions.store_message(made.id, blob={"role": "user", "content": secret["stored message"]})
        client.flush()
        for session in client.sessions.list().items:
            answers = session.model_dump_json() + client.sessions.get_messages(session.id).model_dump_json()
            answers += client.sessions.get_tasks(session.id).model_dump_json()
            assert [place for place, value in secret.items() if value in answers] == []
    found = {
        place: file.name
        for file in tmp_path.rglob("*")
        if file.is_file()
        for place, value in secret.items()
        if value.encode() in file.read_bytes()
    }
    assert found == {}
    assert [place for place, value in secret.items() if value in caplog.text] == []


def test_a_session_key_that_is_a_secret_still_tells_its_session_from_others(tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path}/memory.db") as client:
        for key in (one := _key(), two := _key(), one):
            client.connection.record(Recording(SessionRef(key), [_said("user", f"hello {key == two}")]))
        client.flush()
        sessions = client.sessions.list().items
        assert len(sessions) == 2
        counts = [len(client.sessions.get_messages(session.id).items) for session in sessions]
        assert sorted(counts) == [1, 2]
        assert all(one not in str(session) and two not in str(session) for session in sessions)


def _said(role: str, text: str, **meta: str) -> Message:
    return Message.model_validate({"role": role, "parts": [{"type": "text", "text": text}], "meta": meta})


def _answer(call_id: str, text: str, **meta: object) -> Message:
    return Message(role="tool", parts=(Part(type="tool-result", text=text, meta={"tool_call_id": call_id, **meta}),))
