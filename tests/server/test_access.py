"""Who may come in, and that nobody sees what is another's, on any route."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from acontext_plugins.cli.main import cli
from acontext_plugins.errors import InvalidInput
from acontext_plugins.server.auth import WELL_KNOWN, hash_key, make_key
from acontext_plugins.server.run import bound, check_binding, reachable
from acontext_plugins.settings import ServerSettings, Settings, is_loopback
from acontext_store.open import open_keys, open_secret
from acontext_store.types import new_id

from .conftest import Server, a_session, a_space, data, say, words

# ------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer sk-x", "Bearer " + "x" * 5000])
async def test_without_a_key_of_ours_nothing_opens(server: Server, header: str | None) -> None:
    nobody = server.client()
    headers = {} if header is None else {"authorization": header}
    for path in ("/ping", "/session", "/_acontext/whoami", "/nothing"):
        answer = await nobody.get(path, headers=headers)
        assert "key" in words(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_key_opens_its_project_until_it_is_revoked(server: Server) -> None:
    text, kept = make_key("p1", server.secret, name="laptop")
    server.keys.add(kept)
    client = server.client(key=text)
    assert data(await client.get("/_acontext/whoami")) == {"project": "p1"}
    server.keys.revoke(kept.id)
    assert "revoked" in words(await client.get("/_acontext/whoami"), 401)


def test_keys_are_random_and_only_their_keyed_hash_is_kept() -> None:
    first, kept = make_key("p1", b"secret")
    second, _ = make_key("p1", b"secret")
    assert first != second
    assert len(first) > 40
    assert first not in kept.model_dump_json()
    assert kept.hash != hash_key(first, b"another secret")


async def test_the_well_known_key_is_for_this_machine_only(server: Server) -> None:
    for host in ("localhost", "127.0.0.1", "[::1]", "127.0.0.1:8029"):
        assert data(await server.client(key=WELL_KNOWN, host=host).get("/_acontext/whoami")) == {"project": "default"}
    for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.7:8029", "localhost.evil.example"):
        assert "own" in words(await server.client(key=WELL_KNOWN, host=host).get("/ping"), 401)
    own = server.client("p1", host="evil.example")
    assert (await own.get("/ping")).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST.", "a.localhost"])
def test_this_machine_has_many_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "", "127.1.x"])
def test_others_are_not_it(host: str) -> None:
    assert not is_loopback(host)


# ---------------------------------------------------------------------------------------------- where to listen


def settings_of(tmp_path: Path, **server: Any) -> Settings:
    return Settings(url=f"sqlite:///{tmp_path}/a.db", server=ServerSettings(**server))


def test_others_are_let_in_only_with_keys_of_your_own(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, host="0.0.0.0")
    keys = open_keys(settings.store_url)
    with pytest.raises(InvalidInput, match="acontext keys create --project default"):
        check_binding(settings, keys)
    text, kept = make_key("p1", open_secret(settings.store_url))
    keys.add(kept)
    check_binding(settings, keys)
    keys.revoke(kept.id)
    with pytest.raises(InvalidInput):
        check_binding(settings, keys)
    check_binding(settings_of(tmp_path, host="0.0.0.0", api_key=text), keys)
    for bad in (WELL_KNOWN, "short"):
        with pytest.raises(InvalidInput, match="api_key"):
            check_binding(settings_of(tmp_path, api_key=bad), keys)


def test_a_port_that_is_taken_and_an_address_that_is_not_there_are_named(tmp_path: Path) -> None:
    with bound("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(Exception, match=f"port {port}.*--port"):
            bound("127.0.0.1", port)
        assert reachable(settings_of(tmp_path), listener).public_url == f"http://localhost:{port}/api/v1"
        own = settings_of(tmp_path).model_copy(update={"public_url": "https://example.org"})
        assert reachable(own, listener) is own
    with pytest.raises(InvalidInput, match="no such address"):
        bound("no such host", 1)


def test_keys_are_made_listed_and_revoked_at_the_command_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["keys", *arguments, "--url", url], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    key = run("create", "--project", "p1", "--name", "laptop").strip()
    assert key.startswith("sk-ac-")
    found = open_keys(url).find(hash_key(key, open_secret(url)))
    assert found is not None
    assert (found.project_id, found.name) == ("p1", "laptop")
    made = json.loads(run("create", "--project", "p2", "--json"))
    assert made["project_id"] == "p2"
    listed = [json.loads(line) for line in run("list", "--json").splitlines()]
    assert [one["project_id"] for one in listed] == ["p1", "p2"]
    assert all("hash" not in one and "key" not in one for one in listed)
    assert key not in run("list")
    run("revoke", found.id)
    assert "revoked" in run("list", "--project", "p1")
    refused = CliRunner().invoke(cli, ["keys", "create", "--project", "no/project", "--url", url])
    assert isinstance(refused.exception, InvalidInput)


# --------------------------------------------------------------------------------------- what is another's


async def household(client: httpx.AsyncClient) -> dict[str, str]:
    """Something of everything, by the names that the routes give to ids."""
    space_id = await a_space(client, name="secret space")
    page = data(await client.post(f"/space/{space_id}/block", json={"type": "page", "title": "secret page"}), 201)
    props = {"preferences": "secret", "tool_sops": [{"tool_name": "secret_tool", "action": "secret action"}]}
    given = {"type": "sop", "parent_id": page["id"], "title": "secret skill", "props": props}
    skill = data(await client.post(f"/space/{space_id}/block", json=given), 201)
    whose = {"key": "secret key", "user": "secret user", "configs": {"secret": 1}}
    session_id = await a_session(client, space_id=space_id, **whose)
    message = await say(client, session_id, {"role": "user", "content": "secret words"})
    disk = data(await client.post("/disk"), 201)
    file = {"file": ("secret.md", b"secret file")}
    data(await client.post(f"/disk/{disk['id']}/artifact", files=file, data={"file_path": "/"}), 201)
    assert data(await client.post("/_acontext/flush")) == {"done": True}  # from here on nothing changes by itself
    return {
        "space_id": space_id,
        "session_id": session_id,
        "block_id": skill["id"],
        "skill_id": skill["id"],
        "experience_id": skill["id"],
        "message_id": message["id"],
        "disk_id": disk["id"],
        "identifier": "secret user",
    }


#: What a route needs besides ids, so that a request is refused for whose the ids are, and for nothing else.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PUT", "/session/{session_id}/configs"): {"json": {"configs": {}}},
    ("PATCH", "/session/{session_id}/configs"): {"json": {"configs": {"x": 1}}},
    ("POST", "/session/{session_id}/connect_to_space"): {"json": {"space_id": "{space_id}"}},
    ("POST", "/session/{session_id}/messages"): {"json": {"blob": {"role": "user", "content": "x"}}},
    ("PATCH", "/session/{session_id}/messages/{message_id}/meta"): {"json": {"meta": {"x": 1}}},
    ("PUT", "/space/{space_id}/configs"): {"json": {"configs": {}}},
    ("GET", "/space/{space_id}/experience_search"): {"params": {"query": "secret"}},
    ("GET", "/space/{space_id}/semantic_glob"): {"params": {"query": "secret"}},
    ("GET", "/space/{space_id}/semantic_grep"): {"params": {"query": "secret"}},
    ("PUT", "/space/{space_id}/experience_confirmations/{experience_id}"): {"json": {"save": True}},
    ("PATCH", "/space/{space_id}/experience_confirmations/{experience_id}"): {"json": {"save": False}},
    ("POST", "/space/{space_id}/block"): {"json": {"type": "page", "title": "x"}},
    ("PUT", "/space/{space_id}/block/{block_id}/properties"): {"json": {"title": "x"}},
    ("PUT", "/space/{space_id}/block/{block_id}/move"): {"json": {"sort": 0}},
    ("PUT", "/space/{space_id}/block/{block_id}/sort"): {"json": {"sort": 0}},
    ("POST", "/disk/{disk_id}/artifact"): {"files": {"file": ("x.md", b"x")}},
    ("GET", "/disk/{disk_id}/artifact"): {"params": {"file_path": "/secret.md"}},
    ("PUT", "/disk/{disk_id}/artifact"): {"json": {"file_path": "/secret.md", "meta": "{}"}},
    ("DELETE", "/disk/{disk_id}/artifact"): {"params": {"file_path": "/secret.md"}},
    ("GET", "/disk/{disk_id}/artifact/grep"): {"params": {"query": "secret"}},
    ("GET", "/disk/{disk_id}/artifact/glob"): {"params": {"query": "*"}},
    ("GET", "/disk/{disk_id}/artifact/download"): {"params": {"file_path": "/secret.md"}},
    ("POST", "/_acontext/session/{session_id}/messages"): {"json": {}},
    ("POST", "/_acontext/session/{session_id}/asset_urls"): {"json": {"assets": []}},
}


def routes_with_ids(server: Server) -> list[tuple[str, str]]:
    """Every method and path that names something."""
    schema = server.app.openapi()
    return [
        (method.upper(), path.removeprefix("/api/v1"))
        for path, methods in schema["paths"].items()
        for method in methods
        if "{" in path
    ]


def filled(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**ids) if value.startswith("{") and value.endswith("_id}") else value
    if isinstance(value, dict):
        return {key: filled(item, ids) for key, item in value.items()}
    return value


async def everything(client: httpx.AsyncClient, ids: dict[str, str]) -> list[Any]:
    paths = [
        "/session",
        "/space",
        "/disk",
        "/tool/name",
        f"/session/{ids['session_id']}/messages?format=acontext",
        f"/space/{ids['space_id']}/block?tree=true",
        f"/_acontext/skill/{ids['skill_id']}/versions",
        f"/disk/{ids['disk_id']}/artifact/ls",
    ]
    return [data(await client.get(path)) for path in paths]


@pytest.mark.slow
async def test_no_route_shows_or_changes_what_is_anothers(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, server: Server
) -> None:
    ids = await household(ann)
    before = await everything(ann, ids)
    asked = routes_with_ids(server)
    assert len(asked) > 40
    for method, path in asked:
        options = filled(BODIES.get((method, path), {}), ids)
        answer = await bob.request(method, path.format(**ids), **options)
        assert answer.status_code == 404, (method, path, answer.text)
        said = words(answer, 404)
        assert "secret" not in said.replace("secret.md", "").replace("secret user", ""), (method, path, said)
        missing = {name: new_id() for name in ids}
        own = await bob.request(method, path.format(**missing), **filled(BODIES.get((method, path), {}), missing))
        assert own.status_code == 404, (method, path)
        # nothing in the answer tells whether the thing is there at all
        assert _without(said, ids) == _without(own.json()["msg"], missing)
    assert await everything(ann, ids) == before


def _without(said: str, ids: dict[str, str]) -> str:
    for id in ids.values():
        said = said.replace(id, "ID")
    return said


async def test_lists_and_searches_show_nothing_of_anothers(ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    ids = await household(ann)
    cursor = data(await ann.get("/session", params={"limit": 1}))
    await a_session(ann)
    cursor = data(await ann.get("/session", params={"limit": 1}))["next_cursor"]
    for path in ("/session", "/space", "/disk", "/user/ls"):
        assert data(await bob.get(path))["items"] == []
        assert data(await bob.get(path, params={"cursor": cursor}))["items"] == []
    assert data(await bob.get("/session", params={"space_id": ids["space_id"]}))["items"] == []
    assert data(await bob.get("/tool/name")) == []
    words(await bob.post("/session", json={"space_id": ids["space_id"]}), 404)
    asked = {"space": ids["space_id"], "text": "secret skill"}
    assert data(await bob.post("/_acontext/recall", json=asked))["skills"] == []
    words(await bob.put("/_acontext/space", json={"name": "secret space"}), 404)
    taken = {"rename": [{"old_name": "secret_tool", "new_name": "taken"}]}
    data(await bob.put("/tool/name", json=taken))
    assert data(await ann.get("/tool/name")) == [{"name": "secret_tool", "sop_count": 1}]
    recording = {"session": {"key": "secret key", "space": ids["space_id"]}, "messages": []}
    (kept,) = data(await bob.post("/_acontext/record", json={"recordings": [recording]}))["kept"]
    assert kept["error"] == "not_found"


async def test_a_link_is_for_one_file_and_cannot_be_bent(ann: httpx.AsyncClient, server: Server) -> None:
    ids = await household(ann)
    path = f"/disk/{ids['disk_id']}/artifact"
    url = httpx.URL(data(await ann.get(path, params={"file_path": "/secret.md"}))["public_url"])
    anybody = server.client()
    assert (await anybody.get(url)).content == b"secret file"
    for name, value in (("project", "p2"), ("path", "/other.md"), ("expires", "9999999999"), ("signature", "0" * 64)):
        words(await anybody.get(url.copy_set_param(name, value)), 401)
    data(await ann.delete(path, params={"file_path": "/secret.md"}))
    words(await anybody.get(url), 404)


async def test_every_route_but_two_asks_for_a_key(server: Server) -> None:
    schema = server.app.openapi()
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            open_to_all = path in ("/health", "/api/v1/download")
            assert ("security" in operation) is not open_to_all, path
