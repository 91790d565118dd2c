"""The backend of `sqlite:///path`: a database file, its blobs in `PATH.blobs`, its secret in `PATH.secret`."""

from __future__ import annotations

import os

from ..backend import Backend, Durability
from ..making import make_directory
from ..protocols import BlobStore, KeyStore, Store
from ..secret import load_secret
from ..urls import file_of


class SqliteBackend(Backend):
    """Everything in and beside one SQLite file."""

    def key_of(self, url: str) -> str:
        return os.path.realpath(file_of(url))

    def open_store(self, url: str, *, project_id: str, durability: Durability, busy_timeout: float) -> Store:
        path = file_of(url)
        from .sqlite import SqliteStore

        return SqliteStore(path, project_id=project_id, durability=durability, busy_timeout=busy_timeout)

    def open_blobs(self, url: str, *, project_id: str) -> BlobStore:
        path = file_of(url)
        from ..blobs.local import LocalBlobs

        return LocalBlobs(path.with_name(path.name + ".blobs") / project_id)

    def open_keys(self, url: str) -> KeyStore:
        path = file_of(url)
        from .keys import SqliteKeys

        return SqliteKeys(path)

    def open_secret(self, url: str) -> bytes:
        path = file_of(url)
        make_directory(path.parent)
        return load_secret(path.with_name(path.name + ".secret"))
