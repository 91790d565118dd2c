"""What a file holds, for those who read text: JSON, CSV, code or plain text, told by its name first."""

from __future__ import annotations

import csv
import io
import json
from typing import Literal

from acontext_store.types import Record

ContentKind = Literal["text", "json", "csv", "code"]

#: Bytes up to which a file's text is given along with it.
MOST_PARSED = 8 * 1024 * 1024

_CODE = frozenset(
    "go py js ts tsx jsx java cpp c h hpp cs php rb rs swift kt scala sh bash zsh sql r m pl lua vim dockerfile "
    "makefile cmake proto thrift graphql gql vue svelte astro".split()
)
_TEXT = frozenset("txt md markdown log yml yaml xml html htm".split())
#: Files that have no extension, and are known by their whole name.
_CODE_NAMES = frozenset({"dockerfile", "makefile"})


class ArtifactContent(Record):
    """The text of a file."""

    type: ContentKind
    raw: str


def content_kind(filename: str, mime: str) -> ContentKind | None:
    """What kind of text the file should hold; None = it is none that we know. The name's ending wins."""
    name = filename.lower()
    _, dot, ending = name.rpartition(".")
    ending = ending if dot else ""
    if ending in ("json", "csv"):
        return "json" if ending == "json" else "csv"
    if ending in _CODE or (not dot and name in _CODE_NAMES):
        return "code"
    if ending in _TEXT:
        return "text"
    kind = mime.partition(";")[0].strip().lower()
    if kind == "application/json":
        return "json"
    if kind == "text/csv":
        return "csv"
    return "text" if kind.startswith("text/") else None


def parse_content(filename: str, mime: str, data: bytes) -> ArtifactContent | None:
    """The file's text, as it was written; None for what is no text, or not what its name says."""
    kind = content_kind(filename, mime)
    if kind is None or len(data) > MOST_PARSED:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if kind == "json" and not _is_json(text):
        return None
    if kind == "csv" and not _is_csv(text):
        return None
    return ArtifactContent(type=kind, raw=text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text.removeprefix("\ufeff"), parse_constant=_no_json, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def _no_json(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _is_csv(text: str) -> bool:
    try:
        for _ in csv.reader(io.StringIO(text, newline=""), strict=True):
            pass
    except csv.Error:
        return False
    return True
