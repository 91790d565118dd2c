"""Outages, dead letters and confirmations over HTTP: a server whose model is away, or answers nonsense."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from acontext_store.types import Json
from tests.server.conftest import Server, a_session, a_space, data, words

from .scripted import NONSENSE, OUTAGES, Asking, Model


async def until(state: Callable[[], Awaitable[Any]]) -> Any:
    """What `state` returns as soon as that is true."""
    async with asyncio.timeout(60):
        while not (found := await state()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found


async def with_model(server: Server, model: Model) -> None:
    """The server's own worker asks that model from now on."""
    engine = await server.projects.service("p1")
    engine.worker._observer = engine.worker._learner = Asking(model.llm)


def lesson(number: int) -> list[Json]:
    order = f"A-{number}"

    def call(id: str, name: str, arguments: Json, result: Json) -> list[Json]:
        function = {"name": name, "arguments": json.dumps(arguments)}
        return [
            {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": id, "content": json.dumps(result)},
        ]

    return [
        {"role": "user", "content": f"I am ann{number}@example.com, please refund my broken cups of order {order}."},
        *call("c1", "find_order", {"order_id": order}, {"price": "24.50"}),
        *call("c2", "issue_refund", {"order_id": order, "amount": "24.50"}, {"error": "amount must be an integer"}),
        *call("c3", "issue_refund", {"order_id": order, "amount": 2450}, {"status": "ok"}),
    ]


async def teach(client: httpx.AsyncClient, space_id: str, number: int = 1) -> str:
    session_id = await a_session(client, space_id=space_id)
    for blob in lesson(number):
        data(await client.post(f"/session/{session_id}/messages", json={"blob": blob}), 201)
    outcome = {"status": "success", "source": "report"}
    data(await client.post(f"/_acontext/session/{session_id}/messages", json={"outcomes": [outcome]}), 201)
    return session_id


async def status(client: httpx.AsyncClient, session_id: str) -> Json:
    found: Json = data(await client.get(f"/session/{session_id}/get_learning_status"))
    return found


async def is_digested(client: httpx.AsyncClient, session_id: str) -> bool:
    return bool((await status(client, session_id))["space_digested_count"])


@pytest.mark.parametrize("trouble", OUTAGES.values(), ids=OUTAGES.keys())
async def test_an_outage_is_told_and_goes_by(ann: httpx.AsyncClient, server: Server, trouble: Any) -> None:
    model = Model(trouble=trouble)
    space_id = await a_space(ann)
    await with_model(server, model)
    session_id = await teach(ann, space_id)

    async def failing() -> Any:
        jobs = data(await ann.get("/_acontext/jobs", params={"session_id": session_id}))
        return [job for job in jobs if job["outages"] > 1]

    (job,) = await until(failing)
    assert (job["kind"], job["attempts"], job["space_id"]) == ("observe", 0, space_id)
    assert job["status"] in ("failing", "running")
    assert data(await ann.get("/_acontext/jobs", params={"dead": "true"})) == []
    assert "is tried again" in (await status(ann, session_id))["errmsg"]
    flushed = data(await ann.post(f"/session/{session_id}/flush"))
    assert (flushed["status"], flushed["errmsg"]) == (500, job["reason"])
    model.trouble = None
    await until(lambda: is_digested(ann, session_id))
    assert (await status(ann, session_id))["errmsg"] == ""


async def test_what_failed_for_good_is_listed_and_retried(ann: httpx.AsyncClient, server: Server) -> None:
    model = Model(trouble=NONSENSE["no JSON"])
    space_id = await a_space(ann)
    await with_model(server, model)
    session_id = await teach(ann, space_id)

    async def dead() -> Any:
        return data(await ann.get("/_acontext/jobs", params={"dead": "true"}))

    (job,) = await until(dead)
    assert (job["status"], job["attempts"], job["session_id"]) == ("dead", 8, session_id)
    assert "gave no answer that can be taken" in job["reason"]
    assert "has failed for good" in (await status(ann, session_id))["errmsg"]
    assert data(await ann.get(f"/session/{session_id}/observing_status"))["failed"] == 7
    model.trouble = None
    assert data(await ann.post("/_acontext/jobs/retry", json={"session_id": session_id})) == {"retried": 1}
    await until(lambda: is_digested(ann, session_id))
    assert await dead() == []


async def test_what_waits_is_changed_and_confirmed(ann: httpx.AsyncClient, server: Server) -> None:
    space_id = await a_space(ann, configs={"confirm": True})
    session_id = await teach(ann, space_id)

    async def waits() -> bool:
        return bool((await status(ann, session_id))["waiting_count"])

    await until(waits)
    found = await status(ann, session_id)
    assert (found["space_digested_count"], found["not_space_digested_count"]) == (0, 0)
    path = f"/space/{space_id}/experience_confirmations"
    (item,) = data(await ann.get(path))["items"]
    search = {"query": "refund my broken lamp"}
    assert data(await ann.get(f"/space/{space_id}/experience_search", params=search))["cited_blocks"] == []
    for mode in ("fast", "agentic"):
        answer = data(await ann.get(f"/space/{space_id}/experience_search", params={**search, "mode": mode}))
        assert answer["cited_blocks"] == []
    assert data(await ann.get(f"/space/{space_id}/semantic_grep", params=search)) == []
    wrong = {"save": True, "experience_data": {"type": "sop", "data": {"steps": []}}}
    assert "known are" in words(await ann.put(f"{path}/{item['id']}", json=wrong), 400)
    changed = {"type": "sop", "data": {**item["experience_data"]["data"], "preferences": "ask before money moves"}}
    kept = data(await ann.put(f"{path}/{item['id']}", json={"save": True, "experience_data": changed}))
    assert kept["experience_data"]["data"]["preferences"] == "ask before money moves"
    assert await is_digested(ann, session_id)
    (block,) = data(await ann.get(f"/space/{space_id}/experience_search", params=search))["cited_blocks"]
    assert block["props"]["preferences"] == "ask before money moves"


async def test_the_switch_of_a_space_is_true_or_false(ann: httpx.AsyncClient) -> None:
    assert "configs.confirm" in words(await ann.post("/space", json={"configs": {"confirm": "yes"}}), 400)
    space_id = await a_space(ann)
    for value in (True, False, None):
        data(await ann.put(f"/space/{space_id}/configs", json={"configs": {"confirm": value}}))
    words(await ann.put(f"/space/{space_id}/configs", json={"configs": {"confirm": 1}}), 400)
