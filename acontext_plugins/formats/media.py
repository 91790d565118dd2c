"""Pictures, sounds and files: what a part of any format holds of them, in one shape."""

from __future__ import annotations

import base64
import mimetypes
from dataclasses import dataclass
from typing import Any

from acontext_store.types import Json, Part

_AUDIO = {"mp3": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac", "opus": "audio/opus", "aac": "audio/aac"}
#: Pictures that every API takes as bytes.
PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
#: Texts, beside those that begin with "text/".
_TEXTS = frozenset({"application/json", "application/xml", "application/yaml", "application/x-ndjson"})
#: Other names of the same kinds.
_ALIASES = {
    "image/jpg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
}
#: How bytes of a kind begin, as base64 text.
_BEGINS = {"iVBORw0KG": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "JVBERi": "application/pdf"}
_DEFAULT = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4", "file": "application/pdf"}


@dataclass(frozen=True, slots=True)
class Media:
    """Bytes as base64 text, or where they are."""

    kind: str
    mime: str
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    #: What a document says, where it came as words.
    text: str | None = None

    @property
    def data_url(self) -> str | None:
        """The bytes as a `data:` address; None where there are none."""
        return f"data:{self.mime};base64,{self.data}" if self.data is not None else None

    @property
    def audio_format(self) -> str:
        """ "mp3" or "wav", as OpenAI names the kinds of sound."""
        return next((name for name, mime in _AUDIO.items() if mime == self.mime), self.mime.rpartition("/")[2])


def media_of(part: Part) -> Media:
    """What an image, audio, video or file part holds, whichever format it came in."""
    meta = part.meta or {}
    name = part.filename or _text(meta, "filename", "title")
    said = _said(meta)
    if said is not None:
        return Media(part.type, "text/plain", filename=name, text=said)
    data, url = _text(meta, "data", "file_data"), _text(meta, "url", "file_url", "image_url", "file_uri")
    mime = _text(meta, "media_type", "mime_type")
    for text in (url, data):
        split = split_data_url(text)
        if split is not None:
            mime, data = split[0] or mime, split[1]
            url = None
    mime = mime or _mime_of(part.type, _text(meta, "format"), name, data)
    return Media(part.type, _ALIASES.get(mime, mime), data, url, _text(meta, "file_id"), name)


def _mime_of(kind: str, format: str | None, name: str | None, data: str | None) -> str:
    """The mime type of what does not say it: by its format, its name, or how it begins."""
    if format:
        known = _AUDIO.get(format) if kind == "audio" else mimetypes.guess_type(f"a.{format}")[0]
        return known or f"{kind}/{format}"
    begins = next((mime for start, mime in _BEGINS.items() if data and data.startswith(start)), None)
    return begins or (mimetypes.guess_type(name)[0] if name else None) or _DEFAULT.get(kind, "")


def words_of(media: Media) -> str | None:
    """What the bytes of a text say; None where they are none."""
    text = media.mime.startswith("text/") or media.mime in _TEXTS
    if media.data is None or not text:
        return None
    try:
        return base64.b64decode(media.data, validate=True).decode()
    except ValueError:
        return None


def file_name(media: Media) -> str:
    """A name for a file that has none: APIs that take bytes of files want one."""
    ending = mimetypes.guess_extension(media.mime) or ".bin"
    return f"file{ending}"


def split_data_url(text: str | None) -> tuple[str, str] | None:
    """Mime type and base64 text of a `data:` address; None for anything else."""
    if text is None or not text.startswith("data:"):
        return None
    head, comma, data = text[5:].partition(",")
    if not comma or not head.endswith(";base64"):
        return None
    return head.removesuffix(";base64").partition(";")[0], data


def kind_of_mime(mime: str) -> Any:
    """The type of part for bytes of this mime type."""
    kind = mime.partition("/")[0]
    return kind if kind in ("image", "audio", "video") else "file"


def _said(meta: Json) -> str | None:
    """The words of a document that came as words: as one text, or as blocks."""
    source = meta.get("source")
    inner = source if isinstance(source, dict) else meta
    if inner.get("type") == "text" and isinstance(inner.get("data"), str):
        return str(inner["data"])
    content = inner.get("content") if inner.get("type") == "content" else None
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        words = [piece.get("text") for piece in content if isinstance(piece, dict)]
        return "\n".join(word for word in words if isinstance(word, str))
    return None


def _text(meta: Json, *names: str) -> str | None:
    return next((value for name in names if isinstance(value := meta.get(name), str) and value), None)
