"""What a worker reads for observers and learners.

Sessions that are due at once are observed together, where that is quickly done: one look at the database for all of
them, one computation, and one commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from acontext_store.errors import NotFound
from acontext_store.protocols import ReadSnapshot, Store
from acontext_store.types import Claim, Task, TaskOps

from ..observe.rules import whole
from ..protocols import MOST_EARLIER, FinishedTask, Observation, Observer


@runtime_checkable
class ObserverOfMany(Observer, Protocol):
    """An observer of whole sessions that is quick: those that are due at once are given to it at once."""

    async def observe_each(self, observations: Sequence[Observation]) -> list[TaskOps | Exception]:
        """What `observe` gives for each of them, or what it raises."""


async def decide(store: Store, observer: ObserverOfMany, claims: Sequence[Claim]) -> list[TaskOps | Exception]:
    """What the observer decides of each claimed session, or why it could not. Raises what the database raises."""
    keys = [claim.key for claim in claims]
    read = await store.read_snapshot(lambda moment: [_read(key, moment) for key in keys])
    known = [one for one in read if isinstance(one, Observation)]
    decided = iter(await observer.observe_each(known))
    return [next(decided) if isinstance(one, Observation) else one for one in read]


def _read(session_id: str, moment: ReadSnapshot) -> Observation | Exception:
    try:
        return whole(session_id, moment)
    except NotFound as error:
        return error


def finished(tasks: Sequence[Task], moment: ReadSnapshot) -> list[FinishedTask]:
    """What a learner may read of these tasks."""
    return [
        FinishedTask(
            task=task,
            session=moment.session(task.session_id),
            messages=moment.task_messages(task),
            earlier=[str(before.data["task_description"]) for before in moment.tasks_before(task, limit=MOST_EARLIER)],
        )
        for task in tasks
    ]


async def pages_of(store: Store, space_id: str) -> list[tuple[str, ...]]:
    """Paths of the space's pages, those at the root first."""
    found: list[tuple[str, ...]] = []
    folders: list[tuple[str | None, tuple[str, ...]]] = [(None, ())]
    for folder_id, path in folders:  # grows while it is walked
        pages = await store.blocks(space_id, parent_id=folder_id, type="page")
        found += [(*path, page.title) for page in pages]
        folders += [
            (folder.id, (*path, folder.title))
            for folder in await store.blocks(space_id, parent_id=folder_id, type="folder")
        ]
    return found
