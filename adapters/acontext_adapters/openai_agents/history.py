"""Conversations that are sent again: which one is it, and what of it is new?

`Runner.run(agent, result.to_input_list() + [...])` sends the whole history each time. Each run leaves a fingerprint
of the conversation up to its end; a history that begins with a known one continues that conversation.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeVar

from .convert import as_dict, field_of

V = TypeVar("V")
_AMBIGUOUS = ""
#: Ids that the SDK gives to items of providers that have none.
_NO_IDS = frozenset({"__fake_id__", "FAKE_RESPONSES_ID", "scripted-message"})


def by_model(item: Any) -> bool:
    """Whether a model made this item (and not the user, the host or a tool)."""
    role = field_of(item, "role")
    if role:
        return bool(role == "assistant")
    return not str(field_of(item, "type")).endswith("_output")


def by_host(item: Any) -> bool:
    """Whether it is a prompt of the host (system, developer): never recorded."""
    return field_of(item, "role") in ("system", "developer")


class Chain:
    """A running fingerprint of a conversation: its turns and calls, in order. Results and thoughts do not count."""

    __slots__ = ("_hash", "models")

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        #: How many of the items were made by a model.
        self.models = 0

    def add(self, item: Any) -> None:
        kind = field_of(item, "type") or "message"
        key: list[Any]
        if kind == "message":
            if by_host(item):
                return
            id = field_of(item, "id")
            key = [field_of(item, "role"), None if id in _NO_IDS else id, _words(field_of(item, "content"))]
        elif kind == "function_call":
            key = ["call", field_of(item, "call_id"), field_of(item, "name")]
        else:
            return
        self.models += by_model(item)
        self._hash.update(json.dumps(key, ensure_ascii=False, default=str).encode("utf-8", "replace"))

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def _words(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    words = []
    for part in content:
        text = field_of(part, "text") or field_of(part, "refusal")
        words.append(text if text is not None else json.dumps(as_dict(part), sort_keys=True, default=str))
    return words[0] if len(words) == 1 else words


class Bounded(OrderedDict[str, V]):
    """A dict that forgets its oldest entry when it is full."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __setitem__(self, key: str, value: V) -> None:
        super().__setitem__(key, value)
        while len(self) > self._size:
            self.popitem(last=False)


class Conversations:
    """Ends of runs, and the session that each belongs to. Bounded: the one that was seen longest ago goes first."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._ends: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = threading.RLock()

    def remember(self, scope: str, digest: str, session_key: str) -> None:
        """The conversation with this fingerprint is that session's. Two sessions with the same one: nobody's."""
        with self._lock:
            known = self._ends.get((scope, digest), session_key)
            self._ends[scope, digest] = session_key if known == session_key else _AMBIGUOUS
            self._ends.move_to_end((scope, digest))
            if len(self._ends) > self._size:
                self._ends.popitem(last=False)

    def split(self, scope: str, items: Sequence[Any]) -> tuple[str | None, list[Any]]:
        """The session that `items` continue (None: not known), and what of them is new.

        Of a history that is not known, what came before the newest turn was not seen being made, so it is context
        and not recorded.
        """
        chain = Chain()
        found: str | None = None
        new = 0
        if not any(by_model(item) for item in items):
            return None, [item for item in items if not by_host(item)]
        for number, item in enumerate(items, 1):
            chain.add(item)
            if not chain.models:
                continue
            session_key = self._ends.get((scope, chain.digest))
            if session_key is not None:
                found, new = session_key or None, number
        if new == 0:
            new = next((number for number in range(len(items), 0, -1) if by_model(items[number - 1])), 0)
        return found, [item for item in items[new:] if not by_host(item)]

    def __len__(self) -> int:
        return len(self._ends)
