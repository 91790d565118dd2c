"""What an episode says, through versions of ours and of others."""

from __future__ import annotations

import json
import logging

import pytest

from acontext_plugins.concurrency.limited_log import LimitedLog
from acontext_plugins.learn import procedures
from acontext_plugins.learn.distil import distil
from acontext_plugins.learn.episode_body import EpisodeBody
from acontext_plugins.learn.renaming import renamed_episode
from acontext_store.types import Episode, Json

from .talk import Memory, Talk


def booked(name: str = "a") -> Talk:
    talk = Talk(name).user("Book the train to Ulm for me")
    talk.does("find_train", {"train": "ICE 7"}, city="Ulm")
    talk.does("book", "Error: no seat", train="ICE 7").does("book", "booked", train="ICE 7", seat="any")
    return talk.user("Always take the first train. Thanks!").ends("success")


def body(talk: Talk) -> Json:
    """As the store gives it back."""
    (done,) = talk.finished()
    found: Json = json.loads(json.dumps(distil(done, space_id="space").body))
    return found


def kept(name: str, body: Json) -> Episode:
    return Episode(task_id=f"{name}-t", session_id=name, space_id="space", body=body, created_at="2025")


def skills_after(*episodes: Episode) -> list[Json]:
    """What a learner makes of what is in the store."""
    memory = Memory()
    memory.episodes = {episode.task_id: episode for episode in episodes}
    return [skill.model_dump() for skill in memory.learn_tasks([]).skills.values()]


def test_the_json_of_an_episode_has_the_fields_that_databases_have() -> None:
    found = body(booked())
    assert list(found) == [
        "v", "status", "source", "weight", "key", "principal", "agent", "span", "pieces", "steps", "tools", "pitfalls",
        "abandoned", "request", "said", "corrections", "teachings", "wishes", "heard",
    ]  # fmt: skip
    assert list(found["steps"][0]) == ["tool", "write", "args", "n", "calls", "messages"]
    assert list(found["pitfalls"][0]) == [
        "tool", "changed", "added", "removed", "instead", "how", "messages", "calls",
    ]  # fmt: skip
    assert list(found["heard"]) == ["request", "correction", "preference"]
    assert EpisodeBody.model_validate(found).model_dump(exclude_unset=True) == {**found, "span": tuple(found["span"])}


def test_what_the_first_version_wrote_is_learned_from_as_before() -> None:
    new = body(booked())
    old = json.loads(json.dumps(new))
    del old["pieces"]
    for pitfall in old["pitfalls"]:
        del pitfall["how"]
    assert new["pitfalls"][0]["how"] == {}
    assert skills_after(kept("a", old)) == skills_after(kept("a", new))


def test_fields_of_another_version_are_no_error_and_change_nothing() -> None:
    plain = body(booked())
    newer = json.loads(json.dumps(plain))
    newer["v"], newer["mood"] = 7, {"deep": [1]}
    newer["steps"][0]["took_ms"] = newer["pitfalls"][0]["took_ms"] = newer["heard"]["laughed"] = 3
    assert skills_after(kept("a", newer)) == skills_after(kept("a", plain))


def test_renaming_a_tool_keeps_the_fields_of_another_version() -> None:
    newer = body(booked())
    newer["mood"] = "good"
    newer["steps"][1]["took_ms"] = newer["pitfalls"][0]["took_ms"] = 3
    wanted = json.loads(json.dumps(newer).replace('"book"', '"reserve"'))
    assert json.loads(json.dumps(renamed_episode(newer, {"book": "reserve"}))) == wanted


def test_renaming_a_tool_renames_where_values_came_from() -> None:
    talk = (
        Talk().user("Pay it").does("bill", {"code": "zx-81723"}, of="me").does("pay", code="zx-81723").ends("success")
    )
    after = renamed_episode(body(talk), {"bill": "invoice"})
    assert [(step["tool"], step["args"]) for step in after["steps"]][1] == ("pay", {"code": [">invoice"]})
    assert after["tools"] == ["invoice", "pay"]


@pytest.mark.parametrize("names", [{"other": "x"}, {"book": "book"}, {}])
def test_an_episode_in_which_nothing_is_renamed_is_the_same_object(names: dict[str, str]) -> None:
    before = body(booked())
    assert renamed_episode(before, names) is before


@pytest.mark.parametrize(
    "wrong", [{"steps": "none"}, {"steps": [{"n": 2}]}, {"weight": "heavy"}, {"pitfalls": [[]]}, {"span": [1]}]
)
def test_an_episode_of_another_shape_is_left_out_and_said(
    wrong: Json, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procedures, "_log", LimitedLog(logging.getLogger("acontext")))
    good = body(booked())
    with caplog.at_level(logging.WARNING, "acontext"):
        found = skills_after(kept("a", good), kept("b", {**good, **wrong}))
        assert found == skills_after(kept("a", good))
        assert renamed_episode({**good, **wrong}, {"book": "reserve"}) == {**good, **wrong}
    (said,) = caplog.messages
    assert next(iter(wrong)) in said
    assert "b-t" in said
