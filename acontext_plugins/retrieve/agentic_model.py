"""Agentic search: a model walks the tree of a space, in a bounded number of turns, and attaches what helps.

It can only point. What it attaches is looked up in the store, what it cites must be attached, and what it is shown of
the library is fenced as data.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from acontext_plugins.llm import LLM, Purpose, Request, ToolCall
from acontext_plugins.prompts import Delimiters, Prompt
from acontext_plugins.service import SearchItem
from acontext_store.errors import InvalidAnswer
from acontext_store.types import Json

from .agentic_rules import answer_of, citing
from .block_tree import BlockTree, TreeNode, is_root

log = logging.getLogger("acontext")

#: Block ids that fit some words, best first.
Find = Callable[[str, int], Awaitable[Sequence[str]]]

#: Tool calls of one turn; characters of a tool's answer, and of the final one; entries that are listed at once.
MOST_CALLS, LONGEST_RESULT, LONGEST_ANSWER, LISTED, READ = 16, 8_000, 6_000, 100, 20
#: Turns in a row without a call that can be followed, before the search is given up.
PATIENCE = 3
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to."""

    items: list[SearchItem]
    final_answer: str | None


async def search_by_model(
    llm: LLM,
    tree: BlockTree,
    find: Find,
    query: str,
    *,
    prompt: Prompt,
    space_id: str,
    limit: int,
    turns: int,
) -> Found:
    """Raises LearningUnavailable where the model does not answer, or not as one can follow."""
    search = _Search(tree, find, query, limit)
    inputs = {
        "fence": search.fence.rule,
        "limit": str(limit),
        "turns": str(turns),
        "root": search.fence.around(await search.listing(None)),
        "query": search.fence.around(query),
    }
    messages: list[Json] = [dict(message) for message in prompt.messages(inputs)]
    purpose = Purpose(job="search", space_id=space_id, prompt=prompt.id)
    lost = 0
    for turn in range(1, turns + 1):
        reply = await llm.complete(Request(messages=tuple(messages), purpose=purpose, tools=TOOLS))
        messages.append(reply.message)
        followed = search.followed
        for number, call in enumerate(reply.tool_calls):
            result = await search.do(call) if number < MOST_CALLS else "Not done: too many calls in one turn."
            if turn == turns - 1 and number == len(reply.tool_calls) - 1:
                result += "\nOne turn is left: call finish now."
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        if search.finished:
            return Found(search.items, search.answer())
        if not reply.tool_calls:
            if search.items and reply.text.strip():
                search.said = reply.text
                return Found(search.items, search.answer())
            messages.append({"role": "user", "content": "Use the tools, and call finish when you are done."})
        lost = 0 if search.followed > followed else lost + 1
        if lost >= PATIENCE:
            raise InvalidAnswer(f"{llm.model} did not search: {PATIENCE} turns without a call that can be followed")
    if not search.items:
        raise InvalidAnswer(f"{llm.model} did not come to an end in {turns} turns")
    return Found(search.items, search.answer())


class _Search:
    """What one search has come to so far, and the tools with which it goes on."""

    def __init__(self, tree: BlockTree, find: Find, query: str, limit: int) -> None:
        self._tree = tree
        self._find = find
        self._limit = limit
        self._attached: dict[str, SearchItem] = {}
        self.fence = Delimiters([query])
        self.finished = False
        self.said = ""
        #: Calls that could be followed.
        self.followed = 0

    @property
    def items(self) -> list[SearchItem]:
        return list(self._attached.values())

    def answer(self) -> str | None:
        """What was said in the end, with citations of attached blocks only; without any block there is none."""
        if not self._attached:
            return None
        text = _CONTROL.sub(" ", citing(self.said, len(self._attached))).strip()[:LONGEST_ANSWER]
        return text or answer_of(self.items)

    async def do(self, call: ToolCall) -> str:
        """The tool's answer; what cannot be followed is told in it."""
        tool = self._tools().get(call.name)
        if tool is None:
            return f"There is no such tool. There are: {', '.join(self._tools())}."
        work, wanted = tool
        try:
            given = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError):
            return "The arguments are no JSON."
        if not isinstance(given, dict):
            return "The arguments are no JSON object."
        values: dict[str, Any] = {}
        for name, (kind, default) in wanted.items():
            value = given.get(name, default)
            if isinstance(value, bool) or not isinstance(value, kind):
                return f"`{name}` is wanted, as {'text' if kind is str else 'a whole number'}."
            values[name] = value
        self.followed += 1
        return (await work(**values))[:LONGEST_RESULT]

    def _tools(self) -> dict[str, tuple[Callable[..., Awaitable[str]], dict[str, tuple[type, Any]]]]:
        return {
            "ls": (self._ls, {"path": (str, "/")}),
            "search": (self._search, {"query": (str, None), "limit": (int, 10)}),
            "read": (self._read, {"path": (str, None), "offset": (int, 0)}),
            "attach": (self._attach, {"path": (str, None)}),
            "finish": (self._finish, {"final_answer": (str, "")}),
        }

    async def _ls(self, path: str) -> str:
        if is_root(path):
            return self.fence.around(await self.listing(None))
        node = await self._tree.find(path)
        if node is None:
            return _nothing_there(path)
        if not node.is_container:
            return "That is a block: read it."
        return self.fence.around(await self.listing(node))

    async def listing(self, parent: TreeNode | None) -> str:
        below = await self._tree.children(parent)
        lines = [_line(node) for node in below[:LISTED]]
        if len(below) > LISTED:
            lines.append(f"... and {len(below) - LISTED} more: search, or read with an offset")
        return "\n".join(lines) or "(empty)"

    async def _search(self, query: str, limit: int) -> str:
        if not query.strip():
            return "`query` is empty."
        nodes = [await self._tree.node(id) for id in await self._find(query, max(1, min(limit, 20)))]
        lines = [_line(node) for node in nodes if node is not None]
        return self.fence.around("\n".join(lines)) if lines else "Nothing fits these words."

    async def _read(self, path: str, offset: int) -> str:
        node = None if is_root(path) else await self._tree.find(path)
        if node is None:
            return "Read a page or a block; ls shows the root." if is_root(path) else _nothing_there(path)
        if not node.is_container:
            return self.fence.around(_block(node))
        below = [one for one in await self._tree.children(node) if not one.is_container]
        if not below:
            return "No blocks stand there directly: ls shows what does."
        start = max(0, min(offset, len(below)))
        shown = below[start : start + READ]
        rest = f"\n... {len(below) - start - READ} more: offset {start + READ}" if len(below) > start + READ else ""
        return self.fence.around("\n\n".join(_block(one) for one in shown) + rest)

    async def _attach(self, path: str) -> str:
        node = None if is_root(path) else await self._tree.find(path)
        if node is None:
            return _nothing_there(path)
        if node.is_container:
            return "Only blocks can be attached: name one of those that stand there."
        if node.block.id not in self._attached:
            if len(self._attached) >= self._limit:
                return f"Not attached: {self._limit} blocks are, and that is the limit. Call finish."
            self._attached[node.block.id] = node.item
        return f"Attached as [{list(self._attached).index(node.block.id) + 1}]."

    async def _finish(self, final_answer: str) -> str:
        self.finished = True
        self.said = final_answer
        return "Done."


def _nothing_there(path: str) -> str:
    return f"There is nothing at {json.dumps(path[:200])}. Paths begin with / and are those that ls and search show."


def _line(node: TreeNode) -> str:
    return f"{node.block.type} {node.path}" + ("" if node.is_container else f": {' '.join(node.title.split())[:200]}")


def _block(node: TreeNode) -> str:
    return f"{node.path}\n{node.text[:2_000]}"


def _tool(name: str, description: str, required: Sequence[str] = (), **properties: str) -> Json:
    kinds = {key: key in ("limit", "offset") for key in properties}
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {
                    key: {"type": "integer" if kinds[key] else "string", "description": text}
                    for key, text in properties.items()
                },
                "required": list(required),
            },
        },
    }


TOOLS: tuple[Json, ...] = (
    _tool("ls", "What stands in a folder or page.", path="the root where it is not given"),
    _tool(
        "search",
        "Skills that fit some words, best first, with their paths.",
        ["query"],
        query="what is to be done, in a few words",
        limit="how many at most, 10 where it is not given",
    ),
    _tool(
        "read",
        "What a block says, or all blocks of a page.",
        ["path"],
        path="of the block or page",
        offset="blocks of the page to leave out",
    ),
    _tool("attach", "Make a block part of the result.", ["path"], path="of the block"),
    _tool(
        "finish",
        "End the search.",
        ["final_answer"],
        final_answer="the answer, citing attached blocks like [1]; empty where nothing fits",
    ),
)
