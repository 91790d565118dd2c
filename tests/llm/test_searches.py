"""Searches with the models that settings name, over real HTTP: through the client, and into the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins import Acontext
from acontext_plugins.llm import Purpose
from acontext_plugins.settings import EmbeddingSettings, LearnSettings, LLMSettings, ObserveSettings, Settings
from acontext_plugins.testing import ScriptedEmbedder
from acontext_plugins.testing.scripted_server import Asked, ScriptedServer, Status

from .asking import KEY


def same(texts: Sequence[str]) -> list[list[float]]:
    embedder = ScriptedEmbedder(same=[("refund", "reimbursement")])
    return asyncio.run(embedder.embed(texts, purpose=Purpose(job="embed")))


def settings(tmp_path: Path, server: ScriptedServer, **changes: Any) -> Settings:
    given: dict[str, Any] = {
        "llm": LLMSettings(model="openai/gpt-4.1", api_key=KEY, base_url=server.url, retries=0),
        "embedding": EmbeddingSettings(model="openai/text-embedding-3-small", api_key=KEY, base_url=server.url),
        "observe": ObserveSettings(quiet=0.0, max_wait=0.0),
        "learn": LearnSettings(quiet=0.0),
    }
    return Settings(url=f"sqlite:///{tmp_path}/a.db", **(given | changes))


def teach(client: Acontext) -> tuple[str, str]:
    """A space, and a skill in it."""
    space = client.spaces.create(name="shop")
    page = client.blocks.create(space.id, block_type="page", title="refunds")
    steps = [{"tool_name": "issue_refund", "action": "for the order"}]
    block = client.blocks.create(
        space.id, block_type="sop", parent_id=page.id, title="refund a broken lamp", props={"tool_sops": steps}
    )
    return space.id, block.id


def test_a_search_by_meaning_and_one_in_steps(tmp_path: Path) -> None:
    turns = iter(
        [
            [("search", {"query": "reimbursement wanted"})],
            [("attach", {"path": "/refunds/#1"})],
            [("finish", {"final_answer": "Refund the order [1]."})],
        ]
    )

    def script(asked: Asked) -> Any:
        return next(turns) if asked.messages else ""

    with ScriptedServer(script, vectors=same) as server, Acontext(settings=settings(tmp_path, server)) as client:
        space_id, skill_id = teach(client)
        assert client.flush(60)
        fast = client.spaces.experience_search(space_id, query="reimbursement wanted")
        assert [block.block_id for block in fast.cited_blocks] == [skill_id]
        found = client.spaces.experience_search(space_id, query="I want a reimbursement", mode="agentic")
        assert [block.block_id for block in found.cited_blocks] == [skill_id]
        assert (found.final_answer, found.fallback) == ("Refund the order [1].", None)
        store = client.connection.opened().engine.store
        calls = store.calls(space_id=space_id).result(20)
        assert {call.job for call in calls} == {"search", "embed"}
        assert {call.prompt for call in calls if call.job == "search"} == {"search_agent@1"}
        assert sum(call.job == "search" for call in calls) == 3


@pytest.mark.parametrize("budget", [0, 1])
def test_a_provider_that_is_away_or_a_budget_that_is_spent_leaves_words(tmp_path: Path, budget: int) -> None:
    def script(asked: Asked) -> Any:
        return Status(503, "overloaded")

    with ScriptedServer(script) as server:
        llm = LLMSettings(model="openai/gpt-4.1", api_key=KEY, base_url=server.url, retries=0, daily_tokens=budget)
        with Acontext(settings=settings(tmp_path, server, llm=llm)) as client:
            space_id, skill_id = teach(client)
            found = client.spaces.experience_search(space_id, query="refund a broken lamp", mode="agentic")
            assert [block.block_id for block in found.cited_blocks] == [skill_id]
            assert found.fallback
            assert "issue_refund" in (found.final_answer or "")
            assert bool(server.seen) == (budget == 0)
