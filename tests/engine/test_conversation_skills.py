"""A conversation's skills: what was sent stays as and where it was, and what may not be used any more leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins import Acontext
from acontext_plugins.inject.recall import HEAD, WHOLE, Recall, RecallQuery, ShownTurns
from acontext_plugins.inject.render import READ_SKILL, tokens

SKILLS = {
    "refund a broken lamp": "issue_refund",
    "change the delivery address": "change_address",
    "cancel a subscription": "cancel_plan",
}
REFUND, ADDRESS, CANCEL = SKILLS


class Talk:
    """One conversation with a space: each `ask` is a run whose request shows these turns."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'talk.db'}"
        self.client = Acontext(self.url)
        self.space = self.client.spaces.create(name="support").id
        page = self.client.blocks.create(self.space, block_type="page", title="Skills").id
        self.ids = {}
        for title, tool in SKILLS.items():
            props = {"tool_sops": [{"tool_name": tool, "action": f"{tool} with what the user said"}]}
            block = self.client.blocks.create(self.space, block_type="sop", parent_id=page, title=title, props=props)
            self.ids[title] = block.id
        self.client.flush()
        self.query = RecallQuery("support", "", session_key="talk", deadline=30)
        self.runs = 0

    def ask(self, text: str, *turns: str, opens: bool = False, held: bool = False, **changes: Any) -> Recall:
        self.runs += 1
        query = replace(self.query, text=text, run_id=f"run {self.runs}", **changes)
        if "shown" not in changes:
            query = replace(query, shown=ShownTurns(turns, opens, held))
        return self.client.connection.recall(query).result(60)

    def another_process(self) -> None:
        self.client.close()
        self.client = Acontext(self.url)

    @property
    def rows(self) -> list[Any]:
        """What was logged, oldest first."""
        self.client.flush()
        embedded: Any = self.client.connection.opened()
        rows: list[Any] = embedded.engine.store.injections(self.space).result()
        return sorted(rows, key=lambda row: int(row.run_id.removeprefix("run ")))


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    made = Talk(tmp_path)
    yield made
    made.client.close()


def places(found: Recall) -> list[tuple[str, list[str]]]:
    """The anchors of the blocks, and which skills stand there."""
    return [(block.anchor, [title for title in SKILLS if title in block.text]) for block in found.blocks]


def test_the_first_skills_stand_before_all_turns_and_later_ones_behind_the_newest(talk: Talk) -> None:
    first = talk.ask(REFUND, "t1", opens=True)
    second = talk.ask(ADDRESS, "t1", "t2")
    third = talk.ask("thank you", "t1", "t2", "t3")
    assert places(first) == [(HEAD, [REFUND])]
    assert places(second) == places(third) == [(HEAD, [REFUND]), ("t2", [ADDRESS])]
    assert (second.blocks[0], third.blocks) == (first.blocks[0], second.blocks)
    assert [skill.body.use_when for skill in third.skills] == [REFUND, ADDRESS]


def test_it_stays_in_another_process(talk: Talk) -> None:
    talk.ask(REFUND, "t1", opens=True)
    before = talk.ask(ADDRESS, "t1", "t2")
    talk.another_process()
    assert talk.ask("thanks", "t1", "t2", "t3").blocks == before.blocks


def test_nothing_is_shown_twice_and_a_turn_that_is_asked_again_gets_the_same(talk: Talk) -> None:
    first = talk.ask(REFUND, "t1", opens=True)
    assert talk.ask(f"{REFUND} once more", "t1", "t2").blocks == first.blocks
    second = talk.ask(ADDRESS, "t1", "t2")
    assert talk.ask(CANCEL, "t1", "t2").blocks == second.blocks  # this turn has been answered
    assert talk.ask(REFUND, "t1", opens=True).blocks == first.blocks


def test_a_conversation_that_goes_on_without_skills_gets_them_behind_its_newest_turn(talk: Talk) -> None:
    assert places(talk.ask("good morning", "t1", opens=True)) == []
    assert places(talk.ask(REFUND, "t1", "t2")) == [("t2", [REFUND])]
    assert places(talk.ask(REFUND, "a1", opens=True, session_key="another", head=None)) == [("a1", [REFUND])]


def _retire(talk: Talk) -> None:
    embedded: Any = talk.client.connection.opened()
    embedded.engine.store.set_skill_status(talk.ids[ADDRESS], "retired").result()


def _edit(talk: Talk) -> None:
    talk.client.blocks.update_properties(talk.space, talk.ids[ADDRESS], title=ADDRESS, props={"preferences": "Ask."})


def _delete(talk: Talk) -> None:
    talk.client.blocks.delete(talk.space, talk.ids[ADDRESS])


@pytest.mark.parametrize("change", [_retire, _edit, _delete])
def test_a_skill_that_is_changed_or_gone_leaves_at_the_next_call(talk: Talk, change: Any) -> None:
    talk.ask(REFUND, "t1", opens=True)
    talk.ask(ADDRESS, "t1", "t2")
    change(talk)
    assert places(talk.ask("thank you", "t1", "t2", "t3")) == [(HEAD, [REFUND])]
    again = places(talk.ask(ADDRESS, "t1", "t2", "t3", "t4"))
    assert again == [(HEAD, [REFUND]), *([("t4", [ADDRESS])] if change is _edit else [])]


def test_skills_whose_tools_the_run_has_not_are_not_there_until_it_has_them(talk: Talk) -> None:
    both = talk.ask(f"{REFUND}, {ADDRESS}", "t1", opens=True)
    assert places(both) == [(HEAD, [REFUND, ADDRESS])]
    assert places(talk.ask("go on", "t1", "t2", tools=["issue_refund"])) == [(HEAD, [REFUND])]
    assert talk.ask("go on", "t1", "t2", "t3").blocks == both.blocks


def test_the_budget_is_the_conversations(talk: Talk) -> None:
    room = tokens(talk.ask(REFUND, "x", opens=True, session_key="other").text) + 5
    first = talk.ask(REFUND, "t1", opens=True, token_budget=room)
    assert talk.ask(ADDRESS, "t1", "t2", token_budget=room).blocks == first.blocks
    talk.client.blocks.delete(talk.space, talk.ids[REFUND])
    freed = talk.ask(ADDRESS, "t1", "t2", "t3", token_budget=room + 10)
    assert places(freed) == [("t3", [ADDRESS])]


def test_where_a_turn_is_gone_so_are_its_skills_and_they_may_come_again(talk: Talk) -> None:
    talk.ask("hello", "t1", opens=True)
    talk.ask(REFUND, "t1", "t2")
    assert places(talk.ask("and now?", "t3")) == []
    assert places(talk.ask(REFUND, "t3", "t4")) == [("t4", [REFUND])]


def test_what_the_provider_holds_is_not_sent_again(talk: Talk) -> None:
    first = talk.ask(REFUND, "t1", opens=True)
    second = talk.ask(ADDRESS, "t2", held=True)
    assert places(second) == [(HEAD, [REFUND]), ("t2", [ADDRESS])]
    third = talk.ask(f"{ADDRESS}, or {CANCEL}", "t3", held=True)
    assert places(third) == [(HEAD, [REFUND]), ("t3", [CANCEL])]
    assert third.blocks[0] == first.blocks[0]
    assert [skill.body.use_when for skill in third.skills] == [REFUND, ADDRESS, CANCEL]


def test_a_caller_that_places_one_text_gets_one_that_only_grows(talk: Talk) -> None:
    first = talk.ask(REFUND, shown=None)
    second = talk.ask(ADDRESS, shown=None)
    assert second.text.startswith(f"{first.text}\n\n")
    assert [block.anchor for block in second.blocks] == [HEAD, HEAD]
    assert places(talk.ask(CANCEL, "t1", opens=True)) == [(HEAD, [CANCEL])]  # they know nothing of each other
    assert {row.anchor for row in talk.rows} == {WHOLE, HEAD}


def test_agents_in_one_function_have_each_their_own_place(talk: Talk) -> None:
    talk.ask(REFUND, "t1", opens=True, head="@writer")
    assert places(talk.ask(ADDRESS, "u1", opens=True, head="@reader")) == [(HEAD, [ADDRESS])]
    assert places(talk.ask("go on", "t1", "t2", head="@writer")) == [(HEAD, [REFUND])]


def test_runs_at_the_same_time_keep_their_own_and_the_first_beginning_counts(talk: Talk) -> None:
    talk.ask(REFUND, "t1", opens=True)
    left, right = talk.ask(ADDRESS, "t1", "l2"), talk.ask(CANCEL, "t1", "r2")
    assert places(left) == [(HEAD, [REFUND]), ("l2", [ADDRESS])]
    assert places(right) == [(HEAD, [REFUND]), ("r2", [CANCEL])]
    merged = talk.ask("thanks", "t1", "l2", "r2", "t3")
    assert places(merged) == [(HEAD, [REFUND]), ("l2", [ADDRESS]), ("r2", [CANCEL])]


def test_the_log_says_what_each_run_saw(talk: Talk) -> None:
    talk.ask(REFUND, "t1", opens=True)
    talk.ask(ADDRESS, "t1", "t2")
    talk.ask("thank you", "t1", "t2", "t3")
    refund, address = talk.ids[REFUND], talk.ids[ADDRESS]
    assert [row.skill_ids for row in talk.rows] == [(refund,), (refund, address), (refund, address)]
    assert [row.anchor for row in talk.rows] == [HEAD, "t2", None]
    assert [row.shown for row in talk.rows] == [True] * 3
    assert len({row.text_hash for row in talk.rows}) == 2


def test_a_catalog_has_a_line_of_each_and_stays_too(talk: Talk) -> None:
    first = talk.ask(REFUND, "t1", opens=True, catalog=True)
    second = talk.ask(ADDRESS, "t1", "t2", catalog=True)
    assert f"- {talk.ids[REFUND][:8]}: {REFUND}" in first.text
    assert READ_SKILL in first.text
    assert "issue_refund with" not in second.text
    assert places(second) == [(HEAD, [REFUND]), ("t2", [ADDRESS])]
    assert second.blocks[0] == first.blocks[0]
