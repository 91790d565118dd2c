"""A database that is made once, and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acontext_store.open import open_store
from acontext_store.sql.sqlite import SqliteStore


@pytest.fixture(scope="session")
def _empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "empty.db"
    open_store(f"sqlite:///{path}", project_id="p1").close()
    return path


@pytest.fixture
def path(tmp_path: Path, _empty_database: Path) -> Path:
    """A database with all its tables, and nothing in them."""
    return Path(shutil.copy(_empty_database, tmp_path / "kept.db"))


@pytest.fixture
def reopen(path: Path) -> Iterator[Callable[..., SqliteStore]]:
    """Opens the database at `path`; what it opened is closed in the end."""
    opened: list[SqliteStore] = []

    def open_again(project_id: str = "p1", **options: float) -> SqliteStore:
        opened.append(SqliteStore(path, project_id=project_id, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()
