"""Disks, as far as no storage is needed: where a file stands, what it holds, who may download it."""

from .content_type import MOST_PARSED, ArtifactContent, content_kind, parse_content
from .paths import Place, folder, folder_of, place, placed
from .patterns import Glob, Grep
from .signed_urls import LONGEST, Link, sign, verify

__all__ = [
    "LONGEST",
    "MOST_PARSED",
    "ArtifactContent",
    "Glob",
    "Grep",
    "Link",
    "Place",
    "content_kind",
    "folder",
    "folder_of",
    "parse_content",
    "place",
    "placed",
    "sign",
    "verify",
]
