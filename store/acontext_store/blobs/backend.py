"""The backend of `file:///directory`: blobs alone, a directory for each project."""

from __future__ import annotations

from ..backend import Backend
from ..protocols import BlobStore
from ..urls import file_of


class FileBackend(Backend):
    """Blobs in a directory."""

    def open_blobs(self, url: str, *, project_id: str) -> BlobStore:
        path = file_of(url)
        from .local import LocalBlobs

        return LocalBlobs(path / project_id)
