"""Files: what the engine does with disks, artifacts, and the files that come with messages."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from acontext_store.blobs.garbage import GRACE, sweep
from acontext_store.errors import AcontextError, InvalidInput, NotFound, StoreUnavailable
from acontext_store.protocols import BlobStore, Store
from acontext_store.types import Artifact, ArtifactListing, Asset, Blob, Disk, Json, Message, Page, Part, new_id

from ..editing import Offload
from ..files import (
    MOST_PARSED,
    ArtifactContent,
    ArtifactPath,
    Glob,
    Grep,
    LinkTarget,
    content_kind,
    folder,
    folder_of,
    parse_content,
    place,
    placed,
)
from ..files import verify as verify_link
from ..files.download_server import DownloadLinks
from ..files.service import ARTIFACT_INFO, ArtifactResult, Download, FileUpload, PublicUrl
from ..files.signed_urls import expiry
from ..formats.stored import MIME, SIZE
from ..record.redaction.redactor import Scrubber, without_secrets

log = logging.getLogger("acontext")

_OCTETS = "application/octet-stream"
_MIME = re.compile(r"[!-~][ -~]{0,254}")
#: Files that come with messages, up to this many bytes, are put into what a model reads.
_INLINE = 20 * 1024 * 1024
#: Seconds that a search may take.
_PATIENCE = 30.0
_DAY = 24 * 3600.0
T = TypeVar("T")
Fits = Callable[[Artifact], bool]


class FileOperations:
    """Disks, artifacts, and the files of messages: those of one project."""

    def __init__(
        self, store: Store, blobs: BlobStore, *, scrubber: Scrubber, public_url: str, secret: Callable[[], bytes]
    ) -> None:
        """`public_url` is where links lead ("" = to this machine), `secret` gives what they are signed with."""
        self.store = store
        self.blobs = blobs
        self.scrubber = scrubber
        self.links = DownloadLinks(public_url=public_url, secret=secret, open_link=self.open_link_here)

    # -- disks
    async def create_disk(self) -> Disk:
        return await self.store.create_disk(Disk(id=new_id(), project_id=self.store.project_id))

    async def disk(self, disk_id: str) -> Disk:
        return await self.store.disk(disk_id)

    async def disk_of_session(self, session_id: str) -> Disk:
        return await self.store.disk_of_session(session_id)

    async def disks(self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False) -> Page[Disk]:
        return await self.store.disks(limit=limit, cursor=cursor, time_desc=time_desc)

    async def delete_disk(self, disk_id: str) -> None:
        await self.store.delete_disk(disk_id)
        await self.sweep()

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
        where = placed(folder_of(file_path), file.filename)
        meta = without_secrets(self.scrubber, disk_id, checked_meta(meta or {}))
        await self.store.disk(disk_id)  # before any bytes are taken
        blob = await asyncio.to_thread(self._keep, file)
        artifact = Artifact(
            disk_id=disk_id,
            path=where.path,
            filename=where.filename,
            sha256=blob.sha256,
            size=blob.size,
            mime=_mime(file.content_type),
            meta=meta,
        )
        return described(await self.store.put_artifact(artifact, if_sha256=if_sha256))

    def _keep(self, file: FileUpload) -> Blob:
        with self.blobs.write() as writer:
            for piece in file.pieces():
                writer.write(piece)
            return writer.commit()

    async def artifact(
        self,
        disk_id: str,
        file_path: str,
        *,
        with_public_url: bool | None = None,
        with_content: bool = True,
        expire: int = 3600,
    ) -> ArtifactResult:
        ends = expiry(expire)
        where, url = place(file_path), None
        if with_content:
            found, content = await asyncio.to_thread(self._present, disk_id, where, self._content)
        else:
            found, content = await self.store.artifact(disk_id, *where), None
        if self.links.public if with_public_url is None else with_public_url:
            link = LinkTarget(self.store.project_id, ends, disk=disk_id, path=found.full_path)
            url = await asyncio.to_thread(self.links.url, link)
        return ArtifactResult(artifact=described(found), public_url=url, content=content)

    async def update_artifact(self, disk_id: str, file_path: str, *, meta: Json) -> Artifact:
        clean = without_secrets(self.scrubber, disk_id, checked_meta(meta))
        return described(await self.store.update_artifact(disk_id, *place(file_path), meta=clean))

    async def delete_artifact(self, disk_id: str, file_path: str) -> None:
        await self.store.delete_artifact(disk_id, *place(file_path))
        await self.sweep()

    async def list_artifacts(self, disk_id: str, path: str | None = None) -> ArtifactListing:
        listing = await self.store.list_artifacts(disk_id, folder(path))
        return listing.model_copy(update={"artifacts": [described(artifact) for artifact in listing.artifacts]})

    async def grep_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> list[Artifact]:
        has = partial(self._has, Grep(query), {})
        return await asyncio.to_thread(self._search, disk_id, "/", has, _checked_limit(limit))

    async def glob_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> list[Artifact]:
        glob = Glob(query)
        under = folder(glob.under)
        return await asyncio.to_thread(
            self._search, disk_id, under, lambda artifact: glob.fits(artifact.full_path), _checked_limit(limit)
        )

    def _search(self, disk_id: str, under: str, fits: Fits, limit: int) -> list[Artifact]:
        found: list[Artifact] = []
        cursor: str | None = None
        until = time.monotonic() + _PATIENCE
        while True:
            page = self.store.artifacts(disk_id, under=under, limit=1000, cursor=cursor).result()
            for artifact in page.items:
                if time.monotonic() > until:
                    raise InvalidInput(
                        f"the search took longer than {_PATIENCE:.0f} seconds: there are too many files; narrow it "
                        "to a folder ('/notes/**'), or ask for fewer files"
                    )
                if fits(artifact):
                    found.append(described(artifact))
                    if len(found) == limit:
                        return found
            cursor = page.next_cursor
            if cursor is None:
                return found

    def _has(self, grep: Grep, known: dict[str, bool], artifact: Artifact) -> bool:
        """Whether the expression occurs in the file; `known` = the answers so far, by hash."""
        if content_kind(artifact.filename, artifact.mime) is None or artifact.size > MOST_PARSED:
            return False
        if artifact.sha256 not in known:
            try:
                known[artifact.sha256] = grep.finds(self.blobs.get(artifact.sha256).decode())
            except (NotFound, UnicodeDecodeError):  # replaced meanwhile, or no text
                return False
        return known[artifact.sha256]

    def _content(self, artifact: Artifact) -> ArtifactContent | None:
        if content_kind(artifact.filename, artifact.mime) is None or artifact.size > MOST_PARSED:
            return None
        return parse_content(artifact.filename, artifact.mime, self.blobs.get(artifact.sha256))

    def _present(self, disk_id: str, where: ArtifactPath, use: Callable[[Artifact], T]) -> tuple[Artifact, T]:
        """A file, and what `use` makes of its bytes: where it is replaced in between, of the new ones."""
        seen: str | None = None
        while True:
            found = self.store.artifact(disk_id, *where).result()
            try:
                return found, use(found)
            except NotFound as error:
                if found.sha256 == seen:
                    raise StoreUnavailable(f"the bytes of {found.full_path} are gone: restore a backup") from error
                seen = found.sha256

    # -- downloads
    async def download_artifact(self, disk_id: str, file_path: str) -> Download:
        return (await asyncio.to_thread(self._present, disk_id, place(file_path), self._download))[1]

    async def open_link(self, query: Mapping[str, str]) -> Download:
        return await asyncio.to_thread(self.open_link_here, query)

    def open_link_here(self, query: Mapping[str, str]) -> Download:
        """The same, for threads."""
        link = verify_link(self.links.key, query)
        if link.project != self.store.project_id:
            raise NotFound("project", link.project)
        if link.disk:
            return self._present(link.disk, place(link.path), self._download)[1]
        self.store.session(link.session).result()
        return Download(
            filename=link.filename or link.sha256,
            mime=_mime(link.mime),
            size=self.blobs.size(link.sha256),
            sha256=link.sha256,
            read=partial(self._read, link.sha256),
        )

    def _download(self, artifact: Artifact) -> Download:
        return Download(
            filename=artifact.filename,
            mime=artifact.mime,
            size=self.blobs.size(artifact.sha256),
            sha256=artifact.sha256,
            read=partial(self._read, artifact.sha256),
        )

    def _read(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return self.blobs.read(sha256, start=start, end=end)

    # -- files that came with messages
    async def asset_urls(
        self, session_id: str, assets: Collection[Asset], *, expire: int = 24 * 3600
    ) -> dict[str, PublicUrl]:
        ends = expiry(expire)
        expire_at = datetime.fromtimestamp(ends, UTC).isoformat().replace("+00:00", "Z")
        await self.store.session(session_id)
        found: dict[str, PublicUrl] = {}
        for asset in assets:
            link = LinkTarget(
                self.store.project_id,
                ends,
                session=session_id,
                sha256=asset.sha256,
                filename=asset.filename or "",
                mime=asset.mime,
            )
            found[asset.sha256] = PublicUrl(url=await asyncio.to_thread(self.links.url, link), expire_at=expire_at)
        return found

    async def with_files(self, session_id: str, messages: Sequence[Message]) -> list[Message]:
        """The messages with their files in them, for formats that know no assets.

        As links where others can follow them; else as base64, up to 20 MB each.
        """
        return [await self._with_files(session_id, message) for message in messages]

    async def _with_files(self, session_id: str, message: Message) -> Message:
        if not any(part.asset is not None and part.text is None for part in message.parts):
            return message
        parts = [await self._filled(session_id, part) for part in message.parts]
        return message.model_copy(update={"parts": tuple(parts), "native": None})

    async def _filled(self, session_id: str, part: Part) -> Part:
        asset = asset_of(part)
        if asset is None:
            return part
        meta: Json = {**(part.meta or {}), MIME: asset.mime}
        if self.links.public:
            meta["url"] = (await self.asset_urls(session_id, [asset]))[asset.sha256].url
        else:
            data = await asyncio.to_thread(self._inline, asset.sha256)
            if data is None:
                return part
            meta["data"] = data
        return part.model_copy(update={"meta": meta})

    def _inline(self, sha256: str) -> str | None:
        try:
            return base64.b64encode(self.blobs.get(sha256)).decode() if self.blobs.size(sha256) <= _INLINE else None
        except NotFound:
            return None

    async def keep_offloads(self, session_id: str, offloads: Sequence[Offload]) -> None:
        """Write results that an edit has moved out of a conversation to their disks; those that are there stay."""
        own = await self.store.disk_of_session(session_id) if any(one.disk_id is None for one in offloads) else None
        for one in offloads:
            disk_id = one.disk_id or (own.id if own is not None else "")
            where, data = place(one.path), one.text.encode("utf-8", "replace")
            try:
                there = await self.store.artifact(disk_id, *where)
                if there.sha256 == hashlib.sha256(data).hexdigest():
                    continue
            except NotFound as error:
                if error.kind != "artifact":
                    raise
            file = FileUpload(where.filename, data, "text/plain; charset=utf-8")
            await self.upsert_artifact(disk_id, file=file, file_path=where.path)

    # -- what nothing refers to any more
    async def sweep(self, *, thorough: bool = False) -> int:
        """Delete blobs that nothing refers to; what cannot be deleted now is deleted another time."""
        try:
            return await asyncio.to_thread(sweep, self.store, self.blobs, thorough=thorough)
        except AcontextError as error:
            log.info("acontext: unused files stay for now: %s", error)
            return 0

    async def sweep_always(self, *, first: float = 10.0, pause: float = GRACE, thorough_after: float = 3600.0) -> None:
        """Soon and then now and then, for as long as the engine runs; thoroughly after an hour, and once a day."""
        await asyncio.sleep(first)
        until_thorough = thorough_after
        while True:
            await self.sweep(thorough=until_thorough <= 0)
            until_thorough = (until_thorough if until_thorough > 0 else _DAY) - pause
            await asyncio.sleep(pause)


def described(artifact: Artifact) -> Artifact:
    """With our description of it in its meta, as clients see it."""
    info = {
        "path": artifact.path,
        "filename": artifact.filename,
        "mime": artifact.mime,
        "size": artifact.size,
    }
    return artifact.model_copy(update={"meta": {ARTIFACT_INFO: info, **artifact.meta}})


def checked_meta(meta: object) -> Json:
    """The user's own keys. Raises InvalidInput."""
    if not isinstance(meta, dict) or not all(isinstance(key, str) for key in meta):
        raise InvalidInput(f"meta: expected an object, found {type(meta).__name__}")
    if ARTIFACT_INFO in meta:
        raise InvalidInput(f"meta: the key {ARTIFACT_INFO!r} is ours; leave it out")
    return dict(meta)


def asset_of(part: Part) -> Asset | None:
    """The file that a part names; None where it names none (a long text is no file)."""
    if part.asset is None or part.text is not None:
        return None
    meta = part.meta or {}
    size, mime = meta.get(SIZE), meta.get(MIME)
    return Asset(
        sha256=part.asset,
        size=size if isinstance(size, int) else 0,
        mime=_mime(mime if isinstance(mime, str) else ""),
        filename=part.filename,
    )


def _mime(given: str) -> str:
    return given if _MIME.fullmatch(given) else _OCTETS


def _checked_limit(limit: int) -> int:
    if not 1 <= limit <= 1000:
        raise InvalidInput(f"limit is {limit}: it must be 1 to 1000")
    return limit
