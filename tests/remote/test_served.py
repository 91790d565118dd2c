"""A client of ours with a server of ours: everything as embedded, and nothing lost when the server is killed."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the server is not installed here")

from acontext_plugins import Acontext, AsyncAcontext, current_run, learning
from acontext_plugins.errors import InvalidInput, NotFound, StoreUnavailable, Unauthorized
from acontext_plugins.service import Recording, SessionRef
from acontext_plugins.settings import RemoteSettings, Settings
from acontext_store.types import Message, Part
from tests.wire.conftest import free_port, until_healthy

KEY = "sk-ac-your-root-api-bearer-token"


class Server:
    """`acontext serve` on one database and port, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ACONTEXT_")}
        command = [str(Path(sys.executable).parent / "acontext"), "serve", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--url", f"sqlite:///{self.folder}/served.db"],
            cwd=self.folder,
            env={**environment, "ACONTEXT_LEARN__QUIET": "0", "ACONTEXT_OBSERVE__QUIET": "0.05"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        until_healthy(self.process, self.port)

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.communicate(timeout=60)
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server"))
    made.start()
    yield made
    made.stop()


def settings(server: Server, folder: Path, **more: Any) -> Settings:
    remote = RemoteSettings(spool=str(folder / "spool"), retry=0.05, longest_retry=0.2)
    return Settings(**{"url": server.url, "api_key": KEY, "remote": remote, **more})


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Iterator[Acontext]:
    with Acontext(settings=settings(server, tmp_path)) as made:
        yield made


def refund(client: Acontext, space: str, order: str, price: int) -> None:
    @learning(space=space, client=client, strict=True, deadline=5.0)
    def play(request: str) -> str:
        run = current_run()
        assert run is not None
        play.skills = run.recall(request)  # type: ignore[attr-defined]
        run.record_tool("find_order", {"email": f"{order}@example.com"}, {"order_id": order, "price": price})
        run.record_tool("issue_refund", {"order_id": order, "amount": price}, "amount must be an integer", error=True)
        run.record_tool("issue_refund", {"order_id": order, "amount": price * 100}, {"status": "refunded"})
        run.report("success")
        return "done"

    play("My cups arrived broken, please refund them.")
    refund.skills = getattr(play, "skills", "")  # type: ignore[attr-defined]


def test_what_was_learned_through_the_server_is_injected_through_it(client: Acontext) -> None:
    refund(client, "refunds", "A-1", 24)
    refund(client, "refunds", "A-2", 61)
    assert client.flush(60)
    space = client.spaces.get("refunds")
    skills = client.spaces.skills(space.id)
    assert [step.tool_name for step in skills[0].body.tool_sops] == ["find_order", "issue_refund"]
    refund(client, "refunds", "A-3", 12)
    assert "issue_refund" in refund.skills  # type: ignore[attr-defined]
    found = client.spaces.experience_search(space.id, query="refund broken cups")
    assert found.cited_blocks


def test_sessions_messages_and_tasks_read_as_embedded(client: Acontext) -> None:
    session = client.sessions.create(configs={"a": 1})
    blob = {"role": "user", "content": "How warm is it in Oslo?"}
    client.sessions.store_message(session.id, blob=blob)
    client.sessions.store_message(
        session.id, blob={"role": "assistant", "content": [{"type": "text", "text": "21C"}]}, format="anthropic"
    )
    assert client.sessions.get_messages(session.id).items == [blob, {"role": "assistant", "content": "21C"}]
    limited = client.sessions.get_messages(
        session.id, edit_strategies=[{"type": "token_limit", "params": {"limit_tokens": 20}}]
    )
    assert limited.this_time_tokens <= 20
    client.sessions.flush(session.id)
    (task,) = client.sessions.get_tasks(session.id).items
    assert task.data["task_description"].startswith("How warm")
    client.sessions.delete(session.id)
    with pytest.raises(NotFound):
        client.sessions.get_messages(session.id)


def test_trouble_is_the_same_exception_as_embedded(client: Acontext) -> None:
    with pytest.raises(NotFound, match="session"):
        client.sessions.get_tasks("01a20464-dcb8-7dad-8089-12d943aef9f6")
    session = client.sessions.create()
    with pytest.raises(InvalidInput, match="found 'morse'"):
        client.sessions.get_messages(session.id, format="morse")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="token_limit"):
        client.sessions.get_messages(session.id, edit_strategies=[{"type": "shorten"}])


def test_files_pass_through_in_pieces(client: Acontext) -> None:
    disk = client.disks.create()
    big = io.BytesIO(b"row\n" * 500_000)
    made = client.disks.artifacts.upsert(
        disk.id, file=("big.txt", big, "text/plain"), file_path="/logs/", meta={"a": 1}
    )
    assert (made.path, made.filename, made.meta["a"]) == ("/logs/", "big.txt", 1)
    client.disks.artifacts.upsert(disk.id, file=("todo.md", b"# buy milk"), file_path="/")
    found = client.disks.artifacts.get(disk.id, file_path="/", filename="todo.md")
    assert found.content is not None
    assert found.content.raw == "# buy milk"
    listing = client.disks.artifacts.list(disk.id)
    assert ([one.filename for one in listing.artifacts], listing.directories) == (["todo.md"], ["logs"])
    client.disks.artifacts.delete(disk.id, file_path="/", filename="todo.md")
    with pytest.raises(NotFound):
        client.disks.artifacts.get(disk.id, file_path="/", filename="todo.md")


async def test_the_async_client_speaks_to_it_too(server: Server, tmp_path: Path) -> None:
    async with AsyncAcontext(settings=settings(server, tmp_path)) as client:
        assert await client.ping() == "pong"
        session = await client.sessions.create()
        await client.sessions.store_message(session.id, blob={"role": "user", "content": "hi"})
        assert (await client.sessions.get_messages(session.id)).items == [{"role": "user", "content": "hi"}]


def test_a_wrong_key_and_no_key_are_named(server: Server, tmp_path: Path) -> None:
    with Acontext(settings=settings(server, tmp_path, api_key="sk-ac-wrong")) as client, pytest.raises(Unauthorized):
        client.ping()
    with pytest.raises(Unauthorized, match="ACONTEXT_API_KEY"):
        Acontext(settings=settings(server, tmp_path, api_key=None))


def test_a_server_that_is_not_there_is_named_with_the_way_out(tmp_path: Path) -> None:
    nowhere = Server(tmp_path)
    with (
        Acontext(settings=settings(nowhere, tmp_path)) as client,
        pytest.raises(StoreUnavailable, match="acontext serve"),
    ):
        client.ping()


def test_nothing_is_lost_when_the_server_is_killed_in_mid_run(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    with Acontext(settings=settings(server, tmp_path)) as client:
        for number in range(300):
            text = Part(type="text", text=str(number))
            client.connection.record(Recording(SessionRef("thread"), [Message(role="user", parts=(text,))]))
            if number == 100:
                server.stop(signal.SIGKILL)
            if number == 200:
                server.start()
            time.sleep(0.001)
        assert client.flush(60)
        (session,) = client.sessions.list().items
        texts = [item["content"] for item in client.sessions.get_messages(session.id).items]
        assert texts == [str(number) for number in range(300)]
    server.stop()


@pytest.mark.parametrize("away", [False, True])
def test_a_forked_child_sends_or_spools_what_it_recorded_before_it_is_gone(away: bool, tmp_path: Path) -> None:
    server = Server(tmp_path)
    if not away:
        server.start()
    given = settings(server, tmp_path)

    def runs(client: Acontext) -> None:
        @learning(space="s", client=client)
        def run(what: str) -> str:
            return "done"

        run("first")
        run("last")

    with Acontext(settings=given) as before:
        targets = [lambda: runs(before), lambda: runs(Acontext(settings=given))]
        children = [multiprocessing.get_context("fork").Process(target=target) for target in targets]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads
            for child in children:
                child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
        if away:
            server.start()
        assert before.flush(60)
        sessions = before.sessions.list(limit=100).items
        texts = [before.sessions.get_messages(session.id).items[0]["content"] for session in sessions]
        assert sorted(texts) == ["first", "first", "last", "last"]
    server.stop()


def test_a_message_that_is_larger_than_a_request_may_be_arrives_whole(client: Acontext) -> None:
    text = "0123456789abcdef" * (20 * 1024 * 1024 // 16)
    key = "a big one"
    client.connection.record(Recording(SessionRef(key), [Message(role="user", parts=(Part(type="text", text=text),))]))
    client.connection.record(
        Recording(SessionRef(key), [Message(role="user", parts=(Part(type="text", text="next"),))])
    )
    assert client.flush(timeout=120)
    session = next(one for one in client.sessions.list(limit=200).items if one.key == key)
    items = client.sessions.get_messages(session.id).items
    assert [item["content"] for item in items] == [text, "next"]
