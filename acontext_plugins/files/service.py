"""Files, as the clients, the server and the tools ask for them: the part of `Service` that keeps them."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, BinaryIO, Protocol

from typing_extensions import Buffer

from acontext_store.errors import InvalidInput
from acontext_store.types import Artifact, ArtifactListing, Asset, Disk, Json, Page, Record

from .content_type import ArtifactContent

#: The meta key of an artifact under which we say where it is, how big and of what type.
ARTIFACT_INFO = "__artifact_info__"
#: The last part of a link's address; its query says which file.
DOWNLOAD = "download"

_CHUNK = 1 << 20
_OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class FileUpload:
    """A file on its way in: bytes, something with `read`, or an iterable of bytes."""

    filename: str
    content: bytes | IO[bytes] | Iterable[bytes]
    content_type: str = _OCTETS

    def opened(self) -> BinaryIO:
        """The bytes as something with `read`, which raises InvalidInput for anything else."""
        return io.BufferedReader(_Pieces(self.pieces()), _CHUNK)

    def pieces(self) -> Iterator[bytes]:
        """The bytes, in pieces. Raises InvalidInput for anything else."""
        if isinstance(self.content, bytes | bytearray | memoryview):
            yield bytes(self.content)
            return
        read = getattr(self.content, "read", None)
        found: Iterator[object] = iter(lambda: read(_CHUNK), b"") if callable(read) else iter(self.content)
        for piece in found:
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise InvalidInput(
                    f"the file {self.filename!r} gives {type(piece).__name__}, not bytes: open it in binary mode, or "
                    "encode the text"
                )
            yield bytes(piece)


class _Pieces(io.RawIOBase):
    """Pieces of bytes, read as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        room = memoryview(buffer).cast("B")
        count = min(len(room), len(self._rest))
        room[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


#: What is taken for a file: an upload, or `(filename, content)` with or without a content type.
Upload = FileUpload | tuple[str, bytes | IO[bytes]] | tuple[str, bytes | IO[bytes], str]


def as_upload(given: object) -> FileUpload:
    """Any of these as a FileUpload; also that of the `acontext` package. Raises InvalidInput."""
    if isinstance(given, tuple) and len(given) in (2, 3):
        given = FileUpload(*given)
    filename, content = getattr(given, "filename", None), getattr(given, "content", None)
    if not isinstance(filename, str) or content is None or isinstance(content, str):
        raise InvalidInput(
            "file: expected a FileUpload or (filename, bytes or a file opened in binary mode), found "
            f"{type(given).__name__}"
        )
    if isinstance(given, FileUpload):
        return given
    return FileUpload(filename, content, str(getattr(given, "content_type", None) or _OCTETS))


class ArtifactResult(Record):
    """A file, a link to download it, and its text; what was not asked for, or cannot be, is None."""

    artifact: Artifact
    public_url: str | None = None
    content: ArtifactContent | None = None


class PublicUrl(Record):
    """An address that a plain GET can download until `expire_at`."""

    url: str
    expire_at: str


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is downloaded: its name, type and size, and a function that reads its bytes."""

    filename: str
    mime: str
    size: int
    sha256: str
    #: The bytes from `start` to `end` (None = the last), in pieces.
    read: Callable[[int, int | None], Iterator[bytes]]


class FileService(Protocol):
    """Disks, the files on them, and the files that come with messages.

    A file is named by its whole path, "/notes/todo.md". The engine keeps path, size and type of a file in its meta,
    under `__artifact_info__`; a caller who writes that key gets InvalidInput. `limit` is the most items that a method
    returns, `expire` the seconds for which a link can be used.
    """

    async def create_disk(self) -> Disk:
        """A new, empty disk."""

    async def disk(self, disk_id: str) -> Disk:
        """The disk of that id. Raises NotFound."""

    async def disk_of_session(self, session_id: str) -> Disk:
        """The session's own disk, made on first use and deleted with the session. Raises NotFound."""

    async def disks(self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False) -> Page[Disk]:
        """A page of disks by time of creation. Raises InvalidInput for a bad cursor or limit."""

    async def delete_disk(self, disk_id: str) -> None:
        """Delete the disk with its files. Raises NotFound."""

    async def upsert_artifact(
        self,
        disk_id: str,
        *,
        file: FileUpload,
        file_path: str | None = None,
        meta: Json | None = None,
        if_sha256: str | None = None,
    ) -> Artifact:
        """Keep a file in the folder `file_path`, in place of the one with its name there.

        Takes constant memory. Where it fails, the old file is still there. Raises NotFound for the disk, InvalidInput
        for the path or the meta, and Conflict where the bytes of the old file do not have the hash `if_sha256`.
        """

    async def artifact(
        self,
        disk_id: str,
        file_path: str,
        *,
        with_public_url: bool | None = None,
        with_content: bool = True,
        expire: int = 3600,
    ) -> ArtifactResult:
        """A file, its text where it has one, and a link to its bytes. Raises NotFound.

        `with_public_url` None = only where there is a server that others can reach.
        """

    async def update_artifact(self, disk_id: str, file_path: str, *, meta: Json) -> Artifact:
        """Replace the meta of a file. Raises NotFound, InvalidInput."""

    async def delete_artifact(self, disk_id: str, file_path: str) -> None:
        """Delete a file. Raises NotFound."""

    async def list_artifacts(self, disk_id: str, path: str | None = None) -> ArtifactListing:
        """Files and folders directly in the folder `path` (None = the root). Raises NotFound for the disk."""

    async def grep_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> list[Artifact]:
        """Text files of which a line matches the regular expression `query`, by path.

        Raises NotFound, and InvalidInput for what is no regular expression.
        """

    async def glob_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> list[Artifact]:
        """Files whose path matches the pattern `query`, by path. Raises NotFound, InvalidInput."""

    async def download_artifact(self, disk_id: str, file_path: str) -> Download:
        """The bytes of a file, to be read in pieces. Raises NotFound."""

    async def asset_urls(
        self, session_id: str, assets: Collection[Asset], *, expire: int = 24 * 3600
    ) -> dict[str, PublicUrl]:
        """Links to files of this session's messages, by their SHA-256. Raises NotFound."""

    async def open_link(self, query: Mapping[str, str]) -> Download:
        """The file that the query string of a link names. Raises Unauthorized, or NotFound where it was deleted."""
