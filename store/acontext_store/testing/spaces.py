"""What a store promises about spaces, and about the tree of blocks in each."""

from __future__ import annotations

from typing import Any

import pytest

from ..errors import Conflict, InvalidInput, NotFound
from ..injections import Injection
from ..protocols import Store
from ..tokenizer import words
from ..types import Block, BlockType, Episode, Space
from .factories import PROJECT, a_body, a_space, a_task, an_edit, done, each, learned, observed, talk


def add(store: Store, space_id: str, type: BlockType, id: str, parent_id: str | None = None, **fields: Any) -> Block:
    fields.setdefault("title", id)
    return done(store.create_block(Block(id=id, space_id=space_id, type=type, parent_id=parent_id, **fields)))


def places(store: Store, space_id: str, parent_id: str | None = None) -> list[tuple[str, int]]:
    """The children's ids and places, by place."""
    children = done(store.blocks(space_id, parent_id=parent_id))
    return sorted(((block.id, block.sort) for block in children), key=lambda place: place[1])


class SpaceContract:
    """Spaces are created, named, listed, changed and deleted."""

    def test_a_space_is_given_back_as_it_was_made(self, store: Store) -> None:
        space = Space(id="sp", project_id=PROJECT, name="travel ✈", configs={"rules": ["a"]})
        assert done(store.create_space(space)) == space
        assert done(store.space("sp")) == done(store.space_by_name("travel ✈")) == space
        assert done(store.update_space("sp", configs={})).configs == {}

    def test_an_unknown_space_is_not_found(self, store: Store) -> None:
        for pending in each(
            store.space("nowhere"),
            store.space_by_name("nowhere"),
            store.update_space("nowhere", configs={}),
            store.delete_space("nowhere"),
            store.blocks("nowhere"),
            store.episodes("nowhere"),
            store.injections("nowhere"),
        ):
            with pytest.raises(NotFound):
                done(pending)

    def test_an_id_or_a_name_is_taken_once(self, store: Store) -> None:
        done(store.create_space(Space(id="sp", project_id=PROJECT, name="travel")))
        for again in (Space(id="sp", project_id=PROJECT), Space(id="sp2", project_id=PROJECT, name="travel")):
            with pytest.raises(Conflict):
                done(store.create_space(again))
        with pytest.raises(InvalidInput):
            done(store.create_space(Space(id="sp3", project_id="other")))
        assert len(done(store.spaces()).items) == 1
        for _ in range(2):
            a_space(store)

    def test_a_space_is_made_by_its_name_once(self, store: Store) -> None:
        pending = [store.space_by_name("travel", create=True) for _ in range(20)]
        assert len({done(one).id for one in pending}) == 1

    @pytest.mark.parametrize("time_desc", [False, True])
    def test_pages_show_each_space_once(self, store: Store, time_desc: bool) -> None:
        made = [a_space(store) for _ in range(5)]
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = done(store.spaces(limit=2, cursor=cursor, time_desc=time_desc))
            seen += [space.id for space in page.items]
            if not page.has_more:
                break
            cursor = page.next_cursor
        assert seen == (made[::-1] if time_desc else made)

    def test_a_deleted_space_takes_all_but_its_sessions(self, store: Store) -> None:
        space_id = a_space(store, "travel")
        talk(store, space_id=space_id)
        observed(store, [a_task("t1"), a_task("t2", order=2)])
        episode = Episode(task_id="t1", session_id="s1", space_id=space_id, body={})
        learned(store, space_id, an_edit(), episodes=(episode,), digested=("t1",))
        done(store.log_injection(Injection(space_id=space_id)))
        done(store.delete_space(space_id))
        assert done(store.session("s1")).space_id is None
        assert [task.id for task in done(store.tasks("s1")).items] == ["t1", "t2"]
        assert done(store.lanes()) == []
        assert done(store.learning_status("s1")).not_space_digested_count == 0
        with pytest.raises(NotFound):
            done(store.skill("k1"))
        again = done(store.space_by_name("travel", create=True)).id
        assert done(store.skills(again)) == []
        assert done(store.frequencies(again, words("table")))[0] == 0
        assert learned(store, again, an_edit()) == 1


class BlockContract:
    """Folders, pages and skills form a tree in which each block has its place."""

    @pytest.fixture
    def space_id(self, store: Store) -> str:
        """The id of a new space."""
        return a_space(store)

    def test_each_block_has_its_place(self, store: Store, space_id: str) -> None:
        add(store, space_id, "folder", "f1")
        add(store, space_id, "page", "p1")
        add(store, space_id, "folder", "f2")
        add(store, space_id, "folder", "f11", "f1", props={"any": [1]})
        add(store, space_id, "page", "p11", "f1")
        add(store, space_id, "text", "x1", "p1", props={"notes": "n"})
        add(store, space_id, "sop", "s1", "p1")
        assert [(b.id, b.sort) for b in done(store.blocks(space_id))] == [("f1", 0), ("f2", 2), ("p1", 1)]
        assert [b.id for b in done(store.blocks(space_id, type="page"))] == ["p1"]
        assert [b.id for b in done(store.blocks(space_id, parent_id="f1"))] == ["f11", "p11"]
        assert [b.id for b in done(store.blocks(space_id, parent_id="p1"))] == ["s1", "x1"]
        assert done(store.block(space_id, "f11")).props == {"any": [1]}
        assert done(store.block(space_id, "f11")).parent_id == "f1"

    def test_a_tree_is_grown_all_the_way_down(self, store: Store, space_id: str) -> None:
        add(store, space_id, "folder", "f1")
        add(store, space_id, "folder", "f2", "f1")
        add(store, space_id, "page", "p1", "f2")
        add(store, space_id, "sop", "s1", "p1")
        (root,) = done(store.blocks(space_id, tree=True))
        assert root.children is not None
        (folder,) = root.children
        assert folder.children is not None
        (page,) = folder.children
        assert page.children is not None
        assert [(block.id, block.children) for block in page.children] == [("s1", [])]
        assert page.children[0].props["use_when"] == "s1"
        assert [b.id for b in done(store.blocks(space_id, parent_id="f1", tree=True))] == ["f2"]

    @pytest.mark.parametrize(
        ("parent", "refused"),
        [
            (None, "text"),
            (None, "sop"),
            ("f", "sop"),
            ("f", "text"),
            ("p", "page"),
            ("p", "folder"),
            ("x", "text"),
            ("s", "sop"),
        ],
    )
    def test_what_does_not_belong_there_is_refused(
        self, store: Store, space_id: str, parent: str | None, refused: BlockType
    ) -> None:
        add(store, space_id, "folder", "f")
        add(store, space_id, "page", "p")
        add(store, space_id, "text", "x", "p")
        add(store, space_id, "sop", "s", "p")
        with pytest.raises(InvalidInput):
            add(store, space_id, refused, "new", parent)

    def test_an_unknown_block_is_not_found(self, store: Store, space_id: str) -> None:
        add(store, space_id, "folder", "here")
        other = a_space(store)
        for pending in each(
            store.block(space_id, "nothing"),
            store.block(other, "here"),
            store.blocks(space_id, parent_id="nothing"),
            store.update_block(space_id, "nothing", title="x"),
            store.update_block(other, "here", title="x"),
            store.move_block(space_id, "nothing"),
            store.move_block(space_id, "here", parent_id="nothing"),
            store.move_block(other, "here"),
            store.sort_block(other, "here", 0),
            store.delete_block(other, "here"),
            store.create_block(Block(id="b", space_id=space_id, type="page", title="t", parent_id="nothing")),
            store.create_block(Block(id="b", space_id="nowhere", type="page", title="t")),
        ):
            with pytest.raises(NotFound):
                done(pending)
        with pytest.raises(Conflict):
            add(store, space_id, "folder", "here")

    def test_blocks_are_renamed_and_given_new_props(self, store: Store, space_id: str) -> None:
        add(store, space_id, "page", "p", props={"a": 1})
        assert done(store.update_block(space_id, "p", title="new")).props == {"a": 1}
        block = done(store.update_block(space_id, "p", props={"b": "\0"}))
        assert (block.title, block.props) == ("new", {"b": "\0"})

    def test_siblings_are_renumbered(self, store: Store, space_id: str) -> None:
        for id in "abcd":
            add(store, space_id, "page", id)
        assert done(store.sort_block(space_id, "d", 1)).sort == 1
        assert places(store, space_id) == [("a", 0), ("d", 1), ("b", 2), ("c", 3)]
        done(store.sort_block(space_id, "a", 99))
        done(store.sort_block(space_id, "c", -5))
        assert places(store, space_id) == [("c", 0), ("d", 1), ("b", 2), ("a", 3)]
        done(store.delete_block(space_id, "d"))
        assert places(store, space_id) == [("c", 0), ("b", 1), ("a", 2)]

    def test_a_block_moves_with_all_below_it(self, store: Store, space_id: str) -> None:
        for id in ("f1", "f2"):
            add(store, space_id, "folder", id)
        for id in "abc":
            add(store, space_id, "page", id, "f1")
        add(store, space_id, "text", "x", "b")
        done(store.move_block(space_id, "b", parent_id="f2"))
        done(store.move_block(space_id, "c", parent_id="f2", sort=0))
        assert places(store, space_id, "f1") == [("a", 0)]
        assert places(store, space_id, "f2") == [("c", 0), ("b", 1)]
        assert places(store, space_id, "b") == [("x", 0)]
        assert done(store.move_block(space_id, "b", parent_id=None, sort=0)).parent_id is None
        assert places(store, space_id) == [("b", 0), ("f1", 1), ("f2", 2)]
        with pytest.raises(InvalidInput):
            done(store.move_block(space_id, "x", parent_id=None))

    def test_nothing_moves_under_itself(self, store: Store, space_id: str) -> None:
        add(store, space_id, "folder", "f1")
        add(store, space_id, "folder", "f2", "f1")
        for parent_id in ("f1", "f2"):
            with pytest.raises(InvalidInput):
                done(store.move_block(space_id, "f1", parent_id=parent_id))
        assert done(store.block(space_id, "f1")).parent_id is None

    def test_deleting_takes_all_below(self, store: Store, space_id: str) -> None:
        add(store, space_id, "folder", "f")
        add(store, space_id, "page", "p", "f")
        add(store, space_id, "sop", "s", "p", title="unmistakable")
        done(store.delete_block(space_id, "f"))
        assert done(store.blocks(space_id, tree=True)) == []
        for pending in each(store.block(space_id, "s"), store.skill("s")):
            with pytest.raises(NotFound):
                done(pending)
        assert done(store.search(space_id, words("unmistakable"))) == []

    def test_a_learned_skill_stands_on_its_page(self, store: Store, space_id: str) -> None:
        learned(
            store,
            space_id,
            an_edit("k1"),
            an_edit("k2", page=("travel", "hotels"), title="Hotels", body=a_body(pitfalls=("p",))),
        )
        learned(store, space_id, an_edit("k3", page=("travel", "hotels")), an_edit("k4", page=("travel",)))
        tree = done(store.blocks(space_id, tree=True))
        shape = [
            (b.type, b.title, [(c.type, c.title, [g.id for g in c.children or []]) for c in b.children or []])
            for b in tree
        ]
        assert shape == [
            ("folder", "travel", [("page", "hotels", ["k2", "k3"])]),
            ("page", "learned", [("sop", "booking a table", [])]),
            ("page", "travel", [("sop", "booking a table", [])]),
        ]
        block = done(store.block(space_id, "k2"))
        assert block.title == "Hotels"
        assert block.props == {
            "use_when": "booking a table",
            "preferences": "",
            "tool_sops": [
                {"order": 0, "tool_name": "search", "action": "search it"},
                {"order": 1, "tool_name": "book", "action": "book it"},
            ],
            "pitfalls": ["p"],
        }

    def test_a_skill_stays_where_a_person_put_it(self, store: Store, space_id: str) -> None:
        learned(store, space_id, an_edit())
        add(store, space_id, "page", "mine")
        done(store.move_block(space_id, "k1", parent_id="mine"))
        assert learned(store, space_id, an_edit(body=a_body("new words"), title="New words")) == 1
        block = done(store.block(space_id, "k1"))
        assert (block.parent_id, block.title, block.props["use_when"]) == ("mine", "New words", "new words")

    def test_a_skill_written_by_hand_keeps_what_else_it_says(self, store: Store, space_id: str) -> None:
        add(store, space_id, "page", "p")
        steps = [{"tool_name": "stove", "action": "light it"}, {"tool_name": "pot"}]
        props = {"preferences": None, "tool_sops": steps, "pitfalls": ["hot"], "colour": "red"}
        block = add(store, space_id, "sop", "s", "p", title="cooking rice", props=props)
        assert block.props == {
            "use_when": "cooking rice",
            "preferences": "",
            "tool_sops": [
                {"order": 0, "tool_name": "stove", "action": "light it"},
                {"order": 1, "tool_name": "pot", "action": ""},
            ],
            "pitfalls": ["hot"],
            "colour": "red",
        }
        changed = done(store.update_block(space_id, "s", props={"preferences": "al dente"}))
        assert changed.props["tool_sops"] == block.props["tool_sops"]
        assert changed.props["preferences"] == "al dente"
        assert done(store.skill("s")).version == 2

    @pytest.mark.parametrize(
        "props", [{"tool_sops": "x"}, {"tool_sops": [1]}, {"tool_sops": [{}]}, {"preferences": 5}, {"pitfalls": "x"}]
    )
    def test_props_that_make_no_skill_are_refused(self, store: Store, space_id: str, props: dict[str, Any]) -> None:
        add(store, space_id, "page", "p")
        with pytest.raises(InvalidInput, match="props"):
            add(store, space_id, "sop", "s", "p", props=props)
        assert done(store.blocks(space_id, parent_id="p")) == []
