"""From a URL to a store. What is not asked for is not imported."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from .errors import InvalidInput
from .making import make_directory
from .project import check_project_id
from .protocols import BlobStore, KeyStore, Store
from .secret import load_secret


def open_store(
    url: str, *, project_id: str, durability: Literal["normal", "full"] = "normal", busy_timeout: float = 5.0
) -> Store:
    """Open the store of one project; a SQLite file that is missing is made, with its directories.

    A write waits `busy_timeout` seconds for other processes that hold the database.

    `sqlite:///relative/path`, `sqlite:////absolute/path`, `sqlite:///~/path`. Raises InvalidInput for any other
    URL, StoreUnavailable where the file cannot be used, IncompatibleStore where a newer version wrote it.
    """
    check_project_id(project_id)
    if durability not in ("normal", "full"):
        raise InvalidInput(f'durability is {durability!r}: it must be "normal" or "full"')
    path = _path(url, schemes=("sqlite",))
    from .sql.sqlite import SqliteStore

    return SqliteStore(path, project_id=project_id, durability=durability, busy_timeout=busy_timeout)


def open_blobs(url: str, *, project_id: str) -> BlobStore:
    """Open the blobs of one project: `file:///directory`, or the URL of a SQLite store (`PATH.blobs` beside it).

    Raises InvalidInput for any other URL, StoreUnavailable where the directory cannot be used.
    """
    check_project_id(project_id)
    path = _path(url, schemes=("file", "sqlite"))
    if url.startswith("sqlite:"):
        path = path.with_name(path.name + ".blobs")
    from .blobs.local import LocalBlobs

    return LocalBlobs(path / project_id)


def open_keys(url: str) -> KeyStore:
    """Open the API keys of all projects, kept in the database of the stores. Raises as `open_store` does."""
    path = _path(url, schemes=("sqlite",))
    from .sql.keys import SqliteKeys

    return SqliteKeys(path)


def open_secret(url: str) -> bytes:
    """The secret of this installation (`PATH.secret` beside the database), made where there is none."""
    path = _path(url, schemes=("sqlite",))
    make_directory(path.parent)
    return load_secret(path.with_name(path.name + ".secret"))


def database_url(path: str | os.PathLike[str]) -> str:
    """The `sqlite:///` URL of a file, whatever its name holds."""
    return f"sqlite:///{quote(os.fspath(path), errors='surrogateescape')}"


def database_path(url: str) -> Path | None:
    """The file that a URL names; None where it names none."""
    try:
        return _path(url, schemes=("sqlite",))
    except InvalidInput:
        return None


def _path(url: str, *, schemes: tuple[str, ...]) -> Path:
    scheme, separator, rest = url.partition("://")
    if scheme not in schemes or not separator:
        known = ", ".join(f"{name}:///path" for name in schemes)
        raise InvalidInput(f"cannot open {_without_password(url)!r}: what can be opened is {known}")
    if not rest.startswith("/") or rest == "/":
        raise InvalidInput(f"{url!r} names no file: write {scheme}:///relative/path or {scheme}:////absolute/path")
    text = unquote(rest.split("?", 1)[0], errors="surrogateescape")
    if "\0" in text:
        raise InvalidInput(f"{url!r} holds a NUL character: choose another path")
    # file: URLs are absolute, as everywhere; sqlite: URLs are as SQLAlchemy has them
    path = Path(text if scheme == "file" else text[1:])
    if path.parts and path.parts[0] == os.sep and len(path.parts) > 1 and path.parts[1].startswith("~"):
        path = Path(*path.parts[1:])
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise InvalidInput(f"{url!r}: there is no such home directory; write the whole path") from error


def _without_password(url: str) -> str:
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", url)
