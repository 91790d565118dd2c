"""RemoteFiles: disks, artifacts and the files of messages, asked of a server. Bytes pass through in pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, BinaryIO, TypeVar

import httpx

from acontext_store.types import Artifact, ArtifactListing, Asset, Blob, Disk, Json, Page

from ..files import ArtifactContent
from ..files.download_response import filename_of
from ..files.service import DOWNLOAD, ArtifactResult, Download, FileUpload, PublicUrl
from ..record.redaction.redactor import Scrubber, without_secrets
from .http import Api, away, data_of, error_of
from .paths import at

T = TypeVar("T")


class RemoteFiles:
    """The part of the remote service that keeps files."""

    api: Api
    #: For bodies that are read and written in pieces, on threads of their own.
    streams: httpx.Client
    scrubber: Scrubber

    # -- disks
    async def create_disk(self) -> Disk:
        return Disk.model_validate(_known(Disk, await self.api.ask("POST", "/disk")))

    async def disk(self, disk_id: str) -> Disk:
        return Disk.model_validate(_known(Disk, await self.api.get(at("/_acontext/disk/{disk}", disk_id))))

    async def disk_of_session(self, session_id: str) -> Disk:
        found = await self.api.ask("PUT", at("/_acontext/session/{session}/disk", session_id))
        return Disk.model_validate(_known(Disk, found))

    async def disks(self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False) -> Page[Disk]:
        found = await self.api.get("/disk", limit=limit, cursor=cursor, time_desc=time_desc)
        items = [Disk.model_validate(_known(Disk, item)) for item in found["items"]]
        return Page(items=items, next_cursor=found.get("next_cursor"), has_more=found["has_more"])

    async def delete_disk(self, disk_id: str) -> None:
        await self.api.ask("DELETE", at("/disk/{disk}", disk_id))

    # -- files
    async def upsert_artifact(
        self,
        disk_id: str,
        *,
        file: FileUpload,
        file_path: str | None = None,
        meta: Json | None = None,
        if_sha256: str | None = None,
    ) -> Artifact:
        data = {
            "file_path": file_path or "",
            "meta": json.dumps(without_secrets(self.scrubber, disk_id, meta)) if meta else "",
            "if_sha256": if_sha256 or "",
        }
        form = {name: value for name, value in data.items() if value}
        part = (file.filename, _Reader(file.pieces()), file.content_type)
        path = at("/disk/{disk}/artifact", disk_id)
        found = await self._threaded(
            lambda: self.streams.post(path, data=form, files={"file": part})  # type: ignore[dict-item]
        )
        return _artifact(found)

    async def artifact(
        self,
        disk_id: str,
        file_path: str,
        *,
        with_public_url: bool | None = None,
        with_content: bool = True,
        expire: int = 3600,
    ) -> ArtifactResult:
        found = await self.api.get(
            at("/disk/{disk}/artifact", disk_id),
            file_path=file_path,
            with_public_url=True if with_public_url is None else with_public_url,
            with_content=with_content,
            expire=expire,
        )
        content = found.get("content")
        return ArtifactResult(
            artifact=_artifact(found["artifact"]),
            public_url=found.get("public_url"),
            content=ArtifactContent.model_validate(content) if content is not None else None,
        )

    async def update_artifact(self, disk_id: str, file_path: str, *, meta: Json) -> Artifact:
        clean = without_secrets(self.scrubber, disk_id, meta)
        body = {"file_path": file_path, "meta": json.dumps(clean)}
        return _artifact((await self.api.ask("PUT", at("/disk/{disk}/artifact", disk_id), body=body))["artifact"])

    async def delete_artifact(self, disk_id: str, file_path: str) -> None:
        await self.api.ask("DELETE", at("/disk/{disk}/artifact", disk_id), params={"file_path": file_path})

    async def list_artifacts(self, disk_id: str, path: str | None = None) -> ArtifactListing:
        found = await self.api.get(at("/disk/{disk}/artifact/ls", disk_id), path=path)
        return ArtifactListing(artifacts=list(map(_artifact, found["artifacts"])), directories=found["directories"])

    async def grep_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> list[Artifact]:
        return list(
            map(_artifact, await self.api.get(at("/disk/{disk}/artifact/grep", disk_id), query=query, limit=limit))
        )

    async def glob_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> list[Artifact]:
        return list(
            map(_artifact, await self.api.get(at("/disk/{disk}/artifact/glob", disk_id), query=query, limit=limit))
        )

    async def download_artifact(self, disk_id: str, file_path: str) -> Download:
        found = await self.artifact(disk_id, file_path, with_public_url=False, with_content=False)
        one, path = found.artifact, at("/disk/{disk}/artifact/download", disk_id)
        return Download(one.filename, one.mime, one.size, one.sha256, self._reading(path, {"file_path": file_path}))

    # -- files of messages
    async def upload(self, source: BinaryIO) -> Blob:
        """Keep bytes that a message is going to name (`Part.asset`), however many they are."""
        file = ("file", source, "application/octet-stream")
        found = await self._threaded(lambda: self.streams.post("/_acontext/asset", files={"file": file}))
        return Blob(found["sha256"], found["size"])

    async def asset_urls(
        self, session_id: str, assets: Collection[Asset], *, expire: int = 24 * 3600
    ) -> dict[str, PublicUrl]:
        body = {"assets": [asset.model_dump() for asset in assets], "expire": expire}
        found = await self.api.ask(
            "POST", at("/_acontext/session/{session}/asset_urls", session_id), body=body, again=True
        )
        return {sha256: PublicUrl.model_validate(one) for sha256, one in found.items()}

    async def open_link(self, query: Mapping[str, str]) -> Download:
        path = "/download"

        def look() -> Download:
            try:
                with self.streams.stream("GET", path, params=dict(query)) as response:
                    _refused(response)
                    headers = response.headers
                    name = filename_of(headers.get("content-disposition", "")) or DOWNLOAD
                    size = int(headers.get("content-length") or 0)
                    return Download(
                        name,
                        headers.get("content-type", ""),
                        size,
                        headers.get("etag", "").strip('"'),
                        self._reading(path, query),
                    )
            except httpx.HTTPError as error:
                raise away(self.api.url, error) from error

        return await asyncio.to_thread(look)

    # -- bytes
    async def _threaded(self, ask: Callable[[], httpx.Response]) -> Any:
        """`data` of a request whose body is read in pieces: on a thread, for reading may take its time."""

        def run() -> Any:
            try:
                response = ask()
            except httpx.HTTPError as error:
                raise away(self.api.url, error) from error
            return data_of(self.api.url, response)

        return await asyncio.to_thread(run)

    def _reading(self, path: str, query: Mapping[str, str]) -> Callable[[int, int | None], Iterator[bytes]]:
        def read(start: int, end: int | None) -> Iterator[bytes]:
            if end is not None and end <= start:
                return  # which no Range header can say
            whole = start == 0 and end is None
            wanted = {} if whole else {"range": f"bytes={start}-{'' if end is None else end - 1}"}
            try:
                with self.streams.stream("GET", path, params=dict(query), headers=wanted) as response:
                    if response.status_code == 416:
                        return  # the file ends before `start`
                    _refused(response)
                    pieces = response.iter_bytes()
                    # a server may ignore a range, and so may a proxy on the way
                    yield from pieces if whole or response.status_code == 206 else _cut(pieces, start, end)
            except httpx.HTTPError as error:
                raise away(self.api.url, error) from error

        return read


def _cut(pieces: Iterator[bytes], start: int, end: int | None) -> Iterator[bytes]:
    """The bytes from `start` up to `end` of all these."""
    position = 0
    for piece in pieces:
        yield piece[max(0, start - position) : None if end is None else max(0, end - position)]
        position += len(piece)
        if end is not None and position >= end:
            return


class _Reader:
    """Pieces as something with `read`."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest += piece
        size = len(self._rest) if size < 0 else size
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def _refused(response: httpx.Response) -> None:
    """Raises what the server says where it gives no bytes."""
    if response.status_code < 400:
        return
    response.read()
    try:
        body = response.json()
    except ValueError:
        body = {}
    raise error_of(body if isinstance(body, dict) else {}, response.status_code)


def _known(kind: type[Any], found: Json) -> Json:
    return {name: value for name, value in found.items() if name in kind.model_fields}


def _artifact(found: Json) -> Artifact:
    return Artifact.model_validate(_known(Artifact, found))
