"""What a blob store promises."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from ..errors import InvalidInput, NotFound
from ..protocols import BlobStore
from ..types import Blob


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
        for ask in (blobs.get, blobs.exists, blobs.delete, blobs.size, blobs.read):
            with pytest.raises(InvalidInput):
                ask(name)

    def test_blobs_outlive_the_one_who_put_them(
        self, blobs: BlobStore, open_blobs_again: Callable[[str], BlobStore]
    ) -> None:
        sha256 = blobs.put(b"lasting")
        assert open_blobs_again("p1").get(sha256) == b"lasting"

    def test_bytes_may_come_in_pieces(self, blobs: BlobStore) -> None:
        pieces = [bytes([n]) * 70_000 for n in range(40)] + [b""]
        with blobs.write() as writer:
            for piece in pieces:
                writer.write(piece)
            blob = writer.commit()
        whole = b"".join(pieces)
        assert blob == Blob(hashlib.sha256(whole).hexdigest(), len(whole))
        assert blobs.size(blob.sha256) == len(whole)
        assert blobs.get(blob.sha256) == b"".join(blobs.read(blob.sha256)) == whole
        with blobs.write() as writer:
            writer.write(whole)
            assert writer.commit() == blob

    def test_what_is_not_committed_is_not_kept(self, blobs: BlobStore) -> None:
        with blobs.write() as writer:
            writer.write(b"half")
        with contextlib.suppress(ZeroDivisionError), blobs.write() as writer:
            writer.write(b"half")
            raise ZeroDivisionError
        assert not blobs.exists(hashlib.sha256(b"half").hexdigest())

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            (0, None, b"0123456789"),
            (0, 4, b"0123"),
            (3, 7, b"3456"),
            (7, None, b"789"),
            (7, 100, b"789"),
            (10, None, b""),
            (50, None, b""),
            (50, 60, b""),
            (4, 4, b""),
        ],
    )
    def test_a_range_can_be_read(self, blobs: BlobStore, start: int, end: int | None, expected: bytes) -> None:
        sha256 = blobs.put(b"0123456789")
        assert b"".join(blobs.read(sha256, start=start, end=end)) == expected

    def test_a_range_that_cannot_be_is_refused(self, blobs: BlobStore) -> None:
        sha256 = blobs.put(b"0123456789")
        for start, end in ((-1, None), (5, 3), (0, -1)):
            with pytest.raises(InvalidInput):
                blobs.read(sha256, start=start, end=end)
        for ask in (blobs.read, blobs.size):
            with pytest.raises(NotFound):
                ask("ab" * 32)

    def test_what_was_put_again_meanwhile_is_not_deleted(self, blobs: BlobStore) -> None:
        sha256 = blobs.put(b"wanted")
        until_next_second = time.time() + 1
        assert blobs.delete(sha256, untouched_since=until_next_second - 60) is False
        assert blobs.get(sha256) == b"wanted"
        assert blobs.delete(sha256, untouched_since=until_next_second) is True
        assert blobs.delete(sha256, untouched_since=until_next_second) is True
        assert not blobs.exists(sha256)

    def test_a_sweep_takes_what_nobody_uses_and_nobody_has_just_put(self, blobs: BlobStore) -> None:
        used, unused = blobs.put(b"used"), blobs.put(b"unused")
        assert blobs.sweep(lambda _: [], untouched_since=time.time() - 60) == 0
        asked: list[str] = []

        def those_used(hashes: Sequence[str]) -> set[str]:
            asked.extend(hashes)
            return {used}

        assert blobs.sweep(those_used, untouched_since=time.time() + 1) == 1
        assert sorted(asked) == sorted([used, unused])
        assert (blobs.exists(used), blobs.exists(unused)) == (True, False)

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
