"""What a store promises about messages that are linked one by one, and about a buffer of messages that wait."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ..errors import InvalidInput
from ..protocols import ReadSnapshot, Store
from ..types import MessageLink, Task, TaskOps
from .factories import PROJECT, a_session, a_space, a_task, claimed, done, learned, said, talk


def link(store: Store, tasks: list[Task], links: dict[int, str], *, observed_seq: int = 6, **ops: Any) -> None:
    """An observer links these messages (by their number) to these tasks."""
    done(store.schedule_now("observe", "s1"))
    made = tuple(MessageLink(message_id=f"s1-m{number}", task_id=task_id) for number, task_id in links.items())
    found = TaskOps(session_id="s1", tasks=tuple(tasks), links=made, observed_seq=observed_seq, **ops)
    done(store.apply_tasks(claimed(store, "observe", "s1"), found))


def linked(store: Store) -> list[str | None]:
    return [message.task_id for message in done(store.messages("s1")).items]


class LinkContract:
    """Each message is linked to the tasks that it belongs to."""

    def test_messages_are_linked_one_by_one(self, store: Store) -> None:
        talk(store, count=6)
        tasks = [a_task("t1", first_seq=1, last_seq=5), a_task("t2", order=2, first_seq=2, last_seq=6)]
        link(store, tasks, {1: "t1", 5: "t1", 2: "t2", 6: "t2"})
        assert linked(store) == ["t1", "t2", None, None, "t1", "t2"]
        link(store, [], {3: "t1"})
        assert linked(store) == ["t1", "t2", "t1", None, "t1", "t2"]

    def test_a_message_has_one_task(self, store: Store) -> None:
        talk(store, count=6)
        tasks = [a_task("t1", first_seq=1, last_seq=2), a_task("t2", order=2, first_seq=2, last_seq=2)]
        link(store, tasks, {1: "t1", 2: "t1"})
        link(store, [], {2: "t2"})
        assert linked(store)[:2] == ["t1", "t2"]

    def test_links_stay_when_a_task_changes(self, store: Store) -> None:
        talk(store, count=6)
        task = a_task("t1", status="running", first_seq=1, last_seq=3)
        link(store, [task], {1: "t1", 3: "t1"})
        link(store, [task.model_copy(update={"status": "success", "last_seq": 5})], {5: "t1"})
        assert linked(store) == ["t1", None, "t1", None, "t1", None]

    @pytest.mark.parametrize("links", [{1: "nobody"}, {9: "t1"}], ids=["task", "message"])
    def test_links_to_what_is_not_there_are_refused(self, store: Store, links: dict[int, str]) -> None:
        talk(store, count=2)
        with pytest.raises(InvalidInput):
            link(store, [a_task("t1")], links)
        assert done(store.tasks("s1")).items == []
        assert linked(store) == [None, None]

    def test_a_task_without_links_takes_only_what_no_other_has(self, store: Store) -> None:
        talk(store, count=4)
        link(store, [a_task("t1", first_seq=2, last_seq=2)], {2: "t1"}, observed_seq=2)
        done(store.schedule_now("observe", "s1"))
        ops = TaskOps(session_id="s1", tasks=(a_task("t2", order=2, first_seq=1, last_seq=4),), observed_seq=4)
        done(store.apply_tasks(claimed(store, "observe", "s1"), ops))
        assert linked(store) == ["t2", "t1", "t2", "t2"]

    def test_a_task_that_gets_or_loses_messages_is_learned_again(self, store: Store) -> None:
        space_id = a_space(store, "travel")
        talk(store, space_id=space_id, count=6)
        tasks = [a_task("t1", first_seq=1, last_seq=6), a_task("t2", order=2, first_seq=2, last_seq=2)]
        link(store, tasks, {1: "t1", 2: "t2", 6: "t1"})
        learned(store, space_id, digested=("t1", "t2"))
        link(store, [], {3: "t1"})
        assert [task.id for task in done(store.undigested(space_id))] == ["t1"]
        learned(store, space_id, digested=("t1",))
        link(store, [], {2: "t1"})
        assert {task.id for task in done(store.undigested(space_id))} == {"t1", "t2"}
        learned(store, space_id, digested=("t1", "t2"))
        link(store, [], {2: "t1"})
        assert done(store.undigested(space_id)) == []

    def test_a_moment_tells_what_belongs_to_a_task_and_to_a_run(self, store: Store) -> None:
        done(store.create_session(a_session(project_id=PROJECT)))
        told = [said(f"message {n}", id=f"s1-m{n}").model_copy(update={"run_id": f"r{n % 2}"}) for n in range(1, 7)]
        done(store.append("s1", told))
        plan = a_task("t0", order=0, is_planning=True, first_seq=4, last_seq=4)
        tasks = [a_task("t1", first_seq=1, last_seq=5), a_task("t2", order=2, first_seq=2, last_seq=2)]
        link(store, [plan, *tasks], {1: "t1", 3: "t1", 5: "t1", 2: "t2", 4: "t0"}, observed_seq=5)

        def ask(moment: ReadSnapshot) -> tuple[object, ...]:
            all_of_it = [message.seq for message in moment.task_messages(tasks[0])]
            newest = [message.seq for message in moment.task_messages(tasks[0], last=2)]
            runs = [moment.tasks_of_run("s1", run) for run in ("r0", "r1", "r2")]
            listed = [task.id for task in moment.tasks("s1")], [task.id for task in moment.tasks("s1", planning=True)]
            return all_of_it, newest, runs, listed, moment.observed_seq("s1")

        assert done(store.read_snapshot(ask)) == (
            [1, 3, 5],
            [3, 5],
            [["t0", "t2"], ["t1"], []],
            (["t1", "t2"], ["t0", "t1", "t2"]),
            5,
        )


class BufferContract:
    """Messages that wait for an observer who takes several at a time."""

    def _send(self, store: Store, count: int) -> None:
        for _ in range(count):
            done(store.append("s1", [said("x")], quiet=100, max_wait=1000, buffer=4))

    def _due_in(self, store: Store) -> float:
        (lane,) = done(store.lanes())
        return lane.due_at - time.time()

    def test_a_full_buffer_is_due_at_once(self, store: Store) -> None:
        done(store.create_session(a_session()))
        self._send(store, 3)
        assert self._due_in(store) > 90
        self._send(store, 1)
        assert self._due_in(store) <= 0
        self._send(store, 1)
        assert self._due_in(store) <= 0

    def test_many_messages_in_one_append_fill_the_buffer(self, store: Store) -> None:
        done(store.create_session(a_session()))
        done(store.append("s1", [said("x") for _ in range(9)], quiet=100, max_wait=1000, buffer=4))
        assert self._due_in(store) <= 0

    def test_what_is_observed_already_does_not_fill_the_buffer(self, store: Store) -> None:
        done(store.create_session(a_session()))
        self._send(store, 4)
        done(store.apply_tasks(claimed(store, "observe", "s1"), TaskOps(session_id="s1", observed_seq=4), buffer=4))
        self._send(store, 3)
        assert self._due_in(store) > 90
        self._send(store, 1)
        assert self._due_in(store) <= 0

    def test_what_arrives_while_somebody_observes_waits_for_its_own_time(self, store: Store) -> None:
        done(store.create_session(a_session()))
        self._send(store, 4)
        claim = claimed(store, "observe", "s1")
        self._send(store, 3)
        done(store.apply_tasks(claim, TaskOps(session_id="s1", observed_seq=4), buffer=4))
        assert 90 < self._due_in(store) <= 105
        self._send(store, 1)
        assert self._due_in(store) <= 0

    def test_a_buffer_that_fills_while_somebody_observes_is_due_at_once(self, store: Store) -> None:
        done(store.create_session(a_session()))
        self._send(store, 4)
        claim = claimed(store, "observe", "s1")
        self._send(store, 4)
        done(store.apply_tasks(claim, TaskOps(session_id="s1", observed_seq=4), buffer=4))
        assert self._due_in(store) <= 0

    def test_what_an_observer_left_is_due_at_once(self, store: Store) -> None:
        done(store.create_session(a_session()))
        self._send(store, 4)
        claim = claimed(store, "observe", "s1")
        self._send(store, 1)
        done(store.apply_tasks(claim, TaskOps(session_id="s1", observed_seq=3, more=True), buffer=4))
        assert self._due_in(store) <= 0

    def test_a_full_buffer_of_an_untracked_session_is_not_due(self, store: Store) -> None:
        done(store.create_session(a_session(disable_task_tracking=True)))
        self._send(store, 5)
        assert done(store.lanes()) == []
