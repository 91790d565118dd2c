"""Agno says in its log what goes wrong in runs, with tracebacks: their frames would keep what the leak tests count."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("agno", "agno-team", "agno-workflow"):  # agno sets their levels in each run
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
