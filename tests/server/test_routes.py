"""The other routes: sessions, spaces, blocks, tools, confirmations, disks, and what our own clients ask."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from acontext_store.types import new_id

from .conftest import Server, a_session, a_space, data, say, words

SOP = {"preferences": "be quick", "tool_sops": [{"tool_name": "goto", "action": "go to github.com"}]}


async def a_skill(client: httpx.AsyncClient, space_id: str, title: str = "star a repo on github") -> str:
    page = data(await client.post(f"/space/{space_id}/block", json={"type": "page", "title": "ops"}), 201)["id"]
    given = {"type": "sop", "parent_id": page, "title": title, "props": SOP}
    return str(data(await client.post(f"/space/{space_id}/block", json=given), 201)["id"])


async def test_ping_and_health(ann: httpx.AsyncClient, server: Server) -> None:
    assert (await ann.get("/ping")).json() == {"code": 0, "msg": "pong"}
    nobody = server.client()
    assert (await nobody.get("http://localhost/health")).json() == {"code": 0, "msg": "ok"}
    assert "401" not in (await nobody.get("http://localhost/openapi.json")).text[:100]


async def test_sessions_are_made_listed_changed_and_deleted(ann: httpx.AsyncClient) -> None:
    space_id = await a_space(ann)
    bare = data(await ann.post("/session"), 201)
    assert (bare["project_id"], bare["space_id"], bare["configs"], bare["disable_task_tracking"]) == (
        "p1",
        None,
        None,
        False,
    )
    inside = await a_session(ann, space_id=space_id, configs={"a": 1}, user="ann@example.com")
    one = data(await ann.get(f"/session/{inside}/configs"))
    assert (one["configs"], one["space_id"], one["user_id"]) == ({"a": 1}, space_id, "ann@example.com")

    async def ids(**query: Any) -> list[str]:
        return [item["id"] for item in data(await ann.get("/session", params=query))["items"]]

    assert await ids() == [bare["id"], inside]
    assert await ids(time_desc="true") == [inside, bare["id"]]
    assert await ids(not_connected="true", space_id=space_id) == [bare["id"]]
    assert await ids(space_id=space_id) == [inside]
    assert await ids(user="ann@example.com") == [inside]
    assert await ids(user="nobody") == []
    first = data(await ann.get("/session", params={"limit": 1}))
    assert first["has_more"]
    second = data(await ann.get("/session", params={"limit": 1, "cursor": first["next_cursor"]}))
    assert "next_cursor" not in second
    assert not second["has_more"]
    data(await ann.put(f"/session/{inside}/configs", json={"configs": {}}))
    assert data(await ann.get(f"/session/{inside}/configs"))["configs"] == {}
    words(await ann.put(f"/session/{inside}/configs", json={"configs": None}), 400)
    data(await ann.post(f"/session/{bare['id']}/connect_to_space", json={"space_id": space_id}))
    assert await ids(space_id=space_id) == [bare["id"], inside]
    assert data(await ann.delete(f"/session/{inside}")) is None
    words(await ann.delete(f"/session/{inside}"), 404)


async def test_sessions_are_filtered_by_configs_as_the_sdk_asks(ann: httpx.AsyncClient) -> None:
    """`filter_by_configs` is the JSON of an object, in the query."""
    mine = [await a_session(ann, configs={"tenant": "a", "agent": {"name": "clerk", "n": n}}) for n in range(3)]
    await a_session(ann, configs={"tenant": "b", "agent": {"name": "clerk"}})
    await a_session(ann)

    async def asked(given: Any, **query: Any) -> Any:
        return data(await ann.get("/session", params={"filter_by_configs": json.dumps(given), **query}))

    page = await asked({"tenant": "a"}, limit=2)
    rest = await asked({"tenant": "a"}, limit=2, cursor=page["next_cursor"])
    assert [item["id"] for item in page["items"] + rest["items"]] == mine
    assert (page["has_more"], rest["has_more"]) == (True, False)
    assert [item["id"] for item in (await asked({"agent": {"n": 1}}))["items"]] == [mine[1]]
    assert (await asked({"tenant": "c"}))["items"] == []
    for nothing in ({}, None):
        assert len((await asked(nothing))["items"]) == 5
    for wrong in ("", "{", "[]", '"tenant"', "7", '{"a": NaN}'):
        said = words(await ann.get("/session", params={"filter_by_configs": wrong}), 400)
        assert said.startswith("filter_by_configs")


async def test_another_project_has_no_part_in_filters_and_ids(ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    chosen = new_id()
    await a_session(ann, configs={"tenant": "a"}, use_uuid=chosen)
    assert data(await bob.get("/session", params={"filter_by_configs": '{"tenant": "a"}'}))["items"] == []
    words(await bob.get(f"/session/{chosen}/configs"), 404)
    assert await a_session(bob, use_uuid=chosen) == chosen
    data(await bob.delete(f"/session/{chosen}"))
    assert data(await ann.get(f"/session/{chosen}/configs"))["configs"] == {"tenant": "a"}


async def test_a_session_gets_the_id_that_the_sdk_chose(ann: httpx.AsyncClient) -> None:
    chosen = new_id()
    assert await a_session(ann, use_uuid=chosen, configs={"a": 1}) == chosen
    assert data(await ann.get(f"/session/{chosen.upper()}/configs"))["id"] == chosen
    for taken in (chosen, chosen.upper()):
        assert chosen in words(await ann.post("/session", json={"use_uuid": taken, "configs": {}}), 409)
    assert data(await ann.get(f"/session/{chosen}/configs"))["configs"] == {"a": 1}
    wrong: list[Any] = ["", "nobody", chosen + "0", "../" + chosen, 7, [chosen], {"id": chosen}]
    for value in wrong:
        assert words(await ann.post("/session", json={"use_uuid": value}), 400).startswith("use_uuid")
    assert await a_session(ann, use_uuid=None) != chosen


async def test_configs_are_patched_name_by_name(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann, configs={"a": 1, "b": 2})
    changed = data(await ann.patch(f"/session/{session_id}/configs", json={"configs": {"b": None, "c": [3]}}))
    assert changed["configs"] == {"a": 1, "c": [3]}
    assert data(await ann.get(f"/session/{session_id}/configs"))["configs"] == {"a": 1, "c": [3]}
    words(await ann.patch(f"/session/{session_id}/configs", json={"configs": [1]}), 400)
    bare = await a_session(ann)
    assert data(await ann.patch(f"/session/{bare}/configs", json={"configs": {"x": 1}}))["configs"] == {"x": 1}


async def test_users_are_those_whose_sessions_there_are(ann: httpx.AsyncClient) -> None:
    assert data(await ann.get("/user/ls")) == {"items": [], "has_more": False}
    await a_session(ann)
    for user in ("cy", "a/b@example.com", "cy"):
        await a_session(ann, user=user)
    page = data(await ann.get("/user/ls", params={"limit": 1}))
    (first,) = page["items"]
    assert (first["identifier"], first["project_id"], page["has_more"]) == ("cy", "p1", True)
    rest = data(await ann.get("/user/ls", params={"limit": 1, "cursor": page["next_cursor"]}))
    assert [user["identifier"] for user in rest["items"]] == ["a/b@example.com"]
    assert not rest["has_more"]
    newest = data(await ann.get("/user/ls", params={"time_desc": "true"}))["items"]
    assert [user["identifier"] for user in newest] == ["a/b@example.com", "cy"]
    counts = data(await ann.get("/user/cy/resources"))["counts"]
    assert counts == {"sessions_count": 2, "spaces_count": 0, "disks_count": 0, "skills_count": 0}
    assert data(await ann.get("/user/a%2Fb%40example.com/resources"))["counts"]["sessions_count"] == 1
    data(await ann.delete("/user/a%2Fb%40example.com"))
    data(await ann.delete("/user/cy"))
    words(await ann.delete("/user/cy"), 404)
    words(await ann.get("/user/cy/resources"), 404)
    assert data(await ann.get("/user/ls"))["items"] == []
    assert len(data(await ann.get("/session"))["items"]) == 1


async def test_a_session_is_observed_and_learning_is_told(ann: httpx.AsyncClient) -> None:
    session_id = await a_session(ann, space_id=await a_space(ann))
    await say(ann, session_id, {"role": "user", "content": "Please archive the project apollo."})
    assert data(await ann.post(f"/session/{session_id}/flush")) == {"status": 200, "errmsg": ""}
    page = data(await ann.get(f"/session/{session_id}/task"))
    (task,) = page["items"]
    assert "apollo" in task["data"]["task_description"]
    assert {"order", "status", "is_planning", "space_digested", "created_at", "updated_at"} <= set(task)
    assert isinstance(task["data"]["progresses"], list)
    status = data(await ann.get(f"/session/{session_id}/get_learning_status"))
    assert {"space_digested_count", "not_space_digested_count"} <= set(status)
    seen = data(await ann.get(f"/session/{session_id}/observing_status"))
    assert (seen["observed"], seen["in_process"], seen["pending"]) == (1, 0, 0)
    assert data(await ann.get(f"/session/{session_id}/token_counts"))["total_tokens"] > 0


async def test_spaces_and_their_search(ann: httpx.AsyncClient) -> None:
    space_id = await a_space(ann, configs={"x": 1})
    assert data(await ann.get(f"/space/{space_id}/configs"))["configs"] == {"x": 1}
    data(await ann.put(f"/space/{space_id}/configs", json={"configs": {"y": 2}}))
    assert [one["configs"] for one in data(await ann.get("/space"))["items"]] == [{"y": 2}]

    async def search(query: str, **more: Any) -> Any:
        return await ann.get(f"/space/{space_id}/experience_search", params={"query": query, **more})

    assert data(await search("star a repo")) == {"cited_blocks": [], "final_answer": None, "fallback": None}
    skill_id = await a_skill(ann, space_id)
    (found,) = data(await search("star the repo acontext on github", mode="fast"))["cited_blocks"]
    assert (found["block_id"], found["type"]) == (skill_id, "sop")
    assert found["props"] == {
        "use_when": "star a repo on github",
        "preferences": "be quick",
        "tool_sops": [{"order": 0, "tool_name": "goto", "action": "go to github.com"}],
    }
    for wrong in ({"limit": 0}, {"limit": 51}, {"mode": "x"}, {"semantic_threshold": 3}, {"max_iterations": 0}):
        words(await search("x", **wrong), 400)
    walked = data(await search("star the repo acontext on github", mode="agentic", max_iterations=3))
    assert [one["block_id"] for one in walked["cited_blocks"]] == [skill_id]
    assert "go to github.com" in walked["final_answer"]
    words(await search(" "), 400)
    words(await ann.get(f"/space/{space_id}/experience_search"), 400)
    pages = data(await ann.get(f"/space/{space_id}/semantic_glob", params={"query": "ops"}))
    assert [(one["type"], one["title"]) for one in pages] == [("page", "ops")]
    skills = data(await ann.get(f"/space/{space_id}/semantic_grep", params={"query": "star a repo on github"}))
    assert [one["block_id"] for one in skills] == [skill_id]
    data(await ann.delete(f"/space/{space_id}"))
    words(await search("x"), 404)


async def test_blocks(ann: httpx.AsyncClient) -> None:
    space_id = await a_space(ann)
    root = f"/space/{space_id}/block"
    assert data(await ann.get(root)) == []
    folder = data(await ann.post(root, json={"type": "folder", "title": "f"}), 201)["id"]
    skill_id = await a_skill(ann, space_id)
    page = data(await ann.get(f"{root}/{skill_id}/properties"))["parent_id"]
    text = data(await ann.post(root, json={"type": "text", "parent_id": page, "props": None}), 201)
    assert text["props"] == {}
    assert [one["type"] for one in data(await ann.get(root))] == ["folder", "page"]
    assert [one["id"] for one in data(await ann.get(root, params={"type": "page"}))] == [page]
    below = data(await ann.get(root, params={"parent_id": page}))
    assert [(one["type"], one["sort"], one["is_archived"]) for one in below] == [
        ("sop", 0, False),
        ("text", 1, False),
    ]
    assert below[0]["props"]["tool_sops"][0]["tool_name"] == "goto"
    tree = data(await ann.get(root, params={"tree": "true"}))
    assert [child["id"] for child in tree[1]["children"]] == [skill_id, text["id"]]
    data(await ann.put(f"{root}/{text['id']}/sort", json={"sort": -5}))
    assert [one["sort"] for one in data(await ann.get(root, params={"parent_id": page}))] == [1, 0]
    data(await ann.put(f"{root}/{page}/move", json={"parent_id": folder}))
    data(await ann.put(f"{root}/{folder}/properties", json={"title": "renamed"}))
    assert data(await ann.get(f"{root}/{folder}/properties"))["title"] == "renamed"
    words(await ann.put(f"{root}/{folder}/properties", json={}), 400)
    words(await ann.put(f"{root}/{folder}/move", json={"parent_id": page}), 400)
    words(await ann.post(root, json={"type": "sop", "title": "x"}), 400)
    words(await ann.post(root, json={"type": "book", "title": "x"}), 400)
    data(await ann.put(f"{root}/{page}/move", json={}))
    assert data(await ann.get(f"{root}/{page}/properties"))["parent_id"] is None
    data(await ann.delete(f"{root}/{page}"))
    words(await ann.get(f"{root}/{skill_id}/properties"), 404)


async def test_tools_are_counted_and_renamed(ann: httpx.AsyncClient) -> None:
    assert data(await ann.get("/tool/name")) == []
    await a_skill(ann, await a_space(ann))
    assert data(await ann.get("/tool/name")) == [{"name": "goto", "sop_count": 1}]
    renamed = {"rename": [{"old_name": "goto", "new_name": "open"}]}
    assert data(await ann.put("/tool/name", json=renamed)) == {"status": 200, "errmsg": "", "changed": 1}
    assert data(await ann.get("/tool/name")) == [{"name": "open", "sop_count": 1}]
    words(await ann.put("/tool/name", json={"rename": []}), 400)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_experiences_wait_for_a_person(ann: httpx.AsyncClient, server: Server, method: str) -> None:
    space_id = await a_space(ann)
    kept, dropped = await a_skill(ann, space_id), await a_skill(ann, space_id, "fork a repo")
    engine = server.projects.opened("p1")
    assert engine is not None
    for skill_id in (kept, dropped):
        await engine.store.set_skill_status(skill_id, "pending_confirmation")
    path = f"/space/{space_id}/experience_confirmations"
    page = data(await ann.get(path, params={"limit": 1}))
    (item,) = page["items"]
    assert page["has_more"]
    assert item["experience_data"]["type"] == "sop"
    assert item["experience_data"]["data"] == {"use_when": "star a repo on github", **SOP}
    assert data(await ann.request(method, f"{path}/{kept}", json={"save": True})) == item
    assert data(await ann.request(method, f"{path}/{dropped}", json={"save": False})) is None
    assert data(await ann.get(path))["items"] == []
    words(await ann.request(method, f"{path}/{dropped}", json={"save": False}), 404)
    words(await ann.request(method, f"{path}/{kept}", json={}), 400)
    statuses = {one["id"]: one["status"] for one in data(await ann.get(f"/_acontext/space/{space_id}/skills"))}
    assert statuses == {kept: "active", dropped: "retired"}


async def test_disks_and_artifacts(ann: httpx.AsyncClient, server: Server) -> None:
    disk = data(await ann.post("/disk"), 201)
    assert [one["id"] for one in data(await ann.get("/disk"))["items"]] == [disk["id"]]
    path = f"/disk/{disk['id']}/artifact"
    todo = b"# Sprint Plan\n\n- one"
    made = data(
        await ann.post(path, files={"file": ("todo.md", todo)}, data={"file_path": "/todo/", "meta": '{"a": 1}'}), 201
    )
    assert (made["path"], made["filename"], made["meta"]["a"]) == ("/todo/", "todo.md", 1)
    assert made["meta"]["__artifact_info__"]["size"] == len(todo)
    got = data(await ann.get(path, params={"file_path": "/todo/todo.md"}))
    assert got["content"] == {"type": "text", "raw": todo.decode()}
    plain = await server.client().get(got["public_url"])
    assert (plain.status_code, plain.content) == (200, todo)
    some = await server.client().get(got["public_url"], headers={"range": "bytes=2-7"})
    assert (some.status_code, some.content, some.headers["content-range"]) == (206, b"Sprint", "bytes 2-7/20")
    words(await server.client().get(got["public_url"], headers={"range": "bytes=99-"}), 416)
    words(await server.client().get(got["public_url"] + "0"), 401)
    words(await server.client().get("/download"), 401)
    none = data(
        await ann.get(path, params={"file_path": "/todo/todo.md", "with_public_url": "false", "with_content": "false"})
    )
    assert set(none) == {"artifact"}
    changed = data(await ann.put(path, json={"file_path": "/todo/todo.md", "meta": '{"b": 2}'}))["artifact"]
    assert set(changed["meta"]) == {"b", "__artifact_info__"}
    assert data(await ann.get(f"{path}/ls"))["directories"] == ["todo"]
    assert [one["filename"] for one in data(await ann.get(f"{path}/ls", params={"path": "/todo/"}))["artifacts"]]
    assert len(data(await ann.get(f"{path}/grep", params={"query": "Sprint"}))) == 1
    assert len(data(await ann.get(f"{path}/glob", params={"query": "**/*.md"}))) == 1
    direct = await ann.get(f"{path}/download", params={"file_path": "/todo/todo.md"})
    assert direct.content == todo
    for wrong in ({"file_path": "/../x"}, {"meta": "[]"}, {"meta": "{"}, {"meta": '{"__artifact_info__": 1}'}):
        words(await ann.post(path, files={"file": ("x.md", b"x")}, data=wrong), 400)
    words(await ann.post(path, data={"file_path": "/"}), 400)
    words(await ann.get(f"{path}/ls", params={"path": "todo"}), 400)
    assert data(await ann.delete(path, params={"file_path": "/todo/todo.md"})) is None
    words(await ann.get(path, params={"file_path": "/todo/todo.md"}), 404)
    data(await ann.delete(f"/disk/{disk['id']}"))
    words(await ann.get(f"{path}/ls"), 404)


async def test_recordings_in_batches_are_kept_once_and_each_answered(ann: httpx.AsyncClient) -> None:
    assert data(await ann.get("/_acontext/whoami")) == {"project": "p1"}

    def recording(key: str, *texts: str, **more: Any) -> dict[str, Any]:
        said = [{"id": f"{key}-{text}", "role": "user", "parts": [{"type": "text", "text": text}]} for text in texts]
        return {"session": {"key": key, "space": "ops", **more}, "messages": said}

    outcome = {"id": "o1", "status": "success", "source": "report"}
    batch = [recording("t1", "a", "b"), recording("t1", "c"), {**recording("t2", "d"), "outcomes": [outcome]}]
    for new in (2, 0):
        kept = data(await ann.post("/_acontext/record", json={"recordings": batch}))["kept"]
        assert [one["new"] for one in kept] == ([2, 1, 1] if new else [0, 0, 0])
    assert data(await ann.post("/_acontext/flush")) == {"done": True}  # from here on nothing changes by itself
    session_id = kept[0]["session_id"]
    page = data(await ann.get(f"/_acontext/session/{session_id}/messages"))
    assert [(one["seq"], one["id"]) for one in page["items"]] == [(1, "t1-a"), (2, "t1-b"), (3, "t1-c")]
    one = data(await ann.get(f"/_acontext/session/{session_id}/messages/t1-b"))
    assert one == page["items"][1]
    bad = recording("t3", "x", space=new_id())
    kept = data(await ann.post("/_acontext/record", json={"recordings": [bad, recording("t1", "e")]}))["kept"]
    assert (kept[0]["code"], kept[0]["error"], kept[0]["kind"]) == (404, "not_found", "space")
    assert kept[1]["new"] == 1
    assert data(await ann.post("/_acontext/flush", json={"timeout": 20})) == {"done": True}


async def test_our_own_clients_lose_nothing(ann: httpx.AsyncClient) -> None:
    made = data(await ann.put("/_acontext/space", json={"name": "ops", "create": True}))
    assert data(await ann.put("/_acontext/space", json={"name": "ops"}))["id"] == made["id"]
    words(await ann.put("/_acontext/space", json={"name": "other"}), 404)
    skill_id = await a_skill(ann, made["id"])
    recalled = data(await ann.post("/_acontext/recall", json={"space": "ops", "text": "star a repo on github"}))
    assert [skill["id"] for skill in recalled["skills"]] == [skill_id]
    assert "goto" in recalled["text"]
    assert len(recalled["scores"]) == 1
    asked = {"space": "ops", "text": "star a repo on github", "tools": ["other"]}
    assert data(await ann.post("/_acontext/recall", json=asked)) == {
        "text": "",
        "skills": [],
        "scores": [],
        "blocks": [],
    }
    versions = data(await ann.get(f"/_acontext/skill/{skill_id}/versions"))
    assert [one["version"] for one in versions] == [1]
    session_id = await a_session(ann, key="thread 7", principal="ann")
    whole = data(await ann.get(f"/_acontext/session/{session_id}"))
    assert (whole["key"], whole["principal"]) == ("thread 7", "ann")
    native = {"role": "user", "content": "x", "odd": [1, None]}
    message = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "x"}], "native": native, "run_id": "r"}
    added = {"messages": [message], "outcomes": [{"status": "failed", "source": "user", "reason": "no"}]}
    done = data(await ann.post(f"/_acontext/session/{session_id}/messages", json=added), 201)
    assert (done["new"], done["message_ids"], done["last_seq"]) == (1, ["m1"], 1)
    (kept,) = data(await ann.get(f"/_acontext/session/{session_id}/messages"))["items"]
    assert {name: kept[name] for name in message} == json.loads(json.dumps(message)) | {"parts": kept["parts"]}


async def test_what_is_not_there_says_so_in_the_envelope(ann: httpx.AsyncClient, server: Server) -> None:
    words(await ann.get("/nothing"), 404)
    words(await server.client().get("http://localhost/nothing"), 404)
    answer = await ann.put("/session")
    words(answer, 405)
    assert "GET" in answer.headers["allow"]
