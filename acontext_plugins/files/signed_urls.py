"""Signed URLs: addresses that let who has them download one file for some time, without a key.

Pure functions: what may be downloaded is in the query, with an HMAC over all of it. Whoever serves the address calls
`verify`, and then looks whether the file is still there.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from acontext_store.errors import InvalidInput, Unauthorized

#: Seconds for which a link may be good: a week, as with S3.
LONGEST = 7 * 24 * 3600
_SIGNATURE = "signature"
_PURPOSE = b"acontext download link 1\n"


@dataclass(frozen=True, slots=True)
class LinkTarget:
    """What one address gives: a file of a disk (by its path), or of a session's messages (by its hash)."""

    project: str
    #: Unix seconds.
    expires: int
    disk: str = ""
    path: str = ""
    session: str = ""
    sha256: str = ""
    filename: str = ""
    mime: str = ""


def expiry(seconds: int, *, now: float | None = None) -> int:
    """When a link that is good for so many seconds ends. Raises InvalidInput."""
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= LONGEST:
        raise InvalidInput(f"expire is {seconds!r}: it must be 1 to {LONGEST} seconds")
    return int(time.time() if now is None else now) + seconds


def sign(key: bytes, link: LinkTarget) -> str:
    """The query of its address: what is in it, and who vouches for it."""
    fields = {name: value for name, value in asdict(link).items() if value}
    return urlencode({**fields, _SIGNATURE: _mac(key, link)})


def verify(key: bytes, query: Mapping[str, str], *, now: float | None = None) -> LinkTarget:
    """The link that a query holds. Raises Unauthorized for what we did not sign, and for what has expired."""
    names = set(LinkTarget.__slots__)
    fields: dict[str, str] = {name: value for name, value in query.items() if name in names}
    try:
        link = LinkTarget(**{**fields, "expires": int(query["expires"])})  # type: ignore[arg-type]
        same = query["expires"] == str(link.expires)
        genuine = same and hmac.compare_digest(_mac(key, link).encode(), query[_SIGNATURE].encode())
    except (KeyError, TypeError, ValueError):
        genuine = False
    if not genuine:
        raise Unauthorized("this link is not one of ours, or has been changed: ask for a new one")
    if link.expires < (time.time() if now is None else now):
        raise Unauthorized("this link has expired: ask for a new one")
    return link


def _mac(key: bytes, link: LinkTarget) -> str:
    text = json.dumps(asdict(link), sort_keys=True)
    return hmac.new(key, _PURPOSE + text.encode(), hashlib.sha256).hexdigest()
