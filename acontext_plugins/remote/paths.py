"""Paths: the one place where an id becomes part of an address."""

from __future__ import annotations

from urllib.parse import quote

from acontext_store.errors import InvalidInput, NotFound
from acontext_store.types import is_uuid

#: Of all that is asked for by id, only these may have other ids than UUIDs: hosts name them.
_NAMED_BY_HOSTS = frozenset({"message"})


def at(template: str, *ids: str) -> str:
    """`/session/{session}/task` with an id for each word in braces: one segment of the path, whatever it holds.

    Raises NotFound for an id that nothing has, without asking anybody: one that is no UUID, or of which a path would
    make something else ("", ".", ".."). Raises InvalidInput for one that no path can say.
    """
    pieces = template.split("/")
    places = [number for number, piece in enumerate(pieces) if piece.startswith("{")]
    for number, id in zip(places, ids, strict=True):
        pieces[number] = _segment(pieces[number].strip("{}"), str(id))
    return "/".join(pieces)


def _segment(kind: str, id: str) -> str:
    if id in ("", ".", "..") or not (kind in _NAMED_BY_HOSTS or is_uuid(id)):
        raise NotFound(kind, id)
    try:
        return quote(id, safe="")
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"the {kind} {id!r:.80} has half a surrogate pair in its id: no address can say it"
        ) from error
