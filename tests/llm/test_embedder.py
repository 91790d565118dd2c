"""Vectors by LiteLLM over real HTTP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from acontext_plugins.llm import Purpose
from acontext_plugins.llm.litellm_client import LiteLLMEmbedder
from acontext_plugins.settings import EmbeddingSettings, LLMSettings
from acontext_plugins.testing.scripted_server import ScriptedServer, Status
from acontext_store.errors import InvalidAnswer, LearningUnavailable

from .asking import KEY, Sleeper

EMBED = Purpose(job="embed", space_id="k1")


def of_length(texts: Sequence[str]) -> list[list[float]]:
    """A vector that tells the length of a text, and is no unit."""
    return [[3.0 * len(text), 4.0 * len(text), 0.0] for text in texts]


def embedder(server: ScriptedServer, *, retries: int = 0, **fields: Any) -> LiteLLMEmbedder:
    given = {"model": "openai/text-embedding-3-small", "api_key": KEY, "base_url": server.url, **fields}
    return LiteLLMEmbedder(EmbeddingSettings(**given), LLMSettings(retries=retries), sleep=Sleeper())


async def test_vectors_are_units_in_the_order_of_the_texts() -> None:
    def one_hot(texts: Sequence[str]) -> list[list[float]]:
        return [[5.0 if at == int(text) else 0.0 for at in range(10)] for text in texts]

    with ScriptedServer(vectors=one_hot) as server:
        made = embedder(server, batch=4)
        vectors = await made.embed([str(n) for n in range(10)], purpose=EMBED)
        assert [vector.index(1.0) for vector in vectors] == list(range(10))
        assert [len(asked.body["input"]) for asked in server.seen] == [4, 4, 2]
        assert await made.embed([], purpose=EMBED) == []
        assert len(server.seen) == 3
        await made.aclose()


async def test_vectors_that_come_in_another_order_are_put_in_theirs(server: ScriptedServer) -> None:
    data = [{"object": "embedding", "index": n, "embedding": [1.0 - n, float(n)]} for n in (1, 0)]
    server.say({"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})
    assert await embedder(server).embed(["a", "b"], purpose=EMBED) == [[1.0, 0.0], [0.0, 1.0]]


async def test_what_they_took_is_told() -> None:
    with ScriptedServer(vectors=of_length) as server:
        vectors, usage = await embedder(server).embed_with_usage(["x" * 4000, "y" * 400], purpose=EMBED)
    assert all(math.isclose(math.hypot(*vector), 1.0) for vector in vectors)
    assert usage.prompt_tokens == 1100
    assert usage.cost is not None
    assert 0 < usage.cost < 0.001


@pytest.mark.parametrize("model", ["openai/text-embedding-3-small", "openai/mine", "hosted_vllm/mine"])
async def test_fewer_dimensions_are_asked_for(model: str) -> None:
    with ScriptedServer(vectors=of_length) as server:
        await embedder(server, model=model, dimensions=3).embed(["x"], purpose=EMBED)
        assert server.seen[0].body["dimensions"] == 3
        with pytest.raises(InvalidAnswer, match=r"vectors of 3 dimensions, not 2: set embedding\.dimensions"):
            await embedder(server, model=model, dimensions=2).embed(["x"], purpose=EMBED)


async def test_texts_that_endpoints_choke_on() -> None:
    with ScriptedServer(vectors=lambda texts: [[1.0]] * len(texts)) as server:
        assert await embedder(server).embed(["", "x" * 100_000, "é\ud800"], purpose=EMBED) == [[1.0]] * 3
        empty, long, _ = server.seen[0].body["input"]
    assert empty
    assert len(long) < 100_000


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        ([[1.0]], "1 vectors of 2 texts"),
        ([[0.0], [0.0]], "made an invalid vector"),
        ([[], []], "made an invalid vector"),
        ([[1.0], [1.0, 2.0]], "different sizes"),
        ([["x"], [1.0]], "invalid vector|no answer"),
    ],
)
async def test_vectors_that_are_none_are_refused(vectors: list[Any], words: str) -> None:
    with ScriptedServer(vectors=lambda texts: vectors) as server, pytest.raises(LearningUnavailable, match=words):
        await embedder(server).embed(["a", "b"], purpose=EMBED)


async def test_it_tries_again_and_says_what_is_wrong() -> None:
    with ScriptedServer([Status(500)], vectors=of_length) as server:
        assert await embedder(server, retries=1).embed(["x"], purpose=EMBED)
        server.say(Status(401))
        with pytest.raises(LearningUnavailable, match=r"set embedding\.api_key"):
            await embedder(server).embed(["x"], purpose=EMBED)
