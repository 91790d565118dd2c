"""Disks, as far as no storage is needed: where a file stands, what it holds, who may download it."""

from .content_type import MOST_PARSED, ArtifactContent, content_kind, parse_content
from .paths import ArtifactPath, folder, folder_of, place, placed
from .patterns import Glob, Grep
from .signed_urls import LONGEST, LinkTarget, sign, verify

__all__ = [
    "LONGEST",
    "MOST_PARSED",
    "ArtifactContent",
    "ArtifactPath",
    "Glob",
    "Grep",
    "LinkTarget",
    "content_kind",
    "folder",
    "folder_of",
    "parse_content",
    "place",
    "placed",
    "sign",
    "verify",
]
