"""A tool has another name: what lessons left speaks of it by that name from now on."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from acontext_store.tokenizer import parts_of, searchable
from acontext_store.types import Json

from .episode_body import EpisodeBody


def renamed_episode(body: Json, names: Mapping[str, str]) -> Json:
    """The body of an episode with tools renamed; the same object where nothing changes, or it is of another shape."""
    try:
        before = EpisodeBody.model_validate(body)
    except ValidationError:
        return body
    after = before.renamed(names)
    return body if after == before else after.model_dump(exclude_unset=True)


def renamed_text(text: str, names: Mapping[str, str]) -> str:
    """A search text whose last line names tools."""
    said, tools = parts_of(text)
    if not any(tool in names for tool in tools):
        return text
    return searchable(said, (names.get(tool, tool) for tool in tools))
