"""Disks, as far as no storage is needed: where a file stands, what it holds, who may download it."""

from .contents import MOST_PARSED, ArtifactContent, content_kind, parse_content
from .links import LONGEST, Link, sign, verify
from .paths import Place, folder, folder_of, place, placed
from .patterns import Glob, Grep

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
