"""Agentic search without a model.

From what was found by search to the pages where it stands and the pages whose names fit, taking along what else there
fits the query; and an answer in the words of what was found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from acontext_store.tokenizer import words
from acontext_store.types import Json

from ..service import SearchItem
from .block_tree import BlockTree, TreeNode

#: Share of the query's words that a neighbour must have; and how many, where the query has as many.
SHARE, AT_LEAST = 0.5, 2
#: Folders and pages that are looked at.
PAGES = 200
_LONGEST_PART, _LONGEST = 600, 6_000
_CITED = re.compile(r"[ \t]?\[(\d{1,6})\]")


async def walk(tree: BlockTree, query: str, found: Sequence[SearchItem], *, limit: int) -> list[SearchItem]:
    """What was found, and then what stands beside it or under a fitting name and fits, best first."""
    hits = {item.block_id: item.model_copy(update={"distance": None}) for item in found}
    wanted = set(words(query))
    pages: dict[str, TreeNode] = {}
    for block_id in hits:
        node = await tree.node(block_id)
        page = None if node is None else await tree.parent(node)
        if page is not None:
            pages[page.block.id] = page
    for page in await _named_pages(tree, wanted):
        pages.setdefault(page.block.id, page)
    beside: list[tuple[float, str, SearchItem]] = []
    for page in pages.values():
        for node in await tree.children(page):
            share = fit(wanted, node.text)
            if share and node.block.id not in hits:
                beside.append((-share, node.path, node.item))
    return [*hits.values(), *(item for _, _, item in sorted(beside, key=lambda one: one[:2]))][:limit]


async def _named_pages(tree: BlockTree, wanted: set[str]) -> list[TreeNode]:
    """Pages whose path has words of the query."""
    found, rest, looked = [], list(await tree.children(None)), 0
    while rest and looked < PAGES:
        node = rest.pop(0)
        looked += 1
        if node.block.type == "page" and wanted & set(words(node.path.replace("_", " "))):
            found.append(node)
        elif node.block.type == "folder":
            rest += await tree.children(node)
    return found


def fit(wanted: set[str], text: str) -> float:
    """The share of the wanted words that a text has; 0 where that is too little to tell anything."""
    shared = wanted & set(words(text))
    if len(shared) < min(AT_LEAST, len(wanted)) or not wanted:
        return 0.0
    share = len(shared) / len(wanted)
    return share if share >= SHARE else 0.0


def answer_of(items: Sequence[SearchItem]) -> str | None:
    """An answer in the words of what was found; None where there is nothing."""
    if not items:
        return None
    parts = (f"[{number}] {citing(_said(item), 0)}"[:_LONGEST_PART] for number, item in enumerate(items, 1))
    return "\n\n".join(parts)[:_LONGEST]


def citing(text: str, known: int) -> str:
    """The text with citations, like [1], of what there is only: `known` blocks."""
    return _CITED.sub(lambda found: found.group(0) if 1 <= int(found.group(1)) <= known else "", text)


def _said(item: SearchItem) -> str:
    if item.type != "sop":
        return " ".join([item.title, *(value for value in item.props.values() if isinstance(value, str))])
    steps: list[Json] = item.props.get("tool_sops") or []
    lines = [f"When: {item.props.get('use_when') or item.title}"]
    lines += [f"{number}. {step['tool_name']}: {step['action']}" for number, step in enumerate(steps, 1)]
    if preferences := item.props.get("preferences"):
        lines.append(f"Prefer: {preferences}")
    return "\n".join(lines)
