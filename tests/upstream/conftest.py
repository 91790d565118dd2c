"""Engines and servers of the other tests, on a database of the test's own."""

from __future__ import annotations

from tests.engine.conftest import database, embedded, open_engine
from tests.server.conftest import ann, bob, server

__all__ = ["ann", "bob", "database", "embedded", "open_engine", "server"]
