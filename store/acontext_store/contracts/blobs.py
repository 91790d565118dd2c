"""What a blob store promises."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

import pytest

from ..base import BlobStore
from ..errors import InvalidInput, NotFound


class BlobContract:
    """What every `BlobStore` promises."""

    @pytest.fixture
    def open_blobs_again(self) -> Callable[[str], BlobStore]:
        """Opens the blobs of the project with that id: the same place each time, which begins empty."""
        raise NotImplementedError("give this fixture")

    @pytest.fixture
    def blobs(self, open_blobs_again: Callable[[str], BlobStore]) -> BlobStore:
        """An empty blob store."""
        return open_blobs_again("p1")

    @pytest.mark.parametrize("data", [b"", b"\0", b"hello", bytes(range(256)) * 20_000], ids=len)
    def test_bytes_are_kept_by_their_hash(self, blobs: BlobStore, data: bytes) -> None:
        sha256 = blobs.put(data)
        assert sha256 == hashlib.sha256(data).hexdigest()
        assert blobs.exists(sha256)
        assert blobs.get(sha256) == data

    def test_the_same_bytes_are_kept_once(self, blobs: BlobStore) -> None:
        assert blobs.put(b"same") == blobs.put(b"same")
        blobs.delete(blobs.put(b"same"))
        assert not blobs.exists(hashlib.sha256(b"same").hexdigest())

    def test_what_is_unknown_is_not_found(self, blobs: BlobStore) -> None:
        unknown = "ab" * 32
        assert not blobs.exists(unknown)
        with pytest.raises(NotFound):
            blobs.get(unknown)
        blobs.delete(unknown)

    def test_what_was_deleted_is_gone_and_may_come_again(self, blobs: BlobStore) -> None:
        sha256 = blobs.put(b"here")
        blobs.delete(sha256)
        with pytest.raises(NotFound):
            blobs.get(sha256)
        assert blobs.put(b"here") == sha256
        assert blobs.get(sha256) == b"here"

    @pytest.mark.parametrize(
        "name",
        ["", "abc", "../" * 20 + "etc/passwd", "AB" * 32, "g" * 64, "ab" * 32 + "\n", "a/" * 32, "\0" * 64, "ａ" * 64],
    )
    def test_only_a_hash_is_a_name(self, blobs: BlobStore, name: str) -> None:
        for ask in (blobs.get, blobs.exists, blobs.delete):
            with pytest.raises(InvalidInput):
                ask(name)

    def test_blobs_outlive_the_one_who_put_them(
        self, blobs: BlobStore, open_blobs_again: Callable[[str], BlobStore]
    ) -> None:
        sha256 = blobs.put(b"lasting")
        assert open_blobs_again("p1").get(sha256) == b"lasting"

    def test_projects_do_not_share_blobs(self, blobs: BlobStore, open_blobs_again: Callable[[str], BlobStore]) -> None:
        other = open_blobs_again("p2")
        sha256 = blobs.put(b"secret")
        assert not other.exists(sha256)
        with pytest.raises(NotFound):
            other.get(sha256)
        other.delete(other.put(b"secret"))
        assert blobs.get(sha256) == b"secret"

    def test_many_threads_may_put_the_same(self, blobs: BlobStore) -> None:
        found: list[str] = []
        threads = [threading.Thread(target=lambda: found.append(blobs.put(b"x" * 100_000))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len(set(found)) == 1
        assert blobs.get(found[0]) == b"x" * 100_000
