"""Blobs in a directory keep the contract of blob stores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from acontext_store.blobs.local import LocalBlobs
from acontext_store.errors import InvalidInput, StoreUnavailable
from acontext_store.open import open_blobs
from acontext_store.protocols import BlobStore
from acontext_store.testing import BlobContract


class TestLocalBlobs(BlobContract):
    @pytest.fixture
    def open_blobs_again(self, tmp_path: Path) -> Callable[[str], BlobStore]:
        return lambda project_id: open_blobs(f"file://{tmp_path}/blobs", project_id=project_id)

    def test_a_directory_that_somebody_has_deleted_is_made_anew(self, blobs: LocalBlobs) -> None:
        lost = blobs.put(b"lost")
        for data in (b"lost", b"kept"):
            shutil.rmtree(blobs.path)
            assert blobs.get(blobs.put(data)) == data
        assert not blobs.exists(lost)
        shutil.rmtree(blobs.path)
        with blobs.write() as writer:
            writer.write(b"in pieces")
            assert blobs.get(writer.commit().sha256) == b"in pieces"

    def test_damaged_bytes_are_never_returned(self, blobs: LocalBlobs) -> None:
        sha256 = blobs.put(b"precious")
        (file,) = [path for path in blobs.path.rglob("*") if path.is_file()]
        file.write_bytes(b"precioux")
        with pytest.raises(StoreUnavailable, match="damaged"):
            blobs.get(sha256)
        file.write_bytes(b"prec")
        assert blobs.get(blobs.put(b"precious")) == b"precious"

    def test_only_whole_files_are_left_and_only_the_owner_reads_them(self, blobs: LocalBlobs) -> None:
        blobs.put(b"one")
        blobs.put(b"two")
        files = [path for path in blobs.path.rglob("*") if path.is_file()]
        assert len(files) == 2
        assert all(path.stat().st_mode & 0o077 == 0 for path in [blobs.path, *blobs.path.rglob("*")])

    def test_a_full_disk_leaves_nothing_behind(self, blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StoreUnavailable, match="No space left"):
                blobs.put(b"too much")
        assert [path for path in blobs.path.rglob("*") if path.is_file()] == []

    def test_a_forked_child_may_use_them(self, blobs: LocalBlobs) -> None:
        sha256 = blobs.put(b"parent")
        child = os.fork()
        if child == 0:
            ok = blobs.get(sha256) == b"parent" and blobs.get(blobs.put(b"child")) == b"child"
            os._exit(0 if ok else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def test_a_file_in_the_way_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(StoreUnavailable, match="file"):
            LocalBlobs(tmp_path / "file" / "blobs")


def test_blobs_of_a_sqlite_store_stand_beside_it(tmp_path: Path) -> None:
    blobs = open_blobs(f"sqlite:///{tmp_path}/a.db", project_id="p1")
    blobs.put(b"x")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["a.db.blobs"]


@pytest.mark.parametrize(
    "url", ["", "/tmp/x", "s3://bucket", "file://", "file://relative", "postgresql://a:secret@h/d"]
)
def test_an_unknown_place_is_refused_with_what_is_known(url: str) -> None:
    with pytest.raises(InvalidInput, match="file://") as caught:
        open_blobs(url, project_id="p1")
    assert "secret" not in str(caught.value)
