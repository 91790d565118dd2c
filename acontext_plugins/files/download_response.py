"""What a download is answered with (RFC 9110): status, headers and which bytes, for every server that gives files.

Pure: a server passes the method and the request's headers in, and sends what comes out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote

from .service import Download

#: Types that a browser may show. Anything else is saved, so that a stored page never runs with the server's origin.
_SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "application/pdf", "audio/", "video/")
_RANGE_SPEC = re.compile(r"(\d*)-(\d*)", re.ASCII)
#: Characters of a Range header that is read: two positions in any file fit in many times over. A longer one is ignored.
_LONGEST_RANGE = 200
_FILENAME = "filename*=UTF-8''"
_OWS = " \t"


@dataclass(frozen=True, slots=True)
class DownloadResponse:
    """A response without its body: the bytes from `start` up to `end` of the file follow it, if any."""

    status: int
    headers: dict[str, str]
    start: int = 0
    end: int = 0


def respond(file: Download, method: str, header: Callable[[str], str | None]) -> DownloadResponse:
    """The response to a GET or HEAD of `file`. `header` gives a header of the request by name, in any case.

    Status 200 (the whole file), 206 (the one range that is asked for), 304 (the client has these bytes) or 416 (the
    file has no such bytes). A range of an unknown unit, an invalid one and several at once are answered with the
    whole file.
    """
    etag = f'"{file.sha256}"'
    headers = {
        "accept-ranges": "bytes",
        "cache-control": "private, no-store",
        "content-disposition": content_disposition(file),
        "content-security-policy": "sandbox; default-src 'none'",
        "etag": etag,
        "x-content-type-options": "nosniff",
    }
    if _is_known(header("if-none-match"), etag):
        return DownloadResponse(304, headers)
    wanted = None
    # Ranges are defined for GET alone, and for these bytes where If-Range names some. An empty file is given whole:
    # some clients ask for a range in every request, and there is nothing to refuse.
    if method == "GET" and file.size and (header("if-range") or etag).strip(_OWS) == etag:
        wanted = byte_range(header("range"), file.size)
    start, end = wanted or (0, file.size)
    if start >= file.size and wanted is not None:
        headers["content-range"] = f"bytes */{file.size}"
        return DownloadResponse(416, headers)
    if wanted is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{file.size}"
    headers["content-length"] = str(end - start)
    headers["content-type"] = _content_type(file.mime)
    return DownloadResponse(200 if wanted is None else 206, headers, start, end)


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The bytes from (included) and up to (excluded) that a Range header asks for; None where it is to be ignored.

    Both are `size` where the file, which has `size` bytes, has none of those that are asked for.
    """
    if header is None or len(header) > _LONGEST_RANGE:
        return None
    unit, _, listed = header.strip(_OWS).partition("=")
    specs = [spec for spec in (item.strip(_OWS) for item in listed.split(",")) if spec]
    found = _RANGE_SPEC.fullmatch(specs[0]) if unit.lower() == "bytes" and len(specs) == 1 else None
    if found is None or found[0] == "-":
        return None
    first, last = (int(position) if position else None for position in found.groups())
    if first is None:
        return max(0, size - (last or 0)), size
    if last is None:
        return min(first, size), size
    return (min(first, size), min(last + 1, size)) if first <= last else None


def content_disposition(file: Download) -> str:
    """Whether a browser shows or saves a file, and under which name: the value of Content-Disposition."""
    shown = file.mime.partition(";")[0].strip().lower().startswith(_SHOWN)
    return f"{'inline' if shown else 'attachment'}; {_FILENAME}{quote(file.filename, safe='')}"


def _content_type(mime: str) -> str:
    """Text that does not say how it is encoded is taken for UTF-8: a browser would take it for Windows-1252."""
    unsaid = mime.lower().startswith("text/") and "charset" not in mime.lower()
    return f"{mime}; charset=utf-8" if unsaid else mime


def filename_of(disposition: str) -> str:
    """The name in a value of `content_disposition`; "" where it holds none."""
    return unquote(disposition.partition(_FILENAME)[2])


def _is_known(if_none_match: str | None, etag: str) -> bool:
    known = [tag.strip(_OWS).removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in known or known == ["*"]
