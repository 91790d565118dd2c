"""A store for agno's own `learning=` slot: it gives skills, and records nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from acontext_plugins.learning import client_or_default
from acontext_plugins.runs import HasConnection, RecordingClient, Run, RunOptions, Runtime

from .run_tracker import current_watch


class AcontextStore:
    """`LearningMachine(custom_stores={"acontext": AcontextStore(space="support")})` on an agent that has a `db`.

    For those who use the slot already, or cannot wrap: skills that were learned elsewhere (from runs of a wrapped
    agent, of another framework, or from imports) stand at the end of the system prompt. Agno hands a store no tools
    and no results, so nothing is learned from these runs; and it keeps the prompt in its database. In a run of an
    agent that is wrapped, the store gives nothing: skills are injected there already.
    """

    def __init__(
        self,
        *,
        space: str,
        client: HasConnection | RecordingClient | None = None,
        limit: int = 3,
        token_budget: int = 400,
        deadline: float = 0.3,
    ) -> None:
        options = RunOptions(space=space, limit=limit, token_budget=token_budget, deadline=deadline)
        self._runtime = Runtime(options, client_or_default(client))

    @property
    def learning_type(self) -> str:
        return "acontext"

    @property
    def schema(self) -> Any:
        return None

    @property
    def was_updated(self) -> bool:
        return False

    def recall(self, **context: Any) -> str | None:
        """The skills that fit the newest message."""
        with self._runtime.guard("store"):
            if current_watch.get() is None:
                return self._run(context).recall(str(context.get("message") or "")) or None
        return None

    async def arecall(self, **context: Any) -> str | None:
        """As `recall`, without blocking the event loop."""
        with self._runtime.guard("store"):
            if current_watch.get() is None:
                return await self._run(context).arecall(str(context.get("message") or "")) or None
        return None

    def _run(self, context: dict[str, Any]) -> Run:
        session_id, user_id = context.get("session_id"), context.get("user_id")
        return self._runtime.start(label="agno", session_key=session_id, principal=user_id, nested=False)

    def build_context(self, data: Any) -> str:
        return data if isinstance(data, str) else ""

    def instructions(self) -> str:
        return ""

    def process(self, messages: list[Any], **context: Any) -> None:
        """Nothing: what agno hands over has neither calls nor an outcome."""

    async def aprocess(self, messages: list[Any], **context: Any) -> None:
        """Nothing, either."""

    def get_tools(self, **context: Any) -> list[Callable[..., Any]]:
        return []

    async def aget_tools(self, **context: Any) -> list[Callable[..., Any]]:
        return []
