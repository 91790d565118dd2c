"""Uploads: multipart bodies that stream to the disk, and the parts of a message that name their files."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from acontext_store.errors import InvalidInput
from acontext_store.types import Asset, Json

from ..attachments import attached, check_fields
from ..service import Service

_MOST_FILES = 64
_MOST_FIELDS = 64
#: Bytes of a field that is no file.
_LONGEST_FIELD = 16 * 1024 * 1024
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
