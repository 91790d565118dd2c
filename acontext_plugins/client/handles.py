"""Handles: clients as wrapped objects hold them. A copy shares the client, and pickle keeps its address.

Light on purpose: `learning` imports this, and no engine.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acontext_store.errors import InvalidInput
from acontext_store.types import new_id

from ..concurrency.copies import SharedByCopies

if TYPE_CHECKING:
    from ..runs import HasConnection, RecordingClient
    from ..settings import Settings
    from .background import BackgroundConnection


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """Where a client's data is: no password, no key. Whoever opens it takes those from its own environment."""

    url: str
    project: str

    @staticmethod
    def of(client: object) -> ClientAddress | None:
        """The address of a client; None of one that has no settings: it is somebody's own."""
        settings: Settings | None = getattr(client, "settings", None)
        if settings is None:
            return None
        from acontext_store.open import database_path, database_url
        from acontext_store.urls import without_secrets

        if settings.is_remote:
            return ClientAddress(without_secrets(settings.url), settings.project)
        path = database_path(settings.store_url)
        url = settings.store_url if path is None else database_url(path.absolute())
        return ClientAddress(without_secrets(url), settings.project)

    def settings(self) -> Settings:
        """The settings of this process for the address. Raises InvalidInput where what it keeps secret is not known."""
        from acontext_store.urls import without_secrets

        from ..settings import load_settings

        if "***" not in self.url:
            return load_settings(url=self.url, project=self.project)
        settings = load_settings(project=self.project)
        if without_secrets(settings.url) != self.url:
            raise InvalidInput(f"an agent was pickled with {self.url}, without the password: set ACONTEXT_URL here")
        return settings


class ClientHandle(SharedByCopies):
    """A client in the hands of a wrapped object. Handles of one client are equal."""

    __slots__ = ("__weakref__", "_client", "_token", "connection")
    #: The connection of the client. To ask for it may raise, until it could be opened.
    connection: RecordingClient

    def __init__(self, client: HasConnection | RecordingClient, *, token: str | None = None) -> None:
        self._client = client
        self._token = token

    def __getattr__(self, name: str) -> Any:
        if name != "connection":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        client: Any = self._client
        self.connection = getattr(client, "connection", client)
        return self.connection

    def __eq__(self, other: object) -> bool:
        return self._client is other._client if isinstance(other, ClientHandle) else NotImplemented

    def __hash__(self) -> int:
        return id(self._client)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if self._token is None:
            self._token = new_id()
        _handles[self._token] = self
        client = self._client
        address = client.address if isinstance(client, _Elsewhere) else ClientAddress.of(client)
        return _handle_of, (self._token, address)


class _Elsewhere:
    """The client of an object that another process has pickled: opened in the background, when it is first needed."""

    def __init__(self, address: ClientAddress | None) -> None:
        self.address = address

    @property
    def connection(self) -> RecordingClient:
        if self.address is None:
            raise InvalidInput("it was pickled with a client that has no address: wrap it with learning() again")
        return _opened(self.address)


@functools.cache
def _opened(address: ClientAddress) -> BackgroundConnection:
    from .background import BackgroundConnection

    return BackgroundConnection(settings=address.settings)


#: What was pickled here, or came here: a pickle that is read where it was written leads to the client that it had.
_handles: weakref.WeakValueDictionary[str, ClientHandle] = weakref.WeakValueDictionary()


def _handle_of(token: str, address: ClientAddress | None) -> ClientHandle:
    known = _handles.get(token)
    return _handles.setdefault(token, ClientHandle(_Elsewhere(address), token=token)) if known is None else known


class _ThisProcess(SharedByCopies):
    """The client of agents that were given none."""

    __slots__ = ()

    @property
    def connection(self) -> RecordingClient:
        from .background import default_connection

        return default_connection()

    def __reduce__(self) -> str:
        return "THIS_PROCESS"


#: The client of agents that were given none: the settings of the environment choose the database.
THIS_PROCESS = _ThisProcess()
