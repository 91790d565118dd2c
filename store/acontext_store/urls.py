"""URLs of databases and blobs: which file one names, and how it is shown to people."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from .errors import InvalidInput

#: A scheme, as RFC 3986 has it.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PASSWORD = re.compile(r"(://[^/@:]*):.*@", re.DOTALL)
_SECRET = re.compile(r"(?i)([?&][^=&]*(?:password|passwd|secret|token|key)[^=&]*=)[^&#]*")


def scheme_of(url: str) -> str:
    """What stands before `://`; "" where nothing does."""
    match = _SCHEME.match(url)
    return match[1] if match else ""


def without_secrets(url: str) -> str:
    """The URL as it may be shown: its password, and what the query calls a secret, are masked."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


def file_of(url: str) -> Path:
    """The file or directory that a `sqlite:///` or `file:///` URL names. Raises InvalidInput where it names none."""
    scheme = scheme_of(url)
    rest = url[len(scheme) + len("://") :]
    if not rest.startswith("/") or rest == "/":
        way = (
            "file:///absolute/path" if scheme == "file" else f"{scheme}:///relative/path or {scheme}:////absolute/path"
        )
        raise InvalidInput(f"{without_secrets(url)!r} names no file: write {way}")
    text = unquote(rest.split("?", 1)[0], errors="surrogateescape")
    if "\0" in text:
        raise InvalidInput(f"{without_secrets(url)!r} holds a NUL character: choose another path")
    # file: URLs are absolute, as everywhere; sqlite: URLs are as SQLAlchemy has them
    path = Path(text if scheme == "file" else text[1:])
    if path.parts and path.parts[0] == os.sep and len(path.parts) > 1 and path.parts[1].startswith("~"):
        path = Path(*path.parts[1:])
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        shown = without_secrets(url)
        raise InvalidInput(f"{shown!r}: there is no such home directory; write the whole path") from error
