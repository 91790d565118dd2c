"""Links: what a plain GET gets, and what it does not."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from acontext_plugins import Acontext, FileUpload, Settings
from acontext_plugins.errors import Closed, InvalidInput, StoreUnavailable
from acontext_plugins.files import download_server
from acontext_plugins.files.service import Download

DATA = bytes(range(256)) * 10


def link(client: Acontext, disk_id: str, filename: str = "a.bin", **options: int) -> str:
    found = client.artifacts.get(disk_id, file_path="/", filename=filename, with_public_url=True, **options)  # type: ignore[arg-type]
    assert found.public_url is not None
    return found.public_url


@pytest.fixture
def url(client: Acontext, disk_id: str) -> str:
    client.artifacts.upsert(disk_id, file=("a.bin", DATA, "image/png"))
    return link(client, disk_id)


def test_a_link_gives_the_file_to_be_saved_and_never_shown(client: Acontext, disk_id: str) -> None:
    client.artifacts.upsert(disk_id, file=("naïve 'x'.html", b"<script>", "text/html\r\nX: y"))
    answer = httpx.get(link(client, disk_id, "naïve 'x'.html"))
    assert answer.content == b"<script>"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''na%C3%AFve%20%27x%27.html"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_head_and_ranges_are_answered(url: str) -> None:
    head = httpx.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "2560")
    assert head.headers["content-type"] == "image/png"
    part = httpx.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, DATA[10:20])
    assert part.headers["content-range"] == "bytes 10-19/2560"
    assert httpx.get(url, headers={"Range": "bytes=2550-"}).content == DATA[2550:]
    assert httpx.get(url, headers={"Range": "bytes=-5"}).content == DATA[-5:]
    beyond = httpx.get(url, headers={"Range": "bytes=2560-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */2560")


def test_an_empty_file_is_given_too(client: Acontext, disk_id: str) -> None:
    client.artifacts.upsert(disk_id, file=("a.bin", b""))
    assert httpx.get(link(client, disk_id)).status_code == 200


def test_a_link_follows_its_file_and_ends_with_it(client: Acontext, disk_id: str, url: str) -> None:
    client.artifacts.upsert(disk_id, file=("a.bin", b"newer"))
    assert httpx.get(url).content == b"newer"
    client.artifacts.delete(disk_id, file_path="/", filename="a.bin")
    assert httpx.get(url).status_code == 404


def test_what_was_not_signed_is_refused(client: Acontext, disk_id: str, url: str) -> None:
    client.artifacts.upsert(disk_id, file=("b.bin", b"other"))
    base = url.partition("?")[0]
    for wrong in (
        base,
        url.replace("a.bin", "b.bin"),
        url.replace("expires=", "expires=9"),
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url.partition("&signature")[0],
    ):
        assert httpx.get(wrong).status_code == 401, wrong
    root = base.removesuffix("/download")
    assert {httpx.get(root + path).status_code for path in ("/", "/a.bin", "/../../etc/passwd", "/download/")} == {404}
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert httpx.request(method, url).status_code == 501


def test_a_link_ends_with_its_time(client: Acontext, disk_id: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short = link(client, disk_id, expire=60)
    assert httpx.get(short).status_code == 200
    monkeypatch.setattr("acontext_plugins.files.signed_urls.time.time", lambda: 4_000_000_000.0)
    assert httpx.get(short).status_code == 401
    for wrong in (0, -1, 7 * 24 * 3600 + 1):
        with pytest.raises(InvalidInput, match="expire"):
            link(client, disk_id, expire=wrong)


def test_another_project_cannot_be_reached_by_a_link(client: Acontext, disk_id: str, url: str) -> None:
    with Acontext(client.settings.store_url, project="other") as other:
        mine = other.disks.create()
        other.artifacts.upsert(mine.id, file=("a.bin", b"x"))
        base = link(other, mine.id).partition("?")[0]
        assert httpx.get(f"{base}?{urlsplit(url).query}").status_code == 404


def test_the_server_begins_with_the_first_link_and_ends_with_the_client(tmp_path: Path) -> None:
    def threads() -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name == "acontext-files"}

    with Acontext(f"sqlite:///{tmp_path}/a.db") as client:
        disk_id = client.disks.create().id
        client.artifacts.upsert(disk_id, file=("a.bin", DATA))
        assert client.artifacts.get(disk_id, file_path="/", filename="a.bin").public_url is None
        assert threads() == set()
        url = link(client, disk_id)
        assert link(client, disk_id).partition("?")[0] == url.partition("?")[0]
        assert urlsplit(url).hostname == "127.0.0.1"
        assert int(urlsplit(url).port or 0) < 32_768
        assert threads() == {"acontext-files"}
        engine = client.connection.opened().engine
    assert threads() == set()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    with pytest.raises(Closed):
        engine.files.links.url(download_server.LinkTarget("default", 1))


def test_links_outlive_the_client_where_a_server_answers_them(tmp_path: Path) -> None:
    settings = Settings(url=f"sqlite:///{tmp_path}/a.db", public_url="https://example.org/api/v1/")
    with Acontext(settings=settings) as client:
        disk_id = client.disks.create().id
        client.artifacts.upsert(disk_id, file=FileUpload("a.bin", DATA))
        url = client.artifacts.get(disk_id, file_path="/", filename="a.bin").public_url
        assert url is not None
        assert url.startswith("https://example.org/api/v1/download?project=default&expires=")
        assert not [thread for thread in threading.enumerate() if thread.name == "acontext-files"]
    from urllib.parse import parse_qsl

    with Acontext(settings=settings) as client:
        engine = client.connection.opened().engine
        download = engine.files.open_link_here(dict(parse_qsl(urlsplit(url).query)))
        assert isinstance(download, Download)
        assert b"".join(download.read(0, None)) == DATA


def test_the_key_is_for_the_owner_only(client: Acontext, url: str) -> None:
    (secret,) = Path(client.settings.store_url[10:]).parent.glob("*.secret")
    assert secret.stat().st_mode & 0o077 == 0
    assert secret.read_bytes().hex() not in url


def test_where_no_port_is_free_that_is_said(client: Acontext, disk_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client.artifacts.upsert(disk_id, file=("a.bin", DATA))

    def taken(*_: object) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(download_server, "_Http", taken)
    with pytest.raises(StoreUnavailable, match="public_url"):
        link(client, disk_id)


def test_a_forked_child_has_links_of_its_own(client: Acontext, disk_id: str, url: str) -> None:
    child = os.fork()
    if child == 0:
        try:
            mine = link(client, disk_id)
            ok = mine.partition("?")[0] != url.partition("?")[0] and httpx.get(mine).content == DATA
        except BaseException:
            ok = False
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert httpx.get(url).content == DATA


@pytest.mark.slow
def test_many_ask_at_once(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        assert {answer.content for answer in pool.map(httpx.get, [url] * 40)} == {DATA}
