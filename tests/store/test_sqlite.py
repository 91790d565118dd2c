"""The SQLite store keeps the contract of stores."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from acontext_store.sql.sqlite import SqliteStore
from acontext_store.testing import StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def open_store_again(self, reopen: Callable[..., SqliteStore]) -> Callable[..., SqliteStore]:  # type: ignore[override]
        return reopen
