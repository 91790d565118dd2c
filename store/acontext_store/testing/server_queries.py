"""What a store promises to those who serve it to others: single messages, progress, people, names of tools."""

from __future__ import annotations

from typing import Any

import pytest

from ..errors import InvalidInput, NotFound
from ..protocols import Store
from ..tokenizer import words
from ..types import Episode, Json, Message, Part, SkillStatus, ToolName
from .factories import a_body, a_session, a_space, a_task, an_edit, claimed, done, each, learned, observed, talk


class OneMessageContract:
    """One message is read by its id, and its meta changed."""

    def test_a_message_is_found_by_its_id(self, store: Store) -> None:
        talk(store, count=3)
        assert [done(store.message("s1", f"s1-m{n}")) for n in (1, 2, 3)] == done(store.messages("s1")).items

    def test_an_unknown_message_is_not_found(self, store: Store) -> None:
        talk(store)
        talk(store, "s2")
        for pending in each(
            store.message("s1", "nothing"),
            store.message("s1", "s2-m1"),
            store.update_message("s1", "s2-m1", meta={}),
            store.update_message("nobody", "s1-m1", meta={}),
        ):
            with pytest.raises(NotFound):
                done(pending)

    def test_its_meta_can_be_changed_and_nothing_else(self, store: Store) -> None:
        message = Message(
            id="m1",
            role="assistant",
            parts=(Part(type="text", text="hi"), Part(type="image", meta={"url": "data:"})),
            native={"role": "assistant", "content": "hi", "odd": [1]},
            format="anthropic",
            meta={"source": "a", "kept": {"deep": None}},
        )
        done(store.append("s1", [message], ensure=a_session()))
        before = done(store.message("s1", "m1"))
        after = done(store.update_message("s1", "m1", meta={"source": None, "grade": 1}))
        assert after.meta == {"kept": {"deep": None}, "grade": 1}
        assert after == before.model_copy(update={"meta": after.meta, "updated_at": after.updated_at})
        assert done(store.messages("s1")).items == [after]


class ObservingContract:
    """The counts of observed, running and waiting messages are right."""

    def test_messages_wait_are_looked_at_and_are_observed(self, store: Store) -> None:
        def status() -> tuple[int, int, int]:
            found = done(store.observing_status("s1"))
            return found.observed, found.in_process, found.pending

        talk(store, count=3)
        assert status() == (0, 0, 3)
        claim = claimed(store, "observe", "s1")
        assert status() == (0, 3, 0)
        done(store.release(claim))
        assert status() == (0, 0, 3)
        observed(store, [], observed_seq=2)
        assert status() == (2, 0, 1)
        with pytest.raises(NotFound):
            done(store.observing_status("nobody"))


class PrincipalContract:
    """Sessions are listed by the user on whose behalf they were held."""

    def test_sessions_of_one_person_can_be_listed(self, store: Store) -> None:
        for id, principal in (("s1", "ann"), ("s2", "bob"), ("s3", "ann"), ("s4", None)):
            done(store.create_session(a_session(id, principal=principal)))
        assert {session.id for session in done(store.sessions(principal="ann")).items} == {"s1", "s3"}
        first = done(store.sessions(principal="ann", limit=1))
        rest = done(store.sessions(principal="ann", limit=1, cursor=first.next_cursor))
        assert {first.items[0].id, rest.items[0].id} == {"s1", "s3"}
        assert not rest.has_more


def _renamed(store: Store, names: dict[str, str]) -> int:
    def episode(body: Json) -> Json:
        return {**body, "tools": [names.get(tool, tool) for tool in body["tools"]]}

    def text(said: str) -> str:
        return " ".join(names.get(word, word) for word in said.split(" "))

    return done(store.rename_tools(names, episode=episode, text=text))


class ToolContract:
    """The tools that skills call are listed, and renamed in all that was learned."""

    def _learned(self, store: Store, *steps: str, **fields: Any) -> str:
        space_id = a_space(store)
        talk(store, space_id=space_id)
        observed(store, [a_task()])
        episode = Episode(task_id="t1", session_id="s1", space_id=space_id, body={"tools": list(steps)})
        edit = an_edit(body=a_body(steps=steps, trace=(f"{steps[0]}(x={{x}})",)), requests=["please search"], **fields)
        learned(store, space_id, edit, episodes=(episode,))
        return space_id

    def test_tools_of_active_skills_are_counted_once_a_skill(self, store: Store) -> None:
        assert done(store.tool_names()) == []
        self._learned(store, "search", "book", "search")
        other = a_space(store)
        learned(store, other, an_edit("k2", body=a_body(steps=("book",))), an_edit("k3", status="candidate"))
        assert done(store.tool_names()) == [ToolName(name="book", sop_count=2), ToolName(name="search", sop_count=1)]

    def test_a_renamed_tool_has_its_new_name_everywhere(self, store: Store) -> None:
        space_id = self._learned(store, "search", "book")
        assert _renamed(store, {"search": "look_up", "unknown": "x"}) == 1
        skill = done(store.skill("k1"))
        assert [step.tool_name for step in skill.body.tool_sops] == ["look_up", "book"]
        assert skill.body.trace == ("look_up(x={x})",)
        assert (skill.version, skill.origin) == (2, "rules")
        assert done(store.episodes(space_id))[0].body == {"tools": ["look_up", "book"]}
        assert [hit.kind for hit in done(store.search(space_id, words("look_up")))] == ["request"]
        assert [tool.name for tool in done(store.tool_names())] == ["book", "look_up"]
        assert _renamed(store, {"search": "look_up"}) == 0

    @pytest.mark.parametrize("origin", ["rules", "human"])
    def test_a_renamed_skill_stays_whose_it_was(self, store: Store, origin: Any) -> None:
        space_id = self._learned(store, "search", origin=origin)
        _renamed(store, {"search": "look_up"})
        done(store.schedule_now("learn", space_id))
        written = learned(store, space_id, an_edit(body=a_body("something else")))
        assert written == (1 if origin == "rules" else 0)

    @pytest.mark.parametrize("status", ["candidate", "retired"])
    def test_skills_that_are_not_active_are_renamed_too(self, store: Store, status: SkillStatus) -> None:
        self._learned(store, "search", status=status)
        assert _renamed(store, {"search": "look_up"}) == 1

    @pytest.mark.parametrize("name", ["", "  ", "x" * 257])
    def test_a_name_that_cannot_be_changes_nothing(self, store: Store, name: str) -> None:
        self._learned(store, "search")
        with pytest.raises(InvalidInput):
            _renamed(store, {"search": name})
        assert [tool.name for tool in done(store.tool_names())] == ["search"]
