"""Marks: what a part says beside its words, and which of it a format has no place for."""

from __future__ import annotations

from collections.abc import Collection

from acontext_store.types import Part

#: In the meta of a part -> what it is called where it is lost.
_MARKS = {"cache_control": "cache_control", "is_refusal": "refusal", "is_error": "failure of a tool"}


def lost_marks(part: Part, format: str, *, keeps: Collection[str] = ()) -> list[str]:
    """The marks of this part that the format cannot say, as `lost` names them; the words themselves are kept."""
    if not part.meta:
        return []
    extra = part.meta.get("extra")
    meta = {**extra, **part.meta} if isinstance(extra, dict) else part.meta
    return [
        f"{name}: the {format} format has no place for it"
        for key, name in _MARKS.items()
        if key not in keeps and meta.get(key)
    ]
