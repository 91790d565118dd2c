"""What a model that observes is given to read, from one moment of the store."""

from __future__ import annotations

from acontext_store.protocols import ReadSnapshot
from acontext_store.types import StoredMessage, Task

from ..protocols import Batch, BatchLimits

#: The newest observed messages, which a batch shows whatever task they belong to.
NEWEST = 8


def batch(session_id: str, window: BatchLimits, attempts: int, moment: ReadSnapshot) -> Batch:
    """The next messages that have not been observed. Fewer of them after each failure but the first."""
    session, seen = moment.session(session_id), moment.observed_seq(session_id)
    most = max(1, window.most >> max(0, attempts - 1))
    found = moment.messages(session_id, after_seq=seen, limit=most + 1)
    end = found[:most][-1].seq if found else seen
    resume = moment.resume_seq(session_id)
    said = moment.outcomes(session_id, after_seq=min(seen, resume - 1))
    outcomes = [outcome for outcome in said if outcome.after_seq <= end]
    fresh = [outcome for outcome in outcomes if outcome.after_seq >= seen]
    names = dict.fromkeys(outcome.run_id for outcome in fresh if outcome.run_id is not None)
    runs = {run_id: moment.tasks_of_run(session_id, run_id) for run_id in names}
    tasks = moment.tasks(session_id, planning=True)
    spoken_of = {task_id for ids in runs.values() for task_id in ids}
    going_on = [task for task in tasks if not task.is_planning and (_goes_on(task) or task.id in spoken_of)]
    return Batch(
        session=session,
        messages=found[:most],
        outcomes=outcomes,
        tasks=[task for task in tasks if not task.is_planning],
        observed_seq=seen,
        earlier=_earlier(session_id, seen, going_on, window.earlier, moment),
        again=moment.messages(session_id, after_seq=resume - 1, limit=seen - resume + 1) if resume <= seen else (),
        planning=next((task for task in tasks if task.is_planning), None),
        runs=runs,
        more=len(found) > most,
    )


def _goes_on(task: Task) -> bool:
    return task.status in ("pending", "running") and task.last_seq > 0


def _earlier(session_id: str, seen: int, going_on: list[Task], most: int, moment: ReadSnapshot) -> list[StoredMessage]:
    found: dict[int, StoredMessage] = {}
    if seen:
        newest = moment.messages(session_id, after_seq=max(0, seen - NEWEST), limit=min(NEWEST, seen))
        found = {message.seq: message for message in newest}
    if most:
        for task in going_on:
            found |= {message.seq: message for message in moment.task_messages(task, last=most)}
    return [found[seq] for seq in sorted(found)]
