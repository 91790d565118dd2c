"""What the resources of both front doors have in common: the way to the service."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from .connection import Connection
from .service import Service

T = TypeVar("T")


class AsyncResource:
    """Something that `AsyncAcontext` offers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def _service(self) -> Service:
        return self._connection.home().engine


class Resource:
    """Something that `Acontext` offers: its asynchronous twin, waited for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            loop = self._connection.home().loop
        except BaseException:
            work.close()
            raise
        return loop.run(work)
