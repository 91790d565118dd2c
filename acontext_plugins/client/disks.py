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
    """Files on disks."""

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

        Big files go through in pieces. Where it fails, the old file is still there. Raises NotFound, InvalidInput,
        and Conflict where the file that is there is no longer the one whose hash you give as `if_sha256`.
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

        The link comes without being asked for only where a server answers it (`public_url`); embedded, it is for
        programs on this machine, as long as this client is open. Raises NotFound.
        """
        return await self._service.artifact(
            disk_id,
            _full(file_path, filename),
            with_public_url=with_public_url,
            with_content=with_content is not False,
            expire=3600 if expire is None else expire,
        )

    async def update(self, disk_id: str, *, file_path: str, filename: str, meta: Mapping[str, Any]) -> ArtifactResult:
        """Replace what you have noted about a file. Raises NotFound, InvalidInput."""
        artifact = await self._service.update_artifact(disk_id, _full(file_path, filename), meta=dict(meta))
        return ArtifactResult(artifact=artifact)

    async def delete(self, disk_id: str, *, file_path: str, filename: str) -> None:
        """Raises NotFound."""
        await self._service.delete_artifact(disk_id, _full(file_path, filename))

    async def list(self, disk_id: str, *, path: str | None = None) -> ArtifactListing:
        """What stands directly in a folder ("/notes/"; None = the root): files, and names of folders."""
        return await self._service.list_artifacts(disk_id, path)

    async def grep_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> Sequence[Artifact]:
        """Text files in which the regular expression occurs in some line. Raises NotFound, InvalidInput."""
        return await self._service.grep_artifacts(disk_id, query=query, limit=limit)

    async def glob_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> Sequence[Artifact]:
        """Files whose path fits: `*.txt` at the root, `**/*.txt` anywhere, `/docs/**` below docs."""
        return await self._service.glob_artifacts(disk_id, query=query, limit=limit)

    async def download(self, disk_id: str, *, file_path: str, filename: str, to: str | os.PathLike[str]) -> Artifact:
        """Write a file's bytes to `to`, in pieces. Raises NotFound, StoreUnavailable."""
        full_path = _full(file_path, filename)
        found = await self._service.artifact(disk_id, full_path, with_public_url=False, with_content=False)
        download = await self._service.download_artifact(disk_id, full_path)
        await asyncio.to_thread(_write, download.read(0, None), to)
        return found.artifact


class AsyncDisks(AsyncResource):
    """Places for files."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.artifacts = AsyncArtifacts(connection)

    async def list(
        self, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None
    ) -> Page[Disk]:
        """A page of disks by time of creation."""
        return await self._service.disks(limit=20 if limit is None else limit, cursor=cursor, time_desc=bool(time_desc))

    async def create(self) -> Disk:
        """A new, empty disk."""
        return await self._service.create_disk()

    async def of_session(self, session_id: str) -> Disk:
        """The session's own disk, made on first use; it goes when the session goes. Raises NotFound."""
        return await self._service.disk_of_session(session_id)

    async def delete(self, disk_id: str) -> None:
        """With its files. Raises NotFound."""
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
