"""Placement: where in a space's tree a skill goes, and which skills are near to what is being learned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from acontext_store.tokenizer import searchable
from acontext_store.types import SearchText, Skill

from ..concurrency.background import yield_gil
from ..retrieve.bm25 import MemoryIndex
from ..retrieve.ranking import query_terms, rank
from ..transcript.tool_calls import phrase
from .procedures import EpisodeRun

NEAREST = 5
#: Folders are for spaces that have more pages than this.
FEW_PAGES = 5
MOST_WORDS, MOST_CHARS, MOST_DEPTH = 5, 48, 3
DEFAULT_PAGE = ("learned",)
_WORD = re.compile(r"[^\W_]+")
#: Every page holds them: they tell nothing.
_EMPTY = frozenset(["sop", "sops", "skill", "skills", "preference", "preferences"])


def title_of_page(text: str) -> str:
    """Snake case, at most five words, none that tells nothing; "" where none is left."""
    words = [word for word in _WORD.findall(text.lower()) if word not in _EMPTY][:MOST_WORDS]
    while words and len("_".join(words)) > MOST_CHARS:
        words.pop()
    return "_".join(words)


def page_at(path: str, pages: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The page that `path` names: one that is there as it is, else one by the rules for names.

    New folders only in spaces with more than a few pages; () where the path names nothing.
    """
    named = tuple(part.strip() for part in path.split("/") if part.strip())
    known = {tuple(part.casefold() for part in page): page for page in pages}
    if found := known.get(tuple(part.casefold() for part in named)):
        return found
    titles = tuple(title for part in named if (title := title_of_page(part)))
    if not titles:
        return ()
    if found := known.get(titles):
        return found
    above = titles[:-1][: MOST_DEPTH - 1]
    folders = {page[:-1] for page in pages}
    if above not in folders and len(pages) <= FEW_PAGES:
        above = ()
    return (*above, titles[-1])


class Nearest:
    """The skills of a space, to be asked which are near."""

    def __init__(self, skills: Iterable[Skill]) -> None:
        self._skills = {skill.id: skill for skill in skills if skill.status != "retired"}
        self._index = MemoryIndex()
        for skill in self._skills.values():
            yield_gil()
            tools = [step.tool_name for step in skill.body.tool_sops]
            said = " ".join([skill.body.use_when, skill.body.preferences, *map(phrase, tools)])
            self._index.add("", skill.id, [SearchText(kind="skill", text=searchable(said, tools))])

    def of(self, runs: Sequence[EpisodeRun], *, first: Sequence[str] = (), limit: int = NEAREST) -> list[Skill]:
        """Those of the same procedure (`first`), then those whose words are nearest to what was asked and called."""
        found = [self._skills[id] for id in dict.fromkeys(first) if id in self._skills][:limit]
        asked = [" ".join([run.body.said, *map(phrase, run.tools)]) for run in runs]
        query = " ".join(dict.fromkeys(asked))
        terms = query_terms(query)
        if not terms or not self._skills or len(found) >= limit:
            return found
        hits, total, frequencies = self._index.gather("", terms)
        ranked = rank(query, hits, total, frequencies, limit=limit + len(found), relevant=0.0)
        taken = {skill.id for skill in found}
        return [*found, *(self._skills[id] for id, _ in ranked if id not in taken)][:limit]
