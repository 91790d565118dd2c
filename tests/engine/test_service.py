"""The embedded engine keeps the contract of all services."""

from __future__ import annotations

import pytest

from acontext_plugins.service import Service
from acontext_plugins.testing import ServiceContract

from .conftest import OpenEngine


class TestEngine(ServiceContract):
    @pytest.fixture
    async def service(self, open_engine: OpenEngine) -> Service:
        return open_engine(worker=True).engine
