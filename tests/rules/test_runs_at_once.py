"""Runs of one session at the same time: what was asked in one is never part of another's task."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from acontext_plugins.observe.rules import observe
from acontext_plugins.protocols import Observation
from acontext_store.types import Outcome, Task

from .talk import Talk, call, result

REQUESTS = {"r1": "Summarise the report.", "r2": "Book a flight to Rome.", "r3": "Cancel my order."}


def steps_of(run: str) -> list[str]:
    return [f"{run} {step}" for step in ("asks", "calls", "is answered", "answers", "ends")]


@st.composite
def schedules(draw: st.DrawFn) -> list[str]:
    """The steps of two or three runs, each in order, taking turns at random."""
    runs = [steps_of(run) for run in draw(st.sampled_from([["r1", "r2"], ["r1", "r2", "r3"]]))]
    order = []
    while any(runs):
        order.append(draw(st.sampled_from([one for one in runs if one])).pop(0))
    return order


def talk_of(schedule: list[str]) -> Talk:
    talk = Talk()
    for step in schedule:
        run, _, what = step.partition(" ")
        talk.run(run)
        if what == "asks":
            talk.user(REQUESTS[run])
        elif what == "calls":
            talk.add("assistant", call(f"do_{run}", f"c{run}"))
        elif what == "is answered":
            talk.add("tool", result("ok", f"c{run}"))
        elif what == "answers":
            talk.agent(f"Done with {run}.")
        else:
            talk.ends("success", "framework", run_id=run)
    return talk


class Kept:
    """What a store keeps of observations: tasks, which message belongs to which, and where to go on."""

    def __init__(self, talk: Talk) -> None:
        self.talk, self.tasks, self.links, self.resume = talk, dict[str, Task](), dict[str, str](), 1

    def see(self, upto: int, outcomes: list[Outcome]) -> None:
        messages = [
            m.model_copy(update={"task_id": self.links.get(m.id)})
            for m in self.talk.messages
            if self.resume <= m.seq <= upto
        ]
        said = [one for one in outcomes if one.after_seq >= self.resume - 1]
        known = sorted(self.tasks.values(), key=lambda task: task.order)
        ops = observe(Observation(self.talk.session, messages, said, known))
        self.tasks |= {task.id: task for task in ops.tasks}
        for gone in ops.removed:
            del self.tasks[gone]
        for task in ops.tasks if ops.links is None else ():
            inside = [m for m in self.talk.messages if task.first_seq <= m.seq <= task.last_seq]
            self.links |= {m.id: task.id for m in inside if self.links.get(m.id) in (None, task.id)}
        self.links |= {link.message_id: link.task_id for link in ops.links or ()}
        self.resume = ops.resume_seq

    def told(self) -> list[tuple[str, str, list[str]]]:
        """For each task what was asked, its status, and the runs of its messages."""
        runs = {m.id: m.run_id or "" for m in self.talk.messages}
        tasks = sorted(self.tasks.values(), key=lambda task: task.data["task_description"])
        return [
            (t.data["task_description"], t.status, [runs[m] for m, task in self.links.items() if task == t.id])
            for t in tasks
        ]


@settings(deadline=None)
@given(schedules(), st.data())
def test_each_run_is_one_task_with_its_own_messages_however_it_is_observed(
    schedule: list[str], data: st.DataObject
) -> None:
    talk = talk_of(schedule)
    wanted = sorted((REQUESTS[run], "success", [run] * 4) for run in {step.split()[0] for step in schedule})
    kept = Kept(talk)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(talk.messages)), max_size=6)) | {len(talk.messages)})
    for cut in cuts:
        kept.see(cut, [one for one in talk.outcomes if one.after_seq < cut or cut == len(talk.messages)])
    assert kept.told() == wanted
