"""Directories and files that are made where they are missing, for their owner only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .errors import StoreUnavailable


def make_directory(path: Path) -> None:
    """Directories that we make are for their owner only; those that are there stay as they are."""
    for above in (path, *path.parents):
        if above.exists() and not above.is_dir():
            raise StoreUnavailable(f"cannot use {path}: {above} is a file, not a directory; choose another path")
    missing = [parent for parent in (path, *path.parents) if not parent.exists()]
    try:
        for directory in reversed(missing):
            directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"cannot make the directory {path}: {error.strerror or error}; choose another path, or make its parent "
            "writable for this user"
        ) from error


def make_file(path: Path) -> None:
    """An empty file for its owner only, where there is none. What cannot be made is reported by opening it."""
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
