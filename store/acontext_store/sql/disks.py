"""Disks and the files on them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from pydantic import ValidationError

from ..cursors import decode_cursor, encode_cursor
from ..errors import Conflict, InvalidInput, NotFound
from ..types import Artifact, ArtifactListing, Disk, Json, Page, new_id, now
from . import blob_references
from .database import Tx, check_limit, dump, load
from .database import page as page_of
from .tables import artifacts, disks, sessions, unused_blobs


def create_disk(tx: Tx, disk: Disk) -> Disk:
    if disk.project_id != tx.project_id:
        raise InvalidInput(f"the disk belongs to project {disk.project_id!r}, this store to {tx.project_id!r}")
    if disk.session_id is not None:
        tx.get(sessions, "session", disk.session_id)
        if tx.find(disks, session_id=disk.session_id) is not None:
            raise Conflict(f"session {disk.session_id!r} has a disk already: go on with that one")
    if tx.find(disks, id=disk.id) is not None:
        raise Conflict(f"there is a disk {disk.id!r} already: use another id, or go on with that one")
    tx.add(disks, [disk.model_dump()])
    return disk


def disk(tx: Tx, disk_id: str) -> Disk:
    return _disk(tx.get(disks, "disk", disk_id))


def disk_of_session(tx: Tx, session_id: str) -> Disk:
    found = tx.find(disks, session_id=session_id)
    if found is not None:
        return _disk(found)
    return create_disk(tx, Disk(id=new_id(), project_id=tx.project_id, session_id=session_id))


def list_disks(tx: Tx, *, limit: int, cursor: str | None, time_desc: bool) -> Page[Disk]:
    query = disks.select().where(tx.mine(disks))
    return page_of(tx, query, disks.c.created_at, disks.c.id, _disk, limit=limit, cursor=cursor, time_desc=time_desc)


def delete_disk(tx: Tx, disk_id: str) -> None:
    tx.get(disks, "disk", disk_id)
    drop(tx, disk_id)


def drop_of_session(tx: Tx, session_id: str) -> None:
    """The session goes, and its own disk with it."""
    found = tx.find(disks, session_id=session_id)
    if found is not None:
        drop(tx, found.id)


_BLOBS = "SELECT DISTINCT sha256 FROM artifacts WHERE project_id = ? AND disk_id = ?"


def drop(tx: Tx, disk_id: str) -> None:
    hashes = [sha256 for (sha256,) in tx.raw.execute(_BLOBS, (tx.project_id, disk_id))]
    tx.drop(artifacts, disk_id=disk_id)
    tx.drop(disks, id=disk_id)
    blob_references.release(tx, hashes)
    tx.purged = True


def _disk(row: Any) -> Disk:
    return Disk.model_construct(
        id=row.id,
        project_id=row.project_id,
        session_id=row.session_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


# -------------------------------------------------------------------------------------------------- files


def put(tx: Tx, artifact: Artifact, *, if_sha256: str | None) -> Artifact:
    tx.get(disks, "disk", artifact.disk_id)
    place = {"disk_id": artifact.disk_id, "path": artifact.path, "filename": artifact.filename}
    before = tx.find(artifacts, **place)
    if if_sha256 is not None and (before is None or before.sha256 != if_sha256):
        raise Conflict(f"{artifact.full_path} has changed since it was read: read it again")
    values = {
        "sha256": artifact.sha256,
        "size": artifact.size,
        "mime": artifact.mime,
        "meta": dump(artifact.meta),
        "updated_at": artifact.updated_at,
    }
    if before is None:
        tx.add(artifacts, [{**place, **values, "created_at": artifact.created_at}])
    else:
        tx.change(artifacts, values, **place)
        artifact = artifact.model_copy(update={"created_at": before.created_at})
        if before.sha256 != artifact.sha256:
            blob_references.release(tx, [before.sha256])
    tx.drop(unused_blobs, sha256=artifact.sha256)
    tx.change(disks, {"updated_at": artifact.updated_at}, id=artifact.disk_id)
    return artifact


def artifact(tx: Tx, disk_id: str, path: str, filename: str) -> Artifact:
    return _artifact(_row(tx, disk_id, path, filename))


def update(tx: Tx, disk_id: str, path: str, filename: str, *, meta: Json) -> Artifact:
    _row(tx, disk_id, path, filename)
    moment = now()
    tx.change(artifacts, {"meta": dump(meta), "updated_at": moment}, disk_id=disk_id, path=path, filename=filename)
    tx.change(disks, {"updated_at": moment}, id=disk_id)
    return artifact(tx, disk_id, path, filename)


def delete(tx: Tx, disk_id: str, path: str, filename: str) -> None:
    row = _row(tx, disk_id, path, filename)
    tx.drop(artifacts, disk_id=disk_id, path=path, filename=filename)
    tx.change(disks, {"updated_at": now()}, id=disk_id)
    blob_references.release(tx, [row.sha256])
    tx.purged = True


_FILES = """
SELECT path, filename, sha256, size, mime, meta, created_at, updated_at FROM artifacts
WHERE project_id = ? AND disk_id = ? AND path = ? ORDER BY filename
"""
_NEXT_FOLDER = """
SELECT path FROM artifacts WHERE project_id = ? AND disk_id = ? AND path >= ? AND path < ? ORDER BY path LIMIT 1
"""
_BELOW = """
SELECT path, filename, sha256, size, mime, meta, created_at, updated_at FROM artifacts
WHERE project_id = ? AND disk_id = ? AND (path, filename) > (?, ?) AND path < ?
ORDER BY path, filename LIMIT ?
"""


def list_folder(tx: Tx, disk_id: str, path: str) -> ArtifactListing:
    tx.get(disks, "disk", disk_id)
    rows = tx.raw.execute(_FILES, (tx.project_id, disk_id, path))
    files = [_of_row(disk_id, row) for row in rows]
    folders: list[str] = []
    # from one folder to the next, however much is in each: all below "/a/" stands before "/a0", as "0" follows "/"
    after, end = path + "\0", _end(path)
    while row := tx.raw.execute(_NEXT_FOLDER, (tx.project_id, disk_id, after, end)).fetchone():
        name = row[0][len(path) :].partition("/")[0]
        folders.append(name)
        after = f"{path}{name}0"
    return ArtifactListing.model_construct(artifacts=files, directories=sorted(folders))


def list_below(tx: Tx, disk_id: str, *, under: str, limit: int, cursor: str | None) -> Page[Artifact]:
    tx.get(disks, "disk", disk_id)
    check_limit(limit, most=1000)
    path, name = under, ""
    if cursor is not None:
        quoted_path, quoted_name = decode_cursor(cursor)
        path, name = unquote(quoted_path), unquote(quoted_name)
    values = (tx.project_id, disk_id, max(path, under), name, _end(under), limit + 1)
    rows = tx.raw.execute(_BELOW, values).fetchall()
    more, rows = len(rows) > limit, rows[:limit]
    following = encode_cursor(quote(rows[-1][0]), quote(rows[-1][1])) if more else None
    items = [_of_row(disk_id, row) for row in rows]
    return Page.model_construct(items=items, next_cursor=following, has_more=more)


def _end(path: str) -> str:
    """What is below a folder stands before this."""
    return path[:-1] + "0"


def _row(tx: Tx, disk_id: str, path: str, filename: str) -> Any:
    tx.get(disks, "disk", disk_id)
    row = tx.find(artifacts, disk_id=disk_id, path=path, filename=filename)
    if row is None:
        raise NotFound("artifact", path + filename)
    return row


def _artifact(row: Any) -> Artifact:
    return Artifact.model_construct(
        disk_id=row.disk_id,
        path=row.path,
        filename=row.filename,
        sha256=row.sha256,
        size=row.size,
        mime=row.mime,
        meta=load(row.meta),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _of_row(disk_id: str, row: tuple[Any, ...]) -> Artifact:
    path, filename, sha256, size, mime, meta, created_at, updated_at = row
    values = {
        "disk_id": disk_id,
        "path": path,
        "filename": filename,
        "sha256": sha256,
        "size": size,
        "mime": mime,
        "meta": {} if meta == "{}" else load(meta),
        "created_at": created_at,
        "updated_at": updated_at,
    }
    try:
        return Artifact(**values)  # a search makes thousands: this takes a third of `model_construct`
    except ValidationError:  # half a surrogate pair in its meta
        return Artifact.model_construct(**values)
