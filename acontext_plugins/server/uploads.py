"""Uploads: multipart bodies that stream to the disk, and the parts of a message that name their files."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self, TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from acontext_store.errors import InvalidInput
from acontext_store.types import Asset, Json

from ..files.attachments import attached, check_fields
from ..service import Service
from .parameters import checked, is_json, media_type, strict_json

B = TypeVar("B", bound=BaseModel)

_MOST_FILES = 64
_MOST_FIELDS = 64
#: Bytes of a field that is no file.
_LONGEST_FIELD = 16 * 1024 * 1024
#: Bytes of JSON that comes as a file.
_LONGEST_JSON = 256 * 1024 * 1024
_OCTETS = "application/octet-stream"


class Form:
    """A multipart body. Files wait in temporary files, however large they are; leaving the `with` removes them."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._data = FormData()

    async def __aenter__(self) -> Self:
        self._data = await self._request.form(
            max_files=_MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_FIELD
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._data.close()

    def text(self, name: str, default: str | None = None) -> str:
        """A field that is text. Raises InvalidInput."""
        value = self._data.get(name, default)
        if not isinstance(value, str):
            raise InvalidInput(f"{name}: found {'a file' if value is not None else 'nothing'}, expected a text field")
        return value

    def file(self, name: str) -> UploadFile:
        """A field that is a file. Raises InvalidInput."""
        value = self._data.get(name)
        if not isinstance(value, UploadFile):
            raise InvalidInput(f"missing file {name}: send it as a field of that name with a filename")
        return value

    def files(self) -> list[str]:
        """The names of fields that are files."""
        return list(dict.fromkeys(name for name, value in self._data.multi_items() if isinstance(value, UploadFile)))


def bodies_of(kind: type[BaseModel]) -> dict[str, Any]:
    """How the description of the API says what `said` takes."""
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    file = {"type": "string", "format": "binary", "description": "the JSON of the other kind of body, as a file"}
    fields = {"type": "object", "required": ["payload"], "properties": {"payload": file}}
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": fields}}
    return {"requestBody": {"required": True, "content": content}}


async def said(request: Request, kind: type[B]) -> B:
    """A body as JSON; or in a multipart body as the file `payload`, which may be larger than a JSON body may be."""
    if media_type(request) != "multipart/form-data":
        if not is_json(media_type(request)):
            raise HTTPException(415, f"the body is {media_type(request) or 'of no type'}: send JSON, or multipart")
        return checked(kind, strict_json(await request.body()))
    async with Form(request) as form:
        file = form.file("payload")
        if file.size is None or file.size > _LONGEST_JSON:
            raise HTTPException(413, f"payload: at most {_LONGEST_JSON:,} bytes of JSON are taken")
        text = await file.read()
        return await asyncio.to_thread(lambda: checked(kind, strict_json(text, "payload")))


async def with_files(service: Service, blob: Json, format: str | None, form: Form) -> Json:
    """The message with its files kept, and each part saying where. Raises InvalidInput."""
    check_fields(blob, format, form.files())
    files = {name: form.file(name) for name in form.files()}  # all are there before any is kept
    for name, file in files.items():
        kept = await service.upload(file.file)
        mime = file.content_type or _OCTETS
        asset = Asset(sha256=kept.sha256, size=kept.size, mime=mime, filename=file.filename or None)
        blob = attached(blob, name, asset)
    return blob
