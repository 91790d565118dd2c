"""Running a server: from settings to an application, and from an application to a port."""

from __future__ import annotations

import signal
import socket

import uvicorn
from fastapi import FastAPI

from acontext_store.errors import InvalidInput, StoreUnavailable
from acontext_store.open import open_keys, open_secret
from acontext_store.protocols import KeyStore

from ..engine.embedded import EmbeddedEngine, open_engine
from ..settings import Settings, is_loopback
from .app import create_app
from .auth import WELL_KNOWN, Authenticator
from .http_timeouts import protocol_of
from .middleware import API
from .projects import Projects
from .supervisor import STOPPING, supervise

#: Seconds that requests may take after the server was told to stop.
_DRAIN = 30


def app_of(settings: Settings) -> FastAPI:
    """The application that these settings describe."""
    keys = open_keys(settings.store_url)
    check_binding(settings, keys)
    own = settings.server.api_key
    doorkeeper = Authenticator(
        keys,
        open_secret(settings.store_url),
        project_id=settings.project,
        own_key=own.get_secret_value() if own else None,
        well_known=is_loopback(settings.server.host),
    )

    def open_project(project_id: str) -> EmbeddedEngine:
        return open_engine(settings.model_copy(update={"project": project_id}))

    with_keys = [key.project_id for key in keys.all() if key.revoked_at is None]
    return create_app(
        Projects(open_project), doorkeeper, settings=settings.server, open_at_start=[settings.project, *with_keys]
    )


def check_binding(settings: Settings, keys: KeyStore) -> None:
    """Raises InvalidInput where others could come in, and there is no key but the one that everybody knows."""
    server = settings.server
    own = server.api_key.get_secret_value() if server.api_key else None
    if own == WELL_KNOWN:
        raise InvalidInput("server.api_key is the key that every installation has: choose another, or leave it out")
    if own is not None and len(own) < 16:
        raise InvalidInput("server.api_key is too short: at least 16 random characters, or `acontext keys create`")
    if is_loopback(server.host) or own is not None:
        return
    if not any(key.revoked_at is None for key in keys.all()):
        raise InvalidInput(
            f"{server.host} can be reached by others, and there is no API key yet: make one with "
            f"`acontext keys create --project {settings.project}`, or listen on 127.0.0.1"
        )


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises StoreUnavailable or InvalidInput that says why it cannot."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"cannot listen on {host!r}: there is no such address ({error})") from error
    family, kind, number, _, address = found[0]
    listener = socket.socket(family, kind, number)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise StoreUnavailable(
            f"cannot listen on {host} port {port}: {error.strerror or error}; choose another with --port"
        ) from error
    listener.set_inheritable(True)
    return listener


def reachable(settings: Settings, listener: socket.socket) -> Settings:
    """With the address that links to files begin with, where none is set: that of this machine."""
    if settings.public_url:
        return settings
    host, port = listener.getsockname()[:2]
    name = "localhost" if host in ("0.0.0.0", "::", "127.0.0.1", "::1") else f"[{host}]" if ":" in host else host
    return settings.model_copy(update={"public_url": f"http://{name}:{port}{API}"})


def serve(settings: Settings, listener: socket.socket) -> None:
    """Until SIGTERM or SIGINT: then requests are answered, what is recorded is written, and it returns."""
    if settings.server.workers > 1:
        supervise(listener, settings.server.workers)
        return
    told: list[int] = []
    for number in STOPPING:
        signal.signal(number, lambda number, frame: told.append(number))
    server = uvicorn.Server(config_of(app_of(reachable(settings, listener)), settings))
    for number in STOPPING:
        signal.signal(number, server.handle_exit)
    if not told:  # it takes a while to open a database, and who says stop meanwhile means it
        server.run(sockets=[listener])


def config_of(app: FastAPI, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol_of(settings.server.header_timeout),
        ws="none",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN,
        lifespan="on",
    )
