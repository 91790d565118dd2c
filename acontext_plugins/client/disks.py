"""Disks and artifacts, for both clients."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from acontext_store.errors import StoreUnavailable
from acontext_store.types import Artifact, ArtifactListing, Disk, Page

from ..files.service import ArtifactResult, Upload, as_upload
from .connection import AsyncResource, Connection


class AsyncArtifacts(AsyncResource):
    """Files on disks, each in a folder ("/notes/") and with a name ("todo.md")."""

    async def upsert(
        self,
        disk_id: str,
        *,
        file: Upload,
        file_path: str | None = None,
        meta: Mapping[str, Any] | None = None,
        if_sha256: str | None = None,
    ) -> Artifact:
        """Keep a file in the folder `file_path` ("/notes/"), in place of the one with its name there.

        `file` is a `FileUpload`, or `(name, bytes or a file opened in binary mode)`; big files go through in pieces.
        Where it fails, the old file is still there. Raises NotFound, InvalidInput, and Conflict where the bytes of the
        old file do not have the hash `if_sha256`.

        >>> artifact = await client.artifacts.upsert(disk.id, file=("todo.md", b"call ann"), file_path="/notes/")
        >>> artifact.full_path, artifact.size
        ('/notes/todo.md', 8)
        """
        upload = as_upload(file)
        return await self._service.upsert_artifact(
            disk_id,
            file=upload,
            file_path=file_path,
            meta=None if meta is None else dict(meta),
            if_sha256=if_sha256,
        )

    async def get(
        self,
        disk_id: str,
        *,
        file_path: str,
        filename: str,
        with_public_url: bool | None = None,
        with_content: bool | None = None,
        expire: int | None = None,
    ) -> ArtifactResult:
        """A file, its text where it has one, and a link that a plain GET can download for `expire` seconds (3600).

        `with_public_url` None = only where a server answers the link (`public_url` of the settings); the link of an
        embedded client is for programs on this machine, as long as the client is open. Raises NotFound.

        >>> found = await client.artifacts.get(disk.id, file_path="/notes/", filename="todo.md")
        >>> found.content.raw
        'call ann'
        """
        return await self._service.artifact(
            disk_id,
            _full(file_path, filename),
            with_public_url=with_public_url,
            with_content=with_content is not False,
            expire=3600 if expire is None else expire,
        )

    async def update(self, disk_id: str, *, file_path: str, filename: str, meta: Mapping[str, Any]) -> ArtifactResult:
        """Replace the meta of a file. Raises NotFound, InvalidInput."""
        artifact = await self._service.update_artifact(disk_id, _full(file_path, filename), meta=dict(meta))
        return ArtifactResult(artifact=artifact)

    async def delete(self, disk_id: str, *, file_path: str, filename: str) -> None:
        """Delete a file. Raises NotFound."""
        await self._service.delete_artifact(disk_id, _full(file_path, filename))

    async def list(self, disk_id: str, *, path: str | None = None) -> ArtifactListing:
        """The files directly in a folder ("/notes/"; None = the root), and the names of its folders.

        Raises NotFound for the disk.
        """
        return await self._service.list_artifacts(disk_id, path)

    async def grep_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> Sequence[Artifact]:
        """Text files of which a line matches the regular expression `query`, `limit` files at most.

        Raises NotFound, and InvalidInput for what is no regular expression.
        """
        return await self._service.grep_artifacts(disk_id, query=query, limit=limit)

    async def glob_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> Sequence[Artifact]:
        """Files whose path matches `query`, `limit` files at most. Raises NotFound, InvalidInput.

        `*.txt` matches at the root, `**/*.txt` anywhere, `/docs/**` below docs.
        """
        return await self._service.glob_artifacts(disk_id, query=query, limit=limit)

    async def download(self, disk_id: str, *, file_path: str, filename: str, to: str | os.PathLike[str]) -> Artifact:
        """Write a file's bytes to `to`, in pieces. Raises NotFound, StoreUnavailable."""
        full_path = _full(file_path, filename)
        found = await self._service.artifact(disk_id, full_path, with_public_url=False, with_content=False)
        download = await self._service.download_artifact(disk_id, full_path)
        await asyncio.to_thread(_write, download.read(0, None), to)
        return found.artifact


class AsyncDisks(AsyncResource):
    """Disks: places for files."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.artifacts = AsyncArtifacts(connection)

    async def list(
        self, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None
    ) -> Page[Disk]:
        """A page of disks by time of creation. `limit` is 1 to 200 items (20), `cursor` as the page before gave it.

        Raises InvalidInput for a bad limit or cursor.
        """
        return await self._service.disks(limit=20 if limit is None else limit, cursor=cursor, time_desc=bool(time_desc))

    async def create(self) -> Disk:
        """Create an empty disk.

        >>> disk = await client.disks.create()
        >>> listing = await client.artifacts.list(disk.id)
        >>> len(listing.artifacts)
        0
        """
        return await self._service.create_disk()

    async def of_session(self, session_id: str) -> Disk:
        """The session's own disk, made on first use and deleted with the session. Raises NotFound."""
        return await self._service.disk_of_session(session_id)

    async def delete(self, disk_id: str) -> None:
        """Delete the disk with its files. Raises NotFound."""
        await self._service.delete_disk(disk_id)


def _full(file_path: str, filename: str) -> str:
    """The whole path of a file, as the `acontext` package puts it together."""
    return f"{file_path.rstrip('/')}/{filename}"


def _write(pieces: Iterator[bytes], to: str | os.PathLike[str]) -> None:
    try:
        with open(to, "wb") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {os.fspath(to)}: {error.strerror or error}") from error
