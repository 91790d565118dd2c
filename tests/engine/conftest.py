"""An engine over a real SQLite file, without a background worker unless a test starts one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acontext_plugins.engine.embedded import EmbeddedEngine
from acontext_plugins.engine.embedded import open_engine as open_one_more
from acontext_plugins.settings import LearnSettings, ObserveSettings, RecorderSettings, Settings, WorkerSettings

OpenEngine = Callable[..., EmbeddedEngine]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "acontext.db"


@pytest.fixture
def open_engine(database: Path) -> Iterator[OpenEngine]:
    """Opens engines on the test's database; all are closed at the end."""
    opened: list[EmbeddedEngine] = []

    def open_one(
        *, worker: bool = False, recorder: RecorderSettings | None = None, **changes: object
    ) -> EmbeddedEngine:
        settings = Settings(
            url=f"sqlite:///{database}",
            worker=WorkerSettings(enabled=worker, backoff=0.01, idle=0.05),
            observe=ObserveSettings(quiet=0.0, max_wait=0.0),
            learn=LearnSettings(quiet=0.0),
            recorder=recorder or RecorderSettings(),
            **changes,  # type: ignore[arg-type]
        )
        embedded = open_one_more(settings)
        opened.append(embedded)
        return embedded

    yield open_one
    for embedded in opened:
        embedded.close()


@pytest.fixture
def embedded(open_engine: OpenEngine) -> EmbeddedEngine:
    return open_engine()
