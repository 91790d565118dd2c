"""Engines and servers of the other tests, on a database of the test's own."""

from __future__ import annotations

from tests.engine.conftest import database, home, open_engine
from tests.server.conftest import ann, bob, server

__all__ = ["ann", "bob", "database", "home", "open_engine", "server"]
