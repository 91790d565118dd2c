"""Approval: what people do with what was learned. They find it, confirm it, discard it, and rename its tools."""

from __future__ import annotations

from collections.abc import Mapping

from acontext_store.cursors import decode_cursor, encode_cursor
from acontext_store.errors import InvalidInput, NotFound
from acontext_store.protocols import Store
from acontext_store.types import Json, Page, Proposal, Skill, SkillBody, ToolName

from ..retrieve.results import said_by
from ..service import Confirmation
from .renaming import renamed_episode, renamed_text


class SkillApproval:
    """What people do with skills: those of one project."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def confirmations(
        self, space_id: str, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False
    ) -> Page[Confirmation]:
        if not 1 <= limit <= 200:
            raise InvalidInput(f"limit is {limit}: it must be 1 to 200")
        ordered = await self.store.proposals(space_id)
        if time_desc:
            ordered.reverse()
        if cursor is not None:
            at = decode_cursor(cursor)
            ordered = [one for one in ordered if (_place(one) < at if time_desc else _place(one) > at)]
        shown = ordered[:limit]
        more = len(ordered) > limit
        following = encode_cursor(*_place(shown[-1])) if more else None
        return Page(items=[_confirmation(one) for one in shown], next_cursor=following, has_more=more)

    async def confirm(
        self, space_id: str, confirmation_id: str, *, save: bool, experience_data: Json | None = None
    ) -> Confirmation | None:
        data = None if experience_data is None else _changed(experience_data)
        if not save:
            if data is not None:
                raise InvalidInput("experience_data goes with save=true alone: leave it out, or give save=true")
            await self.store.reject(space_id, confirmation_id)
            return None
        waiting = await self.store.proposals(space_id)
        found = next((one for one in waiting if confirmation_id in (one.id, one.skill.id)), None)
        if found is None:
            raise NotFound("experience confirmation", confirmation_id)
        skill = await self.store.confirm(space_id, found.id, data=data)
        return _confirmation(found.model_copy(update={"skill": skill}))

    async def tool_names(self) -> list[ToolName]:
        return await self.store.tool_names()

    async def rename_tools(self, names: Mapping[str, str]) -> int:
        if not names:
            raise InvalidInput("nothing to rename: give at least one old and new name")
        chosen = dict(names)
        return await self.store.rename_tools(
            chosen,
            episode=lambda body: renamed_episode(body, chosen),
            text=lambda text: renamed_text(text, chosen),
        )


def _place(proposal: Proposal) -> tuple[str, str]:
    return proposal.created_at, proposal.id


def _changed(experience_data: Json) -> Json:
    """What a person wants it to say. Raises InvalidInput."""
    kind, data = experience_data.get("type", "sop"), experience_data.get("data")
    if kind != "sop":
        raise InvalidInput(f'experience_data.type is {kind!r}: only "sop" can be confirmed'[:200])
    if not isinstance(data, dict):
        raise InvalidInput('experience_data.data must be an object: {"use_when", "preferences", "tool_sops"}')
    if unknown := sorted(set(data) - set(SkillBody.model_fields)):
        known = ", ".join(SkillBody.model_fields)
        raise InvalidInput(f"experience_data.data.{unknown[0]} is not known; known are {known}"[:300])
    return data


def _confirmation(proposal: Proposal) -> Confirmation:
    skill, current = proposal.skill, proposal.current
    return Confirmation(
        id=proposal.id,
        space_id=skill.space_id,
        skill_id=skill.id,
        task_id=skill.evidence[0].task_id if skill.evidence else None,
        experience_data={"type": "sop", "data": _all_of(skill)},
        replaces=None if current is None else {"version": current.version, "data": _all_of(current)},
        supersedes=list(proposal.supersedes),
        reason=proposal.reason,
        created_at=proposal.created_at,
        updated_at=proposal.updated_at,
    )


def _all_of(skill: Skill) -> Json:
    """All that may enter a prompt of it: nobody confirms what was not shown."""
    body = skill.body
    more: Json = {"pitfalls": list(body.pitfalls), "variables": dict(body.variables), "trace": list(body.trace)}
    return said_by(skill) | {name: value for name, value in more.items() if value}
