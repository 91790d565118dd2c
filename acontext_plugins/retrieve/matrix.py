"""Vectors of one space in memory, and what is embedded of a skill. Needs numpy, which only those have who embed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from acontext_store.embedding import TextVector, Unembedded
from acontext_store.errors import InvalidAnswer
from acontext_store.tokenizer import parts_of

Floats = NDArray[np.float32]

#: Requests of a skill that are embedded beside its own words: the first of them, so that they change rarely.
MOST_REQUESTS = 8
#: Characters of a text; models read a few thousand tokens at most.
LONGEST = 4_000
_STORED = np.dtype("<f4")
#: Of one dimension, as the store keeps it.
BYTES = _STORED.itemsize
#: How much room there is for more than there are, when there was none.
_GROWTH = 1.25
_FEW = 256


def texts_of(skill: Unembedded) -> list[str]:
    """What a skill is found by: when to use it, what it prefers and does, and what users asked who needed it."""
    body = skill.body
    does = [f"{step.tool_name}: {step.action}" for step in body.tool_sops]
    own = [body.use_when, "\n".join(line for line in (body.preferences, *does) if line)]
    requests = [parts_of(text)[0] for text in skill.requests[:MOST_REQUESTS]]
    return list(dict.fromkeys(shortened for text in (*own, *requests) if (shortened := text.strip()[:LONGEST])))


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def floats_of(vectors: Sequence[Sequence[float]], count: int, model: str) -> Floats:
    """What an embedder answered, of length 1 each. Raises InvalidAnswer where that is not `count` vectors."""
    try:
        found = np.array(vectors, dtype=np.float64, ndmin=2)
    except (TypeError, ValueError):
        raise InvalidAnswer(f"{model} answered no vectors of one size") from None
    if found.ndim != 2 or len(found) != count or not found.size or not np.isfinite(found).all():
        raise InvalidAnswer(f"{model} answered something else than {count} vectors of finite numbers")
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    unit: Floats = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0).astype(np.float32)
    return unit


def packed(text: str, vector: Floats) -> TextVector:
    """As the store keeps it."""
    return TextVector(hash=hash_of(text), vector=vector.astype(_STORED).tobytes())


class Matrix:
    """The vectors of a space, one a row, in one piece of memory that no search copies. For any thread."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._rows: Floats = np.empty((0, dimensions), dtype=np.float32)
        self._owners: list[str] = []
        self._places: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._owners)

    @property
    def size(self) -> int:
        """In bytes."""
        return int(self._rows.nbytes)

    def skills(self) -> set[str]:
        with self._lock:
            return set(self._places)

    def put(self, changed: Iterable[tuple[str, bytes]], *, room: int = 0) -> None:
        """These are the vectors of those skills now. `room` = how many rows there will be in all, where known."""
        of_skill: dict[str, list[bytes]] = {}
        for skill_id, vector in changed:
            of_skill.setdefault(skill_id, []).append(vector)
        with self._lock:
            for skill_id in of_skill:
                self._drop(skill_id)
            self._make_room(max(room, len(self) + sum(map(len, of_skill.values()))))
            for skill_id, vectors in of_skill.items():
                self._places[skill_id] = list(range(len(self), len(self) + len(vectors)))
                for vector in vectors:
                    self._rows[len(self._owners)] = np.frombuffer(vector, dtype=_STORED)
                    self._owners.append(skill_id)

    def keep(self, skill_ids: Collection[str]) -> None:
        """All others have gone."""
        with self._lock:
            for skill_id in self._places.keys() - set(skill_ids):
                self._drop(skill_id)

    def nearest(self, query: Floats, *, limit: int, threshold: float) -> list[tuple[str, float]]:
        """Skills by the nearest of their texts, with its cosine, best first; none below the threshold."""
        with self._lock:
            cosines = self._rows[: len(self)] @ query
            near = np.flatnonzero(cosines >= threshold)
            most = limit * (MOST_REQUESTS + 2)  # no skill has more rows
            if len(near) > most:
                near = near[np.argpartition(cosines[near], -most)[-most:]]
            best: dict[str, float] = {}
            for row in near:
                owner, cosine = self._owners[row], float(cosines[row])
                best[owner] = max(best.get(owner, cosine), cosine)
        return sorted(best.items(), key=lambda item: (-item[1], item[0]))[:limit]

    def _drop(self, skill_id: str) -> None:
        """The last rows take the places of those that go."""
        for place in sorted(self._places.pop(skill_id, ()), reverse=True):
            last = len(self._owners) - 1
            owner = self._owners.pop()
            if place != last:
                self._rows[place] = self._rows[last]
                self._owners[place] = owner
                places = self._places[owner]
                places[places.index(last)] = place

    def _make_room(self, rows: int) -> None:
        if rows <= len(self._rows):
            return
        # numpy leaves untouched memory to the operating system, so room costs little until it is used
        grown = np.empty((max(rows, int(len(self._rows) * _GROWTH), _FEW), self.dimensions), dtype=np.float32)
        grown[: len(self)] = self._rows[: len(self)]
        self._rows = grown
