"""From a URL to a store. The scheme picks the backend (see `backend`); what is not asked for is not imported."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from .backend import Durability, backend_of, complete
from .errors import InvalidInput
from .project import check_project_id
from .protocols import BlobStore, KeyStore, Store
from .urls import file_of, scheme_of

__all__ = ["database_key", "database_path", "database_url", "open_blobs", "open_keys", "open_secret", "open_store"]


def open_store(url: str, *, project_id: str, durability: Durability = "normal", busy_timeout: float = 5.0) -> Store:
    """Open the store of one project; a SQLite file that is missing is made, with its directories.

    A write waits `busy_timeout` seconds for other processes that hold the database.

    `sqlite:///relative/path`, `sqlite:////absolute/path`, `sqlite:///~/path`, or what another backend opens. Raises
    InvalidInput for a URL that none opens, StoreUnavailable where the file cannot be used, IncompatibleStore where a
    newer version wrote it.
    """
    check_project_id(project_id)
    if durability not in ("normal", "full"):
        raise InvalidInput(f'durability is {durability!r}: it must be "normal" or "full"')
    backend = backend_of(url)
    store = backend.open_store(url, project_id=project_id, durability=durability, busy_timeout=busy_timeout)
    complete(Store, store, backend)
    return store


def open_blobs(url: str, *, project_id: str) -> BlobStore:
    """Open the blobs of one project: `file:///directory`, or those of a database (SQLite: `PATH.blobs` beside it).

    Raises InvalidInput for a URL that no backend opens, StoreUnavailable where the directory cannot be used.
    """
    check_project_id(project_id)
    backend = backend_of(url)
    blobs = backend.open_blobs(url, project_id=project_id)
    complete(BlobStore, blobs, backend)
    return blobs


def open_keys(url: str) -> KeyStore:
    """Open the API keys of all projects, kept in the database of the stores. Raises as `open_store` does."""
    backend = backend_of(url)
    keys = backend.open_keys(url)
    complete(KeyStore, keys, backend)
    return keys


def open_secret(url: str) -> bytes:
    """The secret of this installation (SQLite: `PATH.secret` beside the database), made where there is none."""
    return backend_of(url).open_secret(url)


def database_key(url: str) -> str:
    """The key of a database, the same for all spellings of its URL. Raises InvalidInput where no backend opens it."""
    return backend_of(url).key_of(url)


def database_url(path: str | os.PathLike[str]) -> str:
    """The `sqlite:///` URL of a file, whatever its name holds."""
    return f"sqlite:///{quote(os.fspath(path), errors='surrogateescape')}"


def database_path(url: str) -> Path | None:
    """The file that a URL names; None where it names none."""
    try:
        return file_of(url) if scheme_of(url) == "sqlite" else None
    except InvalidInput:
        return None
