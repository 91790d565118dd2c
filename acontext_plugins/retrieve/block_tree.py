"""Block tree: a space as folders, pages and blocks with paths, read as far as somebody walks.

`/` is the root, `/shop/refunds` a page, `/shop/refunds/#2` its second block. Only what may be used is there: active
skills and texts; what waits for a person, or is archived, is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acontext_store.errors import NotFound
from acontext_store.protocols import Store
from acontext_store.types import ACTIVE, Block, Skill

from ..service import SearchItem
from .results import cited

_CONTAINERS = ("folder", "page")
_LONGEST_TITLE = 80


@dataclass(frozen=True, slots=True)
class TreeNode:
    """Something in the tree, and the way to it."""

    path: str
    block: Block
    #: What it says, where it is a skill.
    skill: Skill | None = None

    @property
    def is_container(self) -> bool:
        return self.block.type in _CONTAINERS

    @property
    def title(self) -> str:
        return self.skill.body.use_when if self.skill is not None else self.block.title

    @property
    def item(self) -> SearchItem:
        """As a search cites it."""
        if self.skill is not None:
            return cited(self.skill, 0.0).model_copy(update={"distance": None})
        block = self.block
        return SearchItem(block_id=block.id, title=block.title, type=block.type, props=block.props)

    @property
    def text(self) -> str:
        """All that it says, a line each."""
        if self.skill is None:
            said = [value for value in self.block.props.values() if isinstance(value, str)]
            return "\n".join([self.block.title, *said])
        body = self.skill.body
        lines = [f"use when: {body.use_when}"]
        if body.preferences:
            lines.append(f"prefer: {body.preferences}")
        lines += [f"{number}. {step.tool_name}: {step.action}" for number, step in enumerate(body.tool_sops, 1)]
        return "\n".join([*lines, *(f"pitfall: {pitfall}" for pitfall in body.pitfalls)])


class BlockTree:
    """The tree of one space as it is during one search."""

    def __init__(self, store: Store, space_id: str) -> None:
        self._store = store
        self._space_id = space_id
        self._below: dict[str | None, list[TreeNode]] = {}

    async def children(self, parent: TreeNode | None) -> Sequence[TreeNode]:
        """What stands in a folder or page (None = the root), in its order."""
        id = None if parent is None else parent.block.id
        if id not in self._below:
            blocks = await self._store.blocks(self._space_id, parent_id=id)
            self._below[id] = await self._named(blocks, "" if parent is None else parent.path)
        return self._below[id]

    async def _named(self, blocks: Sequence[Block], above: str) -> list[TreeNode]:
        sops = [block.id for block in blocks if block.type == "sop"]
        skills = {
            skill.id: skill
            for skill in (await self._store.skills_by_id(sops, evidence=False) if sops else ())
            if skill.status in ACTIVE
        }
        nodes: list[TreeNode] = []
        taken: set[str] = set()
        number = 0
        for block in sorted(blocks, key=lambda block: (block.sort, block.id)):
            if block.is_archived or (block.type == "sop" and block.id not in skills):
                continue
            if block.type in _CONTAINERS:
                title = name = _name(block.title)
                again = 1
                while name in taken:
                    again += 1
                    name = f"{title}~{again}"
                taken.add(name)
            else:
                number += 1
                name = f"#{number}"
            nodes.append(TreeNode(f"{above}/{name}", block, skills.get(block.id)))
        return nodes

    async def find(self, path: str) -> TreeNode | None:
        """What stands at the path. The root is a node of nobody: None is returned for it, and for what is not there."""
        node: TreeNode | None = None
        for name in _names(path):
            if node is not None and not node.is_container:
                return None
            wanted = f"{'' if node is None else node.path}/{name}"
            node = next((one for one in await self.children(node) if one.path == wanted), None)
            if node is None:
                return None
        return node

    async def node(self, block_id: str) -> TreeNode | None:
        """Where a block stands; None where it is gone, or may not be used."""
        way: list[str] = []
        id: str | None = block_id
        try:
            while id is not None:
                way.append(id)
                id = (await self._store.block(self._space_id, id)).parent_id
            found: TreeNode | None = None
            for id in reversed(way):
                found = next((one for one in await self.children(found) if one.block.id == id), None)
                if found is None:
                    return None
        except NotFound:
            return None
        return found

    async def parent(self, node: TreeNode) -> TreeNode | None:
        return None if node.block.parent_id is None else await self.node(node.block.parent_id)


def is_root(path: str) -> bool:
    return not _names(path)


def _names(path: str) -> list[str]:
    """The names on the way; `page#2` is read as `page/#2`."""
    return [name.strip() for name in path.replace("/#", "#").replace("#", "/#").split("/") if name.strip()]


def _name(title: str) -> str:
    """A title as a name in a path: in one line, without what separates names."""
    return " ".join(title.replace("/", "_").replace("#", "_").split())[:_LONGEST_TITLE] or "untitled"
