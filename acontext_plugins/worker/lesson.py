"""What a worker reads for a learner."""

from __future__ import annotations

from collections.abc import Sequence

from acontext_store.protocols import ReadSnapshot, Store
from acontext_store.types import Task

from ..protocols import MOST_EARLIER, FinishedTask


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
