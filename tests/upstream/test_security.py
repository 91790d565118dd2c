"""W24 to W30: whose data it is, and who hears of it. docs/compared-with-acontext.md has the table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from acontext_plugins import Acontext
from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.files.service import FileUpload
from tests.confirmation.scripted import Model, worker
from tests.confirmation.test_served import teach, until, with_model
from tests.engine.test_worker import refund
from tests.server.conftest import Server, a_space, data, words
from tests.server.test_routes import a_skill
from tests.wire.conftest import free_port, until_healthy

#: A program that reads a conversation with a picture on the web, and says whom it connected to.
_PICTURE = """
import sys
from acontext_plugins import Acontext
from acontext_plugins.settings import Settings, WorkerSettings

client = Acontext(settings=Settings(url=sys.argv[1], worker=WorkerSettings(enabled=False)))
session = client.sessions.create()
picture = {"type": "image", "source": {"type": "url", "url": "http://169.254.169.254/latest/meta-data"}}
client.sessions.send_message(session.id, blob={"role": "user", "content": [picture]}, format="anthropic")
asked = []
sys.addaudithook(lambda event, args: asked.append(event) if event in ("socket.connect", "socket.getaddrinfo") else None)
for format in ("anthropic", "openai", "gemini", "acontext"):
    assert client.sessions.get_messages(session.id, format=format).items
print(asked)
client.close()
"""


async def test_w24_another_projects_work_is_neither_seen_nor_retried(
    server: Server, ann: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    model = Model(trouble="nonsense")
    await with_model(server, model)
    space_id = await a_space(ann)
    session_id = await teach(ann, space_id)

    async def dead() -> Any:
        return data(await ann.get("/_acontext/jobs", params={"dead": "true"}))

    assert len(await until(dead)) == 1
    model.trouble = None
    assert data(await bob.get("/_acontext/jobs")) == []
    for body in ({"session_id": session_id}, {"space_id": space_id}):
        words(await bob.post("/_acontext/jobs/retry", json=body), 404)
    assert data(await bob.post("/_acontext/jobs/retry")) == {"retried": 0}
    assert data(await ann.post("/_acontext/jobs/retry", json={"space_id": space_id})) == {"retried": 1}
    assert await dead() == []


def test_w27_the_server_fetches_no_picture_for_anybody(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", _PICTURE, f"sqlite:///{tmp_path}/a.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_w28_the_same_bytes_are_kept_once_and_each_file_says_what_it_is(embedded: EmbeddedEngine) -> None:
    engine, run = embedded.engine, embedded.loop.run
    disk = run(engine.create_disk())
    for name, mime in (("a.txt", "text/plain"), ("a.csv", "text/csv")):
        run(engine.upsert_artifact(disk.id, file=FileUpload(name, b"a,b", mime)))
    found = [run(engine.artifact(disk.id, f"/{name}")).artifact for name in ("a.txt", "a.csv")]
    assert [one.mime for one in found] == ["text/plain", "text/csv"]
    assert found[0].sha256 == found[1].sha256
    run(engine.delete_artifact(disk.id, "/a.txt"))
    assert b"".join(run(engine.download_artifact(disk.id, "/a.csv")).read()) == b"a,b"


def test_w29_what_is_said_and_what_is_secret_reaches_no_output(tmp_path: Path) -> None:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACONTEXT_")}
    secrets = {"ACONTEXT_LLM__API_KEY": "Canary-model-key-1", "ACONTEXT_SERVER__API_KEY": "sk-ac-Canary-server-key-2"}
    command = [str(Path(sys.executable).parent / "acontext"), "serve", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--url", f"sqlite:///{tmp_path}/served.db"],
        cwd=tmp_path,
        env={**environment, **secrets, "ACONTEXT_LEARN__QUIET": "0", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until_healthy(process, port)
        headers = {"authorization": "Bearer sk-ac-Canary-server-key-2"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", headers=headers, timeout=60) as client:
            space = client.post("/space", json={}).json()["data"]["id"]
            session = client.post("/session", json={"space_id": space}).json()["data"]["id"]
            for content in ("Please archive the project Canary-apollo-3.", ["Canary-wrong-shape-4"], {"Canary": 5}):
                client.post(f"/session/{session}/messages", json={"blob": {"role": "user", "content": content}})
            assert client.post(f"/session/{session}/flush").json()["data"]["status"] == 200
            client.get(f"/space/{space}/experience_search", params={"query": "Canary-query-6"})
            assert client.get(f"/session/{session}/task").json()["data"]["items"]
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Canary" not in output


def test_w29_work_that_fails_logs_nothing_of_the_conversation(
    embedded: EmbeddedEngine, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(request: object) -> BaseException:
        return ValueError("could not read 'refund my broken cups'")

    doing = worker(embedded, Model(trouble=broken), max_attempts=1)
    embedded.engine.record(refund("ada@example.com", "A-1", "one"))
    embedded.engine.recorder.flush()
    embedded.loop.run(doing.work_once())
    assert doing.failed == 1
    assert "broken cups" not in caplog.text
    assert "broken cups" not in "".join(capfd.readouterr())


async def test_w30_the_answer_of_an_agentic_search_reaches_who_asked(ann: httpx.AsyncClient) -> None:
    space_id = await a_space(ann)
    skill_id = await a_skill(ann, space_id)
    query = {"query": "star a repo on github", "mode": "agentic"}
    found = data(await ann.get(f"/space/{space_id}/experience_search", params=query))
    assert [block["block_id"] for block in found["cited_blocks"]] == [skill_id]
    assert "star a repo" in found["final_answer"]


def test_w30_and_it_is_the_same_without_a_server(tmp_path: Path) -> None:
    with Acontext(f"sqlite:///{tmp_path}/a.db") as client:
        space = client.spaces.create()
        page = client.blocks.create(space.id, block_type="page", title="github")
        props = {"tool_sops": [{"tool_name": "goto", "action": "go to github.com"}]}
        client.blocks.create(space.id, block_type="sop", parent_id=page.id, title="star a repo", props=props)
        found = client.spaces.experience_search(space.id, query="star a repo", mode="agentic")
        assert found.final_answer
        assert len(found.cited_blocks) == 1
