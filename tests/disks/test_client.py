"""Disks through the front clients: the seed's snippet with another constructor, and everything that can go wrong."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from acontext_plugins import Acontext, AsyncAcontext, FileUpload
from acontext_plugins.client import disks, resources
from acontext_plugins.errors import InvalidInput, NotFound, StoreUnavailable
from acontext_plugins.files import Grep
from acontext_plugins.files.service import ARTIFACT_INFO
from acontext_store.testing.factories import until


def put(client: Acontext, disk_id: str, path: str, content: bytes | str = b"x", **fields: Any) -> None:
    folder, _, filename = path.rpartition("/")
    data = content.encode() if isinstance(content, str) else content
    client.disks.artifacts.upsert(disk_id, file=(filename, data), file_path=f"{folder}/", **fields)


def get(client: Acontext, disk_id: str, path: str, **options: Any) -> Any:
    folder, _, filename = path.rpartition("/")
    return client.disks.artifacts.get(disk_id, file_path=folder, filename=filename, **options)


def blobs(client: Acontext) -> list[Path]:
    return [file for file in Path(client.settings.store_url[10:] + ".blobs").rglob("*") if file.is_file()]


@pytest.mark.parametrize("name", ["Artifacts", "Disks"])
def test_both_doors_have_the_same_methods_with_the_same_signatures(name: str) -> None:
    def public(memory: object) -> dict[str, str]:
        return {
            method: str(inspect.signature(function))
            for method, function in inspect.getmembers(memory, inspect.isfunction)
            if not method.startswith("_")
        }

    assert public(getattr(resources, name)) == public(getattr(disks, f"Async{name}"))


def test_the_seeds_artifact_snippet_runs_with_another_constructor(client: Acontext) -> None:
    disk = client.disks.create()
    file = FileUpload(filename="todo.md", content=b"# Sprint Plan\n\n## Goals\n- Complete user authentication")
    artifact = client.disks.artifacts.upsert(disk.id, file=file, file_path="/todo/")
    assert (artifact.path, artifact.filename) == ("/todo/", "todo.md")
    assert artifact.meta == {
        ARTIFACT_INFO: {
            "path": "/todo/",
            "filename": "todo.md",
            "mime": "application/octet-stream",
            "size": len(file.content),  # type: ignore[arg-type]
        }
    }
    listing = client.disks.artifacts.list(disk.id, path="/todo/")
    assert (listing.artifacts, listing.directories) == ([artifact], [])
    result = client.disks.artifacts.get(
        disk.id, file_path="/todo/", filename="todo.md", with_public_url=True, with_content=True
    )
    assert result.content is not None
    assert result.content.raw == file.content.decode()  # type: ignore[union-attr]
    assert result.public_url is not None
    assert httpx.get(result.public_url).content == file.content


async def test_the_asynchronous_door_does_the_same(tmp_path: Path) -> None:
    async with AsyncAcontext(f"sqlite:///{tmp_path}/a.db") as client:
        disk = await client.disks.create()
        await client.artifacts.upsert(disk.id, file=("a.txt", io.BytesIO(b"hello")), file_path="/x/")
        found = await client.artifacts.get(disk.id, file_path="/x/", filename="a.txt", with_public_url=True)
        assert found.content is not None
        assert found.content.raw == "hello"
        async with httpx.AsyncClient() as http:
            assert (await http.get(str(found.public_url))).content == b"hello"
        assert await client.artifacts.download(disk.id, file_path="/x/", filename="a.txt", to=tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == b"hello"
        await client.artifacts.delete(disk.id, file_path="/x/", filename="a.txt")
        await client.disks.delete(disk.id)
        assert (await client.disks.list()).items == []


@pytest.mark.parametrize(
    "file",
    [
        ("a.txt", b"hello"),
        ("a.txt", io.BytesIO(b"hello"), "text/plain"),
        FileUpload("a.txt", bytearray(b"hello")),
        FileUpload("a.txt", iter([b"he", b"", b"llo"])),
    ],
    ids=["bytes", "stream", "bytearray", "pieces"],
)
def test_a_file_comes_in_many_shapes(client: Acontext, disk_id: str, file: Any) -> None:
    assert client.artifacts.upsert(disk_id, file=file).size == 5
    assert get(client, disk_id, "/a.txt").content.raw == "hello"


@pytest.mark.parametrize("file", ["a.txt", b"x", ("a.txt",), ("a.txt", "text"), None, (1, b"x"), Path("a.txt")])
def test_what_is_no_file_is_refused(client: Acontext, disk_id: str, file: Any) -> None:
    with pytest.raises(InvalidInput, match="file"):
        client.artifacts.upsert(disk_id, file=file)


@pytest.mark.parametrize("content", [io.StringIO("text"), iter(["text"])])
def test_a_file_opened_as_text_is_refused_and_nothing_is_kept(client: Acontext, disk_id: str, content: Any) -> None:
    with pytest.raises(InvalidInput, match="binary mode"):
        client.artifacts.upsert(disk_id, file=FileUpload("a.txt", content))
    assert client.artifacts.list(disk_id).artifacts == []
    assert blobs(client) == []


@pytest.mark.parametrize("path", ["/../etc/", "/a\0/", "/a\\b/", "//", "/a/./", "/\u2025/", "/a\u2215b/", "/C:/"])
def test_a_bad_path_is_refused_everywhere(client: Acontext, disk_id: str, path: str) -> None:
    asks: list[Callable[[], object]] = [
        lambda: client.artifacts.upsert(disk_id, file=("a", b""), file_path=path),
        lambda: get(client, disk_id, f"{path}a"),
        lambda: client.artifacts.update(disk_id, file_path=path, filename="a", meta={}),
        lambda: client.artifacts.delete(disk_id, file_path=path, filename="a"),
        lambda: client.artifacts.list(disk_id, path=path),
    ]
    for ask in asks if path != "//" else asks[4:]:
        with pytest.raises(InvalidInput):
            ask()
    with pytest.raises(InvalidInput):
        client.artifacts.upsert(disk_id, file=(path.strip("/") or "a/b", b""))
    assert client.artifacts.glob_artifacts(disk_id, query="**") == []


def test_what_is_not_there_is_not_found(client: Acontext, disk_id: str) -> None:
    asks: list[Callable[[], object]] = [
        lambda: get(client, disk_id, "/a"),
        lambda: client.artifacts.update(disk_id, file_path="/", filename="a", meta={}),
        lambda: client.artifacts.delete(disk_id, file_path="/", filename="a"),
        lambda: client.artifacts.upsert("nowhere", file=("a", b"")),
        lambda: client.artifacts.list("nowhere"),
        lambda: client.artifacts.grep_artifacts("nowhere", query="x"),
        lambda: client.artifacts.glob_artifacts("nowhere", query="x"),
        lambda: client.disks.delete("nowhere"),
        lambda: client.disks.of_session("nowhere"),
    ]
    for ask in asks:
        with pytest.raises(NotFound):
            ask()
    assert blobs(client) == []


def test_notes_on_a_file_are_replaced_and_ours_stay(client: Acontext, disk_id: str) -> None:
    put(client, disk_id, "/a.txt", meta={"author": "x", "draft": True})
    updated = client.artifacts.update(disk_id, file_path="/", filename="a.txt", meta={"author": "y"}).artifact
    assert {**updated.meta, ARTIFACT_INFO: None} == {"author": "y", ARTIFACT_INFO: None}
    assert updated == get(client, disk_id, "/a.txt").artifact
    put(client, disk_id, "/a.txt", b"new")
    assert set(get(client, disk_id, "/a.txt").artifact.meta) == {ARTIFACT_INFO}
    for wrong in ({ARTIFACT_INFO: {}}, {1: 2}):
        with pytest.raises(InvalidInput, match="meta"):
            client.artifacts.update(disk_id, file_path="/", filename="a.txt", meta=wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="meta"):
            put(client, disk_id, "/b.txt", meta=wrong)


def test_the_same_bytes_are_kept_once(client: Acontext, disk_id: str) -> None:
    for n in range(5):
        put(client, disk_id, f"/{n}.bin", b"the same" * 1000)
    (blob,) = blobs(client)
    os.utime(blob, (0, 0))
    for n in range(4):
        client.artifacts.delete(disk_id, file_path="/", filename=f"{n}.bin")
    assert blobs(client) == [blob]
    client.disks.delete(disk_id)
    assert blobs(client) == []


def test_a_full_disk_keeps_the_old_file(client: Acontext, disk_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(client, disk_id, "/a.txt", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreUnavailable, match="No space left"):
            put(client, disk_id, "/a.txt", b"new")
    assert get(client, disk_id, "/a.txt").content.raw == "old"
    assert len(blobs(client)) == 1


def test_an_upload_that_breaks_off_keeps_the_old_file(client: Acontext, disk_id: str) -> None:
    put(client, disk_id, "/a.txt", b"old")

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        client.artifacts.upsert(disk_id, file=FileUpload("a.txt", broken()))
    assert get(client, disk_id, "/a.txt").content.raw == "old"
    assert len(blobs(client)) == 1


def test_contents_are_given_for_text_only_and_not_where_they_are_not_asked_for(client: Acontext, disk_id: str) -> None:
    put(client, disk_id, "/a.json", '{"a": 1}')
    put(client, disk_id, "/b.json", "{")
    put(client, disk_id, "/c.png", b"\x89PNG")
    assert get(client, disk_id, "/a.json").content.type == "json"
    for path in ("/b.json", "/c.png"):
        assert get(client, disk_id, path).content is None
    assert get(client, disk_id, "/a.json", with_content=False).content is None


def test_files_are_found_by_path_and_by_text(client: Acontext, disk_id: str) -> None:
    put(client, disk_id, "/a.py", "import os\n# TODO: a bug\n")
    put(client, disk_id, "/src/b.py", "print()\n")
    put(client, disk_id, "/src/deep/c.md", "TODO")
    put(client, disk_id, "/src/d.bin", b"TODO")
    put(client, disk_id, "/src/e.txt", b"\xff TODO")

    def paths(found: Any) -> list[str]:
        return [artifact.full_path for artifact in found]

    assert paths(client.artifacts.glob_artifacts(disk_id, query="**/*.py")) == ["/a.py", "/src/b.py"]
    assert paths(client.artifacts.glob_artifacts(disk_id, query="/src/**")) == [
        "/src/b.py",
        "/src/d.bin",
        "/src/e.txt",
        "/src/deep/c.md",
    ]
    assert paths(client.artifacts.grep_artifacts(disk_id, query="TODO.*")) == ["/a.py", "/src/deep/c.md"]
    assert paths(client.artifacts.grep_artifacts(disk_id, query="TODO", limit=1)) == ["/a.py"]
    assert client.artifacts.grep_artifacts(disk_id, query="nothing of the kind") == []
    for limit in (0, 1001):
        with pytest.raises(InvalidInput, match="limit"):
            client.artifacts.grep_artifacts(disk_id, query="x", limit=limit)


def test_more_files_than_a_page_are_searched(client: Acontext, disk_id: str) -> None:
    store = client.connection.opened().engine.store
    put(client, disk_id, "/0000.txt", "needle")
    first = store.artifact(disk_id, "/", "0000.txt").result()
    for pending in [store.put_artifact(first.model_copy(update={"filename": f"{n:04}.txt"})) for n in range(1, 1500)]:
        pending.result()
    assert len(client.artifacts.glob_artifacts(disk_id, query="*.txt", limit=1000)) == 1000
    assert len(client.artifacts.glob_artifacts(disk_id, query="1[3-9]*.txt", limit=1000)) == 200


def test_a_search_that_takes_too_long_says_what_to_do(
    client: Acontext, disk_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, disk_id, "/a.txt", "a" * 5000 + "c")
    monkeypatch.setattr("acontext_plugins.engine.files.Grep", partial(Grep, patience=0.1))
    with pytest.raises(InvalidInput, match="simpler expression"):
        client.artifacts.grep_artifacts(disk_id, query="(a+)+$")
    monkeypatch.setattr("acontext_plugins.engine.files._PATIENCE", -1.0)
    with pytest.raises(InvalidInput, match="too many files"):
        client.artifacts.glob_artifacts(disk_id, query="**")


def test_another_project_sees_nothing_of_a_disk(client: Acontext, disk_id: str) -> None:
    put(client, disk_id, "/a.txt", b"secret")
    with Acontext(client.settings.store_url, project="other") as other:
        for ask in (
            lambda: get(other, disk_id, "/a.txt"),
            lambda: other.artifacts.list(disk_id),
            lambda: other.artifacts.grep_artifacts(disk_id, query="secret"),
            lambda: put(other, disk_id, "/a.txt"),
            lambda: other.disks.delete(disk_id),
        ):
            with pytest.raises(NotFound):
                ask()
        assert other.disks.list().items == []


def test_a_sessions_own_disk_goes_with_it(client: Acontext) -> None:
    session = client.sessions.create()
    disk = client.disks.of_session(session.id)
    assert client.disks.of_session(session.id) == disk
    put(client, disk.id, "/a.txt")
    client.sessions.delete(session.id)
    with pytest.raises(NotFound):
        client.artifacts.list(disk.id)


async def test_an_engine_sweeps_now_and_then(tmp_path: Path) -> None:
    async with AsyncAcontext(f"sqlite:///{tmp_path}/a.db") as client:
        engine = client.connection.opened().engine
        disk = await client.disks.create()
        kept = (await client.artifacts.upsert(disk.id, file=("a.txt", b"kept"))).sha256
        await client.artifacts.upsert(disk.id, file=("b.txt", b"old"))
        replaced, orphan = hashlib.sha256(b"old").hexdigest(), engine.blobs.put(b"orphan")
        for file in (tmp_path / "a.db.blobs").glob("*/??/*"):
            os.utime(file, (0, 0))
        await client.artifacts.upsert(disk.id, file=("b.txt", b"new"))
        sweeping = asyncio.create_task(engine.files.sweep_always(first=0, pause=0.01, thorough_after=0.02))
        await asyncio.to_thread(until, lambda: not engine.blobs.exists(replaced) and not engine.blobs.exists(orphan))
        await asyncio.to_thread(until, lambda: not engine.store.unused_blobs().result())
        sweeping.cancel()
        assert engine.blobs.exists(kept)


def test_many_threads_write_many_files(client: Acontext, disk_id: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: put(client, disk_id, f"/{n % 7}/{n}.txt", f"file {n % 11}"), range(100)))
    assert len(client.artifacts.glob_artifacts(disk_id, query="**")) == 100
    assert len(blobs(client)) == 11


@pytest.mark.slow
def test_a_big_file_goes_in_and_out_in_little_memory(tmp_path: Path) -> None:
    size = int(os.environ.get("BIG_FILE", str(256 << 20)))
    code = f"""
import hashlib, resource, httpx
from acontext_plugins import Acontext, FileUpload
digest = hashlib.sha256()
def pieces():
    for n in range({size} >> 20):
        piece = n.to_bytes(8, "big") * (1 << 17)
        digest.update(piece)
        yield piece
with Acontext("sqlite:///{tmp_path}/a.db") as client:
    disk = client.disks.create()
    client.artifacts.upsert(disk.id, file=("small.bin", b"x"))
    with httpx.stream("GET", client.artifacts.get(
            disk.id, file_path="/", filename="small.bin", with_public_url=True).public_url) as answer:
        answer.read()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file = client.artifacts.upsert(disk.id, file=FileUpload("big.bin", pieces()))
    assert (file.size, file.sha256) == ({size}, digest.hexdigest())
    url = client.artifacts.get(disk.id, file_path="/", filename="big.bin", with_public_url=True).public_url
    got = hashlib.sha256()
    with httpx.stream("GET", url) as answer:
        for piece in answer.iter_bytes():
            got.update(piece)
    assert got.hexdigest() == digest.hexdigest()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    print(f"{size >> 20} MB in and out: {done.stdout.strip()} MB more memory")
    assert int(done.stdout) < 60


def test_who_reads_while_a_file_is_replaced_gets_the_new_one(
    client: Acontext, disk_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, disk_id, "/a.txt", b"old")
    engine = client.connection.opened().engine
    stale = engine.store.artifact(disk_id, "/", "a.txt")
    stale.result()
    (blob,) = blobs(client)
    put(client, disk_id, "/a.txt", b"new")
    blob.unlink()
    fresh, answers = engine.store.artifact, [stale, stale]

    def late(*place: str) -> Any:
        return answers.pop() if answers else fresh(*place)

    monkeypatch.setattr(engine.store, "artifact", late)
    answers.pop()
    assert get(client, disk_id, "/a.txt").content.raw == "new"


def test_bytes_that_are_gone_are_missed_and_not_waited_for(client: Acontext, disk_id: str, tmp_path: Path) -> None:
    put(client, disk_id, "/a.txt", b"precious")
    blobs(client)[0].unlink()
    for ask in (
        lambda: get(client, disk_id, "/a.txt"),
        lambda: client.artifacts.download(disk_id, file_path="/", filename="a.txt", to=tmp_path / "out"),
    ):
        with pytest.raises(StoreUnavailable, match=r"/a\.txt are gone"):
            ask()
    put(client, disk_id, "/a.txt", b"precious")
    assert get(client, disk_id, "/a.txt").content.raw == "precious"


def test_a_file_that_is_damaged_is_never_given(client: Acontext, disk_id: str, tmp_path: Path) -> None:
    put(client, disk_id, "/a.txt", b"precious")
    (blob,) = blobs(client)
    assert blob.parent.name + blob.name == hashlib.sha256(b"precious").hexdigest()
    blob.write_bytes(b"precioux")
    with pytest.raises(StoreUnavailable, match="damaged"):
        get(client, disk_id, "/a.txt")
    with pytest.raises(StoreUnavailable, match="damaged"):
        client.artifacts.download(disk_id, file_path="/", filename="a.txt", to=tmp_path / "out")


def test_secrets_in_meta_are_masked_and_contents_are_left_alone(client: Acontext, disk_id: str) -> None:
    secret = "sk-" + "proj-" + "a1B2c3D4e5F6g7H8" * 3
    put(client, disk_id, "/a.txt", content=secret.encode(), meta={"note": f"made with {secret}", "n": 1})
    found = get(client, disk_id, "/a.txt")
    assert found.content is not None
    assert found.content.raw == secret
    assert secret not in str(found.artifact.meta)
    assert found.artifact.meta["n"] == 1
    client.artifacts.update(disk_id, file_path="/", filename="a.txt", meta={"api_key": secret})
    assert secret not in str(get(client, disk_id, "/a.txt").artifact.meta)
