"""Cursors: the opaque text that says where the next page begins."""

from __future__ import annotations

import base64
import binascii

from .errors import InvalidInput


def encode_cursor(place: object, id: str) -> str:
    """Unpadded base64url of "<place>|<id>"."""
    return base64.urlsafe_b64encode(f"{place}|{id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[str, str]:
    """Raises InvalidInput for anything that `encode_cursor` did not make."""
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place, separator, id = raw.decode().partition("|")
    except (binascii.Error, ValueError) as error:
        raise _malformed(cursor) from error
    if not separator or not place or not id:
        raise _malformed(cursor)
    return place, id


def decode_number_cursor(cursor: str) -> tuple[int, str]:
    """The same for places that are numbers."""
    place, id = decode_cursor(cursor)
    try:
        return int(place), id
    except ValueError as error:
        raise _malformed(cursor) from error


def _malformed(cursor: str) -> InvalidInput:
    return InvalidInput(f"the cursor {cursor[:80]!r} is malformed: pass on a `next_cursor` as it was, or none")
