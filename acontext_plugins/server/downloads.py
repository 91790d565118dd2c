"""Downloads: a file's bytes to whoever may have them, in constant memory, and in ranges."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from ..files.download_response import respond
from ..files.service import Download
from .responses import problem


def sent(request: Request, file: Download) -> Response:
    """The response that `respond` decides on, with the file's bytes."""
    decided = respond(file, request.method, request.headers.get)
    if decided.status == 416:
        asked = request.headers["range"][:80]
        refused = problem(416, f"range: {asked!r} is not in {file.size} bytes", "invalid_input")
        refused.headers["content-range"] = decided.headers["content-range"]
        return refused
    if request.method == "HEAD" or decided.start >= decided.end:
        return Response(status_code=decided.status, headers=decided.headers)
    return StreamingResponse(file.read(decided.start, decided.end), decided.status, headers=decided.headers)
