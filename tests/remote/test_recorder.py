"""What is recorded for a server arrives once and in order, whatever the server, the network or this process do."""

from __future__ import annotations

import json
import logging
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from acontext_plugins.errors import Closed, InvalidInput, StoreUnavailable
from acontext_plugins.record.redaction import Redactor
from acontext_plugins.remote.recorder import RemoteRecorder
from acontext_plugins.remote.spool import Spool
from acontext_plugins.service import Recording, SessionRef
from acontext_plugins.settings import RecorderSettings, RemoteSettings
from acontext_store.types import Message, Outcome, Part

KEY = "sk-ac-" + "x" * 40
URL = "http://server/api/v1"


class Server:
    """A server that takes recordings, and can be away in every way there is."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []
        self.requests = 0
        self.trouble: Callable[[httpx.Request], httpx.Response | None] | None = None
        self.lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self.lock:
            self.requests += 1
            if self.trouble is not None:
                refused = self.trouble(request)
                if refused is not None:
                    return refused
            answers = [self._keep(one) for one in json.loads(request.content)["recordings"]]
        return httpx.Response(200, json={"code": 0, "data": {"kept": answers}, "msg": ""})

    def _keep(self, recording: dict[str, Any]) -> dict[str, Any]:
        texts = [part["text"] for message in recording["messages"] for part in message["parts"]]
        if "poison" in texts:
            return {"code": 400, "msg": "it cannot be taken", "error": "invalid_input"}
        known = {message["id"] for one in self.kept for message in one["messages"]}
        recording["messages"] = [message for message in recording["messages"] if message["id"] not in known]
        self.kept.append(recording)
        return {"session_id": "s", "message_ids": [], "new": len(recording["messages"]), "last_seq": 1}

    @property
    def texts(self) -> list[str]:
        return [part["text"] for one in self.kept for message in one["messages"] for part in message["parts"]]


def away(request: httpx.Request) -> httpx.Response | None:
    raise httpx.ConnectError("refused", request=request)


def until(state: Callable[[], bool], seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while not state():
        assert time.monotonic() < ends
        time.sleep(0.005)


def broken(request: httpx.Request) -> httpx.Response | None:
    raise LookupError("unknown encoding: idna")  # as Python says where it cannot import any more


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def recorder(server: Server, tmp_path: Path) -> Any:
    made = make(server, tmp_path)
    yield made
    made.close()


def make(server: Server, folder: Path, **settings: Any) -> RemoteRecorder:
    remote = {"spool": str(folder / "spool"), "retry": 0.02, "longest_retry": 0.1, **settings}
    return RemoteRecorder(
        URL,
        KEY,
        Redactor(),
        timeout=5.0,
        settings=RecorderSettings(close_timeout=2.0, linger=0.001),
        remote=RemoteSettings(**remote),
        transport=httpx.MockTransport(server),
    )


def said(text: str, session: str = "s", **fields: Any) -> Recording:
    return Recording(SessionRef(session), [Message(role="user", parts=(Part(type="text", text=text),), **fields)])


def test_what_is_recorded_arrives_in_batches_and_in_order(recorder: RemoteRecorder, server: Server) -> None:
    for number in range(300):
        recorder.record(said(str(number)))
    assert recorder.flush(10)
    assert server.texts == [str(number) for number in range(300)]
    assert server.requests < 100
    assert recorder.stats.sent == 300


def test_messages_are_made_and_scrubbed_on_the_recorders_thread(recorder: RemoteRecorder, server: Server) -> None:
    threads: list[str] = []
    secret = "sk" + "-proj-" + "aB3dE5fG7hJ9" * 4

    def messages() -> list[Message]:
        threads.append(threading.current_thread().name)
        return [Message(role="user", parts=(Part(type="text", text=f"the key is {secret}"),))]

    configs = {"token": secret}
    recorder.record(Recording(SessionRef(f"thread {secret}", principal=secret, configs=configs), messages))
    recorder.record(Recording(SessionRef("s"), outcomes=(Outcome(status="failed", source="report", reason=secret),)))
    assert recorder.flush(10)
    assert threads == ["acontext-remote"]
    assert secret not in json.dumps(server.kept)
    assert server.kept[0]["session"]["key"].startswith("thread [redacted")


def test_while_the_server_is_away_recordings_wait_on_the_disk_and_arrive_in_order_when_it_is_back(
    recorder: RemoteRecorder, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.record(said("before"))
    assert recorder.flush(10)
    server.trouble = away
    for number in range(50):
        recorder.record(said(str(number)))
    until(lambda: recorder.stats.spooled == 50)
    assert not recorder.flush(0.01)
    assert recorder.pending == 0
    assert caplog.text.count("wait in") == 1
    server.trouble = None
    recorder.record(said("after"))
    assert recorder.flush(10)
    assert server.texts == ["before", *[str(number) for number in range(50)], "after"]


@pytest.mark.parametrize(
    "trouble",
    [
        lambda request: httpx.Response(503, json={"code": 503, "msg": "busy", "error": "store_unavailable"}),
        lambda request: httpx.Response(429, headers={"retry-after": "0"}),
        lambda request: httpx.Response(502, text="<html>bad gateway</html>"),
        lambda request: httpx.Response(500, text="oops"),
        lambda request: httpx.Response(401, json={"code": 401, "msg": "Unauthorized", "error": "unauthorized"}),
        lambda request: httpx.Response(200, text="<html>a portal that wants you to log in</html>"),
        broken,
    ],
    ids=["503", "429", "502", "500", "another key", "a portal", "what nobody expects"],
)
def test_whatever_a_server_that_cannot_take_them_answers_nothing_is_lost(
    recorder: RemoteRecorder, server: Server, trouble: Any
) -> None:
    server.trouble = trouble
    recorder.record(said("one"))
    assert not recorder.flush(0.1)
    server.trouble = None
    assert recorder.flush(10)
    assert server.texts == ["one"]


def test_what_arrived_though_nobody_heard_of_it_is_sent_again_and_kept_once(
    recorder: RemoteRecorder, server: Server
) -> None:
    def deaf(request: httpx.Request) -> httpx.Response | None:
        server.trouble = None
        for one in json.loads(request.content)["recordings"]:
            server._keep(one)
        raise httpx.ReadTimeout("no answer", request=request)

    server.trouble = deaf
    recorder.record(said("one", id="m1"))
    recorder.record(said("two", id="m2"))
    assert recorder.flush(10)
    assert server.texts == ["one", "two"]


def test_what_a_process_left_behind_is_sent_by_the_next_one(server: Server, tmp_path: Path) -> None:
    server.trouble = away
    first = make(server, tmp_path)
    first.record(said("one"))
    first.record(said("two"))
    first.close()
    (spool,) = (tmp_path / "spool").glob("*.db")
    assert stat.S_IMODE(spool.stat().st_mode) == 0o600
    assert KEY not in spool.name
    server.trouble = None
    second = make(server, tmp_path)
    assert second.flush(10)
    assert server.texts == ["one", "two"]
    second.close()


def test_one_that_can_never_be_taken_does_not_hold_up_the_others(
    recorder: RemoteRecorder, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    for text in ("one", "poison", "two"):
        recorder.record(said(text))
    assert recorder.flush(10)
    server.trouble = away
    for text in ("three", "poison", "four"):
        recorder.record(said(text))
    assert not recorder.flush(0.1)
    server.trouble = None
    assert recorder.flush(10)
    assert server.texts == ["one", "two", "three", "four"]
    assert recorder.stats.failed == 2
    assert "it cannot be taken" in caplog.text


def test_a_request_that_is_too_big_is_cut(recorder: RemoteRecorder, server: Server) -> None:
    def small(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(413, json={"code": 413, "msg": "too big"}) if len(request.content) > 2000 else None

    server.trouble = small
    for number in range(40):
        recorder.record(said(str(number)))
    assert recorder.flush(10)
    assert server.texts == [str(number) for number in range(40)]


def test_one_that_is_too_big_for_a_request_goes_as_a_file(recorder: RemoteRecorder, server: Server) -> None:
    def small(request: httpx.Request) -> httpx.Response | None:
        if request.headers["content-type"] == "application/json":
            return httpx.Response(413, json={"code": 413, "msg": "too big"}) if len(request.content) > 2000 else None
        content = request.content.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
        answers = [server._keep(one) for one in json.loads(content)["recordings"]]
        return httpx.Response(200, json={"code": 0, "data": {"kept": answers}, "msg": ""})

    server.trouble = small
    for text in ("one", "two" * 2000, "three"):
        recorder.record(said(text))
    assert recorder.flush(10)
    assert server.texts == ["one", "two" * 2000, "three"]
    assert recorder.stats.failed == 0


def test_keeping_tells_when_the_server_has_it_and_why_not(recorder: RemoteRecorder, server: Server) -> None:
    assert recorder.record_durably(said("one")).result(10).new == 1
    with pytest.raises(InvalidInput, match="it cannot be taken"):
        recorder.record_durably(said("poison")).result(10)
    server.trouble = away
    with pytest.raises(StoreUnavailable):
        recorder.record_durably(said("two")).result(10)
    server.trouble = None
    assert recorder.flush(10)
    assert server.texts == ["one", "two"], "it was spooled all the same"


def test_what_the_spool_has_no_room_for_waits_in_memory(
    recorder: RemoteRecorder, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.trouble = away
    tight = make(server, tmp_path / "tight", spool_bytes=1000)
    for number in range(20):
        tight.record(said(str(number)))
    until(lambda: "is full" in caplog.text and tight.pending == 20 - tight.stats.spooled)
    assert 0 < tight.stats.spooled < 20
    server.trouble = None
    assert tight.flush(10)
    assert server.texts == [str(number) for number in range(20)]
    assert tight.pending == 0
    tight.close()


def test_a_spool_that_cannot_be_written_is_said_and_what_it_could_not_keep_is_counted(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.trouble = away
    (tmp_path / "file").write_text("")
    nowhere = make(server, tmp_path / "file")
    nowhere.record(said("one"))
    until(lambda: "lost if this process ends" in caplog.text)
    server.trouble = None
    assert nowhere.flush(10)
    server.trouble = away
    nowhere.record(said("two"))
    nowhere.close()
    assert server.texts == ["one"]
    assert nowhere.stats.failed == 1


def test_after_closing_nothing_is_taken(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = make(server, tmp_path)
    recorder.close()
    recorder.close()
    recorder.record(said("late"))
    assert recorder.stats.dropped == 1
    with pytest.raises(Closed):
        recorder.record_durably(said("late")).result(1)


def test_two_processes_never_send_the_same_at_once_and_a_dead_ones_lease_runs_out(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    one, two = Spool(path, "one", most=1000, lease=60), Spool(path, "two", most=1000, lease=60)
    one.add([b"a", b"b"])
    two.add([b"c"])
    assert [body for _, body in one.first(2, 1000)] == [b"a", b"b"]
    assert two.first(2, 1000) == []
    assert two.mine()
    one.drop([number for number, _ in one.first(2, 1000)])
    assert not one.mine()
    one.close()
    assert [body for _, body in two.first(2, 1000)] == [b"c"]
    dead = Spool(path, "dead", most=1000, lease=-1)
    two.close()
    assert len(dead.first(2, 1000)) == 1
    assert len(two.first(2, 1000)) == 1, "the lease of the dead one has run out"
    dead.close()
    two.close()


@pytest.mark.parametrize("lost", ["*.db", "*.db-wal", "*.db*"])
def test_a_spool_that_is_deleted_while_it_is_open_takes_nothing_with_it_that_comes_later(
    lost: str, recorder: RemoteRecorder, server: Server, tmp_path: Path
) -> None:
    server.trouble = away
    recorder.record(said("before"))
    assert recorder.put_by(10)
    for file in (tmp_path / "spool").glob(lost):
        file.unlink()
    for number in range(5):
        recorder.record(said(f"after {number}", id=f"m{number}"))
        assert recorder.put_by(10)
    (path,) = (tmp_path / "spool").glob("*.db")
    heir = Spool(path, "another process", most=1000)
    assert len(heir) >= 5
    heir.close()
    server.trouble = None
    assert recorder.flush(10)
    assert [text for text in server.texts if text != "before"] == [f"after {number}" for number in range(5)]


def test_a_process_that_is_killed_leaves_what_it_spooled(server: Server, tmp_path: Path) -> None:
    script = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
from tests.remote.test_recorder import *
server = Server(); server.trouble = away
recorder = make(server, Path({str(tmp_path)!r}))
for number in range(100):
    recorder.record(said(str(number), id=f"m{{number}}"))
until(lambda: recorder.stats.spooled >= 100)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    recorder = make(server, tmp_path)
    # the killed one holds the lease; its time is over at once here
    for spool in (tmp_path / "spool").glob("*.db"):
        other = Spool(spool, "test", most=1)
        other._open().execute("UPDATE lease SET until = 0")
        other.close()
    assert recorder.flush(10)
    assert server.texts == [str(number) for number in range(100)]
    recorder.close()


def test_one_line_a_minute_is_logged_and_not_one_for_each(
    recorder: RemoteRecorder, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "acontext")
    server.trouble = away
    for number in range(20):
        recorder.record(said(str(number)))
        recorder.flush(0.01)
    assert len(caplog.records) == 1
