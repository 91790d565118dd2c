"""Retriever: which skills fit what is about to be done. Reads the store, leaves the judgement to `ranking`."""

from __future__ import annotations

from collections.abc import Collection

from acontext_store.base import Store
from acontext_store.types import Skill

from . import ranking


class Retriever:
    """Lexical search over skills and the masked requests behind them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def search(
        self, space_id: str, query: str, *, limit: int, tools: Collection[str] | None = None
    ) -> list[tuple[Skill, float]]:
        """Active skills, best first, with their scores; empty where nothing is relevant enough.

        With `tools`, only skills all of whose tools are among them.
        """
        raise NotImplementedError
