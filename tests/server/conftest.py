"""The application in this process, with two projects, and a client for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from acontext_plugins.engine.embedded import EmbeddedEngine, open_engine
from acontext_plugins.server.app import create_app
from acontext_plugins.server.auth import Authenticator, make_key
from acontext_plugins.server.projects import Projects
from acontext_plugins.settings import LearnSettings, ObserveSettings, ServerSettings, Settings, WorkerSettings
from acontext_store.open import open_keys, open_secret
from acontext_store.protocols import KeyStore

SMALL = ServerSettings(max_body=200_000, max_upload=1_000_000, body_grace=0.5, flush_timeout=20)


@dataclass
class Server:
    """An application that runs, and the keys to it."""

    app: FastAPI
    projects: Projects
    keys: KeyStore
    secret: bytes
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    def client(self, project_id: str | None = None, *, key: str | None = None, host: str = "localhost") -> Any:
        """One that has a key to the project, or this key, or none."""
        if project_id is not None:
            key, kept = make_key(project_id, self.secret)
            self.keys.add(kept)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url=f"http://{host}/api/v1", headers=headers, timeout=60)
        self.clients[f"{project_id} {key}"] = client
        return client


OpenServer = Callable[..., Any]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    url = f"sqlite:///{tmp_path}/served.db"
    keys, secret = open_keys(url), open_secret(url)

    def open_project(project_id: str) -> EmbeddedEngine:
        return open_engine(
            Settings(
                url=url,
                project=project_id,
                public_url="http://localhost/api/v1",
                worker=WorkerSettings(backoff=0.01, idle=0.05),
                observe=ObserveSettings(quiet=0.0, max_wait=0.0),
                learn=LearnSettings(quiet=0.0),
            )
        )

    projects = Projects(open_project)
    doorkeeper = Authenticator(keys, secret, project_id="default", well_known=True, memory=0.0)
    app = create_app(projects, doorkeeper, settings=SMALL)
    async with app.router.lifespan_context(app):
        served = Server(app, projects, keys, secret)
        yield served
        for client in served.clients.values():
            await client.aclose()


@pytest.fixture
def ann(server: Server) -> httpx.AsyncClient:
    """A client of project p1."""
    client: httpx.AsyncClient = server.client("p1")
    return client


@pytest.fixture
def bob(server: Server) -> httpx.AsyncClient:
    """A client of project p2."""
    client: httpx.AsyncClient = server.client("p2")
    return client


def data(response: httpx.Response, status: int = 200) -> Any:
    """What a good answer says."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body["code"] == 0
    assert response.headers["content-type"] == "application/json"
    return body.get("data")


def words(response: httpx.Response, status: int) -> str:
    """Why a request was refused, said in the envelope."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body["code"] == status
    assert "data" not in body
    assert body["error"]
    assert isinstance(body["msg"], str)
    assert body["msg"]
    return str(body["msg"])


async def a_session(client: httpx.AsyncClient, **fields: Any) -> str:
    return str(data(await client.post("/session", json=fields), 201)["id"])


async def a_space(client: httpx.AsyncClient, **fields: Any) -> str:
    return str(data(await client.post("/space", json=fields), 201)["id"])


async def say(client: httpx.AsyncClient, session_id: str, blob: Any, format: str = "openai", **more: Any) -> Any:
    given = {"format": format, "blob": blob, **more}
    return data(await client.post(f"/session/{session_id}/messages", json=given), 201)
