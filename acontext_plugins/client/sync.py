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
from .resources import Blocks, Disks, Jobs, Sessions, Spaces, Tools

__all__ = ["Acontext"]


class Acontext(BaseClient):
    """The synchronous client. Use it with `with`, or call `close()`; it closes itself at exit."""

    def __init__(
        self,
        url: str | None = None,
        *,
        project: str | None = None,
        settings: Settings | None = None,
        llm: LLM | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        """`llm` and `embedder` come in the places of the models that the settings name."""
        super().__init__(url, project, settings, llm, embedder)
        self.sessions = Sessions(self.connection)
        self.spaces = Spaces(self.connection)
        self.blocks = Blocks(self.connection)
        self.tools = Tools(self.connection)
        self.disks = Disks(self.connection)
        self.artifacts = self.disks.artifacts
        self.jobs = Jobs(self.connection)

    def ping(self) -> str:
        """ "pong", when the database answers."""
        opened = self.connection.opened()
        return opened.loop.run(opened.engine.ping())

    def flush(self, timeout: float | None = None) -> bool:
        """True when all that was recorded so far is durable, observed and learned; False when `timeout` s ran out."""
        opened = self.connection.opened()
        hand_over_all(timeout)
        return opened.loop.run(opened.engine.flush(timeout))

    def close(self) -> None:
        """Write what is recorded and let go of the database. Safe to call twice."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
