"""A message as it is kept, in the "acontext" format: with its ids and times, and where its uploaded bytes are."""

from __future__ import annotations

from acontext_store.types import Json, Part, StoredMessage

from .blob import copied

#: In the `meta` of a part that was uploaded: what its bytes are.
MIME, SIZE = "media_type", "size_b"
_OCTETS = "application/octet-stream"


def to_stored(message: StoredMessage) -> Json:
    """All that the HTTP interface says of a message."""
    return {
        "id": message.id,
        "session_id": message.session_id,
        "parent_id": message.parent_id,
        "role": "user" if message.role == "tool" else message.role,
        "meta": copied(message.meta),
        "parts": [_part(part, message.project_id) for part in message.parts],
        "task_id": message.task_id,
        "session_task_process_status": message.session_task_process_status,
        "created_at": message.created_at,
        "updated_at": message.updated_at,
    }


def _part(part: Part, project_id: str) -> Json:
    said: Json = {"type": part.type}
    if part.text is not None:
        said["text"] = part.text
    if part.asset is not None:
        meta = part.meta or {}
        size = meta.get(SIZE)
        said["asset"] = {
            "bucket": project_id,
            "s3_key": f"blobs/{part.asset}",
            "etag": part.asset,
            "sha256": part.asset,
            "mime": str(meta.get(MIME) or _OCTETS),
            "size_b": size if isinstance(size, int) else 0,
        }
    if part.filename is not None:
        said["filename"] = part.filename
    if part.meta:
        said["meta"] = copied(part.meta)
    return said
