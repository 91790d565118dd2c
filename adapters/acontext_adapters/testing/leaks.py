"""What is left when runs are over: objects of ours, threads, tasks."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Census:
    """Who is there: instances of the classes of some packages by their names, threads and other tasks."""

    objects: Counter[str]
    threads: int
    tasks: frozenset[asyncio.Task[object]]

    def grown_since(self, before: Census, *, allowed: int) -> dict[str, int]:
        """Counts that have grown by more than `allowed` items; of tasks, by any number."""
        grown = {name: count - before.objects[name] for name, count in self.objects.items()}
        grown["threads"] = self.threads - before.threads
        found = {name: count for name, count in grown.items() if count > allowed}
        tasks = len(self.tasks - before.tasks)
        return found | ({"tasks": tasks} if tasks else {})


async def census(packages: Collection[str]) -> Census:
    """Counts once everything that can go has gone."""
    for _ in range(3):
        await asyncio.sleep(0)
        gc.collect()
    kinds = Counter(type(one) for one in gc.get_objects())
    ours: Counter[str] = Counter()
    for kind, count in kinds.items():
        module = str(kind.__module__)
        if module.partition(".")[0] in packages and not module.startswith(__package__):
            ours[f"{module}.{kind.__qualname__}"] += count
    current = asyncio.current_task()
    return Census(
        ours, threading.active_count(), frozenset(task for task in asyncio.all_tasks() if task is not current)
    )


def alive(kind: type) -> int:
    """How many instances of a class there are, once those that can go have gone."""
    gc.collect()
    return sum(issubclass(type(one), kind) for one in gc.get_objects())
