"""The pieces of search: rankings that are fused, and a matrix that is always what was put into it."""

from __future__ import annotations

import struct
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.retrieve.fusion import CONSTANT, fused
from acontext_plugins.retrieve.matrix import MOST_REQUESTS, Matrix, floats_of, hash_of, packed, texts_of
from acontext_store.embedding import Unembedded
from acontext_store.errors import InvalidAnswer
from acontext_store.types import SkillBody, Step

from ..examples import examples

_IDS = st.lists(st.sampled_from("abcdefgh"), max_size=8)


@given(st.lists(_IDS, min_size=1, max_size=3))
def test_fusion_adds_reciprocal_ranks(rankings: list[list[str]]) -> None:
    once = [list(dict.fromkeys(ranking)) for ranking in rankings]
    expected = {
        id: sum((CONSTANT + 1) / (CONSTANT + 1 + ranking.index(id)) for ranking in once if id in ranking) / len(once)
        for id in {id for ranking in once for id in ranking}
    }
    found = fused(*rankings)
    assert dict(found) == pytest.approx(expected)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert all(0 < score <= 1 for _, score in found)
    assert fused(once[0]) == sorted(fused(once[0]), key=lambda item: once[0].index(item[0]))


def raw(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


_VECTOR = st.tuples(*[st.integers(-3, 3)] * 3)
_CHANGE = st.dictionaries(st.sampled_from("abcdef"), st.lists(_VECTOR, max_size=4), max_size=4)


@pytest.mark.slow
@examples(200)
@given(st.lists(st.tuples(_CHANGE, st.sets(st.sampled_from("abcdef")), st.booleans())), _VECTOR, st.integers(-5, 5))
def test_a_matrix_is_what_was_put_into_it(
    changes: list[tuple[dict[str, list[tuple[int, int, int]]], set[str], bool]],
    query: tuple[int, int, int],
    threshold: int,
) -> None:
    matrix, kept = Matrix(3), dict[str, list[tuple[int, int, int]]]()
    for change, keep, prune in changes:
        matrix.put([(id, raw(*vector)) for id, vectors in change.items() for vector in vectors])
        kept |= {id: vectors for id, vectors in change.items() if vectors}
        if prune:
            matrix.keep(keep)
            kept = {id: vectors for id, vectors in kept.items() if id in keep}
    assert len(matrix) == sum(map(len, kept.values()))
    assert matrix.skills() == set(kept)
    asked = np.array(query, dtype=np.float32)
    best = {id: max(float(np.dot(vector, query)) for vector in vectors) for id, vectors in kept.items()}
    expected = sorted(
        ((id, value) for id, value in best.items() if value >= threshold), key=lambda item: (-item[1], item[0])
    )
    assert matrix.nearest(asked, limit=10, threshold=threshold) == expected
    assert matrix.nearest(asked, limit=2, threshold=threshold) == expected[:2]


def test_a_search_copies_no_vectors() -> None:
    matrix = Matrix(8)
    vector = raw(1, *[0] * 7)
    matrix.put([(f"s{n}", vector) for n in range(1_000)], room=5_000)
    before = matrix._rows
    assert matrix.size == 5_000 * 8 * 4
    matrix.put([("s1", vector), ("new", vector)])
    assert len(matrix.nearest(np.eye(8, dtype=np.float32)[0], limit=5, threshold=0.5)) == 5
    assert matrix._rows is before


def test_a_matrix_may_be_searched_while_it_changes() -> None:
    matrix = Matrix(4)
    ids = [f"s{n}" for n in range(300)]
    troubles: list[BaseException] = []

    def change(turn: int) -> None:
        try:
            for n in range(50):
                matrix.put([(id, raw(1, 0, 0, 0)) for id in ids[turn::4]])
                matrix.keep(ids if n % 2 else ids[:200])
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=change, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    query = np.array([1, 0, 0, 0], dtype=np.float32)
    while any(thread.is_alive() for thread in threads):
        found = matrix.nearest(query, limit=400, threshold=0.5)
        assert len({id for id, _ in found}) == len(found)
        assert {cosine for _, cosine in found} <= {1.0}
    assert troubles == []


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_vectors_have_the_length_of_one_or_none(vectors: list[list[float]]) -> None:
    lengths = np.linalg.norm(floats_of(vectors, len(vectors), "m"), axis=1)
    for length, vector in zip(lengths, vectors, strict=True):
        assert length == pytest.approx(1.0 if np.linalg.norm(vector) > 0 else 0.0, abs=1e-4)


@pytest.mark.parametrize("answer", [[], [[1.0]], [[1.0], [2.0, 3.0]], [[float("nan")] * 2] * 2, None, [["a"], ["b"]]])
def test_what_is_not_two_vectors_is_refused(answer: object) -> None:
    with pytest.raises(InvalidAnswer, match="embedder-7"):
        floats_of(answer, 2, "embedder-7")  # type: ignore[arg-type]


def test_a_vector_is_kept_as_little_endian_floats_of_its_text() -> None:
    kept = packed("some text", np.array([0.5, -1.0], dtype=np.float32))
    assert (kept.vector, kept.hash) == (raw(0.5, -1.0), hash_of("some text"))


def test_what_is_embedded_of_a_skill() -> None:
    body = SkillBody(
        use_when=" refund a lamp ", preferences="be kind", tool_sops=(Step(tool_name="pay", action="pay it"),)
    )
    requests = tuple(f"request {n}\ntool_{n}" for n in range(20))
    texts = texts_of(Unembedded(skill_id="k", mark=1, body=body, requests=("refund a lamp\npay", *requests)))
    assert texts[:3] == ["refund a lamp", "be kind\npay: pay it", "request 0"]
    assert len(texts) == 2 + MOST_REQUESTS - 1
    assert texts_of(Unembedded(skill_id="k", mark=1, body=SkillBody(use_when=""))) == []
