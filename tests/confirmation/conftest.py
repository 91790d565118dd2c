"""Engines on a database of the test's own."""

from __future__ import annotations

from tests.engine.conftest import database, home, open_engine
from tests.server.conftest import ann, server

__all__ = ["ann", "database", "home", "open_engine", "server"]
