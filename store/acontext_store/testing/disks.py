"""What a store promises about disks, the files on them, and the blobs that are referred to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from ..errors import Conflict, InvalidInput, NotFound
from ..protocols import Pending, Store
from ..types import Artifact, Disk, Message, Part
from .factories import a_session, done, each, said

OLD, NEW, OTHER = ("0a" * 32, "1b" * 32, "2c" * 32)


def a_disk(store: Store, id: str = "d1", **fields: Any) -> str:
    return done(store.create_disk(Disk(id=id, project_id=store.project_id, **fields))).id


def a_file(full_path: str = "/notes/todo.md", *, disk_id: str = "d1", sha256: str = OLD, **fields: Any) -> Artifact:
    path, _, filename = full_path.rpartition("/")
    return Artifact(disk_id=disk_id, path=f"{path}/", filename=filename, sha256=sha256, size=5, **fields)


def put(store: Store, *paths: str, **fields: Any) -> None:
    for path in paths:
        done(store.put_artifact(a_file(path, **fields)))


def with_blob(sha256: str) -> Message:
    return Message(role="user", parts=(Part(type="image", asset=sha256, filename="a.png"),))


class DiskContract:
    """Disks are created, listed and deleted, also the disk of a session."""

    def test_disks_are_listed_by_time(self, store: Store) -> None:
        ids = [a_disk(store, f"d{n}") for n in range(5)]
        page = done(store.disks(limit=3))
        rest = done(store.disks(limit=3, cursor=page.next_cursor))
        assert [disk.id for disk in [*page.items, *rest.items]] == ids
        assert (page.has_more, rest.has_more) == (True, False)
        assert [disk.id for disk in done(store.disks(time_desc=True)).items] == ids[::-1]
        assert done(store.disk("d3")) == done(store.disks()).items[3]

    def test_an_unknown_disk_is_not_found(self, store: Store) -> None:
        for pending in each(
            store.disk("d1"),
            store.delete_disk("d1"),
            store.put_artifact(a_file()),
            store.artifact("d1", "/notes/", "todo.md"),
            store.update_artifact("d1", "/notes/", "todo.md", meta={}),
            store.delete_artifact("d1", "/notes/", "todo.md"),
            store.list_artifacts("d1"),
            store.artifacts("d1"),
        ):
            with pytest.raises(NotFound, match="disk 'd1'"):
                done(pending)

    def test_a_disk_belongs_to_the_stores_project_and_has_an_id_of_its_own(self, store: Store) -> None:
        a_disk(store)
        with pytest.raises(Conflict):
            a_disk(store)
        with pytest.raises(InvalidInput):
            done(store.create_disk(Disk(id="d2", project_id="another")))

    def test_a_session_has_one_disk_of_its_own_from_first_use_to_its_end(self, store: Store) -> None:
        with pytest.raises(NotFound):
            done(store.disk_of_session("s1"))
        done(store.create_session(a_session()))
        disks = [pending.result(60) for pending in [store.disk_of_session("s1") for _ in range(3)]]
        assert len({disk.id for disk in disks}) == 1
        assert disks[0].session_id == "s1"
        with pytest.raises(Conflict):
            a_disk(store, session_id="s1")
        put(store, "/a.txt", disk_id=disks[0].id)
        done(store.delete_session("s1"))
        with pytest.raises(NotFound):
            done(store.disk(disks[0].id))
        assert done(store.unused_blobs()) == [OLD]


class ArtifactContract:
    """Files on disks are put, replaced, listed and deleted."""

    def test_a_file_comes_back_as_it_was_put(self, store: Store) -> None:
        a_disk(store)
        given = a_file(mime="text/markdown", meta={"author": "Zoë", "n": [1, None], "nul": "\0"})
        assert done(store.put_artifact(given)) == given
        assert done(store.artifact("d1", "/notes/", "todo.md")) == given
        for path, filename in (("/notes/", "TODO.md"), ("/", "todo.md"), ("/notes", "todo.md")):
            with pytest.raises(NotFound):
                done(store.artifact("d1", path, filename))

    def test_a_file_is_replaced_in_its_place(self, store: Store) -> None:
        a_disk(store)
        first = done(store.put_artifact(a_file(meta={"draft": 1})))
        second = done(store.put_artifact(a_file(sha256=NEW, mime="text/plain", created_at="2030-01-01T00:00:00Z")))
        assert second == done(store.artifact("d1", "/notes/", "todo.md"))
        assert (second.created_at, second.sha256, second.meta) == (first.created_at, NEW, {})
        assert second.updated_at > first.updated_at
        assert len(done(store.artifacts("d1")).items) == 1

    def test_a_file_is_replaced_only_if_it_is_still_the_one_that_was_read(self, store: Store) -> None:
        a_disk(store)
        for _ in range(2):
            with pytest.raises(Conflict, match=r"/notes/todo\.md"):
                done(store.put_artifact(a_file(sha256=NEW), if_sha256=OTHER))
            put(store, "/notes/todo.md")
        assert done(store.put_artifact(a_file(sha256=NEW), if_sha256=OLD)).sha256 == NEW
        assert done(store.unused_blobs()) == [OLD]

    def test_meta_is_replaced_and_the_rest_stays(self, store: Store) -> None:
        a_disk(store)
        before = done(store.put_artifact(a_file(meta={"a": 1})))
        after = done(store.update_artifact("d1", "/notes/", "todo.md", meta={"b": 2}))
        assert after == before.model_copy(update={"meta": {"b": 2}, "updated_at": after.updated_at})
        with pytest.raises(NotFound, match=r"/notes/done\.md"):
            done(store.update_artifact("d1", "/notes/", "done.md", meta={}))

    def test_a_folder_shows_what_stands_directly_in_it(self, store: Store) -> None:
        a_disk(store)
        put(store, "/b.txt", "/a.txt", "/x/1.txt", "/x/y/2.txt", "/x/y/z/3.txt", "/x!/4.txt", "/x0/5.txt", "/é/6.txt")
        root = done(store.list_artifacts("d1"))
        assert [file.full_path for file in root.artifacts] == ["/a.txt", "/b.txt"]
        assert root.directories == ["x", "x!", "x0", "é"]
        inner = done(store.list_artifacts("d1", "/x/"))
        assert ([file.filename for file in inner.artifacts], inner.directories) == (["1.txt"], ["y"])
        nowhere = done(store.list_artifacts("d1", "/nowhere/"))
        assert (nowhere.artifacts, nowhere.directories) == ([], [])
        done(store.delete_artifact("d1", "/x/y/z/", "3.txt"))
        assert done(store.list_artifacts("d1", "/x/y/")).directories == []

    def test_all_files_below_a_folder_come_in_pages(self, store: Store) -> None:
        a_disk(store)
        paths = sorted([f"/{folder}{n}|%.txt" for folder in ("", "a/", "a/b|/", "a0/", "aa/") for n in range(4)])
        put(store, *paths)
        found: list[str] = []
        cursor = None
        while True:
            page = done(store.artifacts("d1", limit=3, cursor=cursor))
            found += [file.full_path for file in page.items]
            cursor = page.next_cursor
            assert page.has_more == (cursor is not None)
            if cursor is None:
                break
        assert sorted(found) == paths
        below = done(store.artifacts("d1", under="/a/"))
        assert {file.path for file in below.items} == {"/a/", "/a/b|/"}
        for wrong in (0, 1001):
            with pytest.raises(InvalidInput):
                done(store.artifacts("d1", limit=wrong))
        with pytest.raises(InvalidInput):
            done(store.artifacts("d1", cursor="?"))

    def test_a_deleted_file_is_gone_and_so_is_all_of_a_deleted_disk(self, store: Store) -> None:
        a_disk(store)
        put(store, "/a", "/b", "/c/d")
        done(store.delete_artifact("d1", "/", "a"))
        with pytest.raises(NotFound):
            done(store.delete_artifact("d1", "/", "a"))
        done(store.delete_disk("d1"))
        a_disk(store)
        assert done(store.artifacts("d1")).items == []

    def test_a_disk_says_when_it_last_changed(self, store: Store) -> None:
        a_disk(store)
        seen = [done(store.disk("d1")).updated_at]
        changes: list[Callable[[], Pending[Any]]] = [
            lambda: store.put_artifact(a_file()),
            lambda: store.update_artifact("d1", "/notes/", "todo.md", meta={"a": 1}),
            lambda: store.delete_artifact("d1", "/notes/", "todo.md"),
        ]
        for change in changes:
            done(change())
            seen.append(done(store.disk("d1")).updated_at)
        assert seen == sorted(set(seen))

    def test_many_threads_replace_one_file_and_one_of_them_is_there(self, store: Store) -> None:
        a_disk(store)
        hashes = [f"{n:064x}" for n in range(8)]

        def work(sha256: str) -> None:
            for _ in range(20):
                done(store.put_artifact(a_file(sha256=sha256)))

        threads = [threading.Thread(target=work, args=(sha256,)) for sha256 in hashes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (kept,) = done(store.artifacts("d1")).items
        assert done(store.unused_blobs()) == sorted(set(hashes) - {kept.sha256})


class BlobUseContract:
    """The store knows which blobs a file or a message still refers to."""

    def test_a_blob_is_unused_when_its_last_file_goes(self, store: Store) -> None:
        a_disk(store)
        put(store, "/a", "/b")
        done(store.delete_artifact("d1", "/", "a"))
        assert done(store.unused_blobs()) == []
        assert done(store.used_blobs([OLD, NEW])) == {OLD}
        done(store.put_artifact(a_file("/b", sha256=NEW)))
        assert done(store.unused_blobs()) == [OLD]
        done(store.delete_disk("d1"))
        assert done(store.unused_blobs()) == [OLD, NEW]
        assert done(store.unused_blobs(limit=1)) == [OLD]
        done(store.forget_blobs([OLD, OTHER]))
        assert done(store.unused_blobs()) == [NEW]

    def test_a_blob_that_is_used_again_is_not_unused(self, store: Store) -> None:
        a_disk(store)
        put(store, "/a")
        done(store.delete_artifact("d1", "/", "a"))
        put(store, "/b")
        assert done(store.unused_blobs()) == []
        done(store.delete_artifact("d1", "/", "b"))
        done(store.append("s1", [with_blob(OLD)], ensure=a_session()))
        assert done(store.unused_blobs()) == []

    def test_a_file_put_again_with_the_same_bytes_keeps_its_blob(self, store: Store) -> None:
        a_disk(store)
        put(store, "/a", "/a")
        assert done(store.unused_blobs()) == []
        assert done(store.used_blobs([OLD])) == {OLD}

    def test_messages_hold_the_blobs_that_they_name_until_their_session_goes(self, store: Store) -> None:
        native = Message(role="user", parts=(Part(type="text", text="…"),), native={"$asset": NEW})
        done(store.append("s1", [said("hello"), with_blob(OLD)], ensure=a_session()))
        done(store.append("s1", [native]))
        done(store.append("s1", [with_blob(OTHER)]))
        done(store.append("s2", [with_blob(OTHER)], ensure=a_session("s2")))
        assert done(store.used_blobs([OLD, NEW, OTHER])) == {OLD, NEW, OTHER}
        done(store.delete_session("s1"))
        assert done(store.unused_blobs()) == sorted([OLD, NEW])
        done(store.delete_session("s2"))
        assert done(store.unused_blobs()) == sorted([OLD, NEW, OTHER])

    def test_a_message_and_a_file_may_share_a_blob(self, store: Store) -> None:
        a_disk(store)
        put(store, "/a")
        done(store.append("s1", [with_blob(OLD)], ensure=a_session()))
        done(store.delete_session("s1"))
        assert done(store.unused_blobs()) == []
        done(store.delete_artifact("d1", "/", "a"))
        assert done(store.unused_blobs()) == [OLD]
