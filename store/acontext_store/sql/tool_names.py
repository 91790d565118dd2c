"""The tools that skills call: which there are, and what happens when one has another name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select

from ..errors import InvalidInput
from ..types import ACTIVE, Json, SearchText, SkillBody, ToolName
from . import learned, skills
from .database import Tx, dump, load
from .search import Index
from .tables import episodes, rejections
from .tables import proposals as proposals_table
from .tables import skills as skills_table

_LONGEST = 256


def list_names(tx: Tx) -> list[ToolName]:
    bodies = tx.all(select(skills_table.c.body).where(tx.mine(skills_table), skills_table.c.status.in_(list(ACTIVE))))
    counts: Counter[str] = Counter()
    for row in bodies:
        counts.update({step["tool_name"] for step in load(row.body)["tool_sops"]})
    return [ToolName(name=name, sop_count=count) for name, count in sorted(counts.items())]


def rename(
    tx: Tx,
    names: Mapping[str, str],
    *,
    episode: Callable[[Json], Json],
    text: Callable[[str], str],
) -> int:
    for new in names.values():
        if not new.strip() or len(new) > _LONGEST:
            raise InvalidInput(f"{new[:80]!r} cannot be the name of a tool: use 1 to {_LONGEST} characters")
    indexes: dict[str, Index] = {}
    changed = 0
    for row in tx.all(skills_table.select().where(tx.mine(skills_table))):
        before = SkillBody.model_validate(load(row.body))
        after = _renamed(before, names)
        if after != before:
            _rewrite(tx, row, after)
            changed += 1
        index = indexes.setdefault(row.space_id, Index(tx, row.space_id))
        requests = index.requests(row.id)
        reworded = [SearchText(kind="request", text=text(one.text)) for one in requests]
        if reworded != requests:
            index.put(row.id, [skills.own_text(after), *reworded])
    for index in indexes.values():
        index.done()
    held = select(proposals_table.c.skill_id).where(tx.mine(proposals_table))
    said_no = select(rejections.c.skill_id).where(tx.mine(rejections))
    concerned = {row.skill_id for row in tx.all(held.union(said_no))}
    learned.rename_proposed(tx, lambda body: _renamed(body, names), text, concerned)
    for row in tx.all(episodes.select().where(tx.mine(episodes))):
        body = load(row.body)
        renamed = episode(body)
        if renamed != body:
            tx.change(episodes, {"body": dump(renamed)}, task_id=row.task_id)
    return changed


def _rewrite(tx: Tx, row: Any, body: SkillBody) -> None:
    current = skills.skill(tx, row.id)
    skills.write(
        tx,
        row,
        skill_id=row.id,
        space_id=row.space_id,
        status=current.status,
        origin=current.origin,
        body=body,
        evidence=current.evidence,
        score=current.score,
        score_reasons=current.score_reasons,
        reason="a tool was renamed",
        by_person=False,
    )


def _renamed(body: SkillBody, names: Mapping[str, str]) -> SkillBody:
    steps = tuple(
        step.model_copy(update={"tool_name": names[step.tool_name]}) if step.tool_name in names else step
        for step in body.tool_sops
    )
    return body.model_copy(update={"tool_sops": steps, "trace": tuple(_line(line, names) for line in body.trace)})


def _line(line: str, names: Mapping[str, str]) -> str:
    """A line of a trace begins with its tool: `tool(argument={variable})`."""
    tool, bracket, rest = line.partition("(")
    return f"{names[tool]}{bracket}{rest}" if bracket and tool in names else line
