"""One moment of the database, for questions that take several reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from ..embedding import VectorChanges
from ..errors import NotFound
from ..protocols import ReadSnapshot
from ..types import Outcome, SearchHit, Session, Skill, SkillStatus, Space, StoredMessage, Task
from . import conversations, learned, search, skills, spaces, tasks, vectors
from .database import Tx
from .tables import spaces as spaces_table

T = TypeVar("T")


class SqliteSnapshot:
    """What a transaction that reads can be asked."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        # rows of spaces, and how often words occur in them: all of a moment sees the same
        self._spaces: dict[str, Any] = {}
        self._frequencies: dict[str, dict[str, int]] = {}

    def session(self, session_id: str) -> Session:
        return conversations.session(self._tx, session_id)

    def messages(self, session_id: str, *, after_seq: int = 0, limit: int | None = None) -> list[StoredMessage]:
        return conversations.list_messages(
            self._tx, session_id, after_seq=after_seq, limit=limit, cursor=None, time_desc=False
        ).items

    def outcomes(self, session_id: str, *, after_seq: int = 0) -> list[Outcome]:
        return conversations.list_outcomes(self._tx, session_id, after_seq=after_seq)

    def tasks(self, session_id: str, *, planning: bool = False) -> list[Task]:
        found = tasks.planning(self._tx, session_id) if planning else []
        cursor: str | None = None
        while True:
            page = tasks.list_tasks(self._tx, session_id, limit=200, cursor=cursor, time_desc=False)
            found += page.items
            if not page.has_more:
                return found
            cursor = page.next_cursor

    def tasks_before(self, task: Task, *, limit: int) -> list[Task]:
        return tasks.before(self._tx, task, limit=limit)

    def task_messages(self, task: Task, *, last: int | None = None) -> list[StoredMessage]:
        return conversations.messages_of(self._tx, task, last=last)

    def tasks_of_run(self, session_id: str, run_id: str) -> list[str]:
        return tasks.of_run(self._tx, session_id, run_id)

    def learned_from(self, task_ids: Iterable[str]) -> set[str]:
        return learned.with_episodes(self._tx, task_ids)

    def resume_seq(self, session_id: str) -> int:
        return tasks.resume_seq(self._tx, session_id)

    def observed_seq(self, session_id: str) -> int:
        return tasks.observed_seq(self._tx, session_id)

    def space_by_name(self, name: str) -> Space:
        row = self._tx.find(spaces_table, name=name)
        if row is None:
            raise NotFound("space", name)
        self._spaces[row.id] = row
        return spaces.space_of(row)

    def frequencies(self, space_id: str, terms: Iterable[str]) -> tuple[int, dict[str, int]]:
        wanted = list(terms)
        total, counts = search.frequencies(self._tx, space_id, wanted, space=self._space(space_id))
        self._frequencies.setdefault(space_id, {}).update(counts)
        return total, counts

    def search(
        self,
        space_id: str,
        terms: Sequence[str],
        *,
        statuses: Collection[SkillStatus] | None = None,
        limit: int = 50,
    ) -> list[SearchHit]:
        counts = self._frequencies.get(space_id, {})
        known = counts if all(term in counts for term in terms) else None
        return search.search(
            self._tx,
            space_id,
            terms,
            statuses=statuses,
            limit=limit,
            space=self._space(space_id),
            counts=known,
        )

    def _space(self, space_id: str) -> Any:
        if space_id not in self._spaces:
            self._spaces[space_id] = self._tx.get(spaces_table, "space", space_id)
        return self._spaces[space_id]

    def skills_by_id(self, skill_ids: Sequence[str], *, evidence: bool = True) -> list[Skill]:
        return skills.skills_by_id(self._tx, skill_ids, evidence=evidence)

    def vectors(
        self, space_id: str, *, model: str, dimensions: int, after: int = 0, limit: int = 1000
    ) -> VectorChanges:
        return vectors.changes(self._tx, space_id, model=model, dimensions=dimensions, after=after, limit=limit)

    def embedded_skills(self, space_id: str, *, model: str, dimensions: int) -> set[str]:
        return vectors.embedded_skills(self._tx, space_id, model=model, dimensions=dimensions)


def ask(tx: Tx, question: Callable[[ReadSnapshot], T]) -> T:
    return question(SqliteSnapshot(tx))
