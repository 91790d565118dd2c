"""What a store promises about vectors: what is to be embedded, and what those who search by vectors read."""

from __future__ import annotations

import struct

import pytest

from ..embedding import SkillVectors, TextVector, VectorChanges, VectorOps
from ..errors import InvalidInput, LeaseLost, NotFound
from ..protocols import ReadSnapshot, Store
from ..types import Claim
from .factories import a_body, a_space, an_edit, claimed, done, learned


def a_vector(*values: float, text: str = "") -> TextVector:
    return TextVector(hash=text or repr(values), vector=struct.pack(f"<{len(values)}f", *values))


def embedded(
    store: Store,
    space_id: str,
    *,
    model: str = "m1",
    dimensions: int = 2,
    claim: Claim | None = None,
    only: int | None = None,
) -> list[str]:
    """An embedder made one vector for each skill that waited (or the first `only`); their ids."""
    waiting = done(store.unembedded(space_id))[:only]
    skills = tuple(
        SkillVectors(skill_id=one.skill_id, mark=one.mark, vectors=(a_vector(*[1.0] * dimensions),)) for one in waiting
    )
    ops = VectorOps(space_id=space_id, model=model, dimensions=dimensions, skills=skills)
    done(store.apply_vectors(claim or claimed(store, "embed", space_id), ops))
    return [one.skill_id for one in waiting]


def read(store: Store, space_id: str, *, after: int = 0, model: str = "m1", dimensions: int = 2) -> VectorChanges:
    return done(
        store.read_snapshot(lambda moment: moment.vectors(space_id, model=model, dimensions=dimensions, after=after))
    )


def found(store: Store, space_id: str, **options: int | str) -> list[str]:
    return sorted({skill_id for skill_id, _ in read(store, space_id, **options).rows})  # type: ignore[arg-type]


class EmbedContract:
    """Vectors of skills are due, written and read for one model and one size."""

    @pytest.fixture
    def space_id(self, store: Store) -> str:
        """The id of a new space."""
        return a_space(store)

    def test_without_an_embedder_nothing_is_to_be_embedded(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit("k1", requests=["a table"]))
        assert done(store.embedder()) is None
        assert done(store.unembedded(space_id)) == []
        assert done(store.lanes()) == []

    def test_the_need_is_written_with_its_cause(self, store: Store, space_id: str) -> None:
        assert done(store.embed_with("m1"))
        assert not done(store.embed_with("m1"))
        assert done(store.embedder()) == ("m1", None)
        learned(store, space_id, an_edit("k1", requests=["a table", "two seats"]), an_edit("k2", status="candidate"))
        (waiting,) = done(store.unembedded(space_id))
        assert (waiting.skill_id, waiting.body, waiting.vectors) == ("k1", a_body(), ())
        assert waiting.requests == ("a table", "two seats")
        (lane,) = done(store.lanes())
        assert (lane.kind, lane.key) == ("embed", space_id)
        assert embedded(store, space_id) == ["k1"]
        assert done(store.unembedded(space_id)) == []
        assert done(store.lanes()) == []

    def test_what_was_there_before_the_embedder_is_to_be_done(self, store: Store, space_id: str) -> None:
        other = a_space(store)
        learned(store, space_id, an_edit("k1"), an_edit("k2", status="candidate"))
        learned(store, other, an_edit("k3"))
        done(store.embed_with("m1"))
        assert {lane.key for lane in done(store.lanes())} == {space_id, other}
        assert embedded(store, space_id) == ["k1"]
        assert embedded(store, other) == ["k3"]

    def test_a_skill_that_says_the_same_is_not_embedded_again(self, store: Store, space_id: str) -> None:
        done(store.embed_with("m1"))
        learned(store, space_id, an_edit(requests=["a table"]))
        embedded(store, space_id)
        learned(store, space_id, an_edit(requests=["a table"], score=3.0))
        assert done(store.unembedded(space_id)) == []

    @pytest.mark.parametrize("change", ["words", "request", "status", "title", "tools"])
    def test_a_skill_that_changes_waits_again_and_keeps_its_vectors_meanwhile(
        self, store: Store, space_id: str, change: str
    ) -> None:
        done(store.embed_with("m1"))
        learned(store, space_id, an_edit(requests=["a table"]))
        embedded(store, space_id)
        if change == "words":
            learned(store, space_id, an_edit(body=a_body(preferences="by the window"), requests=["a table"]))
        elif change == "request":
            learned(store, space_id, an_edit(requests=["a table", "a seat"]))
        elif change == "title":
            done(store.update_block(space_id, "k1", title="reserving"))
        elif change == "tools":
            done(store.rename_tools({"book": "reserve"}, episode=dict, text=str))
        else:
            learned(store, space_id, an_edit(status="stale", requests=["a table"]))
            assert found(store, space_id) == []
            learned(store, space_id, an_edit(requests=["a table"]))
        (waiting,) = done(store.unembedded(space_id))
        assert [len(waiting.vectors), found(store, space_id)] == ([0, []] if change == "status" else [1, ["k1"]])
        assert embedded(store, space_id) == ["k1"]
        assert done(store.unembedded(space_id)) == []

    @pytest.mark.parametrize("way", ["retired", "deleted", "page", "space"])
    def test_who_goes_takes_the_vectors_along(self, store: Store, space_id: str, way: str) -> None:
        done(store.embed_with("m1"))
        learned(store, space_id, an_edit("k1"), an_edit("k2"))
        embedded(store, space_id, only=1)
        before = read(store, space_id)
        assert [id for id, _ in before.rows] == ["k1"]
        if way == "retired":
            done(store.set_skill_status("k1", "retired"))
            done(store.set_skill_status("k2", "retired"))
        elif way == "deleted":
            done(store.delete_block(space_id, "k1"))
            done(store.delete_block(space_id, "k2"))
        elif way == "page":
            (page,) = done(store.blocks(space_id))
            done(store.delete_block(space_id, page.id))
        else:
            done(store.delete_space(space_id))
            with pytest.raises(NotFound):
                read(store, space_id)
            assert done(store.lanes()) == []
            return
        after = read(store, space_id, after=before.stamp)
        assert (after.rows, after.total) == ([], 0)
        assert after.stamp > before.stamp
        assert done(store.unembedded(space_id)) == []

    def test_a_reader_is_told_of_what_is_new_only(self, store: Store, space_id: str) -> None:
        assert read(store, space_id) == VectorChanges(0, None, [], False)
        done(store.embed_with("m1"))
        learned(store, space_id, *(an_edit(f"k{n}") for n in range(5)))
        embedded(store, space_id, only=3)
        first = read(store, space_id)
        assert ([id for id, _ in first.rows], first.total, first.more) == (["k0", "k1", "k2"], 3, False)
        assert first.rows[0][1] == a_vector(1.0, 1.0).vector
        assert read(store, space_id, after=first.stamp) == VectorChanges(first.stamp, None, [], False)
        embedded(store, space_id)
        second = read(store, space_id, after=first.stamp)
        assert ([id for id, _ in second.rows], second.total) == (["k3", "k4"], 5)
        ids = done(store.read_snapshot(lambda moment: moment.embedded_skills(space_id, model="m1", dimensions=2)))
        assert ids == {f"k{n}" for n in range(5)}

    def test_a_long_answer_comes_in_pieces_that_cut_no_skill(self, store: Store, space_id: str) -> None:
        done(store.embed_with("m1"))
        learned(store, space_id, *(an_edit(f"k{n}") for n in range(7)))
        three = (a_vector(1.0, 0.0), a_vector(0.0, 1.0), a_vector(1.0, 1.0))
        waiting = done(store.unembedded(space_id))
        skills = tuple(SkillVectors(skill_id=one.skill_id, mark=one.mark, vectors=three) for one in waiting)
        ops = VectorOps(space_id=space_id, model="m1", dimensions=2, skills=skills)
        done(store.apply_vectors(claimed(store, "embed", space_id), ops))
        for limit in (1, 2, 4, 7, 20, 21, 22):
            seen, after, more = [], 0, True
            while more:

                def ask(moment: ReadSnapshot, after: int = after, limit: int = limit) -> VectorChanges:
                    return moment.vectors(space_id, model="m1", dimensions=2, after=after, limit=limit)

                piece = done(store.read_snapshot(ask))
                assert len(piece.rows) % 3 == 0
                seen += piece.rows
                after, more = piece.stamp, piece.more
            assert seen == [(f"k{n}", one.vector) for n in range(7) for one in three]

    def test_a_change_while_an_embedder_works_is_not_lost(self, store: Store, space_id: str) -> None:
        done(store.embed_with("m1"))
        learned(store, space_id, an_edit())
        claim = claimed(store, "embed", space_id)
        (waiting,) = done(store.unembedded(space_id))
        learned(store, space_id, an_edit(body=a_body("reserving a seat")))
        late = SkillVectors(skill_id="k1", mark=waiting.mark, vectors=(a_vector(1.0, 0.0),))
        done(store.apply_vectors(claim, VectorOps(space_id=space_id, model="m1", dimensions=2, skills=(late,))))
        (again,) = done(store.unembedded(space_id))
        assert again.body.use_when == "reserving a seat"
        assert embedded(store, space_id) == ["k1"]

    @pytest.mark.parametrize("way", ["retired", "deleted"])
    def test_who_went_while_an_embedder_worked_gets_no_vectors(self, store: Store, space_id: str, way: str) -> None:
        done(store.embed_with("m1"))
        learned(store, space_id, an_edit())
        claim = claimed(store, "embed", space_id)
        (waiting,) = done(store.unembedded(space_id))
        if way == "retired":
            done(store.set_skill_status("k1", "retired"))
        else:
            done(store.delete_block(space_id, "k1"))
        late = SkillVectors(skill_id="k1", mark=waiting.mark, vectors=(a_vector(1.0, 0.0),))
        done(store.apply_vectors(claim, VectorOps(space_id=space_id, model="m1", dimensions=2, skills=(late,))))
        assert found(store, space_id) == []
        assert done(store.unembedded(space_id)) == []
        assert done(store.lanes()) == []

    def test_what_is_left_undone_stays_due(self, store: Store, space_id: str) -> None:
        done(store.embed_with("m1"))
        learned(store, space_id, an_edit("k1"), an_edit("k2"))
        assert embedded(store, space_id, only=1) == ["k1"]
        assert embedded(store, space_id) == ["k2"]

    def test_another_model_embeds_all_and_its_vectors_are_not_mixed(self, store: Store, space_id: str) -> None:
        done(store.embed_with("m1"))
        learned(store, space_id, an_edit("k1"), an_edit("k2"))
        embedded(store, space_id)
        assert done(store.embed_with("m2"))
        assert found(store, space_id) == ["k1", "k2"]
        assert found(store, space_id, model="m2") == []
        (first, _) = done(store.unembedded(space_id))
        assert first.vectors == ()
        embedded(store, space_id, model="m2", only=1)
        assert (found(store, space_id), found(store, space_id, model="m2")) == (["k2"], ["k1"])
        embedded(store, space_id, model="m2")
        assert (found(store, space_id), found(store, space_id, model="m2")) == ([], ["k1", "k2"])

    def test_vectors_of_another_size_embed_all(self, store: Store, space_id: str) -> None:
        done(store.embed_with("m1"))
        learned(store, space_id, an_edit("k1"), an_edit("k2"))
        embedded(store, space_id)
        assert done(store.embedder()) == ("m1", 2)
        learned(store, space_id, an_edit("k2", body=a_body("reserving")))
        assert embedded(store, space_id, dimensions=3) == ["k2"]
        assert done(store.embedder()) == ("m1", 3)
        assert embedded(store, space_id, dimensions=3) == ["k1"]
        assert found(store, space_id, dimensions=3) == ["k1", "k2"]
        assert done(store.embed_with("m1", 2))
        assert len(done(store.unembedded(space_id))) == 2

    def test_a_model_that_was_replaced_writes_nothing(self, store: Store, space_id: str) -> None:
        done(store.embed_with("m1"))
        learned(store, space_id, an_edit())
        claim = claimed(store, "embed", space_id)
        done(store.embed_with("m2"))
        embedded(store, space_id, claim=claim)
        assert found(store, space_id) == []
        assert len(done(store.unembedded(space_id))) == 1

    def test_only_who_holds_the_lane_writes_vectors(self, store: Store, space_id: str) -> None:
        done(store.embed_with("m1"))
        learned(store, space_id, an_edit())
        claim = claimed(store, "embed", space_id)
        done(store.release(claim))
        with pytest.raises(LeaseLost):
            embedded(store, space_id, claim=claim)
        done(store.schedule_now("learn", space_id))
        with pytest.raises(InvalidInput):
            embedded(store, space_id, claim=claimed(store, "learn", space_id))
        assert found(store, space_id) == []
        assert embedded(store, space_id) == ["k1"]

    def test_a_vector_of_the_wrong_size_is_refused(self, store: Store, space_id: str) -> None:
        done(store.embed_with("m1"))
        learned(store, space_id, an_edit())
        wrong = SkillVectors(skill_id="k1", mark=1, vectors=(a_vector(1.0, 0.0, 0.0),))
        claim = claimed(store, "embed", space_id)
        with pytest.raises(InvalidInput, match="k1"):
            done(store.apply_vectors(claim, VectorOps(space_id=space_id, model="m1", dimensions=2, skills=(wrong,))))
        with pytest.raises(InvalidInput):
            done(store.embed_with(""))
