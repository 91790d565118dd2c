"""A tool has another name: what lessons left speaks of it by that name from now on."""

from __future__ import annotations

from collections.abc import Mapping

from acontext_store.types import Json

from ..retrieve.ranking import parts_of, searchable


def renamed_episode(body: Json, names: Mapping[str, str]) -> Json:
    """The body of an episode (see `distil`) with tools renamed."""

    def name(tool: object) -> object:
        return names.get(tool, tool) if isinstance(tool, str) else tool

    def source(mark: object) -> object:
        return f">{name(mark[1:])}" if isinstance(mark, str) and mark.startswith(">") else mark

    changed = dict(body)
    changed["steps"] = [
        {
            **step,
            "tool": name(step.get("tool")),
            "args": {key: [source(mark) for mark in marks] for key, marks in (step.get("args") or {}).items()},
        }
        for step in body.get("steps") or ()
    ]
    changed["pitfalls"] = [
        {**pitfall, "tool": name(pitfall.get("tool")), "instead": name(pitfall.get("instead"))}
        for pitfall in body.get("pitfalls") or ()
    ]
    for field in ("tools", "abandoned"):
        changed[field] = [name(tool) for tool in body.get(field) or ()]
    return changed if any(changed.get(key) != value for key, value in body.items()) else body


def renamed_text(text: str, names: Mapping[str, str]) -> str:
    """A search text whose last line names tools."""
    said, tools = parts_of(text)
    if not any(tool in names for tool in tools):
        return text
    return searchable(said, (names.get(tool, tool) for tool in tools))
