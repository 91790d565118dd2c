"""The synchronous client, `Acontext`: the same resources and names as `AsyncAcontext`, on the same engine.

`Acontext()` works embedded on `~/.acontext/acontext.db`; `Acontext("sqlite:///path.db")` on a file of your choice.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..llm import LLM, Embedder
from ..settings import Settings
from .background import hand_over_all
from .connection import BaseClient
from .resources import Blocks, Disks, Jobs, OutcomeSources, Spaces, Tools
from .sessions import Sessions

__all__ = ["Acontext"]


class Acontext(BaseClient):
    """The synchronous client. Use it with `with`, or call `close()`; it closes itself at exit.

    >>> with Acontext("sqlite:///memory.db") as client:
    ...     space = client.spaces.get("support", create=True)
    ...     session = client.sessions.create(space_id=space.id)
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        project: str | None = None,
        settings: Settings | None = None,
        llm: LLM | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        """Open a database or a server, with the settings of the environment for all that is not given here.

        `url` is `sqlite:///path.db`, or `http(s)://host:8029/api/v1` of a server; None = ~/.acontext/acontext.db.
        `project` names whose data it is (None = "default"). `settings` come instead of both, and of the environment.
        `llm` and `embedder` come instead of the models that the settings name. Raises InvalidInput for settings that
        cannot be, or that differ from those of an open client of the same database; StoreUnavailable where the
        database cannot be opened, IncompatibleStore where another version of this package wrote it.
        """
        super().__init__(url, project, settings, llm, embedder)
        self.sessions = Sessions(self.connection)
        self.spaces = Spaces(self.connection)
        self.blocks = Blocks(self.connection)
        self.tools = Tools(self.connection)
        self.disks = Disks(self.connection)
        self.artifacts = self.disks.artifacts
        self.jobs = Jobs(self.connection)
        self.outcome_sources = OutcomeSources(self.connection)

    def ping(self) -> str:
        """ "pong", when the database answers."""
        opened = self.connection.opened()
        return opened.loop.run(opened.engine.ping())

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was recorded so far is durable, observed and learned from.

        True when it is; False when `timeout` seconds (None = no limit) ran out first. Raises Closed.

        >>> client.flush(timeout=60)
        True
        """
        opened = self.connection.opened()
        hand_over_all(timeout)
        return opened.loop.run(opened.engine.flush(timeout))

    def close(self) -> None:
        """Write what is recorded, and close the engine unless another client uses it. Safe to call twice.

        >>> client = Acontext("sqlite:///memory.db")
        >>> client.close()
        """
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
