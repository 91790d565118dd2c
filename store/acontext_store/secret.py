"""A secret of this installation: random bytes in a file beside the database, readable by its owner only."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from .errors import StoreUnavailable

_LENGTH = 32


def load_secret(path: Path) -> bytes:
    """The secret at `path`; made where there is none. Any number of processes may ask at once: all get the same.

    Raises StoreUnavailable where it can be neither read nor made.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            return _checked(path, path.read_bytes())
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(_LENGTH))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)  # unlike a rename it never replaces what another process has made
        finally:
            draft.unlink(missing_ok=True)
        return _checked(path, path.read_bytes())
    except OSError as error:
        raise StoreUnavailable(
            f"cannot use the secret {path}: {error.strerror or error}; make it readable, and its directory writable, "
            "for this user"
        ) from error


def _checked(path: Path, secret: bytes) -> bytes:
    if len(secret) != _LENGTH:
        raise StoreUnavailable(
            f"{path} is damaged: it holds {len(secret)} bytes, not {_LENGTH}; restore it from a backup, or delete it "
            "and make new API keys"
        )
    return secret
