"""Results: skills and blocks, as a search gives them."""

from __future__ import annotations

from collections.abc import Collection

from acontext_store.tokenizer import words
from acontext_store.types import Block, Json, Skill

from ..service import SearchItem


def cited(skill: Skill, score: float) -> SearchItem:
    """A skill as a search cites it; distance 0 = identical."""
    return SearchItem(
        block_id=skill.block_id,
        title=skill.body.use_when,
        type="sop",
        props=said_by(skill) | {"tool_sops": _numbered(skill)},
        distance=round(1.0 / (1.0 + score), 6),
    )


def said_by(skill: Skill) -> Json:
    """What a skill says, in the words of the wire."""
    return {
        "use_when": skill.body.use_when,
        "preferences": skill.body.preferences,
        "tool_sops": [{"tool_name": step.tool_name, "action": step.action} for step in skill.body.tool_sops],
    }


def _numbered(skill: Skill) -> list[Json]:
    return [
        {"order": order, "tool_name": step.tool_name, "action": step.action}
        for order, step in enumerate(skill.body.tool_sops)
    ]


def by_words(roots: Collection[Block], query: str, types: Collection[str]) -> list[SearchItem]:
    """Blocks of these types that share words with the query, by the share of the query's words they have."""
    wanted = set(words(query))
    found: list[SearchItem] = []
    rest = [(block, frozenset[str]()) for block in roots]
    while rest:
        block, above = rest.pop()
        own = above | set(words(block.title))
        rest += [(child, frozenset(own)) for child in block.children or ()]
        if block.type not in types:
            continue
        if block.type == "text":
            own |= {word for value in block.props.values() if isinstance(value, str) for word in words(value)}
        share = len(wanted & own) / len(wanted) if wanted else 0.0
        if share:
            found.append(
                SearchItem(
                    block_id=block.id,
                    title=block.title,
                    type=block.type,
                    props=block.props,
                    distance=round(1.0 - share, 6),
                )
            )
    return found
