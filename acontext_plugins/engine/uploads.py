"""Uploads: bytes that messages name, and messages that name none that they may not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from acontext_store.errors import InvalidInput, NotFound
from acontext_store.protocols import BlobStore
from acontext_store.types import NATIVE_ASSET, Blob, Message

_PIECE = 1024 * 1024


def keep_bytes(blobs: BlobStore, source: BinaryIO) -> Blob:
    """Keep all that can be read from `source`, in constant memory."""
    with blobs.write() as writer:
        while piece := source.read(_PIECE):
            writer.write(piece)
        return writer.commit()


def check_assets(blobs: BlobStore, messages: Iterable[Message]) -> None:
    """Messages from outside may name uploaded bytes, and nothing that could not be read back.

    Raises NotFound for bytes that were never uploaded, InvalidInput for what only the engine itself may write.
    """
    for message in messages:
        for part in message.parts:
            if part.asset is None:
                continue
            if part.text is not None:
                raise InvalidInput(f"message {message.id}: a part has text or an asset, not both")
            if not blobs.exists(part.asset):
                raise NotFound("asset", part.asset)
        if message.native is not None and set(message.native) == {NATIVE_ASSET}:
            raise InvalidInput(f"message {message.id}: native: found only {NATIVE_ASSET!r}, expected the item itself")
