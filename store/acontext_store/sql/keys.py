"""API keys in the database of the stores: found before it is known whose they are, so they are of no one project."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Row, insert, select, update

from ..errors import NotFound
from ..forks import renewed_in_child
from ..project import check_project_id
from ..types import ApiKey, now
from . import schema
from .connect import BUSY_TIMEOUT, translated, writing
from .database import SqliteConnection
from .tables import api_keys


class SqliteKeys:
    """`KeyStore` on a SQLite file. One connection, opened for each call: keys are asked for seldom."""

    def __init__(self, path: str | os.PathLike[str], *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        """Make the tables where they are missing. Raises StoreUnavailable or IncompatibleStore."""
        self.path = Path(path).absolute()
        self._busy_timeout = busy_timeout
        self._one_at_a_time = renewed_in_child(self, "_one_at_a_time", threading.Lock)
        with self._link():
            pass

    def add(self, key: ApiKey) -> ApiKey:
        check_project_id(key.project_id)
        row = key.model_dump()
        with self._link() as link:
            link.sql.execute(insert(api_keys).values(row))
        return key

    def find(self, hash: str) -> ApiKey | None:
        with self._link() as link:
            row = link.sql.execute(select(api_keys).where(api_keys.c.hash == hash)).one_or_none()
        return None if row is None else _key(row)

    def all(self, *, project_id: str | None = None) -> list[ApiKey]:
        query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        if project_id is not None:
            query = query.where(api_keys.c.project_id == project_id)
        with self._link() as link:
            return [_key(row) for row in link.sql.execute(query)]

    def revoke(self, key_id: str) -> ApiKey:
        with self._link() as link:
            link.sql.execute(
                update(api_keys)
                .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
                .values(revoked_at=now())
            )
            row = link.sql.execute(select(api_keys).where(api_keys.c.id == key_id)).one_or_none()
        if row is None:
            raise NotFound("key", key_id)
        return _key(row)

    @contextmanager
    def _link(self) -> Iterator[SqliteConnection]:
        with self._one_at_a_time, translated(self.path):
            link = writing(self.path, busy_timeout=self._busy_timeout)
            try:
                schema.ensure(link, busy_timeout=self._busy_timeout)  # it may be another file than last time
                yield link
            finally:
                link.close()


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(**row._mapping)
