"""Search by meaning: what words do not find, vectors do; and whatever happens to them, words go on."""

from __future__ import annotations

import asyncio
import math
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins.engine.embedded import open_engine
from acontext_plugins.retrieve import embedding_index
from acontext_plugins.retrieve.matrix import Matrix
from acontext_plugins.runs import RunOptions
from acontext_plugins.service import Recall, RecallQuery
from acontext_plugins.settings import EmbeddingSettings, Settings, WorkerSettings
from acontext_plugins.testing import ScriptedEmbedder
from acontext_store.errors import BudgetSpent, InvalidInput, LearningUnavailable
from acontext_store.protocols import Pending

from .library import SAME, Fickle, Library, a_library, never


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "library.db"


def asked_of(embedder: Fickle) -> list[str]:
    return [text for texts in embedder.asked for text in texts]


# ------------------------------------------------------------------------------------------- what is found


def test_a_synonym_is_found_with_embeddings_and_not_without(database: Path) -> None:
    with a_library(database) as library:
        skill_id = library.teach("refund a broken lamp", "issue_refund")
        assert library.find("reimbursement for the lamp") == [skill_id]  # by the lamp
        assert library.find("reimbursement wanted") == []
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        assert library.flush()
        assert library.find("reimbursement wanted") == [skill_id]
        recalled = library.run(library.engine.recall(RecallQuery("shop", "reimbursement wanted", deadline=20)))
        assert "issue_refund" in recalled.text
        assert recalled.scores[0] > 0
        (block,) = library.search("reimbursement wanted").cited_blocks
        assert (block.block_id, block.type) == (skill_id, "sop")
        assert block.distance is not None
        found = library.run(library.engine.find_blocks(library.space_id, query="reimbursement wanted", types=["sop"]))
        assert [item.block_id for item in found] == [skill_id]


def test_a_query_that_fits_nothing_finds_nothing_by_either(database: Path) -> None:
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        library.teach("refund a broken lamp", "issue_refund")
        library.teach("track a parcel", "track")
        assert library.flush()
        for query in ("weather in the mountains tomorrow", "", "W1234 99", "the and of"):
            assert library.find(query) == []
            recall = RecallQuery("shop", query, deadline=20)
            assert library.run(library.engine.recall(recall)) == Recall()


def test_preferences_steps_and_requests_are_searched_too(database: Path) -> None:
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        wrapped = library.teach("pack an order", "pack", preferences="wrap the gift nicely")
        stepped = library.teach("close the case", "schedule_deliv")
        wished = library.teach("handle a complaint", "answer", requests=["my shipment never arrived\nanswer"])
        assert library.flush()
        assert library.find("a present")[:1] == [wrapped]
        assert stepped in library.find("schedule the shipment")
        assert wished in library.find("deliv never arrived")


def test_what_words_and_vectors_agree_on_comes_first(database: Path) -> None:
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        both = library.teach("refund a lamp", "issue_refund")
        meant = library.teach("reimbursement of fees", "pay_back")
        assert library.flush()
        assert library.find("refund lamp") == [both, meant]


def test_a_closer_threshold_leaves_out_what_is_only_near(database: Path) -> None:
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        skill_id = library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()

        def found(threshold: float | None) -> list[str]:
            result = library.search("reimbursement wanted", semantic_threshold=threshold)
            return [block.block_id for block in result.cited_blocks]

        assert found(None) == [skill_id]
        assert found(0.9) == [skill_id]
        assert found(0.1) == []
        for wrong in (-0.1, 2.1, math.nan):
            with pytest.raises(InvalidInput, match="semantic_threshold"):
                found(wrong)


def test_only_skills_whose_tools_the_run_has_are_near(database: Path) -> None:
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        skill_id = library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()
        assert library.find("reimbursement wanted", tools=["issue_refund"]) == [skill_id]
        assert library.find("reimbursement wanted", tools=["other"]) == []


@pytest.mark.parametrize("way", ["retired", "deleted", "candidate", "pending_confirmation"])
def test_what_may_not_be_used_is_not_near(database: Path, way: Any) -> None:
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        other = library.teach("reimbursement of fees", "pay_back")
        skill_id = library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()
        assert set(library.find("reimbursement wanted")) == {skill_id, other}
        if way == "deleted":
            library.run(library.engine.delete_block(library.space_id, skill_id))
        else:
            library.store.set_skill_status(skill_id, way).result(20)
        assert library.find("reimbursement wanted") == [other]
        assert library.engine.vectors is not None
        assert library.engine.vectors.loaded(library.space_id)[0] == 2


# ------------------------------------------------------------------------------------------- while agents wait


def test_a_recall_keeps_its_deadline_while_the_embedder_hangs(database: Path) -> None:
    embedder = Fickle()
    with a_library(database, embedder=embedder, embedding=EmbeddingSettings(timeout=3600)) as library:
        skill_id = library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()
        embedder.trouble = lambda texts: never()
        for _ in range(3 * embedding_index.ASKED):  # also where more hang than are asked for at a time
            query = RecallQuery("shop", "refund my broken lamp", deadline=0.01)
            recalled = library.run(library.engine.recall(query))
            assert [skill.id for skill in recalled.skills] == [skill_id]
        assert library.engine.recall_pending(RecallQuery("shop", "refund a lamp", deadline=0.01)).result(20).skills
        assert RunOptions().deadline == RecallQuery("shop", "").deadline


@pytest.mark.parametrize(
    "error",
    [LearningUnavailable("away", retry_after=60), BudgetSpent("spent"), ConnectionError("no route"), KeyError("x")],
)
def test_an_embedder_that_fails_leaves_the_words(database: Path, error: Exception) -> None:
    embedder = Fickle()
    with a_library(database, embedder=embedder) as library:
        skill_id = library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()

        def fail(texts: Sequence[str]) -> None:
            raise error

        embedder.trouble = fail
        before = len(embedder.asked)
        assert library.find("refund my broken lamp") == [skill_id]
        assert library.find("reimbursement wanted") == []
        assert len(embedder.asked) == before + 1  # it is left in peace for a while
        assert library.engine.vectors is not None
        library.engine.vectors._paused_until = 0.0
        embedder.trouble = lambda texts: None
        assert library.find("reimbursement wanted") == [skill_id]


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [[math.nan] * 256],
        [[math.inf] * 256],
        [["x"] * 256],
        [[]],
        [None],
        [[1.0], [2.0, 3.0]],
        ["text"],
        [[[1.0]]],
        {"a": 1},
        7,
    ],
)
def test_an_answer_that_is_no_vector_leaves_the_words(database: Path, answer: Any) -> None:
    embedder = Fickle()
    with a_library(database, embedder=embedder) as library:
        embedder.trouble = lambda texts: answer
        skill_id = library.teach("refund a broken lamp", "issue_refund")
        assert not library.flush()
        assert library.find("refund my broken lamp") == [skill_id]
        assert [lane.kind for lane in library.store.lanes().result(20)] == ["embed"]


def test_a_query_is_asked_for_once(database: Path) -> None:
    embedder = Fickle()
    with a_library(database, embedder=embedder) as library:
        library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()
        before = len(embedder.asked)
        library.find("reimbursement wanted")
        library.find(" reimbursement wanted\n")
        pending = [library.engine.recall_pending(RecallQuery("shop", "another one", deadline=20)) for _ in range(5)]
        for answer in pending:
            answer.result(20)
        assert embedder.asked[before:] == [["reimbursement wanted"], ["another one"]]


def test_only_so_many_queries_are_remembered(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_index, "REMEMBERED", 2)
    embedder = Fickle()
    with a_library(database, embedder=embedder) as library:
        library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()
        embedder.asked.clear()
        for query in ("first", "second", "first", "third", "first", "second"):
            library.find(query)
        assert asked_of(embedder) == ["first", "second", "third", "second"]


def test_secrets_of_a_query_do_not_leave(database: Path) -> None:
    embedder = Fickle()
    secret = "sk-proj-" + "Ab1Cd2Ef3Gh4" * 4
    with a_library(database, embedder=embedder) as library:
        library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()
        library.find(f"refund with the key {secret}")
        assert not any(secret in text for text in asked_of(embedder))
        assert any("refund with the key" in text for text in asked_of(embedder))


def test_an_unknown_space_has_nothing(database: Path) -> None:
    with a_library(database, embedder=ScriptedEmbedder()) as library:
        for space in ("nowhere", "6c1f5a0e-0000-4000-8000-000000000000"):
            assert library.run(library.engine.recall(RecallQuery(space, "refund", deadline=20))) == Recall()


# ------------------------------------------------------------------------------------------- in the background


def test_a_worker_embeds_in_the_background(database: Path) -> None:
    with a_library(database, embedder=ScriptedEmbedder(same=SAME), worker=True) as library:
        skill_id = library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()
        assert library.find("reimbursement wanted") == [skill_id]
        library.run(library.engine.update_block(library.space_id, skill_id, title="shipment is late"))
        assert library.flush()
        assert library.find("deliv late") == [skill_id]


def test_only_what_has_changed_is_embedded_and_read_again(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Fickle()
    read: list[int] = []
    put = Matrix.put

    def note(self: Matrix, changed: list[tuple[str, bytes]], **options: Any) -> None:
        read.append(len(changed))
        put(self, changed, **options)

    monkeypatch.setattr(Matrix, "put", note)
    with a_library(database, embedder=embedder) as library:
        first = library.teach("refund a broken lamp", "issue_refund", requests=["a refund please\nissue_refund"])
        library.teach("track a parcel", "track")
        assert library.flush()
        assert library.find("reimbursement wanted")[:1] == [first]
        library.find("reimbursement wanted again")
        assert read == [5]
        embedder.asked.clear()
        library.teach(
            "refund a broken lamp", "issue_refund", requests=["a refund please\nissue_refund", "shipment lost"]
        )
        assert library.flush()
        assert asked_of(embedder) == ["shipment lost"]
        assert first in library.find("deliv lost")
        assert read == [5, 4]
        library.teach("refund a broken lamp", "issue_refund", requests=["shipment lost"])
        assert library.flush()
        assert asked_of(embedder)[1:] == ["deliv lost"]  # the query only


def test_a_big_space_is_read_in_pieces(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_index, "PAGE", 3)
    monkeypatch.setattr(embedding_index, "SKILLS", 2)
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        ids = [library.teach(f"refund case {letter * 4}", f"tool_{letter}") for letter in "abcdefg"]
        assert library.flush()
        found = library.run(library.engine.find_skills(library.space_id, "reimbursement", limit=50))
        assert {skill.id for skill, _ in found} == set(ids)


def test_a_worker_that_is_gone_in_mid_index_leaves_no_gap(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_index, "SKILLS", 1)
    embedder = Fickle()
    asked = 0

    def third_time_hangs(texts: Sequence[str]) -> Any:
        nonlocal asked
        asked += 1
        return never() if asked >= 3 else None

    embedder.trouble = third_time_hangs
    with a_library(database, embedder=embedder) as library:
        ids = [library.teach(f"refund case {letter * 4}", f"tool_{letter}") for letter in "abcde"]
        working = library.home.loop.submit(library.engine.flush(60))
        while asked < 3:
            assert not working.done()
        working.cancel()
    done_before = {text for texts in embedder.asked[:2] for text in texts}
    again = Fickle()
    with a_library(database, embedder=again) as library:
        (lane,) = library.store.lanes().result(20)
        assert (lane.owner, lane.attempts) == (None, 0)
        assert library.flush()
        assert done_before.isdisjoint(asked_of(again))
        assert len(asked_of(again)) == 6
        assert set(library.find("reimbursement wanted")) == set(ids)


def test_nothing_is_lost_while_the_embedder_is_away(database: Path) -> None:
    embedder = Fickle()

    def away(texts: Sequence[str]) -> None:
        raise LearningUnavailable("the model is away")

    with a_library(database, embedder=embedder) as library:
        embedder.trouble = away
        skill_id = library.teach("refund a broken lamp", "issue_refund")
        assert not library.flush()
        assert library.find("refund my broken lamp") == [skill_id]
        (lane,) = library.store.lanes().result(20)
        assert (lane.kind, lane.key) == ("embed", library.space_id)
        assert "the model is away" in (lane.last_error or "")
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        library.store.schedule_now("embed", library.space_id).result(20)
        assert library.flush()
        assert library.find("reimbursement wanted") == [skill_id]


def test_what_is_learned_by_a_process_without_embedder_is_embedded_by_another(database: Path) -> None:
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        library.teach("track a parcel", "track")
        assert library.flush()
    with a_library(database) as library:
        skill_id = library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()  # it has nothing to do: embedding is not its work
        assert library.find("reimbursement wanted") == []
        assert [lane.kind for lane in library.store.lanes().result(20)] == ["embed"]
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        assert library.flush()
        assert library.find("reimbursement wanted") == [skill_id]


def test_a_flush_waits_until_it_is_known_what_is_to_be_embedded(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        assert library.engine.vectors is not None
        said: Pending[bool] = Pending()
        known: list[bool] = []
        lanes = library.store.lanes

        def note(**options: Any) -> Any:
            known.append(said.done())
            return lanes(**options)

        monkeypatch.setattr(library.store, "embed_with", lambda *given: said)
        monkeypatch.setattr(library.store, "lanes", note)
        library.engine.vectors.register()
        flushing = library.home.loop.submit(library.engine.flush(30))
        library.run(asyncio.sleep(0.1))  # enough for one that does not wait
        said.set_result(True)
        assert flushing.result(30)
        assert known
        assert all(known)


@pytest.mark.parametrize("told", [True, False])
def test_another_size_of_vectors_embeds_all_anew_while_words_go_on(database: Path, told: bool) -> None:
    with a_library(database, embedder=ScriptedEmbedder(same=SAME, dimensions=256)) as library:
        skill_id = library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()
    settings = EmbeddingSettings(dimensions=64 if told else None)
    with a_library(database, embedder=ScriptedEmbedder(same=SAME, dimensions=64), embedding=settings) as library:
        assert library.find("refund my broken lamp") == [skill_id]
        assert library.find("reimbursement wanted") == []
        assert library.flush()
        assert library.find("reimbursement wanted") == [skill_id]
        assert library.store.embedder().result(20) == ("scripted-embedder", 64)


def test_another_model_embeds_all_anew_while_words_go_on(database: Path) -> None:
    with a_library(database, embedder=ScriptedEmbedder(same=SAME, model="one")) as library:
        skill_id = library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()
    with a_library(database, embedder=ScriptedEmbedder(same=SAME, model="two")) as library:
        assert library.find("refund my broken lamp") == [skill_id]
        assert library.find("reimbursement wanted") == []
        assert library.flush()
        assert library.find("reimbursement wanted") == [skill_id]


def test_a_worker_leaves_embedding_to_the_model_that_came_last(database: Path) -> None:
    old, new = Fickle(model="one"), Fickle(model="two")
    with a_library(database, embedder=old) as first, a_library(database, embedder=new) as second:
        second.store.flush().result(20)
        skill_id = first.teach("refund a broken lamp", "issue_refund")
        assert first.flush()
        assert old.asked == []
        assert first.find("refund my broken lamp") == [skill_id]
        assert second.flush()
        assert second.find("reimbursement wanted") == [skill_id]


def test_texts_that_differ_in_size_are_embedded_alike(database: Path) -> None:
    embedder = Fickle()
    with a_library(database, embedder=embedder, embedding=EmbeddingSettings(batch=3)) as library:
        library.teach("x" * 20_000, "long", preferences="y " * 20_000)
        library.teach("", "nothing")
        library.teach("\ud800 half a pair", "odd")
        assert library.flush()
        assert max(map(len, embedder.asked)) <= 3
        assert max(map(len, asked_of(embedder))) <= 4_000


# ------------------------------------------------------------------------------------------- without


def test_without_embedder_nothing_of_it_is_there(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from acontext_plugins import Acontext\n"
        f"with Acontext('sqlite:///{tmp_path}/a.db') as client:\n"
        "    space = client.spaces.create(name='shop')\n"
        "    page = client.blocks.create(space.id, block_type='page', title='orders')\n"
        "    client.blocks.create(space.id, block_type='sop', parent_id=page.id, title='refund a lamp')\n"
        "    assert client.spaces.experience_search(space.id, query='refund my lamp').cited_blocks\n"
        "    assert client.flush(20)\n"
        "assert 'numpy' not in sys.modules and 'litellm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_embedder_without_numpy_is_refused_with_the_way_out(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("acontext_plugins.retrieve.embedding_index", "acontext_plugins.retrieve.matrix"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "numpy", None)
    settings = Settings(url=f"sqlite:///{database}", worker=WorkerSettings(enabled=False))
    with pytest.raises(InvalidInput, match=r"acontext-plugins\[embeddings\]"):
        open_engine(settings, embedder=ScriptedEmbedder())
    embedded = open_engine(settings)
    assert Library(embedded).find("refund") == []
    embedded.close()


def test_vectors_of_a_database_that_a_backup_has_replaced_are_forgotten(database: Path) -> None:
    backup = database.with_name("backup.db")
    with a_library(database, embedder=ScriptedEmbedder(same=SAME)) as library:
        old = library.teach("refund a broken lamp", "issue_refund")
        assert library.flush()
        assert library.find("reimbursement wanted") == [old]
        vectors = library.engine.vectors
        assert vectors is not None
        before, _ = vectors.loaded(library.space_id)
        with closing(sqlite3.connect(database)) as raw, closing(sqlite3.connect(backup)) as copy:
            raw.backup(copy)
        library.teach("cancel an order", "cancel_order")
        assert library.flush()
        assert library.find("reimbursement wanted") == [old]
        assert vectors.loaded(library.space_id)[0] > before
        os.replace(backup, database)
        assert library.find("reimbursement wanted") == [old]
        assert vectors.loaded(library.space_id)[0] == before
