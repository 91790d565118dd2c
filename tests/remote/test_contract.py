"""The remote service keeps what every service promises; each test speaks to a project of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the server is not installed here")

from acontext_plugins.concurrency.background import BackgroundEventLoop
from acontext_plugins.record.redaction import Redactor
from acontext_plugins.remote.service import RemoteService
from acontext_plugins.server.auth import make_key
from acontext_plugins.settings import RemoteSettings, Settings
from acontext_plugins.testing import ServiceContract
from acontext_store.open import open_keys, open_secret
from acontext_store.types import new_id

from .test_served import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("contract"))
    made.start()
    yield made
    made.stop()


class TestRemoteService(ServiceContract):
    @pytest.fixture
    async def service(self, server: Server, tmp_path: Path) -> AsyncIterator[RemoteService]:
        url = f"sqlite:///{server.folder}/served.db"
        text, key = make_key(f"p{new_id()}", open_secret(url), name="test")
        open_keys(url).add(key)
        settings = Settings(url=server.url, api_key=text, remote=RemoteSettings(spool=str(tmp_path / "spool")))
        loop = BackgroundEventLoop()
        made = RemoteService(settings, Redactor(), loop)
        yield made
        await made.aclose()
        loop.close()
