"""Downloads: a file's bytes to whoever may have them, in constant memory, and in ranges."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from ..files.service import Download
from .responses import problem

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
#: What a browser may show; anything else is for saving, so that a stored page never runs with this origin.
_SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "application/pdf", "audio/", "video/")


def sent(request: Request, file: Download) -> Response:
    """The whole file, or the one range that is asked for."""
    headers = {
        "accept-ranges": "bytes",
        "content-disposition": _disposition(file),
        "content-security-policy": "sandbox; default-src 'none'",
        "etag": f'"{file.sha256}"',
        "x-content-type-options": "nosniff",
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    start, end, status = 0, file.size, 200
    asked = request.headers.get("range")
    if asked is not None and request.headers.get("if-range", headers["etag"]) == headers["etag"]:
        span = _span(asked, file.size)
        if span is None:
            refused = problem(416, f"range: {asked[:80]!r} is not in {file.size} bytes", "invalid_input")
            refused.headers["content-range"] = f"bytes */{file.size}"
            return refused
        start, end = span
        status = 206
        headers["content-range"] = f"bytes {start}-{end - 1}/{file.size}"
    headers["content-length"] = str(end - start)
    pieces: Iterator[bytes] = file.read(start, end) if end > start else iter(())
    return StreamingResponse(pieces, status, headers=headers, media_type=file.mime)


def _span(asked: str, size: int) -> tuple[int, int] | None:
    """From, and up to, in bytes; None where there is nothing."""
    found = _RANGE.fullmatch(asked.replace(" ", ""))
    if found is None or len(asked) > 64:
        return None
    first, last = found.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
    elif last:
        start, end = max(0, size - int(last)), size
    else:
        return None
    return (start, end) if start < end else None


def _disposition(file: Download) -> str:
    kind = "inline" if file.mime.partition(";")[0].strip().lower().startswith(_SHOWN) else "attachment"
    return f"{kind}; filename*=UTF-8''{quote(file.filename, safe='')}"
