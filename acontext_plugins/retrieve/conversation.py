"""Conversation: the skills that its model is shown since earlier turns. What was sent stays as and where it was.

Providers keep what they have read of a conversation for as long as the next request begins with the same bytes. So
what was injected stands in every later request at the same place, and what is found later stands behind the newest turn
of the user. The rows of the injections say what was shown where; the text is made anew from the skills, so that a
skill that was forgotten, retired or changed leaves at the next call.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import FIFOCache

from acontext_plugins.inject.recall import HEAD, WHOLE, RecallQuery, SkillsBlock
from acontext_plugins.inject.render import RenderedSkill, framed, shown_before, tokens
from acontext_store.errors import Closed
from acontext_store.forks import renewed_in_child
from acontext_store.injections import Injection
from acontext_store.protocols import Pending, ReadSnapshot, Store
from acontext_store.types import ACTIVE, Skill

from .retriever import can_run

#: Sessions whose newest injections are kept until they are written.
_UNWRITTEN = 4096


@dataclass(frozen=True, slots=True)
class EarlierSkills:
    """What the model is shown already, oldest first: the anchor, and the skills that still stand there."""

    placed: tuple[tuple[str, tuple[RenderedSkill, ...]], ...] = ()
    #: Something was placed behind the instructions once.
    has_head: bool = False
    #: Skills were looked for in this turn already, and found.
    answered: bool = False

    @property
    def skills(self) -> list[Skill]:
        return [one.skill for _, chosen in self.placed for one in chosen]

    def tokens(self, *, catalog: bool) -> int:
        return sum(tokens(framed(chosen, catalog=catalog)) for _, chosen in self.placed)


NOTHING = EarlierSkills()


def head_of(query: RecallQuery) -> str | None:
    """The anchor of what stands before all turns; None where nothing may stand there."""
    return f"{WHOLE}{query.head or HEAD}" if query.shown is None else query.head


def anchor_for(query: RecallQuery, earlier: EarlierSkills) -> str | None:
    """Where skills go that are found now; None where they have no place, or were found already."""
    shown = query.shown
    if shown is None:
        return head_of(query)
    if earlier.answered:
        return None
    if query.head is not None and shown.opens and not earlier.has_head:
        return query.head
    return shown.names[-1] if shown.names else None


def earlier_skills(moment: ReadSnapshot, query: RecallQuery, space_id: str, rows: Sequence[Injection]) -> EarlierSkills:
    """What of these injections the model is still shown."""
    if not rows:
        return NOTHING
    head, names = head_of(query), query.shown.names if query.shown is not None else ()
    ids = dict.fromkeys(skill_id for row in rows for skill_id, _ in row.placed)
    found = moment.skills_by_id(list(ids), evidence=False)
    skills = {one.id: one for one in found if one.status in ACTIVE and one.space_id == space_id}
    placed: list[tuple[str, tuple[RenderedSkill, ...]]] = []
    has_head = False
    for row in rows:
        if row.anchor == head and query.shown is not None:
            if has_head:
                continue  # two runs began at the same time: the first one counts
            has_head = True
        chosen = [
            again
            for skill_id, fingerprint in row.placed
            if skill_id in skills
            and can_run(skills[skill_id], query.tools)
            and (again := shown_before(skills[skill_id], fingerprint, catalog=query.catalog)) is not None
        ]
        if chosen:
            placed.append((str(row.anchor), tuple(chosen)))
    answered = bool(names) and any(row.turn == names[-1] for row in rows)
    return EarlierSkills(tuple(placed), has_head, answered)


def blocks_of(query: RecallQuery, placed: Sequence[tuple[str, Sequence[RenderedSkill]]]) -> tuple[SkillsBlock, ...]:
    """The texts that stand in this request, each with its place: what the provider holds is not sent again."""
    head = head_of(query)
    there = {head, *(query.shown.names if query.shown is not None else ())}
    return tuple(
        SkillsBlock(HEAD if anchor == head else anchor, framed(chosen, catalog=query.catalog))
        for anchor, chosen in placed
        if anchor in there
    )


class InjectionLog:
    """What is injected, on its way to the store, and the injections of a conversation, whether written or not."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unwritten: FIFOCache[str, tuple[Injection, ...]] = FIFOCache(_UNWRITTEN)
        self._lock = renewed_in_child(self, "_lock", threading.Lock)

    def keep(self, injection: Injection) -> None:
        """Write it, without waiting. A closed store takes none."""
        session_id = injection.session_id or ""
        placed = bool(session_id) and injection.anchor is not None
        if placed:
            with self._lock:
                self._unwritten[session_id] = (*self._unwritten.get(session_id, ()), injection)
        with contextlib.suppress(Closed):
            writing: Pending[None] = self._store.log_injection(injection)
            if placed:
                writing.add_done_callback(lambda done: self._written(done, injection))

    def _written(self, done: Pending[None], injection: Injection) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        session_id = str(injection.session_id)
        with self._lock:
            rest = tuple(one for one in self._unwritten.get(session_id, ()) if one is not injection)
            if rest:
                self._unwritten[session_id] = rest
            else:
                self._unwritten.pop(session_id, None)

    def of(self, moment: ReadSnapshot, space_id: str, session_id: str, query: RecallQuery) -> list[Injection]:
        """Those that placed skills where this request can show them, or where the provider holds them."""
        shown, head = query.shown, head_of(query)
        anchors: list[str] | None = [] if head is None else [head]
        if shown is not None:
            anchors = None if shown.held else [*shown.names, *(anchors or ())]
        with self._lock:
            waiting = self._unwritten.get(session_id, ())
        rows = {row.id: row for row in moment.placements(space_id, session_id, anchors)}
        for row in waiting:
            if row.space_id == space_id and (anchors is None or row.anchor in anchors):
                rows.setdefault(row.id, row)
        if anchors is None:
            rows = {id: row for id, row in rows.items() if not str(row.anchor).startswith(WHOLE)}
        return sorted(rows.values(), key=lambda row: (row.created_at, row.id))
