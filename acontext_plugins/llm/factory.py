"""The models that the settings name, or that were given, with the ledger of their project. Of one event loop."""

from __future__ import annotations

from dataclasses import dataclass

from acontext_store.protocols import Store

from ..settings import Settings
from .base import LLM, Embedder


@dataclass(frozen=True, slots=True)
class OpenedModels:
    """None = there is none: rules learn, words search."""

    llm: LLM | None = None
    embedder: Embedder | None = None
    #: What was opened here, and is closed with it.
    opened: tuple[object, ...] = ()

    async def aclose(self) -> None:
        """Close the connections of this loop."""
        for model in self.opened:
            aclose = getattr(model, "aclose", None)
            if aclose is not None:
                await aclose()


def open_models(settings: Settings, store: Store, *, llm: LLM | None, embedder: Embedder | None) -> OpenedModels:
    """Those that were given come before the settings'. Raises InvalidInput where LiteLLM is wanted and missing."""
    if llm is None and embedder is None and not settings.llm.model and not settings.embedding.model:
        return OpenedModels()
    from .budget import Budget
    from .usage_metering import Metered, MeteredEmbedder, UsageLedger

    opened: list[object] = []
    if llm is None and settings.llm.model:
        from .litellm_client import LiteLLMClient

        llm = LiteLLMClient(settings.llm)
        opened.append(llm)
    if embedder is None and settings.embedding.model:
        from .litellm_client import LiteLLMEmbedder

        embedder = LiteLLMEmbedder(settings.embedding, settings.llm)
        opened.append(embedder)
    budget = Budget(daily_tokens=settings.llm.daily_tokens, daily_cost=settings.llm.daily_cost)
    ledger = UsageLedger(store, budget)
    return OpenedModels(
        llm=None if llm is None else Metered(llm, ledger),
        embedder=None if embedder is None else MeteredEmbedder(embedder, ledger),
        opened=tuple(opened),
    )
