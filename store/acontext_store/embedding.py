"""The nouns of embedding: which skills wait for vectors, and those that were made of them."""

from __future__ import annotations

from typing import NamedTuple

from .types import Record, SkillBody


class TextVector(Record):
    """The vector of a text: 32-bit floats, little-endian, of length 1."""

    #: SHA-256 of the text.
    hash: str
    vector: bytes


class Unembedded(Record):
    """An active skill whose texts have changed since its vectors were made."""

    skill_id: str
    #: Grows with each change: `SkillVectors` of an older one do not settle it.
    mark: int
    body: SkillBody
    #: The masked requests under which it is found.
    requests: tuple[str, ...] = ()
    #: What it has so far, of the model that embeds this project.
    vectors: tuple[TextVector, ...] = ()


class SkillVectors(Record):
    """The vectors that a skill has from now on."""

    skill_id: str
    mark: int
    vectors: tuple[TextVector, ...]


class VectorOps(Record):
    """Vectors that were made for a space. Written in one transaction, or not at all."""

    space_id: str
    model: str
    dimensions: int
    skills: tuple[SkillVectors, ...] = ()


class VectorChanges(NamedTuple):
    """Changes in the vectors of a space since a stamp."""

    #: The `after` of the next read; it has grown where vectors were written or removed.
    stamp: int
    #: Vectors that there are now in all; None where nothing has changed.
    total: int | None
    #: Skill id and vector, all those of a skill that changed, one after the other.
    rows: list[tuple[str, bytes]]
    #: Whether there are more changes after `stamp`.
    more: bool
