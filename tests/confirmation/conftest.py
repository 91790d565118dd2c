"""Engines on a database of the test's own."""

from __future__ import annotations

from tests.engine.conftest import database, home, open_engine

__all__ = ["database", "home", "open_engine"]
