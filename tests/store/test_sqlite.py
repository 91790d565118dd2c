"""The SQLite store keeps the contract of stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acontext_store.base import Store
from acontext_store.open import open_store
from acontext_store.testing import StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def open_store_again(self, tmp_path: Path) -> Iterator[Callable[[str], Store]]:
        opened: list[Store] = []

        def open_again(project_id: str = "p1") -> Store:
            opened.append(open_store(f"sqlite:///{tmp_path}/kept.db", project_id=project_id))
            return opened[-1]

        yield open_again
        for store in opened:
            store.close()
