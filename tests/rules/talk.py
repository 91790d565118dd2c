"""Short ways to write conversations down in tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any

from acontext_plugins.learn.rules import RulesLearner
from acontext_plugins.observe.rules import observe
from acontext_plugins.protocols import FinishedTask, LearningInput, Observation
from acontext_store.types import (
    Episode,
    Outcome,
    OutcomeSource,
    OutcomeStatus,
    Part,
    Role,
    Session,
    Skill,
    SkillOps,
    Space,
    StoredMessage,
    Task,
    stable_id,
)

T0 = "2025-01-01T00:00:00.000000Z"
SPACE = Space(id="space", project_id="p", created_at=T0, updated_at=T0)


def session(name: str = "s", *, principal: str | None = None) -> Session:
    return Session(
        id=name, project_id="p", space_id="space", key=f"key-{name}", principal=principal, created_at=T0, updated_at=T0
    )


def text(words: str) -> Part:
    return Part(type="text", text=words)


def call(tool: str, call_id: str = "c1", **arguments: Any) -> Part:
    return Part(type="tool-call", meta={"id": call_id, "name": tool, "arguments": json.dumps(arguments)})


def result(value: Any, call_id: str = "c1") -> Part:
    return Part(
        type="tool-result", text=value if isinstance(value, str) else json.dumps(value), meta={"tool_call_id": call_id}
    )


class Talk:
    """A conversation that is being written down."""

    def __init__(self, name: str = "s", *, principal: str | None = None) -> None:
        self.session = session(name, principal=principal)
        self.messages: list[StoredMessage] = []
        self.outcomes: list[Outcome] = []
        self._run: str | None = None
        self._calls = 0

    def run(self, run_id: str | None) -> Talk:
        self._run = run_id
        return self

    def add(self, role: Role, *parts: Part) -> Talk:
        seq = len(self.messages) + 1
        self.messages.append(
            StoredMessage(
                id=stable_id(self.session.id, "message", str(seq)),
                role=role,
                parts=parts,
                run_id=self._run,
                project_id="p",
                session_id=self.session.id,
                seq=seq,
                created_at=f"2025-01-01T{seq // 3600:02}:{seq // 60 % 60:02}:{seq % 60:02}.000000Z",
                updated_at=T0,
            )
        )
        return self

    def system(self, words: str) -> Talk:
        return self.add("system", text(words))

    def user(self, words: str) -> Talk:
        return self.add("user", text(words))

    def agent(self, words: str) -> Talk:
        return self.add("assistant", text(words))

    def does(self, tool: str, answer: Any = "ok", **arguments: Any) -> Talk:
        """One call and its result."""
        self._calls += 1
        call_id = f"call-{self._calls}"
        self.add("assistant", call(tool, call_id, **arguments))
        return self.add("tool", result(answer, call_id))

    def ends(
        self,
        status: OutcomeStatus,
        source: OutcomeSource = "report",
        *,
        run_id: str | None = None,
        by: str = "",
        strength: float | None = None,
    ) -> Talk:
        self.outcomes.append(
            Outcome(
                id=stable_id(self.session.id, "outcome", str(len(self.outcomes))),
                status=status,
                source=source,
                by=by,
                strength=strength,
                run_id=run_id,
                after_seq=len(self.messages),
                created_at=T0,
            )
        )
        return self

    def tasks(self) -> list[Task]:
        return list(observe(Observation(self.session, self.messages, self.outcomes, ())).tasks)

    def task(self) -> Task:
        (task,) = self.tasks()
        return task

    def finished(self) -> list[FinishedTask]:
        return [
            FinishedTask(task, self.session, [m for m in self.messages if task.first_seq <= m.seq <= task.last_seq])
            for task in self.tasks()
            if task.status in ("success", "failed")
        ]


class Memory:
    """What a store would keep of a learner's ops."""

    def __init__(self) -> None:
        self.skills: dict[str, Skill] = {}
        self.episodes: dict[str, Episode] = {}
        self.last = SkillOps(space_id="space")

    def learn(self, *talks: Talk) -> Memory:
        finished = [done for talk in talks for done in talk.finished()]
        return self.learn_tasks(finished)

    def learn_tasks(self, finished: Sequence[FinishedTask]) -> Memory:
        lesson = LearningInput(SPACE, finished, list(self.episodes.values()), list(self.skills.values()))
        self.last = asyncio.run(RulesLearner().learn(lesson))
        for episode in self.last.episodes:
            self.episodes[episode.task_id] = episode
        for edit in self.last.edits:
            old = self.skills.get(edit.skill_id)
            self.skills[edit.skill_id] = Skill(
                id=edit.skill_id,
                project_id="p",
                space_id="space",
                block_id=edit.skill_id,
                status=edit.status,
                origin=edit.origin,
                version=old.version + 1 if old else 1,
                body=edit.body,
                evidence=edit.evidence,
                score=edit.score,
                score_reasons=edit.score_reasons,
                created_at=T0,
                updated_at=T0,
            )
        for skill_id in self.last.retired:
            self.skills[skill_id] = self.skills[skill_id].model_copy(update={"status": "retired"})
        return self

    @property
    def active(self) -> list[Skill]:
        return [skill for skill in self.skills.values() if skill.status == "active"]

    def everything(self) -> str:
        """All that skills, episodes and search texts say, as one text."""
        skills = [skill.model_dump_json() for skill in self.skills.values()]
        episodes = [json.dumps(episode.body, ensure_ascii=False) for episode in self.episodes.values()]
        return "\n".join([*skills, *episodes, *(edit.model_dump_json() for edit in self.last.edits)])

    def skill_text(self) -> str:
        return "\n".join(
            [skill.body.model_dump_json() for skill in self.skills.values()] + [edit.title for edit in self.last.edits]
        )


def shares_run_of(length: int, needles: Iterable[str], haystack: str) -> str | None:
    """The first `length` characters in a row of a needle that stand in the haystack; None where there are none."""
    for needle in needles:
        for start in range(len(needle) - length + 1):
            if needle[start : start + length] in haystack:
                return needle[start : start + length]
    return None
