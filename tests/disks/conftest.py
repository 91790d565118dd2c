"""A client with an empty disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acontext_plugins import Acontext


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Acontext]:
    with Acontext(f"sqlite:///{tmp_path}/a.db") as opened:
        yield opened


@pytest.fixture
def disk_id(client: Acontext) -> str:
    return client.disks.create().id
