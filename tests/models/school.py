"""An engine over a real database whose lessons a scripted model words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acontext_plugins.engine.engine import Engine
from acontext_plugins.learn.model import ModelLearner
from acontext_plugins.learn.rules import RulesLearner
from acontext_plugins.llm import Request
from acontext_plugins.observe.rules import RulesObserver
from acontext_plugins.record.redaction import Redactor
from acontext_plugins.settings import LearnSettings, ObserveSettings, ScoringRule, Settings, WorkerSettings
from acontext_plugins.testing import ScriptedLLM
from acontext_plugins.testing.scripted_llm import Script
from acontext_store.open import open_blobs, open_store
from acontext_store.types import Json, Skill, Space

from ..rules.talk import Talk

_LINE = re.compile(r"^\[(m\d+)\] (.*):$")
_CALL = re.compile(r"call (c\d+) (\S+)")


@dataclass
class Read:
    """What a model can read in a request: what was said and called, by the ids that it can cite."""

    runs: dict[str, str] = field(default_factory=dict)
    users: list[tuple[str, str]] = field(default_factory=list)
    calls: list[tuple[str, str, str, bool]] = field(default_factory=list)
    skills: list[str] = field(default_factory=list)
    text: str = ""

    @property
    def last_call(self) -> tuple[str, str, str, bool]:
        return self.calls[-1]


def read(request: Request) -> Read:
    """As a model would: by the lines that we wrote."""
    text = str(request.messages[1]["content"])
    found = Read(text=text)
    label, message = "", ""
    failed: set[str] = set()
    for line in text.splitlines():
        if run := re.match(r"^run (r\d+): (\w+)$", line):
            found.runs[run.group(1)] = run.group(2)
        if skill := re.match(r"^(s\d+)[ :]", line):
            found.skills.append(skill.group(1))
        if head := _LINE.match(line):
            message, label = head.groups()
            if call := _CALL.match(label):
                found.calls.append((message, *call.groups(), True))
            elif label.startswith("result of") and label.endswith("(error)"):
                failed.add(label.split()[2])
            elif label == "user":
                found.users.append((message, ""))
        elif label == "user" and line.startswith("  "):
            id, said = found.users[-1]
            found.users[-1] = (id, f"{said}\n{line[2:]}".strip())
    found.calls = [(message, id, tool, id not in failed) for message, id, tool, _ in found.calls]
    return found


def experience(read: Read, **changes: Any) -> Json:
    """A plain answer: all calls that worked, as steps."""
    answer = {
        "runs": list(read.runs),
        "relation": "new",
        "use_when": "do what the user asked",
        "tool_sops": [
            {"call": id, "tool_name": tool, "action": "use it"} for _, id, tool, worked in read.calls if worked
        ],
    }
    return answer | changes


def learned(*experiences: Json, scores: Sequence[Json] = ()) -> Json:
    return {"experiences": list(experiences), "scores": list(scores)}


class School:
    """Teaches talks to an engine."""

    def __init__(self, engine: Engine, llm: ScriptedLLM, space: Space) -> None:
        self.engine = engine
        self.llm = llm
        self.space = space

    async def tell(self, *talks: Talk) -> None:
        """Record them, and make tasks of them."""
        for talk in talks:
            key = f"{talk.session.key}"
            session = await self.engine.create_session(
                space_id=self.space.id, key=key, principal=talk.session.principal
            )
            await self.engine.append(session.id, talk.messages, talk.outcomes)
        while await self.engine.worker.work_once(kinds=("observe",)):
            pass

    async def learn(self, *talks: Talk) -> None:
        await self.tell(*talks)
        while await self.engine.worker.work_once(kinds=("learn",)):
            pass

    async def skills(self) -> list[Skill]:
        return [s for s in await self.engine.store.skills(self.space.id) if s.status != "retired"]

    async def skill(self) -> Skill:
        (skill,) = await self.skills()
        return skill

    async def everything(self) -> str:
        """All that skills say, or have said, and where they stand, as one text."""
        store = self.engine.store
        skills = await store.skills(self.space.id)
        versions = [v for skill in skills for v in await store.skill_versions(skill.id)]
        blocks = await store.blocks(self.space.id, tree=True)
        return "\n".join(item.model_dump_json() for item in (*skills, *versions, *blocks))


@asynccontextmanager
async def school(
    path: Path,
    script: Script | Sequence[Any],
    *,
    configs: Json | None = None,
    rules: Sequence[ScoringRule] = (),
    prompts: str = "",
    **learn: Any,
) -> AsyncIterator[School]:
    """A space whose lessons `script` answers."""
    settings = Settings(
        url=f"sqlite:///{path / 'acontext.db'}",
        observe=ObserveSettings(quiet=0, max_wait=0),
        learn=LearnSettings(quiet=0, scoring_rules=tuple(rules), **learn),
        worker=WorkerSettings(enabled=False, backoff=0.001, idle=0.01),
    )
    llm = ScriptedLLM(script)
    store = open_store(settings.store_url, project_id="p")
    engine = Engine(
        store,
        open_blobs(settings.store_url, project_id="p"),
        scrubber=Redactor(),
        observer=RulesObserver(),
        learner=ModelLearner(llm, RulesLearner(), settings.learn, prompts),
        settings=settings,
    )
    try:
        found = await store.spaces(limit=1)
        space = found.items[0] if found.items else await engine.create_space(configs=configs)
        yield School(engine, llm, space)
    finally:
        await asyncio.to_thread(engine.close)


Answer = Callable[[Read], Json]


def says(answer: Answer) -> Script:
    """A model that reads, and answers by a function of what it read."""
    return lambda request: answer(read(request))
