"""How good the rules are on the development trajectories: import, learn, rank, and score.

Run it: `python tests/rules/quality.py [--drop DOMAIN]`. Needs `../shared/data` beside the repository; without it the
tests that use it are skipped. Only conversations and their outcome are used, as `acontext learn` would.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import importlib.util
import json
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from acontext_plugins.learn.rules import RulesLearner
from acontext_plugins.observe.rules import RulesObserver
from acontext_plugins.protocols import FinishedTask, LearningInput, Observation
from acontext_plugins.retrieve.bm25 import MemoryIndex
from acontext_plugins.retrieve.ranking import query_terms, rank
from acontext_store.types import (
    Outcome,
    Part,
    SearchText,
    Session,
    Skill,
    SkillOps,
    Space,
    StoredMessage,
    stable_id,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
T0 = "2025-01-01T00:00:00.000000Z"
Row = dict[str, Any]


@lru_cache
def rows(name: str) -> tuple[Row, ...]:
    path = DATA / name
    with gzip.open(path, "rt") if name.endswith(".gz") else path.open() as lines:
        return tuple(json.loads(line) for line in lines if line.strip())


@lru_cache
def scorer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("score_skills", DATA / "score_skills.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["score_skills"] = module
    spec.loader.exec_module(module)
    return module


def from_openai(session_id: str, chat: Iterable[Row]) -> list[StoredMessage]:
    """An OpenAI chat as stored messages, as the importer converts it."""
    found = []
    for seq, item in enumerate(chat, 1):
        content = item.get("content")
        text = content if isinstance(content, str) else None if content is None else json.dumps(content)
        parts: list[Part] = []
        if item["role"] == "tool":
            meta = {"tool_call_id": item.get("tool_call_id"), **({"name": item["name"]} if item.get("name") else {})}
            parts.append(Part(type="tool-result", text=text or "", meta=meta))
        elif text:
            parts.append(Part(type="text", text=text))
        for call in item.get("tool_calls") or ():
            function = call["function"]
            parts.append(
                Part(
                    type="tool-call",
                    meta={"id": call["id"], "name": function["name"], "arguments": function["arguments"]},
                )
            )
        found.append(
            StoredMessage(
                id=stable_id(session_id, str(seq)),
                role=item["role"],
                parts=tuple(parts),
                created_at=T0,
                project_id="p",
                session_id=session_id,
                seq=seq,
                updated_at=T0,
            )
        )
    return found


STATUS = {1: "success", "success": "success", 0: "failed", "failed": "failed"}


async def finished_tasks(conversations: Iterable[Row]) -> list[FinishedTask]:
    observer = RulesObserver()
    found = []
    for row in conversations:
        session = Session(
            id=stable_id("session", row["id"]),
            project_id="p",
            space_id="space",
            key=row["id"],
            created_at=T0,
            updated_at=T0,
        )
        messages = from_openai(session.id, row["messages"])
        outcomes = []
        if row.get("reward") is not None:
            outcomes.append(
                Outcome(
                    id=stable_id("outcome", row["id"]),
                    status=STATUS[row["reward"]],
                    source="import",
                    after_seq=len(messages),
                    created_at=T0,
                )
            )
        ops = await observer.observe(Observation(session, messages, outcomes, ()))
        for task in ops.tasks:
            if task.status in ("success", "failed"):
                inside = [m for m in messages if task.first_seq <= m.seq <= task.last_seq]
                found.append(FinishedTask(task, session, inside))
    return found


@dataclass
class Shelf:
    """A space in memory: what a store would keep of the learner's ops."""

    skills: dict[str, Skill] = field(default_factory=dict)
    texts: dict[str, tuple[SearchText, ...]] = field(default_factory=dict)
    episodes: dict[str, Any] = field(default_factory=dict)

    def apply(self, ops: SkillOps) -> int:
        for episode in ops.episodes:
            self.episodes[episode.task_id] = episode
        written = 0
        for edit in ops.edits:
            old = self.skills.get(edit.skill_id)
            self.texts[edit.skill_id] = edit.texts
            if old and old.body.hash == edit.body.hash and old.status == edit.status:
                self.skills[edit.skill_id] = old.model_copy(
                    update={"evidence": edit.evidence, "score": edit.score, "score_reasons": edit.score_reasons}
                )
                continue
            written += 1
            self.skills[edit.skill_id] = Skill(
                id=edit.skill_id,
                project_id="p",
                space_id="space",
                block_id="b" + edit.skill_id,
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
        for skill_id in ops.retired:
            self.skills[skill_id] = self.skills[skill_id].model_copy(update={"status": "retired"})
        return written

    @property
    def active(self) -> list[Skill]:
        return [skill for skill in self.skills.values() if skill.status == "active"]

    def index(self) -> MemoryIndex:
        index = MemoryIndex()
        for skill in self.active:
            index.add("space", skill.id, [SearchText(kind="skill", text=skill.body.use_when), *self.texts[skill.id]])
        return index


def learn(finished: Sequence[FinishedTask], shelf: Shelf | None = None) -> Shelf:
    shelf = shelf or Shelf()
    space = Space(id="space", project_id="p", created_at=T0, updated_at=T0)
    lesson = LearningInput(space, finished, list(shelf.episodes.values()), list(shelf.skills.values()))
    shelf.apply(asyncio.run(RulesLearner().learn(lesson)))
    return shelf


def search(index: MemoryIndex, query: str, *, limit: int = 5) -> list[str]:
    terms = query_terms(query)
    return [skill_id for skill_id, _ in rank(query, *index.gather("space", terms), limit=limit)]


@lru_cache
def development(*dropped: str) -> list[FinishedTask]:
    return asyncio.run(finished_tasks(r for r in rows("trajectories_dev.jsonl.gz") if r["domain"] not in dropped))


def rendered(shelf: Shelf) -> tuple[list[Row], dict[str, int]]:
    """The active skills as the scorer reads them."""
    # The scorer knows nothing of tasks without gold actions (toolbench, swe), and stumbles over them.
    task_of = {r["id"]: r["task_id"] for r in rows("trajectories_dev.jsonl.gz") if r["gold_actions"]}
    out: list[Row] = []
    place = {}
    for skill in shelf.active:
        place[skill.id] = len(out)
        sources = skill.source_ids
        out.append(
            {
                "use_when": skill.body.use_when,
                "preferences": skill.body.preferences,
                "tool_sops": [{"tool_name": s.tool_name, "action": s.action} for s in skill.body.tool_sops],
                "source_task_ids": list(dict.fromkeys(task_of[s] for s in sources if s in task_of)),
                "source_trajectory_id": sources[0] if sources else None,
            }
        )
    return out, place


def evaluate(shelf: Shelf, *, field_name: str = "query", verbose: bool = True) -> Row:
    """The scorer's figures for this library and our ranking."""
    s = scorer()
    paths = s.paths(str(DATA))
    with warnings.catch_warnings():
        # The scorer leaves the file open.
        warnings.simplefilter("ignore", ResourceWarning)
        world = s.World(paths["tools"])
    library, place = rendered(shelf)
    tasks = rows("gold_tasks_dev.jsonl")
    trajectories = rows("trajectories_dev.jsonl.gz")
    gold = {t["task_id"]: (t["domain"], s.names(t["gold_actions"])) for t in tasks}
    for t in trajectories:
        if t.get("gold_actions"):
            gold.setdefault(t["task_id"], (t["domain"], s.names(t["gold_actions"])))
    queries = [q for q in rows("retrieval_dev.jsonl") if q.get(field_name)]
    index = shelf.index()
    retrieved = {q["query_id"]: ([place[i] for i in search(index, q[field_name])], None) for q in queries}
    found = s.summary(s.Scorer(world, library, gold, queries).run(retrieved))
    quality = s.distill_quality(library, trajectories, tasks, world)
    strangers = rows("ood_queries.jsonl")
    injected = [bool(search(index, q["query"])) for q in strangers]
    if verbose:
        print(s.dtable("rules", quality))
        print(s.table("rules", found, "writes"))
        print(
            "skills",
            len(library),
            "ood",
            sum(injected) / len(injected),
            "none",
            sum(not r[0] for r in retrieved.values()) / len(retrieved),
        )
    return {"retrieval": found, "quality": quality, "ood": sum(injected) / len(injected)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drop", action="append", default=[])
    parser.add_argument("--field", default="query")
    options = parser.parse_args()
    start = time.perf_counter()
    finished = development(*options.drop)
    middle = time.perf_counter()
    shelf = learn(finished)
    print(f"observe {middle - start:.2f} s, learn {time.perf_counter() - middle:.2f} s, {len(finished)} tasks")
    evaluate(shelf, field_name=options.field)


if __name__ == "__main__":
    main()
