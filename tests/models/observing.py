"""An engine over a real database that a scripted model observes, and what that model can read."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acontext_plugins.engine.engine import Engine
from acontext_plugins.formats import to_message
from acontext_plugins.learn.rules import RulesLearner
from acontext_plugins.llm import Request
from acontext_plugins.observe.answer import TaskAnswer
from acontext_plugins.observe.model import ModelObserver
from acontext_plugins.observe.prompt_view import view_of
from acontext_plugins.observe.reconcile import decide
from acontext_plugins.protocols import Batch
from acontext_plugins.record.redaction import Redactor
from acontext_plugins.settings import LearnSettings, ObserveSettings, Settings, WorkerSettings
from acontext_plugins.testing import ScriptedLLM
from acontext_plugins.testing.scripted_llm import Script, Scripted
from acontext_store.open import open_blobs, open_store
from acontext_store.types import Json, Message, Outcome, StoredMessage, Task, TaskOps

from ..rules.talk import Talk

_DATA = re.compile(r"<data-(\w+)>\n(.*?)\n</data-\1>", re.DOTALL)


@dataclass
class Read:
    """What a model can read in a request."""

    tasks: list[Json] = field(default_factory=list)
    earlier: list[Json] = field(default_factory=list)
    new: list[Json] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [line["id"] for line in self.new]

    def saying(self, words: str) -> str:
        """The id of the message that holds these words."""
        (found,) = [line["id"] for line in (*self.earlier, *self.new) if words in json.dumps(line, ensure_ascii=False)]
        return str(found)


def read(request: Request) -> Read:
    """As a model would: by the marks that the system prompt names."""
    sections = [
        [json.loads(line) for line in found.splitlines() if line.startswith("{")]
        for _, found in _DATA.findall(str(request.messages[1]["content"]))
    ]
    return Read(*sections)


def one_task(request: Request, **more: Any) -> Json:
    """A plain answer: all is one task, whose progress tells each message that came."""
    shown = read(request)
    known = [task for task in shown.tasks if "description" in task]
    task = known[0]["id"] if known else "n1"
    insert = [] if known else [{"task": "n1", "description": "the whole work", "cites": shown.ids[:1]}]
    notes = [{"task": task, "note": f"I saw {line.get('text', '?')}", "cites": [line["id"]]} for line in shown.new]
    return {"insert": insert, "link": [{"task": task, "messages": shown.ids}], "progress": notes} | more


class Watch:
    """An engine and the model that observes its sessions."""

    def __init__(self, engine: Engine, llm: ScriptedLLM, observer: ModelObserver) -> None:
        self.engine = engine
        self.llm = llm
        self.observer = observer
        self.session_id = ""

    @property
    def calls(self) -> int:
        return len(self.llm.requests)

    async def begin(self, *, space: str | None = None, **options: Any) -> str:
        space_id = None if space is None else (await self.engine.space_by_name(space, create=True)).id
        self.session_id = (await self.engine.create_session(space_id=space_id, **options)).id
        return self.session_id

    async def send(self, *blobs: Json | Message, outcomes: Sequence[Outcome] = ()) -> None:
        if not self.session_id:
            await self.begin()
        messages = [blob if isinstance(blob, Message) else to_message(blob) for blob in blobs]
        await self.engine.append(self.session_id, messages, outcomes)

    async def told(self, *outcomes: Outcome) -> None:
        await self.engine.append(self.session_id, [], outcomes)

    async def observe(self) -> None:
        """All that is recorded so far."""
        result = await self.engine.flush_session(self.session_id)
        assert result.status == 200, result.errmsg

    async def tasks(self) -> list[Task]:
        return await self.engine.all_tasks(self.session_id)

    async def messages(self) -> list[StoredMessage]:
        return (await self.engine.store.messages(self.session_id)).items


@asynccontextmanager
async def watching(
    path: Path,
    script: Script | Sequence[Scripted],
    *,
    observe: ObserveSettings | None = None,
    worker: WorkerSettings | None = None,
    running: bool = False,
) -> AsyncIterator[Watch]:
    """An engine on the database `acontext.db` in that folder; its worker runs only if `running`."""
    url = f"sqlite:///{path}/acontext.db"
    settings = Settings(
        url=url,
        observe=observe or ObserveSettings(model_quiet=0.0, model_max_wait=0.0),
        learn=LearnSettings(quiet=0.0),
        worker=worker or WorkerSettings(backoff=0.001, idle=0.01),
    )
    store = open_store(url, project_id="default")
    llm = ScriptedLLM(script)
    observer = ModelObserver(llm, settings=settings.observe)
    engine = Engine(
        store,
        open_blobs(url, project_id="default"),
        scrubber=Redactor(enabled=True, pii=False),
        observer=observer,
        learner=RulesLearner(),
        settings=settings,
    )
    try:
        if running:
            await engine.start()
        yield Watch(engine, llm, observer)
    finally:
        await engine.stop()
        engine.close()


# ------------------------------------------------------------------------------------- without a store


def batch_of(talk: Talk, *, seen: int = 0, tasks: Sequence[Task] = (), links: dict[int, str] | None = None) -> Batch:
    """What a worker would read of the talk after `seen` messages."""
    links = links or {}
    messages = [m.model_copy(update={"task_id": links.get(m.seq)}) for m in talk.messages]
    end = len(messages)
    outcomes = [outcome for outcome in talk.outcomes if seen <= outcome.after_seq <= end]
    runs: dict[str, list[str]] = {outcome.run_id: [] for outcome in outcomes if outcome.run_id is not None}
    for message in messages:
        if message.run_id in runs and message.task_id is not None:
            runs[message.run_id].append(message.task_id)
    return Batch(
        session=talk.session,
        messages=messages[seen:],
        outcomes=outcomes,
        tasks=list(tasks),
        observed_seq=seen,
        earlier=messages[:seen],
        runs=runs,
    )


class Observed:
    """A talk that is observed batch by batch, without a store."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.tasks: list[Task] = []
        self.links: dict[int, str] = {}
        self.seen = 0
        self.ops = TaskOps(session_id=talk.session.id)
        self.dropped: dict[str, int] = {}

    def answer(self, answer: Json | Callable[[list[str]], Json] | None = None) -> Observed:
        """What becomes of all that is new when the model answers this; ids are those of the whole talk: m1, m2, ..."""
        batch = batch_of(self.talk, seen=self.seen, tasks=self.tasks, links=self.links)
        view = view_of(batch, budget=60_000, progresses=6)
        given = answer(view.new) if callable(answer) else answer
        parsed = None if given is None else TaskAnswer.model_validate(given)
        self.ops, dropped = decide(batch, view, parsed)
        self.dropped = dict(dropped)
        known = {task.id: task for task in self.tasks}
        for task in self.ops.tasks:
            if not task.is_planning:
                known[task.id] = task
        self.tasks = sorted(known.values(), key=lambda task: task.order)
        seqs = {message.id: message.seq for message in self.talk.messages}
        self.links |= {seqs[link.message_id]: link.task_id for link in self.ops.links or ()}
        self.seen = self.ops.observed_seq
        return self

    @property
    def statuses(self) -> list[str]:
        return [task.status for task in self.tasks]

    @property
    def task(self) -> Task:
        (task,) = self.tasks
        return task


def inserted(*descriptions: str, cites: str = "m1", **more: Any) -> Json:
    """Tasks n1, n2, ... in order."""
    tasks = [
        {"task": f"n{number}", "description": text, "cites": [cites]} for number, text in enumerate(descriptions, 1)
    ]
    return {"insert": tasks} | more
