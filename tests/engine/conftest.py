"""An engine over a real SQLite file, without a background worker unless a test starts one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acontext_plugins.engine.embedded import Home, open_home
from acontext_plugins.settings import LearnSettings, ObserveSettings, RecorderSettings, Settings, WorkerSettings

OpenHome = Callable[..., Home]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "acontext.db"


@pytest.fixture
def open_engine(database: Path) -> Iterator[OpenHome]:
    """Opens engines on the test's database; all are closed at the end."""
    opened: list[Home] = []

    def open_one(*, worker: bool = False, recorder: RecorderSettings | None = None, **changes: object) -> Home:
        settings = Settings(
            url=f"sqlite:///{database}",
            worker=WorkerSettings(enabled=worker, backoff=0.01, idle=0.05),
            observe=ObserveSettings(quiet=0.0, max_wait=0.0),
            learn=LearnSettings(quiet=0.0),
            recorder=recorder or RecorderSettings(),
            **changes,  # type: ignore[arg-type]
        )
        home = open_home(settings)
        opened.append(home)
        return home

    yield open_one
    for home in opened:
        home.close()


@pytest.fixture
def home(open_engine: OpenHome) -> Home:
    return open_engine()
